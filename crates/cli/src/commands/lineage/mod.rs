//! `lineage`: one file a kind of question. `place` turns words into things of the graph.

mod place;

mod ask;
mod draw;

mod add;
mod export;
mod import;

mod sign;
mod verify;

use anyhow::Result;

use crate::args::LineageCommand;
use crate::context::Context;

pub use place::Place;

/// Runs the command and returns the exit code.
pub fn run(context: &Context, command: &LineageCommand) -> Result<u8> {
    match command {
        LineageCommand::Show(args) => ask::show(context, args),
        LineageCommand::Graph(args) => draw::run(context, args),
        LineageCommand::Ancestors(args) => ask::ancestors(context, args),
        LineageCommand::Descendants(args) => ask::descendants(context, args),
        LineageCommand::Why(args) => ask::why(context, args),
        LineageCommand::Exposed(args) => ask::exposed(context, args),
        LineageCommand::Shares(args) => ask::shares(context, args),
        LineageCommand::Common(args) => ask::common(context, args),
        LineageCommand::Add { what } => add::run(context, what),
        LineageCommand::Import(args) => import::run(context, args),
        LineageCommand::Export(args) => export::run(context, args),
        LineageCommand::Merge(args) => import::merge(context, args),
        LineageCommand::Keygen(args) => sign::keygen(context, args),
        LineageCommand::Sign(args) => sign::run(context, args),
        LineageCommand::Verify(args) => verify::run(context, args),
    }
}
