//! The language-model engine: loads, samples from, scores and trains decoder models on the CPU.
//!
//! Start with [`config`]: a [`ModelConfig`] is all the arithmetic depends on. A [`Checkpoint`] opens files and gives
//! weights.

pub mod config;

pub mod checkpoint;

pub use checkpoint::{Checkpoint, ReadTensorError};
pub use config::{Family, ModelConfig, Part, Tensor};
