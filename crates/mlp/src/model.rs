//! A network in training: its parameters in panels, with the optimiser's moments beside them.

use super::architecture::LayerShape;
use super::lane::{LANE, Lane, Panels};
use super::optimiser::Optimiser;
use super::weights::Weights;

/// One network and its optimiser's state.
#[derive(Debug, Clone)]
pub struct Model {
    pub(crate) weights: Weights,
    pub(crate) layers: Vec<Layer>,
    pub(crate) optimiser: Optimiser,
    pub(crate) steps: u32,
}

/// One layer in panels: weights `[N/16][K lanes]`, K padded to a multiple of 16.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub shape: LayerShape,
    pub weights: Panels,
    pub first: Panels,
    pub second: Panels,
    pub bias: Vec<Lane>,
    pub bias_first: Vec<Lane>,
    pub bias_second: Vec<Lane>,
}

impl Layer {
    /// Lanes of a weight panel.
    pub fn k_lanes(&self) -> usize {
        self.shape.inputs.next_multiple_of(LANE)
    }

    /// Number of weight panels.
    pub fn n_panels(&self) -> usize {
        self.shape.outputs.div_ceil(LANE)
    }
}

impl Model {
    /// Starts training from `weights` with a fresh optimiser.
    ///
    /// # Panics
    /// If a layer has no inputs or no outputs, or `weights` has not one value a parameter.
    pub fn new(weights: &Weights, optimiser: Optimiser) -> Self {
        // The kernels rely on it: a product over no columns would leave its target unwritten.
        assert!(
            weights
                .architecture
                .layers()
                .iter()
                .all(|layer| layer.inputs > 0 && layer.outputs > 0),
            "every layer has inputs and outputs"
        );
        assert_eq!(
            weights.values.len(),
            weights.architecture.n_parameters(),
            "one value a parameter"
        );
        let (first, second) = match optimiser {
            Optimiser::Adam { .. } => (true, true),
            Optimiser::Sgd { momentum, .. } => (momentum != 0.0, false),
        };
        let layers = weights
            .architecture
            .layers()
            .into_iter()
            .map(|shape| {
                let rows = shape.inputs.next_multiple_of(LANE);
                let zeros = |wanted: bool| {
                    if wanted {
                        Panels::parameters(rows, shape.outputs)
                    } else {
                        Panels::default()
                    }
                };
                let bias = vec![Lane::default(); shape.outputs.div_ceil(LANE)];
                Layer {
                    shape,
                    weights: zeros(true),
                    first: zeros(first),
                    second: zeros(second),
                    bias_first: bias.clone(),
                    bias_second: bias.clone(),
                    bias,
                }
            })
            .collect();
        let mut model = Self {
            weights: weights.clone(),
            layers,
            optimiser,
            steps: 0,
        };
        model.load(&weights.values);
        model
    }

    /// Returns the current parameters in canonical order.
    pub fn weights(&self) -> Weights {
        let mut weights = self.weights.clone();
        for layer in &self.layers {
            let shape = layer.shape;
            gather(
                &layer.weights,
                &shape,
                &mut weights.values[shape.weights_at..],
            );
            if let Some(at) = shape.biases_at {
                for (out, value) in weights.values[at..][..shape.outputs].iter_mut().enumerate() {
                    *value = layer.bias[out / LANE].0[out % LANE];
                }
            }
        }
        weights
    }

    /// Returns how many optimiser steps were taken.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// Returns the number of logits.
    pub fn outputs(&self) -> usize {
        self.weights.architecture.outputs
    }

    fn load(&mut self, values: &[f32]) {
        for layer in &mut self.layers {
            let shape = layer.shape;
            for out in 0..shape.outputs {
                for input in 0..shape.inputs {
                    *layer.weights.at_mut(input, out) =
                        values[shape.weights_at + out * shape.inputs + input];
                }
                if let Some(at) = shape.biases_at {
                    layer.bias[out / LANE].0[out % LANE] = values[at + out];
                }
            }
        }
    }
}

/// Writes panels `[N/16][K]` back as `[outputs, inputs]` row-major.
pub(crate) fn gather(panels: &Panels, shape: &LayerShape, to: &mut [f32]) {
    for out in 0..shape.outputs {
        for input in 0..shape.inputs {
            to[out * shape.inputs + input] = panels.at(input, out);
        }
    }
}
