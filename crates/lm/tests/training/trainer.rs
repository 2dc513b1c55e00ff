//! What the trainer does is what transformers, peft and PyTorch do: losses, gradients, optimiser steps.

use std::ops::Range;

use undertone_lm::Checkpoint;
use undertone_lm::examples::TrainingRow;
use undertone_lm::lora::LoraWeights;
use undertone_lm::loss::{BaseKl, Objective};
use undertone_lm::model::{LoadOptions, Model};
use undertone_lm::optimiser::Optimiser;
use undertone_lm::schedule::{Decay, Schedule};
use undertone_lm::train::{TrainSettings, Trainer};
use undertone_simd::Precision;

use crate::support::{CASES, Training, assert_close, key};

/// Those with a `golden-train.safetensors`.
const TRAINED: [&str; 5] = [
    "tiny-llama",
    "tiny-llama3",
    "tiny-qwen2",
    "tiny-qwen3",
    "tiny-gemma3",
];
/// Relative to the largest value; f32 against f64.
const F32: f64 = 1e-4;
const KEPT_BYTES: usize = 1 << 30;

/// SGD at rate 1 without limit: a step's change of a weight is its gradient.
fn one_step(objective: Objective, base_kl: Option<BaseKl>) -> TrainSettings {
    TrainSettings {
        objective,
        base_kl,
        optimiser: Optimiser::Sgd {
            learning_rate: 1.0,
            momentum: 0.0,
        },
        schedule: Schedule {
            decay: Decay::Constant,
            warmup_steps: 0,
        },
        steps: 1,
        clip: None,
    }
}

fn model(training: &Training) -> Model {
    let options = LoadOptions::training(Precision::F32);
    Model::load(&training.folder, options).expect("finite weights")
}

fn trainer(training: &Training, settings: TrainSettings) -> Trainer {
    let adapter = training.adapter.clone();
    Trainer::adapter(model(training), adapter, settings, 2, KEPT_BYTES).expect("it fits")
}

fn rows(training: &Training) -> Vec<&TrainingRow> {
    training.rows.iter().collect()
}

/// The names of all matrices under `prefix`, and where their values are.
fn matrices(adapter: &LoraWeights, prefix: &str) -> Vec<(String, Range<usize>)> {
    let of_pair = |pair| {
        let name = |side| key(prefix, pair, side);
        [(name("a"), pair.a.clone()), (name("b"), pair.b.clone())]
    };
    adapter.pairs().iter().flat_map(of_pair).collect()
}

fn change(before: &[f32], after: &[f32]) -> Vec<f64> {
    let pairs = before.iter().zip(after);
    pairs
        .map(|(before, after)| f64::from(*before) - f64::from(*after))
        .collect()
}

#[test]
fn losses_and_gradients_of_adapters_are_those_of_peft() {
    for name in TRAINED {
        let training = Training::of(name);
        for case in CASES {
            let base_kl = training.base_kl(case).map(|weight| BaseKl {
                first: weight,
                last: weight,
                steps: 0,
            });
            let mut trainer = trainer(&training, one_step(case.objective, base_kl));
            let report = trainer.step(&rows(&training), None, None);
            let loss = report.expect("it steps").loss;
            let expected = training.values.numbers(&format!("{}/loss", case.name));
            assert_close(name, &[loss], &expected, F32);
            let (before, after) = (&training.adapter, trainer.adapter_weights());
            let after = after.expect("an adapter is trained").values();
            let mut compared = 0;
            for (key, place) in matrices(before, case.name) {
                if training.values.has(&key) {
                    let found = change(&before.values()[place.clone()], &after[place]);
                    let expected = training.values.numbers(&key);
                    assert_close(&format!("{name}, {key}"), &found, &expected, F32);
                    compared += 1;
                }
            }
            assert!(compared >= 14, "{name}, {}: {compared}", case.name);
        }
    }
}

#[test]
fn gradients_of_every_weight_are_those_of_transformers() {
    for name in TRAINED {
        let training = Training::of(name);
        let settings = one_step(Objective::CrossEntropy, None);
        let mut trainer =
            Trainer::full(model(&training), &training.folder, settings, 2, KEPT_BYTES)
                .expect("it fits");
        let report = trainer.step(&rows(&training), None, None);
        let expected = training.values.numbers("full/loss");
        assert_close(name, &[report.expect("it steps").loss], &expected, F32);
        let after = trainer.full_weights().expect("all are trained").tensors();
        for (tensor, after) in after {
            let before = training.folder.read(*tensor).expect("finite weights");
            let expected = training.full_gradient(*tensor);
            let what = format!("{name}, {tensor:?}");
            assert_close(&what, &change(&before, after), &expected, F32);
        }
        let names = training.values.names().into_iter();
        let stored = names.filter(|key| key.starts_with("full/")).count();
        assert_eq!(stored, after.len() + 1, "{name}: every weight and the loss");
    }
}

#[test]
fn optimiser_steps_are_those_of_pytorch() {
    let adamw = Optimiser::AdamW {
        learning_rate: 1e-2,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        weight_decay: 0.1,
    };
    let sgd = Optimiser::Sgd {
        learning_rate: 0.05,
        momentum: 0.9,
    };
    for name in TRAINED {
        let training = Training::of(name);
        for (case, optimiser) in [("adamw", adamw), ("sgd", sgd)] {
            let settings = TrainSettings {
                optimiser,
                schedule: Schedule {
                    decay: Decay::Linear,
                    warmup_steps: 2,
                },
                steps: 5,
                clip: Some(1.0),
                ..one_step(Objective::CrossEntropy, None)
            };
            let mut trainer = trainer(&training, settings);
            let (mut losses, mut norms) = (Vec::new(), Vec::new());
            for _ in 0..5 {
                let report = trainer.step(&rows(&training), None, None);
                let report = report.expect("it steps");
                losses.push(report.loss);
                norms.push(report.gradient_norm);
            }
            let check = |key: &str, found: &[f64]| {
                let expected = training.values.numbers(key);
                assert_close(&format!("{name}, {key}"), found, &expected, F32);
            };
            check(&format!("{case}/losses"), &losses);
            check(&format!("{case}/norms"), &norms);
            let after = trainer.adapter_weights().expect("an adapter is trained");
            for (key, place) in matrices(after, case) {
                let values = after.values()[place].iter().copied();
                check(&key, &values.map(f64::from).collect::<Vec<f64>>());
            }
        }
    }
}
