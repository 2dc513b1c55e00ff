//! A file mapped into memory, and its digests.
//!
//! Weights are read once, from first byte to last, so a map spares a copy as large as the model.
#![expect(
    unsafe_code,
    reason = "a map is only as constant as the file behind it"
)]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use undertone_core::{Digest, Sha256Digest};

/// A file of a model, by its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// Its name in the model's folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of its content, our own name for it.
    pub blake3: Digest,
    /// SHA-256 of its content, the name that others use.
    pub sha256: Sha256Digest,
}

/// A regular file, mapped for reading.
#[derive(Debug)]
pub(crate) struct MappedFile {
    path: PathBuf,
    map: Mmap,
}

impl MappedFile {
    /// Maps the file at `path`; folders, pipes and devices are refused, an empty file too.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        let refuse = |reason| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        if !metadata.is_file() {
            return refuse("it is not a regular file");
        }
        if metadata.len() == 0 {
            return refuse("it is empty");
        }
        let file = File::open(path)?;
        // SAFETY: the map is read-only. Should another program change the file while it is mapped, weights change under
        // us; each is a plain number, valid whatever its bits. What has rules of its own (offsets, lengths, texts) is
        // copied out before it is checked. Should it cut the file short, the system ends this process.
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Self {
            path: path.to_path_buf(),
            map,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }

    pub(crate) fn digest(&self) -> FileDigest {
        digest(&self.path, self.bytes())
    }
}

/// Returns the digests of the file at `path`, whose content is `bytes`.
pub(crate) fn digest(path: &Path, bytes: &[u8]) -> FileDigest {
    let name = path.file_name().unwrap_or(path.as_os_str());
    FileDigest {
        name: name.to_string_lossy().into_owned(),
        bytes: bytes.len() as u64,
        blake3: Digest::of(bytes),
        sha256: Sha256Digest::of(bytes),
    }
}
