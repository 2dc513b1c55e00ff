//! The things of the graph: models, datasets, steps and verdicts, and what makes two of them the same.
//!
//! An entity is identified by content where there is content: a model by its weight files, a dataset by its rows. What
//! else is known (names, engines, counts) describes it and does not change its [`EntityId`], so that two people who
//! describe the same file talk about the same entity. What is known by name only is an entity of its own, tied to the
//! content by a `same-as` edge. Edges are in `relation`, the rows' digest in `rows`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use undertone_core::digest::ParseDigestError;
use undertone_core::{Digest, Sha256Digest};
use undertone_store::canonical_json;

/// The name of an entity: the BLAKE3 digest of the canonical JSON of its identity.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct EntityId(pub Digest);

impl EntityId {
    /// Returns the first twelve hexadecimal digits, for people.
    pub fn short(&self) -> String {
        self.0.hex()[..12].to_owned()
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for EntityId {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        text.parse().map(EntityId)
    }
}

/// Which of the four things an entity is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum EntityKind {
    /// Weights, or an adapter's weights.
    Model,
    /// Rows.
    Dataset,
    /// Something that was done.
    Step,
    /// Something that was concluded.
    Verdict,
}

impl EntityKind {
    /// Every kind, in the order of their numbers in the index.
    pub const ALL: [EntityKind; 4] = [
        EntityKind::Model,
        EntityKind::Dataset,
        EntityKind::Step,
        EntityKind::Verdict,
    ];

    /// Returns the word for it.
    pub const fn name(self) -> &'static str {
        match self {
            EntityKind::Model => "model",
            EntityKind::Dataset => "dataset",
            EntityKind::Step => "step",
            EntityKind::Verdict => "verdict",
        }
    }
}

impl fmt::Display for EntityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that somebody gave: `hf:OWNER/NAME@REVISION`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Name {
    /// Whose names these are: `hf`, `local`, `undertone`, a supplier.
    pub authority: String,
    /// The name, unique for the authority.
    pub name: String,
    /// The revision, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

impl Name {
    /// Returns a name without a revision.
    pub fn new(authority: &str, name: &str) -> Self {
        Name {
            authority: authority.to_owned(),
            name: name.to_owned(),
            revision: None,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.authority, self.name)?;
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Name {
    type Err = std::convert::Infallible;

    /// Reads `[AUTHORITY:]NAME[@REVISION]`; without an authority it is `local`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (authority, rest) = text.split_once(':').unwrap_or(("local", text));
        let (name, revision) = match rest.rsplit_once('@') {
            Some((name, revision)) if !name.is_empty() && !revision.is_empty() => {
                (name, Some(revision.to_owned()))
            }
            _ => (rest, None),
        };
        Ok(Name {
            authority: authority.to_owned(),
            name: name.to_owned(),
            revision,
        })
    }
}

/// A file, by what is in it.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// Its name, without folders; no part of any identity.
    pub name: String,
    /// Its size, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Its SHA-256, which other tools know it by.
    pub sha256: Sha256Digest,
    /// Its BLAKE3, if it is or could be an object of the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<Digest>,
}

/// Weights: identified by the SHA-256 of the files, by name if there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Its weight files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileDigest>,
    /// Names the initial weights, if this *is* an initialisation: a seed, a digest, the model's own name. Two models
    /// whose roots name different initialisations are known not to share one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initialisation: Option<String>,
    /// Its architecture, as its files call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The digest of its tokenizer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<Digest>,
    /// The digest of its chat template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<Digest>,
    /// The kind of adapter, if it is one: `lora`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// The type of its numbers: `f32`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// How it was quantised: `Q4_K_M`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantisation: Option<String>,
    /// What serves it, with its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
}

/// Who wrote the rows of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Models: `generated-by` edges should say which.
    Models,
    /// People, or instruments.
    People,
    /// A program without a model: templates, a random number generator.
    Program,
}

/// Rows: identified by their row-set digest, else by the files, else by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dataset {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Its files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileDigest>,
    /// The digest of its rows, whatever their order and encoding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row_set: Option<Digest>,
    /// How many rows it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// The task its rows are about: `numbers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Who wrote its rows, if somebody says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// Something that was done: identified by kind, version, settings, seeds and, if there is one, its key in the store.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// What was done: `mlp/train-teacher`.
    pub kind: String,
    /// The version of the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The key the store knows it by, or another name of this one execution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The resolved settings.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub settings: Value,
    /// The seeds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub seeds: Vec<u64>,
    /// When it began, RFC 3339; no part of its identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended, RFC 3339; no part of its identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

/// Something that was concluded about a model or a dataset, or about two of them: identified by all of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Verdict {
    /// The question: `audit`, `transfer`, `kinship`.
    pub question: String,
    /// The answer: `clean`, `flagged`, `transfer`, `kin`, `not-kin`, `inconclusive`.
    pub outcome: String,
    /// What it was asked of, for a question that several have: the trait, the test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The rule or method, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The numbers behind it, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<String, f64>,
    /// The run or report that holds the details.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// A thing of the graph, with what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Entity {
    /// A model.
    Model(Model),
    /// A dataset.
    Dataset(Dataset),
    /// A step.
    Step(Step),
    /// A verdict.
    Verdict(Verdict),
}

/// What of an entity its id is the digest of.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Identity<'a> {
    Files(BTreeSet<Sha256Digest>),
    RowSet(Digest),
    Name(&'a Name),
    Content(&'a Entity),
}

#[derive(Serialize)]
struct IdentityDocument<'a> {
    format: &'static str,
    version: u32,
    kind: EntityKind,
    identity: Identity<'a>,
}

