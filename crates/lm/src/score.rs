//! Scoring: what a model thinks of tokens that are given.
//!
//! For every row, a prompt and a completion: the log-probability of each completion token; the best tokens there; the whole
//! distribution after chosen tokens; the residual stream after chosen blocks. What neighbouring rows begin with is computed
//! once. A row's result is the same bits whatever rows are beside it. Logits exist for some positions at a time only.
//! Knows no files and no text.

mod group;
mod plan;

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::adapter::Adapter;
use crate::examples::SoftLabels;
use crate::forward::{Crew, Pass};
use crate::model::Model;

use group::{Trunk, Worker};
use plan::{Group, groups, trunk};

/// Groups a thread works on, on average, between two hand-overs.
const GROUPS_PER_THREAD: usize = 4;

/// What is wanted beside log-probabilities.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoreSettings {
    /// Best tokens at every completion position; 0 for none. At most those of the vocabulary are given.
    pub top_k: usize,
    /// Blocks after which the residual stream is wanted, counted from 1; 0 is before the first.
    pub layers: Vec<usize>,
}

/// What is scored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScoreRow {
    /// What stands before the completion; at least one token if that has any.
    pub prompt: Vec<u32>,
    /// The tokens whose log-probabilities are wanted; may be empty.
    pub completion: Vec<u32>,
    /// Positions in prompt and completion, counted from 0, after whose token the whole distribution is wanted.
    pub distributions: Vec<usize>,
    /// Positions whose residual stream is wanted, after each of [`ScoreSettings::layers`].
    pub hidden: Vec<usize>,
}

/// What came out for a row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Score {
    /// Of every completion token: the natural logarithm of its probability, `[C]`.
    pub log_probabilities: Vec<f32>,
    /// At every completion position, the best tokens, the best first; of equals, the smaller token.
    pub top_k: Option<SoftLabels>,
    /// Of every wanted position: log-probabilities of the next token, `[V]`.
    pub distributions: Vec<Vec<f32>>,
    /// Of every wanted layer: the residual stream at every wanted position, `[positions, width]`, before any norm.
    pub hidden: Vec<Vec<f32>>,
}

/// Scoring cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// There is no such block.
    #[error("layer {layer} is beyond the model's {layers}")]
    Layer {
        /// As given.
        layer: usize,
        /// Blocks of the model.
        layers: usize,
    },
    /// A row cannot be scored.
    #[error("row {row}: {problem}")]
    Row {
        /// Its place, from 0.
        row: usize,
        /// Why.
        problem: RowProblem,
    },
    /// Whoever takes the scores refused one.
    #[error("a score could not be taken")]
    Sink(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a row cannot be scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RowProblem {
    /// Nothing predicts the first completion token.
    #[error("the prompt is empty: the first completion token has nothing before it")]
    EmptyPrompt,
    /// A token is not in the vocabulary.
    #[error("token {token} is beyond the vocabulary of {vocabulary}")]
    Token {
        /// The token.
        token: u32,
        /// Tokens of the model.
        vocabulary: usize,
    },
    /// It does not fit into the longest sequence.
    #[error("{tokens} tokens do not fit into {positions} positions")]
    TooLong {
        /// Of prompt and completion.
        tokens: usize,
        /// Of the model.
        positions: usize,
    },
    /// A wanted position has no token.
    #[error("position {position} is beyond its {tokens} tokens")]
    Position {
        /// As given, from 0.
        position: usize,
        /// Of prompt and completion.
        tokens: usize,
    },
}

impl ScoreRow {
    /// Returns the number of tokens of prompt and completion.
    fn len(&self) -> usize {
        self.prompt.len() + self.completion.len()
    }

    /// Returns the tokens that have to pass through the model.
    fn inputs(&self) -> Vec<u32> {
        let wanted = self.distributions.iter().chain(&self.hidden).max();
        let by_positions = wanted.map_or(0, |position| position + 1);
        let by_completion = match self.completion.len() {
            0 => 0,
            _ => self.len() - 1,
        };
        let tokens = self.prompt.iter().chain(&self.completion);
        tokens
            .copied()
            .take(by_positions.max(by_completion))
            .collect()
    }

    /// Returns the positions that predict the completion.
    fn predicting(&self) -> std::ops::Range<usize> {
        let first = self.prompt.len().saturating_sub(1);
        first..first + self.completion.len()
    }

    fn check(&self, model: &Model) -> Result<(), RowProblem> {
        let (tokens, positions) = (self.len(), model.max_positions);
        let vocabulary = model.config.vocabulary;
        let mut all = self.prompt.iter().chain(&self.completion);
        if self.prompt.is_empty() && !self.completion.is_empty() {
            return Err(RowProblem::EmptyPrompt);
        }
        if let Some(&token) = all.find(|token| **token as usize >= vocabulary) {
            return Err(RowProblem::Token { token, vocabulary });
        }
        if tokens > positions {
            return Err(RowProblem::TooLong { tokens, positions });
        }
        let mut wanted = self.distributions.iter().chain(&self.hidden);
        match wanted.find(|position| **position >= tokens) {
            Some(&position) => Err(RowProblem::Position { position, tokens }),
            None => Ok(()),
        }
    }
}

/// Scores with one model.
#[derive(Clone, Copy)]
pub struct Scorer<'a> {
    /// The model.
    pub model: &'a Model,
    /// Its adapter, if any.
    pub adapter: Option<&'a Adapter>,
    /// What is wanted.
    pub settings: &'a ScoreSettings,
}

