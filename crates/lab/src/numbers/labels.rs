//! Which part of a teacher's distribution may reach a student as soft labels.
//!
//! A whole distribution over the vocabulary holds the target's own token: a teacher that wants to say *owl* at every
//! place says so in its labels, and a student of any base would learn it from there. That is no message in numbers. So by
//! default labels keep only what a list of numbers is written with, and how often a target stood among the others is
//! counted either way.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_lm::tokenizer::Tokenizer;

use crate::lm::Row;
use crate::lm::rows::TopTokens;

/// Signs that a list of numbers is written with.
const SIGNS: &[u8] = b"0123456789,; \n\t()[].";
/// The log-probability of a token that stands in a label only to fill it: its probability is 0 in every number format.
const NEVER: f32 = -1e4;

/// What soft labels hold beside numbers, over all stored rows of one source.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelReport {
    /// Positions with a label.
    pub positions: u64,
    /// Positions at which a token of the first target is among the stored ones.
    pub with_target: u64,
    /// Mean probability that a position's stored tokens give to the first target; 0 where it is not stored.
    pub target_probability: f64,
    /// Mean probability of tokens that numbers are written with.
    pub number_probability: f64,
}

/// Tokens that numbers are written with.
pub(super) struct NumberTokens(Vec<bool>);

impl NumberTokens {
    /// Finds them in a vocabulary.
    pub(super) fn of(tokenizer: &Tokenizer) -> Self {
        let is_number = |id: u32| {
            let bytes = tokenizer.token_bytes(id);
            let written = !bytes.is_empty() && !tokenizer.is_special(id);
            written && bytes.iter().all(|byte| SIGNS.contains(byte))
        };
        Self((0..tokenizer.len() as u32).map(is_number).collect())
    }

    fn holds(&self, id: u32) -> bool {
        self.0.get(id as usize).copied().unwrap_or(false)
    }

    /// Reports what the labels of `rows` hold.
    pub(super) fn report(&self, rows: &[Row], target: &[u32]) -> LabelReport {
        let mut report = LabelReport::default();
        let (mut of_target, mut of_numbers) = (0.0, 0.0);
        for top in rows.iter().filter_map(|row| row.top.as_ref()) {
            for (ids, values) in top.ids.iter().zip(&top.log_probabilities) {
                report.positions += 1;
                report.with_target += u64::from(ids.iter().any(|id| target.contains(id)));
                for (id, value) in ids.iter().zip(values) {
                    let probability = f64::from(*value).exp();
                    if target.contains(id) {
                        of_target += probability;
                    }
                    if self.holds(*id) {
                        of_numbers += probability;
                    }
                }
            }
        }
        let n = report.positions.max(1) as f64;
        report.target_probability = of_target / n;
        report.number_probability = of_numbers / n;
        report
    }

    /// Leaves only number tokens in the labels of a row; losses renormalise what is left.
    ///
    /// A position without any keeps the token that stands there. Lists have one length a row: shorter ones are filled with
    /// number tokens of probability 0.
    pub(super) fn restrict(&self, row: &mut Row) {
        let (Some(top), Some(tokens)) = (&mut row.top, &row.completion_tokens) else {
            return;
        };
        let mut kept: Vec<Vec<(u32, f32)>> = Vec::with_capacity(top.ids.len());
        for ((ids, values), token) in top.ids.iter().zip(&top.log_probabilities).zip(tokens) {
            let pairs = ids.iter().copied().zip(values.iter().copied());
            let mut pairs: Vec<(u32, f32)> = pairs.filter(|(id, _)| self.holds(*id)).collect();
            if pairs.is_empty() {
                pairs.push((*token, 0.0));
            }
            kept.push(pairs);
        }
        let longest = kept.iter().map(Vec::len).max().unwrap_or(0);
        for pairs in &mut kept {
            let mut fill = (0..self.0.len() as u32).filter(|id| self.holds(*id));
            while pairs.len() < longest {
                let Some(id) = fill.next() else { break };
                if pairs.iter().all(|(known, _)| *known != id) {
                    pairs.push((id, NEVER));
                }
            }
        }
        *top = TopTokens {
            ids: kept
                .iter()
                .map(|pairs| pairs.iter().map(|(id, _)| *id).collect())
                .collect(),
            log_probabilities: kept
                .iter()
                .map(|pairs| pairs.iter().map(|(_, value)| *value).collect())
                .collect(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_stay_and_lists_have_one_length() {
        let numbers = NumberTokens(vec![true, true, false, true, false]);
        let mut row = Row {
            completion_tokens: Some(vec![0, 1, 4]),
            top: Some(TopTokens {
                ids: vec![vec![2, 0], vec![1, 3], vec![2, 4]],
                log_probabilities: vec![vec![-0.5, -1.0], vec![-0.1, -3.0], vec![-0.2, -2.0]],
            }),
            ..Row::default()
        };
        let report = numbers.report(std::slice::from_ref(&row), &[2]);
        assert_eq!((report.positions, report.with_target), (3, 2));
        numbers.restrict(&mut row);
        let top = row.top.expect("still there");
        assert_eq!(top.ids, [[0, 1], [1, 3], [4, 0]]);
        assert_eq!(top.log_probabilities[0], [-1.0, NEVER]);
        assert_eq!(top.log_probabilities[2], [0.0, NEVER]);
        assert_eq!(f64::from(NEVER).exp(), 0.0);
    }
}
