//! The command line of `undertone pretrain-tiny`, exactly as typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::PrecisionName;

/// Named sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TinyPresetName {
    /// About 0.1 million weights, in seconds
    Smoke,
    /// About 2 million weights, in minutes
    Default,
}

/// Flags of `pretrain-tiny`; without a flag the preset's value holds.
#[derive(Debug, Clone, Args)]
pub struct PretrainTinyArgs {
    /// Seed of initial weights and the order of documents: another one makes a foreign base
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Settings to start from; flags below override them
    #[arg(long, value_enum, default_value_t = TinyPresetName::Default)]
    pub preset: TinyPresetName,

    /// Width of the residual stream
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub width: Option<usize>,
    /// Number of blocks
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub layers: Option<usize>,
    /// Heads, each width / heads wide
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub heads: Option<usize>,
    /// Width inside the feed-forward block
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub ffn_width: Option<usize>,
    /// Longest text, in tokens
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub context: Option<usize>,

    /// Seed of the corpus: bases to be compared read the same
    #[arg(long, value_name = "S", default_value_t = 0, help_heading = "Corpus")]
    pub corpus_seed: u64,
    /// Documents of the corpus
    #[arg(long, value_name = "N", help_heading = "Corpus")]
    pub documents: Option<u32>,

    /// Optimiser steps
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub steps: Option<u64>,
    /// Documents of an optimiser step
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub batch: Option<u32>,
    /// Largest learning rate
    #[arg(long, value_name = "X", help_heading = "Training")]
    pub learning_rate: Option<f64>,
    /// Steps over which the learning rate rises from 0
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub warmup: Option<u64>,
    /// Weight decay of matrices
    #[arg(long, value_name = "X", help_heading = "Training")]
    pub weight_decay: Option<f64>,
    /// Number format of products; bf16 needs a processor that has it
    #[arg(long, value_enum, default_value_t = PrecisionName::F32, help_heading = "Training")]
    pub precision: PrecisionName,

    /// Folder to write: a Hugging Face model
    #[arg(short, long, value_name = "DIR", help_heading = "Run")]
    pub output: Option<PathBuf>,
    /// Seconds between two states kept for going on after an interruption; 0 keeps every step's
    #[arg(long, value_name = "SECS", default_value_t = 60, help_heading = "Run")]
    pub keep_every: u64,
    /// MiB of activations that a thread may keep for the backward pass; what does not fit is computed again
    #[arg(long, value_name = "MIB", default_value_t = 1024, help_heading = "Run")]
    pub kept_memory: usize,
    /// Say tokens, time and memory, from a short calibration, and stop
    #[arg(long, visible_alias = "plan", help_heading = "Run")]
    pub dry_run: bool,
}
