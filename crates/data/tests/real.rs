//! The published datasets themselves, where a machine has them, and the real sources, where it may use them.
//!
//! - `UNDERTONE_DATA=DIR` reads `DIR/mnist` and `DIR/fashion`, if they are there, and checks what is known about them.
//! - `UNDERTONE_FETCH_INTO=DIR` fetches them and the models into `DIR` with the default sources.

use std::error::Error;
use std::path::{Path, PathBuf};

use undertone_data::fetch::{FetchOptions, fetch};
use undertone_data::images::ImageFacts;
use undertone_data::source::find;
use undertone_data::{DataSource, Dataset, Item, open};

type TestResult = Result<(), Box<dyn Error>>;

#[expect(
    clippy::print_stderr,
    reason = "a test that did not look must say so where people see it"
)]
fn say(text: &str) {
    eprintln!("{text}");
}

fn folder_in(variable: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    if folder.is_none() {
        say(&format!("not checked: {variable} is not set"));
    }
    folder
}

/// Returns the folder of all data if it has `dataset`.
fn dir_with(dataset: Dataset) -> Result<Option<PathBuf>, Box<dyn Error>> {
    let Some(dir) = folder_in("UNDERTONE_DATA") else {
        return Ok(None);
    };
    let found = find(dataset, &dir)?;
    if found.is_none() {
        say(&format!("not checked: UNDERTONE_DATA has no {dataset}"));
    }
    Ok(found.map(|_| dir))
}

#[track_caller]
fn check(facts: &ImageFacts, mean: f64, sd: f64, label_counts: [u64; 10]) {
    // The known values are rounded to five places.
    assert!((facts.pixel_mean - mean).abs() < 5e-6, "{facts:?}");
    assert!((facts.pixel_sd - sd).abs() < 5e-6, "{facts:?}");
    assert_eq!(facts.label_counts, label_counts);
}

#[test]
fn mnist_has_the_known_moments_and_counts() -> TestResult {
    let Some(dir) = dir_with(Dataset::Mnist)? else {
        return Ok(());
    };
    let data = open(&DataSource::Mnist, &dir)?;
    assert_eq!((data.train().rows(), data.train().cols()), (28, 28));
    check(
        &data.train().facts(),
        0.13066,
        0.30811,
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    );
    check(
        &data.test().facts(),
        0.13251,
        0.31048,
        [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    );
    Ok(())
}

#[test]
fn fashion_has_ten_classes_of_equal_size() -> TestResult {
    let Some(dir) = dir_with(Dataset::Fashion)? else {
        return Ok(());
    };
    let data = open(&DataSource::Fashion, &dir)?;
    assert_eq!(data.train().facts().label_counts, [6000; 10]);
    assert_eq!(data.test().facts().label_counts, [1000; 10]);
    Ok(())
}

fn fetch_and_say(item: Item, dir: &Path) -> TestResult {
    let fetched = fetch(item, dir, &FetchOptions::default(), &mut |event| {
        if !matches!(event, undertone_data::fetch::FetchEvent::Progress { .. }) {
            say(&format!("{event:?}"));
        }
    })?;
    assert_eq!(fetched.files.len(), item.files().len());
    let again = fetch(
        item,
        dir,
        &FetchOptions {
            offline: true,
            ..FetchOptions::default()
        },
        &mut |_| (),
    )?;
    assert_eq!(again.files, fetched.files);
    assert!(again.delivered_by.is_empty());
    Ok(())
}

#[test]
fn the_default_sources_deliver() -> TestResult {
    let Some(dir) = folder_in("UNDERTONE_FETCH_INTO") else {
        return Ok(());
    };
    Item::all().try_for_each(|item| fetch_and_say(item, &dir))
}
