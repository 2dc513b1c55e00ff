//! `lineage export`: what is recorded, in the words of other tools.

use anyhow::Result;
use serde_json::json;
use undertone_core::exit;
use undertone_lineage::export::{Scope, card, croissant, cyclonedx, openlineage, spdx};
use undertone_store::write_atomic;

use super::Place;
use crate::args::{ExportArgs, ExportFormat};
use crate::context::Context;
use crate::failure::Usage;

/// Writes one thing with everything behind it.
pub fn run(context: &Context, args: &ExportArgs) -> Result<u8> {
    let place = Place::open(context)?;
    let scope = Scope::of(&place.graph, place.resolve(&args.id)?)?;
    let at = time(args.at.as_deref())?;
    let text = match args.format {
        ExportFormat::Cyclonedx => cyclonedx(&scope, &at),
        ExportFormat::Openlineage => openlineage(&scope, &at),
        ExportFormat::Spdx => spdx(&scope, &at),
        ExportFormat::Croissant => {
            let rows = args.rows.as_deref().ok_or_else(|| {
                Usage("Croissant describes a file: give the rows with --rows".to_owned())
            })?;
            croissant(&scope, rows, &at)?
        }
        ExportFormat::Card => card(&scope)
            .ok_or_else(|| Usage(format!("`{}` is neither model nor dataset", args.id)))?,
    };
    let value = json!({"id": scope.subject().id, "items": scope.items.len(), "output": args.output, "text": text});
    match &args.output {
        None => context.print(&value, || Ok(text))?,
        Some(path) => {
            write_atomic(path, text.as_bytes())?;
            context.print(&value, || {
                Ok(format!("{}: {} things", path.display(), scope.items.len()))
            })?;
        }
    }
    Ok(exit::DONE)
}

/// Returns the time that was given, or now, in whole seconds and UTC.
fn time(at: Option<&str>) -> Result<String> {
    let time: jiff::Timestamp = match at {
        None => jiff::Timestamp::now(),
        Some(text) => text
            .parse()
            .map_err(|error| Usage(format!("--at {text}: {error}")))?,
    };
    Ok(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
