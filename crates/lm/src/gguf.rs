//! Reads GGUF files of version 3: metadata, configuration and weights, mapped and decoded row by row.
//!
//! [`Gguf::open`] checks everything that can be checked without looking at values; after it, reading fails only on values
//! that are not finite. Tokenizers are made from [`Gguf::metadata`] elsewhere.

pub mod metadata;

mod block;
mod config;
mod cursor;
mod header;
mod names;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::{Checkpoint, InventoryError, ReadTensorError, match_tensors};
use crate::config::{ModelConfig, Tensor};
use crate::generation::GenerationDefaults;
use crate::mapped::{FileDigest, MappedFile};
use header::{Header, TensorEntry};

pub use block::ValueType;
pub use config::GgufConfigError;
pub use cursor::{Field, HeaderError, Problem};
pub use header::{
    MAX_ALIGNMENT, MAX_ARRAY, MAX_DIMENSIONS, MAX_HEADER_BYTES, MAX_KEY_BYTES, MAX_NAME_BYTES,
    MAX_PAIRS, MAX_TENSORS, MAX_TEXT_BYTES, VERSION,
};
pub use metadata::{Array, FromValue, Metadata, MetadataError, Value};

/// An opened GGUF file.
#[derive(Debug)]
pub struct Gguf {
    file: MappedFile,
    metadata: Arc<Metadata>,
    config: ModelConfig,
    generation: GenerationDefaults,
    tensors: BTreeMap<Tensor, TensorEntry>,
}

/// A GGUF file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open GGUF file `{}`", path.display())]
pub struct OpenGgufError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub kind: OpenGgufErrorKind,
}

/// Why a GGUF file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenGgufErrorKind {
    /// The file cannot be read.
    #[error("it cannot be mapped into memory")]
    Io(#[source] io::Error),
    /// The header is damaged, or not one of GGUF 3.
    #[error(transparent)]
    Header(HeaderError),
    /// The metadata describes no model that can be computed.
    #[error(transparent)]
    Config(GgufConfigError),
    /// The tensors are not those of the model.
    #[error(transparent)]
    Inventory(InventoryError),
    /// A value that is needed on opening is not finite.
    #[error(transparent)]
    Values(ReadTensorError),
}

impl Gguf {
    /// Opens the file at `path` and checks it.
    ///
    /// # Errors
    /// [`OpenGgufError`] names the field, key or tensor that is wrong.
    pub fn open(path: &Path) -> Result<Self, OpenGgufError> {
        let open = || {
            let file = MappedFile::open(path).map_err(OpenGgufErrorKind::Io)?;
            Self::from_file(file)
        };
        open().map_err(|kind| OpenGgufError {
            path: path.to_path_buf(),
            kind,
        })
    }

    /// Checks a file that is mapped already.
    pub(crate) fn from_file(file: MappedFile) -> Result<Self, OpenGgufErrorKind> {
        let Header { metadata, tensors } =
            header::read(file.bytes()).map_err(OpenGgufErrorKind::Header)?;
        let factors = rope_factors(&file, &tensors).map_err(OpenGgufErrorKind::Values)?;
        let config =
            config::read(&metadata, &tensors, factors).map_err(OpenGgufErrorKind::Config)?;
        let known_unused = |name: &str| name == names::ROPE_FACTORS;
        let tensors = match_tensors(&config, tensors, names::name, known_unused)
            .map_err(OpenGgufErrorKind::Inventory)?;
        let generation = generation(&metadata)
            .map_err(|error| OpenGgufErrorKind::Config(GgufConfigError::Metadata(error)))?;
        Ok(Self {
            file,
            metadata: Arc::new(metadata),
            config,
            generation,
            tensors,
        })
    }

    /// Returns the metadata, of which the tokenizer is made.
    pub fn metadata(&self) -> &Arc<Metadata> {
        &self.metadata
    }

    /// Returns what the file says about generation: its special tokens.
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

    /// Returns the digests of the file; reads all of it.
    pub fn digest(&self) -> FileDigest {
        self.file.digest()
    }
}

/// Returns the divisors of rotary frequencies, if the file has them.
fn rope_factors(
    file: &MappedFile,
    tensors: &BTreeMap<String, TensorEntry>,
) -> Result<Option<Vec<f32>>, ReadTensorError> {
    let Some(entry) = tensors.get(names::ROPE_FACTORS) else {
        return Ok(None);
    };
    // The header was checked, so the product is that of a tensor inside the file. No head is wider than the limit: a
    // longer one is cut short of it here and refused with the configuration.
    let n = entry.shape.iter().product::<usize>();
    let block = entry.value_type.block_values();
    let n = n.min(crate::config::MAX_HEAD_WIDTH.next_multiple_of(block));
    let mut factors = vec![0.0; n];
    let bytes = &file.bytes()[entry.bytes.clone()][..entry.value_type.bytes(n)];
    entry.value_type.decode(bytes, &mut factors);
    check_finite(&factors, 0, || names::ROPE_FACTORS.to_owned())
        .map_err(|error| error.in_file(file.path()))?;
    Ok(Some(factors))
}

fn generation(metadata: &Metadata) -> Result<GenerationDefaults, MetadataError> {
    let id = |name| metadata.find::<u32>(&format!("tokenizer.ggml.{name}_token_id"));
    let mut eos = Vec::new();
    for name in ["eos", "eot", "eom"] {
        eos.extend(id(name)?.filter(|id| !eos.contains(id)));
    }
    Ok(GenerationDefaults {
        bos: id("bos")?,
        eos,
        pad: id("padding")?,
        ..GenerationDefaults::default()
    })
}

/// Checks values that begin at `first` of the tensor called `name`.
pub(crate) fn check_finite(
    values: &[f32],
    first: usize,
    name: impl FnOnce() -> String,
) -> Result<(), ReadTensorError> {
    // Looking at all values of a chunk, instead of stopping at the first, is what makes this a vector loop.
    let all_finite = |chunk: &[f32]| chunk.iter().fold(true, |all, x| all & x.is_finite());
    if values.chunks(256).all(all_finite) {
        return Ok(());
    }
    let at = values.iter().position(|value| !value.is_finite());
    Err(ReadTensorError {
        file: None,
        tensor: name(),
        index: first + at.expect("one of them is not finite"),
    })
}

impl Checkpoint for Gguf {
    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn read_rows(
        &self,
        tensor: Tensor,
        rows: Range<usize>,
        out: &mut [f32],
    ) -> Result<(), ReadTensorError> {
        let entry = &self.tensors[&tensor];
        let (n_rows, columns) = self.config.shape(tensor);
        assert!(rows.start <= rows.end && rows.end <= n_rows, "{rows:?}");
        assert_eq!(out.len(), rows.len() * columns);
        let row_bytes = entry.value_type.bytes(columns);
        let bytes = &self.file.bytes()[entry.bytes.clone()];
        let first = rows.start * columns;
        if names::is_interleaved(self.config.family, tensor) {
            for (row, out) in rows.zip(out.chunks_exact_mut(columns)) {
                let row = names::interleaved_row(row, self.config.head_width);
                let bytes = &bytes[row * row_bytes..][..row_bytes];
                entry.value_type.decode(bytes, out);
            }
        } else {
            let bytes = &bytes[rows.start * row_bytes..rows.end * row_bytes];
            entry.value_type.decode(bytes, out);
        }
        check_finite(out, first, || names::name(tensor))
            .map_err(|error| error.in_file(self.file.path()))
    }

    fn file_name_of(&self, tensor: Tensor) -> String {
        names::name(tensor)
    }
}
