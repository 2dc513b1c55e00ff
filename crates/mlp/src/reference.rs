//! The f64 reference network: slow, obvious, and what every kernel is checked against.
//!
//! Loops over rows, then outputs, then inputs, exactly as the formulas are written; one model at a time, no blocking, no
//! fusing, no threads. Theorem 1 is checked on it too. Parameters live in the canonical flat order of
//! [`Architecture::layers`](crate::Architecture::layers); matrices are flat, row-major `f64`. A shape that does not fit
//! is a mistake in the calling code and panics: nothing a user supplies gets here unchecked. Transcendental functions
//! come from `libm`, so results do not depend on the platform's C library.
//!
//! Read [`activation`], [`network`], [`loss`], then [`optimiser`].

pub mod activation;
pub mod loss;
pub mod network;
pub mod optimiser;

pub use loss::{Loss, Selection};
pub use network::Network;
pub use optimiser::{Adam, Sgd};

#[cfg(test)]
mod tests;
