//! What a run says about the origins of its models and data, in the words of `undertone_lineage`.
//!
//! Drafts are made from settings and from the records of steps, after the work and before the run is called finished, so
//! that a repeated command gives the same records. They hold no times. `mlp` knows the experiments on images, `lm` the
//! language models, `numbers` the experiments on them; how drafts are kept is in `commands::work`.

mod lm;
mod mlp;
mod numbers;

use anyhow::Result;
use undertone_core::Digest;
use undertone_lineage::files::digest_bytes;
use undertone_lineage::{Draft, Entity, EntityId, FileDigest, Name, Relation, Step, Verdict};
use undertone_store::{StepRecord, Store};

pub use lm::{merged, pretrained, sampled, scored, trained};
pub use mlp::{activation_of, aligned, experiments};
pub use numbers::{Bases, numbers};

/// The authority of names that a run gives.
const RUN: &str = "undertone";
/// The authority of names that steps give: of things that have no file of their own.
const STEP: &str = "undertone-step";

/// Where a draft is made.
pub struct Origins<'a> {
    /// The store of the run.
    pub store: &'a Store,
    /// The run.
    pub run: &'a str,
}

impl Origins<'_> {
    /// Returns the name of one of the run's things.
    pub fn name(&self, thing: &str) -> Name {
        Name::new(RUN, &format!("{}/{thing}", self.run))
    }

    /// Returns the digests of an object of the store.
    fn object(&self, name: &str, digest: &Digest) -> Result<FileDigest> {
        Ok(digest_bytes(name, &self.store.get(digest)?))
    }
}

/// Describes a step of the store.
fn step(draft: &mut Draft, record: &StepRecord) -> EntityId {
    let identity = &record.identity;
    draft.entity(Entity::Step(Step {
        kind: identity.kind.clone(),
        code: Some(format!("{} version {}", identity.kind, identity.version)),
        key: Some(record.key.to_string()),
        settings: identity.params.clone(),
        seeds: vec![identity.seed],
        started_at: None,
        ended_at: None,
    }))
}

/// Says that `name` is another name of the model `content`.
fn also_called(draft: &mut Draft, name: Name, content: EntityId) {
    let alias = draft.entity(undertone_lineage::entity::model_named(name));
    draft.edge(alias, content, Relation::SameAs {});
}

/// Adds a verdict on all of `judged`.
fn verdict(draft: &mut Draft, verdict: Verdict, judged: &[EntityId]) {
    let id = draft.entity(Entity::Verdict(verdict));
    for judged in judged {
        draft.edge(*judged, id, Relation::EvaluatedBy {});
    }
}
