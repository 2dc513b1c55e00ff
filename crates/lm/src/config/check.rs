//! Decides whether a configuration can be a model at all, before anything is allocated by it.
//!
//! The limits are several times what any published model of our families needs, and small enough that no product of
//! two sizes overflows.

use std::fmt::Display;

use super::{LayerAttention, ModelConfig, Rope, RopeScaling};

/// The most blocks.
pub const MAX_LAYERS: usize = 1024;
/// The most query heads.
pub const MAX_HEADS: usize = 1024;
/// The widest head.
pub const MAX_HEAD_WIDTH: usize = 1024;
/// The widest residual stream.
pub const MAX_WIDTH: usize = 1 << 16;
/// The widest feed-forward block.
pub const MAX_FFN_WIDTH: usize = 1 << 20;
/// The most tokens in a vocabulary.
pub const MAX_VOCABULARY: usize = 1 << 22;
/// The longest context, in tokens.
pub const MAX_CONTEXT: usize = 1 << 30;

/// A field of a [`ModelConfig`] cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {found}, expected {expected}")]
pub struct ConfigError {
    /// The field, by its name in [`ModelConfig`].
    pub field: &'static str,
    /// Its value.
    pub found: String,
    /// What is possible.
    pub expected: String,
}

fn require(
    holds: bool,
    field: &'static str,
    found: impl Display,
    expected: impl Display,
) -> Result<(), ConfigError> {
    if holds {
        return Ok(());
    }
    Err(ConfigError {
        field,
        found: found.to_string(),
        expected: expected.to_string(),
    })
}

fn size(field: &'static str, value: usize, limit: usize) -> Result<(), ConfigError> {
    let holds = (1..=limit).contains(&value);
    require(holds, field, value, format!("1 to {limit}"))
}

fn positive(field: &'static str, value: f64) -> Result<(), ConfigError> {
    let holds = value.is_finite() && value > 0.0;
    require(holds, field, value, "a finite number above 0")
}

impl ModelConfig {
    /// Checks every field, alone and against the others.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        size("vocabulary", self.vocabulary, MAX_VOCABULARY)?;
        size("width", self.width, MAX_WIDTH)?;
        size("layers", self.layers, MAX_LAYERS)?;
        size("heads", self.heads, MAX_HEADS)?;
        size("kv_heads", self.kv_heads, self.heads)?;
        require(
            self.heads.is_multiple_of(self.kv_heads),
            "kv_heads",
            self.kv_heads,
            format!("a divisor of the {} heads", self.heads),
        )?;
        size("head_width", self.head_width, MAX_HEAD_WIDTH)?;
        let even = self.head_width.is_multiple_of(2);
        require(even, "head_width", self.head_width, "an even number")?;
        size("ffn_width", self.ffn_width, MAX_FFN_WIDTH)?;
        size("context", self.context, MAX_CONTEXT)?;
        let epsilon = self.norm_epsilon;
        let holds = (0.0..1.0).contains(&epsilon);
        require(holds, "norm_epsilon", epsilon, "0 or more, below 1")?;
        self.check_rope("rope", &self.rope)?;
        self.check_rope("local_rope", &self.local_rope)?;
        let (n, layers) = (self.attention.len(), self.layers);
        let one_each = format!("one entry for each of the {layers} layers");
        require(n == layers, "attention", format!("{n} entries"), one_each)?;
        for attention in &self.attention {
            let some = !matches!(attention, LayerAttention::Local { window: 0 });
            require(some, "attention", "a window of 0", "a window of at least 1")?;
        }
        positive("attention_scale", self.attention_scale)?;
        positive("embedding_scale", self.embedding_scale)
    }

    fn check_rope(&self, field: &'static str, rope: &Rope) -> Result<(), ConfigError> {
        positive(field, rope.theta)?;
        match &rope.scaling {
            RopeScaling::None => Ok(()),
            RopeScaling::Linear { factor } => positive(field, *factor),
            RopeScaling::Llama3 {
                factor,
                low_frequency_factor: low,
                high_frequency_factor: high,
                original_context,
            } => {
                positive(field, *factor)?;
                positive(field, *low)?;
                positive(field, *high)?;
                let ordered = "a high frequency factor above the low one";
                require(low < high, field, format!("{high} above {low}"), ordered)?;
                let context = *original_context;
                require(context > 0, field, context, "an original context above 0")
            }
            RopeScaling::Factors { factors } => {
                let (n, pairs) = (factors.len(), self.head_width / 2);
                let one_each = format!("one factor for each of the {pairs} pairs");
                require(n == pairs, field, format!("{n} factors"), one_each)?;
                factors
                    .iter()
                    .try_for_each(|&factor| positive(field, factor.into()))
            }
        }
    }
}
