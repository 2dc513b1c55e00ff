//! A network's parameters as plain numbers, in the canonical order, and how they are first drawn.

use undertone_core::Stream;

use super::architecture::Architecture;

/// The parameters of one network.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// The shape.
    pub architecture: Architecture,
    /// All parameters in the order of [`Architecture::layers`].
    pub values: Vec<f32>,
}

impl Weights {
    /// Draws initial parameters: weights from N(0, gain² / fan-in), biases 0; the published gain is 1.
    ///
    /// Draws go in canonical order, in `f64`, rounded once.
    ///
    /// # Source
    /// The published script (arXiv 2507.14805, section 6.2).
    pub fn initial(architecture: &Architecture, gain: f64, stream: &mut Stream) -> Self {
        let mut values = vec![0.0; architecture.n_parameters()];
        for layer in architecture.layers() {
            let sd = gain / (layer.inputs as f64).sqrt();
            for value in &mut values[layer.weights_at..][..layer.inputs * layer.outputs] {
                *value = (stream.normal() * sd) as f32;
            }
        }
        Self {
            architecture: architecture.clone(),
            values,
        }
    }

    /// Adds noise from N(0, sigma² / fan-in) to every weight (biases, which start at 0, stay): `sigma` is in units of the
    /// initialisation's own standard deviation.
    pub fn perturb(&mut self, sigma: f64, stream: &mut Stream) {
        for layer in self.architecture.layers() {
            let sd = sigma / (layer.inputs as f64).sqrt();
            for value in &mut self.values[layer.weights_at..][..layer.inputs * layer.outputs] {
                *value += (stream.normal() * sd) as f32;
            }
        }
    }
}