impl Entity {
    /// Returns which of the four things it is.
    pub fn kind(&self) -> EntityKind {
        match self {
            Entity::Model(_) => EntityKind::Model,
            Entity::Dataset(_) => EntityKind::Dataset,
            Entity::Step(_) => EntityKind::Step,
            Entity::Verdict(_) => EntityKind::Verdict,
        }
    }

    /// Returns its id: that of the identity, not of the description.
    pub fn id(&self) -> EntityId {
        let stripped;
        let identity = match self {
            Entity::Model(model) if !model.files.is_empty() => files(&model.files),
            Entity::Model(Model {
                name: Some(name), ..
            }) => Identity::Name(name),
            Entity::Dataset(Dataset {
                row_set: Some(digest),
                ..
            }) => Identity::RowSet(*digest),
            Entity::Dataset(dataset) if !dataset.files.is_empty() => files(&dataset.files),
            Entity::Dataset(Dataset {
                name: Some(name), ..
            }) => Identity::Name(name),
            Entity::Step(step) => {
                stripped = Entity::Step(Step {
                    started_at: None,
                    ended_at: None,
                    ..step.clone()
                });
                Identity::Content(&stripped)
            }
            other => Identity::Content(other),
        };
        let document = IdentityDocument {
            format: "undertone-lineage-identity",
            version: 1,
            kind: self.kind(),
            identity,
        };
        let bytes = canonical_json(&document).expect("texts, numbers and digests are JSON");
        EntityId(Digest::of(&bytes))
    }

    /// Returns the name people know it by, if it has one.
    pub fn name(&self) -> Option<String> {
        match self {
            Entity::Model(model) => model.name.as_ref().map(Name::to_string),
            Entity::Dataset(dataset) => dataset.name.as_ref().map(Name::to_string),
            Entity::Step(step) => Some(step.kind.clone()),
            Entity::Verdict(verdict) => Some(format!("{}: {}", verdict.question, verdict.outcome)),
        }
    }

    /// Returns the same thing known by nothing but its name; `None` if that is all that is known, or no name.
    pub fn named_only(&self) -> Option<Entity> {
        match self {
            Entity::Model(Model {
                name: Some(name),
                files,
                ..
            }) if !files.is_empty() => Some(model_named(name.clone())),
            Entity::Dataset(Dataset {
                name: Some(name),
                files,
                row_set,
                ..
            }) if !files.is_empty() || row_set.is_some() => Some(dataset_named(name.clone())),
            _ => None,
        }
    }
}

/// Returns a model of which only the name is known.
pub fn model_named(name: Name) -> Entity {
    Entity::Model(Model {
        name: Some(name),
        ..Model::default()
    })
}

/// Returns a dataset of which only the name is known.
pub fn dataset_named(name: Name) -> Entity {
    Entity::Dataset(Dataset {
        name: Some(name),
        ..Dataset::default()
    })
}

fn files(files: &[FileDigest]) -> Identity<'static> {
    Identity::Files(files.iter().map(|file| file.sha256).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> FileDigest {
        FileDigest {
            name: format!("{text}.safetensors"),
            bytes: None,
            sha256: Sha256Digest::of(text.as_bytes()),
            blake3: None,
        }
    }

    fn model(files: &[&str], name: &str) -> Entity {
        Entity::Model(Model {
            name: Some(Name::new("local", name)),
            files: files.iter().map(|text| file(text)).collect(),
            ..Model::default()
        })
    }

    #[test]
    fn the_same_weights_are_the_same_model_under_any_name_and_order() {
        assert_eq!(model(&["a", "b"], "x").id(), model(&["b", "a"], "y").id());
        assert_ne!(model(&["a"], "x").id(), model(&["a", "b"], "x").id());
        assert_ne!(model(&[], "x").id(), model(&["a"], "x").id());
        assert_ne!(model(&[], "x").id(), model(&[], "y").id());
    }

    #[test]
    fn a_model_and_a_dataset_of_one_name_are_two_things() {
        let name = || Name::new("hf", "a/b");
        assert_ne!(model_named(name()).id(), dataset_named(name()).id());
    }

    #[test]
    fn times_do_not_change_a_step() {
        let step = |at: Option<&str>, seed| {
            Entity::Step(Step {
                kind: "train".into(),
                seeds: vec![seed],
                started_at: at.map(str::to_owned),
                ..Step::default()
            })
            .id()
        };
        assert_eq!(step(None, 1), step(Some("2026-01-01T00:00:00Z"), 1));
        assert_ne!(step(None, 1), step(None, 2));
    }

    #[test]
    fn ids_are_what_they_were() {
        let id = model_named(Name::new("hf", "a/b")).id();
        let identity = "{\"format\":\"undertone-lineage-identity\",\"identity\":{\"name\":{\"authority\":\"hf\",\
                        \"name\":\"a/b\"}},\"kind\":\"model\",\"version\":1}\n";
        assert_eq!(id.0, Digest::of(identity.as_bytes()));
    }

    #[test]
    fn names_round_trip() {
        for text in ["hf:a/b", "hf:a/b@main", "local:x@1.0"] {
            let name: Name = text.parse().expect("never fails");
            assert_eq!(name.to_string(), text);
        }
        let name: Name = "plain".parse().expect("never fails");
        assert_eq!(name.to_string(), "local:plain");
    }
}
