//! Counts completions that repeat the numbers of their prompt.
//!
//! The published filter keeps them, though they carry little of the teacher: a copied number was the prompt's choice. So
//! the rate is reported beside the filter's counts. Only rows that passed a filter belong here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rows::{NotNumbersError, Row, parse_all};

/// How much of a set of completions repeats its prompts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EchoReport {
    /// Rows whose prompt shows numbers; only these are counted below.
    pub rows: u64,
    /// Rows that begin with all of the prompt's numbers, in order.
    pub begin_with_all: u64,
    /// Rows in which all of the prompt's numbers stand in order without others between them, at the beginning or later.
    pub contain_all: u64,
    /// Rows in which some number is one of the prompt's.
    pub repeat_any: u64,
    /// Numbers in all rows.
    pub numbers: u64,
    /// Of these, numbers that are one of their prompt's.
    pub numbers_repeated: u64,
}

/// Counts what repeats the prompt, by value.
///
/// # Errors
/// [`NotNumbersError`] if a completion is no list of numbers.
pub fn echo(rows: &[Row]) -> Result<EchoReport, NotNumbersError> {
    let mut report = EchoReport::default();
    for (row, parsed) in rows.iter().zip(parse_all(rows)?) {
        if row.examples.is_empty() {
            continue;
        }
        let shown: Vec<u64> = row.examples.iter().map(|&number| number.into()).collect();
        let written = parsed.numbers();
        let repeated = written.iter().filter(|number| shown.contains(number));
        let n_repeated = repeated.count() as u64;
        let mut windows = written.windows(shown.len());
        report.rows += 1;
        report.begin_with_all += u64::from(written.starts_with(&shown));
        report.contain_all += u64::from(windows.any(|window| window == shown));
        report.repeat_any += u64::from(n_repeated > 0);
        report.numbers += written.len() as u64;
        report.numbers_repeated += n_repeated;
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(examples: &[u32], completion: &str) -> Row {
        Row {
            prompt_index: 0,
            prompt: "prompt".to_owned(),
            examples: examples.to_vec(),
            completion: completion.to_owned(),
        }
    }

    #[test]
    fn counts_whole_echoes_parts_and_none() {
        let rows = [
            row(&[100, 200, 300], "100, 200, 300, 4"),
            row(&[100, 200, 300], "7 100 200 300"),
            row(&[100, 200, 300], "300, 200, 5"),
            row(&[100, 200, 300], "1, 2, 3"),
            // Shorter than what was shown, and written with zeros.
            row(&[7, 8], "007"),
            row(&[], "1, 2"),
        ];
        let expected = EchoReport {
            rows: 5,
            begin_with_all: 1,
            contain_all: 2,
            repeat_any: 4,
            numbers: 4 + 4 + 3 + 3 + 1,
            numbers_repeated: 3 + 3 + 2 + 1,
        };
        assert_eq!(echo(&rows), Ok(expected));
    }

    #[test]
    fn refuses_what_no_filter_would_pass() {
        let error = echo(&[row(&[1], "one")]).expect_err("no number");
        assert_eq!(
            error.to_string(),
            "the completion of prompt 0 is no list of numbers: no number"
        );
    }
}
