//! Losses, gradients and optimiser steps of tiny models are those of transformers, peft and PyTorch.

use undertone_lm::checkpoint::Checkpoint;
use undertone_lm::examples::{SoftLabels, TrainingRow};
use undertone_lm::lora::{LoraConfig, LoraPair, LoraWeights};
use undertone_lm::loss::{BaseKl, Objective};
use undertone_lm::model::{LoadOptions, Model};
use undertone_lm::optimiser::Optimiser;
use undertone_lm::schedule::{Decay, Schedule};
use undertone_lm::train::{TrainSettings, Trainer};
use undertone_simd::Precision;

use crate::support::{Values, assert_close, open};

/// Those with a `golden-train.safetensors`.
const TRAINED: [&str; 5] = ["tiny-llama", "tiny-llama3", "tiny-qwen2", "tiny-qwen3", "tiny-gemma3"];
/// Relative to the largest value; f32 against f64.
const F32: f64 = 1e-4;
const BYTES_KEPT: usize = 1 << 30;

fn values(name: &str) -> Values {
    Values::of(name, "golden-train.safetensors")
}

fn rows(values: &Values) -> Vec<TrainingRow> {
    let row = |index| {
        let field = |field: &str| format!("rows/{index}/{field}");
        let soft = SoftLabels {
            k: values.shape(&field("ids"))[1],
            ids: values.integers(&field("ids")),
            log_probabilities: values.numbers(&field("log_probabilities")),
        };
        let prompt = values.integers(&field("prompt"));
        let completion = values.integers(&field("completion"));
        TrainingRow::new(&prompt, &completion, Some(soft)).expect("a sound row")
    };
    (0..3).map(row).collect()
}

fn model(name: &str) -> Model {
    let options = LoadOptions::training(Precision::F32);
    Model::load(&open(name), options).expect("finite weights")
}

/// The names of a pair's two matrices, and where their values are.
fn matrices(pair: &LoraPair) -> [(String, std::ops::Range<usize>); 2] {
    let name = |side| format!("{}/{}/{side}", pair.layer, pair.projection.name());
    [(name("a"), pair.a.clone()), (name("b"), pair.b.clone())]
}

/// The adapter that every case starts with.
fn adapter(name: &str, values: &Values) -> LoraWeights {
    let config = LoraConfig::all_projections(4, 8.0);
    let mut weights = LoraWeights::zeros(config, open(name).config()).expect("a sound shape");
    for pair in weights.pairs().to_vec() {
        for (matrix, place) in matrices(&pair) {
            let drawn = values.numbers(&format!("lora/{matrix}"));
            weights.values_mut()[place].copy_from_slice(&drawn);
        }
    }
    weights
}

/// SGD at rate 1 without limit: a step's change of a weight is its gradient.
fn one_step(objective: Objective, base_kl: Option<BaseKl>) -> TrainSettings {
    TrainSettings {
        objective,
        base_kl,
        optimiser: Optimiser::Sgd { learning_rate: 1.0, momentum: 0.0 },
        schedule: Schedule { decay: Decay::Constant, warmup_steps: 0 },
        steps: 1,
        clip: None,
    }
}

fn change(before: &[f32], after: &[f32]) -> Vec<f64> {
    let pairs = before.iter().zip(after);
    pairs.map(|(before, after)| f64::from(*before) - f64::from(*after)).collect()
}

