//! The Python environment of the peers, with pinned packages.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::tools;

/// Returns the Python of the peers' environment, making it if it is not there or of other requirements.
///
/// # Errors
/// If there is no Python or the installation fails.
pub fn environment() -> Result<PathBuf> {
    let folder = tools::target().join("peer-venv");
    let python = folder.join("bin/python");
    let requirements = tools::root().join("scripts/bench/requirements.txt");
    let wanted = fs::read(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    // Written last: an installation that was interrupted is made anew.
    let stamp = folder.join("installed-requirements.txt");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    eprintln!(
        "bench: installing the peers into {} (5.9 GB)",
        folder.display()
    );
    tools::run(tools::command("python3", &["-m", "venv", "--clear"]).arg(&folder))?;
    let program = python
        .to_str()
        .context("the path of the target folder is not UTF-8")?;
    tools::run(
        tools::command(
            program,
            &[
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--requirement",
            ],
        )
        .arg(&requirements),
    )?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(python)
}
