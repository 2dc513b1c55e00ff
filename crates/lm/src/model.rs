//! A model in memory, packed for the products it takes part in.
//!
//! [`Model::load`] reads every weight of a [`Checkpoint`] once, as `f32`, and packs it; the file is not needed afterwards.

use rayon::prelude::*;
use undertone_simd::{InstructionSet, Precision, UnsupportedError};

use crate::checkpoint::{Checkpoint, ReadTensorError};
use crate::config::{LayerAttention, ModelConfig, Part, Rope, RopeScaling, Tensor};
use crate::kernel::product::Packed;
use crate::kernel::rows::RopeTable;

/// Positions beyond this have no rotary table unless asked for.
const DEFAULT_POSITIONS: usize = 8192;

/// What a model is loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadOptions {
    /// The format of weights and of the activations that meet them.
    pub precision: Precision,
    /// Whether gradients will be needed: every matrix is then packed twice.
    pub gradients: bool,
    /// Longest sequence, in tokens; 0 for the lesser of 8,192 and the model's context.
    pub max_positions: usize,
}

impl LoadOptions {
    /// Returns what sampling and scoring need.
    pub fn inference(precision: Precision) -> Self {
        Self {
            precision,
            gradients: false,
            max_positions: 0,
        }
    }

    /// Returns what training needs.
    pub fn training(precision: Precision) -> Self {
        Self {
            gradients: true,
            ..Self::inference(precision)
        }
    }
}

/// A model could not be loaded.
#[derive(Debug, thiserror::Error)]
#[error("cannot load the model")]
pub enum LoadError {
    /// The processor lacks the format.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedError),
    /// A weight cannot be used.
    #[error(transparent)]
    Tensor(#[from] ReadTensorError),
}

/// A linear layer: its matrix, packed, and its bias.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    pub forward: Packed,
    /// The transposed matrix, for the gradient of the input.
    pub backward: Option<Packed>,
    /// Padded to whole lanes.
    pub bias: Option<Vec<f32>>,
}

/// A block's weights. Vectors are padded to whole lanes.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub attention_norm: Vec<f32>,
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
    /// Not padded: one head.
    pub query_norm: Option<Vec<f32>>,
    pub key_norm: Option<Vec<f32>>,
    pub output: Linear,
    pub post_attention_norm: Option<Vec<f32>>,
    pub ffn_norm: Vec<f32>,
    pub gate: Linear,
    pub up: Linear,
    pub down: Linear,
    pub post_ffn_norm: Option<Vec<f32>>,
}

/// A model, ready for forward passes.
#[derive(Debug, Clone)]
pub struct Model {
    pub(crate) config: ModelConfig,
    pub(crate) precision: Precision,
    pub(crate) set: InstructionSet,
    /// The embedding, packed as the head it is where the two are tied.
    pub(crate) embedding: Linear,
    pub(crate) head: Option<Linear>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) final_norm: Vec<f32>,
    pub(crate) rope: RopeTable,
    pub(crate) local_rope: RopeTable,
    pub(crate) max_positions: usize,
}

impl Model {
    /// Loads a model.
    ///
    /// # Errors
    /// [`LoadError`] if the processor lacks the format or a weight is not finite.
    pub fn load(checkpoint: &dyn Checkpoint, options: LoadOptions) -> Result<Self, LoadError> {
        let set = options.precision.instructions()?;
        Self::load_with(checkpoint, options, set)
    }

    /// As [`Model::load`], with exactly these instructions.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_with(
        checkpoint: &dyn Checkpoint,
        options: LoadOptions,
        set: InstructionSet,
    ) -> Result<Self, LoadError> {
        let set = set.checked()?;
        let config = checkpoint.config().clone();
        let max_positions = match options.max_positions {
            0 => config.context.min(DEFAULT_POSITIONS),
            positions => positions.min(config.context),
        };
        let read = Reader {
            checkpoint,
            pairs: set.pairs(),
            gradients: options.gradients,
        };
        let head_tensor = (!config.tied_head).then_some(Tensor::Head);
        Ok(Self {
            embedding: read.linear(Tensor::Embedding, None)?,
            head: head_tensor
                .map(|tensor| read.linear(tensor, None))
                .transpose()?,
            blocks: (0..config.layers)
                .into_par_iter()
                .map(|layer| read.block(layer))
                .collect::<Result<_, _>>()?,
            final_norm: read.vector(Tensor::FinalNorm)?,
            rope: rope_table(&config.rope, config.head_width, max_positions),
            local_rope: rope_table(&config.local_rope, config.head_width, max_positions),
            max_positions,
            precision: options.precision,
            set,
            config,
        })
    }

    /// Returns the configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Returns the number format.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Returns the longest sequence it takes, in tokens.
    pub fn max_positions(&self) -> usize {
        self.max_positions
    }

    /// Returns the bytes its weights take.
    pub fn bytes(&self) -> usize {
        let blocks = self.blocks.iter().flat_map(|block| block.linears());
        let linears = blocks.chain([&self.embedding]).chain(&self.head);
        linears
            .flat_map(|linear| [Some(&linear.forward), linear.backward.as_ref()])
            .flatten()
            .map(Packed::bytes)
            .sum()
    }

    pub(crate) fn head(&self) -> &Linear {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    pub(crate) fn rope_of(&self, layer: usize) -> &RopeTable {
        match self.config.attention[layer] {
            LayerAttention::Global => &self.rope,
            LayerAttention::Local { .. } => &self.local_rope,
        }
    }
}

