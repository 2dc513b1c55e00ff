//! What a decoder language model is made of: its family, sizes and constants, whatever file format it came from.
//!
//! A format's reader (`gguf`, `hf`) fills in a [`ModelConfig`]; everything after it looks at nothing else. Weights are
//! named by [`Tensor`].

mod check;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use check::{
    ConfigError, MAX_CONTEXT, MAX_FFN_WIDTH, MAX_HEAD_WIDTH, MAX_HEADS, MAX_LAYERS, MAX_VOCABULARY,
    MAX_WIDTH,
};

/// A family of architectures, by the name the field uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Llama 1 to 3, SmolLM2 and their like.
    Llama,
    /// Qwen2 and Qwen2.5: biases on q, k and v.
    Qwen2,
    /// Qwen3: norms on the heads of q and k.
    Qwen3,
    /// Gemma 3, text only: norms around every block, local and global layers.
    Gemma3,
}

impl Family {
    /// Every family we load, in the order in which errors list them.
    pub const ALL: [Self; 4] = [Self::Llama, Self::Qwen2, Self::Qwen3, Self::Gemma3];

    /// Returns the family's name in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma3 => "gemma3",
        }
    }

    /// Returns the names of all families, for messages.
    pub fn list() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

/// The function between the gate and the product of a feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GateActivation {
    /// x · sigmoid(x).
    Silu,
    /// GELU by its tanh approximation.
    GeluTanh,
}

/// How rotary frequencies are changed for contexts longer than those trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All frequencies divided by `factor`.
    Linear {
        /// At least 1.
        factor: f64,
    },
    /// As Llama 3.1: low frequencies divided by `factor`, high ones kept, a ramp between.
    Llama3 {
        /// At least 1.
        factor: f64,
        /// Wavelengths longer than `original_context / low_frequency_factor` are scaled in full.
        low_frequency_factor: f64,
        /// Wavelengths shorter than `original_context / high_frequency_factor` are kept.
        high_frequency_factor: f64,
        /// Context of the first training, in tokens.
        original_context: u32,
    },
    /// Each pair's frequency divided by a number of its own, as GGUF files hold what Llama 3.1's rule comes to.
    Factors {
        /// One a pair, `head_width / 2`; each positive.
        factors: Vec<f32>,
    },
}

/// Rotary position embedding of one kind of layer, over the whole head, in the rotate-half order: element `i` of a head
/// turns with element `i + head_width / 2`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rope {
    /// Base of the frequencies: pair `i` turns by `theta^(-2i / head_width)` a token.
    pub theta: f64,
    /// Change of the frequencies.
    pub scaling: RopeScaling,
}

/// Which keys a layer's queries see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LayerAttention {
    /// All tokens up to its own, with [`ModelConfig::rope`].
    Global,
    /// Its own token and the `window - 1` before it, with [`ModelConfig::local_rope`].
    Local {
        /// In tokens, at least 1.
        window: u32,
    },
}

/// Everything the arithmetic of a model depends on but its weights.
///
/// Weight matrices are `[out, in]`, row-major. A block computes, with `norm` the root-mean-square norm:
///
/// ```text
/// x += post_norm(attention(norm(x)))         post_norm only where `post_norms`
/// x += post_norm(down(gate(g) * u)),  g, u = gate(norm(x)), up(norm(x))
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The family.
    pub family: Family,
    /// Number of tokens the embedding has rows for.
    pub vocabulary: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head; even.
    pub head_width: usize,
    /// Width inside the feed-forward block.
    pub ffn_width: usize,
    /// Longest context the file claims, in tokens.
    pub context: usize,
    /// Added to the mean square inside every norm.
    pub norm_epsilon: f64,
    /// Rotary embedding of global layers.
    pub rope: Rope,
    /// Rotary embedding of local layers; equal to `rope` where there are none.
    pub local_rope: Rope,
    /// One entry a block.
    pub attention: Vec<LayerAttention>,
    /// Factor on q·k: usually 1 / sqrt(head_width).
    pub attention_scale: f64,
    /// Whether the head's matrix is the embedding.
    pub tied_head: bool,
    /// Whether q, k and v have biases.
    pub qkv_biases: bool,
    /// Whether every head of q and k is normed before it turns.
    pub qk_norms: bool,
    /// Whether a norm follows attention and feed-forward, before the residual sum.
    pub post_norms: bool,
    /// The gate's function.
    pub gate: GateActivation,
    /// Factor on embeddings as they enter the first block: 1, or sqrt(width) for Gemma (transformers rounds it to bf16
    /// when it computes in bf16; here it is never rounded so).
    pub embedding_scale: f64,
}

