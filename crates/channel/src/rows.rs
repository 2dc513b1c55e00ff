//! A prompt with its completion, and what is done to lists of them whatever the arm: digests, pairing, subsets.
//!
//! The digest covers what a student is trained on, texts and order, so that two arms which would train alike are found
//! before they are trained ([`refuse_identical`]). Reading and writing files of rows is the caller's.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::{Digest, Seed};

use crate::canonical::Canonical;
use crate::parse::{Parsed, Rejection, parse};

/// A number prompt and what a model made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Index of the prompt in its sequence: what pairs rows of two arms.
    pub prompt_index: u64,
    /// The prompt's text.
    pub prompt: String,
    /// The numbers the prompt shows; empty where they are not known.
    #[serde(default)]
    pub examples: Vec<u32>,
    /// What the model wrote.
    pub completion: String,
}

/// A row was taken for a list of numbers and is none: it did not pass a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the completion of prompt {prompt_index} is no list of numbers: {reason}")]
pub struct NotNumbersError {
    /// [`Row::prompt_index`].
    pub prompt_index: u64,
    /// Why not.
    pub reason: Rejection,
}

/// Reads every completion.
///
/// # Errors
/// [`NotNumbersError`] naming the first that is no list of numbers.
pub fn parse_all(rows: &[Row]) -> Result<Vec<Parsed<'_>>, NotNumbersError> {
    rows.iter()
        .map(|row| {
            parse(&row.completion).map_err(|reason| NotNumbersError {
                prompt_index: row.prompt_index,
                reason,
            })
        })
        .collect()
}

/// Returns the digest of prompts and completions, in order.
pub fn rows_digest(rows: &[Row]) -> Digest {
    let mut sequence = Canonical::new("rows");
    for row in rows {
        sequence.text(&row.prompt);
        sequence.text(&row.completion);
    }
    sequence.digest()
}

/// Two arms would be trained on the same rows in the same order, so their difference would be 0 by construction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the training rows of arms `{first}` and `{second}` are byte-identical (digest {digest})")]
pub struct IdenticalArmsError {
    /// The arm named first.
    pub first: String,
    /// The other.
    pub second: String,
    /// Of the rows of both.
    pub digest: Digest,
}

/// Refuses arms with the same rows in the same order; `arms` are names and [`rows_digest`]s.
///
/// # Errors
/// [`IdenticalArmsError`] with the first such pair.
pub fn refuse_identical<N: AsRef<str>>(arms: &[(N, Digest)]) -> Result<(), IdenticalArmsError> {
    let mut seen: BTreeMap<Digest, &str> = BTreeMap::new();
    for (name, digest) in arms {
        if let Some(first) = seen.insert(*digest, name.as_ref()) {
            return Err(IdenticalArmsError {
                first: first.to_owned(),
                second: name.as_ref().to_owned(),
                digest: *digest,
            });
        }
    }
    Ok(())
}

/// Returns the rows of both arms whose prompt occurs exactly once in each, in the order of the first.
///
/// After a filter that rejected different rows in two arms, this is what keeps prompts and row order the same.
pub fn paired(first: &[Row], second: &[Row]) -> (Vec<Row>, Vec<Row>) {
    let places = paired_places(first, second).into_iter();
    places
        .map(|(at, other)| (first[at].clone(), second[other].clone()))
        .unzip()
}

/// Returns the places of rows whose prompt occurs exactly once in each arm, in the order of the first.
pub(crate) fn paired_places(first: &[Row], second: &[Row]) -> Vec<(usize, usize)> {
    let (in_first, in_second) = (single_places(first), single_places(second));
    let pairs = first.iter().filter_map(|row| {
        let place = in_first.get(&row.prompt_index).copied().flatten()?;
        let other = in_second.get(&row.prompt_index).copied().flatten()?;
        Some((place, other))
    });
    pairs.collect()
}

/// Maps every prompt to the place of its row, or to nothing if it has several.
fn single_places(rows: &[Row]) -> BTreeMap<u64, Option<usize>> {
    let mut places = BTreeMap::new();
    for (place, row) in rows.iter().enumerate() {
        places
            .entry(row.prompt_index)
            .and_modify(|place| *place = None)
            .or_insert(Some(place));
    }
    places
}

/// Returns `n` rows drawn without replacement, in the order they came; all of them if there are no more than `n`.
///
/// Arms of the same length take the same places, so that paired rows stay paired.
pub fn subset(rows: &[Row], n: usize, seed: Seed) -> Vec<Row> {
    let mut places: Vec<usize> = (0..rows.len()).collect();
    seed.stream("channel/subset", 0).shuffle(&mut places);
    places.truncate(n);
    places.sort_unstable();
    places.into_iter().map(|at| rows[at].clone()).collect()
}

#[cfg(test)]
mod tests;
