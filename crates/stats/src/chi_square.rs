//! Pearson's chi-square test of independence: do several samples of categories come from one distribution?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statrs::function::gamma::checked_gamma_ur;

/// What a chi-square test of independence found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChiSquare {
    /// Sum over cells of (observed - expected)² / expected.
    pub statistic: f64,
    /// Degrees of freedom: (rows - 1) (columns - 1) of what is not empty.
    pub df: usize,
    /// Probability of a statistic at least as large if the samples share one distribution; 0 where it is below about 1e-307.
    pub p: f64,
    /// Cramér's V: √(statistic / (n · (min(rows, columns) - 1))), from 0 (no association) to 1.
    pub cramers_v: f64,
    /// Observations.
    pub n: u64,
    /// The smallest expected count; below about 5 the p-value is rough.
    pub smallest_expected: f64,
}

/// Tests whether the rows of `table`, counts of one sample over the same categories each, have one distribution.
///
/// Expected counts are row sum × column sum / n. Rows and columns without any count are left out. No continuity
/// correction. Assumes independent observations: several numbers of one completion are none, and make p too small.
///
/// `None` if the rows differ in length, the counts overflow, or fewer than two rows or two columns hold a count.
///
/// # Source
/// K. Pearson, 1900; H. Cramér, Mathematical Methods of Statistics, 1946, section 21.9 (V).
pub fn chi_square(table: &[Vec<u64>]) -> Option<ChiSquare> {
    let width = table.first()?.len();
    if table.iter().any(|row| row.len() != width) {
        return None;
    }
    let row_sums: Vec<u64> = table
        .iter()
        .map(|row| sum(row.iter().copied()))
        .collect::<Option<_>>()?;
    let column_sums: Vec<u64> = (0..width)
        .map(|column| sum(table.iter().map(|row| row[column])))
        .collect::<Option<_>>()?;
    let n = sum(row_sums.iter().copied())?;
    let used = |sums: &[u64]| sums.iter().filter(|&&sum| sum > 0).count();
    let (n_rows, n_columns) = (used(&row_sums), used(&column_sums));
    if n_rows < 2 || n_columns < 2 {
        return None;
    }
    let mut statistic = 0.0;
    let mut smallest_expected = f64::INFINITY;
    for (row, &row_sum) in table.iter().zip(&row_sums) {
        for (&count, &column_sum) in row.iter().zip(&column_sums) {
            if row_sum == 0 || column_sum == 0 {
                continue;
            }
            let expected = row_sum as f64 * column_sum as f64 / n as f64;
            statistic += (count as f64 - expected).powi(2) / expected;
            smallest_expected = smallest_expected.min(expected);
        }
    }
    let df = (n_rows - 1) * (n_columns - 1);
    Some(ChiSquare {
        statistic,
        df,
        p: upper_tail(statistic, df as f64)?,
        cramers_v: (statistic / (n as f64 * (n_rows.min(n_columns) - 1) as f64)).sqrt(),
        n,
        smallest_expected,
    })
}

fn sum(mut counts: impl Iterator<Item = u64>) -> Option<u64> {
    counts.try_fold(0_u64, |sum, count| sum.checked_add(count))
}

/// Returns P(X >= `statistic`) for the chi-square distribution of `df` degrees of freedom.
fn upper_tail(statistic: f64, df: f64) -> Option<f64> {
    if statistic <= 0.0 {
        return Some(1.0);
    }
    checked_gamma_ur(0.5 * df, 0.5 * statistic).ok()
}
