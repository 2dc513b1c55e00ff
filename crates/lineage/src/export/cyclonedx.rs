//! A CycloneDX 1.7 bill of materials: models and data as components, pedigree, formulation, metrics with intervals.
//!
//! Metric values and bounds are strings, as the format wants them. The grade of a tie is a property of the component it
//! belongs to. A pedigree holds components without references of their own; the list of components has them with one.

use serde_json::{Map, Value, json};

use super::{Item, Scope, Tie, uuid_of};
use crate::entity::{Entity, EntityKind, FileDigest};
use crate::relation::{Relation, RelationKind};

/// Returns the document.
pub fn cyclonedx(scope: &Scope, at: &str) -> String {
    let components: Vec<Value> = scope
        .items
        .iter()
        .skip(1)
        .filter(|item| is_component(item))
        .map(|item| component(scope, item))
        .collect();
    let workflows: Vec<Value> = scope
        .items
        .iter()
        .enumerate()
        .filter_map(|(place, item)| workflow(scope, place, item))
        .collect();
    let mut bom = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": format!("urn:uuid:{}", uuid_of(&format!("{} {at}", scope.subject().id))),
        "version": 1,
        "metadata": {
            "timestamp": at,
            "tools": {"components": [{"type": "application", "name": "undertone", "version": env!("CARGO_PKG_VERSION")}]},
            "component": component(scope, scope.subject()),
        },
        "components": components,
    });
    if !workflows.is_empty() {
        bom["formulation"] = json!([{"bom-ref": "formulation", "workflows": workflows}]);
    }
    format!("{bom:#}\n")
}

fn is_component(item: &Item) -> bool {
    matches!(item.entity.kind(), EntityKind::Model | EntityKind::Dataset)
}

fn hashes(files: &[FileDigest]) -> Vec<Value> {
    // A component is one file; several files have one digest each, told apart by nothing but their order.
    files
        .iter()
        .map(|file| json!({"alg": "SHA-256", "content": file.sha256.hex()}))
        .collect()
}

/// A component without ties and without a reference.
fn bare(item: &Item) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("name", json!(item.name));
    let name = match &item.entity {
        Entity::Model(model) => model.name.as_ref(),
        Entity::Dataset(dataset) => dataset.name.as_ref(),
        _ => None,
    };
    if let Some(revision) = name.and_then(|name| name.revision.as_ref()) {
        put("version", json!(revision));
    }
    let files = match &item.entity {
        Entity::Model(model) => {
            put("type", json!("machine-learning-model"));
            &model.files
        }
        Entity::Dataset(dataset) => {
            put("type", json!("data"));
            put("data", json!([{"type": "dataset", "name": item.name}]));
            &dataset.files
        }
        _ => return fields,
    };
    if !files.is_empty() {
        put("hashes", json!(hashes(files)));
    }
    fields
}

fn component(scope: &Scope, item: &Item) -> Value {
    let mut fields = bare(item);
    fields.insert("bom-ref".to_owned(), json!(item.id.to_string()));
    let pedigree: Vec<&Tie> = item
        .ties
        .iter()
        .filter(|tie| {
            matches!(
                tie.relation.kind(),
                RelationKind::InitialisedFrom
                    | RelationKind::DerivedFrom
                    | RelationKind::FilteredFrom
                    | RelationKind::GeneratedBy
                    | RelationKind::DistilledFrom
            ) && is_component(&scope.items[tie.to])
        })
        .collect();
    if !pedigree.is_empty() {
        let ancestors: Vec<Value> = pedigree
            .iter()
            .map(|tie| Value::Object(bare(&scope.items[tie.to])))
            .collect();
        let notes: Vec<String> = pedigree
            .iter()
            .map(|tie| {
                let (kind, details, grade) =
                    (tie.relation.kind(), tie.relation.details(), tie.grade);
                let details = if details.is_empty() {
                    details
                } else {
                    format!(" ({details})")
                };
                format!("{kind} {}{details}: {grade}", scope.items[tie.to].name)
            })
            .collect();
        let pedigree = json!({"ancestors": ancestors, "notes": notes.join("; ")});
        fields.insert("pedigree".to_owned(), pedigree);
    }
    if let Some(card) = model_card(scope, item) {
        fields.insert("modelCard".to_owned(), card);
    }
    let mut properties = vec![json!({"name": "undertone:id", "value": item.id.to_string()})];
    if let Some(dataset) = item.dataset() {
        let row_set = dataset
            .row_set
            .map(|digest| ("undertone:row-set", digest.to_string()));
        let rows = dataset
            .rows
            .map(|rows| ("undertone:rows", rows.to_string()));
        let channel = dataset
            .channel
            .clone()
            .map(|channel| ("undertone:channel", channel));
        for (name, value) in row_set.into_iter().chain(rows).chain(channel) {
            properties.push(json!({"name": name, "value": value}));
        }
    }
    for tie in &item.ties {
        let (kind, grade) = (tie.relation.kind(), tie.grade);
        let value = format!("{} {grade}", scope.items[tie.to].id);
        properties.push(json!({"name": format!("undertone:{kind}"), "value": value}));
    }
    fields.insert("properties".to_owned(), Value::Array(properties));
    Value::Object(fields)
}

