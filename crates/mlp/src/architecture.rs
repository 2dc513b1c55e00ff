//! What shape of network: widths, activation, biases. Knows neither weights nor data.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The function applied after every hidden layer; the output layer has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// max(0, z).
    Relu,
    /// z Φ(z) with the exact normal distribution function, as PyTorch's default.
    Gelu,
    /// 1 / (1 + exp(-z)).
    Sigmoid,
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relu => "ReLU",
            Self::Gelu => "GELU",
            Self::Sigmoid => "sigmoid",
        })
    }
}

/// Whether layers add a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Biases {
    /// Every layer has one, 0 at initialisation.
    With,
    /// No layer has one.
    Without,
}

/// A fully connected network: inputs, hidden widths, outputs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Number of input features.
    pub inputs: usize,
    /// Width of each hidden layer, from the input on. Empty makes a linear model.
    pub hidden: Vec<usize>,
    /// Number of logits, class logits first, auxiliary logits after them.
    pub outputs: usize,
    /// The hidden activation.
    pub activation: Activation,
    /// Whether layers add a bias.
    pub biases: Biases,
}

/// One layer's place in the flat parameter vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerShape {
    /// Features coming in.
    pub inputs: usize,
    /// Features going out.
    pub outputs: usize,
    /// Where the weights `[outputs, inputs]`, row-major, start.
    pub weights_at: usize,
    /// Where the biases `[outputs]` start, if there are any.
    pub biases_at: Option<usize>,
}

impl Architecture {
    /// Returns every layer with its offsets in the canonical flat parameter vector.
    ///
    /// The order is: layer by layer from the input, weights `[outputs, inputs]` row-major, then biases `[outputs]`.
    pub fn layers(&self) -> Vec<LayerShape> {
        let mut widths = vec![self.inputs];
        widths.extend(&self.hidden);
        widths.push(self.outputs);
        let mut at = 0;
        widths
            .windows(2)
            .map(|pair| {
                let (inputs, outputs) = (pair[0], pair[1]);
                let weights_at = at;
                at += inputs * outputs;
                let biases_at = (self.biases == Biases::With).then_some(at);
                at += biases_at.map_or(0, |_| outputs);
                LayerShape {
                    inputs,
                    outputs,
                    weights_at,
                    biases_at,
                }
            })
            .collect()
    }

    /// Returns the number of parameters.
    pub fn n_parameters(&self) -> usize {
        self.layers()
            .iter()
            .map(|layer| {
                layer.inputs * layer.outputs + layer.biases_at.map_or(0, |_| layer.outputs)
            })
            .sum()
    }
}

impl fmt::Display for Architecture {
    /// Writes the widths joined by dashes, as in `784-256-256-13`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inputs)?;
        for width in &self.hidden {
            write!(f, "-{width}")?;
        }
        write!(f, "-{}", self.outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_network_has_270_093_parameters() {
        let published = Architecture {
            inputs: 784,
            hidden: vec![256, 256],
            outputs: 13,
            activation: Activation::Relu,
            biases: Biases::With,
        };
        assert_eq!(published.n_parameters(), 270_093);
        assert_eq!(published.to_string(), "784-256-256-13");
        let last = published.layers()[2];
        assert_eq!(last.biases_at.map(|at| at + last.outputs), Some(270_093));
    }
}
