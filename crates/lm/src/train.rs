//! Training: an adapter or the model itself, step by step, the same bits at any number of threads.
//!
//! A step's rows are cut into groups of whole sequences by their lengths alone. Threads take the groups in order; each goes
//! forward and backward through all blocks by itself. Gradients of a block are summed in the order of the groups
//! (`ticket`), so nothing depends on who was faster. A step takes any number of rows in the same memory, so
//! gradient accumulation needs no setting of its own: it is a larger batch.
//!
//! Knows no files and no text: rows are tokens ([`crate::examples`]).

mod backward;
mod gradients;
mod group;
mod ticket;
mod trainer;
mod weights;

pub use trainer::{Guide, StepReport, TrainError, TrainSettings, Trainer, TrainerState};
pub use weights::FullWeights;

#[cfg(test)]
mod tests;
