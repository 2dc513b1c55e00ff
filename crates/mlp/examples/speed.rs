//! Times one thread's training steps at the published size.
#![expect(clippy::print_stdout, reason = "a tool for the terminal")]
use std::time::Instant;
use undertone_core::Seed;
use undertone_mlp::*;

fn main() {
    let arch = Architecture {
        inputs: 784,
        hidden: vec![256, 256],
        outputs: 13,
        activation: Activation::Relu,
        biases: Biases::With,
    };
    let weights = Weights::initial(&arch, 1.0, &mut Seed(0).stream("mlp/init", 0));
    let pixels: Vec<u8> = (0..60_000usize * 784)
        .map(|i| (i.wrapping_mul(2654435761) >> 24) as u8)
        .collect();
    let labels: Vec<u8> = (0..1024).map(|i| (i % 10) as u8).collect();
    for set in [
        InstructionSet::Avx512,
        InstructionSet::Avx512Bf16,
        InstructionSet::Avx2,
        InstructionSet::Portable,
    ] {
        let Ok(mut t) = Trainer::with_instructions(set) else {
            continue;
        };
        let mut m = Model::new(&weights, Optimiser::adam(3e-4));
        let inputs = Inputs::Bytes {
            pixels: &pixels,
            features: 784,
            max: 255,
        };
        let noise = Inputs::Noise {
            seed: Seed(0),
            index: 0,
            features: 784,
            law: NoiseLaw::Uniform,
        };
        let order = Seed(0).stream("o", 0).permutation(60_000);
        let ce = Loss::new(LossKind::CrossEntropy, 0..10);
        let (mut load, mut step, mut nl) = (f64::MAX, f64::MAX, f64::MAX);
        let steps = if set == InstructionSet::Portable {
            3
        } else {
            40
        };
        let mut lg = f64::MAX;
        let mut buf = vec![0.0; 1024 * 13];
        for s in 0..steps {
            let rows = &order[s * 1024..][..1024];
            let a = Instant::now();
            t.load(&noise, rows);
            let b = Instant::now();
            t.load(&inputs, rows);
            let c = Instant::now();
            t.step(&mut m, Target::Labels(&labels), &ce);
            let d = Instant::now();
            t.logits(&m, &mut buf);
            lg = lg.min(d.elapsed().as_secs_f64());
            nl = nl.min((b - a).as_secs_f64());
            load = load.min((c - b).as_secs_f64());
            step = step.min((d - c).as_secs_f64());
        }
        let flop = 1.218e6 * 1024.0;
        println!(
            "{set:?}: noise load {:.3} ms, load {:.3} ms, step {:.3} ms = {:.0} GFLOP/s, logits {:.3} ms",
            nl * 1e3,
            load * 1e3,
            step * 1e3,
            flop / step / 1e9,
            lg * 1e3
        );
    }
}
