//! A model's files, opened: its configuration and, tensor by tensor, its weights as `f32`.
//!
//! The seam between file formats and engine: `gguf` and `hf` implement [`Checkpoint`], `model` packs what it gives.

mod inventory;

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::config::{ModelConfig, Tensor};

pub use inventory::InventoryError;
pub(crate) use inventory::{Entry, match_tensors};

/// An opened model: configuration and weights.
///
/// Weights come as the engine wants them, whatever the file holds: `[out, in]` row-major, q and k rows in rotate-half
/// order (un-permuted where GGUF permutes), norm weights as plain factors (Gemma's safetensors store factor - 1).
pub trait Checkpoint: Send + Sync {
    /// Returns the configuration, checked: every tensor it implies is in the file with the right shape.
    fn config(&self) -> &ModelConfig;

    /// Writes rows `rows` of `tensor` to `out`, dequantised.
    ///
    /// # Shapes
    /// - `out`: `[rows.len(), columns]`, row-major
    ///
    /// # Errors
    /// [`ReadTensorError`] if a value is not finite.
    ///
    /// # Panics
    /// If the configuration does not imply `tensor`, or `rows` or `out` do not fit its shape.
    fn read_rows(
        &self,
        tensor: Tensor,
        rows: Range<usize>,
        out: &mut [f32],
    ) -> Result<(), ReadTensorError>;

    /// Returns the name that `tensor` has in the file, for messages.
    fn file_name_of(&self, tensor: Tensor) -> String;

    /// Writes the whole of `tensor` to a new vector.
    ///
    /// # Errors
    /// As [`Checkpoint::read_rows`].
    fn read(&self, tensor: Tensor) -> Result<Vec<f32>, ReadTensorError> {
        let (rows, columns) = self.config().shape(tensor);
        let mut out = vec![0.0; rows * columns];
        self.read_rows(tensor, 0..rows, &mut out)?;
        Ok(out)
    }
}

/// A weight cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tensor `{tensor}`{}: value {index} is not a finite number", of_file(.file.as_deref()))]
pub struct ReadTensorError {
    /// The file, where the tensor is one of a file.
    pub file: Option<PathBuf>,
    /// Its name in the file.
    pub tensor: String,
    /// Index of the value in the tensor, row-major.
    pub index: usize,
}

impl ReadTensorError {
    /// Says which file it is about.
    pub(crate) fn in_file(self, file: &Path) -> Self {
        Self {
            file: Some(file.to_owned()),
            ..self
        }
    }
}

fn of_file(file: Option<&Path>) -> String {
    file.map_or_else(String::new, |file| format!(" of `{}`", file.display()))
}
