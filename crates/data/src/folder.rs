//! Finds and reads the files of one folder, the four idx files whichever way their names are spelt.
//!
//! With pins, content is compared with its digest before anything is made of it; without, the idx reader judges alone.
//! Chooses no folder and no dataset: [`crate::source`] and [`crate::fetch`] do.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use undertone_core::Sha256Digest;

use crate::bounded::{ReadContentError, read_content};
use crate::dataset::{FILE_NAMES, PinnedFile};
use crate::idx::{IdxImages, IdxLabels, ReadIdxError, ReadIdxErrorKind, read_images, read_labels};
use crate::images::FileDigest;

/// The ways people spell a file's name, in the order they are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// `train-images-idx3-ubyte`
    Dash,
    /// `train-images.idx3-ubyte`
    Dot,
    /// `train-images-idx3-ubyte.gz`
    DashGz,
    /// `train-images.idx3-ubyte.gz`
    DotGz,
}

impl Spelling {
    const ALL: [Self; 4] = [Self::Dash, Self::Dot, Self::DashGz, Self::DotGz];

    /// Spells `name`, one of [`FILE_NAMES`].
    pub fn of(self, name: &str) -> String {
        let dotted = || name.replacen("-idx", ".idx", 1);
        match self {
            Self::Dash => name.to_owned(),
            Self::Dot => dotted(),
            Self::DashGz => format!("{name}.gz"),
            Self::DotGz => dotted() + ".gz",
        }
    }
}

/// A file that failed, and how.
#[derive(Debug)]
pub(crate) enum FileError {
    Io { path: PathBuf, source: io::Error },
    Idx(ReadIdxError),
    Pin(PinError),
}

/// Content is not the one that was pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The digest is another one.
    #[error("`{}` has the sha256 {found}, expected {expected}", path.display())]
    Digest {
        /// The file, or the address it came from.
        path: PathBuf,
        /// The pinned digest of the uncompressed content.
        expected: Sha256Digest,
        /// The digest of the uncompressed content there was.
        found: Sha256Digest,
    },
    /// There is more of it, so it was not read to its end and has no digest to show.
    #[error(
        "`{}` is longer than {expected_bytes} bytes and cannot have the sha256 {expected}",
        path.display()
    )]
    TooLong {
        /// The file, or the address it came from.
        path: PathBuf,
        /// The pinned digest of the uncompressed content.
        expected: Sha256Digest,
        /// The pinned length.
        expected_bytes: u64,
    },
    /// It is gzip and cannot be decompressed, so it has no digest to show.
    #[error(
        "`{}` is a damaged gzip file and cannot hold the sha256 {expected}",
        path.display()
    )]
    Damaged {
        /// The file, or the address it came from.
        path: PathBuf,
        /// The pinned digest of the uncompressed content.
        expected: Sha256Digest,
        /// What the decompressor said.
        source: io::Error,
    },
}

/// Looks for the file `name` in `folder`, one of [`FILE_NAMES`] under every spelling.
pub(crate) fn locate(folder: &Path, name: &str) -> Result<Option<PathBuf>, FileError> {
    let spellings = match FILE_NAMES.contains(&name) {
        true => &Spelling::ALL[..],
        false => &[Spelling::Dash],
    };
    for spelling in spellings {
        let path = folder.join(spelling.of(name));
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => return Ok(Some(path)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(FileError::Io { path, source }),
        }
    }
    Ok(None)
}

/// Where each of [`FILE_NAMES`] is, or the names of those that are nowhere.
pub(crate) fn locate_all(folder: &Path) -> Result<Result<[PathBuf; 4], Vec<String>>, FileError> {
    let mut paths = Vec::with_capacity(FILE_NAMES.len());
    let mut missing = Vec::new();
    for name in FILE_NAMES {
        match locate(folder, name)? {
            Some(path) => paths.push(path),
            None => missing.push(name.to_owned()),
        }
    }
    Ok(<[PathBuf; 4]>::try_from(paths).map_err(|_| missing))
}

/// Returns the content that `reader` holds, if it is the one pinned. `path` is only named in errors.
pub(crate) fn read_pinned(
    reader: impl Read,
    path: &Path,
    pin: &PinnedFile,
) -> Result<Vec<u8>, FileError> {
    let (path, expected) = (path.to_path_buf(), pin.sha256);
    match read_content(reader, pin.bytes) {
        Err(ReadContentError::Io(source)) => Err(FileError::Io { path, source }),
        Err(ReadContentError::Damaged(source)) => Err(FileError::Pin(PinError::Damaged {
            path,
            expected,
            source,
        })),
        Err(ReadContentError::TooLong { limit_bytes }) => Err(FileError::Pin(PinError::TooLong {
            path,
            expected,
            expected_bytes: limit_bytes,
        })),
        Ok(content) => match Sha256Digest::of(&content) {
            found if found == expected => Ok(content),
            found => Err(FileError::Pin(PinError::Digest {
                path,
                expected,
                found,
            })),
        },
    }
}

/// Checks that the file at `path` is the one pinned.
pub(crate) fn verify(path: &Path, pin: &PinnedFile) -> Result<FileDigest, FileError> {
    read_pinned(open_file(path)?, path, pin)?;
    Ok(pinned_digest(path, pin))
}

pub(crate) fn pinned_digest(path: &Path, pin: &PinnedFile) -> FileDigest {
    FileDigest {
        path: path.to_path_buf(),
        name: pin.name.to_owned(),
        sha256: pin.sha256,
        bytes: pin.bytes,
    }
}

/// Reads an image file, against `pin` if there is one.
pub(crate) fn load_images(path: &Path, pin: Option<&PinnedFile>) -> Result<IdxImages, FileError> {
    load(path, pin, |mut reader, path| read_images(&mut reader, path))
}

/// Reads a label file, against `pin` if there is one.
pub(crate) fn load_labels(path: &Path, pin: Option<&PinnedFile>) -> Result<IdxLabels, FileError> {
    load(path, pin, |mut reader, path| read_labels(&mut reader, path))
}

fn load<T>(
    path: &Path,
    pin: Option<&PinnedFile>,
    parse: fn(&mut dyn Read, &Path) -> Result<T, ReadIdxError>,
) -> Result<T, FileError> {
    let mut file = open_file(path)?;
    match pin {
        Some(pin) => {
            let content = read_pinned(file, path, pin)?;
            parse(&mut content.as_slice(), path)
        }
        None => parse(&mut file, path),
    }
    .map_err(|error| match error.kind {
        ReadIdxErrorKind::Io(source) => FileError::Io {
            path: error.path,
            source,
        },
        _ => FileError::Idx(error),
    })
}

fn open_file(path: &Path) -> Result<File, FileError> {
    File::open(path).map_err(|source| FileError::Io {
        path: path.to_path_buf(),
        source,
    })
}
