//! What training minimises: the definitions, and their slow f64 form.
//!
//! A loss belongs to a *position*: the logits at it against what is known about the next token. The loss of a batch is the
//! mean over all completion positions of the whole batch ([`crate::examples`]). The functions here take one position's
//! logits and return value and gradient in f64; the kernels compute the same in `f32` and are checked against them.
//!
//! Legend: `z` the student's logits, `q = softmax(z)` over the vocabulary, `p` the target distribution; all logarithms
//! natural, all values in nats.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the student is asked to match at a completion position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// The token that stands there: [`cross_entropy`].
    CrossEntropy,
    /// The teacher's stored top-k, mass-covering: [`forward_kl`].
    ForwardKl,
    /// The teacher's stored top-k, mode-seeking: [`reverse_kl`].
    ReverseKl,
}

/// A second loss that holds the student near its frozen base: `weight(step) · KL(base ‖ student)`, [`kl_to_base`].
///
/// It is added at every completion position, after the objective, and enters the same mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BaseKl {
    /// Weight in step 0.
    pub first: f64,
    /// Weight from step `steps` on; between them it moves in a straight line.
    pub last: f64,
    /// Steps from `first` to `last`; 0 is `last` throughout.
    pub steps: u64,
}

impl BaseKl {
    /// Returns the weight in optimiser step `step`, counted from 0.
    pub fn weight(&self, step: u64) -> f64 {
        if step >= self.steps {
            return self.last;
        }
        let progress = step as f64 / self.steps as f64;
        self.first + (self.last - self.first) * progress
    }
}

/// The loss at one position and its gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct PositionLoss {
    /// In nats.
    pub value: f64,
    /// With respect to the logits, `[V]`.
    pub gradient: Vec<f64>,
}

/// Returns the cross-entropy `-log q[token]`; gradient `q - onehot(token)`.
///
/// # Panics
/// If `token` is not below the number of logits.
pub fn cross_entropy(logits: &[f64], token: u32) -> PositionLoss {
    let log_q = log_softmax(logits);
    let token = token as usize;
    let mut gradient = exponentials(&log_q);
    gradient[token] -= 1.0;
    PositionLoss {
        value: -log_q[token],
        gradient,
    }
}

/// Returns `KL(p ‖ q) = Σ_k p_k (log p_k - log q_k)` with the teacher's top-k as `p`.
///
/// `p` is renormalised over its k tokens; `q` is the student's softmax over the whole vocabulary, so mass outside the
/// top-k costs. Gradient: `q - p`, with `p` 0 outside the top-k.
///
/// # Shapes
/// - `logits`: `[V]`
/// - `ids`, `log_probabilities`: `[k]`, `k >= 1`; ids distinct and below V
///
/// # Panics
/// If the shapes do not fit.
pub fn forward_kl(logits: &[f64], ids: &[u32], log_probabilities: &[f32]) -> PositionLoss {
    let log_q = log_softmax(logits);
    let log_p = renormalised(ids, log_probabilities);
    let mut gradient = exponentials(&log_q);
    let mut value = 0.0;
    for (&id, &log_p) in ids.iter().zip(&log_p) {
        let p = libm::exp(log_p);
        value += p * (log_p - log_q[id as usize]);
        gradient[id as usize] -= p;
    }
    PositionLoss { value, gradient }
}

/// Returns `KL(r ‖ p) = Σ_k r_k (log r_k - log p_k)` on the teacher's top-k.
///
/// Both sides are renormalised over the k tokens: `r` is the softmax of the student's k logits, `p` the teacher's top-k.
/// What the student gives to other tokens is not seen. Gradient: `r_k ((log r_k - log p_k) - KL)` inside the top-k, 0
/// outside.
///
/// # Shapes
/// As [`forward_kl`].
///
/// # Panics
/// If the shapes do not fit.
pub fn reverse_kl(logits: &[f64], ids: &[u32], log_probabilities: &[f32]) -> PositionLoss {
    let chosen: Vec<f64> = ids.iter().map(|&id| logits[id as usize]).collect();
    let log_r = log_softmax(&chosen);
    let log_p = renormalised(ids, log_probabilities);
    let value = log_r
        .iter()
        .zip(&log_p)
        .map(|(&log_r, &log_p)| libm::exp(log_r) * (log_r - log_p))
        .sum();
    let mut gradient = vec![0.0; logits.len()];
    for ((&id, &log_r), &log_p) in ids.iter().zip(&log_r).zip(&log_p) {
        gradient[id as usize] = libm::exp(log_r) * (log_r - log_p - value);
    }
    PositionLoss { value, gradient }
}

/// Returns `KL(b ‖ q) = Σ_v b_v (log b_v - log q_v)` over the whole vocabulary, `b` the softmax of the base's logits.
///
/// The base is a constant. Gradient: `q - b`. Unweighted: see [`BaseKl::weight`].
///
/// # Panics
/// If the two have different lengths.
pub fn kl_to_base(logits: &[f64], base_logits: &[f64]) -> PositionLoss {
    assert_eq!(logits.len(), base_logits.len(), "logits of the base");
    let (log_q, log_b) = (log_softmax(logits), log_softmax(base_logits));
    let value = log_b
        .iter()
        .zip(&log_q)
        .map(|(&log_b, &log_q)| libm::exp(log_b) * (log_b - log_q))
        .sum();
    let gradient = log_q
        .iter()
        .zip(&log_b)
        .map(|(&log_q, &log_b)| libm::exp(log_q) - libm::exp(log_b))
        .collect();
    PositionLoss { value, gradient }
}

/// Returns log softmax(z), `z_i - log Σ_j exp(z_j)`, computed after subtracting the largest logit.
pub fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum = logits.iter().map(|z| libm::exp(z - largest)).sum();
    let log_sum = libm::log(sum);
    logits.iter().map(|z| z - largest - log_sum).collect()
}

fn exponentials(logarithms: &[f64]) -> Vec<f64> {
    logarithms.iter().copied().map(libm::exp).collect()
}

/// Log-probabilities whose exponentials sum to 1 again.
fn renormalised(ids: &[u32], log_probabilities: &[f32]) -> Vec<f64> {
    assert_eq!(ids.len(), log_probabilities.len(), "a probability an id");
    let wide: Vec<f64> = log_probabilities.iter().copied().map(f64::from).collect();
    log_softmax(&wide)
}

#[cfg(test)]
mod tests;
