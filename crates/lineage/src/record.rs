//! One line of the ledger: an entity described, or an edge; and the draft in which records are collected.
//!
//! A record is its canonical JSON and is named by the digest of that. It holds no time of writing, so that two people
//! who record the same fact in the same words write the same record.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Digest;
use undertone_store::canonical_json;

use crate::entity::{Entity, EntityId};
use crate::grade::Grade;
use crate::relation::{Edge, Relation};

/// An entity, with who describes it so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The entity.
    pub entity: Entity,
    /// How well the description is known.
    pub grade: Grade,
    /// Who says so.
    pub by: String,
}

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// An entity is described.
    Entity(Description),
    /// Two entities are tied.
    Edge(Edge),
}

impl Record {
    /// Returns its canonical JSON, without a newline.
    pub(crate) fn line(&self) -> Vec<u8> {
        let mut line = canonical_json(self).expect("texts, numbers and digests are JSON");
        line.pop();
        line
    }

    /// Returns its name: the BLAKE3 digest of its canonical JSON.
    pub fn id(&self) -> Digest {
        Digest::of(&self.line())
    }
}

/// Records on their way into the ledger, all said by one source.
#[derive(Debug, Clone)]
pub struct Draft {
    by: String,
    grade: Grade,
    step: Option<EntityId>,
    records: Vec<Record>,
}

impl Draft {
    /// Begins a draft: everything in it is said by `by` and known as well as `grade`.
    pub fn new(by: impl Into<String>, grade: Grade) -> Self {
        Draft {
            by: by.into(),
            grade,
            step: None,
            records: Vec::new(),
        }
    }

    /// Begins a draft of what this program itself did.
    pub fn observed() -> Self {
        Self::new(
            concat!("undertone ", env!("CARGO_PKG_VERSION")),
            Grade::Observed,
        )
    }

    /// Says that the edges added from here on came about in `step`; `None` ends that.
    pub fn within(&mut self, step: Option<EntityId>) -> &mut Self {
        self.step = step;
        self
    }

    /// Says that what is added from here on is known as well as `grade`.
    pub fn graded(&mut self, grade: Grade) -> &mut Self {
        self.grade = grade;
        self
    }

    /// Describes `entity` and returns its id. A name beside content is recorded as its own entity, tied by `same-as`.
    pub fn entity(&mut self, entity: Entity) -> EntityId {
        let id = entity.id();
        let named = entity.named_only();
        self.describe(entity);
        if let Some(named) = named {
            let name = named.id();
            self.describe(named);
            self.edge(name, id, Relation::SameAs {});
        }
        id
    }

    fn describe(&mut self, entity: Entity) {
        self.records.push(Record::Entity(Description {
            entity,
            grade: self.grade,
            by: self.by.clone(),
        }));
    }

    /// Adds an edge, from the younger to the older thing (`evaluated-by`: from what is judged to the verdict).
    pub fn edge(&mut self, from: EntityId, to: EntityId, relation: Relation) -> &mut Self {
        self.records.push(Record::Edge(Edge {
            from,
            to,
            relation,
            grade: self.grade,
            by: self.by.clone(),
            step: self.step,
        }));
        self
    }

    /// Adds the records of another draft.
    pub fn extend(&mut self, other: Draft) -> &mut Self {
        self.records.extend(other.records);
        self
    }

    /// Returns what was collected.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Returns what was collected.
    pub fn into_records(self) -> Vec<Record> {
        self.records
    }
}
