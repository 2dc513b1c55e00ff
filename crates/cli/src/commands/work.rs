//! The frame every recorded command works in: begin or find the run, work, say where things came from, report, finish.
//!
//! A run that has finished is returned at once; one that was interrupted goes on. The report is written before the run
//! is marked as finished, so a finished run always has one.

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use undertone_core::{Digest, exit};
use undertone_lab::{Control, LabError, News};
use undertone_lineage::envelope::RUN_LINEAGE;
use undertone_lineage::ledger::records_file;
use undertone_lineage::{Draft, Ledger};
use undertone_report::{Report, report_html, report_text};
use undertone_stats::Outcome;
use undertone_store::{Begun, RunHandle, RunStart, RunView, Store};

use crate::args::Expect;
use crate::context::Context;
use crate::environment::{self, version_text};
use crate::origins::Origins;
use crate::present::{lineage as present_lineage, lineage_drawing};
use crate::progress::{Progress, Unit, seconds};

/// The name of the report in a run's folder.
pub const REPORT: &str = "report.html";

/// What a command wants recorded.
pub struct Task<'a, S> {
    /// The command's name.
    pub command: &'a str,
    /// Everything the result depends on.
    pub settings: &'a S,
    /// The digests of the data it reads.
    pub inputs: BTreeMap<String, Digest>,
    /// What progress is counted in.
    pub unit: Unit,
}

/// A finished command: its record and its result.
pub struct Finished<R> {
    /// The record.
    pub view: RunView,
    /// The result.
    pub result: R,
}

