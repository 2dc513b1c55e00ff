//! Weights as safetensors, so that any tool of the field can open an artefact.
//!
//! Tensors are `layers.<n>.weight` `[outputs, inputs]` and `layers.<n>.bias` `[outputs]`, f32.

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use undertone_mlp::{Activation, Architecture, Biases, Weights};

/// Stored weights that are not those of the network they should be.
#[derive(Debug, thiserror::Error)]
#[error("stored weights do not fit the network {architecture}")]
pub struct WeightsFileError {
    /// The expected network.
    pub architecture: Architecture,
    /// What is wrong.
    #[source]
    pub kind: WeightsFileErrorKind,
}

/// What can be wrong with a weights file.
#[derive(Debug, thiserror::Error)]
pub enum WeightsFileErrorKind {
    /// It is no safetensors file, or lacks a tensor.
    #[error(transparent)]
    Format(#[from] safetensors::SafeTensorError),
    /// A tensor has another shape or type.
    #[error("tensor `{name}` has shape {got:?}, expected {expected:?} in f32")]
    Shape {
        /// Its name.
        name: String,
        /// Its shape.
        got: Vec<usize>,
        /// What the network has.
        expected: Vec<usize>,
    },
}

/// The tensors of a network: name, shape, offset in canonical order.
fn tensors(architecture: &Architecture) -> Vec<(String, Vec<usize>, usize)> {
    let mut tensors = Vec::new();
    for (n, layer) in architecture.layers().into_iter().enumerate() {
        tensors.push((
            format!("layers.{n}.weight"),
            vec![layer.outputs, layer.inputs],
            layer.weights_at,
        ));
        if let Some(at) = layer.biases_at {
            tensors.push((format!("layers.{n}.bias"), vec![layer.outputs], at));
        }
    }
    tensors
}

/// Returns the file of `weights`; equal weights give equal bytes.
pub fn encode(weights: &Weights) -> Vec<u8> {
    let parts: Vec<(String, Vec<usize>, Vec<u8>)> = tensors(&weights.architecture)
        .into_iter()
        .map(|(name, shape, at)| {
            let values = &weights.values[at..][..shape.iter().product()];
            (
                name,
                shape,
                values
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect(),
            )
        })
        .collect();
    let views = parts.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes)
            .expect("bytes were made from the shape");
        (name.as_str(), view)
    });
    safetensors::serialize(views, None).expect("names and shapes are plain")
}

