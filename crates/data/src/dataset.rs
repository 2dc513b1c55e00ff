//! The named datasets that are fetched: their files, and the digests that decide whether a file is the real one.
//!
//! A digest is of the uncompressed content, so it does not matter who delivered it or how it was packed. Knows no
//! addresses: [`crate::fetch`] does.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Sha256Digest;

/// The four files of a dataset, in the order every list of files here has: train images and labels, test images and
/// labels.
pub const FILE_NAMES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// A dataset that can be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dataset {
    /// MNIST: handwritten digits, 60,000 + 10,000 images of 28x28.
    Mnist,
    /// Fashion-MNIST: articles of clothing in the same format.
    Fashion,
}

/// A file whose content is known beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedFile {
    /// Its name: for a dataset, one of [`FILE_NAMES`].
    pub name: &'static str,
    /// Length of the uncompressed content.
    pub bytes: u64,
    /// SHA-256 of the uncompressed content.
    pub sha256: Sha256Digest,
}

/// A text that names no dataset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a dataset that can be fetched, expected `mnist` or `fashion`")]
pub struct UnknownDatasetError {
    /// What was given.
    pub name: String,
}

impl Dataset {
    /// Every dataset that can be fetched.
    pub const ALL: [Self; 2] = [Self::Mnist, Self::Fashion];

    /// Returns the name on the command line, which is also that of the folder: `mnist` or `fashion`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::Fashion => "fashion",
        }
    }

    /// Returns the files with their pinned digests, in the order of [`FILE_NAMES`].
    pub const fn files(self) -> &'static [PinnedFile; 4] {
        match self {
            Self::Mnist => &MNIST,
            Self::Fashion => &FASHION,
        }
    }

    /// Returns the folders that may hold the files, the one [`crate::fetch`] writes to first.
    pub fn folders(self, data_dir: &Path) -> Vec<PathBuf> {
        let mut folders = vec![data_dir.join(self.name())];
        if self == Self::Fashion {
            // Where the Debian package `dataset-fashion-mnist` installs them.
            folders.push(PathBuf::from("/usr/share/datasets/fashion-mnist"));
        }
        folders
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Dataset {
    type Err = UnknownDatasetError;

    fn from_str(name: &str) -> Result<Self, UnknownDatasetError> {
        Self::ALL
            .into_iter()
            .find(|dataset| dataset.name() == name)
            .ok_or_else(|| UnknownDatasetError {
                name: name.to_owned(),
            })
    }
}

const MNIST: [PinnedFile; 4] = pins([
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
]);

const FASHION: [PinnedFile; 4] = pins([
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
]);

/// Both datasets have 60,000 and 10,000 images of 28x28 behind headers of 16 and 8 bytes.
const BYTES: [u64; 4] = [47_040_016, 60_008, 7_840_016, 10_008];

const fn pins(sha256: [&str; 4]) -> [PinnedFile; 4] {
    [
        pin(0, sha256[0]),
        pin(1, sha256[1]),
        pin(2, sha256[2]),
        pin(3, sha256[3]),
    ]
}

const fn pin(file_idx: usize, sha256: &str) -> PinnedFile {
    PinnedFile {
        name: FILE_NAMES[file_idx],
        bytes: BYTES[file_idx],
        sha256: Sha256Digest::from_bytes(hex32(sha256.as_bytes())),
    }
}

/// Reads 64 hexadecimal digits; a slip of the pen in a pin stops the build.
pub(crate) const fn hex32(digits: &[u8]) -> [u8; 32] {
    assert!(digits.len() == 64);
    let mut bytes = [0; 32];
    let mut at = 0;
    while at < 64 {
        let value = match digits[at] {
            digit @ b'0'..=b'9' => digit - b'0',
            digit @ b'a'..=b'f' => digit - b'a' + 10,
            _ => panic!("a pinned digest is written in lower-case hexadecimal digits"),
        };
        bytes[at / 2] = bytes[at / 2] << 4 | value;
        at += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_refused() {
        for dataset in Dataset::ALL {
            assert_eq!(dataset.to_string().parse(), Ok(dataset));
        }
        assert!("MNIST".parse::<Dataset>().is_err());
    }

    #[test]
    fn pins_are_read_digit_by_digit() {
        let first = Dataset::Mnist.files()[0];
        assert_eq!(
            first.sha256.hex(),
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        );
        assert_eq!(first.bytes, 60_000 * 28 * 28 + 16);
        let mut digests: Vec<_> = Dataset::ALL
            .iter()
            .flat_map(|dataset| dataset.files().iter().map(|file| file.sha256))
            .collect();
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), 8);
    }
}
