//! Runs the commands that README.md and the book show, and follows their links.
//!
//! A block fenced as `console` holds commands after `$ `. Those that start with `undertone` or `cargo run --release --` are
//! run through the real binary, in the order of the file, in one empty folder a file, so that a page may build on what it
//! did above. A comment of tags, separated by commas, says what a command needs or gives:
//!
//! - `exit N`: it ends with exit code N instead of 0;
//! - `slow`: it takes minutes; it is planned (`--dry-run`) or, without a plan, only parsed (`--help`); of a `run FILE` the
//!   file is read and checked (`config explain`);
//! - `needs mnist`, `needs fashion`: it reads fetched data. Where `UNDERTONE_DATA` has them the command runs, otherwise it is
//!   treated as a slow one without a plan;
//! - `network`: it downloads; it is only parsed.
//!
//! Other programs are not started, only listed. What the commands print is not compared.
#![expect(clippy::print_stdout, reason = "a test says what it ran")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

type TestResult<T = ()> = Result<T, Box<dyn Error>>;

/// Commands that know `--dry-run`.
const PLANNED: [&str; 4] = ["demo", "mnist", "ablate", "align"];
/// What would need a shell: a reader can copy every command as it stands.
const SHELL: [char; 12] = ['|', '>', '<', ';', '&', '$', '`', '"', '\'', '*', '(', '\\'];

/// A command of a page.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    line: usize,
    text: String,
    /// The words after `undertone`; `None` for another program.
    arguments: Option<Vec<String>>,
    tags: Tags,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Tags {
    exit: i32,
    slow: bool,
    network: bool,
    needs: Option<String>,
}

/// What is done with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Treatment {
    Run,
    Plan,
    Parse,
    Explain,
    List,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns the Markdown files of a folder, sorted.
fn pages(folder: &Path) -> TestResult<Vec<PathBuf>> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    Ok(pages)
}

fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

