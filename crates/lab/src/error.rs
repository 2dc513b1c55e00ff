//! How an experiment fails.

use undertone_core::Digest;
use undertone_mlp::UnsupportedError;
use undertone_store::StoreError;

use crate::control::Interrupted;
use crate::settings::SettingsError;
use crate::weights_file::WeightsFileError;

/// An experiment that did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The settings make no experiment.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Somebody asked for an early end.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The processor lacks instructions.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedError),
    /// Stored weights do not fit.
    #[error(transparent)]
    Weights(#[from] WeightsFileError),
    /// The verdict could not be formed.
    #[error(transparent)]
    Verdict(#[from] undertone_stats::VerdictError),
    /// The theorem's settings make no check.
    #[error(transparent)]
    Theorem(#[from] crate::theorem::TheoremError),
    /// A stored artefact is not what its step writes.
    #[error("stored `{name}` cannot be read")]
    Artefact {
        /// The output's name.
        name: &'static str,
        /// What the reader said.
        #[source]
        source: serde_json::Error,
    },
    /// No learning rate of a search gave a finite loss.
    #[error("every learning rate of the search diverged for the {phase}")]
    AllDiverged {
        /// Teacher or student.
        phase: &'static str,
    },
    /// A record lacks an output its step writes.
    #[error("step {key} has no output `{name}`")]
    OutputMissing {
        /// The output's name.
        name: &'static str,
        /// The step.
        key: String,
    },
    /// Work with a language model failed.
    #[error(transparent)]
    Lm(Box<crate::lm::LmError>),
    /// An experiment on numbers makes no sense, or cannot go on.
    #[error(transparent)]
    Numbers(Box<crate::numbers::error::NumbersError>),
    /// The experiment names data that nobody loaded.
    #[error("data set {digest} was not loaded")]
    DataNotLoaded {
        /// Its digest.
        digest: Digest,
    },
}

impl From<crate::lm::LmError> for LabError {
    fn from(error: crate::lm::LmError) -> Self {
        Self::Lm(Box::new(error))
    }
}

impl From<crate::numbers::error::NumbersError> for LabError {
    fn from(error: crate::numbers::error::NumbersError) -> Self {
        Self::Numbers(Box::new(error))
    }
}
