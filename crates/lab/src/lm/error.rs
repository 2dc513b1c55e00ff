//! How work with a language model fails.

use std::path::PathBuf;

use undertone_core::exit;
use undertone_data::Fault;

use undertone_lm::chat::ParseClockError;
use undertone_lm::config::ConfigError;
use undertone_lm::grammar::CompileGrammarError;
use undertone_lm::lora::{LoraConfigError, WrongModelError};
use undertone_lm::merge::MergeError;
use undertone_lm::model::LoadError;
use undertone_lm::peft::{LoadAdapterError, LoadAdapterErrorKind};
use undertone_lm::sample::SampleError;
use undertone_lm::score::ScoreError;
use undertone_lm::source::{OpenModelError, ParseSourceError};
use undertone_lm::text::{ChatTemplateOfModelError, OpenTextError};
use undertone_lm::train::TrainError;
use undertone_lm::{ReadTensorError, WriteFolderError, WriteFolderErrorKind};

use super::rows::{RowsError, RowsErrorKind};
use crate::error::LabError;

/// Work with a language model that did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum LmError {
    /// The text names no model.
    #[error(transparent)]
    Source(#[from] ParseSourceError),
    /// The model cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenModelError),
    /// Its tokenizer or templates cannot be opened.
    #[error("cannot open the tokenizer of model `{model}`")]
    Text {
        /// The model, as named.
        model: String,
        /// Why.
        #[source]
        source: OpenTextError,
    },
    /// Its chat template cannot be used.
    #[error("cannot use the chat template of model `{model}`")]
    Template {
        /// The model, as named.
        model: String,
        /// Why.
        #[source]
        source: ChatTemplateOfModelError,
    },
    /// The model cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A weight of the model cannot be used.
    #[error("cannot read the model")]
    Tensor(#[from] ReadTensorError),
    /// A model cannot have this shape.
    #[error(transparent)]
    Shape(#[from] ConfigError),
    /// An adapter cannot be loaded.
    #[error(transparent)]
    Adapter(#[from] LoadAdapterError),
    /// An adapter is one for another model.
    #[error(transparent)]
    WrongModel(#[from] WrongModelError),
    /// An adapter cannot have this shape.
    #[error(transparent)]
    Lora(#[from] LoraConfigError),
    /// A file of rows, or one of its rows, cannot be used.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// A date cannot be read.
    #[error(transparent)]
    Date(#[from] ParseClockError),
    /// The grammar cannot be used.
    #[error("`--grammar`")]
    Grammar(#[from] CompileGrammarError),
    /// Sampling cannot begin or go on.
    #[error(transparent)]
    Sample(SampleError),
    /// Scoring cannot begin or go on.
    #[error(transparent)]
    Score(ScoreError),
    /// Training cannot begin or go on.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The model cannot be merged.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// A folder cannot be written.
    #[error(transparent)]
    Write(#[from] WriteFolderError),
    /// A folder holds something else than what would be written.
    #[error("`{}` is not empty and holds something else; name another folder", folder.display())]
    Occupied {
        /// The folder.
        folder: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A stored artefact is not what its step writes.
    #[error("stored `{name}` is damaged: {problem}")]
    Stored {
        /// Which output of a step.
        name: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A setting that cannot be used with this model or with another setting.
    #[error("`{flag}`: {problem}")]
    Setting {
        /// The flag.
        flag: &'static str,
        /// What is wrong.
        problem: String,
    },
}

impl LmError {
    /// Returns the exit code of a command that ends with this.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Open(error) => error.fault().exit_code(),
            Self::Text {
                source: OpenTextError::Read { .. },
                ..
            }
            | Self::Read { .. } => exit::INFRASTRUCTURE,
            Self::Adapter(LoadAdapterError {
                kind: LoadAdapterErrorKind::Read { source, .. },
                ..
            }) => of_io(source),
            Self::Rows(RowsError {
                kind: RowsErrorKind::Io(source),
                ..
            }) => of_io(source),
            Self::Write(error) | Self::Merge(MergeError::Write(error)) => match &error.kind {
                WriteFolderErrorKind::Io { .. } => exit::INFRASTRUCTURE,
                _ => exit::USAGE,
            },
            Self::Stored { .. } => exit::TAMPERED,
            _ => exit::USAGE,
        }
    }
}

/// A file that is not there is the caller's mistake, one that cannot be read the machine's.
fn of_io(error: &std::io::Error) -> u8 {
    match error.kind() {
        std::io::ErrorKind::NotFound => Fault::Missing.exit_code(),
        _ => exit::INFRASTRUCTURE,
    }
}

/// What a sink refused a row with comes back inside the engine's error.
pub(crate) fn of_sample(error: SampleError) -> LabError {
    match error {
        SampleError::Sink(inner) => {
            of_sink(inner, |inner| LmError::Sample(SampleError::Sink(inner)))
        }
        other => LmError::Sample(other).into(),
    }
}

/// As [`of_sample`].
pub(crate) fn of_score(error: ScoreError) -> LabError {
    match error {
        ScoreError::Sink(inner) => of_sink(inner, |inner| LmError::Score(ScoreError::Sink(inner))),
        other => LmError::Score(other).into(),
    }
}

type Refusal = Box<dyn std::error::Error + Send + Sync>;

fn of_sink(inner: Refusal, wrap: impl FnOnce(Refusal) -> LmError) -> LabError {
    match inner.downcast::<LabError>() {
        Ok(ours) => *ours,
        Err(other) => wrap(other).into(),
    }
}
