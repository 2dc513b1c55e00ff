//! A decoder small enough to be trained from scratch in a minute, so that an experiment can choose its initial weights.
//!
//! ```text
//! TinySettings --corpus--> rows --TrainJob (every weight)--> lm/train record --> Subject, in memory or as a folder
//!              \-initial weights-/
//! ```
//! Two seeds give two bases that know the same and share no weight: what the arm with a foreign initialisation needs. A
//! base is a step like any other, named by its corpus, its shape and its seed; no folder is written unless it is asked
//! for. Reading order: [`settings`], [`corpus`] (what it reads), [`vocabulary`] (how it reads), [`base`] (the step),
//! [`clone`] (a base made to behave like another), [`shelf`] (both by name, for experiments in files).

pub mod settings;

pub mod corpus;
pub mod grammar;
pub mod vocabulary;

pub mod base;
pub mod clone;
pub mod shelf;

pub use base::{TinyBase, TinyResult};
pub use settings::{CorpusSettings, TinyPreset, TinySettings, TinyShape, TinyTraining};
pub use shelf::{TinyName, TinyShelf};

#[cfg(test)]
mod tests;
