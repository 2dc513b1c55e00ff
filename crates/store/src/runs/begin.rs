//! Decides whether a command starts a run, goes on with one, or finds it finished.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;
use undertone_core::Digest;

use crate::disk;
use crate::document::{Stored, seal, unseal};
use crate::environment::Environment;
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::runs::events::EventWriter;
use crate::runs::manifest::now;
use crate::runs::{
    ENVIRONMENT, EVENTS, LOCK, MANIFEST, Manifest, RunHandle, RunId, RunLock, RunSettings,
    RunStatus, RunView, SETTINGS,
};
use crate::store::{Store, check_digest};

/// What a command knows before it starts to work.
#[derive(Debug, Clone)]
pub struct RunStart<'a, S> {
    /// The command: `mnist`.
    pub command: &'a str,
    /// Its resolved settings: everything the result depends on, and nothing else (no paths, no thread counts).
    pub settings: &'a S,
    /// The digests of the data it reads, by name.
    pub inputs: BTreeMap<String, Digest>,
    /// The machine and the program.
    pub environment: &'a Environment,
    /// The command line, program name first.
    pub argv: &'a [String],
}

/// What [`Store::begin_run`] found.
pub enum Begun {
    /// The run is now ours to work on, from the start or from where it was interrupted.
    Running(Box<RunHandle>),
    /// The same command has finished before.
    AlreadyDone(Box<RunView>),
}

impl<S: Serialize> RunStart<'_, S> {
    /// Returns the name the run will have.
    ///
    /// # Errors
    /// [`BadName`](StoreErrorKind::BadName) or [`NotJson`](StoreErrorKind::NotJson).
    pub fn run_id(&self) -> Result<RunId> {
        RunId::of(&self.run_settings()?)
    }

    fn run_settings(&self) -> Result<RunSettings> {
        let settings = serde_json::to_value(self.settings).map_err(|source| {
            StoreError::new(
                "write settings",
                SETTINGS.as_ref(),
                StoreErrorKind::NotJson(source),
            )
        })?;
        Ok(RunSettings {
            command: self.command.to_owned(),
            settings,
            inputs: self.inputs.clone(),
        })
    }
}

impl Store {
    /// Starts the run of these settings, goes on with it, or returns it if it has finished.
    ///
    /// Settings, environment and manifest are on the disk before this returns.
    ///
    /// # Errors
    /// [`Busy`](StoreErrorKind::Busy) if another process works on the run; class
    /// [`Tampered`](crate::ExitClass::Tampered) if the folder is damaged.
    pub fn begin_run<S: Serialize>(&self, start: &RunStart<'_, S>) -> Result<Begun> {
        let settings = start.run_settings()?;
        let id = RunId::of(&settings)?;
        let folder = self.run_folder(&id);
        self.require_writable("start the run of", &folder)?;
        self.disk.create_folder(&folder)?;
        let lock = RunLock::take(&self.disk, folder.join(LOCK))?;

        let manifest_path = folder.join(MANIFEST);
        let earlier = match disk::read("read", &manifest_path)? {
            None => None,
            Some(bytes) => Some(unseal::<Manifest>(&manifest_path, &bytes)?),
        };
        let manifest = match &earlier {
            None => self.first_manifest(&id, &settings, start)?,
            Some(earlier) => {
                let path = folder.join(SETTINGS);
                let bytes = disk::read_required("read", &path)?;
                check_digest("read", &path, &earlier.settings, &bytes)?;
                check_same(&path, &settings, &unseal(&path, &bytes)?)?;
                if earlier.status == RunStatus::Finished {
                    return Ok(Begun::AlreadyDone(Box::new(RunView::open(self, &id)?)));
                }
                earlier.clone().resumed()
            }
        };
        self.run_handle(id, lock, manifest, earlier, start)
    }

    /// Writes the three files that say what is about to happen, the manifest last.
    fn first_manifest<S>(
        &self,
        id: &RunId,
        settings: &RunSettings,
        start: &RunStart<'_, S>,
    ) -> Result<Manifest> {
        let environment = start.environment;
        let manifest = Manifest {
            run: id.clone(),
            argv: start.argv.to_vec(),
            undertone_version: environment.undertone_version.clone(),
            git_revision: environment.git_revision.clone(),
            git_dirty: environment.git_dirty,
            started_at: now(),
            settings: self.write_run_file(id, SETTINGS, settings)?,
            environment: self.write_run_file(id, ENVIRONMENT, environment)?,
            status: RunStatus::Started,
            ended_at: None,
            failure: None,
            result: None,
            events: None,
            attachments: BTreeMap::new(),
        };
        self.write_run_file(id, MANIFEST, &manifest)?;
        Ok(manifest)
    }

    fn run_handle<S>(
        &self,
        id: RunId,
        lock: RunLock,
        manifest: Manifest,
        earlier: Option<Manifest>,
        start: &RunStart<'_, S>,
    ) -> Result<Begun> {
        let mut events = EventWriter::open(&self.disk, self.run_folder(&id).join(EVENTS))?;
        match &earlier {
            None => events.append("started", json!({}))?,
            Some(earlier) => {
                if *earlier != manifest {
                    self.write_run_file(&id, MANIFEST, &manifest)?;
                }
                let data = json!({
                    "argv": start.argv,
                    "environment": start.environment,
                    "n_torn_bytes": events.n_torn_bytes,
                    "status_before": earlier.status,
                });
                events.append("resumed", data)?;
            }
        }
        let handle = RunHandle::new(self.clone(), lock, manifest, events, earlier.is_some());
        Ok(Begun::Running(Box::new(handle)))
    }

    /// Writes one JSON file of a run atomically and returns the digest of its bytes.
    pub(crate) fn write_run_file<T: Stored>(
        &self,
        id: &RunId,
        name: &str,
        body: &T,
    ) -> Result<Digest> {
        let path = self.run_folder(id).join(name);
        let bytes = seal(body)
            .map_err(|source| StoreError::new("write", &path, StoreErrorKind::NotJson(source)))?;
        self.disk.write_whole(&self.temp_folder(), &path, &bytes)?;
        Ok(Digest::of(&bytes))
    }

    pub(crate) fn runs_folder(&self) -> PathBuf {
        self.root().join("runs")
    }

    pub(crate) fn run_folder(&self, id: &RunId) -> PathBuf {
        self.runs_folder().join(id.as_str())
    }
}

impl Manifest {
    /// Returns the manifest of a run that is taken up again: what it was started with stays.
    fn resumed(self) -> Self {
        // A failed run lists attachments. They are about to be written anew and must not be held to old digests.
        Manifest {
            status: RunStatus::Started,
            ended_at: None,
            failure: None,
            result: None,
            events: None,
            attachments: BTreeMap::new(),
            ..self
        }
    }
}

/// Twelve digits could in principle name two settings; then the second must not get the first one's result.
fn check_same(path: &Path, wanted: &RunSettings, found: &RunSettings) -> Result<()> {
    if wanted == found {
        return Ok(());
    }
    let [expected, found] = [wanted, found].map(|settings| settings.settings.to_string());
    Err(StoreError::new(
        "start the run of",
        path,
        StoreErrorKind::Misplaced { expected, found },
    ))
}
