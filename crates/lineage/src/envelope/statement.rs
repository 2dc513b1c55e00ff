//! In-toto statements with a SLSA provenance predicate: which files, and how they came about.
//!
//! The field names are those of in-toto Statement v1 and SLSA provenance v1. What this program writes is written from
//! these types; what it reads from others may hold more, which is left alone.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The type of a statement.
pub const STATEMENT_V1: &str = "https://in-toto.io/Statement/v1";
/// The type of a provenance predicate.
pub const PROVENANCE_V1: &str = "https://slsa.dev/provenance/v1";
/// The most files a statement may list.
const MAX_SUBJECTS: usize = 1_000_000;

/// A payload is no statement this program can use.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// It is not JSON of a statement.
    #[error("it is not the JSON of an in-toto statement")]
    Json(#[from] serde_json::Error),
    /// It is of another type.
    #[error("its `{field}` is `{found}`, not `{expected}`")]
    Type {
        /// Which type.
        field: &'static str,
        /// What was expected.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// It lists no subject, too many, or one without a digest.
    #[error("subject {n} {problem}")]
    Subject {
        /// Which, from 0.
        n: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// A file or another thing, by name and digests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceDescriptor {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where it is, or what identifies it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uri: String,
    /// Its digests, in hexadecimal digits by algorithm.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: BTreeMap<String, String>,
    /// More about it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub annotations: Map<String, Value>,
}

/// A statement about files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// Always [`STATEMENT_V1`].
    #[serde(rename = "_type")]
    pub statement_type: String,
    /// The files.
    pub subject: Vec<ResourceDescriptor>,
    /// What the predicate is.
    pub predicate_type: String,
    /// What is said of the files.
    pub predicate: Value,
}

/// How files came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// What was asked for.
    pub build_definition: BuildDefinition,
    /// What happened.
    pub run_details: RunDetails,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuildDefinition {
    /// How to read the parameters.
    pub build_type: String,
    /// What the user decided.
    pub external_parameters: Value,
    /// What the machine decided.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub internal_parameters: Value,
    /// What was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolved_dependencies: Vec<ResourceDescriptor>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunDetails {
    /// What did it.
    pub builder: Builder,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<RunMetadata>,
}

/// What did the work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Builder {
    /// Its name, as a URI.
    pub id: String,
    /// Versions of its parts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub version: BTreeMap<String, String>,
}

/// One execution.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RunMetadata {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invocation_id: Option<String>,
    /// When it began, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_on: Option<String>,
    /// When it ended, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_on: Option<String>,
}

impl Statement {
    /// Returns a statement of provenance.
    pub fn of_provenance(subject: Vec<ResourceDescriptor>, provenance: &Provenance) -> Self {
        Statement {
            statement_type: STATEMENT_V1.to_owned(),
            subject,
            predicate_type: PROVENANCE_V1.to_owned(),
            predicate: serde_json::to_value(provenance).expect("texts and values are JSON"),
        }
    }

    /// Reads a statement of any predicate.
    ///
    /// # Errors
    /// [`StatementError`] if it is none, or a subject cannot be checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        let statement: Statement = serde_json::from_slice(bytes)?;
        if statement.statement_type != STATEMENT_V1 {
            return Err(StatementError::Type {
                field: "_type",
                expected: STATEMENT_V1,
                found: statement.statement_type.chars().take(80).collect(),
            });
        }
        let problem = |n, problem| StatementError::Subject { n, problem };
        if statement.subject.is_empty() {
            return Err(problem(0, "is missing"));
        }
        if statement.subject.len() > MAX_SUBJECTS {
            return Err(problem(MAX_SUBJECTS, "is more than are read"));
        }
        let bare = statement
            .subject
            .iter()
            .position(|subject| subject.digest.is_empty());
        match bare {
            Some(n) => Err(problem(n, "has no digest")),
            None => Ok(statement),
        }
    }

    /// Reads the predicate as provenance.
    ///
    /// # Errors
    /// [`StatementError`] if it is something else.
    pub fn provenance(&self) -> Result<Provenance, StatementError> {
        if self.predicate_type != PROVENANCE_V1 {
            return Err(StatementError::Type {
                field: "predicateType",
                expected: PROVENANCE_V1,
                found: self.predicate_type.chars().take(80).collect(),
            });
        }
        Ok(serde_json::from_value(self.predicate.clone())?)
    }

    /// Returns its canonical JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        undertone_store::canonical_json(self).expect("texts and values are JSON")
    }
}
