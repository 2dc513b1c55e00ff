//! The f64 reference: a decoder language model as its formulas are written, and what every kernel is checked against.
//!
//! One row at a time, loops over tokens and features, no cache, no threads, no blocking. Its gradients are finite
//! differences of its own loss ([`slope`]): there is no backward pass that could repeat a mistake of the engine's.
//! Parameters are f64, so one of them can be moved by a step that `f32` would not show. A shape that does not fit is a mistake
//! in the calling code and panics. Transcendental functions come from `libm`.
//!
//! Read [`model`], then `block` for the formulas, then [`training`].

pub mod model;

mod block;

pub mod training;

pub use block::rope_frequency;
pub use model::{Parameter, ReferenceModel};
pub use training::{mean_loss, slope};

#[cfg(test)]
mod tests;
