//! Explains why a step is to be computed: which field differs from the nearest step computed before.
//!
//! "Nearest" is the record of the same kind and index with the fewest differing fields; ties go to the smaller key,
//! because records carry no times. Loads all records once, so that thousands of questions cost one scan.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::disk;
use crate::error::{ExitClass, Result};
use crate::steps::{StepIdentity, StepKey, StepRecord, read_record};
use crate::store::Store;

/// One field in which a wanted step differs from a recorded one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Where in the identity: `params.layers[2].width`.
    pub path: String,
    /// What is recorded; `None` if the field is new.
    pub recorded: Option<Value>,
    /// What is wanted; `None` if the field is gone.
    pub wanted: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.recorded, &self.wanted) {
            (Some(recorded), Some(wanted)) => {
                write!(f, "`{}` was {recorded} and is now {wanted}", self.path)
            }
            (None, Some(wanted)) => write!(f, "`{}` is new: {wanted}", self.path),
            (Some(recorded), None) => write!(f, "`{}` is gone: it was {recorded}", self.path),
            (None, None) => write!(f, "`{}`", self.path),
        }
    }
}

/// Whether a step is to be computed, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Staleness {
    /// It is recorded and its outputs are here.
    Fresh,
    /// It is recorded, but these outputs are gone: they were set aside as damaged.
    OutputsMissing {
        /// The names of the outputs.
        outputs: Vec<String>,
    },
    /// Nothing of this kind and index was computed before.
    NeverComputed,
    /// Something similar was computed before.
    Changed {
        /// The nearest step computed before.
        nearest: StepKey,
        /// What differs, sorted by path; never empty.
        differences: Vec<Difference>,
    },
}

/// All step records of a store, as of one moment.
pub struct StepHistory {
    store: Store,
    records: BTreeMap<(String, u64), Vec<StepRecord>>,
    /// How many damaged records were left out; [`Store::verify_all`] names them.
    pub n_damaged: usize,
}

impl Store {
    /// Reads all step records.
    ///
    /// # Errors
    /// If a folder or file cannot be read. Damaged records are left out and counted.
    pub fn step_history(&self) -> Result<StepHistory> {
        let mut history = StepHistory {
            store: self.clone(),
            records: BTreeMap::new(),
            n_damaged: 0,
        };
        for folder in disk::list(&self.steps_folder())? {
            for path in disk::list(&folder)? {
                match disk::read_required("read step", &path)
                    .and_then(|bytes| read_record(&path, &bytes))
                {
                    Ok(record) => {
                        let slot = (record.identity.kind.clone(), record.identity.index);
                        history.records.entry(slot).or_default().push(record);
                    }
                    Err(error) if error.exit_class() == ExitClass::Tampered => {
                        history.n_damaged += 1
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(history)
    }

    /// Explains one step; for many steps ask [`Store::step_history`] once.
    ///
    /// # Errors
    /// As [`Store::step_history`].
    pub fn why_stale(&self, identity: &StepIdentity) -> Result<Staleness> {
        Ok(self.step_history()?.why_stale(identity))
    }
}

impl StepHistory {
    /// Explains whether `identity` is to be computed, and why.
    pub fn why_stale(&self, identity: &StepIdentity) -> Staleness {
        let key = identity.key();
        let slot = (identity.kind.clone(), identity.index);
        let wanted = to_value(identity);
        let nearest = self
            .records
            .get(&slot)
            .into_iter()
            .flatten()
            .map(|record| (differences(&to_value(&record.identity), &wanted), record))
            .min_by_key(|(differences, record)| (differences.len(), record.key));
        match nearest {
            None => Staleness::NeverComputed,
            Some((_, record)) if record.key == key => self.recorded(record),
            Some((differences, record)) => Staleness::Changed {
                nearest: record.key,
                differences,
            },
        }
    }

    fn recorded(&self, record: &StepRecord) -> Staleness {
        let gone = record
            .outputs
            .iter()
            .filter(|(_, digest)| !self.store.contains(digest));
        let outputs: Vec<String> = gone.map(|(name, _)| name.clone()).collect();
        match outputs.is_empty() {
            true => Staleness::Fresh,
            false => Staleness::OutputsMissing { outputs },
        }
    }
}

fn to_value(identity: &StepIdentity) -> Value {
    serde_json::to_value(identity).expect("texts, numbers and digests are JSON")
}

/// Lists the leaves in which two values differ, sorted by path.
fn differences(recorded: &Value, wanted: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    collect(&mut found, String::new(), Some(recorded), Some(wanted));
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(
    found: &mut Vec<Difference>,
    path: String,
    recorded: Option<&Value>,
    wanted: Option<&Value>,
) {
    match (recorded, wanted) {
        (a, b) if a == b => {}
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let new = b.keys().filter(|name| !a.contains_key(*name));
            for name in a.keys().chain(new) {
                let dot = if path.is_empty() { "" } else { "." };
                collect(
                    found,
                    format!("{path}{dot}{name}"),
                    a.get(name),
                    b.get(name),
                );
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for place in 0..a.len().max(b.len()) {
                collect(
                    found,
                    format!("{path}[{place}]"),
                    a.get(place),
                    b.get(place),
                );
            }
        }
        (recorded, wanted) => found.push(Difference {
            path,
            recorded: recorded.cloned(),
            wanted: wanted.cloned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(recorded: Value, wanted: Value, expected: &[&str]) {
        let found = differences(&recorded, &wanted);
        let text: Vec<String> = found.iter().map(Difference::to_string).collect();
        assert_eq!(text, expected);
    }

    #[test]
    fn names_each_differing_leaf_by_its_path() {
        check(json!({"a": 1}), json!({"a": 1}), &[]);
        check(
            json!({"a": 1}),
            json!({"a": 1.0}),
            &["`a` was 1 and is now 1.0"],
        );
        check(
            json!({"p": {"layers": [{"w": 8}, 2], "old": true}}),
            json!({"p": {"layers": [{"w": 9}], "new": null}}),
            &[
                "`p.layers[0].w` was 8 and is now 9",
                "`p.layers[1]` is gone: it was 2",
                "`p.new` is new: null",
                "`p.old` is gone: it was true",
            ],
        );
        check(
            json!({"a": [1]}),
            json!({"a": {"b": 1}}),
            &["`a` was [1] and is now {\"b\":1}"],
        );
    }
}