#[test]
fn losses_and_gradients_of_adapters_are_those_of_peft() {
    let base_kl = BaseKl { first: 0.7, last: 0.7, steps: 0 };
    let cases = [
        ("cross-entropy", Objective::CrossEntropy, None),
        ("forward-kl", Objective::ForwardKl, None),
        ("reverse-kl", Objective::ReverseKl, None),
        ("base-kl", Objective::CrossEntropy, Some(base_kl)),
    ];
    for name in TRAINED {
        let values = values(name);
        let (rows, before) = (rows(&values), adapter(name, &values));
        let rows: Vec<&TrainingRow> = rows.iter().collect();
        for (case, objective, base_kl) in cases {
            let settings = one_step(objective, base_kl);
            let mut trainer =
                Trainer::adapter(model(name), before.clone(), settings, 2, BYTES_KEPT).expect("it fits");
            let report = trainer.step(&rows, None, None).expect("it steps");
            let what = format!("{name}, {case}");
            assert_close(&what, &[report.loss], &values.numbers(&format!("{case}/loss")), F32);
            let after = trainer.adapter_weights().expect("an adapter is trained");
            let stored = values.names();
            let mut compared = 0;
            for (matrix, place) in before.pairs().iter().flat_map(matrices) {
                let key = format!("{case}/{matrix}");
                if stored.contains(&key) {
                    let found = change(&before.values()[place.clone()], &after.values()[place]);
                    assert_close(&format!("{name}, {key}"), &found, &values.numbers(&key), F32);
                    compared += 1;
                }
            }
            assert!(compared >= 14, "{what}: {compared} matrices");
        }
    }
}

#[test]
fn gradients_of_every_weight_are_those_of_transformers() {
    for name in TRAINED {
        let (values, folder) = (values(name), open(name));
        let rows = rows(&values);
        let rows: Vec<&TrainingRow> = rows.iter().collect();
        let settings = one_step(Objective::CrossEntropy, None);
        let mut trainer =
            Trainer::full(model(name), &folder, settings, 2, BYTES_KEPT).expect("it fits");
        let report = trainer.step(&rows, None, None).expect("it steps");
        assert_close(name, &[report.loss], &values.numbers("full/loss"), F32);
        let mut compared = 0;
        for (tensor, after) in trainer.full_weights().expect("all are trained").tensors() {
            let before = folder.read(*tensor).expect("finite weights");
            let key = format!("full/{}", folder.file_name_of(*tensor));
            let expected = values.numbers(&key);
            assert_close(&format!("{name}, {key}"), &change(&before, after), &expected, F32);
            compared += 1;
        }
        let stored = values.names().into_iter().filter(|key| key.starts_with("full/"));
        assert_eq!(stored.count(), compared + 1, "{name}: every gradient, and the loss");
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
    let sgd = Optimiser::Sgd { learning_rate: 0.05, momentum: 0.9 };
    for name in TRAINED {
        let values = values(name);
        let rows = rows(&values);
        let rows: Vec<&TrainingRow> = rows.iter().collect();
        for (case, optimiser) in [("adamw", adamw), ("sgd", sgd)] {
            let settings = TrainSettings {
                optimiser,
                schedule: Schedule { decay: Decay::Linear, warmup_steps: 2 },
                steps: 5,
                clip: Some(1.0),
                ..one_step(Objective::CrossEntropy, None)
            };
            let weights = adapter(name, &values);
            let mut trainer =
                Trainer::adapter(model(name), weights, settings, 2, BYTES_KEPT).expect("it fits");
            let (mut losses, mut norms) = (Vec::new(), Vec::new());
            for _ in 0..5 {
                let report = trainer.step(&rows, None, None).expect("it steps");
                losses.push(report.loss);
                norms.push(report.gradient_norm);
            }
            let what = |kind| format!("{name}, {case}/{kind}");
            assert_close(&what("losses"), &losses, &values.numbers(&format!("{case}/losses")), F32);
            assert_close(&what("norms"), &norms, &values.numbers(&format!("{case}/norms")), F32);
            let after = trainer.adapter_weights().expect("an adapter is trained");
            for (matrix, place) in after.pairs().iter().flat_map(matrices) {
                let found: Vec<f64> =
                    after.values()[place].iter().copied().map(f64::from).collect();
                let expected = values.numbers(&format!("{case}/{matrix}"));
                assert_close(&what(matrix.as_str()), &found, &expected, F32);
            }
        }
    }
}
