//! The reference's losses are PyTorch's, and the slopes of its losses are PyTorch's gradients: of every kind of parameter,
//! in every family, for every loss.

use undertone_lm::Checkpoint;
use undertone_lm::reference::{Parameter, ReferenceModel, mean_loss, slope};

use crate::support::{CASES, Case, Training, key};

/// Relative, for losses: stored as `f32`.
const LOSS: f64 = 1e-7;
/// Absolute, for slopes beside the rounding of the stored gradient: see `slope`.
const DIFFERENCE: f64 = 1e-10;
const ROUNDED: f64 = 1e-7;

fn loss(training: &Training, case: Case, base: &ReferenceModel, model: &ReferenceModel) -> f64 {
    let to_base = training.base_kl(case).map(|weight| (base, weight));
    mean_loss(model, &training.rows, case.objective, to_base)
}

#[track_caller]
fn check_loss(what: &str, found: f64, expected: &[f32]) {
    let expected = f64::from(expected[0]);
    assert!(
        (found / expected - 1.0).abs() < LOSS,
        "{what}: {found} for {expected}"
    );
}

/// Checks the largest value of a gradient.
#[track_caller]
fn check_slope(
    what: &str,
    model: &mut ReferenceModel,
    parameter: Parameter,
    expected: &[f32],
    loss: impl Fn(&ReferenceModel) -> f64,
) {
    assert_eq!(model.values(parameter).len(), expected.len(), "{what}");
    let sizes = expected.iter().map(|value| value.abs()).enumerate();
    let (index, _) = sizes
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .expect("every parameter has values");
    let found = slope(model, parameter, index, loss);
    let expected = f64::from(expected[index]);
    assert!(
        (found - expected).abs() <= DIFFERENCE + ROUNDED * expected.abs(),
        "{what}, value {index}: {found} for {expected}"
    );
}

#[track_caller]
fn check(name: &str) {
    let training = Training::of(name);
    let base = ReferenceModel::from_checkpoint(&training.folder).expect("finite weights");
    let mut adapted = base.clone().with_adapter(&training.adapter);
    for case in CASES {
        let what = format!("{name}, {}", case.name);
        let expected = training.values.numbers(&format!("{}/loss", case.name));
        check_loss(&what, loss(&training, case, &base, &adapted), &expected);
        for pair in training.adapter.pairs() {
            let (layer, projection) = (pair.layer, pair.projection);
            for (side, parameter) in [
                ("a", Parameter::LoraA(layer, projection)),
                ("b", Parameter::LoraB(layer, projection)),
            ] {
                // The file has block 0 alone for most losses.
                let key = key(case.name, pair, side);
                if training.values.has(&key) {
                    let expected = training.values.numbers(&key);
                    check_slope(&key, &mut adapted, parameter, &expected, |model| {
                        loss(&training, case, &base, model)
                    });
                }
            }
        }
    }
    let mut full = base.clone();
    let cross_entropy = CASES[0];
    let found = loss(&training, cross_entropy, &base, &full);
    check_loss(name, found, &training.values.numbers("full/loss"));
    for tensor in training.folder.config().tensors() {
        let what = format!("{name}, {tensor:?}");
        let expected = training.full_gradient(tensor);
        let parameter = Parameter::Weight(tensor);
        check_slope(&what, &mut full, parameter, &expected, |model| {
            loss(&training, cross_entropy, &base, model)
        });
    }
}

#[test]
fn of_llama_are_pytorchs() {
    check("tiny-llama");
}

#[test]
fn of_llama_with_scaled_rope_are_pytorchs() {
    check("tiny-llama3");
}

#[test]
fn of_qwen2_are_pytorchs() {
    check("tiny-qwen2");
}

#[test]
fn of_qwen3_are_pytorchs() {
    check("tiny-qwen3");
}

#[test]
fn of_gemma3_are_pytorchs() {
    check("tiny-gemma3");
}
