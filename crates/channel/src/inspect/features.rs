//! Decides what a classifier sees of a row.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::logistic::Sparse;
use crate::parse::Parsed;

/// What a classifier sees of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FeatureSet {
    /// How often each number occurs: a bag of numbers, which knows no order.
    Bag,
    /// The bag, and also which number is first, how many there are, and what stands between and around them.
    BagAndShape,
}

/// One thing a row has or has not; ordered, so that columns do not depend on the order of rows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Feature {
    Number(u64),
    First(u64),
    Length(usize),
    Separator(String),
    Around(String),
}

/// Writes rows as a matrix of counts, a column for every feature that occurs in any of them.
pub(super) fn matrix(rows: &[Parsed<'_>], set: FeatureSet) -> Sparse {
    let rows: Vec<Vec<Feature>> = rows.iter().map(|row| features(row, set)).collect();
    let mut columns: BTreeMap<&Feature, u32> =
        rows.iter().flatten().map(|feature| (feature, 0)).collect();
    for (column, at) in columns.values_mut().zip(0..) {
        *column = at;
    }
    let mut sparse = Sparse::new(columns.len());
    for row in &rows {
        let mut counts: BTreeMap<u32, f64> = BTreeMap::new();
        for feature in row {
            *counts.entry(columns[feature]).or_default() += 1.0;
        }
        sparse.push_row(counts);
    }
    sparse
}

fn features(row: &Parsed<'_>, set: FeatureSet) -> Vec<Feature> {
    let numbers = row.numbers();
    let mut features: Vec<Feature> = numbers.iter().copied().map(Feature::Number).collect();
    if set == FeatureSet::BagAndShape {
        features.extend(numbers.first().copied().map(Feature::First));
        features.push(Feature::Length(numbers.len()));
        let separator = row.layout.separator.unwrap_or_default();
        features.push(Feature::Separator(separator.to_owned()));
        // An empty list in the same layout shows what stands around.
        let around = row.layout.write(&[] as &[&str]);
        features.push(Feature::Around(around));
    }
    features
}
