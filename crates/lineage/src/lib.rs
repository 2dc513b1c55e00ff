//! Where models and data come from: recorded, queried, signed and checked.
//!
//! Entities (models, datasets, steps, verdicts) and edges between them, each with a grade of evidence and with who says
//! so, lie in an append-only ledger beside the store's objects. Everything else asks it. The rule that holds everywhere:
//! what is not recorded is unknown, and unknown is never read as "no".
//!
//! In reading order: `grade`, `entity`, `relation` and `record` say what is recorded; `rows` and `files` give content its
//! digests; `ledger` keeps records and `graph` reads them; `query` asks, `picture` draws, `import` reads what others
//! wrote, `gate` enforces policies, `envelope` signs and verifies. Formats: `docs/src/lineage.md`; reasons:
//! `docs/design/lineage.md`. No terminal, no network, and no knowledge of experiments.

pub mod entity;
pub mod grade;
pub mod record;
pub mod relation;

pub mod files;
pub mod rows;

pub mod graph;
pub mod ledger;
pub mod picture;
pub mod query;

pub mod export;
pub mod gate;
pub mod kinship;

pub mod envelope;
pub mod import;
pub mod verify;

mod schemas;

pub use entity::{
    Dataset, Entity, EntityId, EntityKind, FileDigest, Model, Name, Origin, Step, Verdict,
};
pub use grade::Grade;
pub use graph::{Graph, Node, ResolveError};
pub use ledger::{Ledger, LedgerError};
pub use record::{Draft, Record};
pub use relation::{Derivation, Edge, Relation, RelationKind};
pub use schemas::schemas;
