//! `schema`: the JSON Schemas of everything we write.

use anyhow::Result;
use schemars::{Schema, schema_for};
use serde_json::json;
use undertone_core::exit;
use undertone_lab::numbers::plan::Plan;
use undertone_lab::numbers::result::NumbersResult;
use undertone_lab::numbers::student::StudentLog;
use undertone_lab::theorem::{TheoremResult, TheoremSettings};
use undertone_lab::{ExperimentResult, lm};

use crate::args::SchemaArgs;
use crate::commands::ablate::{SweepResult, SweepRun};
use crate::commands::align::AlignRun;
use crate::commands::mnist::ExperimentRun;
use crate::commands::numbers::NumbersRun;
use crate::context::Context;
use crate::failure::Usage;

/// Every format by name.
fn schemas() -> Vec<(&'static str, Schema)> {
    let mut schemas = undertone_store::schemas();
    schemas.extend(undertone_lineage::schemas());
    schemas.extend([
        ("experiment-settings", schema_for!(ExperimentRun)),
        ("experiment-result", schema_for!(ExperimentResult)),
        ("sweep-settings", schema_for!(SweepRun)),
        ("sweep-result", schema_for!(SweepResult)),
        ("theorem-settings", schema_for!(TheoremSettings)),
        ("theorem-result", schema_for!(TheoremResult)),
        ("align-settings", schema_for!(AlignRun)),
        (
            "align-result",
            schema_for!(undertone_lab::align::AlignResult),
        ),
        ("curve", schema_for!(undertone_lab::training::Curve)),
        ("lm-row", schema_for!(lm::Row)),
        ("lm-sample-settings", schema_for!(lm::sample::SampleRun)),
        ("lm-sample-result", schema_for!(lm::sample::SampleResult)),
        ("lm-score-settings", schema_for!(lm::score::ScoreRun)),
        ("lm-score-result", schema_for!(lm::score::ScoreResult)),
        ("lm-train-settings", schema_for!(lm::train::TrainRun)),
        ("lm-train-result", schema_for!(lm::train::TrainResult)),
        ("lm-training-log", schema_for!(lm::train::TrainingLog)),
        (
            "pretrain-tiny-settings",
            schema_for!(lm::tiny::TinySettings),
        ),
        ("pretrain-tiny-result", schema_for!(lm::tiny::TinyResult)),
        ("lm-merge-settings", schema_for!(lm::merge::MergeRun)),
        ("numbers-settings", schema_for!(NumbersRun)),
        ("numbers-result", schema_for!(NumbersResult)),
        ("numbers-student-log", schema_for!(StudentLog)),
        ("numbers-plan", schema_for!(Plan)),
        ("lm-merge-result", schema_for!(lm::merge::MergeResult)),
    ]);
    schemas
}

/// Prints a schema, or the names of all.
pub fn run(context: &Context, args: &SchemaArgs) -> Result<u8> {
    let schemas = schemas();
    let names: Vec<&str> = schemas.iter().map(|(name, _)| *name).collect();
    match &args.name {
        None => context.print(&json!({ "schemas": names }), || Ok(names.join("\n")))?,
        Some(wanted) => {
            let Some((_, schema)) = schemas.iter().find(|(name, _)| name == wanted) else {
                return Err(Usage(format!(
                    "`{wanted}` is no format; there are {}",
                    names.join(", ")
                ))
                .into());
            };
            context.print(schema, || Ok(serde_json::to_string_pretty(schema)?))?;
        }
    }
    Ok(exit::DONE)
}
