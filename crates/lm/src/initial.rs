//! Decides what the weights of a model are before its first training step.
//!
//! Drawn on the host, one named stream a tensor, so that a seed means the same weights on every machine and a further
//! block moves no other draw. Knows no training and no files.

use undertone_core::Seed;

use crate::config::{ConfigError, ModelConfig, Part, Tensor};
use crate::train::FullWeights;

/// The purpose of the streams; the index is the tensor's place in [`ModelConfig::tensors`].
const PURPOSE: &str = "lm/initial-weights";

/// Draws the weights of a new model from `seed`.
///
/// Norms are 1, biases 0. Matrices are normal around 0, with the standard deviation `1 / sqrt(columns)`; those that write
/// to the residual stream (attention's output, the feed-forward block's last matrix) are divided by `sqrt(2 layers)` as
/// well, so that the stream's size does not grow with depth.
///
/// # Errors
/// [`ConfigError`] if there is no such model.
pub fn initial_weights(config: &ModelConfig, seed: Seed) -> Result<FullWeights, ConfigError> {
    config.check()?;
    let indices: std::collections::BTreeMap<Tensor, u64> =
        config.tensors().into_iter().zip(0..).collect();
    Ok(FullWeights::made(config.clone(), |tensor, values| {
        if let Some(value) = constant(tensor) {
            values.fill(value);
            return;
        }
        let deviation = deviation(config, tensor);
        let mut stream = seed.stream(PURPOSE, indices[&tensor]);
        for value in values {
            *value = (deviation * stream.normal()) as f32;
        }
    }))
}

/// Returns the one value of a vector.
fn constant(tensor: Tensor) -> Option<f32> {
    let is_bias = matches!(
        tensor,
        Tensor::Layer(_, Part::QueryBias | Part::KeyBias | Part::ValueBias)
    );
    match (tensor.is_vector(), is_bias) {
        (false, _) => None,
        (true, true) => Some(0.0),
        (true, false) => Some(1.0),
    }
}

/// Returns the standard deviation of a matrix.
fn deviation(config: &ModelConfig, tensor: Tensor) -> f64 {
    let (_, columns) = config.shape(tensor);
    let usual = 1.0 / (columns as f64).sqrt();
    match tensor {
        Tensor::Layer(_, Part::Output | Part::Down) => usual / (2.0 * config.layers as f64).sqrt(),
        _ => usual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{every_family, tiny};

    #[test]
    fn a_seed_names_weights_and_every_tensor_has_its_own() {
        let draw = |seed| initial_weights(&tiny(), Seed(seed)).expect("a model");
        let (one, again, other) = (draw(1), draw(1), draw(2));
        assert_eq!(one.tensors(), again.tensors());
        let matrices = |weights: &FullWeights| -> Vec<Vec<f32>> {
            let all = weights.tensors().iter();
            all.filter(|(tensor, _)| !tensor.is_vector())
                .map(|(_, values)| values.clone())
                .collect()
        };
        let (a, b) = (matrices(&one), matrices(&other));
        assert!(a.iter().zip(&b).all(|(a, b)| a[0] != b[0]));
        let firsts: std::collections::BTreeSet<u32> = a.iter().map(|m| m[0].to_bits()).collect();
        assert_eq!(firsts.len(), a.len());
    }

    #[test]
    fn matrices_have_the_documented_spread_and_vectors_one_value() {
        let config = ModelConfig {
            width: 64,
            ffn_width: 256,
            vocabulary: 500,
            ..tiny()
        };
        let weights = initial_weights(&config, Seed(3)).expect("a model");
        for (tensor, values) in weights.tensors() {
            if tensor.is_vector() {
                assert!(values.iter().all(|value| *value == 1.0), "{tensor:?}");
                continue;
            }
            let squares: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
            let found = (squares / values.len() as f64).sqrt();
            let (_, columns) = config.shape(*tensor);
            let down = matches!(tensor, Tensor::Layer(_, Part::Output | Part::Down));
            let expected = (columns as f64).sqrt().recip() / if down { 2.0 } else { 1.0 };
            // Relative, five standard errors of the smallest matrix.
            let tolerance = 5.0 / (2.0 * values.len() as f64).sqrt();
            assert!(
                (found / expected - 1.0).abs() < tolerance,
                "{tensor:?} {found}"
            );
        }
    }

    #[test]
    fn every_family_gets_weights_and_no_impossible_model_does() {
        for config in every_family() {
            let weights = initial_weights(&config, Seed(0)).expect("a model");
            assert_eq!(weights.len() as u64, config.parameters());
        }
        let odd = ModelConfig {
            head_width: 3,
            ..tiny()
        };
        assert!(initial_weights(&odd, Seed(0)).is_err());
    }
}
