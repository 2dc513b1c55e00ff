//! The network as a function of its parameters: forward pass, reverse mode and forward mode.

use crate::reference::activation;
use crate::{Architecture, LayerShape};

/// A fully connected network with f64 parameters.
///
/// # Legend
/// B rows, L layers, `a_0 = x`, `z_l = a_(l-1) W_lᵀ + b_l`, `a_l = φ(z_l)` for `l < L`; the logits are `z_L`.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Widths, activation and biases.
    pub architecture: Architecture,
    /// The parameters in the canonical flat order, `[n_parameters]`.
    pub values: Vec<f64>,
}

/// What a forward pass leaves behind for the passes that differentiate it.
struct Trace {
    /// `a_0 .. a_(L-1)`, each `[B, inputs of the layer]`.
    layer_inputs: Vec<Vec<f64>>,
    /// `z_1 .. z_L`, each `[B, outputs of the layer]`; the last are the logits.
    pre_activations: Vec<Vec<f64>>,
}

impl Network {
    /// Joins an architecture and its parameters.
    ///
    /// # Panics
    /// If `values` does not hold [`Architecture::n_parameters`] numbers.
    pub fn new(architecture: Architecture, values: Vec<f64>) -> Self {
        assert_eq!(
            values.len(),
            architecture.n_parameters(),
            "parameters of {architecture}"
        );
        Self {
            architecture,
            values,
        }
    }

    /// Returns the network at `values + step · direction`.
    ///
    /// # Panics
    /// If `direction` is not `[n_parameters]`.
    pub fn moved(&self, step: f64, direction: &[f64]) -> Self {
        assert_eq!(direction.len(), self.values.len(), "direction");
        let values = self
            .values
            .iter()
            .zip(direction)
            .map(|(value, slope)| value + step * slope)
            .collect();
        Self::new(self.architecture.clone(), values)
    }

    /// Returns the logits.
    ///
    /// # Shapes
    /// - `x`: `[B, inputs]`
    /// - returns `[B, outputs]`
    ///
    /// # Panics
    /// If `x` is not a whole number of rows.
    pub fn forward(&self, x: &[f64]) -> Vec<f64> {
        self.trace(x)
            .pre_activations
            .pop()
            .expect("every network has an output layer")
    }

    /// Returns the inputs of every activation, `z_1 .. z_(L-1)`, each `[B, width]`: what decides on which side of its
    /// kink each ReLU sits.
    ///
    /// # Panics
    /// If `x` is not a whole number of rows.
    pub fn hidden_pre_activations(&self, x: &[f64]) -> Vec<Vec<f64>> {
        let mut pre_activations = self.trace(x).pre_activations;
        pre_activations.pop();
        pre_activations
    }

    /// Returns the gradient of a loss with respect to the parameters (reverse mode).
    ///
    /// # Shapes
    /// - `x`: `[B, inputs]`
    /// - `logit_gradient`: dL/dlogits, `[B, outputs]`; whatever mean the loss takes over rows is already inside
    /// - returns dL/dvalues, `[n_parameters]`
    ///
    /// # Panics
    /// If the two do not have the same number of rows.
    pub fn gradient(&self, x: &[f64], logit_gradient: &[f64]) -> Vec<f64> {
        let rows = self.rows(x);
        let layers = self.architecture.layers();
        let trace = self.trace(x);
        assert_eq!(
            logit_gradient.len(),
            rows * self.architecture.outputs,
            "logit gradient of {rows} rows"
        );
        let mut gradient = vec![0.0; self.values.len()];
        // dL/dz of the layer at hand, from the last to the first.
        let mut upstream = logit_gradient.to_vec();
        for (index, layer) in layers.iter().enumerate().rev() {
            self.add_layer_gradient(layer, &trace.layer_inputs[index], &upstream, &mut gradient);
            if index > 0 {
                upstream = self.through_layer(layer, &trace.pre_activations[index - 1], &upstream);
            }
        }
        gradient
    }

