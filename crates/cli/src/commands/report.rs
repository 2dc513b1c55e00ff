//! `report`: the page of a finished run, and its figures.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;
use undertone_core::exit;
use undertone_report::{Theme, figure_png, figure_svg};
use undertone_store::write_atomic;

use crate::args::ReportArgs;
use crate::commands::runs::asked_for;
use crate::commands::work::REPORT;
use crate::context::Context;
use crate::failure::Usage;
use crate::present;

/// Width of PNG figures in pixels.
const PNG_WIDTH: u32 = 1200;

/// Writes the files that were asked for.
pub fn run(context: &Context, args: &ReportArgs) -> Result<u8> {
    let run = asked_for(&context.existing_store()?, &args.run)?;
    let Some(report) = present::of_run(&run)? else {
        let status = "has not finished; repeat its command to go on";
        return Err(Usage(format!(
            "run `{}` {status}: {}",
            run.id(),
            run.manifest.argv.join(" ")
        ))
        .into());
    };
    let page = args
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}.html", run.id())));
    write_atomic(&page, &run.attachment(REPORT)?)?;
    let mut written = vec![page];
    for (folder, extension) in [(&args.svg, "svg"), (&args.png, "png")] {
        let Some(folder) = folder else { continue };
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
        for figure in &report.figures {
            let bytes = match extension {
                "svg" => figure_svg(figure, Theme::Auto)?.into_bytes(),
                _ => figure_png(figure, PNG_WIDTH, Theme::Light)?,
            };
            let path = folder.join(Path::new(&figure.id).with_extension(extension));
            write_atomic(&path, &bytes)?;
            written.push(path);
        }
    }
    context.print(&json!({ "run": run.id(), "files": written }), || {
        Ok(written
            .iter()
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join("\n"))
    })?;
    Ok(exit::DONE)
}
