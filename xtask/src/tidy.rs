//! `cargo xtask tidy`: rules of the house that no compiler checks.
//!
//! Looks at the files git tracks and at new ones that it does not ignore. Each rule is a function from files to
//! complaints, in `tidy/rules.rs`; nothing is mended.

mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};

use crate::tools;

/// A file of the checkout.
struct File {
    /// Where it is, from the root.
    path: String,
    /// What it holds; files that are no UTF-8 are left out.
    text: String,
}

/// Checks every rule.
///
/// # Errors
/// All complaints, each with its file; or if git cannot list the files.
pub fn run() -> Result<()> {
    let files = files()?;
    let complaints = complaints(&files, &crates()?);
    if complaints.is_empty() {
        eprintln!("tidy: {} files", files.len());
        return Ok(());
    }
    bail!(
        "{} rules broken\n  {}",
        complaints.len(),
        complaints.join("\n  ")
    );
}

fn complaints(files: &[File], crates: &BTreeSet<String>) -> Vec<String> {
    let mut complaints = rules::crate_map(files, crates);
    complaints.extend(rules::page_sizes(files));
    complaints.extend(files.iter().flat_map(rules::file));
    complaints
}

fn files() -> Result<Vec<File>> {
    let list = tools::output(&mut tools::command(
        "git",
        &[
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ],
    ))
    .context("tidy looks at the files git knows: run it in a checkout")?;
    let mut files = Vec::new();
    for path in list.split_terminator('\0') {
        let place = tools::root().join(path);
        if !place.is_file() {
            // Tracked and deleted, not yet committed.
            continue;
        }
        let bytes = std::fs::read(&place).with_context(|| format!("cannot read {path}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(File {
                path: path.to_owned(),
                text,
            });
        }
    }
    Ok(files)
}

/// Returns `crates/NAME` for every crate.
fn crates() -> Result<BTreeSet<String>> {
    let folder = tools::root().join("crates");
    let mut crates = BTreeSet::new();
    for entry in
        std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let entry = entry?;
        if entry.path().join("Cargo.toml").exists() {
            crates.insert(format!("crates/{}", entry.file_name().to_string_lossy()));
        }
    }
    Ok(crates)
}
