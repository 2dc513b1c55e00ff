//! The experiments: what is trained on what, in which arms, and how the numbers are read.
//!
//! Engines and store are used, never reimplemented; no terminal and no report here. Reading order: [`settings`] says what
//! an experiment is, [`training`] does the work of one cell, [`steps`] makes it resumable, [`outcome`] reads the result,
//! [`sweep`] varies one axis. [`theorem`] checks Theorem 1 in f64 and needs none of the others. [`lm`] is the work with
//! language models, step by step; [`numbers`] makes an experiment of it. [`behaviour`] compares what models say.

pub mod settings;

pub mod control;
pub mod error;
pub mod training;
pub mod weights_file;

pub mod pool;
pub mod steps;

pub mod outcome;
pub mod published;

pub mod search;
pub mod sweep;

pub mod align;
pub mod theorem;

pub mod lm;

pub mod numbers;

pub mod behaviour;

#[cfg(test)]
mod fixture;

pub use control::{Control, Interrupted, News};
pub use error::LabError;
pub use outcome::{ConditionResult, ExperimentResult, VerdictRule};
pub use settings::{Condition, MlpSettings};
