//! Tables by hand; fits and tests against scikit-learn and SciPy (`tests/golden/inspect.json`); a classifier on planted and on
//! absent differences.

use serde::Deserialize;
use undertone_core::Seed;

use super::logistic::{Sparse, fit};
use super::*;

fn row(prompt_index: u64, completion: String) -> Row {
    Row {
        prompt_index,
        prompt: String::new(),
        examples: vec![],
        completion,
    }
}

fn rows(completions: &[&str]) -> Vec<Row> {
    (0..)
        .zip(completions)
        .map(|(at, completion)| row(at, (*completion).to_owned()))
        .collect()
}

fn pairs(table: &FrequencyTable) -> Vec<(&str, u64)> {
    let counts = table.counts.iter();
    counts.map(|entry| (&*entry.label, entry.count)).collect()
}

#[test]
fn tables_count_values_lengths_separators_and_wraps() {
    let found = Frequencies::of(&rows(&["7, 8, 9", "(007; 8)", "[7].", "8, 1"])).expect("lists");
    assert_eq!(
        pairs(&found.numbers),
        [("7", 3), ("8", 3), ("1", 1), ("9", 1)]
    );
    assert_eq!(pairs(&found.first_numbers), [("7", 3), ("8", 1)]);
    assert_eq!(pairs(&found.lengths), [("2", 2), ("1", 1), ("3", 1)]);
    assert_eq!(pairs(&found.separators), [("\", \"", 2), ("\"; \"", 1)]);
    assert_eq!(pairs(&found.wraps), [("none", 2), ("()", 1), ("[].", 1)]);
    assert_eq!((found.numbers.total, found.separators.total), (8, 3));
    assert_eq!(found.first_numbers.share("7"), Some(0.75));
    assert_eq!(found.first_numbers.share("5"), Some(0.0));
    assert_eq!(FrequencyTable::default().share("5"), None);
}

#[derive(Deserialize)]
struct Golden {
    fits: Vec<Fit>,
    contrasts: Vec<ContrastRow>,
}

#[derive(Deserialize)]
struct Fit {
    name: String,
    rows: Vec<Vec<f64>>,
    labels: Vec<bool>,
    l2: f64,
    weights: Vec<f64>,
    intercept: f64,
    log_odds: Vec<f64>,
}

#[derive(Deserialize)]
struct ContrastRow {
    treatment: Vec<(String, u64)>,
    control: Vec<(String, u64)>,
    statistic: f64,
    df: usize,
    p: f64,
    labels: usize,
    pooled: usize,
    total_variation: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../tests/golden/inspect.json"))
        .expect("the golden file has the fields of the script")
}

/// 1e-6: scikit-learn ends at a gradient of about 1e-8, which leaves that much in flat directions.
#[track_caller]
fn close(found: f64, expected: f64, what: &str) {
    let allowed = 1e-6 * expected.abs().max(1.0);
    assert!(
        (found - expected).abs() <= allowed,
        "{what}: found {found}, expected {expected}"
    );
}

#[test]
fn fits_are_scikit_learns() {
    let fits = golden().fits;
    assert!(!fits.is_empty());
    for golden in fits {
        let mut sparse = Sparse::new(golden.rows[0].len());
        for row in &golden.rows {
            let entries = (0..).zip(row.iter().copied());
            sparse.push_row(entries.filter(|&(_, value)| value != 0.0));
        }
        let all: Vec<usize> = (0..golden.rows.len()).collect();
        let found = fit(&sparse, &golden.labels, &all, golden.l2).expect("two classes");
        close(found.intercept, golden.intercept, &golden.name);
        for (found, expected) in found.weights.iter().zip(&golden.weights) {
            close(*found, *expected, &golden.name);
        }
        for (row, expected) in golden.log_odds.iter().enumerate() {
            close(found.log_odds(&sparse, row), *expected, &golden.name);
        }
    }
}

#[test]
fn one_class_or_no_penalty_has_no_fit() {
    let mut sparse = Sparse::new(1);
    for value in [1.0, 2.0, 3.0] {
        sparse.push_row([(0, value)]);
    }
    let labels = [true, true, false];
    assert!(fit(&sparse, &labels, &[0, 2], 1.0).is_some());
    assert_eq!(fit(&sparse, &labels, &[0, 1], 1.0), None);
    assert_eq!(fit(&sparse, &labels, &[], 1.0), None);
    for l2 in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(fit(&sparse, &labels, &[0, 2], l2), None);
    }
}

#[test]
fn contrasts_are_scipys_after_pooling() {
    let rows = golden().contrasts;
    assert!(!rows.is_empty());
    let table = |counts: &[(String, u64)]| FrequencyTable {
        total: counts.iter().map(|(_, count)| count).sum(),
        counts: counts
            .iter()
            .map(|(label, count)| Count {
                label: label.clone(),
                count: *count,
            })
            .collect(),
    };
    for row in rows {
        let found = contrast(&table(&row.treatment), &table(&row.control)).expect("two labels");
        assert_eq!(
            (found.test.df, found.labels, found.pooled),
            (row.df, row.labels, row.pooled)
        );
        close(found.test.statistic, row.statistic, "statistic");
        assert!(
            (found.test.p - row.p).abs() <= 1e-9 * row.p,
            "{} {}",
            found.test.p,
            row.p
        );
        close(
            found.total_variation,
            row.total_variation,
            "total variation",
        );
        assert!(found.test.smallest_expected >= 5.0);
    }
}

