//! What a dataset is once it is in memory: labelled greyscale images, split into train and test, with a digest.
//!
//! Pixels stay bytes, as they were in the file; engines scale them. Facts that a reader can be checked against (mean,
//! standard deviation, label counts) are computed here. Knows neither files nor formats.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::{Digest, Sha256Digest};

use crate::idx::MAX_LABEL;

/// Number of classes of every dataset here.
pub const N_CLASSES: usize = MAX_LABEL as usize + 1;

/// Labelled greyscale images of one shape. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSet {
    rows: usize,
    cols: usize,
    max_value: u8,
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

/// Pixels and labels do not make an [`ImageSet`], or two sets no [`ImageData`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImagesError {
    /// There is no image, or an image has no pixel.
    #[error("{n} images of {rows} x {cols} pixels are no data")]
    Empty {
        /// Number of labels.
        n: usize,
        /// Rows of an image.
        rows: usize,
        /// Columns of an image.
        cols: usize,
    },
    /// The pixels are not those of as many images as there are labels.
    #[error("{n_labels} labels do not fit {n_pixels} pixels in images of {rows} x {cols}")]
    Lengths {
        /// Number of labels.
        n_labels: usize,
        /// Number of pixels.
        n_pixels: usize,
        /// Rows of an image.
        rows: usize,
        /// Columns of an image.
        cols: usize,
    },
    /// A pixel is larger than the largest value.
    #[error("pixel {value} of image {image} is larger than {max_value}")]
    Pixel {
        /// The image, counted from 0.
        image: usize,
        /// The value there.
        value: u8,
        /// The largest value allowed.
        max_value: u8,
    },
    /// A label is not a digit.
    #[error("label {label} of image {image} is not one of 0 to {MAX_LABEL}")]
    Label {
        /// The image, counted from 0.
        image: usize,
        /// The value there.
        label: u8,
    },
    /// Train and test images have different shapes or scales.
    #[error(
        "train images are {} x {} with values to {}, test images {} x {} with values to {}",
        train.0, train.1, train.2, test.0, test.1, test.2
    )]
    Mismatch {
        /// Rows, columns and largest value of the train images.
        train: (usize, usize, u8),
        /// Rows, columns and largest value of the test images.
        test: (usize, usize, u8),
    },
}

/// What can be said about an [`ImageSet`] in a few numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageFacts {
    /// Number of images.
    pub n: usize,
    /// Mean of all pixels divided by the largest value, 0 to 1.
    pub pixel_mean: f64,
    /// Standard deviation of the same, over all pixels (divided by their number).
    pub pixel_sd: f64,
    /// How many images each label has, from 0 to 9.
    pub label_counts: [u64; N_CLASSES],
}

impl ImageSet {
    /// Takes `pixels`, `[n, rows, cols]` row-major and each at most `max_value`, and `labels`, `[n]` and each 0 to 9.
    ///
    /// # Errors
    /// [`ImagesError`] if there are no images, or lengths, pixels or labels are not as said.
    pub fn new(
        rows: usize,
        cols: usize,
        max_value: u8,
        pixels: Vec<u8>,
        labels: Vec<u8>,
    ) -> Result<Self, ImagesError> {
        let n = labels.len();
        if n == 0 || rows == 0 || cols == 0 {
            return Err(ImagesError::Empty { n, rows, cols });
        }
        let expected = rows.checked_mul(cols).and_then(|size| size.checked_mul(n));
        if expected != Some(pixels.len()) {
            return Err(ImagesError::Lengths {
                n_labels: n,
                n_pixels: pixels.len(),
                rows,
                cols,
            });
        }
        if let Some(at) = pixels.iter().position(|&value| value > max_value) {
            return Err(ImagesError::Pixel {
                image: at / (rows * cols),
                value: pixels[at],
                max_value,
            });
        }
        if let Some(image) = labels.iter().position(|&label| label > MAX_LABEL) {
            return Err(ImagesError::Label {
                image,
                label: labels[image],
            });
        }
        Ok(Self {
            rows,
            cols,
            max_value,
            pixels,
            labels,
        })
    }

