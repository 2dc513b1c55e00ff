//! Adapters as folders that peft reads and writes.
//!
//! - `adapter_config.json`: the shape, parsed by `config`;
//! - `adapter_model.safetensors`: A and B of every projection, under names that `names` knows.
//!
//! An adapter is read only if this crate computes with it what peft would: a setting that changes the arithmetic and is not
//! ours is refused by its name. Files are hostile; nothing is allocated by their word alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::checkpoint::ReadTensorError;
use crate::config::{ModelConfig, Tensor};
use crate::gguf::check_finite;
use crate::hf::SafetensorsError;
use crate::hf::safetensors::{StoredTensor, read as read_header};
use crate::lora::{LoraConfig, LoraConfigError, LoraWeights, Projection};
use crate::mapped::MappedFile;
use crate::new_folder::{NewFolder, WriteFolderError};

mod config;
mod names;

pub use config::AdapterConfigError;
use config::{AdapterConfig, Targets};
use names::{AdapterTensor, Side};

/// The name of the file that holds an adapter's shape.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// The name of the file that holds an adapter's weights.
pub const WEIGHTS_FILE: &str = "adapter_model.safetensors";
/// No adapter's shape needs more.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// An adapter could not be loaded.
#[derive(Debug, thiserror::Error)]
#[error("cannot load adapter `{}`", folder.display())]
pub struct LoadAdapterError {
    /// Its folder.
    pub folder: PathBuf,
    /// Why.
    #[source]
    pub kind: LoadAdapterErrorKind,
}

