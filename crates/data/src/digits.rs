//! The digits that are compiled in, so that a fresh machine without network can run an experiment.
//!
//! 1,797 handwritten digits of 8x8 pixels from 0 to 16: the test part of the UCI dataset "Optical Recognition of
//! Handwritten Digits" by E. Alpaydin and C. Kaynak, CC BY 4.0, as scikit-learn 1.9.1 ships it (attribution and digest:
//! `assets/ATTRIBUTION.md`). The split is by file order and not drawn: rows 1 to 1,437 (80 per cent) train, rows 1,438
//! to 1,797 test, so anyone who has the file can repeat it without our generator.

use std::path::Path;

use crate::csv::{DigitRows, MAX_PIXEL, SIDE, read_digits_csv};
use crate::images::{ImageData, ImageSet, ImagesError};

/// How many rows of the file, from the first on, are for training.
pub const N_TRAIN: usize = 1437;

static CSV_GZ: &[u8] = include_bytes!("../assets/digits.csv.gz");

/// Returns the embedded 8x8 digits: 1,437 for training, 360 for testing. Takes a few milliseconds.
pub fn digits() -> ImageData {
    let rows = read_digits_csv(&mut &*CSV_GZ, Path::new("digits.csv.gz"))
        .expect("the embedded file is fixed and a test reads it");
    split(rows).expect("the embedded file is fixed and a test splits it")
}

fn split(mut rows: DigitRows) -> Result<ImageData, ImagesError> {
    let test_pixels = rows.pixels.split_off(N_TRAIN * SIDE * SIDE);
    let test_labels = rows.labels.split_off(N_TRAIN);
    ImageData::new(
        "digits".to_owned(),
        ImageSet::new(SIDE, SIDE, MAX_PIXEL, rows.pixels, rows.labels)?,
        ImageSet::new(SIDE, SIDE, MAX_PIXEL, test_pixels, test_labels)?,
        Vec::new(),
    )
}

#[cfg(test)]
mod tests {
    use undertone_core::Sha256Digest;

    use super::*;

    #[test]
    fn the_embedded_file_is_the_published_one() {
        assert_eq!(CSV_GZ.len(), 57_523);
        assert_eq!(
            Sha256Digest::of(CSV_GZ).hex(),
            "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
        );
    }

    // Golden values: `tests/golden/digits.py`, which reads the same file with Python's own csv and gzip.
    #[test]
    fn split_has_the_pinned_counts_and_moments() {
        let data = digits();
        let (train, test) = (data.train().facts(), data.test().facts());
        assert_eq!((train.n, test.n), (1437, 360));
        assert_eq!(
            train.label_counts,
            [143, 146, 142, 146, 144, 145, 144, 143, 141, 143]
        );
        assert_eq!(test.label_counts, [35, 36, 35, 37, 37, 37, 37, 36, 33, 37]);
        for (found, expected) in [
            (train.pixel_mean, 0.30538611256089077),
            (train.pixel_sd, 0.37550710883075805),
            (test.pixel_mean, 0.30475802951388886),
            (test.pixel_sd, 0.3782049976220906),
        ] {
            // Both sides are exact sums rounded a few times.
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn first_row_is_a_zero() {
        let data = digits();
        assert_eq!(data.train().labels()[0], 0);
        assert_eq!(
            data.train().image(0).map(|image| &image[..8]),
            Some([0, 0, 5, 13, 9, 1, 0, 0].as_slice())
        );
        assert_eq!(data.train().max_value(), 16);
    }

    // A changed digest changes the key of every step that read the digits.
    #[test]
    fn digest_is_pinned() {
        assert_eq!(
            digits().digest().hex(),
            "b51ba82e3fad9e3981eb2135215efa04ee5d7675317825df928829bac6cfd892"
        );
    }
}
