//! CycloneDX bills of materials in JSON, 1.5 to 1.7: models, datasets, pedigree, and what the model cards name.
//!
//! A component with SHA-256 hashes is its content; one without is its name. `pedigree.ancestors` become
//! `initialised-from` between models and `derived-from` between datasets; `modelCard.modelParameters.datasets` become
//! `trained-on`. Other components are counted and left out.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use undertone_core::Sha256Digest;

use super::{ImportError, ImportErrorKind, Imported, MAX_ITEMS, cut, name_of, read_document};
use crate::entity::{Dataset, Entity, EntityId, EntityKind, FileDigest, Model, Name};
use crate::grade::Grade;
use crate::record::Draft;
use crate::relation::{Derivation, Relation};

const MAX_DEPTH: usize = 16;

/// Reads the bill of materials at `path`.
///
/// # Errors
/// [`ImportError`] if it is not one, or describes no model and no dataset.
pub fn import_cyclonedx(path: &Path) -> Result<Imported, ImportError> {
    let bytes = read_document(path)?;
    let file = path.file_name().map(|name| name.to_string_lossy());
    read_bom(&bytes, &file.unwrap_or_default()).map_err(|kind| ImportError::new(path, kind))
}

struct Bom {
    draft: Draft,
    by_ref: BTreeMap<String, (EntityKind, EntityId)>,
    found: Vec<EntityId>,
    n_items: usize,
    n_others: usize,
}

fn read_bom(bytes: &[u8], file: &str) -> Result<Imported, ImportErrorKind> {
    let bom: Value = serde_json::from_slice(bytes).map_err(ImportErrorKind::Json)?;
    if bom.get("bomFormat").and_then(Value::as_str) != Some("CycloneDX") {
        return Err(ImportErrorKind::NotThis {
            expected: "a CycloneDX document has `bomFormat` `CycloneDX`",
            found: bom
                .get("bomFormat")
                .map_or("there is none".to_owned(), Value::to_string),
        });
    }
    let mut reader = Bom {
        draft: Draft::new(format!("bill of materials {}", cut(file)), Grade::Declared),
        by_ref: BTreeMap::new(),
        found: Vec::new(),
        n_items: 0,
        n_others: 0,
    };
    let mut components: Vec<&Value> = bom.pointer("/metadata/component").into_iter().collect();
    components.extend(items(&bom, "components"));
    // References may point ahead, so that everything is known by its reference before ties are read.
    for component in &components {
        reader.component(component, 0)?;
    }
    for component in &components {
        reader.ties(component, 0)?;
    }
    let Some(subject) = reader.found.first().copied() else {
        return Err(ImportErrorKind::NotThis {
            expected: "a bill of materials of machine learning has components of type `machine-learning-model` or `data`",
            found: format!("{} components of other types", reader.n_others),
        });
    };
    let ignored = match reader.n_others {
        0 => Vec::new(),
        n => vec![format!("{n} components that are neither models nor data")],
    };
    Ok(Imported {
        subject,
        draft: reader.draft,
        ignored,
    })
}

fn items<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value
        .get(field)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value
        .get(field)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

impl Bom {
    /// Records a component and what it holds; returns what it is, if it is of ours.
    fn component(
        &mut self,
        component: &Value,
        depth: usize,
    ) -> Result<Option<(EntityKind, EntityId)>, ImportErrorKind> {
        let field = |problem: &str| ImportErrorKind::Field {
            field: "components".to_owned(),
            problem: problem.to_owned(),
        };
        self.n_items += 1;
        if self.n_items > MAX_ITEMS || depth > MAX_DEPTH {
            return Err(field("has more, or deeper, entries than are read"));
        }
        for nested in items(component, "components") {
            self.component(nested, depth + 1)?;
        }
        let name = || {
            let bare = text(component, "name").unwrap_or("unnamed");
            let full = match text(component, "group").or_else(|| text(component, "publisher")) {
                Some(group) if !bare.contains('/') => format!("{group}/{bare}"),
                _ => bare.to_owned(),
            };
            Name {
                revision: text(component, "version").map(cut),
                ..name_of(&cut(&full))
            }
        };
        let files = self.files(component)?;
        let (kind, entity) = match text(component, "type") {
            Some("machine-learning-model") => (
                EntityKind::Model,
                Entity::Model(Model {
                    name: Some(name()),
                    files,
                    architecture: component
                        .pointer("/modelCard/modelParameters/modelArchitecture")
                        .and_then(Value::as_str)
                        .map(cut),
                    ..Model::default()
                }),
            ),
            Some("data") => (
                EntityKind::Dataset,
                Entity::Dataset(Dataset {
                    name: Some(name()),
                    files,
                    ..Dataset::default()
                }),
            ),
            _ => {
                self.n_others += 1;
                return Ok(None);
            }
        };
        let id = self.draft.entity(entity);
        self.found.push(id);
        if let Some(reference) = text(component, "bom-ref") {
            self.by_ref.insert(reference.to_owned(), (kind, id));
        }
        Ok(Some((kind, id)))
    }