/// Reads the weights of a network of the given shape.
///
/// # Errors
/// If the file is damaged or holds another network.
pub fn decode(architecture: &Architecture, bytes: &[u8]) -> Result<Weights, WeightsFileError> {
    let fail = |kind| WeightsFileError {
        architecture: architecture.clone(),
        kind,
    };
    let file = SafeTensors::deserialize(bytes).map_err(|error| fail(error.into()))?;
    let tensors = tensors(architecture);
    for (name, expected, _) in &tensors {
        let tensor = file.tensor(name).map_err(|error| fail(error.into()))?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != expected {
            return Err(fail(WeightsFileErrorKind::Shape {
                name: name.clone(),
                got: tensor.shape().to_vec(),
                expected: expected.clone(),
            }));
        }
    }
    let mut values = vec![0.0; architecture.n_parameters()];
    for (name, _, at) in tensors {
        let tensor = file.tensor(&name).map_err(|error| fail(error.into()))?;
        for (value, bytes) in values[at..].iter_mut().zip(tensor.data().chunks_exact(4)) {
            *value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
    }
    Ok(Weights {
        architecture: architecture.clone(),
        values,
    })
}

/// Most layers of a network whose shape only its file knows.
const MAX_LAYERS: usize = 64;

/// Reads the weights of a network whose shape only its file knows; `None` if it holds anything but a network of ours: other
/// or further tensors, layers that do not fit each other, other numbers than f32.
///
/// The file does not say the activation.
pub fn decode_any(bytes: &[u8], activation: Activation) -> Option<Weights> {
    let file = SafeTensors::deserialize(bytes).ok()?;
    let mut widths: Vec<usize> = Vec::new();
    for n in 0..=MAX_LAYERS {
        let Ok(tensor) = file.tensor(&format!("layers.{n}.weight")) else {
            break;
        };
        let [outputs, inputs] = *tensor.shape() else {
            return None;
        };
        match widths.last() {
            None => widths.push(inputs),
            Some(before) if *before == inputs => {}
            Some(_) => return None,
        }
        widths.push(outputs);
    }
    let n_layers = widths.len().checked_sub(1)?;
    let ([inputs, hidden @ .., outputs], false) = (&widths[..], widths.contains(&0)) else {
        return None;
    };
    let biases = match file.names().len() {
        n if n == n_layers => Biases::Without,
        n if n == 2 * n_layers => Biases::With,
        _ => return None,
    };
    let architecture = Architecture {
        inputs: *inputs,
        hidden: hidden.to_vec(),
        outputs: *outputs,
        activation,
        biases,
    };
    // All of its tensors are there with their sizes: nothing is made that is longer than the file.
    decode(&architecture, bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use undertone_core::Seed;
    fn network(biases: Biases) -> Architecture {
        Architecture {
            inputs: 7,
            hidden: vec![5, 3],
            outputs: 12,
            activation: Activation::Relu,
            biases,
        }
    }

    #[test]
    fn weights_round_trip() -> Result<(), WeightsFileError> {
        for biases in [Biases::With, Biases::Without] {
            let weights = Weights::initial(&network(biases), 1.0, &mut Seed(1).stream("test", 0));
            let bytes = encode(&weights);
            assert_eq!(decode(&network(biases), &bytes)?, weights);
            assert_eq!(decode_any(&bytes, Activation::Relu), Some(weights));
        }
        Ok(())
    }

    #[test]
    fn what_is_no_network_of_ours_is_none() {
        let file = |tensors: &[(&str, &[usize])]| {
            let bytes = vec![0; 4096];
            let views = tensors.iter().map(|(name, shape)| {
                let n: usize = shape.iter().product();
                let view = TensorView::new(Dtype::F32, shape.to_vec(), &bytes[..4 * n]);
                (*name, view.expect("it fits"))
            });
            safetensors::serialize(views, None).expect("plain names")
        };
        let decode = |tensors: &[(&str, &[usize])]| decode_any(&file(tensors), Activation::Relu);
        let (first, second) = (
            ("layers.0.weight", &[3, 2][..]),
            ("layers.1.weight", &[4, 3][..]),
        );
        assert!(decode(&[first, second]).is_some());
        // Layers that do not fit, which together would be larger than the file.
        assert_eq!(
            decode(&[
                ("layers.0.weight", &[300, 1]),
                ("layers.1.weight", &[300, 1])
            ]),
            None
        );
        assert_eq!(decode(&[first, ("layers.2.weight", &[4, 3])]), None);
        assert_eq!(decode(&[first, second, ("layers.1.bias", &[4])]), None);
        assert_eq!(
            decode(&[first, second, ("layers.0.bias", &[3]), ("other", &[4])]),
            None
        );
        assert_eq!(decode(&[("layers.0.weight", &[3])]), None);
        assert_eq!(decode(&[("layers.0.weight", &[0, 3])]), None);
        assert_eq!(decode(&[]), None);
        assert_eq!(decode_any(b"no file", Activation::Relu), None);
    }

    #[test]
    fn refuses_another_network_and_any_truncation() {
        let weights = Weights::initial(
            &network(Biases::Without),
            1.0,
            &mut Seed(1).stream("test", 0),
        );
        let bytes = encode(&weights);
        assert!(decode(&network(Biases::With), &bytes).is_err());
        assert!(
            decode(
                &Architecture {
                    inputs: 8,
                    ..network(Biases::Without)
                },
                &bytes
            )
            .is_err()
        );
        for length in 0..bytes.len() {
            assert!(
                decode(&network(Biases::Without), &bytes[..length]).is_err(),
                "{length}"
            );
        }
    }
}
