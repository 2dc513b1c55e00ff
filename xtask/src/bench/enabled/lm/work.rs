//! What is done in a measurement: three tasks on random tokens, the same on both sides.

use std::path::PathBuf;

use anyhow::{Context, Result};
use undertone_lm::ModelConfig;

use super::LmArgs;
pub use crate::bench::LmTask as Task;
use crate::tools;

/// A model of random weights, for smoke tests.
const TINY: &str = "crates/lm/tests/golden/tiny-llama/model.gguf";

impl Task {
    /// All of them, in the order they are measured.
    pub const ALL: [Self; 3] = [Self::Train, Self::Sample, Self::Score];

    /// Returns what the peers call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Sample => "sample",
            Self::Score => "score",
        }
    }
}

impl LmArgs {
    /// Whether a task is to be measured.
    pub fn wants(&self, task: Task) -> bool {
        self.tasks.is_empty() || self.tasks.contains(&task)
    }
}

/// How much of everything; the defaults of the peers in `scripts/bench/` are the same.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Optimiser steps in a measurement.
    pub train_steps: usize,
    pub train_rows: usize,
    /// Tokens of a row; `prompt_tokens` of them are the prompt.
    pub train_tokens: usize,
    pub sample_rows: usize,
    pub prompt_tokens: usize,
    pub sample_tokens: usize,
    pub score_rows: usize,
    pub score_tokens: usize,
}

impl Sizes {
    pub const FULL: Self = Self {
        train_steps: 3,
        train_rows: 8,
        train_tokens: 96,
        sample_rows: 64,
        prompt_tokens: 30,
        sample_tokens: 64,
        score_rows: 512,
        score_tokens: 100,
    };
    pub const SMOKE: Self = Self {
        train_steps: 1,
        train_rows: 2,
        train_tokens: 8,
        sample_rows: 2,
        prompt_tokens: 5,
        sample_tokens: 4,
        score_rows: 4,
        score_tokens: 10,
    };

    /// Returns the tokens of a task: trained on, made, or scored.
    pub fn tokens(&self, task: Task) -> u64 {
        let tokens = match task {
            Task::Train => self.train_steps * self.train_rows * self.train_tokens,
            Task::Sample => self.sample_rows * self.sample_tokens,
            Task::Score => self.score_rows * self.score_tokens,
        };
        tokens as u64
    }

    /// Returns the FLOP of the products with the model's matrices that the task cannot do without.
    ///
    /// Two for each weight and token that passes; a frozen model's backward pass takes as many. Not counted are attention,
    /// the adapter, and the head where nothing is predicted.
    pub fn flop(&self, task: Task, config: &ModelConfig) -> f64 {
        let head = (config.vocabulary * config.width) as f64;
        let embeddings = if config.tied_head { head } else { 2.0 * head };
        let blocks = config.parameters() as f64 - embeddings;
        let tokens = self.tokens(task) as f64;
        match task {
            Task::Train => {
                let prompts = self.train_steps * self.train_rows * self.prompt_tokens;
                4.0 * (blocks * tokens + head * (tokens - prompts as f64))
            }
            Task::Sample => {
                // The last token drawn never passes.
                let passed = (self.prompt_tokens + self.sample_tokens - 1) * self.sample_rows;
                2.0 * (blocks * passed as f64 + head * tokens)
            }
            Task::Score => 2.0 * (blocks + head) * (tokens - self.score_rows as f64),
        }
    }
}

/// Returns the GGUF file that is measured.
///
/// # Errors
/// If none was named, unless it is a smoke test.
pub fn model_path(args: &LmArgs) -> Result<PathBuf> {
    match (&args.model, args.smoke) {
        (Some(path), _) => std::path::absolute(path).context("the working folder is gone"),
        (None, true) => Ok(tools::root().join(TINY)),
        (None, false) => anyhow::bail!(
            "name a model: --model FILE.gguf, for example SmolLM2-135M-Instruct.Q4_1.gguf"
        ),
    }
}
