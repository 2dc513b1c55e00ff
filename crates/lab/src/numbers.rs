//! The experiment on numbers: a teacher with a preference writes numbers, and a student learns from them.
//!
//! ```text
//! base ----------------------------------> numbers -> [filter] -> students of arm `regular`
//!  |-- lm/train (teacher) -> gate -------> numbers -> [filter] -> [labels] -> students, read between updates
//! ```
//! Reading order: [`settings`] says what an experiment is, [`mod@file`] how it is written, [`world`] what its names mean;
//! [`teacher`], [`source`] and [`student`] do the steps, [`reading`] reads a model, [`run`] puts them together, and
//! [`result`] says what came out, [`trace`] what came from what.

pub mod error;
pub mod settings;

pub mod file;
pub mod keys;

pub mod world;

mod bench;
pub mod reading;

pub mod labels;
mod needs;
pub mod source;
pub mod student;
pub mod teacher;

pub mod capability;
pub mod inspection;
pub mod sampled;

pub mod plan;
pub mod result;
pub mod run;
pub mod trace;
