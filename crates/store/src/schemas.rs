//! The JSON Schema of every file the store writes.

use schemars::{Schema, schema_for};

use crate::document::Document;
use crate::environment::Environment;
use crate::runs::{Event, Manifest, RunResult, RunSettings};
use crate::steps::StepRecord;
use crate::store::StoreMark;

/// Returns the schemas by name: `manifest` for `manifest.json`, `event` for a line of `events.jsonl`, and so on.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("environment", schema_for!(Document<Environment>)),
        ("event", schema_for!(Event)),
        ("manifest", schema_for!(Document<Manifest>)),
        ("result", schema_for!(Document<RunResult>)),
        ("settings", schema_for!(Document<RunSettings>)),
        ("step", schema_for!(Document<StepRecord>)),
        ("store", schema_for!(StoreMark)),
    ]
}
