//! Flags of experiments that are described in a file.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Expect;

#[derive(Debug, Clone, Args)]
pub struct RunFileArgs {
    /// File that describes the experiment
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Turn the verdict into the exit code
    #[arg(long, value_enum, help_heading = "Verdict")]
    pub expect: Option<Expect>,
    /// Say what would be computed, from a short calibration, and stop
    #[arg(long, visible_alias = "plan", help_heading = "Run")]
    pub dry_run: bool,
    #[command(flatten)]
    pub means: TrainingMeans,
}

#[derive(Debug, Clone, Args)]
pub struct PlanFileArgs {
    /// File that describes the experiment
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Leave the calibration out: steps, rows and tokens without time
    #[arg(long)]
    pub no_calibration: bool,
    #[command(flatten)]
    pub means: TrainingMeans,
}

/// What training needs and what decides nothing.
#[derive(Debug, Clone, Copy, Args)]
pub struct TrainingMeans {
    /// Seconds between two states kept for going on after an interruption; 0 keeps every step's
    #[arg(long, value_name = "SECS", default_value_t = 120, help_heading = "Run")]
    pub keep_every: u64,
    /// MiB of activations that a thread may keep for the backward pass; what does not fit is computed again
    #[arg(long, value_name = "MIB", default_value_t = 1024, help_heading = "Run")]
    pub kept_memory: usize,
}

#[derive(Debug, Clone, Args)]
pub struct NewArgs {
    #[command(subcommand)]
    pub what: NewWhat,
}

#[derive(Debug, Clone, Subcommand)]
pub enum NewWhat {
    /// An experiment on numbers
    #[command(after_help = "Example:\n  undertone new numbers -o owl.toml")]
    Numbers {
        /// File to write [default: stdout]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// The experiment's name
        #[arg(long, value_name = "NAME", default_value = "numbers")]
        name: String,
    },
}

#[derive(Debug, Clone, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    pub what: ConfigWhat,
}

#[derive(Debug, Clone, Subcommand)]
pub enum ConfigWhat {
    /// Print every resolved value and where it came from
    #[command(after_help = "Example:\n  undertone config explain owl.toml")]
    Explain {
        /// File that describes the experiment
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}
