//! A run under signature: every file of its folder, the records of its steps and the objects those name.
//!
//! The envelope lies at `lineage/signatures/<run>.<key>.dsse.json` in the store, outside the run, which it does not
//! change. Verification reads every file again, in the order of their names, and reports each that is missing, changed
//! or not listed, with what was expected and found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use undertone_core::{Digest, Sha256Digest};
use undertone_store::{Document, RunView, StepRecord, Store, StoreError, write_atomic};

use super::dsse::{Envelope, EnvelopeError, EnvelopeErrorKind, STATEMENT_TYPE};
use super::keys::{PublicKey, SigningKey};
use super::statement::{
    BuildDefinition, Builder, Provenance, ResourceDescriptor, RunDetails, RunMetadata, Statement,
    StatementError,
};
use crate::entity::Entity;
use crate::files::{ReadFileError, digest_file};
use crate::ledger::{LedgerError, read_records_file};
use crate::record::Record;

/// How to read the parameters of a run's provenance.
const BUILD_TYPE: &str = "urn:undertone:run:1";
const BUILDER: &str = "urn:undertone:cli";
/// The lock of a run belongs to no record.
const LOCK: &str = "lock";

/// The attachment of a run that holds its lineage.
pub const RUN_LINEAGE: &str = "lineage.jsonl";

/// A run could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// A file of it cannot be read.
    #[error(transparent)]
    File(#[from] ReadFileError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The run's lineage cannot be read.
    #[error(transparent)]
    Lineage(#[from] LedgerError),
    /// The run is not finished: its files would change.
    #[error("the run `{run}` is not finished: only finished runs are signed")]
    NotFinished {
        /// The run.
        run: String,
    },
    /// The record of a step is not what the store writes.
    #[error("the record of step `{key}` is damaged")]
    Step {
        /// The step.
        key: String,
    },
}

/// How a file differs from what was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceKind {
    /// It is not there.
    Missing {},
    /// It has other bytes.
    Changed {
        /// The SHA-256 signed.
        expected: String,
        /// The SHA-256 found.
        found: String,
        /// The sizes signed and found, if they differ.
        sizes: Option<(u64, u64)>,
    },
    /// It is in the run's folder and was not signed.
    Added {},
    /// It cannot be read or its name leads out of the store.
    Unreadable {
        /// Why.
        why: String,
    },
}

/// A file that differs from what was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// The file, from the store's root.
    pub file: String,
    /// How it differs.
    pub kind: DifferenceKind,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = crate::graph::clean(&self.file);
        match &self.kind {
            DifferenceKind::Missing {} => write!(f, "`{file}` is missing"),
            DifferenceKind::Added {} => write!(f, "`{file}` was added after signing"),
            DifferenceKind::Unreadable { why } => write!(f, "`{file}` cannot be checked: {why}"),
            DifferenceKind::Changed {
                expected,
                found,
                sizes,
            } => {
                write!(
                    f,
                    "`{file}` was changed: its SHA-256 should be {expected} and is {found}"
                )?;
                match sizes {
                    Some((signed, now)) => {
                        write!(f, " ({signed} bytes were signed, {now} are there)")
                    }
                    None => Ok(()),
                }
            }
        }
    }
}

/// What verifying a run found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunCheck {
    /// The run the statement is about, by its own word.
    pub run: Option<String>,
    /// The trusted keys that signed it.
    pub keys: Vec<String>,
    /// How many files were looked at.
    pub files: usize,
    /// What differs, in the order of names; the first is what to look at.
    pub differences: Vec<Difference>,
}

impl RunCheck {
    /// Says whether everything holds.
    pub fn holds(&self) -> bool {
        self.differences.is_empty()
    }

    /// Returns the exit code of this answer.
    pub fn exit_code(&self) -> u8 {
        match self.holds() {
            true => undertone_core::exit::DONE,
            false => undertone_core::exit::TAMPERED,
        }
    }
}

impl fmt::Display for RunCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX_LINES: usize = 20;
        let run = self.run.as_deref().unwrap_or("an unnamed run");
        let run = crate::graph::clean(run);
        let keys: Vec<&str> = self
            .keys
            .iter()
            .map(|key| &key[..key.len().min(12)])
            .collect();
        writeln!(
            f,
            "{run}: {} files, signed by {}",
            self.files,
            keys.join(", ")
        )?;
        for difference in self.differences.iter().take(MAX_LINES) {
            writeln!(f, "  {difference}")?;
        }
        match self.differences.len() {
            0 => writeln!(f, "all hold"),
            n if n > MAX_LINES => writeln!(f, "  and {} more differences", n - MAX_LINES),
            _ => Ok(()),
        }
    }
}

