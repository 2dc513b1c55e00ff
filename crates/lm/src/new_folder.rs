//! Writes a folder of files so that it is there whole under its name, or not at all.
//!
//! Files are written into a neighbour called `.NAME.partial-PID`, synced, and the folder is renamed. A folder that already
//! holds something is never touched. A killed process leaves its neighbour behind.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
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
        let mut file = self.begin(name)?;
        file.write(content)?;
        file.close()
    }

    /// Begins a file that is written piece by piece.
    pub(crate) fn begin(&self, name: &str) -> Result<NewFile, WriteFolderError> {
        let path = self.partial.join(name);
        match File::create(&path) {
            Ok(file) => Ok(NewFile {
                file: BufWriter::with_capacity(1 << 20, file),
                path,
                folder: self.target.clone(),
            }),
            Err(source) => Err(io_error(&self.target, &path, source)),
        }
    }

    /// Gives the folder its name.
    pub(crate) fn finish(self) -> Result<(), WriteFolderError> {
        let io = |source| io_error(&self.target, &self.target, source);
        if is_occupied(&self.target) {
            return Err(WriteFolderError {
                folder: self.target.clone(),
                kind: WriteFolderErrorKind::Exists,
            });
        }
        if self.target.is_dir() {
            fs::remove_dir(&self.target).map_err(io)?;
        }
        sync(&self.partial)
            .and_then(|()| fs::rename(&self.partial, &self.target))
            .and_then(|()| sync(parent(&self.target)))
            .map_err(io)
    }
}

impl Drop for NewFolder {
    /// Removes what was not finished.
    fn drop(&mut self) {
        // After `finish` it is not there; that a half-written folder cannot be removed adds nothing to the error.
        let _ = fs::remove_dir_all(&self.partial);
    }
}

/// A file of a folder on its way.
#[derive(Debug)]
pub(crate) struct NewFile {
    file: BufWriter<File>,
    path: PathBuf,
    folder: PathBuf,
}

impl NewFile {
    /// Writes the next bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), WriteFolderError> {
        self.file
            .write_all(bytes)
            .map_err(|source| io_error(&self.folder, &self.path, source))
    }

    /// Makes the file durable.
    pub(crate) fn close(mut self) -> Result<(), WriteFolderError> {
        self.file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all())
            .map_err(|source| io_error(&self.folder, &self.path, source))
    }
}

fn io_error(folder: &Path, path: &Path, source: io::Error) -> WriteFolderError {
    WriteFolderError {
        folder: folder.to_owned(),
        kind: WriteFolderErrorKind::Io {
            path: path.to_owned(),
            source,
        },
    }
}

/// Whether anything but an empty folder is at `path`.
fn is_occupied(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        // No folder: a file, or nothing at all.
        Err(_) => path.symlink_metadata().is_ok(),
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes a folder's entries durable; elsewhere than on Unix a folder cannot be synced.
fn sync(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("the folder is there")
            .map(|entry| {
                let name = entry.expect("it can be listed").file_name();
                name.to_string_lossy().into_owned()
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_appears_with_all_its_files() {
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let target = scratch.path().join("deep").join("model");
        let folder = NewFolder::create(&target).expect("a new folder");
        folder.write("one", b"1").expect("written");
        let mut file = folder.begin("two").expect("begun");
        file.write(b"2").expect("written");
        file.write(b"2").expect("written");
        file.close().expect("closed");
        assert!(!target.exists());
        folder.finish().expect("renamed");
        assert_eq!(names(&target), ["one", "two"]);
        assert_eq!(fs::read(target.join("two")).expect("readable"), b"22");
        assert_eq!(names(&scratch.path().join("deep")), ["model"]);
    }

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let folder = NewFolder::create(&scratch.path().join("model")).expect("a new folder");
        folder.write("one", b"1").expect("written");
        drop(folder);
        assert!(names(scratch.path()).is_empty());
    }

    #[test]
    fn nothing_is_overwritten() {
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let target = scratch.path().join("model");
        fs::create_dir(&target).expect("a folder");
        // An empty folder loses nothing.
        let folder = NewFolder::create(&target).expect("an empty folder is free");
        folder.write("one", b"1").expect("written");
        folder.finish().expect("renamed");
        let refused = |path: &Path| {
            matches!(
                NewFolder::create(path).map_err(|error| error.kind),
                Err(WriteFolderErrorKind::Exists)
            )
        };
        assert!(refused(&target));
        assert!(refused(&target.join("one")));
        let nameless = NewFolder::create(Path::new("/"));
        assert!(nameless.is_err());
    }

    #[test]
    fn whoever_comes_second_is_told() {
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let target = scratch.path().join("model");
        let folder = NewFolder::create(&target).expect("a new folder");
        fs::create_dir(&target).expect("a folder");
        fs::write(target.join("other"), b"").expect("a file");
        assert!(folder.finish().is_err());
        assert_eq!(names(scratch.path()), ["model"]);
        assert_eq!(names(&target), ["other"]);
    }
}