    /// Returns the derivative of the logits along `direction` (forward mode): `J_θ f(x) · direction`.
    ///
    /// # Shapes
    /// - `x`: `[B, inputs]`
    /// - `direction`: `[n_parameters]`
    /// - returns `[B, outputs]`
    ///
    /// # Panics
    /// If `x` is not a whole number of rows or `direction` has another length.
    pub fn jvp(&self, x: &[f64], direction: &[f64]) -> Vec<f64> {
        assert_eq!(direction.len(), self.values.len(), "direction");
        let rows = self.rows(x);
        let trace = self.trace(x);
        // Derivative of a_(l-1); the inputs themselves do not move.
        let mut input_slope = vec![0.0; x.len()];
        let mut slope = Vec::new();
        for (index, layer) in self.architecture.layers().iter().enumerate() {
            // z = a Wᵀ + b, so dz = da Wᵀ + a dWᵀ + db.
            let through_inputs = affine(layer, &self.values, &input_slope, rows, Constant::Drop);
            let through_weights = affine(
                layer,
                direction,
                &trace.layer_inputs[index],
                rows,
                Constant::Add,
            );
            slope = through_inputs
                .iter()
                .zip(&through_weights)
                .map(|(a, b)| a + b)
                .collect();
            // a = φ(z), so da = φ'(z) dz.
            input_slope = slope
                .iter()
                .zip(&trace.pre_activations[index])
                .map(|(dz, &z)| activation::derivative(self.architecture.activation, z) * dz)
                .collect();
        }
        slope
    }

    /// Returns B, the number of rows of `x`.
    fn rows(&self, x: &[f64]) -> usize {
        let inputs = self.architecture.inputs;
        assert_eq!(x.len() % inputs, 0, "rows of {inputs} inputs");
        x.len() / inputs
    }

    fn trace(&self, x: &[f64]) -> Trace {
        let rows = self.rows(x);
        let mut trace = Trace {
            layer_inputs: Vec::new(),
            pre_activations: Vec::new(),
        };
        let mut layer_input = x.to_vec();
        for layer in self.architecture.layers() {
            let z = affine(&layer, &self.values, &layer_input, rows, Constant::Add);
            let output = z
                .iter()
                .map(|&z| activation::value(self.architecture.activation, z))
                .collect();
            trace
                .layer_inputs
                .push(std::mem::replace(&mut layer_input, output));
            trace.pre_activations.push(z);
        }
        trace
    }

    /// Adds dL/dW and dL/db of one layer. Forward: `z[r,o] = Σ_i a[r,i] W[o,i] + b[o]`.
    fn add_layer_gradient(
        &self,
        layer: &LayerShape,
        layer_input: &[f64],
        upstream: &[f64],
        gradient: &mut [f64],
    ) {
        let rows = upstream.len() / layer.outputs;
        for row in 0..rows {
            for output in 0..layer.outputs {
                let slope = upstream[row * layer.outputs + output];
                for input in 0..layer.inputs {
                    gradient[layer.weights_at + output * layer.inputs + input] +=
                        slope * layer_input[row * layer.inputs + input];
                }
                if let Some(at) = layer.biases_at {
                    gradient[at + output] += slope;
                }
            }
        }
    }

    /// Carries dL/dz of `layer` back to dL/dz of the layer before it, whose `z` are `pre_activations`.
    ///
    /// Forward: `a = φ(z_before)`, `z[r,o] = Σ_i a[r,i] W[o,i]`.
    fn through_layer(
        &self,
        layer: &LayerShape,
        pre_activations: &[f64],
        upstream: &[f64],
    ) -> Vec<f64> {
        let mut downstream = vec![0.0; pre_activations.len()];
        for row in 0..pre_activations.len() / layer.inputs {
            for input in 0..layer.inputs {
                let sum: f64 = (0..layer.outputs)
                    .map(|output| {
                        upstream[row * layer.outputs + output]
                            * self.values[layer.weights_at + output * layer.inputs + input]
                    })
                    .sum();
                let at = row * layer.inputs + input;
                downstream[at] =
                    sum * activation::derivative(self.architecture.activation, pre_activations[at]);
            }
        }
        downstream
    }
}

/// Whether an affine map adds its bias: a derivative with respect to its input does not.
#[derive(Clone, Copy, PartialEq)]
enum Constant {
    Add,
    Drop,
}

/// Returns `a Wᵀ (+ b)`, `[B, outputs]`, with `W` and `b` read from the flat `values`.
fn affine(
    layer: &LayerShape,
    values: &[f64],
    layer_input: &[f64],
    rows: usize,
    constant: Constant,
) -> Vec<f64> {
    let mut z = vec![0.0; rows * layer.outputs];
    for row in 0..rows {
        for output in 0..layer.outputs {
            let mut sum = match (constant, layer.biases_at) {
                (Constant::Add, Some(at)) => values[at + output],
                _ => 0.0,
            };
            for input in 0..layer.inputs {
                sum += layer_input[row * layer.inputs + input]
                    * values[layer.weights_at + output * layer.inputs + input];
            }
            z[row * layer.outputs + output] = sum;
        }
    }
    z
}
