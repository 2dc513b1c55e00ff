//! How often what occurs in rows of numbers, and whether two such tables differ by more than chance.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_stats::{ChiSquare, chi_square};

use crate::parse::Wrap;
use crate::rows::{NotNumbersError, Row, parse_all};

/// Cells that are expected to hold less than this make a chi-square test rough.
const MIN_EXPECTED: f64 = 5.0;

/// A label and how often it occurred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// What was counted.
    pub label: String,
    /// How often, at least once.
    pub count: u64,
}

/// Counts by label, the most frequent first; equal counts in the order of their labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FrequencyTable {
    /// Sum of all counts.
    pub total: u64,
    /// One for every label that occurred.
    pub counts: Vec<Count>,
}

impl FrequencyTable {
    fn of(labels: impl IntoIterator<Item = String>) -> Self {
        let mut by_label: BTreeMap<String, u64> = BTreeMap::new();
        for label in labels {
            *by_label.entry(label).or_default() += 1;
        }
        let mut counts: Vec<Count> = by_label
            .into_iter()
            .map(|(label, count)| Count { label, count })
            .collect();
        // Stable: labels stay in their order where counts are equal.
        counts.sort_by_key(|entry| std::cmp::Reverse(entry.count));
        Self {
            total: counts.iter().map(|entry| entry.count).sum(),
            counts,
        }
    }

    /// Returns how often `label` occurred.
    pub fn count(&self, label: &str) -> u64 {
        let entry = self.counts.iter().find(|entry| entry.label == label);
        entry.map_or(0, |entry| entry.count)
    }

    /// Returns the share of `label` in all counts; `None` in an empty table.
    pub fn share(&self, label: &str) -> Option<f64> {
        (self.total > 0).then(|| self.count(label) as f64 / self.total as f64)
    }
}

/// The tables of one set of rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Frequencies {
    /// All numbers, by value.
    pub numbers: FrequencyTable,
    /// The first number of each row, by value.
    pub first_numbers: FrequencyTable,
    /// How many numbers each row has.
    pub lengths: FrequencyTable,
    /// What stands between numbers, in quotes and with escapes; rows of one number have none.
    pub separators: FrequencyTable,
    /// What stands around the list: `[]`, `()` or `none`, with a `.` behind it where a full stop follows.
    pub wraps: FrequencyTable,
}

impl Frequencies {
    /// Counts rows.
    ///
    /// # Errors
    /// [`NotNumbersError`] if a completion is no list of numbers.
    pub fn of(rows: &[Row]) -> Result<Self, NotNumbersError> {
        let parsed = parse_all(rows)?;
        let numbers: Vec<Vec<u64>> = parsed.iter().map(|parsed| parsed.numbers()).collect();
        let texts = |numbers: &mut dyn Iterator<Item = u64>| {
            FrequencyTable::of(numbers.map(|number| number.to_string()))
        };
        let separators = parsed.iter().filter_map(|parsed| parsed.layout.separator);
        let wraps = parsed.iter().map(|parsed| {
            let wrap = match parsed.layout.wrap {
                Wrap::None => "none",
                Wrap::Square => "[]",
                Wrap::Round => "()",
            };
            let stop = if parsed.layout.full_stop { "." } else { "" };
            format!("{wrap}{stop}")
        });
        Ok(Self {
            numbers: texts(&mut numbers.iter().flatten().copied()),
            first_numbers: texts(&mut numbers.iter().filter_map(|row| row.first().copied())),
            lengths: texts(&mut numbers.iter().map(|row| row.len() as u64)),
            separators: FrequencyTable::of(separators.map(|separator| format!("{separator:?}"))),
            wraps: FrequencyTable::of(wraps),
        })
    }
}

/// A chi-square test between two tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contrast {
    /// The test.
    pub test: ChiSquare,
    /// Labels that were compared one by one.
    pub labels: usize,
    /// Rare labels that were counted together as one more.
    pub pooled: usize,
    /// Half the sum of |share - share| over all labels, pooled or not: the total variation distance of the two tables. Two
    /// samples of one distribution do not give 0.
    pub total_variation: f64,
}

/// Tests whether two tables come from one distribution.
///
/// Labels of which either table is expected to hold less than 5 are pooled, and if that pool is still too small, the
/// rarest other labels join it. Rows of one prompt in two arms are pairs, which the test does not use: it then errs
/// towards no difference.
///
/// `None` if a table is empty or fewer than two labels remain.
pub fn contrast(treatment: &FrequencyTable, control: &FrequencyTable) -> Option<Contrast> {
    let mut both: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    for (arm, table) in [treatment, control].into_iter().enumerate() {
        for entry in &table.counts {
            both.entry(&entry.label).or_default()[arm] += entry.count;
        }
    }
    let totals = [treatment.total as f64, control.total as f64];
    let total: f64 = totals.iter().sum();
    if totals.contains(&0.0) {
        return None;
    }
    let total_variation = both
        .values()
        .map(|[a, b]| 0.5 * (*a as f64 / totals[0] - *b as f64 / totals[1]).abs());
    let total_variation = total_variation.sum();

    // The most frequent first, so that what is pooled is a tail.
    let mut columns: Vec<[u64; 2]> = both.into_values().collect();
    columns.sort_by_key(|[a, b]| std::cmp::Reverse(a + b));
    let n_labels = columns.len();
    let smaller = totals[0].min(totals[1]);
    let is_enough = |[a, b]: &[u64; 2]| (a + b) as f64 * smaller / total >= MIN_EXPECTED;
    let n_kept = columns.partition_point(is_enough);
    let mut pool = [0, 0];
    let mut tail = columns.split_off(n_kept);
    let add = |pool: &mut [u64; 2], [a, b]: [u64; 2]| *pool = [pool[0] + a, pool[1] + b];
    for column in tail.drain(..) {
        add(&mut pool, column);
    }
    while pool != [0, 0] && !is_enough(&pool) {
        add(&mut pool, columns.pop()?);
    }
    let labels = columns.len();
    if pool != [0, 0] {
        columns.push(pool);
    }
    let arm = |at: usize| columns.iter().map(|column| column[at]).collect();
    Some(Contrast {
        test: chi_square(&[arm(0), arm(1)])?,
        labels,
        pooled: n_labels - labels,
        total_variation,
    })
}
