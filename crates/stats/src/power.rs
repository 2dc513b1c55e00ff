//! Power of the one-sample t test: what effect n seeds can find, and how many seeds an effect needs.

use crate::distribution::{bisect, double_until, normal_cdf, t_upper_quantile};

/// Past this many values no sample size is named: nobody can run as many seeds.
const MOST_N: usize = 1_000_000;

/// The largest noncentrality computed with; the cost grows with it.
const MOST_DELTA: f64 = 1e4;

/// Where the weight of a node falls below e to this power, the node is left out.
const LEAST_LOG_WEIGHT: f64 = -60.0;

/// Errors of the test whose power is meant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerRule {
    /// Two-sided error of the first kind, strictly between 0 and 1.
    pub alpha: f64,
    /// Probability to find the effect, strictly between `alpha` and 1.
    pub power: f64,
}

impl PowerRule {
    fn is_valid(&self) -> bool {
        self.alpha > 0.0 && self.alpha < self.power && self.power < 1.0
    }
}

/// Returns P(T <= `t`) for the noncentral t distribution with `df` degrees of freedom and noncentrality `delta`.
///
/// Method: T = (Z + delta) / S with Z standard normal and S = √(χ²(df) / df) independent of it, so the probability is the
/// mean of Φ(t S - delta) over S. With S = e^u the density of u is proportional to exp(df (u - (e^{2u} - 1) / 2)), smooth
/// and falling on both sides, for which the trapezoidal rule converges faster than any power of its step; the same nodes
/// give the normalising constant. The tests hold it to scipy within 1e-10.
///
/// `None` if `df` is below 1 or not finite, `t` is not finite, or |`delta`| is above 10⁴. Cost: some hundred to some
/// thousand evaluations of Φ, growing with |`delta`| and most for `df` = 1.
pub fn noncentral_t_cdf(t: f64, df: f64, delta: f64) -> Option<f64> {
    mean_over_scale(df, delta, |scale| normal_cdf(t * scale - delta)).filter(|_| t.is_finite())
}

/// Returns P(T > `t`); arguments, method and `None` as [`noncentral_t_cdf`], but precise in the upper tail.
pub fn noncentral_t_sf(t: f64, df: f64, delta: f64) -> Option<f64> {
    mean_over_scale(df, delta, |scale| normal_cdf(delta - t * scale)).filter(|_| t.is_finite())
}

/// Returns the mean of `value(S)` for S = √(χ²(df) / df).
fn mean_over_scale(df: f64, delta: f64, value: impl Fn(f64) -> f64) -> Option<f64> {
    if !(df >= 1.0 && df.is_finite() && delta.abs() <= MOST_DELTA) {
        return None;
    }
    let log_weight = |u: f64| df * (u - 0.5 * (2.0 * u).exp_m1());
    // The weight is as narrow as 1 / √(2 df), the step of Φ as narrow as 1 / delta; 0.1 is what e^{2u} itself allows.
    let step = 0.1_f64
        .min(0.25 / (2.0 * df).sqrt())
        .min(0.25 / (1.0 + delta.abs()));
    let (mut total, mut weights) = (value(1.0), 1.0);
    for direction in [-1.0, 1.0] {
        for node in 1_u64.. {
            let u = direction * step * node as f64;
            let exponent = log_weight(u);
            if exponent < LEAST_LOG_WEIGHT {
                break;
            }
            let weight = exponent.exp();
            weights += weight;
            total += weight * value(u.exp());
        }
    }
    Some((total / weights).clamp(0.0, 1.0))
}

/// Returns the power of the two-sided one-sample (or paired) t test of `n` values at `alpha`.
///
/// `effect` is the mean (difference) in standard deviations of the values (differences). With delta = effect √n and the
/// critical value c = t(1 - alpha / 2; n - 1), the power is P(T > c) + P(T < -c) for the noncentral T. Assumes independent
/// normal values, one per training seed.
///
/// `None` if n < 2, `effect` is not finite, `alpha` is not strictly between 0 and 1, or c is above 1,000 (n = 2 and alpha
/// below 0.0007) and delta above 10⁴.
pub fn t_test_power(effect: f64, n: usize, alpha: f64) -> Option<f64> {
    if n < 2 || !effect.is_finite() || !(alpha > 0.0 && alpha < 1.0) {
        return None;
    }
    let df = (n - 1) as f64;
    let critical = t_upper_quantile(0.5 * alpha, df);
    power_at(effect, n, critical)
}

fn power_at(effect: f64, n: usize, critical: f64) -> Option<f64> {
    let df = (n - 1) as f64;
    let mut delta = effect * (n as f64).sqrt();
    // Ten times past the critical value the power is 1 to the last bit already, whatever n.
    if critical <= 0.1 * MOST_DELTA {
        delta = delta.clamp(-MOST_DELTA, MOST_DELTA);
    }
    Some(noncentral_t_sf(critical, df, delta)? + noncentral_t_cdf(-critical, df, delta)?)
}

/// Returns the smallest mean (difference) that `n` values of standard deviation `sd` find with the power of `rule`.
///
/// Solves [`t_test_power`] for the effect and multiplies by `sd`; in the unit of `sd`. Two-sided; assumptions as there,
/// and that `sd` is the true one: estimated from few seeds it is itself uncertain.
///
/// `None` if n < 2, `sd` is not a positive finite number, `rule` is not one, or alpha is too small for so few values
/// (below some 0.0001 for n = 2).
pub fn minimum_detectable_effect(n: usize, sd: f64, rule: &PowerRule) -> Option<f64> {
    if n < 2 || !(sd > 0.0 && sd.is_finite()) || !rule.is_valid() {
        return None;
    }
    let critical = t_upper_quantile(0.5 * rule.alpha, (n - 1) as f64);
    // The noncentrality is searched, not the effect: it is of the order of the critical value for any n.
    let root = (n as f64).sqrt();
    let reached =
        |delta: f64| power_at(delta / root, n, critical).is_some_and(|power| power >= rule.power);
    let high = double_until(1.0, |delta| delta > MOST_DELTA || reached(delta))
        .filter(|&delta| reached(delta))?;
    let effect = bisect(0.0, high, reached) / root * sd;
    effect.is_finite().then_some(effect)
}

/// Returns the fewest values of standard deviation `sd` that find a mean (difference) of `effect` with `rule`'s power.
///
/// At least 2. Two-sided; assumptions as [`minimum_detectable_effect`]. The sign of `effect` does not matter.
///
/// `None` if `effect` is 0 or not finite, `sd` is not a positive finite number, `rule` is not one, or more than a
/// million values would be needed.
pub fn required_n(effect: f64, sd: f64, rule: &PowerRule) -> Option<usize> {
    let standardised = (effect / sd).abs();
    let has_sizes = sd > 0.0 && sd.is_finite() && standardised > 0.0 && standardised.is_finite();
    if !has_sizes || !rule.is_valid() {
        return None;
    }
    let reached = |n: usize| {
        t_test_power(standardised, n, rule.alpha).is_some_and(|power| power >= rule.power)
    };
    let (mut low, mut high) = (1, 2);
    while !reached(high) {
        low = high;
        high *= 2;
        if high > MOST_N {
            return None;
        }
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if reached(middle) {
            high = middle
        } else {
            low = middle
        }
    }
    Some(high)
}
