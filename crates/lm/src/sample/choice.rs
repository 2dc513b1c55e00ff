//! One token drawn from one row of logits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Stream;
use undertone_simd::{InstructionSet, LANE, Plain, math, run};

/// Tokens whose weights are summed on their own before they meet others.
const CHUNK: usize = 1024;

/// How a token is drawn from the model's distribution.
///
/// The filters work in this order, each on what the one before left: temperature, `top_k`, `top_p`, `min_p`,
/// `threshold`. The most probable token always stays.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Logits are divided by it. 0 is greedy: the most probable token, of several the one with the smallest id.
    pub temperature: f64,
    /// The `k` most probable tokens stay.
    pub top_k: Option<u32>,
    /// The fewest tokens stay whose probabilities sum to at least this.
    pub top_p: Option<f64>,
    /// Tokens stay that are at least this fraction as probable as the most probable one.
    pub min_p: Option<f64>,
    /// Tokens stay that have at least this probability.
    pub threshold: Option<f64>,
}

/// A sampling setting is out of its range.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{name} is {value}; {range}")]
pub struct SamplingError {
    /// The setting.
    pub name: &'static str,
    /// What was asked for.
    pub value: f64,
    /// What is possible.
    pub range: &'static str,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: None,
            top_p: None,
            min_p: None,
            threshold: None,
        }
    }
}

impl Sampling {
    /// Takes the most probable token.
    pub const GREEDY: Self = Self {
        temperature: 0.0,
        top_k: None,
        top_p: None,
        min_p: None,
        threshold: None,
    };

    /// Checks every setting.
    ///
    /// # Errors
    /// [`SamplingError`] names the first that is out of its range.
    pub fn check(&self) -> Result<(), SamplingError> {
        let error = |name, value, range| Err(SamplingError { name, value, range });
        let temperature = self.temperature;
        if !(temperature == 0.0 || (1e-3..=1e3).contains(&temperature)) {
            return error("temperature", temperature, "0 (greedy) or 0.001 to 1000");
        }
        if self.top_k == Some(0) {
            return error("top_k", 0.0, "at least 1");
        }
        if let Some(p) = self.top_p
            && !(p > 0.0 && p <= 1.0)
        {
            return error("top_p", p, "above 0, at most 1");
        }
        for (name, value) in [("min_p", self.min_p), ("threshold", self.threshold)] {
            if let Some(p) = value
                && !(0.0..=1.0).contains(&p)
            {
                return error(name, p, "0 to 1");
            }
        }
        Ok(())
    }

    fn filters(&self) -> bool {
        self.top_k.is_some()
            || self.top_p.is_some_and(|p| p < 1.0)
            || self.min_p.is_some()
            || self.threshold.is_some()
    }
}

/// A drawn token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Choice {
    pub token: u32,
    /// Natural logarithm of its probability among the tokens that were allowed, at temperature 1, without filters.
    pub log_probability: f32,
}

/// Memory of a choice, used again by the next.
#[derive(Debug, Default)]
pub(crate) struct ChoiceWorkspace {
    logits: Vec<f32>,
    weights: Vec<f32>,
    sums: Vec<f64>,
    order: Vec<u32>,
}

/// Draws a token from `logits`, among `allowed` (ascending ids) or all of them.
///
/// Draws one number from `stream` unless greedy. NaN logits are never chosen as long as there are others.
///
/// # Panics
/// If nothing is allowed.
pub(crate) fn choose(
    set: InstructionSet,
    sampling: &Sampling,
    logits: &[f32],
    allowed: Option<&[u32]>,
    stream: &mut Stream,
    work: &mut ChoiceWorkspace,
) -> Choice {
    work.logits.clear();
    match allowed {
        None => work.logits.extend_from_slice(logits),
        Some(allowed) => work
            .logits
            .extend(allowed.iter().map(|&id| logits[id as usize])),
    }
    let n = work.logits.len();
    assert!(n > 0, "there is a token to choose");
    let token_of = |place: usize| allowed.map_or(place as u32, |allowed| allowed[place]);
    let best = best(&work.logits);
    let highest = work.logits[best];

    weigh(set, &work.logits, highest, 1.0, &mut work.weights);
    let log_total = sum(&work.weights, &mut work.sums).ln();
    let log_probability =
        |place: usize| (f64::from(work.logits[place]) - f64::from(highest) - log_total) as f32;
    if sampling.temperature == 0.0 {
        return Choice {
            token: token_of(best),
            log_probability: log_probability(best),
        };
    }

    if sampling.temperature != 1.0 {
        let factor = (1.0 / sampling.temperature) as f32;
        weigh(set, &work.logits, highest, factor, &mut work.weights);
    }
    if sampling.filters() {
        filter(sampling, &mut work.weights, &mut work.order, best);
    }
    let total = sum(&work.weights, &mut work.sums);
    let place = draw(&work.weights, &work.sums, stream.uniform() * total).unwrap_or(best);
    Choice {
        token: token_of(place),
        log_probability: log_probability(place),
    }
}

