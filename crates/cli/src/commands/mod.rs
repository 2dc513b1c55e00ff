//! One file a command. Each resolves its flags, does its work through the libraries and returns an exit code.

mod ablate;
mod again;
mod align;
mod compare;
mod doctor;
mod experiment;
mod fetch;
mod gate;
mod kinship;
mod lineage;
mod lm;
mod mnist;
mod numbers;
mod report;
mod runs;
mod schema;
mod theorem;
mod work;

pub use ablate::{PointResult, SweepResult};
pub use again::{repeat, repeat_align, repeat_sweep};
pub use lm::{repeat_merge, repeat_pretrain_tiny, repeat_sample, repeat_score, repeat_train};
pub use theorem::holds as theorem_holds;
pub use work::Recipe as WorkRecipe;

use anyhow::Result;

use crate::args::{Cli, Command};
use crate::context::Context;

/// Runs the command and returns the exit code.
pub fn run(cli: Cli) -> Result<u8> {
    let context = Context::new(cli.global)?;
    match cli.command {
        Command::Demo(args) => mnist::demo(&context, &args),
        Command::Mnist(args) => mnist::mnist(&context, &args),
        Command::Ablate(args) => ablate::run(&context, &args),
        Command::Theorem(args) => theorem::run(&context, &args),
        Command::Align(args) => align::run(&context, &args),
        Command::Run(args) => numbers::run_file(&context, &args),
        Command::Plan(args) => numbers::plan_file(&context, &args),
        Command::New(args) => numbers::new(&context, &args),
        Command::Config(args) => numbers::config(&context, &args),
        Command::Lm { command } => lm::run(&context, &command),
        Command::Gate(args) => gate::run(&context, &args),
        Command::Kinship(args) => kinship::run(&context, &args),
        Command::Lineage { command } => lineage::run(&context, &command),
        Command::PretrainTiny(args) => lm::pretrain_tiny(&context, &args),
        Command::Runs => runs::list(&context),
        Command::Show(args) => runs::show(&context, &args),
        Command::Report(args) => report::run(&context, &args),
        Command::Compare(args) => compare::run(&context, &args),
        Command::Fetch(args) => fetch::run(&context, &args),
        Command::Doctor(args) => doctor::run(&context, &args),
        Command::Schema(args) => schema::run(&context, &args),
    }
}
