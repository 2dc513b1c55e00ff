//! `cargo xtask check`: every check in one command, the cheapest first, so that a slip is told in seconds.
//!
//! The tests come last and their runner's own closing line ends the output. A tool that is not installed is told and its
//! step skipped; with `CI=true` it is an error, so that nothing goes unchecked unnoticed.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{generate, tidy, tools};

/// Options of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Write the generated files instead of comparing them
    #[arg(long)]
    fix_gen: bool,
    /// Go on after a failure and list all failures at the end
    #[arg(long)]
    keep_going: bool,
}

/// One check.
struct Step {
    name: &'static str,
    /// How to ask for the tool, and how to get it.
    needs: Option<Tool>,
    work: Box<dyn Fn() -> Result<()>>,
}

struct Tool {
    version: &'static str,
    install: &'static str,
}

impl Tool {
    fn is_here(&self) -> bool {
        let words: Vec<&str> = self.version.split(' ').collect();
        tools::exists(words[0], &words[1..])
    }
}

fn step(name: &'static str, work: impl Fn() -> Result<()> + 'static) -> Step {
    Step {
        name,
        needs: None,
        work: Box::new(work),
    }
}

fn cargo(name: &'static str, arguments: &'static str) -> Step {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    step(name, move || tools::run(&mut tools::cargo(&arguments)))
}

/// A step of cargo on every crate with every feature: the same compiled crates for all such steps.
fn everything(name: &'static str, arguments: &'static [&'static str]) -> Step {
    step(name, move || {
        tools::run(tools::cargo(arguments).args(["--workspace", "--all-features"]))
    })
}

/// A benchmark in small, by this very program with its engines linked in.
fn smoke(name: &'static str, benchmark: &'static str) -> Step {
    step(name, move || {
        let program = tools::build_program("xtask")?;
        let program = program.to_str().context("the path is not UTF-8")?;
        tools::run(&mut tools::command(
            program,
            &["bench", benchmark, "--smoke"],
        ))
    })
}

impl Step {
    fn needing(self, version: &'static str, install: &'static str) -> Self {
        Self {
            needs: Some(Tool { version, install }),
            ..self
        }
    }
}

/// Runs every check.
///
/// # Errors
/// The first failure; with `--keep-going` all of them. With `CI=true` also if a tool is missing.
pub fn run(args: &CheckArgs) -> Result<()> {
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    let steps = steps(args.fix_gen);
    let started = Instant::now();
    let (mut passed, mut failed, mut skipped) = (0, Vec::new(), Vec::new());
    for (at, step) in steps.iter().enumerate() {
        if at + 1 == steps.len() {
            summarise(passed, &failed, &skipped, started);
        }
        if let Some(tool) = step.needs.as_ref().filter(|tool| !tool.is_here()) {
            eprintln!(
                "check: {} skipped, not installed: {}",
                step.name, tool.install
            );
            skipped.push(step.name);
            if ci {
                failed.push(format!("{}: not installed: {}", step.name, tool.install));
            }
        } else {
            eprintln!("check: {}", step.name);
            let clock = Instant::now();
            match (step.work)() {
                Ok(()) => {
                    passed += 1;
                    // Nothing after the tests: their runner has the last word.
                    if at + 1 < steps.len() {
                        eprintln!(
                            "check: {} took {:.1} s",
                            step.name,
                            clock.elapsed().as_secs_f64()
                        );
                    }
                }
                Err(error) => failed.push(format!("{}: {error:#}", step.name)),
            }
        }
        if !failed.is_empty() && !args.keep_going {
            break;
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!(
        "{} of {} checks failed\n  {}",
        failed.len(),
        steps.len(),
        failed.join("\n  ")
    );
}

/// Says how far it is, before the last step: what comes last on the screen is the test runner's line.
fn summarise(passed: usize, failed: &[String], skipped: &[&str], started: Instant) {
    let skipped = match skipped {
        [] => String::new(),
        names => format!(", skipped {}", names.join(", ")),
    };
    eprintln!(
        "check: {passed} passed, {} failed{skipped} in {:.0} s; the tests are left",
        failed.len(),
        started.elapsed().as_secs_f64(),
    );
}

fn steps(fix_gen: bool) -> Vec<Step> {
    let mut steps = vec![
        cargo("fmt", "fmt --all --check"),
        step("tidy", tidy::run),
        // Without `advisories`: their database is a git repository that CI cannot reach.
        cargo("deny", "deny check bans licenses sources")
            .needing("cargo deny --version", "cargo install cargo-deny --locked"),
        step("clippy", || {
            let mut clippy = tools::cargo(&["clippy"]);
            tools::run(
                clippy
                    .args(tools::EVERYTHING)
                    .args(["--", "-D", "warnings"]),
            )
        }),
        step("doc", || {
            let mut doc = tools::cargo(&["doc", "--workspace", "--no-deps", "--quiet"]);
            tools::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
        }),
        step("gen", move || {
            generate::run(&generate::GenArgs { check: !fix_gen })
        }),
        smoke("bench mlp", "mlp"),
        smoke("bench lm", "lm"),
        smoke("bench lineage", "lineage"),
        everything("doc tests", &["test", "--doc", "--quiet"]),
    ];
    if tools::root().join("docs/book.toml").exists() {
        let book = step("book", || {
            let built = tools::target().join("book");
            tools::run(tools::command("mdbook", &["build", "docs", "--dest-dir"]).arg(built))
        });
        steps.push(book.needing("mdbook --version", "cargo install mdbook --locked"));
    }
    // With every feature: the benchmark has tests too.
    steps.push(if tools::exists("cargo", &["nextest", "--version"]) {
        everything("tests", &["nextest", "run", "--all-targets"])
    } else {
        everything("tests", &["test", "--all-targets"])
    });
    steps
}
