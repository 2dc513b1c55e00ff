//! What `undertone theorem` can be told, and what it refuses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Seed;

use super::case::COMBINATIONS;
use super::check::{N_SMALLEST, ORDER_FROM};

/// Settings of a numerical check of Theorem 1.
///
/// Fields left out take their defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TheoremSettings {
    /// The seed every case is drawn from. Default 0.
    pub seed: Seed,
    /// Number of cases, at least 1. Default 576: every combination of activation, student loss, student logits,
    /// teacher loss and input distribution twice.
    pub cases: u32,
    /// The lengths of the teacher's step, strictly decreasing, each in [1e-7, 1], at least three of them 1e-4 or less.
    /// Default 1e-2 to 1e-6 by half decades.
    pub epsilons: Vec<f64>,
    /// The student's learning rate α, positive. Default 0.1. Any value is within the theorem; a larger one needs a smaller ε.
    pub alpha: f64,
}

impl Default for TheoremSettings {
    fn default() -> Self {
        Self {
            seed: Seed(0),
            cases: 2 * COMBINATIONS,
            epsilons: vec![1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6],
            alpha: 0.1,
        }
    }
}

/// The settings of a theorem check make no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TheoremError {
    /// There is nothing to check.
    #[error("`cases` is 0: at least 1 is needed")]
    NoCases,
    /// The grid cannot show convergence.
    #[error(
        "`epsilons` has {got} entries of 1e-4 or less: at least 3 are needed to see convergence"
    )]
    TooFewSmallEpsilons {
        /// Such entries.
        got: usize,
    },
    /// A step length is outside the range in which f64 can show anything, or no number.
    #[error("`epsilons[{index}]` is {got}: it must lie between 1e-7 and 1")]
    EpsilonOutOfRange {
        /// Which entry.
        index: usize,
        /// Its value.
        got: f64,
    },
    /// The grid does not decrease.
    #[error("`epsilons[{index}]` is {got}, not less than the entry before it, {before}")]
    EpsilonsNotDecreasing {
        /// Which entry.
        index: usize,
        /// Its value.
        got: f64,
        /// The value before it.
        before: f64,
    },
    /// The student's learning rate is not a positive number.
    #[error("`alpha` is {got}: it must be a positive, finite number")]
    BadAlpha {
        /// The value given.
        got: f64,
    },
}

impl TheoremSettings {
    /// Checks every field.
    ///
    /// # Errors
    /// [`TheoremError`], for the first field that makes no sense.
    pub fn validate(&self) -> Result<(), TheoremError> {
        let Self {
            seed: _,
            cases,
            epsilons,
            alpha,
        } = self;
        if *cases == 0 {
            return Err(TheoremError::NoCases);
        }
        for (index, &got) in epsilons.iter().enumerate() {
            // Below 1e-7 rounding overtakes truncation and no order is left to see.
            if !(1e-7..=1.0).contains(&got) {
                return Err(TheoremError::EpsilonOutOfRange { index, got });
            }
        }
        for (index, pair) in epsilons.windows(2).enumerate() {
            if pair[1] >= pair[0] {
                return Err(TheoremError::EpsilonsNotDecreasing {
                    index: index + 1,
                    got: pair[1],
                    before: pair[0],
                });
            }
        }
        let got = epsilons.iter().filter(|e| **e <= ORDER_FROM).count();
        if got < N_SMALLEST {
            return Err(TheoremError::TooFewSmallEpsilons { got });
        }
        if !(alpha.is_finite() && *alpha > 0.0) {
            return Err(TheoremError::BadAlpha { got: *alpha });
        }
        Ok(())
    }
}
