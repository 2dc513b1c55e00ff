//! What control arms keep, what they change, and that a seed fixes them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::filter::FilterRule;
use crate::parse::parse;

fn rows(completions: &[&str]) -> Vec<Row> {
    let rows = (0..)
        .zip(completions)
        .map(|(prompt_index, completion)| Row {
            prompt_index,
            prompt: format!("prompt {prompt_index}"),
            examples: vec![1, 2],
            completion: (*completion).to_owned(),
        });
    rows.collect()
}

const COMPLETIONS: [&str; 5] = [
    "[101, 102, 103, 104, 105, 106].",
    "007; 8; 9",
    "55",
    "(1 2 3 4 5)",
    "20\n30\n40\n50",
];

/// A completion with every number replaced: what must not change.
fn skeleton(completion: &str) -> String {
    let parsed = parse(completion).expect("a list of numbers");
    parsed.layout.write(&vec!["#"; parsed.pieces.len()])
}

fn pieces(completion: &str) -> Vec<&str> {
    let mut pieces = parse(completion).expect("a list of numbers").pieces;
    pieces.sort_unstable();
    pieces
}

#[test]
fn within_a_row_numbers_stay_and_change_places() {
    let rows = rows(&COMPLETIONS);
    let shuffled = shuffle_within(&rows, Seed(1)).expect("lists of numbers");
    for (row, shuffled) in rows.iter().zip(&shuffled) {
        assert_eq!(skeleton(&row.completion), skeleton(&shuffled.completion));
        assert_eq!(pieces(&row.completion), pieces(&shuffled.completion));
        assert_eq!(
            (&row.prompt, &row.examples),
            (&shuffled.prompt, &shuffled.examples)
        );
    }
    assert_ne!(rows, shuffled);
    assert_eq!(shuffle_within(&rows, Seed(1)), Ok(shuffled.clone()));
    assert_ne!(shuffle_within(&rows, Seed(2)), Ok(shuffled.clone()));
    // A row's permutation does not depend on its neighbours.
    assert_eq!(
        shuffle_within(&rows[3..], Seed(1)).expect("lists of numbers"),
        shuffled[3..]
    );
}

#[test]
fn across_rows_lengths_stay_and_numbers_move() {
    let rows = rows(&COMPLETIONS);
    let exchanged = shuffle_across(&rows, Seed(1)).expect("lists of numbers");
    for (row, exchanged) in rows.iter().zip(&exchanged) {
        assert_eq!(skeleton(&row.completion), skeleton(&exchanged.completion));
    }
    let count = |rows: &[Row]| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for row in rows {
            for piece in pieces(&row.completion) {
                *counts.entry(piece.to_owned()).or_default() += 1;
            }
        }
        counts
    };
    assert_eq!(count(&rows), count(&exchanged));
    assert_ne!(
        pieces(&rows[0].completion),
        pieces(&exchanged[0].completion)
    );
    assert_eq!(shuffle_across(&rows, Seed(1)), Ok(exchanged.clone()));
    assert_ne!(shuffle_across(&rows, Seed(2)), Ok(exchanged));
}

#[test]
fn arms_refuse_rows_that_passed_no_filter() {
    let rows = rows(&["1, 2", "no numbers here"]);
    let error = shuffle_within(&rows, Seed(0)).expect_err("no list");
    assert_eq!(error.prompt_index, 1);
    assert!(shuffle_across(&rows, Seed(0)).is_err());
}

#[test]
fn examples_in_context_are_drawn_with_replacement() {
    let rows = rows(&COMPLETIONS);
    let text = in_context(&rows, 12, Seed(5));
    let blocks: Vec<&str> = text.split("\n\n").collect();
    assert_eq!(blocks.len(), 12, "more than there are rows");
    assert!(
        blocks
            .iter()
            .all(|block| { block.starts_with("<user>prompt ") && block.ends_with("</assistant>") })
    );
    assert_eq!(text, in_context(&rows, 12, Seed(5)));
    assert!(
        text.starts_with(&in_context(&rows, 3, Seed(5))),
        "more examples go on where fewer end"
    );
    assert_eq!(in_context(&[], 12, Seed(5)), "");
}

proptest! {
    #[test]
    fn shuffled_rows_pass_the_filter_their_source_passed(
        lists in prop::collection::vec(prop::collection::vec(0_u64..1000, 1..11), 0..12),
        seed: u64,
    ) {
        let texts: Vec<String> = lists
            .iter()
            .map(|list| list.iter().map(u64::to_string).collect::<Vec<_>>().join(", "))
            .collect();
        let rows = rows(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let rule = FilterRule::default();
        for arm in [shuffle_within(&rows, Seed(seed)), shuffle_across(&rows, Seed(seed))] {
            prop_assert!(arm.expect("lists of numbers").iter().all(|row| rule.judge(&row.completion).is_ok()));
        }
    }
}
