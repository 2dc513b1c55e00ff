//! The reference against itself: invariances that its formulas must have.
//!
//! That the formulas are the right ones is `tests/training`: values that transformers computed.

use undertone_core::Seed;

use super::block::gate;
use super::*;
use crate::checkpoint::{Checkpoint, ReadTensorError};
use crate::config::{GateActivation, LayerAttention, Part, Rope, RopeScaling, Tensor};
use crate::examples::{SoftLabels, TrainingRow};
use crate::fixture::{Memory, every_family, tiny};
use crate::lora::{LoraConfig, LoraWeights, Projection};
use crate::loss::Objective;

const TOKENS: [u32; 7] = [3, 1, 18, 4, 4, 11, 0];

fn model(index: usize) -> ReferenceModel {
    let config = every_family()[index].clone();
    ReferenceModel::from_checkpoint(&Memory::random(config, 7)).expect("finite weights")
}

/// Absolute: sums of a few dozen f64 products of order 1.
#[track_caller]
fn assert_close(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 1e-12, "{a} for {b}");
    }
}

#[test]
fn no_token_sees_a_later_one() {
    for index in 0..4 {
        let model = model(index);
        let whole = model.logits(&TOKENS);
        for n in 1..TOKENS.len() {
            assert_eq!(model.logits(&TOKENS[..n]), whole[..n]);
        }
    }
}

#[test]
fn attention_depends_on_distances_alone() {
    // The same token throughout: values are equal, so every mix is that value, wherever the token stands.
    let model = model(0);
    let logits = model.logits(&[5; 6]);
    for row in &logits {
        assert_close(row, &logits[0]);
    }
}

#[test]
fn a_local_layer_forgets_what_is_outside_its_window() {
    let mut config = every_family()[3].clone();
    config.attention = vec![LayerAttention::Local { window: 3 }; 2];
    let model =
        ReferenceModel::from_checkpoint(&Memory::random(config, 7)).expect("finite weights");
    let changed = |at: usize| {
        let mut tokens = TOKENS;
        tokens[at] = 9;
        model.logits(&tokens)[6] != model.logits(&TOKENS)[6]
    };
    // Two layers that look back two tokens each: tokens 2 to 6.
    let seen: Vec<bool> = (0..7).map(changed).collect();
    assert_eq!(seen, [false, false, true, true, true, true, true]);
}

#[test]
fn hidden_states_run_from_embeddings_to_the_last_block() {
    let model = model(3);
    let embedding = model.values(Parameter::Weight(Tensor::Embedding));
    let expected: Vec<f64> = embedding[3 * 12..4 * 12]
        .iter()
        .map(|value| value * 12f64.sqrt())
        .collect();
    assert_eq!(model.hidden(&TOKENS, 0)[0], expected);
    assert_ne!(model.hidden(&TOKENS, 1), model.hidden(&TOKENS, 2));
}

#[test]
fn every_parameter_of_every_family_matters() {
    let row = TrainingRow::new(&TOKENS[..3], &TOKENS[3..], None).expect("both are there");
    for index in 0..4 {
        let config = LoraConfig::all_projections(2, 4.0);
        let mut adapter =
            LoraWeights::initial(config, model(index).config(), Seed(1)).expect("a sound shape");
        let mut stream = Seed(2).stream("test/b", 0);
        for value in adapter.values_mut() {
            *value += 0.1 * stream.normal() as f32;
        }
        let mut model = model(index).with_adapter(&adapter);
        let names: Vec<Parameter> = model.parameters().collect();
        for parameter in names {
            // The embedding's row of a token that occurs; elsewhere the first value.
            let place = match parameter {
                Parameter::Weight(Tensor::Embedding) => 4 * 12,
                _ => 0,
            };
            let slope = slope(&mut model, parameter, place, |model| {
                mean_loss(
                    model,
                    std::slice::from_ref(&row),
                    Objective::CrossEntropy,
                    None,
                )
            });
            // A key's bias adds the same to every score of a query, which no softmax sees, but for the turning.
            assert!(slope.abs() > 1e-9, "family {index}, {parameter:?}: {slope}");
        }
    }
}

#[test]
fn a_slope_leaves_the_model_as_it_was_and_is_exact_for_a_cubic() {
    let mut model = model(0);
    let parameter = Parameter::Weight(Tensor::FinalNorm);
    let before = model.values(parameter).to_vec();
    let x = before[2];
    let found = slope(&mut model, parameter, 2, |model| {
        model.values(parameter)[2].powi(3)
    });
    assert!((found - 3.0 * x * x).abs() < 1e-11);
    assert_eq!(model.values(parameter), before);
}

