//! Keeps two processes from working on one run.
//!
//! The operating system holds the lock and lets go of it when the process ends, however it ends. The file says who
//! holds it, for the message that a second process gets; it is empty while nobody does.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::disk::{self, Disk};
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::owner::Owner;

pub(crate) struct RunLock {
    disk: Disk,
    path: PathBuf,
    file: File,
}

impl RunLock {
    /// Takes the lock at once or fails with [`StoreErrorKind::Busy`].
    pub(crate) fn take(disk: &Disk, path: PathBuf) -> Result<Self> {
        let options = &mut OpenOptions::new();
        let mut file = disk.open_kept(&path, options.read(true).write(true).truncate(false))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let kind = StoreErrorKind::Busy {
                    owner: holder(&path)?,
                };
                return Err(StoreError::new("start the run of", &path, kind));
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &path, error)),
        }
        disk.truncate(&file, &path, 0)?;
        disk.write_all(&mut file, &path, disk.owner().to_string().as_bytes())?;
        Ok(RunLock {
            disk: disk.clone(),
            path,
            file,
        })
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // The name in the file is only for messages: if it cannot be cleared, the lock itself still goes.
        let _ = self.disk.truncate(&self.file, &self.path, 0);
    }
}

/// Returns who holds the lock at `path`, as far as the file says.
pub(crate) fn holder(path: &Path) -> Result<Option<Owner>> {
    let bytes = disk::read("read lock", path)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).parse().ok())
}
