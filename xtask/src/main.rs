//! `cargo xtask`: everything the project does to itself. `check` is what CI runs.
//!
//! One file a command; `tools.rs` starts other programs. Nothing here is part of the product.
#![expect(
    clippy::print_stderr,
    reason = "a tool for the terminal: it talks on stderr"
)]

mod check;
mod tools;

mod generate;
mod tidy;

mod bench;
mod endurance;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Check, generate and measure Undertone itself
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every check, the cheapest first; CI runs nothing else
    Check(check::CheckArgs),
    /// Check what the compiler does not: crate map, module docs, file sizes, forbidden words
    Tidy,
    /// Write the generated files: JSON Schemas and help texts
    Gen(generate::GenArgs),
    /// Measure speed against a peer on this machine
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Feed the readers hostile files for longer than the tests do
    Fuzz(endurance::FuzzArgs),
    /// Kill the program at random moments for longer than the tests do
    Kill(endurance::KillArgs),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Check(args) => check::run(&args),
        Command::Tidy => tidy::run(),
        Command::Gen(args) => generate::run(&args),
        Command::Bench(command) => bench::run(&command),
        Command::Fuzz(args) => endurance::fuzz(&args),
        Command::Kill(args) => endurance::kill(&args),
    }
}
