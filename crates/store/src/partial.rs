//! What an unfinished step has so far, so that a long one need not begin again.
//!
//! `partial/<key>/` holds
//! - `rows`: finished parts of the step's output, only ever appended to, a digest before each;
//! - `state`: what the step needs to go on, replaced as a whole, its digest at the end;
//! - `lock`: held while a process works on the step.
//!
//! All of it can be computed again, so what is not intact is dropped without a word, and the folder goes when the step is
//! recorded. Readers of finished work never look here.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;

use undertone_core::Digest;

use crate::disk;
use crate::error::{Result, StoreError};
use crate::runs::{LOCK, RunLock};
use crate::steps::StepKey;
use crate::store::Store;

const ROWS: &str = "rows";
const STATE: &str = "state";
/// Hexadecimal digits of a digest.
const DIGEST_CHARS: usize = 64;

/// A step that this process works on.
pub struct UnfinishedStep {
    store: Store,
    folder: PathBuf,
    rows: File,
    /// The length up to the last whole row.
    n_bytes: u64,
    lock: RunLock,
}

/// What was done before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepProgress {
    /// The rows, in the order in which they were appended.
    pub rows: Vec<Vec<u8>>,
    /// The last state.
    pub state: Option<Vec<u8>>,
}

impl Store {
    /// Begins the work of a step, or goes on with it.
    ///
    /// # Errors
    /// [`Busy`](crate::StoreErrorKind::Busy) if another process works on the step.
    pub fn begin_step(&self, key: &StepKey) -> Result<(UnfinishedStep, StepProgress)> {
        let folder = self.root().join("partial").join(key.0.hex());
        self.require_writable("start the step of", &folder)?;
        let lock = loop {
            self.disk.create_folder(&folder)?;
            let lock = RunLock::take(&self.disk, folder.join(LOCK))?;
            // Whoever held it may have finished and removed the folder between the two.
            if folder.join(LOCK).exists() {
                break lock;
            }
        };
        let path = folder.join(ROWS);
        let bytes = disk::read("read", &path)?.unwrap_or_default();
        let (rows, n_bytes) = intact_rows(&bytes);
        let file = self
            .disk
            .open_kept(&path, OpenOptions::new().append(true))?;
        if n_bytes < bytes.len() {
            self.disk.truncate(&file, &path, n_bytes as u64)?;
        }
        let state = disk::read("read", &folder.join(STATE))?.and_then(intact_state);
        let step = UnfinishedStep {
            store: self.clone(),
            folder,
            rows: file,
            n_bytes: n_bytes as u64,
            lock,
        };
        Ok((step, StepProgress { rows, state }))
    }
}

impl UnfinishedStep {
    /// Appends a row. It survives the end of this process at once.
    ///
    /// # Errors
    /// [`DiskFull`](crate::StoreErrorKind::DiskFull) or [`Io`](crate::StoreErrorKind::Io).
    ///
    /// # Panics
    /// If the row holds the end of a line.
    pub fn append_row(&mut self, row: &[u8]) -> Result<()> {
        assert!(!row.contains(&b'\n'), "a row is one line");
        let mut line = Vec::with_capacity(DIGEST_CHARS + row.len() + 2);
        line.extend_from_slice(Digest::of(row).hex().as_bytes());
        line.push(b' ');
        line.extend_from_slice(row);
        line.push(b'\n');
        let path = self.folder.join(ROWS);
        let disk = &self.store.disk;
        let written = disk.write_all(&mut self.rows, &path, &line);
        match written {
            Ok(()) => self.n_bytes += line.len() as u64,
            // As in the event log: half a row must not be glued to the next.
            Err(_) => drop(disk.truncate(&self.rows, &path, self.n_bytes)),
        }
        written
    }

    /// Replaces the state; durable when this returns.
    ///
    /// # Errors
    /// As [`UnfinishedStep::append_row`]; the earlier state is then untouched.
    pub fn set_state(&self, mut state: Vec<u8>) -> Result<()> {
        let digest = Digest::of(&state);
        state.extend_from_slice(digest.as_bytes());
        let target = self.folder.join(STATE);
        self.store
            .disk
            .write_whole(&self.store.temp_folder(), &target, &state)
    }

    /// Forgets everything: the step is recorded.
    ///
    /// # Errors
    /// [`Io`](crate::StoreErrorKind::Io).
    pub fn finish(self) -> Result<()> {
        let Self {
            store,
            folder,
            rows,
            n_bytes: _,
            lock,
        } = self;
        drop(rows);
        for name in [ROWS, STATE] {
            store.disk.remove_file(&folder.join(name))?;
        }
        drop(lock);
        store.disk.remove_file(&folder.join(LOCK))?;
        store.disk.remove_folder(&folder)
    }
}

