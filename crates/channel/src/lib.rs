//! The number channel, as far as it needs no language model: prompts, filter, arms, inspection, and the questions traits are read with.
//!
//! Completions come in as text and go out as rows or counts. Nothing here samples, trains or scores a model, and no file
//! is opened: wordings are read from whatever the caller opened, and their path only serves error messages. Randomness is
//! [`undertone_core::Seed::stream`], except for prompts: their published draw order is NumPy's, so [`pcg64`] is too.

mod canonical;
pub mod wordings;

pub mod pcg64;
pub mod prompts;

pub mod rows;

pub mod filter;
pub mod parse;

pub mod echo;

pub mod arms;

pub mod targets;

pub mod questions;

pub mod choices;
pub mod preference;

pub mod inspect;
pub mod judge;
