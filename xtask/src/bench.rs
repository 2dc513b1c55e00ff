//! `cargo xtask bench mlp` and `bench lm`: our engines against others, in one run, in turns; `bench lineage`: our ledger.
//!
//! The engines are linked in by the feature `bench` only; without it the command builds itself again with it, in the
//! release profile. `enabled/` measures, `disabled.rs` starts the other build.

#[cfg(feature = "bench")]
mod enabled;
#[cfg(feature = "bench")]
use enabled as backend;

#[cfg(not(feature = "bench"))]
mod disabled;
#[cfg(not(feature = "bench"))]
use disabled as backend;

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use crate::tools;

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Train the published MLP: ours, PyTorch, and the processor's peak
    Mlp(MlpArgs),
    /// Train, sample and score with a language model: ours, transformers, llama.cpp, and the peak
    Lm(LmArgs),
    /// Append to, load and ask a ledger of the promised size: ours only, nobody else has one
    Lineage(LineageArgs),
}

/// How large a ledger.
#[derive(Debug, Clone, Args)]
pub struct LineageArgs {
    /// A thousand entities, unoptimised: shows that it runs, its numbers mean nothing
    #[arg(long, conflicts_with_all = ["entities", "edges"])]
    pub smoke: bool,
    /// Entities
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(2..=10_000_000))]
    pub entities: u32,
    /// Edges
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub edges: u32,
}

/// How to measure.
#[derive(Debug, Clone, Args)]
pub struct MlpArgs {
    /// Ours and the peak only, a few steps: shows that it runs, its numbers mean nothing
    #[arg(long)]
    pub smoke: bool,
    /// Rounds; each measures everything once
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Threads of each side
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: u16,
    /// Models a thread trains, one after the other, in one measurement of ours
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub models: u32,
    /// Models of the batched peer; distillation holds 188 MB of noise for each, twice
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..))]
    pub peer_models: u32,
    /// Leave the peer out
    #[arg(long)]
    pub no_peer: bool,
    /// Count measurements of a busy machine too, and say so
    #[arg(long)]
    pub busy: bool,
    /// Write all measurements into this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// How to measure a language model.
#[derive(Debug, Clone, Args)]
pub struct LmArgs {
    /// Ours and the peak only, a tiny model and a few tokens: shows that it runs, its numbers mean nothing
    #[arg(long)]
    pub smoke: bool,
    /// The model, a GGUF file; needed unless --smoke
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// Only this task; may be repeated. All of them without it
    #[arg(long = "task", value_enum, value_name = "TASK")]
    pub tasks: Vec<LmTask>,
    /// Rounds; each measures everything once
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Threads of each side
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: u16,
    /// Leave the peers out
    #[arg(long)]
    pub no_peer: bool,
    /// Count measurements of a busy machine too, and say so
    #[arg(long)]
    pub busy: bool,
    /// Write all measurements into this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// A task of the language-model benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LmTask {
    /// Optimiser steps of a LoRA adapter of rank 8 on all seven projections, with AdamW
    Train,
    /// Completions at temperature 1, prompts without anything in common
    Sample,
    /// Log-probabilities of every token but the first
    Score,
}

/// Measures, or starts the build that can.
///
/// # Errors
/// If it does not build, the peer cannot be installed or started, or the machine is not idle.
pub fn run(command: &BenchCommand) -> Result<()> {
    let smoke = match command {
        BenchCommand::Mlp(args) => args.smoke,
        BenchCommand::Lm(args) => args.smoke,
        // It needs no engine, and is started in a build of its own.
        BenchCommand::Lineage(args) => return lineage(args),
    };
    if cfg!(debug_assertions) && !smoke {
        return again(&["--release"]);
    }
    match command {
        BenchCommand::Mlp(args) => backend::mlp(args),
        BenchCommand::Lm(args) => backend::lm(args),
        BenchCommand::Lineage(args) => lineage(args),
    }
}

/// Runs the lineage crate's own example.
fn lineage(args: &LineageArgs) -> Result<()> {
    let mut command = match args.smoke {
        // Built already wherever everything is.
        true => Command::new(tools::build_program("bench")?),
        false => {
            let mut command = tools::cargo(&["run", "--quiet", "--release"]);
            command.args(["--package", "undertone-lineage", "--example", "bench", "--"]);
            command
        }
    };
    let (entities, edges) = match args.smoke {
        true => (1_000, 10_000),
        false => (args.entities, args.edges),
    };
    tools::run(command.args([entities.to_string(), edges.to_string()]))
}

/// Runs the same command in a build with the engine.
fn again(profile: &[&str]) -> Result<()> {
    let mut command = tools::cargo(&[
        "run",
        "--quiet",
        "--package",
        "xtask",
        "--features",
        "bench",
    ]);
    tools::run(
        command
            .args(profile)
            .arg("--")
            .args(std::env::args_os().skip(1)),
    )
}
