//! `runs` and `show`: what the store remembers.

use anyhow::Result;
use serde_json::json;
use undertone_core::exit;
use undertone_report::{Column, Table, table_text};
use undertone_store::{ExitClass, RunStatus, RunSummary, RunView, Store, StoreErrorKind};

use crate::args::RunArgs;
use crate::context::Context;
use crate::environment::version_text;
use crate::failure::Usage;
use crate::present;

/// Lists the runs, oldest first.
pub fn list(context: &Context) -> Result<u8> {
    let list = context.existing_store()?.runs()?;
    let damaged: Vec<_> = list
        .damaged
        .iter()
        .map(|(id, error)| json!({"run": id, "error": error.to_string()}))
        .collect();
    context.print(&json!({"runs": list.runs, "damaged": damaged}), || {
        let table = Table {
            caption: format!("Runs in {}", context.root.display()),
            columns: ["Run", "Status", "Started", "Command"]
                .map(Column::words)
                .into(),
            rows: list.runs.iter().map(row).collect(),
            notes: Vec::new(),
        };
        Ok(if list.runs.is_empty() {
            "no runs yet".to_owned()
        } else {
            table_text(&table, context.style())?
        })
    })?;
    for (id, error) in &list.damaged {
        eprintln!("damaged: {id}: {error}; `undertone doctor --repair` sets it aside");
    }
    Ok(if list.damaged.is_empty() {
        exit::DONE
    } else {
        exit::TAMPERED
    })
}

fn row(run: &RunSummary) -> Vec<String> {
    let arguments = run.argv.get(1..).unwrap_or_default().join(" ");
    vec![
        run.id.to_string(),
        status(run.status, run.is_running),
        run.started_at.clone(),
        arguments,
    ]
}

fn status(status: RunStatus, is_running: Option<bool>) -> String {
    match (status, is_running) {
        (RunStatus::Finished, _) => "finished",
        (RunStatus::Failed, _) => "failed",
        (_, Some(true)) => "running",
        (_, Some(false)) => "interrupted",
        (_, None) => "started",
    }
    .to_owned()
}

/// Returns the run that `asked` means: its name or the beginning of it, or the name of an experiment that was run once.
pub fn asked_for(store: &Store, asked: &str) -> Result<RunView> {
    let unknown = match store.load_run(asked) {
        Err(error)
            if matches!(
                *error.kind,
                StoreErrorKind::NoSuchRun { .. } | StoreErrorKind::AmbiguousRun { .. }
            ) =>
        {
            error
        }
        loaded => return Ok(loaded?),
    };
    let mut runs = Vec::new();
    for summary in store.runs()?.runs {
        let run = match store.load_run(summary.id.as_str()) {
            // A damaged run hides no other; who names it is told.
            Err(error) if error.exit_class() == ExitClass::Tampered => continue,
            loaded => loaded?,
        };
        let name = (run.settings.settings).pointer("/variants/0/settings/experiment/name");
        if name.is_some_and(|name| name == asked) {
            runs.push(run);
        }
    }
    let ids: Vec<&str> = runs.iter().map(|run| run.id().as_str()).collect();
    match ids[..] {
        [] => Err(unknown.into()),
        [_] => Ok(runs.remove(0)),
        _ => Err(Usage(format!(
            "several runs are of experiment `{asked}`: {}; give the name of one, `undertone runs` has their dates",
            ids.join(", ")
        ))
        .into()),
    }
}

/// Shows one run.
pub fn show(context: &Context, args: &RunArgs) -> Result<u8> {
    let run = asked_for(&context.existing_store()?, &args.run)?;
    let events = run.events()?;
    let value = json!({
        "manifest": run.manifest,
        "is_running": run.is_running,
        "settings": run.settings,
        "environment": run.environment,
        "events": events.events.len(),
        "result": run.result,
    });
    context.print(&value, || {
        let m = &run.manifest;
        let mut lines = vec![
            format!("run       {}", run.id()),
            format!("status    {}", status(m.status, run.is_running)),
            format!("command   {}", m.argv.join(" ")),
            format!("started   {}", m.started_at),
            format!("ended     {}", m.ended_at.as_deref().unwrap_or("not yet")),
            format!(
                "version   {}",
                version_text(&m.undertone_version, m.git_revision.as_deref(), m.git_dirty)
            ),
            format!("threads   {}", run.environment.n_threads),
            format!(
                "cpu       {}",
                run.environment.cpu_model.as_deref().unwrap_or("unknown")
            ),
            format!("folder    {}", run.folder.display()),
            format!("events    {}", events.events.len()),
        ];
        lines.extend(
            run.settings
                .inputs
                .iter()
                .map(|(name, digest)| format!("data      {name} {digest}")),
        );
        if m.status == RunStatus::Started && run.is_running == Some(false) {
            lines.push("to go on  repeat the command: what is finished is in the store".to_owned());
        }
        lines.extend(
            m.failure
                .iter()
                .map(|failure| format!("failure   {failure}")),
        );
        let mut text = lines.join("\n");
        if let Some(report) = present::of_run(&run)? {
            text.push_str("\n\n");
            text.push_str(&undertone_report::report_text(&report, context.style())?);
        }
        Ok(text)
    })?;
    Ok(exit::DONE)
}
