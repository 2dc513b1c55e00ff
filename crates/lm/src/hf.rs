//! Reads a model's folder as Hugging Face's libraries save it: `config.json` and safetensors, mapped and converted row by
//! row.
//!
//! [`HfFolder::open`] checks everything that can be checked without looking at values; after it, reading fails only on
//! values that are not finite. Of the other files only `generation_config.json` is read; tokenizers are made elsewhere.

mod config;
mod generation;
mod json;
pub(crate) mod names;
mod rope;
pub(crate) mod safetensors;
mod weights;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::checkpoint::{Checkpoint, InventoryError, ReadTensorError, match_tensors};
use crate::config::{ModelConfig, Tensor};
use crate::generation::GenerationDefaults;
use crate::gguf::{ValueType, check_finite};
use crate::mapped::{FileDigest, MappedFile};
use json::Object;
use names::Prefix;
use safetensors::StoredTensor;

pub use config::FolderConfigError;
pub use json::{FieldError, ReadJsonError};
pub use safetensors::{MAX_HEADER_BYTES, SafetensorsError};
pub use weights::{MAX_INDEX_BYTES, MAX_SHARDS, WeightsError};

/// The longest `config.json` and `generation_config.json`, in bytes.
pub const MAX_CONFIG_BYTES: u64 = 4 << 20;

const CONFIG: &str = "config.json";
const GENERATION: &str = "generation_config.json";

/// An opened folder.
#[derive(Debug)]
pub struct HfFolder {
    path: PathBuf,
    config_file: MappedFile,
    weight_files: Vec<MappedFile>,
    config: ModelConfig,
    generation: GenerationDefaults,
    prefix: Prefix,
    tensors: BTreeMap<Tensor, StoredTensor>,
}

/// A folder cannot be opened as a model.
#[derive(Debug, thiserror::Error)]
#[error("cannot open model folder `{}`", path.display())]
pub struct OpenFolderError {
    /// The folder.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub kind: OpenFolderErrorKind,
}

/// Why a folder cannot be opened as a model.
#[derive(Debug, thiserror::Error)]
pub enum OpenFolderErrorKind {
    /// A JSON file cannot be read.
    #[error("`{file}`")]
    Json {
        /// The file.
        file: &'static str,
        /// Why.
        source: ReadJsonError,
    },
    /// `config.json` describes no model that can be computed.
    #[error("`{CONFIG}`")]
    Config(#[source] FolderConfigError),
    /// A field of `generation_config.json`, or one like it in `config.json`, has another type.
    #[error("`{GENERATION}` or `{CONFIG}`")]
    Generation(#[source] FieldError),
    /// The weight files are missing, damaged or contradict each other.
    #[error(transparent)]
    Weights(WeightsError),
    /// The tensors are not those of the model.
    #[error(transparent)]
    Inventory(InventoryError),
    /// The configuration says that the head is the embedding, and there is a head that is not.
    #[error("`tie_word_embeddings` is true, but tensor `{tensor}` is not the embedding")]
    TwoHeads {
        /// The head.
        tensor: String,
    },
}

impl HfFolder {
    /// Opens the folder at `path` and checks it.
    ///
    /// # Errors
    /// [`OpenFolderError`] names the file, field or tensor that is wrong.
    pub fn open(path: &Path) -> Result<Self, OpenFolderError> {
        open(path).map_err(|kind| OpenFolderError {
            path: path.to_path_buf(),
            kind,
        })
    }

    /// Returns the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what the files say about generation: special tokens and how the authors sample.
    pub fn generation(&self) -> &GenerationDefaults {
        &self.generation
    }

    /// Returns the type in which the values of `tensor` are stored.
    ///
    /// # Panics
    /// If the configuration does not imply `tensor`.
    pub fn value_type(&self, tensor: Tensor) -> ValueType {
        self.tensors[&tensor].value_type
    }

    /// Returns the digests of the files that numbers depend on, `config.json` first; reads all of them.
    pub fn digests(&self) -> Vec<FileDigest> {
        let files = [&self.config_file].into_iter().chain(&self.weight_files);
        files.map(MappedFile::digest).collect()
    }
}

fn open(path: &Path) -> Result<HfFolder, OpenFolderErrorKind> {
    let json_error = |file| move |source| OpenFolderErrorKind::Json { file, source };
    let (config_map, config_file) =
        json::read(&path.join(CONFIG), MAX_CONFIG_BYTES).map_err(json_error(CONFIG))?;
    let config = config::read(&config_map).map_err(OpenFolderErrorKind::Config)?;
    let generation_map = match json::read(&path.join(GENERATION), MAX_CONFIG_BYTES) {
        Ok((map, _)) => Some(map),
        Err(ReadJsonError::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(json_error(GENERATION)(error)),
    };
    let generation = generation::read(generation_map.as_ref(), Object::new(&config_map, ""))
        .map_err(OpenFolderErrorKind::Generation)?;

    let family = config.family;
    let weights = weights::open(path, |tensor| names::is_ignored(family, tensor))
        .map_err(OpenFolderErrorKind::Weights)?;
    let prefix = Prefix::find(|name| weights.tensors.contains_key(name));
    let head = prefix.name(family, Tensor::Head);
    if config.tied_head && is_another_head(&weights, prefix, &config) {
        return Err(OpenFolderErrorKind::TwoHeads { tensor: head });
    }
    let tensors = match_tensors(
        &config,
        weights.tensors,
        |tensor| prefix.name(family, tensor),
        |name| config.tied_head && name == head,
    )
    .map_err(OpenFolderErrorKind::Inventory)?;
    Ok(HfFolder {
        path: path.to_path_buf(),
        config_file,
        weight_files: weights.files,
        config,
        generation,
        prefix,
        tensors,
    })
}

/// Whether there is a head that differs from the embedding.
fn is_another_head(weights: &weights::Weights, prefix: Prefix, config: &ModelConfig) -> bool {
    let content = |tensor| {
        let stored = weights.tensors.get(&prefix.name(config.family, tensor))?;
        let bytes = &weights.files[stored.file].bytes()[stored.bytes.clone()];
        Some((stored.value_type, &stored.shape, bytes))
    };
    let head = content(Tensor::Head);
    head.is_some() && head != content(Tensor::Embedding)
}

impl Checkpoint for HfFolder {
    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn read_rows(
        &self,
        tensor: Tensor,
        rows: Range<usize>,
        out: &mut [f32],
    ) -> Result<(), ReadTensorError> {
        let stored = &self.tensors[&tensor];
        let (n_rows, columns) = self.config.shape(tensor);
        assert!(rows.start <= rows.end && rows.end <= n_rows, "{rows:?}");
        assert_eq!(out.len(), rows.len() * columns);
        let row_bytes = stored.value_type.bytes(columns);
        let bytes = &self.weight_files[stored.file].bytes()[stored.bytes.clone()];
        let bytes = &bytes[rows.start * row_bytes..rows.end * row_bytes];
        stored.value_type.decode(bytes, out);
        if names::is_shifted(self.config.family, tensor) {
            out.iter_mut().for_each(|factor| *factor += 1.0);
        }
        check_finite(out, rows.start * columns, || self.file_name_of(tensor))
            .map_err(|error| error.in_file(self.weight_files[stored.file].path()))
    }

    fn file_name_of(&self, tensor: Tensor) -> String {
        self.prefix.name(self.config.family, tensor)
    }
}
