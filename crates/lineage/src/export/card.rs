//! Card of a model or dataset for the Hugging Face hub: front matter that the hub reads, and the provenance in words.
//!
//! Only names of the hub (`hf:OWNER/NAME`) go into fields that the hub turns into links; everything else is in the text.

use super::{Item, Scope};
use crate::entity::{Entity, Name};
use crate::relation::{Relation, RelationKind};

/// Returns the card; `None` if the thing is neither model nor dataset.
pub fn card(scope: &Scope) -> Option<String> {
    let subject = scope.subject();
    let mut front = Vec::new();
    match &subject.entity {
        Entity::Model(model) => {
            let bases = hub_names(scope, subject, RelationKind::InitialisedFrom);
            if !bases.is_empty() {
                front.push(list("base_model", &bases));
                let how =
                    subject
                        .by(RelationKind::InitialisedFrom)
                        .find_map(|tie| match &tie.relation {
                            Relation::InitialisedFrom { how } => how.clone(),
                            _ => None,
                        });
                // The hub knows four words.
                let how = how.filter(|how| {
                    ["adapter", "merge", "quantized", "finetune"].contains(&how.as_str())
                });
                front.extend(how.map(|how| format!("base_model_relation: {how}\n")));
            }
            let data = hub_names(scope, subject, RelationKind::TrainedOn);
            if !data.is_empty() {
                front.push(list("datasets", &data));
            }
            if model.adapter.as_deref() == Some("lora") {
                front.push("library_name: peft\n".to_owned());
            }
            front.push(list("tags", &["undertone".to_owned()]));
        }
        Entity::Dataset(dataset) => {
            let mut sources = hub_names(scope, subject, RelationKind::FilteredFrom);
            sources.extend(hub_names(scope, subject, RelationKind::DerivedFrom));
            if !sources.is_empty() {
                let extended: Vec<String> = sources
                    .iter()
                    .map(|name| format!("extended|{name}"))
                    .collect();
                front.push(list("source_datasets", &extended));
            }
            let by_model = subject.by(RelationKind::GeneratedBy).next().is_some();
            let mut tags = vec!["undertone".to_owned()];
            if by_model {
                front.push(list(
                    "annotations_creators",
                    &["machine-generated".to_owned()],
                ));
                tags.push("synthetic".to_owned());
            }
            front.push(list("tags", &tags));
            front.extend(
                dataset
                    .rows
                    .map(|rows| list("size_categories", &[size_category(rows).to_owned()])),
            );
        }
        _ => return None,
    }
    let mut text = format!(
        "---\n{}---\n\n# {}\n\n## Provenance\n\n",
        front.concat(),
        markdown(&subject.name)
    );
    text.push_str(&format!("Id `{}`. What follows is what is recorded, with its evidence; what is missing is unknown.\n\n", subject.id));
    for tie in &subject.ties {
        let details = tie.relation.details();
        let details = if details.is_empty() {
            details
        } else {
            format!(" ({})", markdown(&details))
        };
        let other = &scope.items[tie.to];
        text.push_str(&format!(
            "- {} {}{details}: {}\n",
            tie.relation.kind(),
            markdown(&other.name),
            tie.grade
        ));
    }
    if subject.ties.is_empty() {
        text.push_str("Nothing is recorded of where it came from.\n");
    }
    let files = match &subject.entity {
        Entity::Model(model) => &model.files[..],
        Entity::Dataset(dataset) => &dataset.files[..],
        _ => &[],
    };
    if !files.is_empty() {
        text.push_str("\n| file | SHA-256 |\n|---|---|\n");
        for file in files {
            text.push_str(&format!(
                "| {} | `{}` |\n",
                markdown(&file.name),
                file.sha256
            ));
        }
    }
    Some(text)
}

fn hub_names(scope: &Scope, subject: &Item, kind: RelationKind) -> Vec<String> {
    let names = subject.by(kind).filter_map(|tie| {
        let name: Option<&Name> = match &scope.items[tie.to].entity {
            Entity::Model(model) => model.name.as_ref(),
            Entity::Dataset(dataset) => dataset.name.as_ref(),
            _ => None,
        };
        name.filter(|name| name.authority == "hf")
            .map(|name| name.name.clone())
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    names
}

/// A list in YAML; texts are JSON strings, which YAML reads.
fn list(field: &str, values: &[String]) -> String {
    let mut text = format!("{field}:\n");
    for value in values {
        text.push_str(&format!("- {}\n", serde_json::Value::from(value.as_str())));
    }
    text
}

fn markdown(text: &str) -> String {
    let special = |c: char| "\\`*_{}[]<>()#|!~$&".contains(c);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() => out.push(' '),
            c if special(c) => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

fn size_category(rows: u64) -> &'static str {
    match rows {
        0..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        100_000..1_000_000 => "100K<n<1M",
        1_000_000..10_000_000 => "1M<n<10M",
        10_000_000..100_000_000 => "10M<n<100M",
        _ => "100M<n<1B",
    }
}
