//! Rows to train on, as tokens, and which of them an optimiser step takes.
//!
//! A [`TrainingRow`] is a prompt and the completion that is learned. A [`Plan`] says which rows make up each step, as a
//! pure function of settings and step, so that a resumed run needs no more than its step number. Text, chat templates and
//! files are elsewhere.
//!
//! A step's loss is the mean over all completion tokens of its rows, however they are cut into smaller batches to fit in
//! memory: sums are added up and divided once by [`completion_tokens`]. This is what transformers' trainer does when it
//! knows `num_items_in_batch`; a long completion counts for more than a short one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Seed;

/// A prompt and its completion.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingRow {
    tokens: Vec<u32>,
    prompt_tokens: usize,
    soft: Option<SoftLabels>,
}

/// A teacher's k most likely tokens at each of C completion positions.
#[derive(Debug, Clone, PartialEq)]
pub struct SoftLabels {
    /// k, at least 1.
    pub k: usize,
    /// Tokens, `[C, k]`, row-major; distinct within a position, in any order.
    pub ids: Vec<u32>,
    /// Their log-probabilities in nats under the teacher's whole distribution, `[C, k]`. Losses renormalise them.
    pub log_probabilities: Vec<f32>,
}

/// A row cannot be trained on.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum RowError {
    /// Nothing stands before the first completion token, so nothing predicts it.
    #[error("the prompt is empty: the first completion token has nothing before it")]
    EmptyPrompt,
    /// There is nothing to learn.
    #[error("the completion is empty")]
    EmptyCompletion,
    /// Some position has no soft label, or more than one.
    #[error("soft labels for {labels} positions, {completion} completion tokens")]
    SoftLabels {
        /// Positions with labels: `ids.len() / k`; 0 if the shapes do not fit each other.
        labels: usize,
        /// Completion tokens.
        completion: usize,
    },
    /// A stored log-probability is above 0 by more than rounding, or no number.
    #[error("completion position {position}: {value} is not a log-probability")]
    LogProbability {
        /// Completion position, from 0.
        position: usize,
        /// The value.
        value: f32,
    },
    /// A soft label names a token twice.
    #[error("completion position {position}: token {token} has two probabilities")]
    RepeatedToken {
        /// Completion position, from 0.
        position: usize,
        /// The token.
        token: u32,
    },
    /// A token that the model does not have.
    #[error("token {token}, a vocabulary of {vocabulary}")]
    Token {
        /// The token.
        token: u32,
        /// Tokens the model has.
        vocabulary: usize,
    },
    /// The row is longer than the model's context.
    #[error("{tokens} tokens, a context of {context}")]
    TooLong {
        /// Tokens of prompt and completion.
        tokens: usize,
        /// The model's context.
        context: usize,
    },
}

/// Log-probabilities computed in bf16 exceed 0 by up to this.
const ROUNDED_ABOVE_ZERO: f32 = 1e-2;

impl TrainingRow {
    /// Joins prompt and completion, with a teacher's labels where the objective needs them.
    ///
    /// # Errors
    /// [`RowError`], except for its last two kinds.
    pub fn new(
        prompt: &[u32],
        completion: &[u32],
        soft: Option<SoftLabels>,
    ) -> Result<Self, RowError> {
        if prompt.is_empty() {
            return Err(RowError::EmptyPrompt);
        }
        if completion.is_empty() {
            return Err(RowError::EmptyCompletion);
        }
        if let Some(soft) = &soft {
            soft.check(completion.len())?;
        }
        Ok(Self {
            tokens: [prompt, completion].concat(),
            prompt_tokens: prompt.len(),
            soft,
        })
    }

    /// Checks that a model has these tokens and this context.
    ///
    /// # Errors
    /// [`RowError::Token`], [`RowError::TooLong`].
    pub fn check(&self, vocabulary: usize, context: usize) -> Result<(), RowError> {
        if self.tokens.len() > context {
            return Err(RowError::TooLong {
                tokens: self.tokens.len(),
                context,
            });
        }
        let labels = self.soft.iter().flat_map(|soft| &soft.ids);
        match self
            .tokens
            .iter()
            .chain(labels)
            .find(|token| **token as usize >= vocabulary)
        {
            Some(&token) => Err(RowError::Token { token, vocabulary }),
            None => Ok(()),
        }
    }

