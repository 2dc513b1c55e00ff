//! Starts other programs: where the checkout is, whether a tool is there, and what its failure says.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Returns the root of the checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies one folder below the root")
}

/// Returns the folder cargo builds into.
pub fn target() -> PathBuf {
    // Relative values count from where cargo was called; cargo itself gives us the same working directory.
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Returns `program` with its arguments, to be run in the root of the checkout.
pub fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).args(arguments);
    command
}

/// Returns the cargo that runs us, with arguments.
pub fn cargo(arguments: &[&str]) -> Command {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    command(&cargo, arguments)
}

/// Runs `command` to its end, its output going where ours goes.
///
/// # Errors
/// If it cannot be started or does not end with 0.
pub fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{line}`"))?;
    ensure!(status.success(), "`{line}` ended with {status}");
    Ok(())
}

/// Runs `command` and returns what it wrote on stdout.
///
/// # Errors
/// If it cannot be started, does not end with 0 (what it wrote on stderr is part of the error), or writes no UTF-8.
pub fn output(command: &mut Command) -> Result<String> {
    let line = line(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{line}` ended with {}:\n{}",
            output.status,
            said.trim_end()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` wrote no UTF-8"))
}

/// Returns whether `program` with these arguments can be started and ends with 0: asked of `--version`.
pub fn exists(program: &str, arguments: &[&str]) -> bool {
    command(program, arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What `check` builds: one set of crates and features for all steps, because another set compiles the engines once more.
pub const EVERYTHING: [&str; 3] = ["--workspace", "--all-features", "--all-targets"];

/// Builds the workspace in the `dev` profile, as its tests are built, and returns where the program `name` is.
///
/// # Errors
/// If the workspace does not build or has no such program.
pub fn build_program(name: &str) -> Result<PathBuf> {
    let messages = output(
        cargo(&["build", "--quiet"])
            .args(EVERYTHING)
            .args(["--message-format", "json-render-diagnostics"]),
    )?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .filter(|message| message["profile"]["test"] == false)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("cargo built no program `{name}`"))
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