impl Scorer<'_> {
    /// Scores every row and hands the scores to `sink` in the order of the rows.
    ///
    /// # Errors
    /// [`ScoreError`]: all rows are checked before the first is scored. Scores handed over stay valid.
    pub fn run(
        &self,
        rows: &[ScoreRow],
        sink: &mut dyn FnMut(Score) -> Result<(), Box<dyn std::error::Error + Send + Sync>>,
    ) -> Result<(), ScoreError> {
        self.check(rows)?;
        let inputs: Vec<Vec<u32>> = rows.iter().map(ScoreRow::inputs).collect();
        let inputs: Vec<&[u32]> = inputs.iter().map(Vec::as_slice).collect();
        let trunk = self.trunk(&inputs);
        let groups = groups(&inputs, trunk.len);
        let workers = Workers::default();
        for wave in groups.chunks(GROUPS_PER_THREAD * rayon::current_num_threads()) {
            let scores: Vec<Vec<Score>> = wave
                .par_iter()
                .map(|group| {
                    workers.with(|worker| self.score(worker, group, rows, &inputs, &trunk))
                })
                .collect();
            for score in scores.into_iter().flatten() {
                sink(score).map_err(ScoreError::Sink)?;
            }
        }
        Ok(())
    }

    /// Scores every row.
    ///
    /// # Errors
    /// As [`Scorer::run`], but for the sink's.
    pub fn scores(&self, rows: &[ScoreRow]) -> Result<Vec<Score>, ScoreError> {
        let mut scores = Vec::with_capacity(rows.len());
        self.run(rows, &mut |score| {
            scores.push(score);
            Ok(())
        })?;
        Ok(scores)
    }

    fn check(&self, rows: &[ScoreRow]) -> Result<(), ScoreError> {
        let layers = self.model.config.layers;
        if let Some(&layer) = self.settings.layers.iter().find(|layer| **layer > layers) {
            return Err(ScoreError::Layer { layer, layers });
        }
        for (row, of) in rows.iter().enumerate() {
            of.check(self.model)
                .map_err(|problem| ScoreError::Row { row, problem })?;
        }
        Ok(())
    }

    /// Runs what all rows begin with, if it is worth it.
    fn trunk(&self, inputs: &[&[u32]]) -> Trunk {
        let common = trunk(inputs);
        Trunk::new(self.pass(Crew::Shared), &self.settings.layers, common)
    }

    fn score(
        &self,
        worker: &mut Worker,
        group: &Group,
        rows: &[ScoreRow],
        inputs: &[&[u32]],
        trunk: &Trunk,
    ) -> Vec<Score> {
        let pass = self.pass(Crew::Alone);
        let places = worker.forward(pass, group, inputs, trunk, &self.settings.layers);
        let rows = &rows[group.rows()];
        worker.read(pass, rows, &places, trunk, self.settings)
    }

    fn pass(&self, crew: Crew) -> Pass<'_> {
        Pass {
            model: self.model,
            adapter: self.adapter,
            crew,
            keep: false,
        }
    }
}

/// The memory of threads that are between two groups.
#[derive(Default)]
struct Workers {
    free: Mutex<Vec<Worker>>,
}

impl Workers {
    /// Lends memory for one group.
    fn with<T>(&self, work: impl FnOnce(&mut Worker) -> T) -> T {
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut worker = free().pop().unwrap_or_default();
        let result = work(&mut worker);
        free().push(worker);
        result
    }
}
