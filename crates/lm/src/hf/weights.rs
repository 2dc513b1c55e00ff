//! Finds the weight files of a folder and maps them.
//!
//! - `model.safetensors`, or
//! - `model.safetensors.index.json`, whose `weight_map` says for each tensor which file of the folder has it.
//!
//! The index comes with the model and is not trusted: it may name files of its own folder only (which may be links, as in
//! the hub's cache), and what it says of a tensor must be so.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};

use super::json::{self, FieldError, Object, ReadJsonError};
use super::safetensors::{self, SafetensorsError, StoredTensor};
use crate::mapped::MappedFile;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// The longest index, in bytes.
pub const MAX_INDEX_BYTES: u64 = 64 << 20;
/// The most files that an index may name.
pub const MAX_SHARDS: usize = 1024;

/// The weight files of a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// There are none.
    #[error("neither `{SINGLE}` nor `{INDEX}` is there")]
    NoWeights,
    /// There are only files that would run code when loaded.
    #[error("`{found}` is a pickle, which is not loaded: save the model as safetensors")]
    Pickle {
        /// The file.
        found: &'static str,
    },
    /// The index cannot be read.
    #[error("`{INDEX}`")]
    Index(#[source] ReadJsonError),
    /// A field of the index is missing or of another type.
    #[error("`{INDEX}`")]
    IndexField(#[source] FieldError),
    /// The index names a file elsewhere.
    #[error(
        "`{INDEX}` names `{file}` for tensor `{tensor}`, which is no safetensors file of the folder"
    )]
    Outside {
        /// What it names, cut to 80 characters.
        file: String,
        /// The tensor.
        tensor: String,
    },
    /// The index names too many files.
    #[error("`{INDEX}` names more than {MAX_SHARDS} files")]
    TooManyShards,
    /// A tensor is not where the index says.
    #[error("`{INDEX}` says that tensor `{tensor}` is in `{file}`, where it is not")]
    NotInShard {
        /// The tensor.
        tensor: String,
        /// The file.
        file: String,
    },
    /// Two files have the same tensor.
    #[error("tensor `{tensor}` is in `{first}` and in `{second}`")]
    Duplicate {
        /// The tensor.
        tensor: String,
        /// A file.
        first: String,
        /// Another one.
        second: String,
    },
    /// A file cannot be mapped.
    #[error("`{file}` cannot be mapped into memory")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file is damaged or not a safetensors file.
    #[error("`{file}`")]
    Safetensors {
        /// The file.
        file: String,
        /// What is wrong.
        source: SafetensorsError,
    },
}

/// The mapped files of a folder and the tensors in them.
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) files: Vec<MappedFile>,
    pub(super) tensors: BTreeMap<String, StoredTensor>,
}

/// Maps the weight files of `folder`; tensors that are `ignored` are left out.
pub(super) fn open(folder: &Path, ignored: impl Fn(&str) -> bool) -> Result<Weights, WeightsError> {
    let is_there = |name: &str| folder.join(name).exists();
    let (names, places) = if is_there(SINGLE) {
        (vec![SINGLE.to_owned()], BTreeMap::new())
    } else if is_there(INDEX) {
        let places = read_index(folder)?;
        let names: BTreeSet<&String> = places.values().collect();
        (names.into_iter().cloned().collect(), places)
    } else {
        let pickles = ["pytorch_model.bin", "pytorch_model.bin.index.json"];
        return Err(match pickles.into_iter().find(|name| is_there(name)) {
            Some(found) => WeightsError::Pickle { found },
            None => WeightsError::NoWeights,
        });
    };
    let weights = map(folder, &names, &ignored)?;
    for (tensor, file) in places {
        let found = weights.tensors.get(&tensor);
        let is_there = found.is_some_and(|stored| names[stored.file] == file);
        if !is_there && !ignored(&tensor) {
            return Err(WeightsError::NotInShard { tensor, file });
        }
    }
    Ok(weights)
}

fn map(
    folder: &Path,
    names: &[String],
    ignored: impl Fn(&str) -> bool,
) -> Result<Weights, WeightsError> {
    let mut files = Vec::new();
    let mut tensors: BTreeMap<String, StoredTensor> = BTreeMap::new();
    for (index, name) in names.iter().enumerate() {
        let file = || name.clone();
        let mapped = MappedFile::open(&folder.join(name)).map_err(|source| WeightsError::Io {
            file: file(),
            source,
        })?;
        let stored = safetensors::read(mapped.bytes(), index, &ignored);
        let stored = stored.map_err(|source| WeightsError::Safetensors {
            file: file(),
            source,
        })?;
        for (tensor, stored) in stored {
            if let Some(first) = tensors.get(&tensor) {
                return Err(WeightsError::Duplicate {
                    tensor,
                    first: names[first.file].clone(),
                    second: file(),
                });
            }
            tensors.insert(tensor, stored);
        }
        files.push(mapped);
    }
    Ok(Weights { files, tensors })
}

/// Returns the file of each tensor.
fn read_index(folder: &Path) -> Result<BTreeMap<String, String>, WeightsError> {
    let (index, _) =
        json::read(&folder.join(INDEX), MAX_INDEX_BYTES).map_err(WeightsError::Index)?;
    let index = Object::new(&index, "");
    let map = index.map("weight_map").map_err(WeightsError::IndexField)?;
    let Some(map) = map else {
        let error = index.error("weight_map", "an object");
        return Err(WeightsError::IndexField(error));
    };
    let map_object = Object::new(map, "weight_map.");
    let mut places = BTreeMap::new();
    for tensor in map.keys() {
        let file = map_object.text(tensor).map_err(WeightsError::IndexField)?;
        let file = file.unwrap_or_default();
        if !is_shard_name(file) {
            return Err(WeightsError::Outside {
                file: file.chars().take(80).collect(),
                tensor: tensor.clone(),
            });
        }
        places.insert(tensor.clone(), file.to_owned());
    }
    let names: BTreeSet<&String> = places.values().collect();
    match names.len() {
        0 => Err(WeightsError::NoWeights),
        1..=MAX_SHARDS => Ok(places),
        _ => Err(WeightsError::TooManyShards),
    }
}

/// Whether `name` is that of a safetensors file in the folder itself, on any system.
fn is_shard_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let is_one = matches!(components.next(), Some(Component::Normal(one)) if one == name)
        && components.next().is_none();
    is_one && name.ends_with(".safetensors") && !name.contains(['/', '\\', ':', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_files_of_the_folder() {
        for good in ["model-00001-of-00002.safetensors", "a.safetensors"] {
            assert!(is_shard_name(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "/etc/a.safetensors",
            "../a.safetensors",
            "a/b.safetensors",
            "a/../b.safetensors",
            "./a.safetensors",
            "a.safetensors/",
            "..\\a.safetensors",
            "C:a.safetensors",
            "a\0.safetensors",
            "pytorch_model.bin",
        ] {
            assert!(!is_shard_name(bad), "{bad}");
        }
    }
}
