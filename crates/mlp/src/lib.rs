//! The MLP engine: many small fully connected networks trained side by side, one per core.
//!
//! No files, no terminal, no experiments. Start with [`architecture`], then [`trainer`]: a [`Trainer`] is one thread's
//! engine, it takes a batch of [`Inputs`] and steps [`Model`]s through it. The slow, obvious f64 version every kernel is
//! checked against is [`mod@reference`].

mod lane;

pub mod architecture;
pub mod weights;

pub mod inputs;
pub mod loss;
pub mod optimiser;

mod kernel;
pub mod model;
mod workspace;

pub mod trainer;

pub mod reference;

pub use architecture::{Activation, Architecture, Biases, LayerShape};
pub use inputs::{Inputs, NoiseLaw};
pub use loss::{Loss, LossKind, Reduction};
pub use model::Model;
pub use optimiser::Optimiser;
pub use trainer::{Target, Trainer};
pub use undertone_simd::{InstructionSet, Precision, UnsupportedError};
pub use weights::Weights;
