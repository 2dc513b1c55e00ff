//! A run that this process works on: it logs, attaches files, and ends by finishing, failing or being dropped.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};
use undertone_core::Digest;

use crate::error::{Result, StoreError, StoreErrorKind};
use crate::runs::events::EventWriter;
use crate::runs::manifest::now;
use crate::runs::{
    ENVIRONMENT, EVENTS, LOCK, MANIFEST, Manifest, RESULT, RunId, RunLock, RunResult, RunStatus,
    RunView, SETTINGS,
};
use crate::store::Store;

/// A run that this process holds. Dropping it leaves the run interrupted: the same command goes on with it.
pub struct RunHandle {
    store: Store,
    id: RunId,
    manifest: Mutex<Manifest>,
    events: Mutex<EventWriter>,
    is_resumed: bool,
    n_torn_bytes: u64,
    // Dropped last, so that nothing is written without the lock.
    _lock: RunLock,
}

impl RunHandle {
    pub(super) fn new(
        store: Store,
        lock: RunLock,
        manifest: Manifest,
        events: EventWriter,
        is_resumed: bool,
    ) -> Self {
        RunHandle {
            store,
            id: manifest.run.clone(),
            manifest: Mutex::new(manifest),
            n_torn_bytes: events.n_torn_bytes,
            events: Mutex::new(events),
            is_resumed,
            _lock: lock,
        }
    }

    /// Returns the name of the run.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// Returns the folder of the run.
    pub fn folder(&self) -> PathBuf {
        self.store.run_folder(&self.id)
    }

    /// Says whether an earlier process had started the run.
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// Returns how many bytes of an unfinished event were cut off when the run was taken up again.
    pub fn n_torn_bytes(&self) -> u64 {
        self.n_torn_bytes
    }

    /// Appends an event to the log; threads may do so at the same time.
    ///
    /// # Errors
    /// [`NotJson`](StoreErrorKind::NotJson), [`DiskFull`](StoreErrorKind::DiskFull) or [`Io`](StoreErrorKind::Io).
    pub fn event<T: Serialize + ?Sized>(&self, kind: &str, data: &T) -> Result<()> {
        let data = self.to_value(EVENTS, data)?;
        locked(&self.events).append(kind, data)
    }

    /// Writes a file such as `report.html` into the run folder, whole or not at all.
    ///
    /// # Errors
    /// [`BadName`](StoreErrorKind::BadName) if the name has a separator, begins with a dot or is one of our own.
    pub fn attach(&self, name: &str, bytes: &[u8]) -> Result<Digest> {
        let path = self.folder().join(name);
        if let Some(rule) = broken_rule(name) {
            let kind = StoreErrorKind::BadName {
                name: name.to_owned(),
                rule,
            };
            return Err(StoreError::new("attach", &path, kind));
        }
        self.store
            .disk
            .write_whole(&self.store.temp_folder(), &path, bytes)?;
        let digest = Digest::of(bytes);
        locked(&self.manifest)
            .attachments
            .insert(name.to_owned(), digest);
        Ok(digest)
    }

    /// Writes the result, then marks the run as finished, and returns it as any reader would see it.
    ///
    /// # Errors
    /// As [`RunHandle::event`]. The run is then interrupted and the same command goes on with it.
    pub fn finish<T: Serialize + ?Sized>(self, result: &T) -> Result<RunView> {
        let result = self.to_value(RESULT, result)?;
        let body = RunResult {
            run: self.id.clone(),
            result,
        };
        let digest = self.store.write_run_file(&self.id, RESULT, &body)?;
        self.end("finished", json!({"result": digest}), |manifest| {
            manifest.status = RunStatus::Finished;
            manifest.result = Some(digest);
        })?;
        RunView::open(&self.store, &self.id)
    }

    /// Marks the run as failed. The same command tries again and reuses every finished step.
    ///
    /// # Errors
    /// As [`RunHandle::event`].
    pub fn fail(self, message: &str) -> Result<()> {
        self.end("failed", json!({"message": message}), |manifest| {
            manifest.status = RunStatus::Failed;
            manifest.failure = Some(message.to_owned());
        })
    }

    fn end(&self, event: &str, data: Value, change: impl FnOnce(&mut Manifest)) -> Result<()> {
        let mut events = locked(&self.events);
        events.append(event, data)?;
        let mut manifest = locked(&self.manifest).clone();
        manifest.events = Some(events.close()?);
        manifest.ended_at = Some(now());
        change(&mut manifest);
        self.store.write_run_file(&self.id, MANIFEST, &manifest)?;
        Ok(())
    }

    fn to_value<T: Serialize + ?Sized>(&self, name: &str, data: &T) -> Result<Value> {
        serde_json::to_value(data).map_err(|source| {
            let path = self.folder().join(name);
            StoreError::new("write", &path, StoreErrorKind::NotJson(source))
        })
    }
}

/// A thread that panicked while logging leaves the log usable: whole lines only.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn broken_rule(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.starts_with('.') {
        Some("it must not be empty or begin with a dot")
    } else if name.contains(['/', '\\', ':', '\0']) {
        Some("it must be a plain file name")
    } else if [MANIFEST, SETTINGS, ENVIRONMENT, EVENTS, RESULT, LOCK].contains(&name) {
        Some("it is one of the run's own files")
    } else {
        None
    }
}