fn read(path: &Path) -> TestResult<String> {
    Ok(fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// Returns the commands of a page, or what cannot be understood and where.
fn commands(page: &str) -> Result<Vec<Shown>, String> {
    let mut commands = Vec::new();
    let mut inside = None;
    for (at, line) in page.lines().enumerate() {
        if let Some(fence) = line.trim_start().strip_prefix("```") {
            inside = match inside {
                None => Some(fence.trim().to_owned()),
                Some(_) => None,
            };
        } else if inside.as_deref() == Some("console") {
            let Some(text) = line.strip_prefix("$ ") else {
                return Err(format!("line {}: no command in a console block", at + 1));
            };
            let shown = command(at + 1, text).map_err(|why| format!("line {}: {why}", at + 1))?;
            commands.push(shown);
        }
    }
    match inside {
        Some(_) => Err("a block does not end".to_owned()),
        None => Ok(commands),
    }
}

fn command(line: usize, text: &str) -> Result<Shown, String> {
    let (text, comment) = text.split_once(" # ").unwrap_or((text, ""));
    let text = text.trim().to_owned();
    let ours = ["undertone", "cargo run --release --"]
        .into_iter()
        .find_map(|program| text.strip_prefix(program))
        .filter(|rest| rest.is_empty() || rest.starts_with(' '));
    if ours.is_some() && text.contains(SHELL) {
        return Err(format!("`{text}` needs a shell"));
    }
    Ok(Shown {
        line,
        arguments: ours.map(|rest| rest.split_whitespace().map(str::to_owned).collect()),
        tags: tags(comment)?,
        text,
    })
}

fn tags(comment: &str) -> Result<Tags, String> {
    let mut tags = Tags::default();
    for tag in comment.split(',').map(str::trim).filter(|t| !t.is_empty()) {
        match tag.split_once(' ') {
            None if tag == "slow" => tags.slow = true,
            None if tag == "network" => tags.network = true,
            Some(("needs", data)) => tags.needs = Some(data.to_owned()),
            Some(("exit", code)) => {
                tags.exit = code
                    .parse()
                    .map_err(|_| format!("`{code}` is no exit code"))?;
            }
            _ => return Err(format!("`{tag}` is no tag")),
        }
    }
    Ok(tags)
}

impl Shown {
    /// `data` is the folder with fetched data, if there is one.
    fn treatment(&self, data: Option<&Path>) -> Treatment {
        let Some(arguments) = &self.arguments else {
            return Treatment::List;
        };
        let lacks = |name: &String| !data.is_some_and(|data| data.join(name).is_dir());
        let parse = match arguments.first().is_some_and(|first| first == "run") {
            true => Treatment::Explain,
            false => Treatment::Parse,
        };
        if self.tags.network || self.tags.needs.as_ref().is_some_and(lacks) {
            return parse;
        }
        let planned = arguments
            .first()
            .is_some_and(|first| PLANNED.contains(&&first[..]));
        match (self.tags.slow, planned) {
            (false, _) => Treatment::Run,
            (true, true) => Treatment::Plan,
            (true, false) => parse,
        }
    }

    fn start(&self, folder: &Path, treatment: Treatment) -> TestResult<Output> {
        let extra = match treatment {
            Treatment::Plan => Some("--dry-run"),
            Treatment::Parse => Some("--help"),
            Treatment::Run | Treatment::Explain | Treatment::List => None,
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_undertone"));
        let arguments = self.arguments.iter().flatten();
        match treatment {
            // The file alone: options of `run` are none of `config explain`.
            Treatment::Explain => command
                .args(["config", "explain"])
                .args(arguments.skip(1).take(1)),
            _ => command.args(arguments).args(extra),
        };
        // Examples lie in the repository, files that the page made in its folder.
        let made = self
            .arguments
            .iter()
            .flatten()
            .any(|word| folder.join(word).is_file());
        let from = match treatment == Treatment::Explain && !made {
            true => root(),
            false => folder.to_owned(),
        };
        command
            .current_dir(from)
            .env_remove("UNDERTONE_STORE")
            .stdin(Stdio::null());
        Ok(command.output()?)
    }

    /// Does what `treatment` says and returns what went wrong.
    fn check(&self, folder: &Path, treatment: Treatment) -> TestResult<Option<String>> {
        if treatment == Treatment::List {
            return Ok(None);
        }
        let expected = if treatment == Treatment::Run {
            self.tags.exit
        } else {
            0
        };
        let output = self.start(folder, treatment)?;
        if output.status.code() == Some(expected) {
            return Ok(None);
        }
        Ok(Some(format!(
            "`{}` ended with {}, not {expected}:\n{}",
            self.text,
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )))
    }
}

#[test]
fn every_command_of_the_readme_and_the_book_does_what_is_said() -> TestResult {
    let data = std::env::var_os("UNDERTONE_DATA").map(PathBuf::from);
    let mut files = vec![root().join("README.md")];
    // Help texts are made from the program itself.
    files.extend(
        pages(&root().join("docs/src"))?
            .into_iter()
            .filter(|page| name(page) != "cli.md"),
    );
    let mut failures = Vec::new();
    let mut n_run = 0;
    for file in &files {
        let folder = tempfile::tempdir()?;
        let shown =
            commands(&read(file)?).map_err(|error| format!("{}: {error}", file.display()))?;
        for shown in shown {
            let treatment = shown.treatment(data.as_deref());
            println!(
                "{treatment:?}: {}:{}: {}",
                name(file),
                shown.line,
                shown.text
            );
            n_run += usize::from(treatment == Treatment::Run);
            if let Some(failure) = shown.check(folder.path(), treatment)? {
                failures.push(format!("{}:{}: {failure}", name(file), shown.line));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(n_run >= 10, "only {n_run} commands were run");
    Ok(())
}

#[test]
fn a_wrong_command_would_be_noticed() -> TestResult {
    let folder = tempfile::tempdir()?;
    let cases = [
        ("undertone mnist --modls 4 # needs mnist", Treatment::Parse),
        (
            "undertone mnist --preset papr # needs mnist",
            Treatment::Parse,
        ),
        ("undertone fetsh mnist # network", Treatment::Parse),
        ("undertone demo --models 0 # slow", Treatment::Plan),
        ("undertone show nothing", Treatment::Run),
        (
            "undertone run examples/owl-smok.toml # slow",
            Treatment::Explain,
        ),
        ("undertone schema # exit 3", Treatment::Run),
    ];
    for (text, treatment) in cases {
        let shown = command(1, text)?;
        assert_eq!(shown.treatment(None), treatment, "{text}");
        assert!(shown.check(folder.path(), treatment)?.is_some(), "{text}");
    }
    Ok(())
}

#[test]
fn pages_are_read_as_they_are_meant() -> TestResult {
    let page =
        "```text\n$ not me\n```\n```console\n$ undertone runs # exit 3, slow\n$ git clone X\n```\n";
    let found = commands(page)?;
    let texts: Vec<&str> = found.iter().map(|shown| &shown.text[..]).collect();
    assert_eq!(texts, ["undertone runs", "git clone X"]);
    assert_eq!(
        (found[0].line, found[0].tags.exit, found[0].tags.slow),
        (5, 3, true)
    );
    assert_eq!(found[1].treatment(None), Treatment::List);
    for broken in [
        "$ undertone runs # sloow",
        "$ undertone runs | head",
        "output",
        "$ undertone # exit x",
    ] {
        assert!(
            commands(&format!("```console\n{broken}\n```\n")).is_err(),
            "{broken}"
        );
    }
    assert!(commands("```console\n$ undertone runs\n").is_err());
    Ok(())
}

/// Returns the targets of the Markdown links of a page, outside code, without their fragments.
fn links(page: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        }
        if inside {
            continue;
        }
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', '#']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") {
                links.push(target.to_owned());
            }
        }
    }
    links
}

#[test]
fn every_link_leads_to_a_file_and_the_summary_lists_every_page() -> TestResult {
    let book = root().join("docs/src");
    let mut files = pages(&book)?;
    files.extend(pages(&root().join("docs/design"))?);
    files.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    let mut broken = Vec::new();
    for file in &files {
        let folder = file.parent().ok_or("a file has a folder")?;
        for link in links(&read(file)?) {
            if !folder.join(&link).exists() {
                broken.push(format!("{}: `{link}` is not there", file.display()));
            }
        }
    }
    let listed = links(&read(&book.join("SUMMARY.md"))?);
    for page in pages(&book)? {
        if name(&page) != "SUMMARY.md" && !listed.iter().any(|link| link == name(&page)) {
            broken.push(format!("SUMMARY.md: does not list `{}`", name(&page)));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}