/// Runs `work` as a recorded run, or returns what the same command gave before.
pub fn recorded<S: Serialize, R: Serialize + DeserializeOwned>(
    context: &Context,
    store: &Store,
    task: &Task<'_, S>,
    work: impl FnOnce(&Control<'_>) -> Result<R, LabError>,
    origins: impl FnOnce(&Origins<'_>, &R) -> Result<Draft>,
    present: impl FnOnce(&R, &Recipe) -> Report,
) -> Result<Finished<R>> {
    let environment = environment::capture(context.threads);
    let argv: Vec<String> = std::env::args().collect();
    let start = RunStart {
        command: task.command,
        settings: task.settings,
        inputs: task.inputs.clone(),
        environment: &environment,
        argv: &argv,
    };
    match store.begin_run(&start)? {
        Begun::AlreadyDone(view) => {
            let ended = view
                .manifest
                .ended_at
                .as_deref()
                .unwrap_or("an unknown time");
            context.say(format!(
                "run {} finished at {ended}; nothing is computed again",
                view.id()
            ));
            let result = view
                .result_as::<R>()?
                .context("a finished run has a result")?;
            let run = view.id().as_str();
            // A run of an earlier version, or of a store whose ledger was removed.
            if !view.manifest.attachments.contains_key(RUN_LINEAGE) {
                let draft = origins(&Origins { store, run }, &result)?;
                Ledger::of_store(store.root()).append(draft.into_records())?;
            }
            Ok(Finished {
                view: *view,
                result,
            })
        }
        Begun::Running(handle) => {
            let verb = if handle.is_resumed() {
                "goes on"
            } else {
                "starts"
            };
            context.say(format!("run {} {verb}", handle.id()));
            let result = watched(context, &handle, task.unit, work)?;
            let recipe = Recipe {
                command: task.command,
                inputs: &task.inputs,
                handle: &handle,
            };
            let mut report = present(&result, &recipe);
            let run = handle.id().as_str();
            let records = origins(&Origins { store, run }, &result)?.into_records();
            if !records.is_empty() {
                report.tables.extend(present_lineage(&records)?);
                report.drawings.push(lineage_drawing(&records)?);
                handle.attach(RUN_LINEAGE, &records_file(&records))?;
                Ledger::of_store(store.root()).append(records)?;
            }
            let html = report_html(&report).context("the report cannot be drawn")?;
            handle.attach(REPORT, html.as_bytes())?;
            let view = handle.finish(&result)?;
            Ok(Finished { view, result })
        }
    }
}

/// Does the work with progress on the terminal and events in the record.
fn watched<R>(
    context: &Context,
    handle: &RunHandle,
    unit: Unit,
    work: impl FnOnce(&Control<'_>) -> Result<R, LabError>,
) -> Result<R> {
    let progress = Progress::new(context.progress, context.quiet, unit);
    let event_error = Mutex::new(None);
    let news = |news: News| {
        progress.take(&news);
        let written = match &news {
            News::Plan {
                units,
                cells,
                reused,
                steps,
            } => {
                context.say(plan_line(unit, *units, *cells, *reused, *steps));
                let plan =
                    json!({unit.key(): units, "cells": cells, "reused": reused, "steps": steps});
                handle.event("plan", &plan)
            }
            News::Stored { kind, index, key } => {
                handle.event("step", &json!({"kind": kind, "model": index, "key": key}))
            }
            News::Worked { .. } | News::Tokens { .. } => Ok(()),
        };
        if let (Err(error), Ok(mut first)) = (written, event_error.lock()) {
            first.get_or_insert(error);
        }
    };
    context.listen();
    let result = work(&Control {
        stop: &context.stop,
        news: &news,
    });
    context.stop_listening();
    progress.end();
    if let Some((tokens, secs)) = progress.tokens() {
        let (time, rate) = (seconds(secs), tokens as f64 / secs);
        context.say(format!("{tokens} tokens in {time}: {rate:.0} tokens/s"));
    }
    if let Ok(Some(error)) = event_error.into_inner() {
        return Err(error.into());
    }
    if let Err(LabError::Interrupted(_)) = &result {
        handle.event("interrupted", &json!({}))?;
    }
    Ok(result?)
}

/// Does work that is part of a recorded run, or repeats it, without telling of it.
pub fn silently<R>(
    context: &Context,
    work: impl FnOnce(&Control<'_>) -> Result<R, LabError>,
) -> Result<R> {
    context.listen();
    let result = work(&Control::silent(&context.stop));
    context.stop_listening();
    Ok(result?)
}

fn plan_line(unit: Unit, units: u64, cells: u64, reused: u64, steps: u64) -> String {
    let words = unit.words();
    match unit {
        Unit::ModelEpochs if steps == 0 => format!("all {reused} steps are in the store"),
        Unit::ModelEpochs => {
            format!("{steps} steps to compute ({units} {words}), {reused} taken from the store")
        }
        Unit::TokenPasses => {
            format!(
                "{cells} students; {steps} steps to do ({units} {words}), {reused} in the store"
            )
        }
        _ if steps == 0 => format!("all {cells} {words} are in the store"),
        _ if units < cells => {
            let kept = cells - units;
            format!("{units} {words} to do, {kept} of {cells} are there from before")
        }
        _ => format!("{units} {words} to do"),
    }
}

/// What the report says of how to repeat the run.
pub struct Recipe<'a> {
    command: &'a str,
    inputs: &'a BTreeMap<String, Digest>,
    handle: &'a RunHandle,
}

impl Recipe<'_> {
    /// Returns the recipe for a report: `command` repeats the run; `facts` come before digests, version and machine.
    pub fn report(
        &self,
        command: String,
        facts: Vec<(String, String)>,
    ) -> undertone_report::Recipe {
        let environment = environment::capture(0);
        let mut facts = facts;
        facts.push(("Run".to_owned(), self.handle.id().to_string()));
        facts.push(("Command".to_owned(), self.command.to_owned()));
        facts.extend(
            self.inputs
                .iter()
                .map(|(name, digest)| (format!("BLAKE3 of {name}"), digest.to_string())),
        );
        let version = version_text(
            &environment.undertone_version,
            environment.git_revision.as_deref(),
            environment.git_dirty,
        );
        facts.push(("Version".to_owned(), version));
        let cpu = environment
            .cpu_model
            .unwrap_or_else(|| "unknown".to_owned());
        facts.push((
            "Processor".to_owned(),
            format!("{cpu}; {}", environment.cpu_features.join(", ")),
        ));
        undertone_report::Recipe {
            commands: vec![command],
            facts,
        }
    }
}

/// Prints a finished run for people or as JSON, and returns the exit code that `expect` makes of its outcome.
pub fn close<R: Serialize>(
    context: &Context,
    finished: &Finished<R>,
    report: &Report,
    outcome: Option<Outcome>,
    expect: Option<Expect>,
    next: &str,
) -> Result<u8> {
    let code = judged(outcome, expect);
    let path = finished.view.folder.join(REPORT);
    let value = json!({
        "run": finished.view.id(),
        "outcome": outcome,
        "exit_code": code,
        "report": path,
        "result": finished.result,
    });
    context.print(&value, || Ok(report_text(report, context.style())?))?;
    context.say(format!("\nreport: {}", path.display()));
    if !next.is_empty() {
        context.say(format!("next:   {next}"));
    }
    match (expect, code) {
        (Some(_), exit::CHECK_FAILED) => context.say("the verdict contradicts --expect"),
        (Some(_), exit::INCONCLUSIVE) => {
            context.say("inconclusive, where --expect demanded an answer")
        }
        _ => {}
    }
    Ok(code)
}

/// Turns an outcome into an exit code.
pub fn judged(outcome: Option<Outcome>, expect: Option<Expect>) -> u8 {
    match (expect, outcome) {
        (None, _) => exit::DONE,
        (Some(Expect::Transfer), Some(Outcome::Transfer)) => exit::DONE,
        (Some(Expect::NoTransfer), Some(Outcome::NoTransfer)) => exit::DONE,
        (Some(_), Some(Outcome::Inconclusive) | None) => exit::INCONCLUSIVE,
        (Some(_), Some(_)) => exit::CHECK_FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_become_the_documented_codes() {
        let cases = [
            (Some(Outcome::Transfer), None, exit::DONE),
            (Some(Outcome::Inconclusive), None, exit::DONE),
            (Some(Outcome::Transfer), Some(Expect::Transfer), exit::DONE),
            (
                Some(Outcome::NoTransfer),
                Some(Expect::Transfer),
                exit::CHECK_FAILED,
            ),
            (
                Some(Outcome::Inconclusive),
                Some(Expect::Transfer),
                exit::INCONCLUSIVE,
            ),
            (
                Some(Outcome::Transfer),
                Some(Expect::NoTransfer),
                exit::CHECK_FAILED,
            ),
            (
                Some(Outcome::NoTransfer),
                Some(Expect::NoTransfer),
                exit::DONE,
            ),
            (None, Some(Expect::NoTransfer), exit::INCONCLUSIVE),
        ];
        for (outcome, expect, code) in cases {
            assert_eq!(judged(outcome, expect), code, "{outcome:?} {expect:?}");
        }
    }
}
