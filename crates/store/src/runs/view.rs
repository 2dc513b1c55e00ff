//! Reads runs back, checking every digest on the way.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use undertone_core::Digest;

use crate::disk;
use crate::document::{Stored, unseal};
use crate::environment::Environment;
use crate::error::{ExitClass, Result, StoreError, StoreErrorKind};
use crate::runs::lock::holder;
use crate::runs::{
    ENVIRONMENT, EVENTS, EventLog, LOCK, MANIFEST, Manifest, RESULT, RunId, RunResult, RunSettings,
    RunStatus, SETTINGS,
};
use crate::store::{Store, check_digest};

/// A run as the store has it, every file checked against its digest.
#[derive(Debug, Clone)]
pub struct RunView {
    /// The folder of the run.
    pub folder: PathBuf,
    /// Status, times, command line and digests.
    pub manifest: Manifest,
    /// The command, its settings and inputs.
    pub settings: RunSettings,
    /// The machine and program that first started it.
    pub environment: Environment,
    /// The result; `None` unless the run has finished.
    pub result: Option<Value>,
    /// Whether a process works on it now; `None` if that cannot be known from here.
    pub is_running: Option<bool>,
}

/// One line of a list of runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    /// The name of the run.
    pub id: RunId,
    /// How far it got.
    pub status: RunStatus,
    /// Whether a process works on it now; `None` if that cannot be known from here.
    pub is_running: Option<bool>,
    /// When it was first started, RFC 3339 in UTC.
    pub started_at: String,
    /// When it finished or failed, RFC 3339 in UTC.
    pub ended_at: Option<String>,
    /// The command line, program name first.
    pub argv: Vec<String>,
}

/// The runs of a store.
#[derive(Debug)]
pub struct RunList {
    /// The readable ones, oldest first.
    pub runs: Vec<RunSummary>,
    /// The folders whose manifest is damaged or missing, and the error.
    pub damaged: Vec<(RunId, StoreError)>,
}

impl Store {
    /// Lists the runs by their manifests, oldest first. A damaged run does not hide the others.
    ///
    /// # Errors
    /// If a folder or file cannot be read at all, or is too new.
    pub fn runs(&self) -> Result<RunList> {
        let mut list = RunList {
            runs: Vec::new(),
            damaged: Vec::new(),
        };
        for folder in disk::list(&self.runs_folder())? {
            match summarise(&folder) {
                Ok(summary) => list.runs.extend(summary),
                Err(error) if error.exit_class() == ExitClass::Tampered => {
                    list.damaged.push((RunId::from_folder(&folder), error));
                }
                Err(error) => return Err(error),
            }
        }
        list.runs
            .sort_by(|a, b| (&a.started_at, &a.id).cmp(&(&b.started_at, &b.id)));
        Ok(list)
    }

    /// Loads the one run whose name, or whose hexadecimal part, begins with `prefix`.
    ///
    /// # Errors
    /// [`NoSuchRun`](StoreErrorKind::NoSuchRun), [`AmbiguousRun`](StoreErrorKind::AmbiguousRun), or class
    /// [`Tampered`](ExitClass::Tampered) if any file of the run is not what its digest says.
    pub fn load_run(&self, prefix: &str) -> Result<RunView> {
        let folders = disk::list(&self.runs_folder())?;
        let ids = folders
            .iter()
            .filter(|folder| is_begun(folder))
            .map(|folder| RunId::from_folder(folder));
        let mut matching: Vec<RunId> = ids.filter(|id| id.begins_with(prefix)).collect();
        if let Some(exact) = matching.iter().position(|id| id.as_str() == prefix) {
            matching = vec![matching.swap_remove(exact)];
        }
        let prefix = prefix.to_owned();
        let kind = match matching.as_slice() {
            [id] => return RunView::open(self, id),
            [] => StoreErrorKind::NoSuchRun { prefix },
            several => {
                let candidates = several.iter().map(RunId::to_string).collect();
                StoreErrorKind::AmbiguousRun { prefix, candidates }
            }
        };
        Err(StoreError::new("find run in", &self.runs_folder(), kind))
    }
}

