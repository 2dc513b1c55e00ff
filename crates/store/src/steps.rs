//! Remembers which step gave which outputs, so that resuming, repeating and changing one parameter are one mechanism.
//!
//! A step is a pure function. Its [`StepIdentity`] holds everything its outputs depend on; the digest of that is its
//! [`StepKey`]. Same key, same bytes. A record holds nothing that differs between two equal executions, no times and
//! no host, so that a store that was interrupted ends with the same bytes as one that was not.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use undertone_core::Digest;

use crate::canonical;
use crate::disk::{self, parent_of};
use crate::document::{Stored, seal, unseal};
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::store::Store;

/// Everything the outputs of a step depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepIdentity {
    /// What the step does: `mlp/train-teacher`.
    pub kind: String,
    /// The version of the code of this kind; raised whenever the same inputs would give other bytes.
    pub version: u32,
    /// The resolved parameters.
    pub params: Value,
    /// The digests of what the step reads, by the name the step knows them under.
    pub inputs: BTreeMap<String, Digest>,
    /// The seed of the run.
    pub seed: u64,
    /// Which of several equal steps this is: the number of a model, a cell or a chunk.
    pub index: u64,
}

impl StepIdentity {
    /// Returns the name of this step.
    pub fn key(&self) -> StepKey {
        let value = serde_json::to_value(self).expect("texts, numbers and digests are JSON");
        StepKey(Digest::of(&canonical::compact(&value)))
    }
}

/// The digest of the canonical JSON of a [`StepIdentity`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct StepKey(pub Digest);

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is recorded of a finished step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepRecord {
    /// The digest of `identity`, also the name of the file.
    pub key: StepKey,
    /// What the outputs depend on.
    pub identity: StepIdentity,
    /// The digests of the outputs, by name.
    pub outputs: BTreeMap<String, Digest>,
    /// The version of `undertone` that computed them first.
    pub made_by: String,
}

impl Stored for StepRecord {
    const FORMAT: &'static str = "undertone-step";
    const VERSION: u32 = 1;
}

impl Store {
    /// Returns the record of a finished step; `None` if it is still to be computed.
    ///
    /// A step whose outputs are not all here, because they were set aside as damaged, is to be computed again.
    ///
    /// # Errors
    /// A damaged record is an error of class [`Tampered`](crate::ExitClass::Tampered), never `None`.
    pub fn lookup_step(&self, identity: &StepIdentity) -> Result<Option<StepRecord>> {
        let record = self.recorded_step(identity)?;
        Ok(record.filter(|record| record.outputs.values().all(|digest| self.contains(digest))))
    }

    /// Stores the outputs of a finished step, then its record.
    ///
    /// # Errors
    /// [`StepDiffers`](StoreErrorKind::StepDiffers) if the step is recorded with other outputs; the record stays.
    pub fn commit_step(
        &self,
        identity: &StepIdentity,
        outputs: &BTreeMap<String, Vec<u8>>,
    ) -> Result<StepRecord> {
        let path = self.step_path(&identity.key());
        self.require_writable("write step", &path)?;
        let record = StepRecord {
            key: identity.key(),
            identity: identity.clone(),
            outputs: self.put_all(outputs)?,
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let bytes = seal(&record).map_err(|source| {
            StoreError::new("write step", &path, StoreErrorKind::NotJson(source))
        })?;

        // All slow work happens outside the lock: inside are one read and one rename.
        let staged = self.disk.stage(&self.temp_folder(), &bytes)?;
        self.disk.create_folder(parent_of(&path))?;
        let first = self.exclusively(|| match self.recorded_step(identity) {
            Ok(None) => self.disk.publish(staged, &path).map(|()| None),
            earlier => earlier,
        })?;
        match first {
            None => {
                self.disk.sync_folder(parent_of(&path))?;
                Ok(record)
            }
            Some(first) => match difference(&first, &record) {
                None => Ok(first),
                Some(kind) => Err(StoreError::new("write step", &path, kind)),
            },
        }
    }

    /// Returns the record of a step, whether or not its outputs are still here.
    pub(crate) fn recorded_step(&self, identity: &StepIdentity) -> Result<Option<StepRecord>> {
        let path = self.step_path(&identity.key());
        let Some(bytes) = disk::read("read step", &path)? else {
            return Ok(None);
        };
        let record = read_record(&path, &bytes)?;
        Ok(Some(record))
    }

    pub(crate) fn steps_folder(&self) -> PathBuf {
        self.root().join("steps")
    }

    fn step_path(&self, key: &StepKey) -> PathBuf {
        let hex = key.0.hex();
        self.steps_folder()
            .join(&hex[..2])
            .join(format!("{hex}.json"))
    }
}

/// Reads a record and checks that it is the one its file name promises.
pub(crate) fn read_record(path: &std::path::Path, bytes: &[u8]) -> Result<StepRecord> {
    let record: StepRecord = unseal(path, bytes)?;
    let expected = format!("{}.json", record.identity.key());
    let found = format!("{}.json", record.key);
    if expected == found && disk::name_of(path) == expected {
        return Ok(record);
    }
    let found = disk::name_of(path).to_owned();
    Err(StoreError::new(
        "read step",
        path,
        StoreErrorKind::Misplaced { expected, found },
    ))
}

/// Returns the first output in which two records of one step differ.
fn difference(first: &StepRecord, second: &StepRecord) -> Option<StoreErrorKind> {
    let names = first.outputs.keys().chain(second.outputs.keys());
    names
        .map(|name| (name, first.outputs.get(name), second.outputs.get(name)))
        .find(|(_, recorded, computed)| recorded != computed)
        .map(|(name, recorded, computed)| StoreErrorKind::StepDiffers {
            key: first.key,
            output: name.clone(),
            recorded: recorded.copied(),
            computed: computed.copied(),
        })
}