#[test]
fn a_contrast_needs_two_labels_with_enough_in_them() {
    let found = |completions: &[&str]| Frequencies::of(&rows(completions)).expect("lists").numbers;
    let same = found(&["1"; 50]);
    assert_eq!(contrast(&same, &same), None);
    assert_eq!(contrast(&same, &FrequencyTable::default()), None);
    assert_eq!(contrast(&found(&["1", "2"]), &found(&["1", "3"])), None);
}

/// Rows of ten numbers, of which about `share` are below 100 and the others anything.
fn arm(n: u64, share: f64, seed: u64) -> Vec<Row> {
    (0..n)
        .map(|at| {
            let mut stream = Seed(seed).stream("test/arm", at);
            let numbers: Vec<String> = (0..10)
                .map(|_| {
                    let bound = if stream.uniform() < share { 100 } else { 1000 };
                    stream.below(bound).to_string()
                })
                .collect();
            row(at, numbers.join(", "))
        })
        .collect()
}

fn small() -> ClassifierSettings {
    ClassifierSettings {
        folds: 4,
        l2: vec![10.0, 1.0],
        ..ClassifierSettings::default()
    }
}

#[test]
fn a_planted_difference_is_found_in_rows_and_better_in_pairs() {
    let found = classify(&arm(300, 0.3, 1), &arm(300, 0.0, 2), &small(), Seed(1)).expect("enough");
    let rows = found.rows.interval.expect("an interval");
    assert!(rows.lo > 0.6, "{found:?}");
    let pairs = found.pairs.clone().expect("pairs");
    assert!(pairs.mean > found.rows.mean, "{found:?}");
    assert_eq!(pairs.n as u64 + found.ties, 300);
    assert_eq!((found.rows.n, found.chance, found.l2.len()), (600, 0.5, 4));
    let again = classify(&arm(300, 0.3, 1), &arm(300, 0.0, 2), &small(), Seed(1));
    assert_eq!(again, Ok(found));
}

#[test]
fn without_a_difference_chance_is_inside_the_interval() {
    let found = classify(&arm(300, 0.1, 1), &arm(300, 0.1, 2), &small(), Seed(1)).expect("enough");
    let interval = found.pairs.expect("pairs").interval.expect("an interval");
    assert!(interval.contains(0.5), "{interval:?}");
}

#[test]
fn equal_answers_to_a_prompt_teach_nothing_and_are_ties() {
    // Row by row the same in both arms: a classifier that saw one while judging the other would still find nothing, but one
    // whose folds cut through prompts would do worse than chance.
    let rows = arm(200, 0.0, 3);
    let found = classify(&rows, &rows, &small(), Seed(1)).expect("enough");
    assert_eq!(found.ties, 200);
    assert_eq!(found.pairs, None);
    assert_eq!(found.rows.mean, 0.5);
}

#[test]
fn the_shape_is_seen_only_by_those_who_look_at_it() {
    let comma = arm(200, 0.0, 4);
    let mut semicolon = arm(200, 0.0, 5);
    for row in &mut semicolon {
        row.completion = row.completion.replace(", ", "; ");
    }
    let with = |features| ClassifierSettings {
        features,
        ..small()
    };
    let bag = classify(&comma, &semicolon, &with(FeatureSet::Bag), Seed(1)).expect("enough");
    assert!(bag.rows.mean < 0.65, "{bag:?}");
    let shape =
        classify(&comma, &semicolon, &with(FeatureSet::BagAndShape), Seed(1)).expect("enough");
    assert_eq!(shape.rows.mean, 1.0);
    let test = inspect(&comma, &semicolon).expect("lists");
    assert!(
        test.separators
            .is_some_and(|contrast| contrast.test.p < 1e-50)
    );
    assert_eq!((test.wraps, test.lengths), (None, None));
}

#[test]
fn refuses_too_few_rows_and_settings_that_judge_nothing() {
    let (a, b) = (arm(30, 0.0, 1), arm(30, 0.0, 2));
    let classify =
        |a: &[Row], b: &[Row], settings: &ClassifierSettings| classify(a, b, settings, Seed(0));
    assert_eq!(
        classify(&a[..1], &b[..1], &small()),
        Err(ClassifyError::TooFew { folds: 4 })
    );
    assert_eq!(
        classify(&a, &[], &small()),
        Err(ClassifyError::TooFew { folds: 4 })
    );
    for settings in [
        ClassifierSettings {
            folds: 2,
            ..small()
        },
        ClassifierSettings {
            l2: vec![],
            ..small()
        },
        ClassifierSettings {
            l2: vec![0.0],
            ..small()
        },
        ClassifierSettings {
            level: 1.0,
            ..small()
        },
    ] {
        assert_eq!(classify(&a, &b, &settings), Err(ClassifyError::Settings));
    }
    let words = rows(&["none"]);
    assert!(matches!(
        classify(&a, &words, &small()),
        Err(ClassifyError::NotNumbers(_))
    ));
}