    /// Returns the number of images, at least 1.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a set is never empty, so asking would always be answered no"
    )]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Returns the rows of every image.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the columns of every image.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Returns the number of pixels of every image.
    pub fn features(&self) -> usize {
        self.rows * self.cols
    }

    /// Returns the value that means white: 255 for idx files, 16 for the digits.
    pub fn max_value(&self) -> u8 {
        self.max_value
    }

    /// Returns all pixels, `[n, rows, cols]` row-major, each at most [`Self::max_value`].
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Returns all labels, `[n]`, each 0 to 9.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// Returns the pixels of image `image_idx`, `[rows, cols]`, or `None` past the last.
    pub fn image(&self, image_idx: usize) -> Option<&[u8]> {
        self.pixels.chunks_exact(self.features()).nth(image_idx)
    }

    /// Returns the facts that a reader can be checked against.
    ///
    /// Sums are exact integers; each moment is rounded once.
    pub fn facts(&self) -> ImageFacts {
        let (mut sum, mut sum_of_squares) = (0u64, 0u64);
        for &pixel in &self.pixels {
            sum += u64::from(pixel);
            sum_of_squares += u64::from(pixel) * u64::from(pixel);
        }
        // n Σx² − (Σx)² in integers, so that a constant image has exactly no spread.
        let n_pixels = self.pixels.len() as u64;
        let spread =
            u128::from(n_pixels) * u128::from(sum_of_squares) - u128::from(sum) * u128::from(sum);
        let scale = n_pixels as f64 * f64::from(self.max_value.max(1));
        let mut label_counts = [0; N_CLASSES];
        for &label in &self.labels {
            label_counts[usize::from(label)] += 1;
        }
        ImageFacts {
            n: self.len(),
            pixel_mean: sum as f64 / scale,
            pixel_sd: (spread as f64).sqrt() / scale,
            label_counts,
        }
    }

    fn shape(&self) -> (usize, usize, u8) {
        (self.rows, self.cols, self.max_value)
    }
}

/// One file a dataset was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// Where it was.
    pub path: PathBuf,
    /// The standard name of the file, whichever way it is spelt on disk.
    pub name: String,
    /// SHA-256 of the uncompressed content.
    pub sha256: Sha256Digest,
    /// Length of the uncompressed content.
    pub bytes: u64,
}

/// A dataset: train and test images of one shape, where they came from, and the digest of what they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageData {
    name: String,
    train: ImageSet,
    test: ImageSet,
    digest: Digest,
    files: Vec<FileDigest>,
}

impl ImageData {
    /// Joins `train` and `test`, read from `files`, under `name`.
    ///
    /// # Errors
    /// [`ImagesError::Mismatch`] if the two have different shapes or largest values.
    pub fn new(
        name: String,
        train: ImageSet,
        test: ImageSet,
        files: Vec<FileDigest>,
    ) -> Result<Self, ImagesError> {
        if train.shape() != test.shape() {
            return Err(ImagesError::Mismatch {
                train: train.shape(),
                test: test.shape(),
            });
        }
        let digest = digest_of(&train, &test);
        Ok(Self {
            name,
            train,
            test,
            digest,
            files,
        })
    }

    /// Returns the name: `digits`, `mnist`, `fashion`, or the folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the training images.
    pub fn train(&self) -> &ImageSet {
        &self.train
    }

    /// Returns the test images.
    pub fn test(&self) -> &ImageSet {
        &self.test
    }

    /// Returns the digest of the content: shapes, largest values, pixels and labels, and neither name nor files.
    ///
    /// BLAKE3 of the text made of one line `SET N ROWS COLS MAX PIXELS LABELS` for `train` and one for `test`, where
    /// PIXELS and LABELS are the BLAKE3 digests of those bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns the files the images were read from; none for the embedded digits.
    pub fn files(&self) -> &[FileDigest] {
        &self.files
    }
}

