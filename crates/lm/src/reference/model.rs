//! The model as a function of its parameters: tokens to residual streams to logits.

use std::collections::BTreeMap;

use super::block::{self, matrix_times};
use crate::checkpoint::{Checkpoint, ReadTensorError};
use crate::config::{ModelConfig, Part, Tensor};
use crate::lora::{LoraWeights, Projection};

/// One vector a token.
pub(super) type Rows = Vec<Vec<f64>>;

/// A parameter of a model, with or without an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Parameter {
    /// A weight of the base.
    Weight(Tensor),
    /// The adapter's A at a block's projection, `[rank, inputs]`.
    LoraA(usize, Projection),
    /// The adapter's B at a block's projection, `[outputs, rank]`.
    LoraB(usize, Projection),
}

/// A model with f64 parameters and, perhaps, an adapter.
#[derive(Debug, Clone)]
pub struct ReferenceModel {
    pub(super) config: ModelConfig,
    parameters: BTreeMap<Parameter, Vec<f64>>,
    /// s of `y = W x + s B (A x)`; of no effect without an adapter.
    lora_scale: f64,
}

impl ReferenceModel {
    /// Reads every weight.
    ///
    /// # Errors
    /// [`ReadTensorError`] if one is not finite.
    pub fn from_checkpoint(checkpoint: &dyn Checkpoint) -> Result<Self, ReadTensorError> {
        let config = checkpoint.config().clone();
        let mut parameters = BTreeMap::new();
        for tensor in config.tensors() {
            parameters.insert(Parameter::Weight(tensor), wide(&checkpoint.read(tensor)?));
        }
        Ok(Self {
            config,
            parameters,
            lora_scale: 0.0,
        })
    }

    /// Returns the model with `adapter` in place of any it had.
    ///
    /// # Panics
    /// If the adapter was made for other sizes.
    pub fn with_adapter(mut self, adapter: &LoraWeights) -> Self {
        adapter
            .check_model(&self.config)
            .expect("the adapter is one for this model");
        self.parameters
            .retain(|parameter, _| matches!(parameter, Parameter::Weight(_)));
        self.lora_scale = adapter.config().scale();
        for pair in adapter.pairs() {
            let (layer, projection) = (pair.layer, pair.projection);
            self.parameters
                .insert(Parameter::LoraA(layer, projection), wide(adapter.a(pair)));
            self.parameters
                .insert(Parameter::LoraB(layer, projection), wide(adapter.b(pair)));
        }
        self
    }

    /// Returns the configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Returns every parameter there is.
    pub fn parameters(&self) -> impl Iterator<Item = Parameter> {
        self.parameters.keys().copied()
    }

    /// Returns a parameter's values, row-major.
    ///
    /// # Panics
    /// If the model does not have it.
    pub fn values(&self, parameter: Parameter) -> &[f64] {
        &self.parameters[&parameter]
    }

    /// Returns a parameter's values, to be changed.
    ///
    /// # Panics
    /// If the model does not have it.
    pub fn values_mut(&mut self, parameter: Parameter) -> &mut [f64] {
        self.parameters
            .get_mut(&parameter)
            .expect("the model has the parameter")
    }

    /// Returns the logits after every token, `[T][V]`.
    ///
    /// # Panics
    /// If a token is not in the vocabulary.
    pub fn logits(&self, tokens: &[u32]) -> Vec<Vec<f64>> {
        let head = if self.config.tied_head {
            Tensor::Embedding
        } else {
            Tensor::Head
        };
        self.final_hidden(tokens)
            .iter()
            .map(|x| matrix_times(self.weight(head), x))
            .collect()
    }

    /// Returns the residual stream after `layer` blocks, `[T][width]`: 0 is the scaled embeddings, the number of blocks
    /// what the last norm sees.
    ///
    /// These are transformers' `hidden_states`, whose last entry alone is taken after the norm: [`Self::final_hidden`].
    ///
    /// # Panics
    /// If the model has fewer blocks or a token is not in the vocabulary.
    pub fn hidden(&self, tokens: &[u32], layer: usize) -> Vec<Vec<f64>> {
        let mut x = self.embed(tokens);
        for layer in 0..layer {
            self.block(layer, &mut x);
        }
        x
    }

