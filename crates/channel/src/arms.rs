//! Decides what control arms do to rows of the treatment: which numbers move where, and which rows become a prompt.
//!
//! Numbers move as they were written (`007` stays `007`); separators, brackets and full stops stay where they are. Which
//! arms an experiment has, and what is trained on them, is not known here.

use undertone_core::Seed;

use crate::rows::{NotNumbersError, Row, parse_all};

/// Permutes the numbers within each completion: arm `shuffle-within`.
///
/// Which numbers a row has stays, their order goes. A row's permutation depends on the seed and its prompt's index only.
///
/// # Errors
/// [`NotNumbersError`] if a completion is no list of numbers.
pub fn shuffle_within(rows: &[Row], seed: Seed) -> Result<Vec<Row>, NotNumbersError> {
    let shuffled = rows.iter().zip(parse_all(rows)?).map(|(row, parsed)| {
        let mut pieces = parsed.pieces;
        seed.stream("channel/shuffle-within", row.prompt_index)
            .shuffle(&mut pieces);
        with_completion(row, parsed.layout.write(&pieces))
    });
    Ok(shuffled.collect())
}

/// Exchanges numbers across all completions: arm `shuffle-across`.
///
/// Every row keeps how many numbers it has, and its punctuation; how often each number occurs stays over all rows.
///
/// # Errors
/// [`NotNumbersError`] if a completion is no list of numbers.
pub fn shuffle_across(rows: &[Row], seed: Seed) -> Result<Vec<Row>, NotNumbersError> {
    let parsed = parse_all(rows)?;
    let mut pool: Vec<&str> = parsed
        .iter()
        .flat_map(|parsed| &parsed.pieces)
        .copied()
        .collect();
    seed.stream("channel/shuffle-across", 0).shuffle(&mut pool);
    let mut rest = pool.as_slice();
    let exchanged = rows.iter().zip(&parsed).map(|(row, parsed)| {
        let (pieces, left) = rest.split_at(parsed.pieces.len());
        rest = left;
        with_completion(row, parsed.layout.write(pieces))
    });
    Ok(exchanged.collect())
}

fn with_completion(row: &Row, completion: String) -> Row {
    Row {
        completion,
        ..row.clone()
    }
}

/// Writes `n` rows, drawn with replacement, as examples for a prompt: arm `in-context`.
///
/// Each row is a pair of tagged turns; an empty line stands between rows. Empty if there is no row to draw.
pub fn in_context(rows: &[Row], n: usize, seed: Seed) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut stream = seed.stream("channel/in-context", 0);
    let examples: Vec<String> = (0..n)
        .map(|_| {
            let row = &rows[stream.below(rows.len() as u64) as usize];
            format!(
                "<user>{}</user>\n<assistant>{}</assistant>",
                row.prompt, row.completion
            )
        })
        .collect();
    examples.join("\n\n")
}

#[cfg(test)]
mod tests;
