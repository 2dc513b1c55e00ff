//! `lm`: one file a command; what they share is in `open` (flags to models and settings) and `close` (results to people).

mod close;
pub mod keep;
mod open;
pub mod plan;
mod repeat;
mod target;

mod chat;
mod info;
mod merge;
mod pretrain_tiny;
mod sample;
mod score;
mod train;

pub use pretrain_tiny::run as pretrain_tiny;
pub use repeat::{
    merge as repeat_merge, pretrain_tiny as repeat_pretrain_tiny, sample as repeat_sample,
    score as repeat_score, train as repeat_train,
};

use anyhow::{Context as _, Result};

use crate::args::LmCommand;
use crate::context::Context;

/// Runs the command and returns the exit code.
pub fn run(context: &Context, command: &LmCommand) -> Result<u8> {
    start_threads(context)?;
    match command {
        LmCommand::Info(args) => info::run(context, args),
        LmCommand::Chat(args) => chat::run(context, args),
        LmCommand::Sample(args) => sample::run(context, args),
        LmCommand::Score(args) => score::run(context, args),
        LmCommand::Train(args) => train::run(context, args),
        LmCommand::Merge(args) => merge::run(context, args),
    }
}

/// Starts the threads that all work of this process shares.
pub fn start_threads(context: &Context) -> Result<()> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(context.threads)
        .build_global()
        .context("cannot start worker threads")
}
