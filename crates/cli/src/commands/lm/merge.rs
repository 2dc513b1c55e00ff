//! `lm merge`: a model of its own, of a base and an adapter.

use anyhow::Result;
use serde_json::json;
use undertone_core::exit;
use undertone_lab::lm::merge::{
    MergeResult, MergeRun, MergedPrecision, is_occupied, list, merge_into, occupied,
};
use undertone_lab::{LabError, News};

use super::{close, open, target};
use crate::args::{LmMergeArgs, WeightsName};
use crate::commands::work::{self, Task};
use crate::context::Context;
use crate::origins;
use crate::present;
use crate::progress::Unit;

/// Merges into a new folder, or checks that it is there.
pub fn run(context: &Context, args: &LmMergeArgs) -> Result<u8> {
    let LmMergeArgs {
        model,
        adapter,
        weights,
        output,
    } = args;
    let subject = open::subject(context, &model.model, adapter.as_deref())?;
    let run = MergeRun {
        model: subject.named(),
        adapter: subject.named_adapter(),
        weights: match weights {
            WeightsName::F32 => MergedPrecision::F32,
            WeightsName::Bf16 => MergedPrecision::Bf16,
        },
    };
    target::check_folder("--output", output)?;
    // What is there may be what an earlier command wrote, whose record never came to its end.
    let there = match is_occupied(output) {
        false => None,
        true if !output.join("config.json").is_file() => {
            return Err(LabError::from(occupied(output)).into());
        }
        true => Some(merge_into(&run, &subject, output)?.0),
    };
    open::tell_missing_tokenizer(context, &subject, output)?;
    let store = context.store()?;
    let named = [
        ("model", Some(&run.model)),
        ("adapter", run.adapter.as_ref()),
    ];
    let inputs = named
        .into_iter()
        .filter_map(|(name, of)| Some((name.to_owned(), of?.digest)));
    let task = Task {
        command: "lm-merge",
        settings: &run,
        inputs: inputs.collect(),
        unit: Unit::Models,
    };
    let finished = work::recorded(
        context,
        &store,
        &task,
        |control| {
            (control.news)(News::Plan {
                units: 1,
                cells: 1,
                reused: 0,
                steps: 1,
            });
            let result = match &there {
                Some(result) => result.clone(),
                None => merge_into(&run, &subject, output)?.0,
            };
            control.worked(1);
            Ok(result)
        },
        |origins, result| origins::merged(origins, &subject, output, result),
        |result: &MergeResult, recipe| present::lm_merge(result, Some(recipe)),
    )?;
    // A run that finished before may have written another folder, or one that is gone.
    let found = match (there, is_occupied(output)) {
        (Some(result), _) => result.files,
        (None, true) => list(output).map_err(LabError::from)?,
        (None, false) => merge_into(&run, &subject, output)?.0.files,
    };
    if found != finished.result.files {
        return Err(LabError::from(occupied(output)).into());
    }
    let mut value = close::object(&finished);
    value["output"] = json!(output);
    context.print(&value, || {
        let names: Vec<&str> = found.iter().map(|file| file.name.as_str()).collect();
        Ok(format!("{}: {}", output.display(), names.join(", ")))
    })?;
    close::say_report(context, &finished);
    Ok(exit::DONE)
}
