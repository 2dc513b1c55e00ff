//! The MLP engine: many small fully connected networks trained side by side, one per core.
//!
//! No files, no terminal, no experiments. Start with [`architecture`]; the slow, obvious f64 version every kernel is
//! checked against is [`reference`].

pub mod architecture;
pub mod reference;

pub use architecture::{Activation, Architecture, Biases, LayerShape};
