//! Sums, means and variances in `f64` that do not depend on the order of their values.

/// Returns the sum of `values`, in increasing order and with Neumaier's compensation: the same bits for any order.
///
/// # Source
/// A. Neumaier, Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen, ZAMM 54 (1974).
fn sum(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let mut total = 0.0;
    let mut lost = 0.0;
    for value in values {
        let next: f64 = total + value;
        lost += if total.abs() >= value.abs() {
            (total - next) + value
        } else {
            (value - next) + total
        };
        total = next;
    }
    total + lost
}

/// What a sample says about its mean and spread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moments {
    /// Number of values.
    pub n: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Sum of squared deviations from the mean.
    pub squares: f64,
}

impl Moments {
    /// Returns the moments of `values`; `None` if there are none, one is not finite, or a sum overflows.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let n = values.len();
        // Equal values have exactly no spread; the rounding of their mean must not invent one.
        if values.iter().all(|&value| value == values[0]) {
            return Some(Self {
                n,
                mean: values[0],
                squares: 0.0,
            });
        }
        let mean = sum(values.to_vec()) / n as f64;
        let squares = sum(values
            .iter()
            .map(|value| (value - mean) * (value - mean))
            .collect());
        (mean.is_finite() && squares.is_finite()).then_some(Self { n, mean, squares })
    }

    /// Returns the variance with divisor n - 1; `None` for n < 2.
    pub fn variance(&self) -> Option<f64> {
        (self.n >= 2).then(|| self.squares / (self.n - 1) as f64)
    }

    /// Returns the standard deviation with divisor n - 1; `None` for n < 2.
    pub fn sd(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }
}

/// Returns the mean of `values`; `None` as [`Moments::of`].
pub(crate) fn mean(values: &[f64]) -> Option<f64> {
    Moments::of(values).map(|moments| moments.mean)
}

/// Returns `values[i] - others[i]`; `None` if the lengths differ.
pub(crate) fn differences(values: &[f64], others: &[f64]) -> Option<Vec<f64>> {
    (values.len() == others.len()).then(|| values.iter().zip(others).map(|(a, b)| a - b).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_values_changes_no_bit() {
        let values = [1e16, 1.0, -1e16, 3.0, 0.1];
        let mut reversed = values;
        reversed.reverse();
        let (one, other) = (Moments::of(&values), Moments::of(&reversed));
        assert_eq!(
            one.map(|m| m.mean.to_bits()),
            other.map(|m| m.mean.to_bits())
        );
        assert_eq!(
            one.map(|m| m.squares.to_bits()),
            other.map(|m| m.squares.to_bits())
        );
    }

    #[test]
    fn small_values_survive_beside_large_ones() {
        assert_eq!(sum(vec![1.0, 1e100, 1.0, -1e100]), 2.0);
    }

    #[test]
    fn equal_values_have_no_spread() {
        assert_eq!(Moments::of(&[0.1; 7]).and_then(|m| m.sd()), Some(0.0));
    }

    #[test]
    fn what_overflows_is_undefined() {
        assert!(Moments::of(&[f64::MAX, f64::MAX, 0.0]).is_none());
    }
}