/// Returns the place of the greatest logit, the first of several.
fn best(logits: &[f32]) -> usize {
    let mut best = 0;
    for (place, &logit) in logits.iter().enumerate() {
        if logit > logits[best] || logits[best].is_nan() {
            best = place;
        }
    }
    best
}

/// Writes exp((logit - highest) · factor) of every logit.
fn weigh(set: InstructionSet, logits: &[f32], highest: f32, factor: f32, weights: &mut Vec<f32>) {
    weights.clear();
    weights.resize(logits.len(), 0.0);
    run(
        set,
        Plain(|| {
            for (to, from) in weights.chunks_mut(LANE).zip(logits.chunks(LANE)) {
                let mut lane = [f32::NEG_INFINITY; LANE];
                for (lane, logit) in lane.iter_mut().zip(from) {
                    *lane = (logit - highest) * factor;
                }
                let exps = math::exp(lane);
                for ((to, exp), logit) in to.iter_mut().zip(exps).zip(lane) {
                    // `exp` clamps at -87: what lies below is 0, and so is what is no number.
                    *to = if logit > -87.0 { exp } else { 0.0 };
                }
            }
        }),
    );
}

/// Returns the sum of the weights, ascending in chunks; the chunks' sums are kept.
fn sum(weights: &[f32], sums: &mut Vec<f64>) -> f64 {
    sums.clear();
    sums.extend(
        weights
            .chunks(CHUNK)
            .map(|chunk| chunk.iter().map(|&weight| f64::from(weight)).sum::<f64>()),
    );
    sums.iter().sum()
}

/// Returns the first place at which the running sum exceeds `target`; `None` if rounding leaves none.
fn draw(weights: &[f32], sums: &[f64], mut target: f64) -> Option<usize> {
    for (chunk, &sum) in sums.iter().enumerate() {
        if target >= sum {
            target -= sum;
            continue;
        }
        let start = chunk * CHUNK;
        for (place, &weight) in weights[start..].iter().take(CHUNK).enumerate() {
            target -= f64::from(weight);
            if target < 0.0 && weight > 0.0 {
                return Some(start + place);
            }
        }
    }
    None
}

/// Sets the weights of what the filters take out to 0.
fn filter(sampling: &Sampling, weights: &mut [f32], order: &mut Vec<u32>, best: usize) {
    let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    // All tokens below this weight together hold less than the part that top_p may leave out.
    let negligible = match sampling.top_p {
        Some(p) => (1.0 - p) * total / weights.len() as f64,
        None => 0.0,
    };
    order.clear();
    order.extend((0..weights.len() as u32).filter(|&place| {
        let weight = f64::from(weights[place as usize]);
        weight > 0.0 && (sampling.top_k.is_some() || weight >= negligible)
    }));
    let heavier = |a: &u32, b: &u32| {
        weights[*b as usize]
            .total_cmp(&weights[*a as usize])
            .then(a.cmp(b))
    };
    if let Some(k) = sampling.top_k
        && (k as usize) < order.len()
    {
        order.select_nth_unstable_by(k as usize, heavier);
        order.truncate(k as usize);
    }
    order.sort_unstable_by(heavier);

    let mut kept = order.len();
    if let Some(p) = sampling.top_p {
        let total = match sampling.top_k {
            Some(_) => order
                .iter()
                .map(|&place| f64::from(weights[place as usize]))
                .sum(),
            None => total,
        };
        let mut sum = 0.0;
        let enough = order.iter().position(|&place| {
            sum += f64::from(weights[place as usize]);
            sum >= p * total
        });
        kept = enough.map_or(kept, |place| place + 1);
    }
    let weight = |place: u32| f64::from(weights[place as usize]);
    if let Some(p) = sampling.min_p {
        let least = p * f64::from(weights[best]);
        kept = kept.min(order.partition_point(|&place| weight(place) >= least));
    }
    if let Some(p) = sampling.threshold {
        let total: f64 = order[..kept].iter().map(|&place| weight(place)).sum();
        kept = kept.min(order.partition_point(|&place| weight(place) >= p * total));
    }
    let kept: Vec<(u32, f32)> = order[..kept.max(1)]
        .iter()
        .map(|&place| (place, weights[place as usize]))
        .collect();
    weights.fill(0.0);
    for (place, weight) in kept {
        weights[place as usize] = weight;
    }
}

#[cfg(test)]
mod tests;
