//! The weights of a model that is trained as a whole, as `f32`, apart from their packed form.

use crate::checkpoint::{Checkpoint, ReadTensorError};
use crate::config::{ModelConfig, Part, Tensor};
use crate::model::{Linear, Model};

/// Every weight of a model, `f32`: what full fine-tuning changes.
///
/// It is a [`Checkpoint`] itself: it can be packed, merged and saved like one.
#[derive(Debug, Clone)]
pub struct FullWeights {
    config: ModelConfig,
    tensors: Vec<(Tensor, Vec<f32>)>,
}

impl FullWeights {
    /// Reads every weight.
    ///
    /// # Errors
    /// If a value is not finite.
    pub fn read(checkpoint: &dyn Checkpoint) -> Result<Self, ReadTensorError> {
        let config = checkpoint.config().clone();
        let tensors = config
            .tensors()
            .into_iter()
            .map(|tensor| Ok((tensor, checkpoint.read(tensor)?)))
            .collect::<Result<_, _>>()?;
        Ok(Self { config, tensors })
    }

    /// Makes the weights of a model; `fill` gets every tensor and its values, row-major, all 0.
    pub fn made(config: ModelConfig, mut fill: impl FnMut(Tensor, &mut [f32])) -> Self {
        let of = |tensor| {
            let (rows, columns) = config.shape(tensor);
            let mut values = vec![0.0; rows * columns];
            fill(tensor, &mut values);
            (tensor, values)
        };
        let tensors = config.tensors().into_iter().map(of).collect();
        Self { config, tensors }
    }

    /// Returns every weight with its values, row-major, in a fixed order.
    pub fn tensors(&self) -> &[(Tensor, Vec<f32>)] {
        &self.tensors
    }

    /// Returns every weight, to be changed.
    pub fn tensors_mut(&mut self) -> &mut [(Tensor, Vec<f32>)] {
        &mut self.tensors
    }

    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.tensors.iter().map(|(_, values)| values.len()).sum()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Packs every weight into `model` anew.
    pub(crate) fn pack_into(&self, model: &mut Model) {
        for (tensor, values) in &self.tensors {
            let (_, columns) = self.config.shape(*tensor);
            match place(model, *tensor) {
                Place::Linear(linear) => pack(linear, values, columns),
                Place::Vector(vector) => vector[..values.len()].copy_from_slice(values),
            }
        }
    }
}

impl Checkpoint for FullWeights {
    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn read_rows(
        &self,
        tensor: Tensor,
        rows: std::ops::Range<usize>,
        out: &mut [f32],
    ) -> Result<(), ReadTensorError> {
        let (_, columns) = self.config.shape(tensor);
        let (_, values) = self
            .tensors
            .iter()
            .find(|(name, _)| *name == tensor)
            .expect("a tensor of the configuration");
        out.copy_from_slice(&values[rows.start * columns..rows.end * columns]);
        Ok(())
    }

    fn file_name_of(&self, tensor: Tensor) -> String {
        format!("{tensor:?}")
    }
}

enum Place<'a> {
    Linear(&'a mut Linear),
    Vector(&'a mut [f32]),
}

/// Returns where a model holds a weight.
fn place(model: &mut Model, tensor: Tensor) -> Place<'_> {
    let (layer, part) = match tensor {
        Tensor::Embedding => return Place::Linear(&mut model.embedding),
        Tensor::Head => return Place::Linear(model.head.as_mut().expect("an untied head")),
        Tensor::FinalNorm => return Place::Vector(&mut model.final_norm),
        Tensor::Layer(layer, part) => (layer, part),
    };
    let block = &mut model.blocks[layer];
    let present = "a part of the configuration";
    match part {
        Part::AttentionNorm => Place::Vector(&mut block.attention_norm),
        Part::Query => Place::Linear(&mut block.query),
        Part::Key => Place::Linear(&mut block.key),
        Part::Value => Place::Linear(&mut block.value),
        Part::QueryBias => Place::Vector(block.query.bias.as_mut().expect(present)),
        Part::KeyBias => Place::Vector(block.key.bias.as_mut().expect(present)),
        Part::ValueBias => Place::Vector(block.value.bias.as_mut().expect(present)),
        Part::QueryNorm => Place::Vector(block.query_norm.as_mut().expect(present)),
        Part::KeyNorm => Place::Vector(block.key_norm.as_mut().expect(present)),
        Part::Output => Place::Linear(&mut block.output),
        Part::PostAttentionNorm => {
            Place::Vector(block.post_attention_norm.as_mut().expect(present))
        }
        Part::FfnNorm => Place::Vector(&mut block.ffn_norm),
        Part::Gate => Place::Linear(&mut block.gate),
        Part::Up => Place::Linear(&mut block.up),
        Part::Down => Place::Linear(&mut block.down),
        Part::PostFfnNorm => Place::Vector(block.post_ffn_norm.as_mut().expect(present)),
    }
}

fn pack(linear: &mut Linear, values: &[f32], columns: usize) {
    for (row, values) in values.chunks_exact(columns).enumerate() {
        linear.forward.set_row(row, values);
        if let Some(backward) = &mut linear.backward {
            backward.set_column(row, values);
        }
    }
}