/// Why an adapter could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadAdapterErrorKind {
    /// A file cannot be read.
    #[error("cannot read `{file}`")]
    Read {
        /// Which of the two.
        file: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The shape cannot be used.
    #[error("`{CONFIG_FILE}`")]
    Config(#[source] AdapterConfigError),
    /// The weights cannot be used.
    #[error("`{WEIGHTS_FILE}`")]
    Weights(#[source] AdapterWeightsError),
}

/// The weights of an adapter cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AdapterWeightsError {
    /// The file is no sound safetensors file, or holds values of another type than `f32`, f16 and bf16.
    #[error("the safetensors header")]
    Header(#[source] SafetensorsError),
    /// A tensor that is no A or B of a projection of this model.
    #[error("tensor `{tensor}` is not an adapter's matrix for this model")]
    Unexpected {
        /// Its name.
        tensor: String,
    },
    /// A tensor of a projection that the shape does not name.
    #[error("tensor `{tensor}` belongs to none of the `target_modules`")]
    NotTargeted {
        /// Its name.
        tensor: String,
    },
    /// Two names for one matrix.
    #[error("tensor `{tensor}` is there under another name too")]
    Repeated {
        /// One of its names.
        tensor: String,
    },
    /// A projection has an adapter in some blocks, or one of two matrices, only.
    #[error("there is no {side} for {} of block {layer}", projection.name())]
    Missing {
        /// The block.
        layer: usize,
        /// The projection.
        projection: Projection,
        /// `lora_A` or `lora_B`.
        side: &'static str,
    },
    /// There are no tensors at all.
    #[error("there are no tensors")]
    Empty,
    /// The shape cannot be used.
    #[error("the shape cannot be used")]
    Config(#[source] LoraConfigError),
    /// A matrix has other dimensions.
    #[error("tensor `{tensor}` has the shape {found:?}, expected {expected:?}")]
    Shape {
        /// Its name.
        tensor: String,
        /// Its dimensions.
        found: Vec<usize>,
        /// Those that configuration and model imply.
        expected: [usize; 2],
    },
    /// A value is infinite or no number.
    #[error(transparent)]
    Value(ReadTensorError),
}

/// Writes `adapter` as a folder that peft loads over the same base, with weights in `f32`.
///
/// `base` is what the configuration gives as the base model's name or path; peft warns if there is none.
///
/// # Errors
/// [`WriteFolderError`]; a folder that holds something is never overwritten.
pub fn save_adapter(
    adapter: &LoraWeights,
    base: Option<&str>,
    folder: &Path,
) -> Result<(), WriteFolderError> {
    let new = NewFolder::create(folder)?;
    new.write(CONFIG_FILE, &config_bytes(adapter, base))?;
    new.write(WEIGHTS_FILE, &weights_bytes(adapter))?;
    new.finish()
}

/// Returns the content of `adapter_config.json`.
pub fn config_bytes(adapter: &LoraWeights, base: Option<&str>) -> Vec<u8> {
    config::to_json(adapter.config(), base)
}

/// Returns the content of `adapter_model.safetensors`. The same weights give the same bytes.
pub fn weights_bytes(adapter: &LoraWeights) -> Vec<u8> {
    let mut tensors = Vec::new();
    for pair in adapter.pairs() {
        let rank = adapter.config().rank;
        let sides = [
            (Side::A, adapter.a(pair), [rank, pair.inputs]),
            (Side::B, adapter.b(pair), [pair.outputs, rank]),
        ];
        for (side, values, shape) in sides {
            let tensor = AdapterTensor {
                layer: pair.layer,
                projection: pair.projection,
                side,
            };
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            tensors.push((tensor.name(), shape, bytes));
        }
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes)
            .expect("four bytes for each value of the shape");
        (name, view)
    });
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    safetensors::serialize(views, Some(metadata)).expect("names are distinct and headers short")
}

/// Reads an adapter for `model` from a folder that peft or [`save_adapter`] wrote.
///
/// # Errors
/// [`LoadAdapterError`]
pub fn load_adapter(folder: &Path, model: &ModelConfig) -> Result<LoraWeights, LoadAdapterError> {
    let read = || {
        let config = read_config(&folder.join(CONFIG_FILE)).map_err(|source| {
            let file = CONFIG_FILE;
            LoadAdapterErrorKind::Read { file, source }
        })?;
        let weights = MappedFile::open(&folder.join(WEIGHTS_FILE)).map_err(|source| {
            let file = WEIGHTS_FILE;
            LoadAdapterErrorKind::Read { file, source }
        })?;
        parse_adapter(&config, weights.bytes(), model)
    };
    read().map_err(|kind| LoadAdapterError {
        folder: folder.to_owned(),
        kind,
    })
}

/// Reads an adapter for `model` from the content of its two files.
///
/// # Errors
/// [`LoadAdapterErrorKind`], except `Read`.
pub fn parse_adapter(
    config: &[u8],
    weights: &[u8],
    model: &ModelConfig,
) -> Result<LoraWeights, LoadAdapterErrorKind> {
    let config = AdapterConfig::parse(config).map_err(LoadAdapterErrorKind::Config)?;
    parse_weights(config, weights, model).map_err(LoadAdapterErrorKind::Weights)
}

fn read_config(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > MAX_CONFIG_BYTES {
        let reason = "it is not a regular file of at most a megabyte";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    fs::read(path)
}

fn parse_weights(
    config: AdapterConfig,
    bytes: &[u8],
    model: &ModelConfig,
) -> Result<LoraWeights, AdapterWeightsError> {
    let stored = read_header(bytes, 0, |_| false).map_err(AdapterWeightsError::Header)?;
    let mut found = BTreeMap::new();
    for (name, stored) in stored {
        let tensor = AdapterTensor::parse(&name).filter(|tensor| tensor.layer < model.layers);
        let Some(tensor) = tensor else {
            return Err(AdapterWeightsError::Unexpected { tensor: name });
        };
        if let Some(Found { name, .. }) = found.insert(tensor, Found { name, stored }) {
            return Err(AdapterWeightsError::Repeated { tensor: name });
        }
    }
    let targets = targets(&config.targets, &found)?;
    let config = config.with_targets(targets);
    config.check().map_err(AdapterWeightsError::Config)?;
    // Before anything as large as the shape says is allocated, all of it must be in the file.
    check_shapes(&config, &found, model)?;
    let mut weights = LoraWeights::zeros(config, model).map_err(AdapterWeightsError::Config)?;
    for (tensor, Found { name, stored }) in &found {
        let pair = weights
            .pair(tensor.layer, tensor.projection)
            .expect("targets come from the tensors");
        let place = match tensor.side {
            Side::A => pair.a.clone(),
            Side::B => pair.b.clone(),
        };
        let values = &mut weights.values_mut()[place];
        stored
            .value_type
            .decode(&bytes[stored.bytes.clone()], values);
        check_finite(values, 0, || name.clone()).map_err(AdapterWeightsError::Value)?;
    }
    Ok(weights)
}

/// A matrix in the file, and what it is called there.
struct Found {
    name: String,
    stored: StoredTensor,
}

/// Returns the projections that have tensors or are listed; what has tensors must be listed if there is a list.
fn targets(
    wanted: &Targets,
    found: &BTreeMap<AdapterTensor, Found>,
) -> Result<BTreeSet<Projection>, AdapterWeightsError> {
    let mut targets: BTreeSet<Projection> = found.keys().map(|tensor| tensor.projection).collect();
    if targets.is_empty() {
        return Err(AdapterWeightsError::Empty);
    }
    if let Targets::Listed(listed) = wanted {
        if let Some((_, found)) = found.iter().find(|(tensor, _)| !tensor.is_named_by(listed)) {
            let tensor = found.name.clone();
            return Err(AdapterWeightsError::NotTargeted { tensor });
        }
        let is_listed = |target: &Projection| listed.iter().any(|name| name == target.name());
        targets.extend(Projection::ALL.into_iter().filter(is_listed));
    }
    Ok(targets)
}

/// Checks that every target has both matrices in every block, with the right dimensions.
fn check_shapes(
    config: &LoraConfig,
    found: &BTreeMap<AdapterTensor, Found>,
    model: &ModelConfig,
) -> Result<(), AdapterWeightsError> {
    for layer in 0..model.layers {
        for &projection in &config.targets {
            let (outputs, inputs) = model.shape(Tensor::Layer(layer, projection.part()));
            for (side, expected) in [
                (Side::A, [config.rank, inputs]),
                (Side::B, [outputs, config.rank]),
            ] {
                let tensor = AdapterTensor {
                    layer,
                    projection,
                    side,
                };
                let Some(Found { name, stored }) = found.get(&tensor) else {
                    return Err(AdapterWeightsError::Missing {
                        layer,
                        projection,
                        side: side.name(),
                    });
                };
                if stored.shape != expected {
                    return Err(AdapterWeightsError::Shape {
                        tensor: name.clone(),
                        found: stored.shape.clone(),
                        expected,
                    });
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
