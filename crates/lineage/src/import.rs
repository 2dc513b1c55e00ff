//! What others wrote about origins, read into drafts: cards, weight files, bills of materials, attestations, rows.
//!
//! Every file is hostile: sizes are bounded before anything is allocated, nesting is bounded, and what cannot be read is an
//! error that names the file, the place and the remedy. What a file says is `declared` by it, and no better; a signature
//! checked with a trusted key makes it `verified` (`intoto`). Nothing here follows a link or fetches anything.

mod bom;
mod card;
mod gguf;
mod intoto;
mod jsonl;
mod oms;
mod safetensors;
mod yaml;

use std::io;
use std::path::{Path, PathBuf};

use crate::entity::{EntityId, Name, model_named};
use crate::files::{ReadFileError, read_bounded};
use crate::record::Draft;
use crate::relation::Relation;
use crate::rows::RowsError;

pub use bom::import_cyclonedx;
pub use card::{CardKind, import_card};
pub use gguf::import_gguf;
pub use intoto::import_statement;
pub use jsonl::{JsonlOptions, import_jsonl};
pub use oms::import_oms;
pub use safetensors::import_safetensors;

/// The longest card, bill of materials or statement that is read.
pub const MAX_DOCUMENT_BYTES: u64 = 32 << 20;
/// The longest text that is taken over; longer ones are cut or refused.
pub(crate) const MAX_TEXT: usize = 4096;
/// The most entities one file may declare.
pub(crate) const MAX_ITEMS: usize = 10_000;

/// Something read into records.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The thing the file is about, first of several.
    pub subject: EntityId,
    /// The records, to be appended to a ledger.
    pub draft: Draft,
    /// What the file said that has no place in the graph, in words.
    pub ignored: Vec<String>,
}

/// A file could not be imported.
#[derive(Debug, thiserror::Error)]
#[error("cannot import `{}`", path.display())]
pub struct ImportError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub kind: Box<ImportErrorKind>,
}

/// Why a file could not be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportErrorKind {
    /// The operating system refused, or the file is too long.
    #[error("it cannot be read")]
    Io(#[source] io::Error),
    /// It is not UTF-8.
    #[error("it is not UTF-8 text")]
    NotText,
    /// It is not JSON.
    #[error("it is not JSON")]
    Json(#[source] serde_json::Error),
    /// It is JSON of another kind.
    #[error("{expected}: {found}")]
    NotThis {
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A card has no front matter.
    #[error("there is no front matter: the first line should be `---`, and a later one end it")]
    NoFrontMatter,
    /// The front matter is no YAML this program reads.
    #[error("line {line} of the front matter: {problem}")]
    Yaml {
        /// The line of the file, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A field has another type or value than it should.
    #[error("`{field}` {problem}")]
    Field {
        /// The field, as a path.
        field: String,
        /// What is wrong.
        problem: String,
    },
    /// A binary header is damaged.
    #[error("the header is damaged at byte {offset}: {problem}")]
    Header {
        /// Where.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// The rows cannot be read.
    #[error(transparent)]
    Rows(RowsError),
}

impl ImportError {
    pub(crate) fn new(path: &Path, kind: ImportErrorKind) -> Self {
        ImportError {
            path: path.to_owned(),
            kind: Box::new(kind),
        }
    }
}

pub(crate) fn read_document(path: &Path) -> Result<Vec<u8>, ImportError> {
    read_bounded(path, MAX_DOCUMENT_BYTES)
        .map_err(|error| ImportError::new(path, ImportErrorKind::Io(error)))
}

pub(crate) fn unreadable(error: ReadFileError) -> ImportError {
    ImportError::new(&error.path, ImportErrorKind::Io(error.source))
}

/// Returns the name of something on the Hugging Face hub: `OWNER/NAME`, or an address of it, with or without revision.
pub(crate) fn hub_name(text: &str) -> Option<Name> {
    let text = text.trim();
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest
        .strip_prefix("huggingface.co/")
        .or_else(|| rest.strip_prefix("hf.co/"))
        .unwrap_or(rest);
    let rest = rest.strip_prefix("datasets/").unwrap_or(rest);
    let (name, revision) = match rest.rsplit_once('@') {
        Some((name, revision)) => (name, Some(revision.to_owned())),
        None => (rest, None),
    };
    let is_name = |part: &str| {
        !part.is_empty()
            && part.len() <= 96
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let parts: Vec<&str> = name.split('/').collect();
    let fits = matches!(parts.len(), 1 | 2) && parts.iter().all(|part| is_name(part));
    fits.then(|| Name {
        authority: "hf".to_owned(),
        name: name.to_owned(),
        revision,
    })
}

/// Returns a name for a model or dataset of which a file gives some text: one of the hub if it has an owner.
pub(crate) fn name_of(text: &str) -> Name {
    hub_name(text)
        .filter(|name| name.name.contains('/'))
        .unwrap_or_else(|| Name::new("declared", text.trim()))
}

/// Adds `base` as what `model` was initialised from.
pub(crate) fn add_base(draft: &mut Draft, model: EntityId, base: &str, how: Option<&str>) {
    // Cards and metadata name bases as the hub does, the oldest ones without an owner.
    let name = hub_name(base).unwrap_or_else(|| name_of(base));
    let base = draft.entity(model_named(name));
    let how = how.map(str::to_owned);
    draft.edge(model, base, Relation::InitialisedFrom { how });
}

pub(crate) fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}
