//! Placeholder.
pub mod theorem;
