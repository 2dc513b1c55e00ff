//! What a training run did, step by step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_lm::train::StepReport;

/// Every optimiser step and every evaluation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainingLog {
    /// The steps, in order.
    pub steps: Vec<LoggedStep>,
    /// The evaluations, in order.
    pub evaluations: Vec<Evaluation>,
}

/// One optimiser step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoggedStep {
    /// Counted from 0.
    pub step: u64,
    /// Mean loss of its rows before the update, in nats a completion token.
    pub loss: f64,
    /// Norm of the gradient before it was limited.
    pub gradient_norm: f64,
    /// Factor of the schedule on the learning rate.
    pub rate_factor: f64,
    /// Tokens of its rows.
    pub tokens: u64,
    /// Those of completions.
    pub completion_tokens: u64,
}

/// The loss on the evaluation rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Optimiser steps taken before it.
    pub step: u64,
    /// Mean loss, in nats a completion token.
    pub loss: f64,
}

impl LoggedStep {
    pub(crate) fn new(step: u64, report: &StepReport) -> Self {
        Self {
            step,
            loss: report.loss,
            gradient_norm: report.gradient_norm,
            rate_factor: report.rate_factor,
            tokens: report.tokens as u64,
            completion_tokens: report.completion_tokens as u64,
        }
    }
}