    fn files(&self, component: &Value) -> Result<Vec<FileDigest>, ImportErrorKind> {
        let mut files = Vec::new();
        for hash in items(component, "hashes") {
            if text(hash, "alg") != Some("SHA-256") {
                continue;
            }
            let content = text(hash, "content")
                .unwrap_or_default()
                .to_ascii_lowercase();
            let sha256: Sha256Digest = content.parse().map_err(|_| ImportErrorKind::Field {
                field: "hashes".to_owned(),
                problem: "has a SHA-256 that is not 64 hexadecimal digits".to_owned(),
            })?;
            files.push(FileDigest {
                name: cut(text(component, "name").unwrap_or_default()),
                bytes: None,
                sha256,
                blake3: None,
            });
        }
        Ok(files)
    }

    fn ties(&mut self, component: &Value, depth: usize) -> Result<(), ImportErrorKind> {
        if depth > MAX_DEPTH {
            return Ok(());
        }
        for nested in items(component, "components") {
            self.ties(nested, depth + 1)?;
        }
        let Some((kind, id)) = text(component, "bom-ref")
            .and_then(|reference| self.by_ref.get(reference).copied())
            .or(self.again(component)?)
        else {
            return Ok(());
        };
        let pedigree = component.get("pedigree").unwrap_or(&Value::Null);
        for ancestor in items(pedigree, "ancestors") {
            let Some((of, ancestor)) = self.component(ancestor, depth + 1)? else {
                continue;
            };
            let relation = match (kind, of) {
                (EntityKind::Model, EntityKind::Model) => Relation::InitialisedFrom { how: None },
                (EntityKind::Model, EntityKind::Dataset) => Relation::TrainedOn { rows: None },
                (EntityKind::Dataset, EntityKind::Model) => Relation::GeneratedBy { rows: None },
                _ => Relation::DerivedFrom {
                    how: Derivation::Other("pedigree".to_owned()),
                    rows: None,
                },
            };
            self.draft.edge(id, ancestor, relation);
        }
        let parameters = component
            .pointer("/modelCard/modelParameters")
            .unwrap_or(&Value::Null);
        for dataset in items(parameters, "datasets") {
            let referred = text(dataset, "ref").and_then(|reference| self.by_ref.get(reference));
            let dataset = match referred {
                Some((EntityKind::Dataset, dataset)) => *dataset,
                Some(_) => continue,
                None => match text(dataset, "name").or_else(|| text(dataset, "ref")) {
                    None => continue,
                    Some(name) => self.draft.entity(Entity::Dataset(Dataset {
                        name: Some(name_of(&cut(name))),
                        ..Dataset::default()
                    })),
                },
            };
            self.draft
                .edge(id, dataset, Relation::TrainedOn { rows: None });
        }
        Ok(())
    }

    /// Returns what a component without a reference is.
    fn again(
        &mut self,
        component: &Value,
    ) -> Result<Option<(EntityKind, EntityId)>, ImportErrorKind> {
        let is_ours = matches!(
            text(component, "type"),
            Some("machine-learning-model" | "data")
        );
        match is_ours {
            true => self.component(component, MAX_DEPTH),
            false => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::graph::Graph;
    use crate::query::Shared;

    fn bom() -> String {
        let hash = Sha256Digest::of(b"weights").hex();
        format!(
            "{{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.6\",\"components\":[{{\"type\":\"library\",\"name\":\"x\"}},\
             {{\"type\":\"machine-learning-model\",\"bom-ref\":\"m\",\"name\":\"student\",\"hashes\":[{{\"alg\":\"SHA-256\",\"content\":\"{hash}\"}}],\
             \"pedigree\":{{\"ancestors\":[{{\"type\":\"machine-learning-model\",\"group\":\"org\",\"name\":\"base\"}}]}},\
             \"modelCard\":{{\"modelParameters\":{{\"datasets\":[{{\"ref\":\"d\"}}]}}}}}},\
             {{\"type\":\"data\",\"bom-ref\":\"d\",\"name\":\"numbers\",\"version\":\"2\"}}]}}"
        )
    }

    #[test]
    fn pedigree_and_model_cards_become_edges() {
        let imported = read_bom(bom().as_bytes(), "bom.json").expect("the document is good");
        assert_eq!(
            imported.ignored,
            ["1 components that are neither models nor data"]
        );
        let graph = Graph::from_records(imported.draft.into_records());
        let base = graph.resolve("org/base").expect("declared");
        let student = graph.resolve("student").expect("declared");
        assert_eq!(student, imported.subject);
        assert_eq!(
            graph.common(base, student).expect("in memory").shared,
            Shared::Yes
        );
        let data = graph.resolve("numbers").expect("declared");
        assert_eq!(
            graph
                .why(data, student, 9)
                .expect("in memory")
                .forward
                .len(),
            1
        );
    }

    #[test]
    fn other_documents_are_refused() {
        for text in [
            "{}",
            "[]",
            "{\"bomFormat\":\"SPDX\"}",
            "{\"bomFormat\":\"CycloneDX\",\"components\":[]}",
            "nonsense",
        ] {
            assert!(read_bom(text.as_bytes(), "x").is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn mutated_documents_are_read_or_refused(at in any::<prop::sample::Index>(), insert in "[{}\\[\\]\":,a-z0-9]{0,6}") {
            let mut text = bom();
            let at = at.index(text.len());
            text.insert_str(at, &insert);
            let _ = read_bom(text.as_bytes(), "x");
        }
    }
}
