//! Language models at work: sampling, scoring, training and merging, tied to files of rows and to the store.
//!
//! The engine (`undertone_lm`) knows tokens, the store knows bytes; here texts become tokens, and work becomes steps that
//! are never done twice. Reading order: [`rows`] is the one format that goes in and out, [`speech`] turns its texts into
//! tokens, [`subject`] is a model with all that belongs to it; then [`sample`], [`score`], [`train`] and [`merge`], each a
//! step; [`memory`] estimates before anything is loaded.

pub mod error;
pub mod rows;

pub mod speech;
pub mod subject;

mod step;

pub mod sample;
pub mod score;

pub mod train;

pub mod merge;

pub mod tiny;

pub mod info;
pub mod memory;

pub use error::LmError;
pub use rows::{Row, RowFile};
pub use speech::{Prompting, Speech};
pub use step::LmBench;
pub use subject::{Named, Subject};
