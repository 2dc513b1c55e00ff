//! The JSON files of a run folder, and the name that the folder gets.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use undertone_core::Digest;

use crate::canonical;
use crate::document::Stored;
use crate::error::{Result, StoreError, StoreErrorKind};

/// The name of a run: its command and the first 12 hexadecimal digits of the digest of its settings.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// Returns the name of the run of these settings: the same command finds the same run.
    ///
    /// # Errors
    /// [`BadName`](StoreErrorKind::BadName) if the command holds anything but `a-z`, `0-9` and `-`.
    pub fn of(settings: &RunSettings) -> Result<Self> {
        let command = &settings.command;
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if command.is_empty() || !command.bytes().all(allowed) {
            let rule = "only lower-case letters, digits and `-`";
            let kind = StoreErrorKind::BadName {
                name: command.clone(),
                rule,
            };
            return Err(StoreError::new("name run", Path::new("runs"), kind));
        }
        let value = serde_json::to_value(settings).expect("texts, values and digests are JSON");
        let digest = Digest::of(&canonical::compact(&value)).hex();
        Ok(RunId(format!("{command}-{}", &digest[..12])))
    }

    /// Returns the name as the folder carries it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn from_folder(folder: &Path) -> Self {
        RunId(crate::disk::name_of(folder).to_owned())
    }

    /// Says whether `prefix` begins the name or its hexadecimal part.
    pub(crate) fn begins_with(&self, prefix: &str) -> bool {
        let hex = self.0.rsplit_once('-').map_or("", |(_, hex)| hex);
        self.0.starts_with(prefix) || hex.starts_with(prefix)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The body of `settings.json`: what decides the result of a run, and its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// The command: `mnist`.
    pub command: String,
    /// Its resolved settings.
    pub settings: Value,
    /// The digests of the data it reads, by name.
    pub inputs: BTreeMap<String, Digest>,
}

impl Stored for RunSettings {
    const FORMAT: &'static str = "undertone-settings";
    const VERSION: u32 = 1;
}

/// How far a run got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunStatus {
    /// Being worked on, or interrupted.
    Started,
    /// The result is written.
    Finished,
    /// Ended with an error; repeating the command tries again.
    Failed,
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            RunStatus::Started => "started",
            RunStatus::Finished => "finished",
            RunStatus::Failed => "failed",
        })
    }
}

/// The body of `manifest.json`. The fields up to `environment` stay as they were when the run was first started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The name of the run.
    pub run: RunId,
    /// The command line, program name first.
    pub argv: Vec<String>,
    /// The version of `undertone`.
    pub undertone_version: String,
    /// The revision it was built from, if known.
    pub git_revision: Option<String>,
    /// Whether that working tree had uncommitted changes, if known.
    pub git_dirty: Option<bool>,
    /// When the run was first started, RFC 3339 in UTC.
    pub started_at: String,
    /// The digest of `settings.json`.
    pub settings: Digest,
    /// The digest of `environment.json`.
    pub environment: Digest,
    /// How far the run got.
    pub status: RunStatus,
    /// When it finished or failed, RFC 3339 in UTC.
    pub ended_at: Option<String>,
    /// Why it failed.
    pub failure: Option<String>,
    /// The digest of `result.json`.
    pub result: Option<Digest>,
    /// The digest of `events.jsonl` when the run finished or failed.
    pub events: Option<Digest>,
    /// The digests of the attachments, by file name.
    pub attachments: BTreeMap<String, Digest>,
}

impl Stored for Manifest {
    const FORMAT: &'static str = "undertone-manifest";
    const VERSION: u32 = 1;
}

/// The body of `result.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunResult {
    /// The name of the run.
    pub run: RunId,
    /// What the command found out.
    pub result: Value,
}

impl Stored for RunResult {
    const FORMAT: &'static str = "undertone-result";
    const VERSION: u32 = 1;
}

/// Returns the present moment as RFC 3339 in UTC, to the millisecond.
pub(crate) fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
