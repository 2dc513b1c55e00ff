//! Records where a run was executed. The caller finds the values out; this crate only keeps them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::Stored;

/// The machine and the program of a run. A value that could not be found out is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// The operating system: `linux`.
    pub os: String,
    /// The processor architecture: `x86_64`.
    pub arch: String,
    /// The name the processor gives itself.
    pub cpu_model: Option<String>,
    /// The instruction sets that were detected, sorted: `avx2`.
    pub cpu_features: Vec<String>,
    /// How many threads the run used.
    pub n_threads: u32,
    /// The version of `undertone`.
    pub undertone_version: String,
    /// The revision it was built from.
    pub git_revision: Option<String>,
    /// Whether it was built from a working tree with uncommitted changes.
    pub git_dirty: Option<bool>,
}

impl Stored for Environment {
    const FORMAT: &'static str = "undertone-environment";
    const VERSION: u32 = 1;
}
