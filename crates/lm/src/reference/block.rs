//! What a block is made of: norm, gate, rotary embedding, attention.

use std::f64::consts::PI;

use super::model::{ReferenceModel, Rows};
use crate::config::{GateActivation, LayerAttention, Part, Rope, RopeScaling, Tensor};
use crate::lora::Projection;
use crate::loss::log_softmax;

/// Returns Σ_i a_i b_i.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Returns `W x`, with `W` row-major and as many columns as `x` has values.
pub(super) fn matrix_times(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    matrix
        .chunks_exact(x.len())
        .map(|row| dot(row, x))
        .collect()
}

/// Returns x / √(mean(x²) + ε) · factor.
pub(super) fn norm(x: &[f64], factors: &[f64], epsilon: f64) -> Vec<f64> {
    let mean_square = dot(x, x) / x.len() as f64;
    let root = (mean_square + epsilon).sqrt();
    x.iter()
        .zip(factors)
        .map(|(x, factor)| x / root * factor)
        .collect()
}

/// Returns the gate's function: x · sigmoid(x), or GELU by its tanh approximation.
pub(super) fn gate(activation: GateActivation, x: f64) -> f64 {
    match activation {
        GateActivation::Silu => x / (1.0 + libm::exp(-x)),
        GateActivation::GeluTanh => {
            let inner = (2.0 / PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + libm::tanh(inner))
        }
    }
}

/// Returns the angle by which pair `pair` of a head turns a token, in radians.
pub fn rope_frequency(rope: &Rope, head_width: usize, pair: usize) -> f64 {
    let plain = libm::pow(rope.theta, -2.0 * pair as f64 / head_width as f64);
    match &rope.scaling {
        RopeScaling::None => plain,
        RopeScaling::Linear { factor } => plain / factor,
        RopeScaling::Llama3 {
            factor,
            low_frequency_factor: low,
            high_frequency_factor: high,
            original_context,
        } => {
            // Full turns within the original context: few is a low frequency.
            let turns = f64::from(*original_context) * plain / (2.0 * PI);
            let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
            kept * plain + (1.0 - kept) * plain / factor
        }
        RopeScaling::Factors { factors } => plain / f64::from(factors[pair]),
    }
}

/// Returns sine and cosine of the angle by which each pair of a head is turned at `position`.
fn turns(rope: &Rope, head_width: usize, position: usize) -> Vec<(f64, f64)> {
    (0..head_width / 2)
        .map(|pair| {
            let angle = position as f64 * rope_frequency(rope, head_width, pair);
            (libm::sin(angle), libm::cos(angle))
        })
        .collect()
}

/// Turns one head: element i with element i + half.
fn turn(head: &mut [f64], turns: &[(f64, f64)]) {
    let (front, back) = head.split_at_mut(turns.len());
    for ((a, b), (sin, cos)) in front.iter_mut().zip(back).zip(turns) {
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}

impl ReferenceModel {
    /// Returns o(attention) of every token, before the residual sum.
    ///
    /// Head h of token t mixes values of the keys it sees: `Σ_s softmax_s(scale · q_t·k_s) v_s`, where s runs up to t
    /// and, in a local layer, over the last `window` tokens. Heads share keys in groups of `heads / kv_heads`.
    pub(super) fn attention(&self, layer: usize, x: &Rows) -> Rows {
        let config = &self.config;
        let (rope, window) = match config.attention[layer] {
            LayerAttention::Global => (&config.rope, usize::MAX),
            LayerAttention::Local { window } => (&config.local_rope, window as usize),
        };
        let queries = self.turned(layer, Projection::Query, Part::QueryNorm, rope, x);
        let keys = self.turned(layer, Projection::Key, Part::KeyNorm, rope, x);
        let values = self.project(layer, Projection::Value, x);
        let width = config.head_width;
        let group = config.heads / config.kv_heads;
        let mut mixed = Rows::new();
        for (t, query) in queries.iter().enumerate() {
            let seen = (t + 1).saturating_sub(window)..t + 1;
            let mut heads = Vec::new();
            for (head, query) in query.chunks_exact(width).enumerate() {
                let part = (head / group) * width..(head / group + 1) * width;
                let scores: Vec<f64> = keys[seen.clone()]
                    .iter()
                    .map(|key| config.attention_scale * dot(query, &key[part.clone()]))
                    .collect();
                let mut mix = vec![0.0; width];
                for (log_share, value) in log_softmax(&scores).iter().zip(&values[seen.clone()]) {
                    for (mix, value) in mix.iter_mut().zip(&value[part.clone()]) {
                        *mix += libm::exp(*log_share) * value;
                    }
                }
                heads.extend(mix);
            }
            mixed.push(heads);
        }
        self.project(layer, Projection::Output, &mixed)
    }

    /// Returns queries or keys, normed where the family norms heads, and turned by their position.
    fn turned(
        &self,
        layer: usize,
        projection: Projection,
        head_norm: Part,
        rope: &Rope,
        x: &Rows,
    ) -> Rows {
        let config = &self.config;
        let mut rows = self.project(layer, projection, x);
        for (position, row) in rows.iter_mut().enumerate() {
            let turns = turns(rope, config.head_width, position);
            for head in row.chunks_exact_mut(config.head_width) {
                if config.qk_norms {
                    let factors = self.weight(Tensor::Layer(layer, head_norm));
                    head.copy_from_slice(&norm(head, factors, config.norm_epsilon));
                }
                turn(head, &turns);
            }
        }
        rows
    }
}