/// Returns the files a signature over a run covers, from the store's root: sorted, without duplicates.
///
/// # Errors
/// If the folder or a step's record cannot be read.
pub fn signed_run_files(store: &Store, run: &RunView) -> Result<Vec<String>, SignError> {
    let mut files = BTreeSet::new();
    let folder = relative(store.root(), &run.folder);
    for name in names_in(&run.folder)? {
        if name != LOCK {
            files.insert(format!("{folder}/{name}"));
        }
    }
    for key in steps_of(run)? {
        let damaged = || SignError::Step { key: key.clone() };
        let digest: Digest = key.parse().map_err(|_| damaged())?;
        let record = format!("steps/{}/{digest}.json", &key[..2]);
        let bytes = std::fs::read(store.root().join(&record)).map_err(|_| damaged())?;
        let document: Document<StepRecord> =
            serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        files.insert(record);
        for output in document.body.outputs.values() {
            let hex = output.hex();
            files.insert(format!("objects/{}/{hex}", &hex[..2]));
        }
    }
    Ok(files.into_iter().collect())
}

/// Returns the keys of the steps a run did, and of those it took from the store, which its lineage names.
fn steps_of(run: &RunView) -> Result<BTreeSet<String>, SignError> {
    let mut keys = BTreeSet::new();
    for event in run.events()?.events {
        let key = event.data.get("key").and_then(Value::as_str);
        keys.extend(key.filter(|_| event.kind == "step").map(str::to_owned));
    }
    if run.manifest.attachments.contains_key(RUN_LINEAGE) {
        let bytes = run.attachment(RUN_LINEAGE)?;
        let path = run.folder.join(RUN_LINEAGE);
        for record in read_records_file(&path, &bytes)? {
            if let Record::Entity(description) = record
                && let Entity::Step(step) = description.entity
            {
                keys.extend(step.key);
            }
        }
    }
    Ok(keys)
}

/// Returns the statement of a finished run's files and provenance.
///
/// # Errors
/// [`NotFinished`](SignError::NotFinished), or a file cannot be read.
pub fn run_statement(store: &Store, run: &RunView) -> Result<Statement, SignError> {
    if run.manifest.ended_at.is_none() || run.manifest.result.is_none() {
        let run = run.id().to_string();
        return Err(SignError::NotFinished { run });
    }
    let mut subject = Vec::new();
    for file in signed_run_files(store, run)? {
        let digest = digest_file(&store.root().join(&file))?;
        subject.push(ResourceDescriptor {
            name: file,
            digest: BTreeMap::from([("sha256".to_owned(), digest.sha256.hex())]),
            annotations: json!({"bytes": digest.bytes})
                .as_object()
                .cloned()
                .unwrap_or_default(),
            ..ResourceDescriptor::default()
        });
    }
    let dependencies = run
        .settings
        .inputs
        .iter()
        .map(|(name, digest)| ResourceDescriptor {
            name: name.clone(),
            digest: BTreeMap::from([("blake3".to_owned(), digest.hex())]),
            ..ResourceDescriptor::default()
        });
    let manifest = &run.manifest;
    let mut version =
        BTreeMap::from([("undertone".to_owned(), manifest.undertone_version.clone())]);
    version.extend(
        manifest
            .git_revision
            .clone()
            .map(|revision| ("git".to_owned(), revision)),
    );
    let provenance = Provenance {
        build_definition: BuildDefinition {
            build_type: BUILD_TYPE.to_owned(),
            external_parameters: json!({
                "command": run.settings.command,
                "settings": run.settings.settings,
            }),
            internal_parameters: serde_json::to_value(&run.environment).unwrap_or_default(),
            resolved_dependencies: dependencies.collect(),
        },
        run_details: RunDetails {
            builder: Builder {
                id: BUILDER.to_owned(),
                version,
            },
            metadata: Some(RunMetadata {
                invocation_id: Some(run.id().to_string()),
                started_on: Some(manifest.started_at.clone()),
                finished_on: manifest.ended_at.clone(),
            }),
        },
    };
    Ok(Statement::of_provenance(subject, &provenance))
}

/// Signs a finished run and stores the envelope; returns where.
///
/// # Errors
/// As [`run_statement`], or if the envelope cannot be written.
pub fn sign_run(store: &Store, run: &RunView, key: &SigningKey) -> Result<PathBuf, SignError> {
    let statement = run_statement(store, run)?;
    let envelope = Envelope::sign(STATEMENT_TYPE, &statement.to_bytes(), &[key]);
    let path = envelope_path(store.root(), run.id().as_str(), &key.public());
    write_atomic(&path, &envelope.to_bytes())?;
    Ok(path)
}

