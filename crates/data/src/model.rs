//! The registry of language models: those that come inside ordinary packages, so that a closed network can have them.
//!
//! Each is one file whose every byte is pinned. Knows no formats: `undertone_lm` opens what is fetched here.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Sha256Digest;

use crate::dataset::{PinnedFile, hex32};

/// A language model that can be fetched by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Model {
    /// SmolLM2-135M-Instruct, quantised to 4 bits: 135 million weights, Apache-2.0.
    #[serde(rename = "smollm2-135m-instruct")]
    SmolLm2Instruct,
}

/// A text that names no model of the registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a model that can be fetched, expected `smollm2-135m-instruct`")]
pub struct UnknownModelError {
    /// What was given.
    pub name: String,
}

impl Model {
    /// Every model that can be fetched.
    pub const ALL: [Self; 1] = [Self::SmolLm2Instruct];

    /// Returns the name on the command line, which is also that of the folder.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SmolLm2Instruct => "smollm2-135m-instruct",
        }
    }

    /// Returns the file with its pinned digest.
    pub const fn file(self) -> &'static PinnedFile {
        match self {
            Self::SmolLm2Instruct => &SMOLLM2[0],
        }
    }

    pub(crate) const fn files(self) -> &'static [PinnedFile] {
        match self {
            Self::SmolLm2Instruct => &SMOLLM2,
        }
    }

    /// Returns where the file is once it is fetched.
    pub fn path(self, data_dir: &Path) -> PathBuf {
        data_dir.join(self.name()).join(self.file().name)
    }
}

const SMOLLM2: [PinnedFile; 1] = [PinnedFile {
    name: "SmolLM2-135M-Instruct.Q4_1.gguf",
    bytes: 98_362_432,
    sha256: Sha256Digest::from_bytes(hex32(
        b"b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )),
}];

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Model {
    type Err = UnknownModelError;

    fn from_str(name: &str) -> Result<Self, UnknownModelError> {
        Self::ALL
            .into_iter()
            .find(|model| model.name() == name)
            .ok_or_else(|| UnknownModelError {
                name: name.to_owned(),
            })
    }
}
