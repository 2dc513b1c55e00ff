//! The language-model engine: loads, samples from, scores and trains decoder models on the CPU.
//!
//! Start with [`config`]: a [`ModelConfig`] is all the arithmetic depends on. A [`Checkpoint`] opens files and gives
//! weights.

pub mod config;

pub mod checkpoint;
pub mod generation;
pub mod gguf;
pub mod hf;
mod mapped;
pub mod source;

pub mod tokenizer;

pub mod chat;

pub mod grammar;

pub mod text;

pub use checkpoint::{Checkpoint, ReadTensorError};
pub use config::{Family, ModelConfig, Part, Tensor};
pub use new_folder::{WriteFolderError, WriteFolderErrorKind};

pub mod examples;
pub mod loss;

pub mod lora;
pub mod merge;
mod new_folder;
pub mod peft;

pub mod initial;
pub mod made;

pub mod optimiser;
pub mod schedule;

pub mod reference;

pub mod adapter;
mod forward;
pub mod model;

pub mod sample;
pub mod score;

pub mod train;

#[cfg(test)]
mod fixture;

mod cache;
mod kernel;
mod matrix;
