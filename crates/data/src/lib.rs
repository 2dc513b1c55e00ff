//! Brings labelled images and questions to the experiments: readers that treat files as hostile, the embedded digits, and
//! fetching of the named datasets, questions and language models with pinned digests.
//!
//! Start with [`images`], what a dataset is once it is in memory; then [`source`], which opens one; then [`fetch`], the
//! only module that touches the network. What is in a model's file is none
//! of its business. Knows no run folders and no terminal.

pub mod benchmark;
pub mod bounded;
pub mod csv;
pub mod dataset;
pub mod digits;
pub mod endings;
pub mod fault;
pub mod fetch;
mod folder;
pub mod hub;
pub mod idx;
pub mod images;
pub mod item;
pub mod model;
pub mod source;

pub use benchmark::Benchmark;
pub use dataset::Dataset;
pub use digits::digits;
pub use fault::Fault;
pub use images::{ImageData, ImageSet};
pub use item::Item;
pub use model::Model;
pub use source::{DataSource, OpenDataError, open};
