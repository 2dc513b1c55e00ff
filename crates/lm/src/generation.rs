//! What a model's files say about generating from it: special tokens and how its authors sample.

use serde::{Deserialize, Serialize};

/// Special tokens and sampling settings that come with a model; what the files do not say is empty.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationDefaults {
    /// The token that begins every text, by id.
    pub bos: Option<u32>,
    /// Tokens that end a text, by id.
    pub eos: Vec<u32>,
    /// The token that fills up batches, by id.
    pub pad: Option<u32>,
    /// Whether the authors sample at all, or take the likeliest token.
    pub sample: Option<bool>,
    /// Divisor of the logits.
    pub temperature: Option<f64>,
    /// How many of the likeliest tokens are kept; 0 means all.
    pub top_k: Option<u32>,
    /// Probability that the kept tokens sum to.
    pub top_p: Option<f64>,
    /// Smallest probability that is kept, relative to the likeliest token's.
    pub min_p: Option<f64>,
}
