//! SPDX 3.0.1 in JSON-LD: AI packages, dataset packages and their relationships.
//!
//! The format has no word for data that a model wrote, so that a dataset's type is `text` or `noAssertion` and the writer is a
//! relationship (`generates`). Grades go along as comments.

use serde_json::{Value, json};

use super::{Item, Scope, Tie};
use crate::entity::{Entity, FileDigest};
use crate::relation::RelationKind;

const CONTEXT: &str = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld";

/// Returns the document. `at` is the time of its making, in whole seconds and UTC: `2026-01-31T12:00:00Z`.
pub fn spdx(scope: &Scope, at: &str) -> String {
    let base = format!("urn:undertone:spdx:{}", scope.subject().id);
    let name = |item: &Item| format!("urn:undertone:{}", item.id);
    let agent = format!("{base}#undertone");
    let mut graph = vec![
        json!({
            "type": "CreationInfo", "@id": "_:creation", "specVersion": "3.0.1", "created": at, "createdBy": [agent],
        }),
        json!({
            "type": "SoftwareAgent", "spdxId": agent, "creationInfo": "_:creation",
            "name": concat!("undertone ", env!("CARGO_PKG_VERSION")),
        }),
    ];
    let mut elements = vec![agent];
    for item in &scope.items {
        let Some(package) = package(item) else {
            continue;
        };
        elements.push(name(item));
        graph.push(package);
    }
    for (place, item) in scope.items.iter().enumerate() {
        for (n, tie) in item.ties.iter().enumerate() {
            let other = &scope.items[tie.to];
            let is_package = |item: &Item| item.model().is_some() || item.dataset().is_some();
            if !is_package(item) || !is_package(other) {
                continue;
            }
            let id = format!("{base}#tie-{place}-{n}");
            graph.push(relationship(&id, tie, &name(item), &name(other)));
            elements.push(id);
        }
    }
    let root = name(scope.subject());
    graph.push(json!({
        "type": "SpdxDocument",
        "spdxId": base,
        "creationInfo": "_:creation",
        "name": format!("Lineage of {}", scope.subject().name),
        "profileConformance": ["core", "software", "ai", "dataset"],
        "rootElement": [root],
        "element": elements,
    }));
    format!("{:#}\n", json!({"@context": CONTEXT, "@graph": graph}))
}

fn hashes(files: &[FileDigest]) -> Vec<Value> {
    files
        .iter()
        .map(|file| json!({"type": "Hash", "algorithm": "sha256", "hashValue": file.sha256.hex()}))
        .collect()
}

fn package(item: &Item) -> Option<Value> {
    let mut package = json!({
        "spdxId": format!("urn:undertone:{}", item.id),
        "creationInfo": "_:creation",
        "name": item.name,
        "comment": format!("described with evidence: {}", item.grade),
    });
    let files = match &item.entity {
        Entity::Model(model) => {
            package["type"] = json!("ai_AIPackage");
            if let Some(architecture) = &model.architecture {
                package["ai_typeOfModel"] = json!([architecture]);
            }
            package["software_primaryPurpose"] = json!("model");
            &model.files
        }
        Entity::Dataset(dataset) => {
            package["type"] = json!("dataset_DatasetPackage");
            let is_text = dataset.row_set.is_some();
            package["dataset_datasetType"] = json!([if is_text { "text" } else { "noAssertion" }]);
            package["software_primaryPurpose"] = json!("data");
            if let Some(channel) = &dataset.channel {
                package["dataset_intendedUse"] = json!(channel);
            }
            &dataset.files
        }
        _ => return None,
    };
    if !files.is_empty() {
        package["verifiedUsing"] = json!(hashes(files));
    }
    Some(package)
}

fn relationship(id: &str, tie: &Tie, younger: &str, older: &str) -> Value {
    let (from, to, word) = match tie.relation.kind() {
        RelationKind::TrainedOn => (younger, older, "trainedOn"),
        RelationKind::GeneratedBy => (older, younger, "generates"),
        RelationKind::InitialisedFrom => (younger, older, "descendantOf"),
        RelationKind::DerivedFrom | RelationKind::FilteredFrom => (older, younger, "ancestorOf"),
        RelationKind::PromptedWith => (older, younger, "hasInput"),
        _ => (younger, older, "dependsOn"),
    };
    let details = tie.relation.details();
    let details = if details.is_empty() {
        details
    } else {
        format!(" ({details})")
    };
    json!({
        "type": "Relationship",
        "spdxId": id,
        "creationInfo": "_:creation",
        "from": from,
        "to": [to],
        "relationshipType": word,
        "comment": format!("{}{details}; evidence: {}", tie.relation.kind(), tie.grade),
    })
}
