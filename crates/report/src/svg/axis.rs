//! Maps values to pixels and chooses tick marks.

use crate::figure::Interval;

/// A linear or logarithmic map from values to pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    domain: (f64, f64),
    pixels: (f64, f64),
    log: bool,
}

impl Scale {
    /// Maps `domain` linearly to `pixels`.
    pub(crate) fn linear(domain: (f64, f64), pixels: (f64, f64)) -> Self {
        Self {
            domain,
            pixels,
            log: false,
        }
    }

    /// Maps the logarithm of positive values to `pixels`.
    pub(crate) fn log(domain: (f64, f64), pixels: (f64, f64)) -> Self {
        Self {
            domain: (domain.0.ln(), domain.1.ln()),
            pixels,
            log: true,
        }
    }

    /// Returns the pixel of `value`; the middle if the domain is a single value.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let value = if self.log { value.ln() } else { value };
        let (lo, hi) = self.domain;
        let share = if hi > lo {
            (value - lo) / (hi - lo)
        } else {
            0.5
        };
        self.pixels.0 + share * (self.pixels.1 - self.pixels.0)
    }
}

/// The part of a value axis that is drawn, and its tick marks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Extent {
    pub lo: f64,
    pub hi: f64,
    pub ticks: Vec<f64>,
}

impl Extent {
    /// Covers `asked` and every value in `values`; without a request the ends are round numbers.
    pub(crate) fn new(
        asked: Option<Interval>,
        values: impl Iterator<Item = f64>,
        n_ticks: usize,
    ) -> Self {
        let span = |(lo, hi): (f64, f64), value: f64| (lo.min(value), hi.max(value));
        let seen = values.fold((f64::INFINITY, f64::NEG_INFINITY), span);
        let (mut lo, mut hi) = match asked {
            Some(range) => span(span(seen, range.lo), range.hi),
            None if seen.0 > seen.1 => (0.0, 1.0),
            None => seen,
        };
        if hi <= lo {
            let margin = if lo == 0.0 { 1.0 } else { lo.abs() * 0.1 };
            (lo, hi) = (lo - margin, hi + margin);
        }
        let step = step(lo, hi, n_ticks);
        if asked.is_none_or(|range| range.lo > lo) {
            lo = (lo / step + 1e-9).floor() * step;
        }
        if asked.is_none_or(|range| range.hi < hi) {
            hi = (hi / step - 1e-9).ceil() * step;
        }
        Self {
            lo,
            hi,
            ticks: multiples(lo, hi, step),
        }
    }

    /// Returns the length of the axis in its own unit.
    pub(crate) fn span(&self) -> f64 {
        self.hi - self.lo
    }
}

/// Returns 1, 2 or 5 times a power of ten that divides the range into about `n_ticks` parts.
pub(crate) fn step(lo: f64, hi: f64, n_ticks: usize) -> f64 {
    let rough = (hi - lo) / n_ticks.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|factor| factor * power >= rough * 0.999);
    factor.unwrap_or(10.0) * power
}

/// Returns the multiples of `step` from `lo` to `hi`.
pub(crate) fn multiples(lo: f64, hi: f64, step: f64) -> Vec<f64> {
    let first = (lo / step - 1e-9).ceil();
    let n_ticks = ((hi / step + 1e-9).floor() - first).clamp(-1.0, 100.0) + 1.0;
    (0..n_ticks as u32)
        .map(|index| (first + f64::from(index)) * step)
        .collect()
}

/// Returns 1, 2 and 5 times the powers of ten between two positive numbers.
pub(crate) fn log_ticks(lo: f64, hi: f64) -> Vec<f64> {
    let powers = lo.log10().floor() as i32..=hi.log10().ceil() as i32;
    let ticks = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|factor| factor * 10f64.powi(power)));
    ticks
        .filter(|tick| (lo * 0.999..=hi * 1.001).contains(tick))
        .collect()
}

/// Returns the decimals that tick labels with this spacing need.
pub(crate) fn tick_decimals(ticks: &[f64]) -> usize {
    match ticks {
        [first, second, ..] => (-(second - first).abs().log10().floor()).clamp(0.0, 9.0) as usize,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_extent(asked: Option<(f64, f64)>, values: &[f64], lo: f64, hi: f64, ticks: usize) {
        let asked = asked.map(|(lo, hi)| Interval { lo, hi });
        let extent = Extent::new(asked, values.iter().copied(), 5);
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs().max(1.0);
        assert!(close(extent.lo, lo) && close(extent.hi, hi), "{extent:?}");
        assert_eq!(extent.ticks.len(), ticks, "{extent:?}");
    }

    #[test]
    fn extents_hold_the_request_and_every_value() {
        check_extent(Some((0.0, 1.0)), &[0.2, 0.9], 0.0, 1.0, 6);
        check_extent(Some((0.0, 1.0)), &[0.2, 1.3], 0.0, 1.5, 4);
        check_extent(None, &[0.12, 0.87], 0.0, 1.0, 6);
        check_extent(None, &[-3.0, 12.0], -5.0, 15.0, 5);
        check_extent(None, &[], 0.0, 1.0, 6);
        check_extent(None, &[4.0, 4.0], 3.6, 4.4, 5);
    }

    #[test]
    fn log_ticks_are_round() {
        assert_eq!(log_ticks(1.0, 50.0), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        assert_eq!(tick_decimals(&[0.0, 0.2]), 1);
        assert_eq!(tick_decimals(&[0.0, 20.0]), 0);
    }

    #[test]
    fn a_log_scale_spaces_factors_evenly() {
        let scale = Scale::log((1.0, 100.0), (0.0, 200.0));
        // abs 1e-9 px: two logarithms and a division.
        assert!((scale.at(10.0) - 100.0).abs() < 1e-9);
        assert!((Scale::linear((2.0, 2.0), (0.0, 10.0)).at(2.0) - 5.0).abs() < 1e-9);
    }
}
