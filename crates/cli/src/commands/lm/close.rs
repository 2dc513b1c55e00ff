//! Results to people, to files and to JSON.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Value, json};
use undertone_core::exit;
use undertone_lab::lm::rows::parse_lines;
use undertone_lab::lm::{LmBench, Row};
use undertone_store::{StepRecord, Store};

use super::target;
use crate::commands::work::{self, Finished, REPORT};
use crate::context::Context;

/// Checks, before the work, that the file of rows can be written; `record` is that of the step, if the store has it.
pub fn check_output(
    context: &Context,
    store: &Store,
    record: Option<&StepRecord>,
    output: Option<&Path>,
) -> Result<()> {
    let Some(path) = output else { return Ok(()) };
    let known = match record.filter(|_| path.exists()) {
        None => None,
        Some(record) => Some(work::silently(context, |control| {
            LmBench { store, control }.row_bytes(record)
        })?),
    };
    target::check_file("--output", path, known.as_deref())
}

/// Writes rows where they were asked for, or prints them, and says what they come to in `summary`.
pub fn rows<R: Serialize>(
    context: &Context,
    finished: &Finished<R>,
    rows: &[u8],
    output: Option<&Path>,
    summary: &str,
    print: impl Fn(&Row) -> String,
) -> Result<u8> {
    if let Some(path) = output {
        target::write_file("--output", path, rows)?;
    }
    let mut value = object(finished);
    value["output"] = json!(output);
    let text = match output {
        Some(path) => format!("{summary}, in {}", path.display()),
        None => {
            let rows = parse_lines(rows).context("stored rows cannot be read")?;
            value["rows"] = json!(rows);
            context.say(summary);
            rows.iter().map(print).collect::<Vec<_>>().join("\n")
        }
    };
    context.print(&value, || Ok(text))?;
    say_report(context, finished);
    Ok(exit::DONE)
}

/// Returns the JSON object every finished run prints.
pub fn object<R: Serialize>(finished: &Finished<R>) -> Value {
    json!({
        "run": finished.view.id(),
        "exit_code": exit::DONE,
        "report": finished.view.folder.join(REPORT),
        "result": finished.result,
    })
}

/// Says where the report is.
pub fn say_report<R>(context: &Context, finished: &Finished<R>) {
    context.say(format!(
        "report: {}",
        finished.view.folder.join(REPORT).display()
    ));
}
