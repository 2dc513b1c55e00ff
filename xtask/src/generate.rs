//! `cargo xtask gen`: writes the files that are made from the program, or says which are out of date.
//!
//! - `docs/schemas/NAME.json`: the JSON Schema of every file format, from `undertone schema`.
//! - `docs/src/cli.md`: every command's `--help`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::tools;

/// Options of `gen`.
#[derive(Debug, Args)]
pub struct GenArgs {
    /// Write nothing; fail if a file differs from what would be written
    #[arg(long)]
    pub check: bool,
}

const SCHEMAS: &str = "docs/schemas";

/// Width of help texts, whatever the terminal.
const COLUMNS: &str = "100";

/// Writes or compares the generated files.
///
/// # Errors
/// If the program does not build or answer, or, with `check`, if a file differs, is missing or is left over.
pub fn run(args: &GenArgs) -> Result<()> {
    let files = generate()?;
    let stale = compare(tools::root(), &files)?;
    if stale.is_empty() {
        eprintln!("gen: {} files are up to date", files.len());
        return Ok(());
    }
    if args.check {
        let list: Vec<String> = stale
            .iter()
            .map(|(path, why)| format!("{}: {why}", path.display()))
            .collect();
        bail!(
            "out of date, run `cargo xtask gen` and commit:\n  {}",
            list.join("\n  ")
        );
    }
    write(tools::root(), &files, stale.keys())
}

/// Returns the content of every generated file by its path in the checkout.
fn generate() -> Result<BTreeMap<PathBuf, String>> {
    let program = tools::build_program("undertone")?;
    let mut files = BTreeMap::new();
    let names = ask(&program, &["schema"])?;
    ensure!(
        names.lines().next().is_some(),
        "`undertone schema` lists no format"
    );
    for line in names.lines() {
        // A description may follow the name.
        let name = line
            .split_whitespace()
            .next()
            .context("`undertone schema` prints an empty line")?;
        let schema = ask(&program, &["schema", name])?;
        serde_json::from_str::<serde_json::Value>(&schema)
            .with_context(|| format!("`undertone schema {name}` prints no JSON"))?;
        files.insert(Path::new(SCHEMAS).join(format!("{name}.json")), schema);
    }
    files.insert(PathBuf::from("docs/src/cli.md"), help(&program)?);
    Ok(files)
}

fn help(program: &Path) -> Result<String> {
    let overview = ask(program, &["--help"])?;
    let mut page = format!(
        "# Commands\n\nEvery command's `--help`, written by `cargo xtask gen`.\n\n## undertone\n\n{}",
        block(&overview)
    );
    let names = commands(&overview);
    ensure!(!names.is_empty(), "`undertone --help` lists no commands");
    for name in names {
        let text = ask(program, &[&name, "--help"])?;
        page.push_str(&format!("\n## undertone {name}\n\n{}", block(&text)));
        for below in commands(&text) {
            let text = ask(program, &[&name, &below, "--help"])?;
            page.push_str(&format!(
                "\n## undertone {name} {below}\n\n{}",
                block(&text)
            ));
        }
    }
    Ok(page)
}

/// Returns the names in the list of commands of a help text; none if it has no such list.
fn commands(overview: &str) -> Vec<String> {
    overview
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // Continued descriptions are indented further than names.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

fn block(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
    format!("```text\n{}\n```\n", lines.join("\n"))
}

fn ask(program: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command
        .current_dir(tools::root())
        .args(arguments)
        .env("COLUMNS", COLUMNS);
    // Help texts show the values that variables have.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("UNDERTONE_") {
            command.env_remove(name);
        }
    }
    tools::output(&mut command)
}

/// Returns every file that differs, is missing, or is left over from a format that is gone, with the reason.
fn compare(
    root: &Path,
    files: &BTreeMap<PathBuf, String>,
) -> Result<BTreeMap<PathBuf, &'static str>> {
    let mut stale = BTreeMap::new();
    for (path, wanted) in files {
        match fs::read(root.join(path)) {
            Ok(found) if found == wanted.as_bytes() => {}
            Ok(_) => {
                stale.insert(path.clone(), "differs");
            }
            Err(_) => {
                stale.insert(path.clone(), "is missing");
            }
        }
    }
    if let Ok(entries) = fs::read_dir(root.join(SCHEMAS)) {
        for entry in entries {
            let path = Path::new(SCHEMAS).join(entry?.file_name());
            if !files.contains_key(&path) {
                stale.insert(path, "is of no format");
            }
        }
    }
    Ok(stale)
}

fn write<'a>(
    root: &Path,
    files: &BTreeMap<PathBuf, String>,
    stale: impl Iterator<Item = &'a PathBuf>,
) -> Result<()> {
    for path in stale {
        let place = root.join(path);
        let Some(content) = files.get(path) else {
            fs::remove_file(&place).with_context(|| format!("cannot remove {}", path.display()))?;
            eprintln!("gen: removed {}", path.display());
            continue;
        };
        let folder = place
            .parent()
            .expect("every generated file lies in a folder");
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::write(&place, content).with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("gen: wrote {}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_commands_of_a_help_text() {
        let text = "Usage: x\n\nCommands:\n  demo  See it\n        happen\n  runs  List\n  help  Print\n\nOptions:\n  -q\n";
        assert_eq!(commands(text), ["demo", "runs"]);
        assert!(commands("Usage: x\n").is_empty());
    }

    #[test]
    fn tells_and_mends_what_is_stale() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let root = folder.path();
        let schema = |name: &str| Path::new(SCHEMAS).join(name);
        let files: BTreeMap<PathBuf, String> = ["a.json", "b.json", "c.json"]
            .map(|name| (schema(name), name.to_owned()))
            .into();
        fs::create_dir_all(root.join(SCHEMAS))?;
        for (name, content) in [("a.json", "a.json"), ("b.json", "old"), ("gone.json", "")] {
            fs::write(root.join(schema(name)), content)?;
        }
        let stale = compare(root, &files)?;
        let expected = [
            ("b.json", "differs"),
            ("c.json", "is missing"),
            ("gone.json", "is of no format"),
        ];
        assert_eq!(
            stale,
            expected.map(|(name, why)| (schema(name), why)).into()
        );
        write(root, &files, stale.keys())?;
        assert!(compare(root, &files)?.is_empty());
        Ok(())
    }
}
