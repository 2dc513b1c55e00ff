//! The optimisers, with PyTorch's semantics, and the numbers one step of them needs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An update rule and its constants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Optimiser {
    /// Adam (Kingma and Ba 2015), no weight decay.
    Adam {
        /// Learning rate.
        learning_rate: f64,
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        epsilon: f64,
    },
    /// Stochastic gradient descent; `momentum` 0 is the plain rule.
    Sgd {
        /// Learning rate.
        learning_rate: f64,
        /// Factor of the velocity kept from step to step; no dampening, no Nesterov.
        momentum: f64,
    },
}

impl Optimiser {
    /// Returns Adam with PyTorch's default constants.
    pub const fn adam(learning_rate: f64) -> Self {
        Self::Adam {
            learning_rate,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
        }
    }
}

/// One step's constants, worked out in `f64` and rounded once.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Update {
    /// m += c1 (g - m); v = b2 v + c2 g²; w -= rate · m / (√v · root + eps).
    Adam {
        c1: f32,
        b2: f32,
        c2: f32,
        rate: f32,
        root: f32,
        eps: f32,
    },
    /// u = momentum u + g; w -= rate u.
    Momentum { rate: f32, momentum: f32 },
    /// w -= rate g.
    Plain { rate: f32 },
}

impl Update {
    /// Returns the constants of step number `step`, counted from 1.
    pub fn at_step(optimiser: &Optimiser, step: u32) -> Self {
        match *optimiser {
            Optimiser::Adam {
                learning_rate,
                beta1,
                beta2,
                epsilon,
            } => Self::Adam {
                c1: (1.0 - beta1) as f32,
                b2: beta2 as f32,
                c2: (1.0 - beta2) as f32,
                rate: (learning_rate / (1.0 - beta1.powi(step as i32))) as f32,
                root: (1.0 / (1.0 - beta2.powi(step as i32)).sqrt()) as f32,
                eps: epsilon as f32,
            },
            Optimiser::Sgd {
                learning_rate,
                momentum,
            } if momentum != 0.0 => Self::Momentum {
                rate: learning_rate as f32,
                momentum: momentum as f32,
            },
            Optimiser::Sgd { learning_rate, .. } => Self::Plain {
                rate: learning_rate as f32,
            },
        }
    }
}
