//! Times the engine alone: `cargo run --release --package undertone-lm --example speed -- FILE.gguf [f32|bf16] [train|sample]`.
//!
//! A LoRA step on 8 rows of 96 tokens, and sampling of 64 rows of 64 tokens. `cargo xtask bench lm` compares with others.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring program talks and may stop"
)]

use std::path::Path;
use std::time::Instant;

use undertone_core::Seed;
use undertone_lm::examples::TrainingRow;
use undertone_lm::gguf::Gguf;
use undertone_lm::lora::{LoraConfig, LoraWeights};
use undertone_lm::loss::Objective;
use undertone_lm::model::{LoadOptions, Model};
use undertone_lm::optimiser::Optimiser;
use undertone_lm::sample::{Prompt, SampleSettings, Sampler, Sampling};
use undertone_lm::schedule::{Decay, Schedule};
use undertone_lm::train::{TrainSettings, Trainer};
use undertone_simd::Precision;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let gguf = Gguf::open(Path::new(&args[0])).unwrap();
    let precision = match args.get(1).map(String::as_str) {
        Some("bf16") => Precision::Bf16,
        _ => Precision::F32,
    };
    let started = Instant::now();
    let model = Model::load(&gguf, LoadOptions::training(precision)).unwrap();
    println!(
        "load {:.2} s, {} MB",
        started.elapsed().as_secs_f64(),
        model.bytes() >> 20
    );
    let what = args.get(2).map_or("", String::as_str);
    let mut stream = Seed(0).stream("lm/speed", 0);
    let mut tokens =
        |n: usize| -> Vec<u32> { (0..n).map(|_| stream.below(49_152) as u32).collect() };
    if what != "train" {
        let settings = SampleSettings {
            sampling: Sampling::default(),
            stop_tokens: Vec::new(),
            max_tokens: 64,
        };
        for batch in [64, 16, 1] {
            let prompts: Vec<Prompt> = (0..batch as u64)
                .map(|row| Prompt {
                    row,
                    tokens: tokens(30),
                })
                .collect();
            let sampler = Sampler {
                model: &model,
                adapter: None,
                grammar: None,
                settings: &settings,
                seed: Seed(0),
                batch,
            };
            let started = Instant::now();
            sampler.run(&prompts, &mut |_| Ok(())).unwrap();
            let seconds = started.elapsed().as_secs_f64();
            println!(
                "sample {batch} rows: {seconds:.2} s, {:.0} tokens/s",
                batch as f64 * 64.0 / seconds
            );
        }
    }
    if what != "sample" {
        let weights = LoraWeights::initial(
            LoraConfig::all_projections(8, 16.0),
            model.config(),
            Seed(0),
        )
        .unwrap();
        let settings = TrainSettings {
            objective: Objective::CrossEntropy,
            base_kl: None,
            optimiser: Optimiser::adamw(2e-4, 0.1),
            schedule: Schedule {
                decay: Decay::Linear,
                warmup_steps: 0,
            },
            steps: 100,
            clip: Some(1.0),
        };
        let rows: Vec<TrainingRow> = (0..8)
            .map(|_| TrainingRow::new(&tokens(1), &tokens(96), None).unwrap())
            .collect();
        let borrowed: Vec<&TrainingRow> = rows.iter().collect();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut trainer = Trainer::adapter(model, weights, settings, threads, 1 << 30).unwrap();
        for _ in 0..4 {
            let started = Instant::now();
            let report = trainer.step(&borrowed, None, None).unwrap();
            let seconds = started.elapsed().as_secs_f64();
            println!(
                "step {seconds:.2} s, {:.0} GFLOP/s, loss {:.3}",
                415.0 / seconds,
                report.loss
            );
        }
    }
}
