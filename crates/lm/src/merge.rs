//! Writes a model, with or without an adapter worked into its weights, as a folder that transformers loads.
//!
//! - `config.json`: by `config`, from our own configuration, whatever the source was;
//! - `model.safetensors`, or shards and `model.safetensors.index.json`: by `shards`;
//! - `generation_config.json`, and whatever [`Companion`]s are handed in: tokenizer files, a card.
//!
//! Weights go from checkpoint to file a few rows at a time, so a model larger than memory can be merged.

use std::fs;
use std::io;
use std::path::Path;

use crate::checkpoint::{Checkpoint, ReadTensorError};
use crate::generation::GenerationDefaults;
use crate::lora::{LoraWeights, WrongModelError};
use crate::new_folder::{NewFolder, WriteFolderError};

mod config;
mod rows;
mod shards;

pub use config::UnwritableError;

/// The type of merged weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergedType {
    /// `f32`: nothing is lost but the last bit of a sum.
    F32,
    /// bf16, to nearest even: half the size. An adapter's small changes can vanish in the rounding.
    Bf16,
}

impl MergedType {
    fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// A file that goes into the folder as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Companion {
    /// Its name, without folders.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// How a model is written.
#[derive(Debug, Clone)]
pub struct MergeOptions<'a> {
    /// The type of all weights.
    pub weights: MergedType,
    /// Shards hold at most this many bytes of weights, but at least one tensor.
    pub max_shard_bytes: u64,
    /// Special tokens and sampling settings, for `config.json` and `generation_config.json`.
    pub generation: &'a GenerationDefaults,
    /// Further files. One called `generation_config.json` stands in place of ours.
    pub companions: &'a [Companion],
}

/// The shard size that transformers 4 writes.
pub const USUAL_SHARD_BYTES: u64 = 5_000_000_000;

/// Files of a Hugging Face folder that belong to a model but are neither weights nor configuration.
const COMPANIONS: [&str; 10] = [
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
];

/// A model could not be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The adapter was made for another model.
    #[error(transparent)]
    WrongModel(#[from] WrongModelError),
    /// transformers has no such model.
    #[error("the model has no form that transformers loads")]
    Unwritable(#[from] UnwritableError),
    /// A weight of the base cannot be used.
    #[error("cannot read the base")]
    Read(#[from] ReadTensorError),
    /// A sum is too large for its type.
    #[error("tensor `{tensor}`: value {index} is too large for the merged type")]
    Overflow {
        /// The tensor's name in the merged model.
        tensor: String,
        /// Index of the value, row-major.
        index: usize,
    },
    /// A companion's name is not that of a file in the folder, or one of ours.
    #[error("`{name}` cannot be the name of a further file")]
    CompanionName {
        /// The name.
        name: String,
    },
    /// The folder could not be written.
    #[error(transparent)]
    Write(#[from] WriteFolderError),
}

/// Reads the tokenizer's and generation's files of a Hugging Face folder, to go with a model merged from it.
///
/// # Errors
/// If one that is there cannot be read.
pub fn companions_of(folder: &Path) -> io::Result<Vec<Companion>> {
    let mut companions = Vec::new();
    for name in COMPANIONS {
        match fs::read(folder.join(name)) {
            Ok(content) => companions.push(Companion {
                name: name.to_owned(),
                content,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(companions)
}

/// Writes the model of `checkpoint`, with `adapter` added to its weights, to the new folder `folder`.
///
/// A merged weight is `W + s B A`, summed in f64 and rounded once. The same inputs give the same bytes.
///
/// # Errors
/// [`MergeError`]; a folder that holds something is never overwritten, and one half written disappears.
pub fn merge(
    checkpoint: &dyn Checkpoint,
    adapter: Option<&LoraWeights>,
    options: &MergeOptions<'_>,
    folder: &Path,
) -> Result<(), MergeError> {
    let model = checkpoint.config();
    if let Some(adapter) = adapter {
        adapter.check_model(model)?;
    }
    let config = config::config_json(model, options)?;
    let new = NewFolder::create(folder)?;
    new.write("config.json", &config)?;
    let ours = "generation_config.json";
    if !options.companions.iter().any(|file| file.name == ours) {
        new.write(ours, &config::generation_json(options.generation))?;
    }
    for companion in options.companions {
        let name = &companion.name;
        let taken =
            name == "config.json" || name.ends_with(".safetensors") || name == shards::INDEX;
        if taken || Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(MergeError::CompanionName { name: name.clone() });
        }
        new.write(name, &companion.content)?;
    }
    shards::write(&new, checkpoint, adapter, options)?;
    Ok(new.finish()?)
}

/// Returns the files that numbers depend on, `config.json` and the weights, with the bytes that [`merge`] would write.
///
/// For models that are small enough to be there twice: the weights are one file, whatever their size.
///
/// # Errors
/// [`MergeError`], but for what concerns folders.
pub(crate) fn model_files(
    checkpoint: &dyn Checkpoint,
    options: &MergeOptions<'_>,
) -> Result<[(&'static str, Vec<u8>); 2], MergeError> {
    let config = config::config_json(checkpoint.config(), options)?;
    let weights = shards::single(checkpoint, options)?;
    Ok([("config.json", config), (shards::SINGLE, weights)])
}

#[cfg(test)]
mod tests;
