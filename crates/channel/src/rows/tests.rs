//! Digests, pairing and subsets of rows.

use proptest::prelude::*;

use super::*;

fn row(prompt_index: u64, prompt: &str, completion: &str) -> Row {
    Row {
        prompt_index,
        prompt: prompt.to_owned(),
        examples: vec![],
        completion: completion.to_owned(),
    }
}

#[test]
fn the_digest_sees_texts_and_order_and_nothing_else() {
    let rows = [row(0, "a", "1, 2"), row(1, "b", "3")];
    let digest = rows_digest(&rows);
    let renumbered = [row(7, "a", "1, 2"), row(9, "b", "3")];
    assert_eq!(digest, rows_digest(&renumbered));
    let swapped = [rows[1].clone(), rows[0].clone()];
    assert_ne!(digest, rows_digest(&swapped));
    // The same letters, divided otherwise.
    let divided = [row(0, "a1", ", 2"), row(1, "b", "3")];
    assert_ne!(digest, rows_digest(&divided));
    assert_ne!(digest, rows_digest(&rows[..1]));
}

#[test]
fn refuses_arms_with_the_same_rows_and_names_both() {
    let owl = rows_digest(&[row(0, "a", "1")]);
    let wolf = rows_digest(&[row(0, "a", "2")]);
    assert_eq!(refuse_identical(&[("owl", owl), ("wolf", wolf)]), Ok(()));
    let error = refuse_identical(&[("owl", owl), ("wolf", wolf), ("regular", owl)])
        .expect_err("the same rows twice");
    assert_eq!((&*error.first, &*error.second), ("owl", "regular"));
    assert!(error.to_string().contains("byte-identical"), "{error}");
}

#[test]
fn pairs_are_prompts_that_occur_once_in_both() {
    let first = [
        row(5, "five", "1"),
        row(2, "two", "2"),
        row(3, "three", "3"),
        row(3, "three", "4"),
    ];
    let second = [
        row(2, "two", "20"),
        row(3, "three", "30"),
        row(5, "five", "50"),
        row(6, "six", "60"),
    ];
    let (left, right) = paired(&first, &second);
    assert_eq!(left, first[..2]);
    assert_eq!(right, [second[2].clone(), second[0].clone()]);
}

proptest! {
    #[test]
    fn subsets_keep_order_and_take_the_same_places(n_rows in 0_usize..40, n in 0_usize..50, seed: u64) {
        let rows: Vec<Row> = (0..n_rows as u64).map(|at| row(at, "p", &at.to_string())).collect();
        let others: Vec<Row> = (0..n_rows as u64).map(|at| row(at, "p", "other")).collect();
        let subset = super::subset(&rows, n, Seed(seed));
        prop_assert_eq!(subset.len(), n.min(n_rows));
        prop_assert!(subset.windows(2).all(|pair| pair[0].prompt_index < pair[1].prompt_index));
        let places = |rows: &[Row]| rows.iter().map(|row| row.prompt_index).collect::<Vec<_>>();
        prop_assert_eq!(places(&subset), places(&super::subset(&others, n, Seed(seed))));
    }
}

#[test]
fn a_subset_depends_on_its_seed() {
    let rows: Vec<Row> = (0..100).map(|at| row(at, "p", "1")).collect();
    assert_ne!(subset(&rows, 10, Seed(1)), subset(&rows, 10, Seed(2)));
}