/// Returns the rows up to the first that is not whole, and the bytes they take.
fn intact_rows(bytes: &[u8]) -> (Vec<Vec<u8>>, usize) {
    let (mut rows, mut n_bytes) = (Vec::new(), 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(row) = intact_row(line) else { break };
        rows.push(row.to_vec());
        n_bytes += line.len();
    }
    (rows, n_bytes)
}

fn intact_row(line: &[u8]) -> Option<&[u8]> {
    let (digest, rest) = line.split_at_checked(DIGEST_CHARS)?;
    let row = rest.strip_prefix(b" ")?.strip_suffix(b"\n")?;
    (Digest::of(row).hex().as_bytes() == digest).then_some(row)
}

fn intact_state(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let at = bytes.len().checked_sub(32)?;
    let digest = bytes.split_off(at);
    (Digest::of(&bytes).as_bytes()[..] == digest).then_some(bytes)
}

/// Work that nobody goes on with.
impl Store {
    /// Forgets what an unfinished step has so far: it was recorded by a process that ended before it could clean up.
    ///
    /// # Errors
    /// As [`Store::begin_step`].
    pub fn discard_step(&self, key: &StepKey) -> Result<()> {
        match self.root().join("partial").join(key.0.hex()).exists() {
            true => self.begin_step(key)?.0.finish(),
            false => Ok(()),
        }
    }

    /// Returns the number of unfinished steps and the bytes that they take.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn unfinished_steps(&self) -> Result<(usize, u64)> {
        let folders = disk::list(&self.root().join("partial"))?;
        let mut bytes = 0;
        for folder in &folders {
            for file in disk::list(folder)? {
                match file.metadata() {
                    Ok(metadata) => bytes += metadata.len(),
                    // It was finished in the meantime.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(StoreError::io("read", &file, error)),
                }
            }
        }
        Ok((folders.len(), bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::error::StoreErrorKind;

    fn key() -> StepKey {
        StepKey(Digest::of(b"a step"))
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("a new store");
        (folder, store)
    }

    fn folder(store: &Store) -> PathBuf {
        store.root().join("partial").join(key().0.hex())
    }

    #[test]
    fn rows_and_state_are_there_the_next_time_and_gone_in_the_end() {
        let (_folder, store) = store();
        let (mut step, progress) = store.begin_step(&key()).expect("a new step");
        assert_eq!(progress, StepProgress::default());
        step.append_row(b"one").expect("written");
        step.append_row(b"").expect("written");
        for state in ["first", "second"] {
            step.set_state(state.into()).expect("written");
        }
        drop(step);
        let (mut step, progress) = store.begin_step(&key()).expect("it goes on");
        assert_eq!(progress.rows, [b"one".to_vec(), Vec::new()]);
        assert_eq!(progress.state.as_deref(), Some(&b"second"[..]));
        step.append_row(b"three").expect("written");
        assert_eq!(store.unfinished_steps().expect("readable").0, 1);
        step.finish().expect("removed");
        assert!(!folder(&store).exists());
        let (_, progress) = store.begin_step(&key()).expect("a new step");
        assert_eq!(progress, StepProgress::default());
    }

    #[test]
    fn a_torn_or_flipped_row_is_dropped_with_all_after_it() {
        let (_folder, store) = store();
        let (mut step, _) = store.begin_step(&key()).expect("a new step");
        for row in ["one", "two", "three"] {
            step.append_row(row.as_bytes()).expect("written");
        }
        step.set_state(b"state".into()).expect("written");
        drop(step);
        let path = folder(&store).join(ROWS);
        let whole = fs::read(&path).expect("readable");
        let line = whole.len() - "three".len() - DIGEST_CHARS - 2;
        for length in line..whole.len() {
            fs::write(&path, &whole[..length]).expect("writable");
            let (mut step, progress) = store.begin_step(&key()).expect("it goes on");
            assert_eq!(progress.rows, [b"one", b"two"], "{length}");
            step.append_row(b"three").expect("written");
            drop(step);
            assert_eq!(fs::read(&path).expect("readable"), whole);
        }
        let mut flipped = whole.clone();
        flipped[DIGEST_CHARS + 1] ^= 1;
        fs::write(&path, flipped).expect("writable");
        let path = folder(&store).join(STATE);
        fs::write(&path, &fs::read(&path).expect("readable")[1..]).expect("writable");
        let (_, progress) = store.begin_step(&key()).expect("it goes on");
        assert_eq!(progress, StepProgress::default());
    }

    #[test]
    fn one_process_at_a_time_works_on_a_step() {
        let (_folder, store) = store();
        let (step, _) = store.begin_step(&key()).expect("a new step");
        let second = store.begin_step(&key()).map_err(|error| *error.kind);
        assert!(matches!(second, Err(StoreErrorKind::Busy { .. })));
        drop(step);
        assert!(store.begin_step(&key()).is_ok());
    }
}
