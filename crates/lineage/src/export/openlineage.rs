//! OpenLineage events (2-0-2), one a line: every step behind a thing as a completed run with inputs and outputs.
//!
//! OpenLineage knows datasets only; a model is one, under a name that says so. Every facet says who made it and by which schema.

use serde_json::{Map, Value, json};

use super::{Item, PRODUCER, Scope, uuid_of};
use crate::entity::{Entity, EntityKind};
use crate::relation::RelationKind;

const EVENT: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
const NAMESPACE: &str = "undertone";

/// Returns the events; `at` is the time of steps that recorded none.
pub fn openlineage(scope: &Scope, at: &str) -> String {
    let mut out = String::new();
    for (place, item) in scope.items.iter().enumerate() {
        let Some(step) = item.step() else {
            continue;
        };
        let (mut inputs, mut outputs): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        for (at, other) in scope.items.iter().enumerate() {
            for tie in other.ties.iter().filter(|tie| tie.step == Some(place)) {
                if tie.relation.kind() != RelationKind::EvaluatedBy {
                    outputs.push(at);
                    inputs.push(tie.to);
                }
            }
        }
        inputs.retain(|input| !outputs.contains(input) && is_data(&scope.items[*input]));
        for list in [&mut inputs, &mut outputs] {
            list.sort_unstable();
            list.dedup();
        }
        let key = step.key.clone().unwrap_or_else(|| item.id.to_string());
        let event = json!({
            "eventType": "COMPLETE",
            "eventTime": step.ended_at.as_deref().unwrap_or(at),
            "run": {"runId": uuid_of(&key), "facets": {"undertone_step": facet(json!({
                "key": key,
                "code": step.code,
                "seeds": step.seeds,
                "settings": step.settings,
            }))}},
            "job": {"namespace": NAMESPACE, "name": step.kind, "facets": {"jobType": job_type()}},
            "inputs": inputs.iter().map(|at| dataset(&scope.items[*at])).collect::<Vec<_>>(),
            "outputs": outputs.iter().map(|at| dataset(&scope.items[*at])).collect::<Vec<_>>(),
            "producer": PRODUCER,
            "schemaURL": EVENT,
        });
        out.push_str(&event.to_string());
        out.push('\n');
    }
    out
}

fn is_data(item: &Item) -> bool {
    matches!(item.entity.kind(), EntityKind::Model | EntityKind::Dataset)
}

fn facet(mut fields: Value) -> Value {
    fields["_producer"] = json!(PRODUCER);
    fields["_schemaURL"] =
        json!("https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/BaseFacet");
    fields
}

fn job_type() -> Value {
    json!({
        "_producer": PRODUCER,
        "_schemaURL": "https://openlineage.io/spec/facets/2-0-3/JobTypeJobFacet.json#/$defs/JobTypeJobFacet",
        "processingType": "BATCH",
        "integration": "UNDERTONE",
        "jobType": "STEP",
    })
}

fn dataset(item: &Item) -> Value {
    let kind = item.entity.kind();
    let files = match &item.entity {
        Entity::Model(model) => &model.files[..],
        Entity::Dataset(dataset) => &dataset.files[..],
        _ => &[],
    };
    let mut facets = Map::new();
    facets.insert(
        "undertone_identity".to_owned(),
        facet(json!({
            "id": item.id,
            "kind": kind,
            "evidence": item.grade,
            "files": files.iter().map(|file| json!({"name": file.name, "sha256": file.sha256.hex()})).collect::<Vec<_>>(),
            "row_set": item.dataset().and_then(|dataset| dataset.row_set),
        })),
    );
    let version = files.first().map(|file| file.sha256.hex());
    facets.insert(
        "version".to_owned(),
        json!({
            "_producer": PRODUCER,
            "_schemaURL": "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet",
            "datasetVersion": version.unwrap_or_else(|| item.id.to_string()),
        }),
    );
    json!({"namespace": NAMESPACE, "name": format!("{kind}/{}", item.name), "facets": facets})
}
