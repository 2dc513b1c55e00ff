//! The Python environment of the peers, with pinned packages.

use std::path::PathBuf;

use anyhow::Result;

use crate::tools;

/// Returns the Python of the peers' environment, making it if it is not there or of other requirements.
///
/// # Errors
/// If there is no Python or the installation fails.
pub fn environment() -> Result<PathBuf> {
    let folder = tools::target().join("peer-venv");
    tools::run(
        tools::command("bash", &["scripts/python_env.sh"])
            .arg(&folder)
            .arg("scripts/bench/requirements.txt"),
    )?;
    Ok(folder.join("bin/python"))
}
