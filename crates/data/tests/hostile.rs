//! Arbitrary and mutated bytes for every reader: no panic, no wrong acceptance, and memory that follows the input.
//!
//! Memory is measured with a counting allocator, which sees every thread; so the properties of this binary take turns.
//! `PROPTEST_CASES` sets the number of cases of each property, 256 by default.

use std::io::Write;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

use flate2::Compression;
use flate2::write::GzEncoder;
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use undertone_data::csv::{MAX_PIXEL, SIDE, read_digits_csv};
use undertone_data::idx::{MAX_LABEL, read_images, read_labels, write_images, write_labels};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

static TURN: Mutex<()> = Mutex::new(());

/// What a reader may need besides twice its content: decompressor state, first buffer, error texts.
const OVERHEAD_BYTES: usize = 1 << 20;

/// 48 MiB of zeros behind the header of one 1x1 image, in about 48 KiB.
static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut content = Vec::new();
    write_images(&mut content, 1, 1, &[0]).expect("a vector takes every byte");
    content.resize(48 << 20, 0);
    gzip(&content)
});

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(content)
        .expect("a vector takes every byte");
    encoder.finish().expect("a vector takes every byte")
}

/// Runs `property` on as many values of `strategy` as are asked for, alone in this process.
fn check<S: Strategy>(strategy: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // No regression files: a failing input is printed, shrunk, and belongs into a named test.
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(strategy, property);
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// Calls `read`, and asserts that it allocated at most `limit_bytes` at once.
fn within<T>(limit_bytes: usize, read: impl FnOnce() -> T) -> Result<T, TestCaseError> {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let result = read();
    let used = ALLOCATOR.peak_usage().saturating_sub(before);
    prop_assert!(
        used <= limit_bytes,
        "{used} bytes held, {limit_bytes} allowed"
    );
    Ok(result)
}

/// Feeds `file` to every reader; `content_bytes` is the most it can decompress to.
fn feed(file: &[u8], content_bytes: usize) -> Result<(), TestCaseError> {
    let path = Path::new("hostile");
    let limit = 3 * content_bytes + OVERHEAD_BYTES;
    if let Ok(images) = within(limit, || read_images(&mut &*file, path))? {
        prop_assert_eq!(images.pixels.len(), images.n * images.rows * images.cols);
        prop_assert!(images.n > 0 && images.rows > 0 && images.cols > 0);
    }
    if let Ok(labels) = within(limit, || read_labels(&mut &*file, path))? {
        prop_assert!(!labels.labels.is_empty());
        prop_assert!(labels.labels.iter().all(|&label| label <= MAX_LABEL));
    }
    if let Ok(rows) = within(limit, || read_digits_csv(&mut &*file, path))? {
        prop_assert!(!rows.labels.is_empty());
        prop_assert_eq!(rows.pixels.len(), rows.labels.len() * SIDE * SIDE);
        prop_assert!(rows.pixels.iter().all(|&pixel| pixel <= MAX_PIXEL));
        prop_assert!(rows.labels.iter().all(|&label| label <= MAX_LABEL));
    }
    Ok(())
}

/// A file that its own reader accepts.
fn sound_file() -> impl Strategy<Value = Vec<u8>> {
    let images = (1..4usize, 1..6usize, 1..6usize).prop_map(|(n, rows, cols)| {
        let mut file = Vec::new();
        write_images(&mut file, rows, cols, &vec![7; n * rows * cols])
            .expect("a vector takes every byte");
        file
    });
    let labels = prop::collection::vec(0..=MAX_LABEL, 1..40).prop_map(|labels| {
        let mut file = Vec::new();
        write_labels(&mut file, &labels).expect("a vector takes every byte");
        file
    });
    let line = (prop::collection::vec(0..=MAX_PIXEL, 64), 0..=MAX_LABEL).prop_map(|row| {
        let fields: Vec<String> = row.0.iter().chain([&row.1]).map(u8::to_string).collect();
        fields.join(",") + "\n"
    });
    let csv = prop::collection::vec(line, 1..4).prop_map(|lines| lines.concat().into_bytes());
    prop_oneof![images, labels, csv]
}

#[derive(Debug, Clone)]
enum Edit {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    Double,
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        any::<(Index, u8)>().prop_map(|(at, byte)| Edit::Set(at, byte)),
        (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        any::<(Index, u8)>().prop_map(|(at, byte)| Edit::Insert(at, byte)),
        any::<Index>().prop_map(Edit::Remove),
        any::<Index>().prop_map(Edit::Cut),
        Just(Edit::Double),
    ]
}

fn apply(file: &mut Vec<u8>, edit: &Edit) {
    if file.is_empty() {
        return;
    }
    let n = file.len();
    match edit {
        Edit::Set(at, byte) => file[at.index(n)] = *byte,
        Edit::Flip(at, bit) => file[at.index(n)] ^= 1 << bit,
        Edit::Insert(at, byte) => file.insert(at.index(n), *byte),
        Edit::Remove(at) => drop(file.remove(at.index(n))),
        Edit::Cut(at) => file.truncate(at.index(n)),
        Edit::Double => file.extend_from_within(..),
    }
}

#[test]
fn arbitrary_bytes() {
    check(&prop::collection::vec(any::<u8>(), 0..300), |file| {
        feed(&file, file.len())
    });
}

#[test]
fn sound_files_are_taken_and_mutated_ones_do_no_harm() {
    let strategy = (sound_file(), prop::collection::vec(edit(), 1..5));
    check(&strategy, |(mut file, edits)| {
        let path = Path::new("sound");
        prop_assert!(
            read_images(&mut file.as_slice(), path).is_ok()
                || read_labels(&mut file.as_slice(), path).is_ok()
                || read_digits_csv(&mut file.as_slice(), path).is_ok()
        );
        edits.iter().for_each(|edit| apply(&mut file, edit));
        feed(&file, file.len())
    });
}

#[test]
fn damaged_gzip_of_sound_and_mutated_files() {
    let edits = || prop::collection::vec(edit(), 0..4);
    let strategy = (sound_file(), edits(), edits());
    check(&strategy, |(mut file, inside, outside)| {
        inside.iter().for_each(|edit| apply(&mut file, edit));
        let mut packed = gzip(&file);
        outside.iter().for_each(|edit| apply(&mut packed, edit));
        // Deflate packs at most 1,032 bytes into one.
        feed(&packed, packed.len() * 1032)
    });
}

#[test]
fn headers_that_promise_more_than_there_is() {
    let dimension = prop_oneof![
        Just(0u32),
        Just(1),
        Just(28),
        Just(32_768),
        Just(60_000),
        Just(u32::MAX),
        any::<u32>(),
    ];
    let magic = prop_oneof![Just(2051u32), Just(2049), any::<u32>()];
    let body = prop::collection::vec(any::<u8>(), 0..64);
    let strategy = (
        magic,
        [dimension.clone(), dimension.clone(), dimension],
        body,
    );
    check(&strategy, |(magic, dimensions, body)| {
        let mut file = magic.to_be_bytes().to_vec();
        dimensions
            .iter()
            .for_each(|dimension| file.extend(dimension.to_be_bytes()));
        file.extend(body);
        feed(&file, file.len())?;
        let packed = gzip(&file);
        feed(&packed, file.len())
    });
}

#[test]
fn bombs_whole_and_mutated() {
    // A bomb takes a moment to defuse, so it gets a hundredth of the cases and few bytes of it are touched.
    let defused = |edits: &[Edit]| -> Result<(), TestCaseError> {
        let mut file = BOMB.clone();
        edits.iter().for_each(|edit| apply(&mut file, edit));
        // An image reader stops after 17 bytes; a csv reader, which has no header to go by, at its cap.
        let path = Path::new("bomb");
        let images = within(OVERHEAD_BYTES, || read_images(&mut file.as_slice(), path))?;
        prop_assert!(images.is_err());
        let csv_limit = 2 * undertone_data::csv::MAX_CSV_BYTES as usize + OVERHEAD_BYTES;
        let rows = within(csv_limit, || read_digits_csv(&mut file.as_slice(), path))?;
        prop_assert!(rows.is_err());
        Ok(())
    };
    defused(&[]).expect("the bomb as it is");
    let strategy = (0..100u8, prop::collection::vec(edit(), 0..3));
    check(&strategy, |(turn, edits)| match turn {
        0 => defused(&edits),
        _ => Ok(()),
    });
}
