//! Matches the tensors that a configuration implies with those that a file has.
//!
//! Both ways: nothing implied may lack or have another shape, and nothing else may be there. A tensor we have no use for
//! means a variant of the model that we would compute wrongly.

use std::collections::BTreeMap;

use crate::config::{Family, ModelConfig, Tensor};

/// A file's tensors are not those of the model it says it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InventoryError {
    /// A tensor is not there.
    #[error("tensor `{tensor}` is missing")]
    Missing {
        /// Its name in the file.
        tensor: String,
    },
    /// A tensor has another shape.
    #[error("tensor `{tensor}` has the shape {found:?}, expected {expected:?}")]
    Shape {
        /// Its name in the file.
        tensor: String,
        /// Its dimensions in the file, rows first.
        found: Vec<usize>,
        /// The dimensions that the configuration implies, rows first.
        expected: Vec<usize>,
    },
    /// There is a tensor that the model has no use for.
    #[error(
        "tensor `{tensor}` has no place in a {} model as it is computed here",
        family.name()
    )]
    Unexpected {
        /// Its name in the file.
        tensor: String,
        /// The family.
        family: Family,
    },
}

/// A file's entry for one tensor.
pub(crate) trait Entry {
    /// Its dimensions, rows first.
    fn shape(&self) -> &[usize];
}

/// Takes each tensor that `config` implies out of `found`; what is left must be `known_unused`.
pub(crate) fn match_tensors<T: Entry>(
    config: &ModelConfig,
    mut found: BTreeMap<String, T>,
    name_of: impl Fn(Tensor) -> String,
    known_unused: impl Fn(&str) -> bool,
) -> Result<BTreeMap<Tensor, T>, InventoryError> {
    let mut matched = BTreeMap::new();
    for tensor in config.tensors() {
        let name = name_of(tensor);
        let Some(entry) = found.remove(&name) else {
            return Err(InventoryError::Missing { tensor: name });
        };
        let expected = match config.shape(tensor) {
            (1, columns) if tensor.is_vector() => vec![columns],
            (rows, columns) => vec![rows, columns],
        };
        if entry.shape() != expected {
            return Err(InventoryError::Shape {
                tensor: name,
                found: entry.shape().to_vec(),
                expected,
            });
        }
        matched.insert(tensor, entry);
    }
    match found.into_keys().find(|name| !known_unused(name)) {
        None => Ok(matched),
        Some(tensor) => Err(InventoryError::Unexpected {
            tensor,
            family: config.family,
        }),
    }
}
