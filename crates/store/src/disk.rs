//! Every change the store makes to the file system goes through here, one small operation at a time.
//!
//! Files appear whole or not at all: written under a temporary name, synced, renamed, and then the folder is synced.
//! Reads do not pass here; they change nothing. A [`Watcher`] sees each operation before it happens and can refuse
//! it or tear it in half, which is how the tests stop the store between any two operations.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::error::{Result, StoreError, StoreErrorKind};
use crate::owner::Owner;

/// A temporary file older than this belongs to nobody, even if its writer cannot be seen from here.
const STALE_AFTER: Duration = Duration::from_secs(3600);

const TEMP_SUFFIX: &str = ".tmp";

/// One change to the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    CreateFolder,
    CreateFile,
    Write,
    Truncate,
    SyncFile,
    Rename,
    SyncFolder,
    Remove,
}

/// What a [`Watcher`] decides about an operation.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "only the watchers of the tests decide")
)]
pub(crate) enum Permit {
    Granted,
    /// Nothing happens and the operation fails with this error.
    Refused(io::Error),
    /// A write puts down the first half of its bytes and fails with this error; other operations are refused.
    Torn(io::Error),
}

/// Sees every operation before it happens.
pub(crate) trait Watcher: Send + Sync {
    fn permit(&self, operation: Operation, path: &Path) -> Permit;
}

/// The way to the file system; cheap to clone.
#[derive(Clone)]
pub(crate) struct Disk {
    watcher: Option<Arc<dyn Watcher>>,
    owner: Owner,
}

/// A complete and synced file under a temporary name; removed when dropped, unless it was published.
#[must_use]
pub(crate) struct Staged {
    disk: Disk,
    path: PathBuf,
    is_published: bool,
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_published {
            // Part of a failure that is already being reported; what stays is cleaned up as stale.
            let _ = self
                .disk
                .ask(Operation::Remove, &self.path)
                .and_then(|()| fs::remove_file(&self.path));
        }
    }
}

impl Disk {
    pub(crate) fn new() -> Self {
        Disk {
            watcher: None,
            owner: Owner::this(),
        }
    }

    #[cfg(test)]
    pub(crate) fn watched(watcher: Arc<dyn Watcher>, owner: Owner) -> Self {
        Disk {
            watcher: Some(watcher),
            owner,
        }
    }

    /// The process in whose name temporary files and locks are made.
    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    fn ask(&self, operation: Operation, path: &Path) -> io::Result<()> {
        match self
            .watcher
            .as_ref()
            .map(|watcher| watcher.permit(operation, path))
        {
            None | Some(Permit::Granted) => Ok(()),
            Some(Permit::Refused(error) | Permit::Torn(error)) => Err(error),
        }
    }

