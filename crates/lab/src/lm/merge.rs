//! Writing a model as a folder of its own, with or without an adapter worked into it.
//!
//! Not a step: what comes out is as large as the model and quickly made again, so the store keeps the digests of its files
//! and not their content.

use std::fs;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Digest;
use undertone_lm::Checkpoint;
use undertone_lm::lora::LoraWeights;
use undertone_lm::merge::{
    Companion, MergeOptions, MergedType, USUAL_SHARD_BYTES, companions_of, merge,
};
use undertone_lm::source::ModelFiles;
use undertone_lm::text::OpenTextError;
use undertone_lm::tokenizer::GgufVocabulary;

use super::error::LmError;
use super::subject::{Named, Subject};
use crate::error::LabError;

/// The type of merged weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MergedPrecision {
    /// `f32`.
    F32,
    /// bf16, to nearest even.
    Bf16,
}

/// Everything a merged model depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MergeRun {
    /// The model.
    pub model: Named,
    /// The adapter.
    pub adapter: Option<Named>,
    /// The type of its weights.
    pub weights: MergedPrecision,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MergeResult {
    /// The settings.
    pub settings: MergeRun,
    /// The files, by name.
    pub files: Vec<WrittenFile>,
}

/// A file of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenFile {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of its content.
    pub blake3: Digest,
}

/// Whether a folder had to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It was.
    Now,
    /// It was there, with the same content.
    Before,
}

/// Merges `subject` and its adapter into `folder`.
///
/// # Errors
/// If the model has no form that others load, or the folder holds something else.
pub fn merge_into(
    run: &MergeRun,
    subject: &Subject,
    folder: &Path,
) -> Result<(MergeResult, Written), LabError> {
    let adapter = subject.adapter.as_ref().map(|adapter| &adapter.weights);
    let weights = match run.weights {
        MergedPrecision::F32 => MergedType::F32,
        MergedPrecision::Bf16 => MergedType::Bf16,
    };
    let (files, written) =
        write_model(subject, subject.open.checkpoint(), adapter, weights, folder)?;
    let result = MergeResult {
        settings: run.clone(),
        files,
    };
    Ok((result, written))
}

/// Writes a model of `subject`'s kind, whose weights are those of `checkpoint`, into `folder`.
///
/// # Errors
/// As [`merge_into`].
pub fn write_model(
    subject: &Subject,
    checkpoint: &dyn Checkpoint,
    adapter: Option<&LoraWeights>,
    weights: MergedType,
    folder: &Path,
) -> Result<(Vec<WrittenFile>, Written), LabError> {
    let companions = companions(subject)?;
    let options = MergeOptions {
        weights,
        max_shard_bytes: USUAL_SHARD_BYTES,
        generation: subject.open.generation(),
        companions: &companions,
    };
    let write =
        |folder: &Path| merge(checkpoint, adapter, &options, folder).map_err(LmError::Merge);
    if !is_occupied(folder) {
        write(folder)?;
        return Ok((list(folder)?, Written::Now));
    }
    // Interrupted after the folder got its name, or asked for twice: written once more beside it, to compare.
    let again = beside(folder);
    let remove = || match fs::remove_dir_all(&again) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(read_error(&again)(error))
        }
        _ => Ok(()),
    };
    remove()?;
    write(&again)?;
    let (found, expected) = (list(folder), list(&again));
    remove()?;
    let expected = expected?;
    if found? != expected {
        return Err(occupied(folder).into());
    }
    Ok((expected, Written::Before))
}

/// Whether a folder that is written from `subject` gets a `tokenizer.json`.
///
/// Of a SentencePiece vocabulary a GGUF file has the scores and not the merges, so there is none to write.
///
/// # Errors
/// If the tokenizer cannot be read.
pub fn writes_tokenizer(subject: &Subject) -> Result<bool, LabError> {
    let files = companions(subject)?;
    Ok(files.iter().any(|file| file.name == "tokenizer.json"))
}

/// Returns the tokenizer's files; none of a GGUF file whose vocabulary has no merges.
pub(crate) fn companions(subject: &Subject) -> Result<Vec<Companion>, LabError> {
    Ok(match &subject.open.files {
        ModelFiles::Folder(folder) => {
            companions_of(folder.path()).map_err(read_error(folder.path()))?
        }
        ModelFiles::Made(made) => made.companions().to_vec(),
        ModelFiles::Gguf(gguf) => {
            let text_error = |source| LmError::Text {
                model: subject.name.clone(),
                source,
            };
            let vocabulary = GgufVocabulary::read(gguf.metadata())
                .map_err(|error| text_error(OpenTextError::Metadata(error)))?;
            let files = vocabulary
                .to_json(&subject.text.templates)
                .map_err(|error| text_error(OpenTextError::Tokenizer(error)))?;
            let names = ["tokenizer.json", "tokenizer_config.json"].map(str::to_owned);
            let with_name = |(name, content)| Companion { name, content };
            names
                .into_iter()
                .zip(files.into_iter().flatten())
                .map(with_name)
                .collect()
        }
    })
}

/// Says that a folder holds something else.
pub fn occupied(folder: &Path) -> LmError {
    LmError::Occupied {
        folder: folder.to_owned(),
    }
}

/// Whether anything but an empty folder is at `path`.
pub fn is_occupied(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => path.symlink_metadata().is_ok(),
    }
}

/// Lists the files of a folder, sorted by name.
///
/// # Errors
/// If one cannot be read.
pub fn list(folder: &Path) -> Result<Vec<WrittenFile>, LmError> {
    let error = read_error(folder);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(&error)? {
        let path = entry.map_err(&error)?.path();
        let content = fs::read(&path).map_err(read_error(&path))?;
        let name = path.file_name().unwrap_or_default();
        files.push(WrittenFile {
            name: name.to_string_lossy().into_owned(),
            bytes: content.len() as u64,
            blake3: Digest::of(&content),
        });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn beside(folder: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(folder.file_name().unwrap_or_default());
    name.push(format!(".again-{}", std::process::id()));
    folder.with_file_name(name)
}

fn read_error(path: &Path) -> impl Fn(std::io::Error) -> LmError {
    let path = path.to_owned();
    move |source| LmError::Read {
        path: path.clone(),
        source,
    }
}
