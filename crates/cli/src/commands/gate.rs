//! `gate`: may this model or dataset be used, by a policy, given where it came from?

use std::path::Path;

use anyhow::{Context as _, Result};
use undertone_core::exit;
use undertone_lineage::gate::{Policy, Question, READY, judge, junit, sarif};
use undertone_store::write_atomic;

use crate::args::{GateArgs, GateFormat};
use crate::commands::lineage::Place;
use crate::context::Context;
use crate::failure::Usage;

/// The name of the ready policy.
const READY_NAME: &str = "distil-and-filter";

/// Judges one thing; the outcome is the exit code.
pub fn run(context: &Context, args: &GateArgs) -> Result<u8> {
    let (policy, text) = policy(&args.policy)?;
    if args.print_policy {
        context.print(&policy, || Ok(text))?;
        return Ok(exit::DONE);
    }
    let place = Place::open(context)?;
    let target = args.id.as_deref().context("clap demands it")?;
    let student = args.student.as_deref();
    let question = Question {
        target: place.resolve(target)?,
        student: student.map(|student| place.resolve(student)).transpose()?,
        root: place.store.root(),
    };
    let report = judge(&place.graph, &policy, &question)?.context("the thing was just found")?;
    let formatted = match args.format {
        GateFormat::Text => report.to_string(),
        GateFormat::Sarif => sarif(&report, &args.policy),
        GateFormat::Junit => junit(&report),
    };
    if let Some(path) = &args.output {
        write_atomic(path, formatted.as_bytes())?;
    }
    context.print(&report, || {
        Ok(match args.output {
            Some(_) => report.to_string(),
            None => formatted,
        })
    })?;
    Ok(report.outcome.exit_code())
}

/// Reads a policy; the ready one by its name, unless there is a file of that name.
fn policy(text: &str) -> Result<(Policy, String)> {
    let path = Path::new(text);
    if text == READY_NAME && !path.exists() {
        let policy = Policy::parse(READY).context("the ready policy is one")?;
        return Ok((policy, READY.to_owned()));
    }
    let policy = Policy::read(path).map_err(|error| {
        let source = std::error::Error::source(&error.kind);
        let why = source.map_or_else(String::new, |source| format!(": {source}"));
        Usage(format!("{error}: {}{why}", error.kind))
    })?;
    let text = std::fs::read_to_string(path).unwrap_or_default();
    Ok((policy, text))
}