    /// Returns prompt and completion, `[P + C]`.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Returns the completion, `[C]`.
    pub fn completion(&self) -> &[u32] {
        &self.tokens[self.prompt_tokens..]
    }

    /// Returns the positions whose logits are learned from: completion token c is predicted at `P + c - 1`.
    pub fn positions(&self) -> std::ops::Range<usize> {
        self.prompt_tokens - 1..self.tokens.len() - 1
    }

    /// Returns the teacher's labels.
    pub fn soft(&self) -> Option<&SoftLabels> {
        self.soft.as_ref()
    }
}

impl SoftLabels {
    /// Returns tokens and log-probabilities of completion position `position`, both `[k]`.
    ///
    /// # Panics
    /// If there is no such position.
    pub fn at(&self, position: usize) -> (&[u32], &[f32]) {
        let range = position * self.k..(position + 1) * self.k;
        (&self.ids[range.clone()], &self.log_probabilities[range])
    }

    fn check(&self, completion: usize) -> Result<(), RowError> {
        let n = completion.checked_mul(self.k);
        if self.k == 0 || n != Some(self.ids.len()) || n != Some(self.log_probabilities.len()) {
            let fits = self.k > 0 && self.ids.len() == self.log_probabilities.len();
            let labels = if fits { self.ids.len() / self.k } else { 0 };
            return Err(RowError::SoftLabels { labels, completion });
        }
        for position in 0..completion {
            let (ids, log_probabilities) = self.at(position);
            // An infinitely unlikely token would make a reverse KL that is no number.
            if let Some(&value) = log_probabilities
                .iter()
                .find(|value| !value.is_finite() || **value > ROUNDED_ABOVE_ZERO)
            {
                return Err(RowError::LogProbability { position, value });
            }
            let mut sorted = ids.to_vec();
            sorted.sort_unstable();
            if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
                let token = pair[0];
                return Err(RowError::RepeatedToken { position, token });
            }
        }
        Ok(())
    }
}

/// Returns the number of completion tokens of `rows`: what a step's summed loss and gradient are divided by.
pub fn completion_tokens<'a>(rows: impl IntoIterator<Item = &'a TrainingRow>) -> usize {
    rows.into_iter().map(|row| row.completion().len()).sum()
}

/// How long a training run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Length {
    /// Times every row is seen.
    Epochs(u64),
    /// Optimiser steps, over as many epochs as they need.
    Steps(u64),
}

/// Which rows every optimiser step takes.
///
/// An epoch is a permutation of all rows, cut into batches; its last batch may be smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    seed: Seed,
    rows: u32,
    batch_rows: u32,
    length: Length,
}

impl Plan {
    /// Plans a run over `rows` rows, `batch_rows` a step (the effective batch, whatever it is cut into).
    ///
    /// Returns `None` if there are no rows or a batch has none.
    pub fn new(seed: Seed, rows: u32, batch_rows: u32, length: Length) -> Option<Self> {
        (rows > 0 && batch_rows > 0).then_some(Self {
            seed,
            rows,
            batch_rows,
            length,
        })
    }

    /// Returns the optimiser steps of an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        u64::from(self.rows.div_ceil(self.batch_rows))
    }

    /// Returns the optimiser steps of the run.
    pub fn steps(&self) -> u64 {
        match self.length {
            Length::Epochs(epochs) => epochs.saturating_mul(self.steps_per_epoch()),
            Length::Steps(steps) => steps,
        }
    }

    /// Returns the order of all rows in `epoch`, from 0: where it is needed more than once, keep it.
    pub fn order(&self, epoch: u64) -> Vec<u32> {
        self.seed
            .stream("lm/row-order", epoch)
            .permutation(self.rows)
    }

    /// Returns the epoch of step `step`, and its batch's place in that epoch's [`Plan::order`].
    pub fn batch(&self, step: u64) -> (u64, std::ops::Range<usize>) {
        let start = (step % self.steps_per_epoch()) * u64::from(self.batch_rows);
        let end = (start + u64::from(self.batch_rows)).min(u64::from(self.rows));
        (step / self.steps_per_epoch(), start as usize..end as usize)
    }

    /// Returns the rows of step `step`, counted from 0, in the order in which their gradients are added.
    pub fn rows(&self, step: u64) -> Vec<u32> {
        let (epoch, place) = self.batch(step);
        self.order(epoch)[place].to_vec()
    }
}

#[cfg(test)]
mod tests;
