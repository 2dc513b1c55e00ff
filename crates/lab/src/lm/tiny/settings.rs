//! What a tiny decoder depends on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Seed;
use undertone_lm::config::{
    Family, GateActivation, LayerAttention, ModelConfig, Rope, RopeScaling,
};
use undertone_lm::loss::Objective;
use undertone_lm::optimiser::Optimiser;
use undertone_lm::schedule::{Decay, Schedule};
use undertone_lm::train::TrainSettings;
use undertone_simd::Precision;

/// Everything a tiny decoder depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TinySettings {
    /// Its sizes.
    pub shape: TinyShape,
    /// What it reads. Two bases of one experiment read the same.
    pub corpus: CorpusSettings,
    /// How it learns.
    pub training: TinyTraining,
    /// Names the initial weights and the order of documents: what makes two bases foreign to each other.
    pub seed: Seed,
    /// The number format of products.
    pub precision: Precision,
}

/// Sizes of a tiny llama.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TinyShape {
    /// Width of the residual stream.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Heads; each is `width / heads` wide.
    pub heads: usize,
    /// Width inside the feed-forward block.
    pub ffn_width: usize,
    /// Longest text, in tokens.
    pub context: usize,
}

/// What a tiny decoder reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorpusSettings {
    /// Names the documents and the tastes that are in them.
    pub seed: Seed,
    /// How many documents.
    pub documents: u32,
}

/// How a tiny decoder learns: AdamW with a warm-up and a cosine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TinyTraining {
    /// Optimiser steps.
    pub steps: u64,
    /// Documents of a step.
    pub batch_rows: u32,
    /// Largest learning rate.
    pub learning_rate: f64,
    /// Steps over which it rises.
    pub warmup_steps: u64,
    /// Weight decay of matrices.
    pub weight_decay: f64,
}

/// Named settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TinyPreset {
    /// 124,176 weights, in seconds: for tests and the smallest experiment.
    Smoke,
    /// About 2 million weights, in minutes.
    Default,
}

impl TinySettings {
    /// Returns the settings of `preset` for the base called by `seed`.
    pub fn preset(preset: TinyPreset, seed: Seed) -> Self {
        let (shape, documents, training) = match preset {
            TinyPreset::Smoke => (
                TinyShape {
                    width: 48,
                    layers: 2,
                    heads: 3,
                    ffn_width: 128,
                    context: 512,
                },
                8_000,
                TinyTraining {
                    steps: 250,
                    batch_rows: 32,
                    learning_rate: 5e-3,
                    warmup_steps: 20,
                    weight_decay: 0.01,
                },
            ),
            TinyPreset::Default => (
                TinyShape {
                    width: 192,
                    layers: 4,
                    heads: 6,
                    ffn_width: 512,
                    context: 512,
                },
                32_000,
                TinyTraining {
                    steps: 1_000,
                    batch_rows: 32,
                    learning_rate: 2e-3,
                    warmup_steps: 50,
                    weight_decay: 0.01,
                },
            ),
        };
        Self {
            shape,
            corpus: CorpusSettings {
                seed: Seed(0),
                documents,
            },
            training,
            seed,
            precision: Precision::F32,
        }
    }
}

impl TinyShape {
    /// Returns the configuration of a model with `vocabulary` tokens; whether there is one, the engine checks.
    pub fn config(&self, vocabulary: usize) -> ModelConfig {
        let rope = Rope {
            theta: 10_000.0,
            scaling: RopeScaling::None,
        };
        let head_width = self.width.checked_div(self.heads).unwrap_or(0);
        ModelConfig {
            family: Family::Llama,
            vocabulary,
            width: self.width,
            layers: self.layers,
            heads: self.heads,
            kv_heads: self.heads,
            head_width,
            ffn_width: self.ffn_width,
            context: self.context,
            norm_epsilon: 1e-5,
            local_rope: rope.clone(),
            rope,
            attention: vec![LayerAttention::Global; self.layers],
            attention_scale: 1.0 / (head_width as f64).sqrt(),
            tied_head: true,
            qkv_biases: false,
            qk_norms: false,
            post_norms: false,
            gate: GateActivation::Silu,
            embedding_scale: 1.0,
        }
    }
}

impl TinyTraining {
    /// Returns the settings of the engine.
    pub fn settings(&self) -> TrainSettings {
        TrainSettings {
            objective: Objective::CrossEntropy,
            base_kl: None,
            optimiser: Optimiser::AdamW {
                learning_rate: self.learning_rate,
                beta1: 0.9,
                beta2: 0.95,
                epsilon: 1e-8,
                weight_decay: self.weight_decay,
            },
            schedule: Schedule {
                decay: Decay::Cosine,
                warmup_steps: self.warmup_steps,
            },
            steps: self.steps,
            clip: Some(1.0),
        }
    }
}
