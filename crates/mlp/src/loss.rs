//! What a training step minimises: which loss, over which logits, averaged how.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the per-example losses of a batch become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reduction {
    /// The mean over the examples of the batch.
    Mean,
    /// The published script's scaling: its batch tensor is `[models, batch, logits]`, and PyTorch's `batchmean` divides
    /// by dimension 0, so a model's KL gradient is the *sum* over its batch divided by the number of models, and its
    /// cross-entropy gradient the mean divided by the number of models. With Adam this is nearly irrelevant (only
    /// through epsilon); with SGD it multiplies the learning rate.
    BatchMeanQuirk {
        /// Models in the published batch tensor.
        models: u32,
    },
}

/// A loss over a contiguous range of logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Loss {
    /// Which loss.
    pub kind: LossKind,
    /// The logits that enter; all others get no gradient.
    pub logits: Range<usize>,
    /// How examples are averaged.
    pub reduction: Reduction,
    /// Logits of student and teacher are divided by this before a softmax; no effect on the squared error.
    pub temperature: f64,
}

/// The losses of the experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// -log softmax(z)\[label\] over the selected logits, in nats.
    CrossEntropy,
    /// KL(softmax(teacher) ‖ softmax(student)) over the selected logits, temperature 1, in nats.
    Kl,
    /// Mean over the selected logits of (student - teacher)².
    Mse,
}

impl Loss {
    /// Returns a loss over `logits`, mean over the batch, temperature 1.
    pub const fn new(kind: LossKind, logits: Range<usize>) -> Self {
        Self {
            kind,
            logits,
            reduction: Reduction::Mean,
            temperature: 1.0,
        }
    }

    /// Returns the factor a per-example gradient is multiplied with in a batch of `rows` rows.
    pub(crate) fn gradient_scale(&self, rows: usize) -> f64 {
        match (self.reduction, self.kind) {
            (Reduction::Mean, _) => 1.0 / rows as f64,
            (Reduction::BatchMeanQuirk { models }, LossKind::Kl) => 1.0 / f64::from(models),
            (Reduction::BatchMeanQuirk { models }, _) => 1.0 / (rows as f64 * f64::from(models)),
        }
    }
}
