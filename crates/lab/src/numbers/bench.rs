//! Where steps are looked up or done, and how progress of many steps becomes one.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use undertone_store::{StepIdentity, StepKey, StepRecord, Store};

use super::error::NumbersError;
use super::trace::Made;
use crate::control::Control;
use crate::error::LabError;
use crate::lm::LmBench;
use crate::lm::train::Means;
use crate::steps::output;

/// Passes through the model that a token costs in training: forward, and twice as much backward.
pub const TRAINING: u64 = 3;

/// Whether steps are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Steps that are missing are done.
    Do,
    /// A missing step is an error: [`NumbersError::NotThere`].
    Look,
}

/// Where steps are looked up or done.
pub(super) struct Bench<'a> {
    pub(super) store: &'a Store,
    pub(super) control: &'a Control<'a>,
    pub(super) means: Means<'a>,
    pub(super) mode: Mode,
    /// What a token of the step at work costs.
    pub(super) weight: &'a std::sync::atomic::AtomicU64,
    /// Steps that were in the store.
    pub(super) found: RefCell<BTreeSet<StepKey>>,
    /// What was made, where somebody asks.
    pub(super) made: Option<RefCell<Vec<Made>>>,
}

impl Bench<'_> {
    /// Returns a step's record: the store's, or what `work` makes.
    pub(super) fn step(
        &self,
        identity: &StepIdentity,
        weight: u64,
        work: impl FnOnce(&LmBench<'_>) -> Result<StepRecord, LabError>,
    ) -> Result<StepRecord, LabError> {
        self.control.go_on()?;
        if let Some(record) = self.store.lookup_step(identity)? {
            self.store.discard_step(&identity.key())?;
            self.found.borrow_mut().insert(record.key);
            return Ok(record);
        }
        if self.mode == Mode::Look {
            return Err(NumbersError::NotThere.into());
        }
        self.weight
            .store(weight, std::sync::atomic::Ordering::Relaxed);
        work(&self.lm())
    }

    /// As [`Bench::step`], for work that is done at once and cannot go on where it was.
    pub(super) fn whole(
        &self,
        identity: &StepIdentity,
        kind: &'static str,
        work: impl FnOnce() -> Result<BTreeMap<String, Vec<u8>>, LabError>,
    ) -> Result<StepRecord, LabError> {
        self.step(identity, 1, |bench| {
            bench.step(identity, kind, 1, |_, _| work())
        })
    }

    /// Notes what was made, if somebody asks.
    pub(super) fn note(&self, made: impl FnOnce() -> Made) {
        if let Some(list) = &self.made {
            list.borrow_mut().push(made());
        }
    }

    pub(super) fn lm(&self) -> LmBench<'_> {
        LmBench {
            store: self.store,
            control: self.control,
        }
    }

    /// Reads a JSON output of a step.
    pub(super) fn read<T: DeserializeOwned>(
        &self,
        record: &StepRecord,
        name: &'static str,
    ) -> Result<T, LabError> {
        let bytes = self.store.get(&output(record, name)?)?;
        serde_json::from_slice(&bytes).map_err(|source| LabError::Artefact { name, source })
    }
}
