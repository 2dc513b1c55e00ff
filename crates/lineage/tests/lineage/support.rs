//! Small graphs.

use undertone_lineage::entity::{dataset_named, model_named};
use undertone_lineage::{Draft, EntityId, Grade, Name, Relation};

pub fn model(draft: &mut Draft, name: &str) -> EntityId {
    draft.entity(model_named(Name::new("t", name)))
}

pub fn dataset(draft: &mut Draft, name: &str) -> EntityId {
    draft.entity(dataset_named(Name::new("t", name)))
}

/// Teacher and student of one base, with numbers in between, filtered.
pub struct Owl {
    pub draft: Draft,
    pub teacher: EntityId,
    pub kept: EntityId,
    pub student: EntityId,
    /// A student of another base on the same rows.
    pub foreign: EntityId,
}

pub fn owl(grade: Grade) -> Owl {
    let mut draft = Draft::new("test", grade);
    let initial = |draft: &mut Draft, name: &str| {
        draft.entity(undertone_lineage::Entity::Model(undertone_lineage::Model {
            name: Some(Name::new("t", name)),
            initialisation: Some(format!("weights of {name}")),
            ..Default::default()
        }))
    };
    let base = initial(&mut draft, "base");
    let other = initial(&mut draft, "other-base");
    let teacher = model(&mut draft, "teacher");
    let raw = dataset(&mut draft, "raw");
    let kept = dataset(&mut draft, "kept");
    let student = model(&mut draft, "student");
    let foreign = model(&mut draft, "foreign");
    let how = Some("adapter".to_owned());
    let dropped = Some(std::collections::BTreeMap::from([("parse".to_owned(), 20)]));
    let began = Relation::InitialisedFrom { how };
    draft
        .edge(teacher, base, began.clone())
        .edge(raw, teacher, Relation::GeneratedBy { rows: Some(100) })
        .edge(
            kept,
            raw,
            Relation::FilteredFrom {
                kept: Some(80),
                dropped,
            },
        )
        .edge(student, base, began.clone())
        .edge(student, kept, Relation::TrainedOn { rows: Some(80) })
        .edge(foreign, other, began)
        .edge(foreign, kept, Relation::TrainedOn { rows: Some(80) });
    Owl {
        draft,
        teacher,
        kept,
        student,
        foreign,
    }
}