fn digest_of(train: &ImageSet, test: &ImageSet) -> Digest {
    let line = |set_name: &str, set: &ImageSet| {
        format!(
            "{set_name} {} {} {} {} {} {}\n",
            set.len(),
            set.rows,
            set.cols,
            set.max_value,
            Digest::of(&set.pixels),
            Digest::of(&set.labels),
        )
    };
    Digest::of((line("train", train) + &line("test", test)).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pixels: &[u8], labels: &[u8]) -> Result<ImageSet, ImagesError> {
        ImageSet::new(1, 2, 4, pixels.to_vec(), labels.to_vec())
    }

    fn data(train: ImageSet, test: ImageSet) -> Result<ImageData, ImagesError> {
        ImageData::new("toy".to_owned(), train, test, Vec::new())
    }

    #[test]
    fn facts_by_hand() -> Result<(), ImagesError> {
        let facts = set(&[0, 4, 2, 2], &[3, 3])?.facts();
        // Scaled pixels 0, 1, 1/2, 1/2: mean 1/2, variance (1/4 + 1/4) / 4.
        assert_eq!(facts.pixel_mean, 0.5);
        assert_eq!(facts.pixel_sd, 0.125f64.sqrt());
        assert_eq!(facts.label_counts, [0, 0, 0, 2, 0, 0, 0, 0, 0, 0]);
        assert_eq!(set(&[3, 3], &[0])?.facts().pixel_sd, 0.0);
        Ok(())
    }

    #[test]
    fn images_are_rows_of_the_pixels() -> Result<(), ImagesError> {
        let set = set(&[0, 1, 2, 3], &[0, 9])?;
        assert_eq!(set.image(1), Some([2, 3].as_slice()));
        assert_eq!(set.image(2), None);
        Ok(())
    }

    #[test]
    fn refuses_what_is_no_set_of_images() {
        let image = 1;
        let empty = ImagesError::Empty {
            n: 0,
            rows: 1,
            cols: 2,
        };
        assert_eq!(set(&[], &[]), Err(empty));
        assert!(matches!(
            set(&[0; 3], &[0]),
            Err(ImagesError::Lengths { n_pixels: 3, .. })
        ));
        let pixel = ImagesError::Pixel {
            image,
            value: 5,
            max_value: 4,
        };
        assert_eq!(set(&[0, 0, 5, 0], &[0, 0]), Err(pixel));
        let label = ImagesError::Label { image, label: 10 };
        assert_eq!(set(&[0; 4], &[0, 10]), Err(label));
    }

    #[test]
    fn refuses_train_and_test_of_different_shape() -> Result<(), ImagesError> {
        let other = ImageSet::new(2, 1, 4, vec![0; 2], vec![0])?;
        let error = data(set(&[0, 0], &[0])?, other).expect_err("the shapes differ");
        assert_eq!(
            error.to_string(),
            "train images are 1 x 2 with values to 4, test images 2 x 1 with values to 4"
        );
        Ok(())
    }

    #[test]
    fn digest_moves_with_every_part_of_the_content_and_with_nothing_else() -> Result<(), ImagesError>
    {
        let base = data(set(&[0, 1], &[2])?, set(&[3, 4], &[5])?)?;
        let renamed = ImageData::new(
            "other".to_owned(),
            base.train.clone(),
            base.test.clone(),
            Vec::new(),
        )?;
        assert_eq!(base.digest(), renamed.digest());
        let changed = [
            data(set(&[0, 2], &[2])?, set(&[3, 4], &[5])?)?,
            data(set(&[0, 1], &[3])?, set(&[3, 4], &[5])?)?,
            data(set(&[0, 1], &[2])?, set(&[3, 3], &[5])?)?,
            data(set(&[0, 1], &[2])?, set(&[3, 4], &[6])?)?,
            data(set(&[3, 4], &[5])?, set(&[0, 1], &[2])?)?,
            data(
                ImageSet::new(2, 1, 4, vec![0, 1], vec![2])?,
                ImageSet::new(2, 1, 4, vec![3, 4], vec![5])?,
            )?,
        ];
        for other in changed {
            assert_ne!(base.digest(), other.digest(), "{other:?}");
        }
        Ok(())
    }
}
