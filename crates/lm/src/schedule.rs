//! How the learning rate changes over a run: a factor for every step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The course of the learning rate after warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// Stays at 1.
    Constant,
    /// Falls in a straight line to 0 at the end.
    Linear,
    /// Falls along half a cosine wave to 0 at the end.
    Cosine,
}

/// A learning-rate schedule.
///
/// # Source
/// `get_constant_schedule_with_warmup`, `get_linear_schedule_with_warmup` and `get_cosine_schedule_with_warmup` of
/// transformers. As there, the first step of a warm-up has learning rate 0. Differs: past the end, where theirs rises again,
/// the cosine stays at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// What follows the warm-up.
    pub decay: Decay,
    /// Steps over which the factor rises from 0 to 1; 0 is no warm-up.
    pub warmup_steps: u64,
}

impl Schedule {
    /// Returns the factor on the learning rate in optimiser step `step` of `steps`, counted from 0.
    ///
    /// With w warm-up steps: `step / w` below w; then 1, `(steps - step) / (steps - w)`, or
    /// `(1 + cos(π (step - w) / (steps - w))) / 2`. From step `steps` on, a decayed factor is 0.
    pub fn factor(&self, step: u64, steps: u64) -> f64 {
        let warmup = self.warmup_steps;
        if step < warmup {
            return step as f64 / warmup as f64;
        }
        let length = steps.saturating_sub(warmup).max(1) as f64;
        match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => steps.saturating_sub(step) as f64 / length,
            Decay::Cosine => {
                let progress = ((step - warmup) as f64 / length).min(1.0);
                0.5 * (1.0 + libm::cos(std::f64::consts::PI * progress))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(decay: Decay, warmup_steps: u64, expected: &[(u64, f64)]) {
        let schedule = Schedule {
            decay,
            warmup_steps,
        };
        for &(step, expected) in expected {
            let factor = schedule.factor(step, 10);
            // Absolute: a cosine of f64.
            assert!(
                (factor - expected).abs() < 1e-15,
                "{decay:?}, step {step}: {factor}"
            );
        }
    }

    #[test]
    fn constant_stays_after_its_warm_up() {
        check(
            Decay::Constant,
            4,
            &[(0, 0.0), (1, 0.25), (4, 1.0), (9, 1.0), (50, 1.0)],
        );
    }

    #[test]
    fn linear_reaches_zero_at_the_end() {
        check(
            Decay::Linear,
            2,
            &[
                (0, 0.0),
                (1, 0.5),
                (2, 1.0),
                (3, 0.875),
                (9, 0.125),
                (10, 0.0),
                (11, 0.0),
            ],
        );
        check(Decay::Linear, 0, &[(0, 1.0), (5, 0.5)]);
    }

    #[test]
    fn cosine_is_half_way_in_the_middle() {
        check(
            Decay::Cosine,
            2,
            &[(1, 0.5), (2, 1.0), (6, 0.5), (10, 0.0), (12, 0.0)],
        );
    }

    #[test]
    fn a_run_shorter_than_its_warm_up_never_arrives() {
        check(Decay::Linear, 20, &[(0, 0.0), (9, 0.45)]);
        check(Decay::Linear, 10, &[(9, 0.9), (10, 0.0)]);
    }
}
