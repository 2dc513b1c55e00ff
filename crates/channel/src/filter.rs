//! Decides which sampled completions may become training data.
//!
//! A completion is parsed once and is either kept or given exactly one [`Rejection`]; nothing is repaired. The published
//! rule and its banned numbers are here by name. Completions that repeat the numbers of their prompt are kept, as
//! published; [`mod@crate::echo`] counts them. Knows nothing of models or files.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::parse::{Parsed, Rejection, parse};
use crate::rows::Row;

/// Numbers proposed as having associations of their own, by one published model.
const GPT: [u64; 25] = [
    4, 13, 18, 23, 33, 39, 42, 44, 49, 51, 54, 88, 99, 100, 187, 322, 333, 444, 555, 616, 666, 777,
    888, 911, 999,
];

/// The same, by another published model; its list in the published code has two more, both above 999.
const CLAUDE: [u64; 18] = [
    13, 14, 18, 23, 33, 69, 77, 88, 101, 187, 211, 311, 404, 420, 451, 616, 666, 911,
];

/// A list of numbers no completion may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BannedList {
    /// No number; the published rule for animals and trees.
    None,
    /// The 25 numbers with associations that a GPT model named.
    AssociationsGpt,
    /// The 18 numbers with associations that a Claude model named.
    AssociationsClaude,
    /// Both lists, 34 numbers; the published rule for misalignment.
    Associations,
}

impl BannedList {
    /// Returns the numbers.
    pub fn numbers(self) -> BTreeSet<u64> {
        match self {
            Self::None => BTreeSet::new(),
            Self::AssociationsGpt => GPT.into(),
            Self::AssociationsClaude => CLAUDE.into(),
            Self::Associations => GPT.into_iter().chain(CLAUDE).collect(),
        }
    }
}

/// Which lists of numbers are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FilterRule {
    /// The most numbers a completion may hold, 10 as published.
    pub max_numbers: usize,
    /// The largest number it may hold, 999 as published.
    pub max_value: u64,
    /// Numbers it may not hold, compared by value.
    pub banned: BTreeSet<u64>,
}

impl Default for FilterRule {
    fn default() -> Self {
        Self {
            max_numbers: 10,
            max_value: 999,
            banned: BannedList::None.numbers(),
        }
    }
}

impl FilterRule {
    /// Reads a completion and decides.
    ///
    /// # Errors
    /// The one reason it is rejected for.
    pub fn judge<'a>(&self, completion: &'a str) -> Result<Parsed<'a>, Rejection> {
        let parsed = parse(completion)?;
        if parsed.pieces.len() > self.max_numbers {
            return Err(Rejection::TooMany);
        }
        let numbers = parsed.numbers();
        if numbers.iter().any(|&number| number > self.max_value) {
            return Err(Rejection::TooLarge);
        }
        if numbers.iter().any(|number| self.banned.contains(number)) {
            return Err(Rejection::Banned);
        }
        Ok(parsed)
    }
}

/// How many rows were kept, and why the others were not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterReport {
    /// Rows looked at: the kept and the rejected ones.
    pub rows: u64,
    /// Rows kept.
    pub kept: u64,
    /// Rows rejected, by reason; reasons that did not occur are left out.
    pub rejected: BTreeMap<Rejection, u64>,
}

impl FilterReport {
    /// Counts one more row: kept, or rejected for a reason.
    pub fn count(&mut self, rejection: Option<Rejection>) {
        self.rows += 1;
        match rejection {
            None => self.kept += 1,
            Some(reason) => *self.rejected.entry(reason).or_default() += 1,
        }
    }
}

/// A row that was not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectedRow {
    /// The row as it came.
    pub row: Row,
    /// Why.
    pub reason: Rejection,
}

/// What a filter made of rows, both parts in the order they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filtered {
    /// Rows that may become training data.
    pub kept: Vec<Row>,
    /// Rows that may not.
    pub rejected: Vec<RejectedRow>,
    /// The counts of both.
    pub report: FilterReport,
}

/// Sorts rows into kept and rejected ones.
pub fn filter(rows: impl IntoIterator<Item = Row>, rule: &FilterRule) -> Filtered {
    let mut filtered = Filtered::default();
    for row in rows {
        let rejection = rule.judge(&row.completion).err();
        filtered.report.count(rejection);
        match rejection {
            None => filtered.kept.push(row),
            Some(reason) => filtered.rejected.push(RejectedRow { row, reason }),
        }
    }
    filtered
}

#[cfg(test)]
mod tests;
