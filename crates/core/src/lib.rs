//! The vocabulary every other crate shares: digests, seeds and streams, exit codes.
//!
//! No input or output, no models, no statistics. Start with [`seed`], which decides how every random number in the
//! project comes about, then [`digest`], which names every byte string we keep.

pub mod digest;
pub mod exit;
pub mod seed;

pub use digest::{Digest, Sha256Digest};
pub use seed::{Seed, Stream};