    /// Makes `folder` and its missing parents, durably.
    pub(crate) fn create_folder(&self, folder: &Path) -> Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let parent = parent_of(folder);
        self.create_folder(parent)?;
        let made = self
            .ask(Operation::CreateFolder, folder)
            .and_then(|()| fs::create_dir(folder));
        match made {
            Ok(()) => self.sync_folder(parent),
            // Another process was faster. A file in the way shows up here too and must not pass.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
            Err(error) => Err(StoreError::io("create folder", folder, error)),
        }
    }

    /// Writes `bytes` under a fresh temporary name in `folder` and syncs them.
    pub(crate) fn stage(&self, folder: &Path, bytes: &[u8]) -> Result<Staged> {
        self.create_folder(folder)?;
        let (mut file, path) = self.create_temp(folder)?;
        let staged = Staged {
            disk: self.clone(),
            path,
            is_published: false,
        };
        self.write_all(&mut file, &staged.path, bytes)?;
        self.sync_file(&file, &staged.path)?;
        Ok(staged)
    }

    /// Gives a staged file its name, replacing what stood there. The folder is not synced yet.
    pub(crate) fn publish(&self, mut staged: Staged, target: &Path) -> Result<()> {
        self.rename("write", &staged.path, target)?;
        staged.is_published = true;
        Ok(())
    }

    /// Writes the whole of `target` atomically and durably, with its temporary file in `temp_folder`.
    pub(crate) fn write_whole(
        &self,
        temp_folder: &Path,
        target: &Path,
        bytes: &[u8],
    ) -> Result<()> {
        let staged = self.stage(temp_folder, bytes)?;
        self.publish(staged, target)?;
        self.sync_folder(parent_of(target))
    }

    /// Moves a file or folder.
    pub(crate) fn rename(&self, action: &'static str, from: &Path, to: &Path) -> Result<()> {
        self.ask(Operation::Rename, to)
            .and_then(|()| fs::rename(from, to))
            .map_err(|error| StoreError::io(action, to, error))
    }

    /// Syncs each folder once, so that the names in it survive a power failure.
    pub(crate) fn sync_folders(&self, folders: &BTreeSet<PathBuf>) -> Result<()> {
        folders
            .iter()
            .try_for_each(|folder| self.sync_folder(folder))
    }

    /// Syncs `folder`, so that the names in it survive a power failure.
    pub(crate) fn sync_folder(&self, folder: &Path) -> Result<()> {
        self.ask(Operation::SyncFolder, folder)
            .and_then(|()| sync_names(folder))
            .map_err(|error| StoreError::io("sync folder", folder, error))
    }

    /// Syncs the contents of an open file.
    pub(crate) fn sync_file(&self, file: &File, path: &Path) -> Result<()> {
        self.ask(Operation::SyncFile, path)
            .and_then(|()| file.sync_all())
            .map_err(|error| StoreError::io("write", path, error))
    }

    /// Writes all of `bytes` at the position of an open file.
    pub(crate) fn write_all(&self, file: &mut File, path: &Path, bytes: &[u8]) -> Result<()> {
        let permit = match &self.watcher {
            Some(watcher) => watcher.permit(Operation::Write, path),
            None => Permit::Granted,
        };
        match permit {
            Permit::Granted => file.write_all(bytes),
            Permit::Refused(error) => Err(error),
            Permit::Torn(error) => file.write_all(&bytes[..bytes.len() / 2]).and(Err(error)),
        }
        .map_err(|error| StoreError::io("write", path, error))
    }

    /// Cuts an open file to `length` bytes.
    pub(crate) fn truncate(&self, file: &File, path: &Path, length: u64) -> Result<()> {
        self.ask(Operation::Truncate, path)
            .and_then(|()| file.set_len(length))
            .map_err(|error| StoreError::io("truncate", path, error))
    }

    /// Opens a file that keeps its contents, making it if it is missing.
    pub(crate) fn open_kept(&self, path: &Path, options: &mut OpenOptions) -> Result<File> {
        let opened = match path.exists() {
            true => Ok(()),
            false => self.ask(Operation::CreateFile, path),
        };
        opened
            .and_then(|()| options.create(true).open(path))
            .map_err(|error| StoreError::io("open", path, error))
    }

    /// Removes what killed processes left in `folder`: temporary files of the dead, and those older than an hour.
    pub(crate) fn remove_stale(&self, folder: &Path) -> Result<()> {
        for path in list(folder)? {
            if is_stale(&path) {
                let removed = self
                    .ask(Operation::Remove, &path)
                    .and_then(|()| fs::remove_file(&path));
                match removed {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(StoreError::io("remove stale file", &path, error));
                    }
                    // Another process may be cleaning up too.
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Removes a file; one that is not there is no error.
    pub(crate) fn remove_file(&self, path: &Path) -> Result<()> {
        self.remove(path, |path| fs::remove_file(path))
    }

    /// Removes an empty folder; one that is not there is no error.
    pub(crate) fn remove_folder(&self, folder: &Path) -> Result<()> {
        self.remove(folder, |folder| fs::remove_dir(folder))
    }

    fn remove(&self, path: &Path, remove: impl Fn(&Path) -> io::Result<()>) -> Result<()> {
        let removed = self
            .ask(Operation::Remove, path)
            .and_then(|()| remove(path));
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io("remove", path, error))
            }
            _ => Ok(()),
        }
    }

    fn create_temp(&self, folder: &Path) -> Result<(File, PathBuf)> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!(".{}-{number}{TEMP_SUFFIX}", self.owner));
            let created = self
                .ask(Operation::CreateFile, &path)
                .and_then(|()| OpenOptions::new().write(true).create_new(true).open(&path));
            match created {
                Ok(file) => return Ok((file, path)),
                // Left by a dead process that had our number: take the next name.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(StoreError::io("create file in", folder, error)),
            }
        }
    }
}

