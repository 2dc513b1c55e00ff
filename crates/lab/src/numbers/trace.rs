//! What came from what in a finished experiment: the way of the run once more, over what is in the store.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64};

use undertone_channel::filter::FilterReport;
use undertone_store::{StepRecord, Store};

use super::bench::{Bench, Mode};
use super::file::Variant;
use super::settings::Arm;
use super::world::{Sources, World};
use crate::control::Control;
use crate::error::LabError;
use crate::lm::RowFile;
use crate::lm::train::Means;

/// Who wrote numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// The untouched base.
    Base,
    /// The teacher of a target, by the target's place.
    Teacher(usize),
    /// The same teacher, sampled anew for a training seed.
    Again(usize, u32),
}

/// One thing that was made.
#[derive(Debug)]
pub enum Made {
    /// A teacher.
    Teacher {
        /// The place of its target.
        target: usize,
        /// What it is told before every prompt.
        system: Option<String>,
        /// The step that trained it, and the rows it learned.
        trained: Option<(StepRecord, RowFile)>,
    },
    /// Rows that were sampled and filtered.
    Numbers {
        /// Who wrote them.
        writer: Writer,
        /// The step that sampled them.
        record: StepRecord,
        /// The prompts.
        prompts: RowFile,
        /// What became of them.
        filter: FilterReport,
        /// The rows that were kept.
        kept: RowFile,
    },
    /// What an arm learns from.
    Lesson {
        /// The arm.
        arm: Arm,
        /// The training seed's number, where each has rows of its own.
        cell: u32,
        /// Whose rows they were made of.
        rows_of: Writer,
        /// Who labelled them, and in which step.
        labels: Option<(Writer, StepRecord)>,
        /// The rows as students get them.
        lines: RowFile,
    },
    /// A trained student.
    Student {
        /// Its arm.
        arm: Arm,
        /// Whether it learned the control's rows, in an arm that has a control of its own.
        on_control_rows: bool,
        /// Its training seed's number.
        cell: u32,
        /// Whose lesson it learned.
        lesson: (Arm, u32),
        /// Rows drawn for it.
        rows: u64,
        /// The step that trained it.
        record: StepRecord,
    },
}

/// Returns what a finished experiment made, in order: everything stands after what it came from.
///
/// # Errors
/// If a step of it is not in the store.
pub fn trace(
    variant: &Variant,
    sources: &dyn Sources,
    store: &Store,
    means: Means<'_>,
) -> Result<Vec<Made>, LabError> {
    let stop = AtomicBool::new(false);
    let control = Control::silent(&stop);
    let weight = AtomicU64::new(1);
    let bench = Bench {
        store,
        control: &control,
        means,
        mode: Mode::Look,
        weight: &weight,
        found: RefCell::default(),
        made: Some(RefCell::default()),
    };
    World::open(&variant.settings, sources)?.walk(&bench, variant)?;
    Ok(bench.made.map(RefCell::into_inner).unwrap_or_default())
}
