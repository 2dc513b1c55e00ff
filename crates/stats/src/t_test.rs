//! Student's t tests: paired by training seed, and Welch's for two independent samples.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::distribution::{is_level, t_factor, t_two_sided};
use crate::estimate::Interval;
use crate::sums::{Moments, differences};

/// What a t test found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TTest {
    /// Mean of the first sample minus mean of the second, in their unit.
    pub difference: f64,
    /// The difference in standard errors.
    pub statistic: f64,
    /// Degrees of freedom; not whole in Welch's test.
    pub df: f64,
    /// Two-sided p-value.
    pub p: f64,
    /// Interval of the difference.
    pub interval: Interval,
    /// Which test, in words.
    pub method: String,
}

/// Tests whether `values` and `others`, paired by position, have the same mean.
///
/// With the differences d: t = mean(d) √n / s(d), df = n - 1, s of divisor n - 1. Two-sided. Assumes that the differences
/// are independent of each other and roughly normal; the two values of a pair may depend on each other, so one pair is one
/// training seed.
///
/// `None` if the lengths differ, n < 2, a value is not finite, `level` is not strictly between 0 and 1, or all differences
/// are equal, which leaves the statistic undefined.
pub fn paired_t(values: &[f64], others: &[f64], level: f64) -> Option<TTest> {
    let moments = Moments::of(&differences(values, others)?)?;
    let standard_error = moments.sd()? / (moments.n as f64).sqrt();
    let df = (moments.n - 1) as f64;
    test(moments.mean, standard_error, df, level, "paired t test")
}

/// Tests whether two independent samples have the same mean, without assuming equal variances.
///
/// With a = s₁² / n₁ and b = s₂² / n₂: t = (mean₁ - mean₂) / √(a + b) and Satterthwaite's
/// df = (a + b)² / (a² / (n₁ - 1) + b² / (n₂ - 1)). Two-sided. Assumes independent values in and between the samples; for
/// arms that share seeds [`paired_t`] is the test.
///
/// `None` if a sample has fewer than 2 values or one that is not finite, `level` is not strictly between 0 and 1, or
/// neither sample varies.
pub fn welch_t(values: &[f64], others: &[f64], level: f64) -> Option<TTest> {
    let (first, second) = (Moments::of(values)?, Moments::of(others)?);
    let (a, b) = (
        first.variance()? / first.n as f64,
        second.variance()? / second.n as f64,
    );
    let total = a + b;
    // Shares of the variance, not its squares: those would underflow for small values.
    let (a, b) = (a / total, b / total);
    let df = 1.0 / (a * a / (first.n - 1) as f64 + b * b / (second.n - 1) as f64);
    test(
        first.mean - second.mean,
        total.sqrt(),
        df,
        level,
        "Welch t test",
    )
}

fn test(difference: f64, standard_error: f64, df: f64, level: f64, method: &str) -> Option<TTest> {
    let statistic = difference / standard_error;
    if !is_level(level) || standard_error == 0.0 || !statistic.is_finite() || !df.is_finite() {
        return None;
    }
    Some(TTest {
        difference,
        statistic,
        df,
        p: t_two_sided(statistic, df),
        interval: Interval::around(difference, t_factor(level, df) * standard_error, level)?,
        method: method.to_owned(),
    })
}
