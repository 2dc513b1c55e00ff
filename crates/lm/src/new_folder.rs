//! Writes a folder of files so that it is there whole under its name, or not at all.
//!
//! Files are written into a neighbour called `.NAME.partial-PID`, synced, and the folder is renamed. A folder that already
//! holds something is never touched. A killed process leaves its neighbour behind.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A folder could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write folder `{}`", folder.display())]
pub struct WriteFolderError {
    /// The folder.
    pub folder: PathBuf,
    /// Why.
    #[source]
    pub kind: WriteFolderErrorKind,
}

/// Why a folder could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteFolderErrorKind {
    /// Something else would be lost.
    #[error("it is there already, and not empty")]
    Exists,
    /// The path ends in no name.
    #[error("the path does not end in a name")]
    NoName,
    /// The file system refused.
    #[error("`{}`", path.display())]
    Io {
        /// The file or folder at hand.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// A folder on its way.
#[derive(Debug)]
pub(crate) struct NewFolder {
    target: PathBuf,
    partial: PathBuf,
}

impl NewFolder {
    /// Begins the folder `target`, and makes the folders above it.
    pub(crate) fn create(target: &Path) -> Result<Self, WriteFolderError> {
        let error = |kind| WriteFolderError {
            folder: target.to_owned(),
            kind,
        };
        let Some(name) = target.file_name() else {
            return Err(error(WriteFolderErrorKind::NoName));
        };
        if is_occupied(target) {
            return Err(error(WriteFolderErrorKind::Exists));
        }
        let mut partial_name = std::ffi::OsString::from(".");
        partial_name.push(name);
        partial_name.push(format!(".partial-{}", std::process::id()));
        let partial = target.with_file_name(partial_name);
        let io = |source| {
            error(WriteFolderErrorKind::Io {
                path: partial.clone(),
                source,
            })
        };
        if partial.exists() {
            // Ours: of an earlier process that had our number.
            fs::remove_dir_all(&partial).map_err(io)?;
        }
        fs::create_dir_all(&partial).map_err(io)?;
        Ok(Self {
            target: target.to_owned(),
            partial,
        })
    }

    /// Writes a whole file.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<(), WriteFolderError> {
        self.stream(name, |file| file.write_all(content))
    }

    /// Creates a file, lets `fill` write it, and syncs it.
    pub(crate) fn stream<E: From<WriteFolderError>>(
        &self,
        name: &str,
        fill: impl FnOnce(&mut File) -> Result<(), E>,
    ) -> Result<(), E> {
        let path = self.partial.join(name);
        let io = |source| self.io_error(&path, source);
        let mut file = File::create(&path).map_err(io)?;
        fill(&mut file)?;
        file.sync_all().map_err(io)?;
        Ok(())
    }
}
