//! Low-rank adapters: which projections have one, their weights in memory, and how they are first drawn.
//!
//! A projection with an adapter computes `y = W x + s B (A x)`. Files are in [`crate::peft`].

use std::collections::BTreeSet;
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::{Digest, Seed};

use crate::config::{ModelConfig, Part, Tensor};

/// Ranks beyond any use are refused, so that a hostile file cannot ask for them.
pub const MAX_RANK: usize = 4096;

/// A matrix of a block that can have an adapter.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Projection {
    /// Query projection.
    Query,
    /// Key projection.
    Key,
    /// Value projection.
    Value,
    /// Output projection of attention.
    Output,
    /// Gate projection.
    Gate,
    /// Up projection.
    Up,
    /// Down projection.
    Down,
}

impl Projection {
    /// Every projection, in the order in which a block uses them.
    pub const ALL: [Self; 7] = [
        Self::Query,
        Self::Key,
        Self::Value,
        Self::Output,
        Self::Gate,
        Self::Up,
        Self::Down,
    ];

    /// Returns the part of a block that it is.
    pub fn part(self) -> Part {
        match self {
            Self::Query => Part::Query,
            Self::Key => Part::Key,
            Self::Value => Part::Value,
            Self::Output => Part::Output,
            Self::Gate => Part::Gate,
            Self::Up => Part::Up,
            Self::Down => Part::Down,
        }
    }

    /// Returns its name in transformers and peft: `q_proj`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "q_proj",
            Self::Key => "k_proj",
            Self::Value => "v_proj",
            Self::Output => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// Returns the module it stands in, within a block: `self_attn` or `mlp`.
    pub fn module(self) -> &'static str {
        match self {
            Self::Query | Self::Key | Self::Value | Self::Output => "self_attn",
            Self::Gate | Self::Up | Self::Down => "mlp",
        }
    }
}

/// How alpha becomes the factor s on `B A`, at rank r.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LoraScaling {
    /// `alpha / r` (Hu et al. 2021).
    Standard,
    /// `alpha / √r` (rsLoRA, Kalajdzievski 2023).
    RankStabilised,
}

/// The shape of an adapter. There is no dropout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// r, 1 to 4096.
    pub rank: usize,
    /// alpha, not 0.
    pub alpha: f64,
    /// Which projections of every block have an adapter; at least one.
    pub targets: BTreeSet<Projection>,
    /// How alpha is used.
    pub scaling: LoraScaling,
}

/// An adapter's shape cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LoraConfigError {
    /// The rank is out of range.
    #[error("rank {rank}: 1 to {MAX_RANK} are possible")]
    Rank {
        /// What was asked for.
        rank: usize,
    },
    /// alpha is 0, infinite or no number.
    #[error("alpha {alpha}: a finite number other than 0 is needed")]
    Alpha {
        /// What was asked for.
        alpha: f64,
    },
    /// No projection is named.
    #[error("no projection has an adapter")]
    NoTargets,
}

impl LoraConfig {
    /// Returns the usual adapter: every projection, standard scaling.
    pub fn all_projections(rank: usize, alpha: f64) -> Self {
        Self {
            rank,
            alpha,
            targets: Projection::ALL.into(),
            scaling: LoraScaling::Standard,
        }
    }

    /// Returns s, the factor on `B A`.
    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        match self.scaling {
            LoraScaling::Standard => self.alpha / rank,
            LoraScaling::RankStabilised => self.alpha / rank.sqrt(),
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`LoraConfigError`]
    pub fn check(&self) -> Result<(), LoraConfigError> {
        if !(1..=MAX_RANK).contains(&self.rank) {
            return Err(LoraConfigError::Rank { rank: self.rank });
        }
        if !self.alpha.is_finite() || self.alpha == 0.0 {
            return Err(LoraConfigError::Alpha { alpha: self.alpha });
        }
        if self.targets.is_empty() {
            return Err(LoraConfigError::NoTargets);
        }
        Ok(())
    }
}

/// Where one projection's A and B are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoraPair {
    /// Block 0, 1, …
    pub layer: usize,
    /// The projection.
    pub projection: Projection,
    /// Width of x.
    pub inputs: usize,
    /// Width of y.
    pub outputs: usize,
    /// A's values in [`LoraWeights::values`]: `[rank, inputs]`, row-major.
    pub a: Range<usize>,
    /// B's values: `[outputs, rank]`, row-major.
    pub b: Range<usize>,
}

