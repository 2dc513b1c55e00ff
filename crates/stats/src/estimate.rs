//! One number with what is known of its uncertainty: means with intervals, proportions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::distribution::{is_level, normal_quantile, t_factor};
use crate::sums::Moments;

/// The factor of the published intervals: 1.96, not the exact normal quantile.
const PUBLISHED_FACTOR: f64 = 1.96;

/// A two-sided confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Lower end, in the unit of the estimate.
    pub lo: f64,
    /// Upper end, at least `lo`.
    pub hi: f64,
    /// Confidence level, strictly between 0 and 1.
    pub level: f64,
}

impl Interval {
    /// Whether `value` lies inside or on an end.
    pub fn contains(&self, value: f64) -> bool {
        self.lo <= value && value <= self.hi
    }

    /// Returns `centre` plus and minus `half_width`; `None` if an end is not finite.
    pub(crate) fn around(centre: f64, half_width: f64, level: f64) -> Option<Self> {
        let interval = Self {
            lo: centre - half_width,
            hi: centre + half_width,
            level,
        };
        (interval.lo.is_finite() && interval.hi.is_finite()).then_some(interval)
    }
}

/// A mean or a proportion with its interval and how both were made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// The estimate itself.
    pub mean: f64,
    /// Its interval; absent where too few values define none.
    pub interval: Option<Interval>,
    /// Standard deviation of the values, divisor n - 1 unless `method` says otherwise; absent for one value.
    pub sd: Option<f64>,
    /// How many values it rests on: training seeds, or trials of a proportion.
    pub n: usize,
    /// How the interval was made, in words.
    pub method: String,
}

/// Returns the mean of `values` with the Student t interval of `level`.
///
/// Formula: mean ± t(1 - (1 - level) / 2; n - 1) · s / √n, with s of divisor n - 1. Two-sided. Assumes independent values,
/// normal or many enough for their mean to be; values that share a training seed must be averaged before. Equal values
/// (s = 0) have no interval: one of no width would read as certainty.
///
/// `None` if `values` is empty, holds a value that is not finite, or `level` is not strictly between 0 and 1. The
/// interval is absent for one value and for equal ones, the standard deviation for one value.
pub fn mean_t(values: &[f64], level: f64) -> Option<Estimate> {
    let moments = Moments::of(values).filter(|_| is_level(level))?;
    Some(Estimate {
        mean: moments.mean,
        interval: t_interval(&moments, level),
        sd: moments.sd(),
        n: moments.n,
        method: "Student t interval of the mean".to_owned(),
    })
}

/// Returns the Student t interval around the mean of a sample; `None` for n < 2 or s = 0.
pub(crate) fn t_interval(moments: &Moments, level: f64) -> Option<Interval> {
    let standard_error = moments.sd().filter(|&sd| sd > 0.0)? / (moments.n as f64).sqrt();
    Interval::around(
        moments.mean,
        t_factor(level, (moments.n - 1) as f64) * standard_error,
        level,
    )
}

/// Returns the mean of `values` with the interval the published figures show.
///
/// Formula: mean ± 1.96 · s / √n, with s of divisor n (not n - 1): a 95 % interval for many independent values, too narrow
/// for few. Only for comparison with published intervals; [`mean_t`] is the interval to report.
///
/// `None` if `values` is empty or holds a value that is not finite. The interval is absent for one value, where the
/// formula would give a width of 0.
///
/// # Source
/// The bar figures of the published MLP experiment. Differs: absent, not of no width, for one value.
pub fn mean_normal(values: &[f64]) -> Option<Estimate> {
    let moments = Moments::of(values)?;
    let sd = (moments.n >= 2).then(|| (moments.squares / moments.n as f64).sqrt());
    let half_width = sd.map(|sd| PUBLISHED_FACTOR * sd / (moments.n as f64).sqrt());
    Some(Estimate {
        mean: moments.mean,
        interval: half_width
            .and_then(|half_width| Interval::around(moments.mean, half_width, 0.95)),
        sd,
        n: moments.n,
        method:
            "normal interval as published: 1.96 standard errors, standard deviation of divisor n"
                .to_owned(),
    })
}

/// Returns the share of `successes` in `trials` with the Wilson score interval of `level`.
///
/// With p = successes / trials and z the 1 - (1 - level) / 2 normal quantile, the ends are
/// (p + z² / 2n ± z √(p (1 - p) / n + z² / 4n²)) / (1 + z² / n). Two-sided, without continuity correction. Assumes
/// independent trials of one probability: answers of one model to several questions are neither.
///
/// `None` if there are no trials, more successes than trials, or `level` is not strictly between 0 and 1.
pub fn wilson(successes: u64, trials: u64, level: f64) -> Option<Estimate> {
    if trials == 0 || successes > trials || !is_level(level) {
        return None;
    }
    let n = trials as f64;
    let share = successes as f64 / n;
    let z = -normal_quantile(0.5 * (1.0 - level));
    let denominator = 1.0 + z * z / n;
    let centre = (share + z * z / (2.0 * n)) / denominator;
    let half_width = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt() / denominator;
    // With no or only successes an end is exactly 0 or 1; rounding must not move it past that.
    let lo = if successes == 0 {
        0.0
    } else {
        (centre - half_width).max(0.0)
    };
    let hi = if successes == trials {
        1.0
    } else {
        (centre + half_width).min(1.0)
    };
    Some(Estimate {
        mean: share,
        interval: Some(Interval { lo, hi, level }),
        sd: None,
        n: usize::try_from(trials).ok()?,
        method: "Wilson score interval of a proportion".to_owned(),
    })
}
