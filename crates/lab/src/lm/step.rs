//! Steps whose work can be interrupted: rows are kept one by one, or a state now and then.

use std::collections::BTreeMap;

use undertone_store::{StepIdentity, StepProgress, StepRecord, Store, UnfinishedStep};

use super::error::LmError;
use super::rows::{Row, parse_lines};
use crate::control::{Control, News};
use crate::error::LabError;
use crate::steps::output;

/// Where the work of language models is done.
pub struct LmBench<'a> {
    /// Where finished steps are.
    pub store: &'a Store,
    /// News and early end.
    pub control: &'a Control<'a>,
}

/// The name of the output that holds rows.
pub(crate) const ROWS: &str = "rows";

/// Takes the next finished row of a step.
pub(crate) type RowSink<'a> = dyn FnMut(&Row) -> Result<(), LabError> + 'a;

impl LmBench<'_> {
    /// Returns a step's record, doing what is left of its `total` units of work if the store has none.
    ///
    /// `work` gets the unfinished step and what it has so far, and returns the outputs.
    pub(crate) fn step(
        &self,
        identity: &StepIdentity,
        kind: &'static str,
        total: u64,
        work: impl FnOnce(
            &mut UnfinishedStep,
            StepProgress,
        ) -> Result<BTreeMap<String, Vec<u8>>, LabError>,
    ) -> Result<StepRecord, LabError> {
        self.control.go_on()?;
        let key = identity.key();
        if let Some(record) = self.store.lookup_step(identity)? {
            self.store.discard_step(&key)?;
            (self.control.news)(News::Plan {
                units: 0,
                cells: total,
                reused: 1,
                steps: 0,
            });
            return Ok(record);
        }
        let (mut unfinished, progress) = self.store.begin_step(&key)?;
        let record = match self.store.lookup_step(identity)? {
            // Another process recorded it while we waited for a turn.
            Some(record) => record,
            None => {
                let outputs = work(&mut unfinished, progress)?;
                self.store.commit_step(identity, &outputs)?
            }
        };
        unfinished.finish()?;
        (self.control.news)(News::Stored {
            kind,
            index: identity.index,
            key: record.key.to_string(),
        });
        Ok(record)
    }

    /// Tells how much of a step's work is left.
    pub(crate) fn tell_plan(&self, total: u64, done: u64) {
        (self.control.news)(News::Plan {
            units: total - done,
            cells: total,
            reused: 0,
            steps: 1,
        });
    }

    /// As [`LmBench::step`], for a step whose output is `total` rows: `work` gets the number of those that are there and
    /// hands over the others, in order.
    pub(crate) fn rows_step(
        &self,
        identity: &StepIdentity,
        kind: &'static str,
        total: u64,
        work: impl FnOnce(usize, &mut RowSink<'_>) -> Result<(), LabError>,
    ) -> Result<StepRecord, LabError> {
        self.step(identity, kind, total, |unfinished, progress| {
            let mut bytes = Vec::new();
            for row in &progress.rows {
                bytes.extend_from_slice(row);
                bytes.push(b'\n');
            }
            self.tell_plan(total, progress.rows.len() as u64);
            work(progress.rows.len(), &mut |row| {
                let line = row.to_line();
                unfinished.append_row(&line)?;
                bytes.extend_from_slice(&line);
                bytes.push(b'\n');
                self.control.worked(1);
                Ok(self.control.go_on()?)
            })?;
            Ok(BTreeMap::from([(ROWS.to_owned(), bytes)]))
        })
    }

    /// Returns the bytes of the rows that a step wrote.
    ///
    /// # Errors
    /// If they are damaged.
    pub fn row_bytes(&self, record: &StepRecord) -> Result<Vec<u8>, LabError> {
        Ok(self.store.get(&output(record, ROWS)?)?)
    }

    /// Returns the rows that a step wrote.
    ///
    /// # Errors
    /// If they are damaged.
    pub fn rows(&self, record: &StepRecord) -> Result<Vec<Row>, LabError> {
        let rows = parse_lines(&self.row_bytes(record)?);
        Ok(rows.map_err(|error| LmError::Stored {
            name: ROWS,
            problem: error.to_string(),
        })?)
    }
}