/// An adapter's weights: one flat vector, block by block, projection by projection, A before B.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraWeights {
    config: LoraConfig,
    pairs: Vec<LoraPair>,
    values: Vec<f32>,
}

impl LoraWeights {
    /// Makes an adapter of zeros.
    ///
    /// # Errors
    /// [`LoraConfigError`]
    pub fn zeros(config: LoraConfig, model: &ModelConfig) -> Result<Self, LoraConfigError> {
        config.check()?;
        let pairs = pairs(&config, model);
        let end = pairs.last().map_or(0, |pair| pair.b.end);
        Ok(Self {
            config,
            pairs,
            values: vec![0.0; end],
        })
    }

    /// Draws a new adapter: A uniform in ±1/√inputs, B 0, so that it changes nothing yet.
    ///
    /// Every pair has a stream of its own, so the draws of one do not depend on which others there are.
    ///
    /// # Errors
    /// [`LoraConfigError`]
    ///
    /// # Source
    /// peft's default, `kaiming_uniform_(a=√5)`, whose bound is 1/√inputs.
    pub fn initial(
        config: LoraConfig,
        model: &ModelConfig,
        seed: Seed,
    ) -> Result<Self, LoraConfigError> {
        let mut weights = Self::zeros(config, model)?;
        for pair in &weights.pairs {
            let index = pair.layer * Projection::ALL.len() + pair.projection as usize;
            let mut stream = seed.stream("lm/lora-init", index as u64);
            let bound = 1.0 / (pair.inputs as f64).sqrt();
            weights.values[pair.a.clone()]
                .fill_with(|| ((2.0 * stream.uniform() - 1.0) * bound) as f32);
        }
        Ok(weights)
    }

    /// Returns the shape.
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// Returns every pair, in the order of the values.
    pub fn pairs(&self) -> &[LoraPair] {
        &self.pairs
    }

    /// Returns the pair of a projection, if it has one.
    pub fn pair(&self, layer: usize, projection: Projection) -> Option<&LoraPair> {
        let per_layer = self.config.targets.len();
        let place = self
            .config
            .targets
            .iter()
            .position(|&target| target == projection)?;
        self.pairs.get(layer * per_layer + place)
    }

    /// Returns a pair's A, `[rank, inputs]`.
    pub fn a(&self, pair: &LoraPair) -> &[f32] {
        &self.values[pair.a.clone()]
    }

    /// Returns a pair's B, `[outputs, rank]`.
    pub fn b(&self, pair: &LoraPair) -> &[f32] {
        &self.values[pair.b.clone()]
    }

    /// Returns all weights; their number is that of the trained parameters.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Returns all weights, to be changed.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Checks that the adapter is one for `model`.
    ///
    /// # Errors
    /// [`WrongModelError`]
    pub fn check_model(&self, model: &ModelConfig) -> Result<(), WrongModelError> {
        match pairs(&self.config, model) == self.pairs {
            true => Ok(()),
            false => Err(WrongModelError {
                adapter_layers: self.pairs.last().map_or(0, |pair| pair.layer + 1),
                model_layers: model.layers,
            }),
        }
    }

    /// Names shape and weights.
    pub fn digest(&self) -> Digest {
        let mut bytes = serde_json::to_vec(&self.config).expect("a checked shape has a JSON form");
        bytes.push(0);
        for value in &self.values {
            bytes.extend(value.to_le_bytes());
        }
        Digest::of(&bytes)
    }
}

/// An adapter was made for a model of other sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the adapter has other sizes than the model ({adapter_layers} and {model_layers} blocks)")]
pub struct WrongModelError {
    /// Blocks of the adapter.
    pub adapter_layers: usize,
    /// Blocks of the model.
    pub model_layers: usize,
}

/// Lays out every pair of an adapter, one after the other.
fn pairs(config: &LoraConfig, model: &ModelConfig) -> Vec<LoraPair> {
    let mut pairs = Vec::new();
    let mut start = 0;
    for layer in 0..model.layers {
        for &projection in &config.targets {
            let (outputs, inputs) = model.shape(Tensor::Layer(layer, projection.part()));
            let a = start..start + config.rank * inputs;
            let b = a.end..a.end + outputs * config.rank;
            start = b.end;
            pairs.push(LoraPair {
                layer,
                projection,
                inputs,
                outputs,
                a,
                b,
            });
        }
    }
    pairs
}

#[cfg(test)]
mod tests;
