//! Does everything that the lineage of a store names still hold: ledger, runs, step records, objects?
//!
//! A ledger may hold records of other people's stores, whose files are not here. What a run of this store recorded must be:
//! its records in the ledger, its steps among the step records, their outputs among the objects.

use std::collections::BTreeSet;

use undertone_core::Digest;
use undertone_store::{Store, StoreError};

use crate::entity::Entity;
use crate::envelope::{Difference, DifferenceKind, RUN_LINEAGE};
use crate::graph::Graph;
use crate::ledger::{Ledger, LedgerError, read_records_file};
use crate::record::Record;

/// A store's lineage could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The ledger's folder cannot be listed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store cannot be read at all.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What [`verify_store`] found.
#[derive(Debug)]
pub struct StoreCheck {
    /// The graph of what is intact.
    pub graph: Graph,
    /// Segments of the ledger that were looked at.
    pub segments: usize,
    /// Runs whose records were looked for.
    pub runs: usize,
    /// What does not hold, in words, each with its file.
    pub problems: Vec<String>,
}

/// Reads every byte of ledger and store.
///
/// # Errors
/// If a folder cannot be listed; everything else is in [`StoreCheck::problems`].
pub fn verify_store(store: &Store) -> Result<StoreCheck, VerifyError> {
    let check = Ledger::of_store(store.root()).verify()?;
    let chain = |error: &dyn std::error::Error| {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    };
    let mut problems: Vec<String> = check.damage.iter().map(|error| chain(error)).collect();
    let damages = store.verify_all()?;
    problems.extend(damages.iter().map(|damage| chain(&damage.error)));
    let mut runs = 0;
    let mut steps = BTreeSet::new();
    for summary in store.runs()?.runs {
        // A damaged run was told of above.
        let Ok(run) = store.load_run(summary.id.as_str()) else {
            continue;
        };
        if !run.manifest.attachments.contains_key(RUN_LINEAGE) {
            continue;
        }
        let Ok(bytes) = run.attachment(RUN_LINEAGE) else {
            continue;
        };
        runs += 1;
        let records = read_records_file(&run.folder.join(RUN_LINEAGE), &bytes)?;
        let missing = records
            .iter()
            .filter(|record| !check.records.contains(&record.id()));
        if let n @ 1.. = missing.count() {
            problems.push(format!(
                "{n} records of run `{}` are not in the ledger",
                run.id()
            ));
        }
        steps.extend(records.into_iter().filter_map(|record| match record {
            Record::Entity(description) => match description.entity {
                Entity::Step(step) => step.key?.parse::<Digest>().ok(),
                _ => None,
            },
            Record::Edge(_) => None,
        }));
    }
    for key in steps {
        let hex = key.hex();
        let file = format!("steps/{}/{hex}.json", &hex[..2]);
        if !store.root().join(&file).is_file() {
            let kind = DifferenceKind::Missing {};
            problems.push(Difference { file, kind }.to_string());
        }
    }
    Ok(StoreCheck {
        graph: check.graph,
        segments: check.segments,
        runs,
        problems,
    })
}