/// Writes a file outside the store whole or not at all: the old content stays until the new is safely on the disk.
///
/// # Errors
/// [`DiskFull`](StoreErrorKind::DiskFull) or [`Io`](StoreErrorKind::Io); the old content is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    if path.is_dir() {
        let error = io::Error::from(io::ErrorKind::IsADirectory);
        return Err(StoreError::io("write", path, error));
    }
    Disk::new().write_whole(parent_of(path), path, bytes)
}

/// Reads a whole file; `None` if there is none.
pub(crate) fn read(action: &'static str, path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io(action, path, error)),
    }
}

/// Reads a whole file that must be there.
pub(crate) fn read_required(action: &'static str, path: &Path) -> Result<Vec<u8>> {
    read(action, path)?.ok_or_else(|| StoreError::new(action, path, StoreErrorKind::Missing))
}

/// Lists what a folder holds, sorted by name; a missing folder holds nothing.
pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let error = |error| StoreError::io("list", folder, error);
    let entries = match fs::read_dir(folder) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(error)?,
    };
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(error)?;
    paths.sort_unstable();
    Ok(paths)
}

/// Returns the last part of `path` if it is a text, else nothing: our own names are all texts.
pub(crate) fn name_of(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

/// Returns the folder of `path`; a bare file name lies in the current folder.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

fn is_stale(path: &Path) -> bool {
    let Some(stem) = name_of(path)
        .strip_prefix('.')
        .and_then(|name| name.strip_suffix(TEMP_SUFFIX))
    else {
        return false;
    };
    let writer = stem
        .rsplit_once('-')
        .and_then(|(owner, _)| owner.parse::<Owner>().ok());
    match writer.and_then(|owner| owner.is_alive()) {
        Some(alive) => !alive,
        None => age_of(path).is_some_and(|age| age > STALE_AFTER),
    }
}

fn age_of(path: &Path) -> Option<Duration> {
    let modified = fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok()?;
    SystemTime::now().duration_since(modified).ok()
}

#[cfg(unix)]
fn sync_names(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Windows has no way to sync a folder; its file systems journal renames.
#[cfg(not(unix))]
fn sync_names(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, age_secs: u64) -> PathBuf {
        let path = folder.join(name);
        let file = File::create(&path).expect("the folder is writable");
        let modified = SystemTime::now() - Duration::from_secs(age_secs);
        file.set_modified(modified).expect("our own file");
        path
    }

    #[test]
    fn removes_only_temporary_files_of_the_dead_and_the_old() {
        let folder = tempfile::tempdir().expect("a folder");
        let this = Owner::this();
        let kept = [
            write(folder.path(), &format!(".{this}-1.tmp"), 7200),
            write(folder.path(), ".00000000-1-1.tmp", 60),
            write(folder.path(), "notes.tmp", 7200),
        ];
        let removed = [
            write(
                folder.path(),
                &format!(".{}-{}-1.tmp", this.host, u32::MAX),
                0,
            ),
            write(folder.path(), ".00000000-1-2.tmp", 7200),
        ];
        Disk::new()
            .remove_stale(folder.path())
            .expect("the folder is writable");
        assert!(kept.iter().all(|path| path.exists()));
        assert!(removed.iter().all(|path| !path.exists()));
    }

    #[test]
    fn atomic_write_replaces_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/report.html");
        for text in ["first", "second"] {
            write_atomic(&path, text.as_bytes()).expect("the folder is writable");
            assert_eq!(fs::read(&path).expect("it was written"), text.as_bytes());
        }
        assert_eq!(list(parent_of(&path)).expect("a folder").len(), 1);
        assert!(write_atomic(folder.path(), b"").is_err());
    }
}
