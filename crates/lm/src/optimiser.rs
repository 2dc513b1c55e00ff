//! The optimisers, with PyTorch's definitions and order of operations, on flat slices of `f32`.
//!
//! An [`Update`] is one step's constants; it changes weights value by value, so it does not matter how weights are laid
//! out, padded or cut into slices, nor how many threads share the work. `clip` limits a gradient's norm first.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod clip;

pub use clip::{clip_factor, gradient_norm};

/// Values a thread takes at a time: large enough to be worth a task, small enough for a second-level cache.
const CHUNK: usize = 1 << 15;

/// An update rule and its constants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Optimiser {
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    AdamW {
        /// Learning rate.
        learning_rate: f64,
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        epsilon: f64,
        /// Weights shrink by `learning_rate · weight_decay` a step.
        weight_decay: f64,
    },
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
    /// Returns AdamW with PyTorch's default constants but for `weight_decay`.
    pub const fn adamw(learning_rate: f64, weight_decay: f64) -> Self {
        Self::AdamW {
            learning_rate,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay,
        }
    }

    /// Returns Adam with PyTorch's default constants.
    pub const fn adam(learning_rate: f64) -> Self {
        Self::Adam {
            learning_rate,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
        }
    }

    /// Returns the vectors of state that every weight needs: 2 for the Adams, 1 with momentum, else 0.
    pub fn moments(&self) -> usize {
        match *self {
            Self::AdamW { .. } | Self::Adam { .. } => 2,
            Self::Sgd { momentum, .. } if momentum != 0.0 => 1,
            Self::Sgd { .. } => 0,
        }
    }
}

/// What an optimiser remembers: with the weights, all that a resumed run needs for the same bits.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimiserState {
    /// Steps taken.
    pub step: u64,
    /// First moments, or the velocity of SGD; empty if there are none.
    pub first: Vec<f32>,
    /// Second moments; empty if there are none.
    pub second: Vec<f32>,
}

impl OptimiserState {
    /// Returns the state of `n` weights before the first step.
    pub fn new(optimiser: &Optimiser, n: usize) -> Self {
        let length = |index| if optimiser.moments() > index { n } else { 0 };
        Self {
            step: 0,
            first: vec![0.0; length(0)],
            second: vec![0.0; length(1)],
        }
    }

    /// Takes one step over all weights at once.
    ///
    /// `factor` is the schedule's, on the learning rate; `gradient_factor` multiplies the gradient first
    /// ([`clip_factor`], or one over the number of tokens).
    ///
    /// # Panics
    /// If the lengths differ from those of the state.
    pub fn step(
        &mut self,
        optimiser: &Optimiser,
        factor: f64,
        weights: &mut [f32],
        gradient: &[f32],
        gradient_factor: f32,
    ) {
        self.step += 1;
        Update::at_step(optimiser, self.step, factor).apply(
            weights,
            gradient,
            gradient_factor,
            &mut self.first,
            &mut self.second,
        );
    }
}

/// One step's constants, worked out in f64 and rounded once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    rule: Rule,
    /// Weights are multiplied with this first.
    decay: f32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    /// m += c1 (g - m); v = b2 v + c2 g g; w -= rate (m / (√v / root + eps)).
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
    /// Returns the constants of step `step`, counted from 1, with the learning rate multiplied by `factor`.
    pub fn at_step(optimiser: &Optimiser, step: u64, factor: f64) -> Self {
        let adam = |learning_rate: f64, beta1: f64, beta2: f64, epsilon: f64| Rule::Adam {
            c1: (1.0 - beta1) as f32,
            b2: beta2 as f32,
            c2: (1.0 - beta2) as f32,
            rate: (learning_rate * factor / (1.0 - libm::pow(beta1, step as f64))) as f32,
            root: (1.0 - libm::pow(beta2, step as f64)).sqrt() as f32,
            eps: epsilon as f32,
        };
        let (rule, decay) = match *optimiser {
            Optimiser::AdamW {
                learning_rate,
                beta1,
                beta2,
                epsilon,
                weight_decay,
            } => (
                adam(learning_rate, beta1, beta2, epsilon),
                1.0 - learning_rate * factor * weight_decay,
            ),
            Optimiser::Adam {
                learning_rate,
                beta1,
                beta2,
                epsilon,
            } => (adam(learning_rate, beta1, beta2, epsilon), 1.0),
            Optimiser::Sgd {
                learning_rate,
                momentum,
            } => {
                let rate = (learning_rate * factor) as f32;
                let momentum = momentum as f32;
                if momentum == 0.0 {
                    (Rule::Plain { rate }, 1.0)
                } else {
                    (Rule::Momentum { rate, momentum }, 1.0)
                }
            }
        };
        Self {
            rule,
            decay: decay as f32,
        }
    }

    /// Returns the same update without weight decay: for norms and biases, as transformers trains them.
    pub fn without_decay(self) -> Self {
        Self { decay: 1.0, ..self }
    }

    /// Changes `weights` and moments by one step along `gradient_factor · gradient`.
    ///
    /// # Panics
    /// If the slices differ in length; `first` and `second` are empty where the rule has none.
    pub fn apply(
        &self,
        weights: &mut [f32],
        gradient: &[f32],
        gradient_factor: f32,
        first: &mut [f32],
        second: &mut [f32],
    ) {
        let n = weights.len();
        assert_eq!(gradient.len(), n, "gradients of {n} weights");
        let decay = self.decay;
        match self.rule {
            Rule::Adam {
                c1,
                b2,
                c2,
                rate,
                root,
                eps,
            } => {
                assert_eq!(
                    (first.len(), second.len()),
                    (n, n),
                    "moments of {n} weights"
                );
                let adam = |w: &mut f32, g: &f32, m: &mut f32, v: &mut f32| {
                    let g = g * gradient_factor;
                    *w *= decay;
                    *m += c1 * (g - *m);
                    *v = b2 * *v + c2 * g * g;
                    *w -= rate * (*m / (v.sqrt() / root + eps));
                };
                weights
                    .par_chunks_mut(CHUNK)
                    .zip(gradient.par_chunks(CHUNK))
                    .zip(first.par_chunks_mut(CHUNK))
                    .zip(second.par_chunks_mut(CHUNK))
                    .for_each(|(((weights, gradient), first), second)| {
                        let moments = first.iter_mut().zip(second);
                        for ((w, g), (m, v)) in weights.iter_mut().zip(gradient).zip(moments) {
                            adam(w, g, m, v);
                        }
                    });
            }
            Rule::Momentum { rate, momentum } => {
                assert_eq!(first.len(), n, "velocities of {n} weights");
                weights
                    .par_chunks_mut(CHUNK)
                    .zip(gradient.par_chunks(CHUNK))
                    .zip(first.par_chunks_mut(CHUNK))
                    .for_each(|((weights, gradient), velocity)| {
                        for ((w, g), u) in weights.iter_mut().zip(gradient).zip(velocity) {
                            *u = momentum * *u + g * gradient_factor;
                            *w -= rate * *u;
                        }
                    });
            }
            Rule::Plain { rate } => {
                weights
                    .par_chunks_mut(CHUNK)
                    .zip(gradient.par_chunks(CHUNK))
                    .for_each(|(weights, gradient)| {
                        for (w, g) in weights.iter_mut().zip(gradient) {
                            *w -= rate * (g * gradient_factor);
                        }
                    });
            }
        }
    }
}

#[cfg(test)]
mod tests;