#[test]
fn an_adapter_is_a_change_of_the_weights() {
    let config = LoraConfig {
        targets: [Projection::Value, Projection::Down].into(),
        ..LoraConfig::all_projections(3, 1.5)
    };
    let plain = model(1);
    let mut adapter = LoraWeights::initial(config, plain.config(), Seed(3)).expect("a sound shape");
    assert_eq!(
        plain.clone().with_adapter(&adapter).logits(&TOKENS),
        plain.logits(&TOKENS)
    );
    let mut stream = Seed(2).stream("test/b", 0);
    adapter
        .values_mut()
        .fill_with(|| 0.3 * stream.normal() as f32);
    let mut merged = plain.clone();
    for pair in adapter.pairs() {
        let tensor = Tensor::Layer(pair.layer, pair.projection.part());
        let weights = merged.values_mut(Parameter::Weight(tensor));
        for output in 0..pair.outputs {
            for input in 0..pair.inputs {
                let change: f64 = (0..3)
                    .map(|r| {
                        f64::from(adapter.b(pair)[output * 3 + r])
                            * f64::from(adapter.a(pair)[r * pair.inputs + input])
                    })
                    .sum();
                weights[output * pair.inputs + input] += 0.5 * change;
            }
        }
    }
    let adapted = plain.clone().with_adapter(&adapter).logits(&TOKENS);
    assert_ne!(adapted, plain.logits(&TOKENS));
    for (adapted, merged) in adapted.iter().zip(merged.logits(&TOKENS)) {
        assert_close(adapted, &merged);
    }
}

#[test]
fn the_loss_is_a_mean_over_tokens_not_over_rows() {
    let model = model(0);
    let rows = [
        TrainingRow::new(&[1, 2], &[3], None).expect("both are there"),
        TrainingRow::new(&[4], &[5, 6, 7], None).expect("both are there"),
    ];
    let loss = |rows: &[TrainingRow]| mean_loss(&model, rows, Objective::CrossEntropy, None);
    let expected = (loss(&rows[..1]) + 3.0 * loss(&rows[1..])) / 4.0;
    assert_close(&[loss(&rows)], &[expected]);
}

#[test]
fn the_base_pulls_with_its_weight_and_soft_labels_replace_tokens() {
    let (student, base) = (model(0), {
        let mut base = model(0);
        base.values_mut(Parameter::Weight(Tensor::FinalNorm))[0] += 1.0;
        base
    });
    let soft = SoftLabels {
        k: 1,
        ids: vec![5],
        log_probabilities: vec![-0.25],
    };
    let rows = [TrainingRow::new(&[1, 2], &[3], Some(soft)).expect("fits")];
    let other = [TrainingRow::new(&[1, 2], &[5], None).expect("fits")];
    let loss = |objective, base| mean_loss(&student, &rows, objective, base);
    let hard = loss(Objective::CrossEntropy, None);
    assert_close(
        &[loss(Objective::ForwardKl, None)],
        &[mean_loss(&student, &other, Objective::CrossEntropy, None)],
    );
    let pull = |weight| loss(Objective::CrossEntropy, Some((&base, weight))) - hard;
    assert!(pull(1.0) > 1e-3);
    assert_close(&[pull(0.5)], &[0.5 * pull(1.0)]);
}

#[test]
fn gates_are_the_textbooks() {
    // Values of scipy: x * expit(x), and the tanh form of GELU.
    let silu = gate(GateActivation::Silu, 1.5);
    let gelu = gate(GateActivation::GeluTanh, 1.5);
    assert_close(
        &[silu, gelu],
        &[1.5 / (1.0 + (-1.5f64).exp()), 1.399_571_576_980_232_8],
    );
}

#[test]
fn llama3_scaling_keeps_high_and_divides_low_frequencies() {
    let plain = Rope {
        theta: 500_000.0,
        scaling: RopeScaling::None,
    };
    let scaled = Rope {
        scaling: RopeScaling::Llama3 {
            factor: 32.0,
            low_frequency_factor: 1.0,
            high_frequency_factor: 4.0,
            original_context: 8192,
        },
        ..plain.clone()
    };
    let ratio = |pair| rope_frequency(&scaled, 64, pair) / rope_frequency(&plain, 64, pair);
    assert_eq!(ratio(0), 1.0);
    assert_close(&[ratio(31)], &[1.0 / 32.0]);
    assert!((0..32).any(|pair| ratio(pair) < 0.99 && ratio(pair) > 0.04));
    let factors = (0..32).map(|pair| (1.0 / ratio(pair)) as f32).collect();
    let by_factors = Rope {
        scaling: RopeScaling::Factors { factors },
        ..plain.clone()
    };
    for pair in 0..32 {
        // Relative: the factors are f32.
        let both = rope_frequency(&by_factors, 64, pair) / rope_frequency(&scaled, 64, pair);
        assert!((both - 1.0).abs() < 1e-7, "{pair}: {both}");
    }
}

#[test]
fn a_weight_that_is_no_number_is_named() {
    let mut memory = Memory::random(tiny(), 1);
    memory.set(Tensor::Layer(1, Part::Up), 5, f32::NAN);
    let error = ReferenceModel::from_checkpoint(&memory).err();
    assert_eq!(
        error,
        Some(ReadTensorError {
            file: None,
            tensor: memory.file_name_of(Tensor::Layer(1, Part::Up)),
            index: 5
        })
    );
}
