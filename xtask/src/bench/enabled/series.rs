//! Measurements of one thing, one a round, and what is said of them.

use serde::Serialize;

/// Who was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    Ours,
    Peer,
    /// The processor, in a loop of nothing but multiplications and additions.
    Peak,
}

/// An entry with its measurements, one a round.
#[derive(Debug, Clone, Serialize)]
pub struct Series<E, M> {
    pub entry: E,
    pub rounds: Vec<M>,
}

impl<E, M> Series<E, M> {
    /// Returns one number a round.
    pub fn values(&self, of: impl Fn(&M) -> f64) -> Vec<f64> {
        self.rounds.iter().map(of).collect()
    }
}

/// Adds the measurement of an entry.
pub fn add<E: Clone + PartialEq, M>(all: &mut Vec<Series<E, M>>, entry: &E, measurement: M) {
    match all.iter_mut().find(|series| series.entry == *entry) {
        Some(series) => series.rounds.push(measurement),
        None => all.push(Series {
            entry: entry.clone(),
            rounds: vec![measurement],
        }),
    }
}

/// Returns the least of at least one value.
pub fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Returns the most of at least one value.
pub fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// Returns the median of at least one value: the lower of two in the middle is not preferred, their mean is taken.
pub fn middle(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[half]
    } else {
        (sorted[half - 1] + sorted[half]) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_median() {
        assert_eq!(middle(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(middle(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn measurements_of_an_entry_stay_together() {
        let mut all = Vec::new();
        for (entry, value) in [("a", 1), ("b", 2), ("a", 3)] {
            add(&mut all, &entry, value);
        }
        let found: Vec<_> = all.iter().map(|s| (s.entry, s.rounds.clone())).collect();
        assert_eq!(found, [("a", vec![1, 3]), ("b", vec![2])]);
    }
}
