//! Tails and quantiles of the normal distribution and of Student's t.

use statrs::function::beta::beta_reg;
use statrs::function::erf::{erfc, erfc_inv};
use std::f64::consts::SQRT_2;

/// Returns P(Z <= `z`) for a standard normal Z.
pub(crate) fn normal_cdf(z: f64) -> f64 {
    0.5 * erfc(-z / SQRT_2)
}

/// Returns the `p` quantile of the standard normal distribution, for 0 < `p` < 1.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    -SQRT_2 * erfc_inv(2.0 * p)
}

/// Returns P(T > `t`) for Student's t with `df` > 0 degrees of freedom (need not be whole).
///
/// With x = df / (df + t^2), the two-sided tail is the regularised incomplete beta function I_x(df / 2, 1 / 2).
/// The relative error is below 1e-9 up to df = 1e5 and below 1e-8 up to 1e6.
pub(crate) fn t_sf(t: f64, df: f64) -> f64 {
    let square = t * t;
    let tail = if square < 1.0 {
        // x would be rounded to a number near 1 and lose t; 1 - x keeps it.
        0.5 - 0.5 * beta_reg(0.5, 0.5 * df, square / (df + square))
    } else if square.is_finite() {
        0.5 * beta_reg(0.5 * df, 0.5, df / (df + square))
    } else {
        0.0
    };
    if t >= 0.0 { tail } else { 1.0 - tail }
}

/// Returns the two-sided tail P(|T| >= |`t`|) of Student's t with `df` > 0 degrees of freedom.
pub(crate) fn t_two_sided(t: f64, df: f64) -> f64 {
    2.0 * t_sf(t.abs(), df)
}

/// Returns the t with P(T > t) = `tail`, for 0 < `tail` < 1 and `df` > 0.
pub(crate) fn t_upper_quantile(tail: f64, df: f64) -> f64 {
    if tail > 0.5 {
        return -t_upper_quantile(1.0 - tail, df);
    }
    let high = double_until(1.0, |t| t_sf(t, df) <= tail).unwrap_or(f64::MAX);
    bisect(0.0, high, |t| t_sf(t, df) <= tail)
}

/// Returns the half-width factor of a two-sided t interval of `level`, for 0 < `level` < 1.
pub(crate) fn t_factor(level: f64, df: f64) -> f64 {
    t_upper_quantile(0.5 * (1.0 - level), df)
}

/// Returns the first of `start`, 2 `start`, 4 `start` … at which `reached` holds; `None` if none does before infinity.
pub(crate) fn double_until(start: f64, reached: impl Fn(f64) -> bool) -> Option<f64> {
    let mut value = start;
    while !reached(value) {
        value *= 2.0;
        if !value.is_finite() {
            return None;
        }
    }
    Some(value)
}

/// Returns the smallest value in (`low`, `high`] at which the monotone `reached` holds, to the last bits.
///
/// `reached(high)` must hold. Halves until no number lies between, so it ends after at most some 1,100 steps, and after
/// about 55 for the numbers met here.
pub(crate) fn bisect(mut low: f64, mut high: f64, reached: impl Fn(f64) -> bool) -> f64 {
    loop {
        let middle = low + 0.5 * (high - low);
        if middle <= low || middle >= high {
            return high;
        }
        if reached(middle) {
            high = middle
        } else {
            low = middle
        }
    }
}

/// Whether `level` can be the level of an interval: strictly between 0 and 1.
pub(crate) fn is_level(level: f64) -> bool {
    level > 0.0 && level < 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Tail {
        df: f64,
        t: f64,
        #[serde(alias = "sf")]
        tail: f64,
    }

    fn rows(part: &str) -> Vec<Tail> {
        let mut golden: serde_json::Value =
            serde_json::from_str(include_str!("../tests/golden.json"))
                .expect("the golden file is JSON");
        serde_json::from_value(golden[part].take()).expect("the rows have the fields of the script")
    }

    /// Relative, also far out: a p-value of 1e-200 is compared with a level after correction. Beyond df = 1e5 the error of
    /// the log-gamma function grows with df.
    #[track_caller]
    fn check(found: f64, expected: f64, row: &Tail) {
        let allowed = 1e-9 * (row.df / 1e5).max(1.0) * expected;
        assert!(
            (found - expected).abs() <= allowed,
            "df {} t {}: {found} not {expected}",
            row.df,
            row.t
        );
    }

    #[test]
    fn tails_and_quantiles_are_scipys() {
        let (tails, quantiles) = (rows("tails"), rows("quantiles"));
        assert!(!tails.is_empty() && !quantiles.is_empty());
        for row in tails {
            check(t_sf(row.t, row.df), row.tail, &row);
            let other = t_sf(-row.t, row.df);
            assert!(
                (other - (1.0 - row.tail)).abs() <= 1e-10,
                "df {} t -{}: {other}",
                row.df,
                row.t
            );
        }
        for row in quantiles {
            check(t_upper_quantile(row.tail, row.df), row.t, &row);
            check(-t_upper_quantile(1.0 - row.tail, row.df), row.t, &row);
        }
    }

    #[test]
    fn normal_quantiles_invert_the_distribution() {
        assert!((normal_quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-12);
        for p in [1e-10, 0.01, 0.5, 0.9] {
            assert!((normal_cdf(normal_quantile(p)) - p).abs() <= 1e-10 * p);
        }
    }
}
