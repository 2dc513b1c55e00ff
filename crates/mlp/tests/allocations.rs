//! Nothing is allocated inside a step: once a trainer has seen its largest batch and model, it only computes.
//!
//! A binary of its own with one test, because the counter counts for the whole process.
#![expect(unsafe_code, reason = "a counting allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use undertone_core::Seed;
use undertone_mlp::{
    Activation, Architecture, Biases, Inputs, InstructionSet, Loss, LossKind, Model, NoiseLaw,
    Optimiser, Target, Trainer, Weights,
};

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: everything is forwarded to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's block came from `alloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROWS: usize = 50;
const FEATURES: usize = 33;

fn model(hidden: &[usize], activation: Activation, optimiser: Optimiser) -> Model {
    let architecture = Architecture {
        inputs: FEATURES,
        hidden: hidden.to_vec(),
        outputs: 13,
        activation,
        biases: Biases::With,
    };
    let weights = Weights::initial(&architecture, 1.0, &mut Seed(0).stream("test/init", 0));
    Model::new(&weights, optimiser)
}

#[test]
fn steps_after_the_first_allocate_nothing() {
    let sgd = Optimiser::Sgd {
        learning_rate: 0.1,
        momentum: 0.9,
    };
    let mut models = [
        model(&[40, 17], Activation::Relu, Optimiser::adam(1e-3)),
        model(&[5], Activation::Gelu, sgd),
        model(&[5, 40, 5], Activation::Sigmoid, Optimiser::adam(1e-3)),
        model(&[], Activation::Relu, sgd),
    ];
    let pixels: Vec<u8> = (0..ROWS * FEATURES).map(|at| (at % 251) as u8).collect();
    let values: Vec<f32> = pixels.iter().copied().map(f32::from).collect();
    let sources = [
        Inputs::Bytes {
            pixels: &pixels,
            features: FEATURES,
            max: 255,
        },
        Inputs::Noise {
            seed: Seed(0),
            index: 0,
            features: FEATURES,
            law: NoiseLaw::Uniform,
        },
        Inputs::Noise {
            seed: Seed(0),
            index: 0,
            features: FEATURES,
            law: NoiseLaw::Gaussian,
        },
        Inputs::Dense {
            values: &values,
            features: FEATURES,
        },
    ];
    let order = Seed(0).stream("test/order", 0).permutation(ROWS as u32);
    let labels = [3; ROWS];
    let mut teacher = vec![0.5; ROWS * 13];
    let mut gradients: Vec<Vec<f32>> = models
        .iter()
        .map(|model| vec![0.0; model.weights().values.len()])
        .collect();
    let classes = Loss::new(LossKind::CrossEntropy, 0..10);
    let auxiliary = [
        Loss::new(LossKind::Kl, 10..13),
        Loss::new(LossKind::Mse, 0..13),
    ];
    let sets = [
        InstructionSet::Portable,
        InstructionSet::Avx2,
        InstructionSet::Avx512,
        InstructionSet::EmulatedBf16,
        InstructionSet::Avx512Bf16,
    ];
    let mut round = |trainer: &mut Trainer, n_rows: usize| {
        for inputs in &sources {
            trainer.load(inputs, &order[..n_rows]);
            for (model, gradient) in models.iter_mut().zip(&mut gradients) {
                trainer.step(model, Target::Labels(&labels[..n_rows]), &classes);
                trainer.logits(model, &mut teacher[..n_rows * 13]);
                for loss in &auxiliary {
                    let target = Target::Logits {
                        values: &teacher[..n_rows * 13],
                        width: 13,
                    };
                    trainer.step(model, target, loss);
                    trainer.gradient(model, target, loss, gradient);
                    trainer.apply(model, gradient);
                }
                trainer.count_correct(model, 10, &labels[..n_rows]);
            }
        }
    };
    for set in sets.into_iter().filter(|set| set.is_available()) {
        let mut trainer = Trainer::with_instructions(set).expect("the set is available");
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        round(&mut trainer, ROWS);
        let warm = ALLOCATIONS.load(Ordering::Relaxed);
        assert!(warm > before, "the counter counts");
        // The last batch of an epoch is smaller; the next one is full again.
        for n_rows in [ROWS, 7, ROWS, ROWS] {
            round(&mut trainer, n_rows);
        }
        let after = ALLOCATIONS.load(Ordering::Relaxed);
        assert_eq!(after - warm, 0, "{set:?}");
    }
}