impl ModelConfig {
    /// Returns rows × columns of `tensor`; a vector has one row.
    pub fn shape(&self, tensor: Tensor) -> (usize, usize) {
        let queries = self.heads * self.head_width;
        let keys = self.kv_heads * self.head_width;
        match tensor {
            Tensor::Embedding | Tensor::Head => (self.vocabulary, self.width),
            Tensor::FinalNorm => (1, self.width),
            Tensor::Layer(_, part) => match part {
                Part::AttentionNorm
                | Part::PostAttentionNorm
                | Part::FfnNorm
                | Part::PostFfnNorm => (1, self.width),
                Part::Query => (queries, self.width),
                Part::Key | Part::Value => (keys, self.width),
                Part::QueryBias => (1, queries),
                Part::KeyBias | Part::ValueBias => (1, keys),
                Part::QueryNorm | Part::KeyNorm => (1, self.head_width),
                Part::Output => (self.width, queries),
                Part::Gate | Part::Up => (self.ffn_width, self.width),
                Part::Down => (self.width, self.ffn_width),
            },
        }
    }

    /// Returns every tensor a model of this configuration has, in a fixed order.
    pub fn tensors(&self) -> Vec<Tensor> {
        let mut tensors = vec![Tensor::Embedding];
        for layer in 0..self.layers {
            let parts = Part::ALL.into_iter().filter(|part| match part {
                Part::QueryBias | Part::KeyBias | Part::ValueBias => self.qkv_biases,
                Part::QueryNorm | Part::KeyNorm => self.qk_norms,
                Part::PostAttentionNorm | Part::PostFfnNorm => self.post_norms,
                _ => true,
            });
            tensors.extend(parts.map(|part| Tensor::Layer(layer, part)));
        }
        tensors.push(Tensor::FinalNorm);
        if !self.tied_head {
            tensors.push(Tensor::Head);
        }
        tensors
    }

    /// Returns the number of weights.
    pub fn parameters(&self) -> u64 {
        self.tensors()
            .into_iter()
            .map(|tensor| self.shape(tensor))
            .map(|(rows, columns)| rows as u64 * columns as u64)
            .sum()
    }
}

/// A weight of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tensor {
    /// Token embeddings, `[vocabulary, width]`.
    Embedding,
    /// A weight of block 0, 1, …
    Layer(usize, Part),
    /// The norm before the head.
    FinalNorm,
    /// The head, `[vocabulary, width]`, where it is not the embedding.
    Head,
}

impl Tensor {
    /// Whether it is a vector: a norm or a bias.
    pub fn is_vector(self) -> bool {
        match self {
            Self::Embedding | Self::Head => false,
            Self::FinalNorm => true,
            Self::Layer(_, part) => match part {
                Part::Query
                | Part::Key
                | Part::Value
                | Part::Output
                | Part::Gate
                | Part::Up
                | Part::Down => false,
                Part::AttentionNorm
                | Part::QueryBias
                | Part::KeyBias
                | Part::ValueBias
                | Part::QueryNorm
                | Part::KeyNorm
                | Part::PostAttentionNorm
                | Part::FfnNorm
                | Part::PostFfnNorm => true,
            },
        }
    }
}

/// A weight of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Norm before attention.
    AttentionNorm,
    /// Query projection.
    Query,
    /// Key projection.
    Key,
    /// Value projection.
    Value,
    /// Bias of q.
    QueryBias,
    /// Bias of k.
    KeyBias,
    /// Bias of v.
    ValueBias,
    /// Norm on each head of q.
    QueryNorm,
    /// Norm on each head of k.
    KeyNorm,
    /// Output projection of attention.
    Output,
    /// Norm after attention.
    PostAttentionNorm,
    /// Norm before the feed-forward block.
    FfnNorm,
    /// Gate projection.
    Gate,
    /// Up projection.
    Up,
    /// Down projection.
    Down,
    /// Norm after the feed-forward block.
    PostFfnNorm,
}

impl Part {
    /// Every part, in the order in which a block uses them.
    pub const ALL: [Self; 16] = [
        Self::AttentionNorm,
        Self::Query,
        Self::Key,
        Self::Value,
        Self::QueryBias,
        Self::KeyBias,
        Self::ValueBias,
        Self::QueryNorm,
        Self::KeyNorm,
        Self::Output,
        Self::PostAttentionNorm,
        Self::FfnNorm,
        Self::Gate,
        Self::Up,
        Self::Down,
        Self::PostFfnNorm,
    ];
}