fn model_card(scope: &Scope, item: &Item) -> Option<Value> {
    let model = item.model()?;
    let mut parameters = Map::new();
    if let Some(architecture) = &model.architecture {
        parameters.insert("modelArchitecture".to_owned(), json!(architecture));
    }
    let datasets: Vec<Value> = item
        .by(RelationKind::TrainedOn)
        .map(|tie| json!({"ref": scope.items[tie.to].id.to_string()}))
        .collect();
    if !datasets.is_empty() {
        parameters.insert("datasets".to_owned(), json!(datasets));
    }
    let mut metrics = Vec::new();
    for tie in item.by(RelationKind::EvaluatedBy) {
        if let Some(verdict) = scope.items[tie.to].verdict() {
            for (name, value) in &verdict.numbers {
                if name.ends_with("-low") || name.ends_with("-high") {
                    continue;
                }
                let mut metric = json!({
                    "type": format!("{}: {name}", verdict.question),
                    "value": value.to_string(),
                });
                if let Some(scope) = &verdict.scope {
                    metric["slice"] = json!(scope);
                }
                let bound = |end: &str| verdict.numbers.get(&format!("{name}-{end}"));
                if let (Some(low), Some(high)) = (bound("low"), bound("high")) {
                    metric["confidenceInterval"] =
                        json!({"lowerBound": low.to_string(), "upperBound": high.to_string()});
                }
                metrics.push(metric);
            }
        }
    }
    let mut card = json!({"bom-ref": format!("{}/card", item.id), "modelParameters": parameters});
    if !metrics.is_empty() {
        card["quantitativeAnalysis"] = json!({"performanceMetrics": metrics});
    }
    Some(card)
}

/// A step as a workflow of one task, with what went in and what came out.
fn workflow(scope: &Scope, place: usize, item: &Item) -> Option<Value> {
    let step = item.step()?;
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    for other in scope.items.iter().filter(|other| is_component(other)) {
        for tie in &other.ties {
            if tie.step != Some(place) {
                continue;
            }
            let older = &scope.items[tie.to];
            if is_component(older) {
                inputs.push(older.id.to_string());
            }
            if !matches!(tie.relation, Relation::EvaluatedBy {}) {
                outputs.push(other.id.to_string());
            }
        }
    }
    // What one tie of a step made and another one read is on the way, not an input.
    inputs.retain(|id| !outputs.contains(id));
    for list in [&mut inputs, &mut outputs] {
        list.sort();
        list.dedup();
    }
    let id = item.id.to_string();
    let seeds: Vec<Value> = step
        .seeds
        .iter()
        .map(|seed| json!({"name": "undertone:seed", "value": seed.to_string()}))
        .collect();
    let mut workflow = json!({
        "bom-ref": id,
        "uid": step.key.clone().unwrap_or_else(|| item.id.to_string()),
        "name": step.kind,
        "taskTypes": ["build"],
        "inputs": inputs.iter().map(|id| json!({"resource": {"ref": id}})).collect::<Vec<_>>(),
        "outputs": outputs.iter().map(|id| json!({"type": "artifact", "resource": {"ref": id}})).collect::<Vec<_>>(),
    });
    if !seeds.is_empty() {
        workflow["properties"] = json!(seeds);
    }
    Some(workflow)
}