impl Block {
    pub fn linears(&self) -> [&Linear; 7] {
        [
            &self.query,
            &self.key,
            &self.value,
            &self.output,
            &self.gate,
            &self.up,
            &self.down,
        ]
    }
}

struct Reader<'a> {
    checkpoint: &'a dyn Checkpoint,
    pairs: bool,
    gradients: bool,
}

impl Reader<'_> {
    fn block(&self, layer: usize) -> Result<Block, ReadTensorError> {
        let config = self.checkpoint.config();
        let vector = |part| self.vector(Tensor::Layer(layer, part));
        let linear = |part, bias: Option<Part>| {
            self.linear(
                Tensor::Layer(layer, part),
                bias.map(|part| Tensor::Layer(layer, part)),
            )
        };
        let bias = |part| config.qkv_biases.then_some(part);
        let head_norm = |part| {
            config
                .qk_norms
                .then(|| self.checkpoint.read(Tensor::Layer(layer, part)))
                .transpose()
        };
        let post_norm = |part| config.post_norms.then(|| vector(part)).transpose();
        Ok(Block {
            attention_norm: vector(Part::AttentionNorm)?,
            query: linear(Part::Query, bias(Part::QueryBias))?,
            key: linear(Part::Key, bias(Part::KeyBias))?,
            value: linear(Part::Value, bias(Part::ValueBias))?,
            query_norm: head_norm(Part::QueryNorm)?,
            key_norm: head_norm(Part::KeyNorm)?,
            output: linear(Part::Output, None)?,
            post_attention_norm: post_norm(Part::PostAttentionNorm)?,
            ffn_norm: vector(Part::FfnNorm)?,
            gate: linear(Part::Gate, None)?,
            up: linear(Part::Up, None)?,
            down: linear(Part::Down, None)?,
            post_ffn_norm: post_norm(Part::PostFfnNorm)?,
        })
    }

    fn vector(&self, tensor: Tensor) -> Result<Vec<f32>, ReadTensorError> {
        let mut values = self.checkpoint.read(tensor)?;
        values.resize(values.len().next_multiple_of(undertone_simd::LANE), 0.0);
        Ok(values)
    }

    fn linear(&self, tensor: Tensor, bias: Option<Tensor>) -> Result<Linear, ReadTensorError> {
        let (rows, columns) = self.checkpoint.config().shape(tensor);
        let mut forward = Packed::zeros(rows, columns, self.pairs);
        let mut backward = self
            .gradients
            .then(|| Packed::zeros(columns, rows, self.pairs));
        let mut row = vec![0.0; columns];
        for i in 0..rows {
            self.checkpoint.read_rows(tensor, i..i + 1, &mut row)?;
            forward.set_row(i, &row);
            if let Some(backward) = &mut backward {
                backward.set_column(i, &row);
            }
        }
        Ok(Linear {
            forward,
            backward,
            bias: bias.map(|tensor| self.vector(tensor)).transpose()?,
        })
    }
}

/// Returns the rotary frequencies of a head, in radians a token, one for each pair.
pub fn rope_frequencies(rope: &Rope, head_width: usize) -> Vec<f64> {
    (0..head_width / 2)
        .map(|pair| {
            let frequency = rope.theta.powf(-2.0 * pair as f64 / head_width as f64);
            match &rope.scaling {
                RopeScaling::None => frequency,
                RopeScaling::Linear { factor } => frequency / factor,
                RopeScaling::Factors { factors } => frequency / f64::from(factors[pair]),
                RopeScaling::Llama3 {
                    factor,
                    low_frequency_factor: low,
                    high_frequency_factor: high,
                    original_context,
                } => {
                    let turns =
                        f64::from(*original_context) * frequency / (2.0 * std::f64::consts::PI);
                    // 0 below `low` turns in the original context, 1 above `high`.
                    let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                    frequency * kept + frequency / factor * (1.0 - kept)
                }
            }
        })
        .collect()
}

fn rope_table(rope: &Rope, head_width: usize, positions: usize) -> RopeTable {
    RopeTable::new(&rope_frequencies(rope, head_width), positions)
}
