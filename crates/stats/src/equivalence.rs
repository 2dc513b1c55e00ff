//! Two one-sided tests: evidence that an effect is smaller than a margin, which a large p-value is not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::distribution::t_sf;
use crate::estimate::{Interval, t_interval};
use crate::sums::Moments;

/// What the equivalence test found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Equivalence {
    /// One-sided p-value against "the mean is -delta or less".
    pub p_lower: f64,
    /// One-sided p-value against "the mean is delta or more".
    pub p_upper: f64,
    /// The larger of the two: the p-value of the equivalence test.
    pub p: f64,
    /// The 1 - 2 alpha interval; it lies inside (-delta, delta) exactly if `p` < alpha.
    pub interval: Interval,
    /// Whether both sides are rejected at alpha.
    pub equivalent: bool,
}

/// Tests whether the mean of `differences` lies inside (-`delta`, `delta`), by two one-sided t tests at level `alpha`.
///
/// With se = s / √n of divisor n - 1 and df = n - 1: t_lower = (mean + delta) / se, t_upper = (mean - delta) / se; p_lower
/// is the upper tail at t_lower and p_upper the lower tail at t_upper. No correction for two tests is due, as both must
/// reject. Assumes independent, roughly normal differences, one per training seed.
///
/// `None` if n < 2, a value is not finite, all values are equal, `delta` is not a positive number, or `alpha` is not
/// strictly between 0 and 0.5.
///
/// # Source
/// D. J. Schuirmann, A comparison of the two one-sided tests procedure and the power approach, 1987.
pub fn tost(differences: &[f64], delta: f64, alpha: f64) -> Option<Equivalence> {
    if !(delta > 0.0 && delta.is_finite() && alpha > 0.0 && alpha < 0.5) {
        return None;
    }
    let moments = Moments::of(differences)?;
    let standard_error = moments.sd().filter(|&sd| sd > 0.0)? / (moments.n as f64).sqrt();
    let df = (moments.n - 1) as f64;
    let p_lower = t_sf((moments.mean + delta) / standard_error, df);
    let p_upper = t_sf((delta - moments.mean) / standard_error, df);
    let p = p_lower.max(p_upper);
    Some(Equivalence {
        p_lower,
        p_upper,
        p,
        interval: t_interval(&moments, 1.0 - 2.0 * alpha)?,
        equivalent: p < alpha,
    })
}
