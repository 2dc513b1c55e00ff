//! Digests of files, read once for both names: SHA-256 for other tools, BLAKE3 for the store.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use undertone_core::{Digest, Sha256Digest};

use crate::entity::FileDigest;

/// A file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{}`", path.display())]
pub struct ReadFileError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Reads all of a file and returns its size and digests, under its last name.
///
/// # Errors
/// If it cannot be read.
pub fn digest_file(path: &Path) -> Result<FileDigest, ReadFileError> {
    let failed = |source| ReadFileError {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let name = path.file_name().map(|name| name.to_string_lossy());
    digest_reader(&name.unwrap_or_default(), file).map_err(failed)
}

/// Returns size and digests of bytes in memory.
pub fn digest_bytes(name: &str, bytes: &[u8]) -> FileDigest {
    FileDigest {
        name: name.to_owned(),
        bytes: Some(bytes.len() as u64),
        sha256: Sha256Digest::of(bytes),
        blake3: Some(Digest::of(bytes)),
    }
}

fn digest_reader(name: &str, mut reader: impl Read) -> io::Result<FileDigest> {
    let mut sha256 = Sha256::new();
    let mut blake3 = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    let mut bytes = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                sha256.update(&buffer[..n]);
                blake3.update(&buffer[..n]);
                bytes += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(FileDigest {
        name: name.to_owned(),
        bytes: Some(bytes),
        sha256: Sha256Digest::from_bytes(sha256.finalize().into()),
        blake3: Some(Digest::from_bytes(*blake3.finalize().as_bytes())),
    })
}

/// Reads a file of at most `limit` bytes; nothing is allocated for a longer one.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("longer than the {limit} bytes such a file may have"),
        )),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_read_in_pieces_has_the_digests_of_its_bytes() {
        let bytes: Vec<u8> = (0..600_000u32).map(|n| (n % 251) as u8).collect();
        let read = digest_reader("x", &bytes[..]).expect("memory can be read");
        assert_eq!(read, digest_bytes("x", &bytes));
    }

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("f");
        std::fs::write(&path, [0; 11]).expect("the folder is writable");
        assert!(read_bounded(&path, 10).is_err());
        assert_eq!(read_bounded(&path, 11).expect("it fits").len(), 11);
    }
}