impl RunView {
    pub(super) fn open(store: &Store, id: &RunId) -> Result<Self> {
        let folder = store.run_folder(id);
        // Asked first: a run that ends in between is finished, not interrupted.
        let is_running = is_running(&folder)?;
        let manifest = read_manifest(&folder)?;
        Ok(RunView {
            settings: read_checked(&folder.join(SETTINGS), &manifest.settings)?,
            environment: read_checked(&folder.join(ENVIRONMENT), &manifest.environment)?,
            result: match &manifest.result {
                None => None,
                Some(digest) => {
                    Some(read_checked::<RunResult>(&folder.join(RESULT), digest)?.result)
                }
            },
            is_running,
            manifest,
            folder,
        })
    }

    /// Returns the name of the run.
    pub fn id(&self) -> &RunId {
        &self.manifest.run
    }

    /// Returns the result as the type it was written from; `None` unless the run has finished.
    ///
    /// # Errors
    /// [`Malformed`](StoreErrorKind::Malformed) if the result is not of that type.
    pub fn result_as<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let parsed = self.result.clone().map(serde_json::from_value).transpose();
        parsed.map_err(|source| {
            let path = self.folder.join(RESULT);
            StoreError::new("read", &path, StoreErrorKind::Malformed(source))
        })
    }

    /// Reads the log.
    ///
    /// # Errors
    /// [`Tampered`](StoreErrorKind::Tampered) if the run has ended and the log was changed since;
    /// [`Malformed`](StoreErrorKind::Malformed) if a line other than an unfinished last one is broken.
    pub fn events(&self) -> Result<EventLog> {
        EventLog::read(&self.folder.join(EVENTS), self.manifest.events.as_ref())
    }

    /// Reads an attachment and checks it against the manifest.
    ///
    /// # Errors
    /// [`Missing`](StoreErrorKind::Missing) or [`Tampered`](StoreErrorKind::Tampered).
    pub fn attachment(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.folder.join(name);
        let missing = || StoreError::new("read attachment", &path, StoreErrorKind::Missing);
        let digest = self.manifest.attachments.get(name).ok_or_else(missing)?;
        let bytes = disk::read_required("read attachment", &path)?;
        check_digest("read attachment", &path, digest, &bytes)?;
        Ok(bytes)
    }
}

/// Reads every file of a run and returns what is wrong with the first that is damaged, if one is.
pub(crate) fn check_run(store: &Store, folder: &Path) -> Result<()> {
    if !is_begun(folder) {
        return Ok(());
    }
    let view = RunView::open(store, &RunId::from_folder(folder))?;
    view.events()?;
    view.manifest
        .attachments
        .keys()
        .try_for_each(|name| view.attachment(name).map(drop))
}

fn summarise(folder: &Path) -> Result<Option<RunSummary>> {
    if !is_begun(folder) {
        return Ok(None);
    }
    let is_running = is_running(folder)?;
    let manifest = read_manifest(folder)?;
    Ok(Some(RunSummary {
        is_running,
        id: manifest.run,
        status: manifest.status,
        started_at: manifest.started_at,
        ended_at: manifest.ended_at,
        argv: manifest.argv,
    }))
}

/// Whether a process works on the run in `folder`; `None` if that cannot be known from here.
fn is_running(folder: &Path) -> Result<Option<bool>> {
    Ok(match holder(&folder.join(LOCK))? {
        Some(owner) => owner.is_alive(),
        None => Some(false),
    })
}

/// A folder that was killed before its manifest was written is no run yet. One that lost its manifest is damaged.
fn is_begun(folder: &Path) -> bool {
    [MANIFEST, EVENTS, RESULT]
        .iter()
        .any(|name| folder.join(name).exists())
}

fn read_manifest(folder: &Path) -> Result<Manifest> {
    let path = folder.join(MANIFEST);
    let manifest: Manifest = unseal(&path, &disk::read_required("read", &path)?)?;
    if manifest.run == RunId::from_folder(folder) {
        return Ok(manifest);
    }
    let expected = disk::name_of(folder).to_owned();
    let kind = StoreErrorKind::Misplaced {
        expected,
        found: manifest.run.to_string(),
    };
    Err(StoreError::new("read", &path, kind))
}

fn read_checked<T: Stored>(path: &Path, digest: &Digest) -> Result<T> {
    let bytes = disk::read_required("read", path)?;
    check_digest("read", path, digest, &bytes)?;
    unseal(path, &bytes)
}
