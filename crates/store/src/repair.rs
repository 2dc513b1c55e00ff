//! Checks every byte of a store against its digest, and sets damaged things aside so that work can go on.
//!
//! Nothing is deleted: what is damaged moves to `damaged/`. Repeating the command computes again what was set aside,
//! and only that.

use std::path::PathBuf;

use serde::Serialize;
use undertone_core::Digest;

use crate::disk::{self, name_of};
use crate::error::{ExitClass, Result, StoreError};
use crate::runs::{LOCK, RunId, RunLock, check_run};
use crate::steps::{StepKey, read_record};
use crate::store::{Store, check_digest};

/// What is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum DamagedThing {
    /// An object whose bytes do not have its digest.
    Object {
        /// The digest it is stored under.
        digest: Digest,
    },
    /// A step record that cannot be read.
    StepRecord,
    /// An output that an intact step record names and that is not here. The step is computed again when needed.
    MissingOutput {
        /// The step.
        step: StepKey,
        /// The name of the output.
        output: String,
        /// The digest of the output.
        digest: Digest,
    },
    /// A run of which a file is damaged or missing.
    Run {
        /// The name of the run.
        run: RunId,
    },
}

/// One damaged thing in a store.
#[derive(Debug)]
pub struct Damage {
    /// What it is.
    pub thing: DamagedThing,
    /// What repair moves: the file of an object or record, the folder of a run.
    pub path: PathBuf,
    /// What is wrong with it; names the very file.
    pub error: StoreError,
}

/// What was done about a damage.
#[derive(Debug)]
pub struct Repair {
    /// The damage.
    pub damage: Damage,
    /// Where it was set aside; `None` if nothing had to be moved.
    pub moved_to: Option<PathBuf>,
}

impl Store {
    /// Reads everything in the store and returns what is damaged, sorted by kind and path. Files with names that are
    /// not ours are passed over. Costs one read of the whole store.
    ///
    /// # Errors
    /// If a file cannot be read at all, or is too new.
    pub fn verify_all(&self) -> Result<Vec<Damage>> {
        let mut damages = Vec::new();
        self.verify_objects(&mut damages)?;
        self.verify_steps(&mut damages)?;
        self.verify_runs(&mut damages)?;
        Ok(damages)
    }

    /// Sets everything aside that [`Store::verify_all`] finds damaged.
    ///
    /// # Errors
    /// As [`Store::verify_all`], and [`Busy`](crate::StoreErrorKind::Busy) if a damaged run is being worked on.
    pub fn repair(&self) -> Result<Vec<Repair>> {
        self.require_writable("repair", self.root())?;
        self.verify_all()?
            .into_iter()
            .map(|damage| self.repair_one(damage))
            .collect()
    }

    fn repair_one(&self, damage: Damage) -> Result<Repair> {
        let moved_to = match &damage.thing {
            DamagedThing::Object { digest } => self.quarantine(digest)?,
            DamagedThing::MissingOutput { .. } => None,
            DamagedThing::StepRecord => {
                self.set_aside(&damage.path, &format!("step-{}", name_of(&damage.path)))?
            }
            DamagedThing::Run { run } => {
                let _lock = RunLock::take(&self.disk, damage.path.join(LOCK))?;
                self.set_aside(&damage.path, &format!("run-{run}"))?
            }
        };
        Ok(Repair { damage, moved_to })
    }

    fn verify_objects(&self, damages: &mut Vec<Damage>) -> Result<()> {
        for path in two_levels(self.objects_folder())? {
            let Ok(digest) = name_of(&path).parse::<Digest>() else {
                continue;
            };
            let checked = disk::read_required("read object", &path)
                .and_then(|bytes| check_digest("read object", &path, &digest, &bytes));
            note(damages, path, DamagedThing::Object { digest }, checked)?;
        }
        Ok(())
    }

    fn verify_steps(&self, damages: &mut Vec<Damage>) -> Result<()> {
        for path in two_levels(self.steps_folder())? {
            let is_ours = |name: &str| name.parse::<Digest>().is_ok();
            if !name_of(&path).strip_suffix(".json").is_some_and(is_ours) {
                continue;
            }
            let read = disk::read_required("read step", &path)
                .and_then(|bytes| read_record(&path, &bytes));
            match read {
                Err(error) => note(damages, path, DamagedThing::StepRecord, Err(error))?,
                Ok(record) => {
                    for (output, digest) in record.outputs {
                        let thing = DamagedThing::MissingOutput {
                            step: record.key,
                            output,
                            digest,
                        };
                        note(damages, path.clone(), thing, self.require_object(&digest))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn verify_runs(&self, damages: &mut Vec<Damage>) -> Result<()> {
        for folder in disk::list(&self.runs_folder())? {
            let thing = DamagedThing::Run {
                run: RunId::from_folder(&folder),
            };
            let checked = check_run(self, &folder);
            note(damages, folder, thing, checked)?;
        }
        Ok(())
    }
}

/// Keeps errors that mean damage and passes the others on.
fn note(
    damages: &mut Vec<Damage>,
    path: PathBuf,
    thing: DamagedThing,
    checked: Result<()>,
) -> Result<()> {
    match checked {
        Err(error) if error.exit_class() == ExitClass::Tampered => {
            damages.push(Damage { thing, path, error });
            Ok(())
        }
        other => other,
    }
}

fn two_levels(folder: PathBuf) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for inner in disk::list(&folder)? {
        if inner.is_dir() {
            paths.extend(disk::list(&inner)?);
        }
    }
    Ok(paths)
}