    /// Returns what the head sees: the last residual stream after its norm, `[T][width]`.
    ///
    /// # Panics
    /// If a token is not in the vocabulary.
    pub fn final_hidden(&self, tokens: &[u32]) -> Vec<Vec<f64>> {
        self.norm(Tensor::FinalNorm, &self.hidden(tokens, self.config.layers))
    }

    fn embed(&self, tokens: &[u32]) -> Rows {
        let (embedding, width) = (self.weight(Tensor::Embedding), self.config.width);
        tokens
            .iter()
            .map(|&token| {
                embedding[token as usize * width..][..width]
                    .iter()
                    .map(|value| value * self.config.embedding_scale)
                    .collect()
            })
            .collect()
    }

    /// x += post_norm(attention(norm(x))); x += post_norm(down(gate(g) · u)).
    fn block(&self, layer: usize, x: &mut Rows) {
        let part = |part| Tensor::Layer(layer, part);
        let mixed = self.attention(layer, &self.norm(part(Part::AttentionNorm), x));
        add(x, &self.post_norm(part(Part::PostAttentionNorm), mixed));
        let fed = self.feed_forward(layer, &self.norm(part(Part::FfnNorm), x));
        add(x, &self.post_norm(part(Part::PostFfnNorm), fed));
    }

    fn feed_forward(&self, layer: usize, x: &Rows) -> Rows {
        let gates = self.project(layer, Projection::Gate, x);
        let ups = self.project(layer, Projection::Up, x);
        let products: Rows = gates
            .iter()
            .zip(&ups)
            .map(|(gates, ups)| {
                gates
                    .iter()
                    .zip(ups)
                    .map(|(&gate, up)| block::gate(self.config.gate, gate) * up)
                    .collect()
            })
            .collect();
        self.project(layer, Projection::Down, &products)
    }

    /// y = W x + b + s B (A x) for every token.
    pub(super) fn project(&self, layer: usize, projection: Projection, x: &Rows) -> Rows {
        let bias = match projection {
            Projection::Query => Some(Part::QueryBias),
            Projection::Key => Some(Part::KeyBias),
            Projection::Value => Some(Part::ValueBias),
            _ => None,
        };
        let bias = bias.and_then(|part| self.get(Parameter::Weight(Tensor::Layer(layer, part))));
        let weight = self.weight(Tensor::Layer(layer, projection.part()));
        let adapter = self
            .get(Parameter::LoraA(layer, projection))
            .zip(self.get(Parameter::LoraB(layer, projection)));
        x.iter()
            .map(|x| {
                let mut y = matrix_times(weight, x);
                if let Some(bias) = bias {
                    add_to(&mut y, bias);
                }
                if let Some((a, b)) = adapter {
                    let low = matrix_times(a, x);
                    for (y, change) in y.iter_mut().zip(matrix_times(b, &low)) {
                        *y += self.lora_scale * change;
                    }
                }
                y
            })
            .collect()
    }

    /// x / √(mean(x²) + ε) · factor for every token.
    fn norm(&self, tensor: Tensor, x: &Rows) -> Rows {
        let factors = self.weight(tensor);
        x.iter()
            .map(|x| block::norm(x, factors, self.config.norm_epsilon))
            .collect()
    }

    fn post_norm(&self, tensor: Tensor, x: Rows) -> Rows {
        if self.config.post_norms {
            self.norm(tensor, &x)
        } else {
            x
        }
    }

    pub(super) fn weight(&self, tensor: Tensor) -> &[f64] {
        &self.parameters[&Parameter::Weight(tensor)]
    }

    fn get(&self, parameter: Parameter) -> Option<&[f64]> {
        self.parameters.get(&parameter).map(Vec::as_slice)
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

fn add(x: &mut Rows, change: &Rows) {
    for (x, change) in x.iter_mut().zip(change) {
        add_to(x, change);
    }
}

fn add_to(x: &mut [f64], change: &[f64]) {
    for (x, change) in x.iter_mut().zip(change) {
        *x += change;
    }
}