/// Returns where the envelope of a run by a key lies.
pub fn envelope_path(store: &Path, run: &str, key: &PublicKey) -> PathBuf {
    let folder = store.join("lineage").join("signatures");
    folder.join(format!("{run}.{}.dsse.json", &key.id()[..12]))
}

/// Checks the envelope at `path` with trusted keys, then every file it lists against the store at `root`.
///
/// # Errors
/// [`EnvelopeError`] if the envelope itself does not hold; differing files are in the answer.
pub fn verify_run(
    root: &Path,
    path: &Path,
    trusted: &[PublicKey],
) -> Result<RunCheck, EnvelopeError> {
    let fail = |kind| EnvelopeError {
        path: path.to_owned(),
        kind,
    };
    let verified = Envelope::read(path)?.verify(trusted).map_err(fail)?;
    if verified.payload_type != STATEMENT_TYPE {
        let found = verified.payload_type.chars().take(80).collect();
        return Err(fail(EnvelopeErrorKind::PayloadType { found }));
    }
    let statement = Statement::parse(&verified.payload).map_err(|error| {
        fail(match error {
            StatementError::Json(error) => EnvelopeErrorKind::Json(error),
            other => EnvelopeErrorKind::PayloadType {
                found: other.to_string(),
            },
        })
    })?;
    let metadata = statement
        .provenance()
        .ok()
        .and_then(|provenance| provenance.run_details.metadata);
    Ok(RunCheck {
        run: metadata.and_then(|metadata| metadata.invocation_id),
        keys: verified.keys,
        files: statement.subject.len(),
        differences: differences(root, &statement),
    })
}

/// Compares every subject with the file of its name below `root`, and run folders with what is listed of them.
fn differences(root: &Path, statement: &Statement) -> Vec<Difference> {
    let mut found: BTreeMap<String, DifferenceKind> = BTreeMap::new();
    let mut folders = BTreeSet::new();
    let mut listed = BTreeSet::new();
    for subject in &statement.subject {
        listed.insert(subject.name.clone());
        let mut parts = subject.name.split('/');
        if let (Some("runs"), Some(run), Some(_)) = (parts.next(), parts.next(), parts.next()) {
            folders.insert(format!("runs/{run}"));
        }
        if let Some(kind) = compare(root, subject) {
            found.insert(subject.name.clone(), kind);
        }
    }
    for folder in folders.iter().filter(|folder| is_inside(folder)) {
        for name in names_in(&root.join(folder)).unwrap_or_default() {
            let file = format!("{folder}/{name}");
            if name != LOCK && !listed.contains(&file) {
                found.insert(file, DifferenceKind::Added {});
            }
        }
    }
    found
        .into_iter()
        .map(|(file, kind)| Difference { file, kind })
        .collect()
}

fn compare(root: &Path, subject: &ResourceDescriptor) -> Option<DifferenceKind> {
    let unreadable = |why: &str| {
        Some(DifferenceKind::Unreadable {
            why: why.to_owned(),
        })
    };
    if !is_inside(&subject.name) {
        return unreadable("its name leads out of the store");
    }
    let Some(Ok(expected)) = subject
        .digest
        .get("sha256")
        .map(|text| text.parse::<Sha256Digest>())
    else {
        return unreadable("no SHA-256 was signed");
    };
    let path = root.join(&subject.name);
    match std::fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Some(DifferenceKind::Missing {});
        }
        Err(error) => return unreadable(&error.to_string()),
        Ok(metadata) if !metadata.is_file() => return unreadable("it is no plain file"),
        Ok(_) => {}
    }
    let digest = match digest_file(&path) {
        Ok(digest) => digest,
        Err(error) => return unreadable(&error.source.to_string()),
    };
    if digest.sha256 == expected {
        return None;
    }
    let signed = subject.annotations.get("bytes").and_then(Value::as_u64);
    let sizes = signed
        .zip(digest.bytes)
        .filter(|(signed, now)| signed != now);
    Some(DifferenceKind::Changed {
        expected: expected.hex(),
        found: digest.sha256.hex(),
        sizes,
    })
}

/// Says whether a name stays below the folder it is joined to.
fn is_inside(name: &str) -> bool {
    let mut components = Path::new(name).components();
    !name.is_empty() && components.all(|part| matches!(part, Component::Normal(_)))
}

fn names_in(folder: &Path) -> Result<Vec<String>, ReadFileError> {
    let fail = |source| ReadFileError {
        path: folder.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        // Temporary files of a writer are not part of the record.
        let name = name.to_string_lossy().into_owned();
        if !(name.starts_with('.') && name.ends_with(".tmp")) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn relative(root: &Path, path: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    let parts = path
        .components()
        .map(|part| part.as_os_str().to_string_lossy());
    parts.collect::<Vec<_>>().join("/")
}
