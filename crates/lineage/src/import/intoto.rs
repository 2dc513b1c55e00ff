//! In-toto statements, bare or in a DSSE envelope: who made which files of what.
//!
//! Subjects and dependencies are models or datasets by the endings of their names; others are taken for datasets, which is
//! what most attested files that are no weights are. With a trusted key that signed the envelope the edges are `verified`:
//! the signer's word, unchanged. Without, they are `declared`, and an envelope whose signature is by nobody trusted is
//! declared too.

use std::path::Path;

use serde_json::Value;
use undertone_core::Sha256Digest;

use super::{ImportError, ImportErrorKind, Imported, MAX_ITEMS, cut, name_of, read_document};
use crate::entity::{Dataset, Entity, EntityId, EntityKind, FileDigest, Model, Name, Step};
use crate::envelope::{Envelope, PublicKey, ResourceDescriptor, Statement};
use crate::grade::Grade;
use crate::record::Draft;
use crate::relation::{Derivation, Relation};

/// Endings of files that hold weights.
const WEIGHTS: [&str; 8] = [
    ".safetensors",
    ".gguf",
    ".bin",
    ".pt",
    ".pth",
    ".onnx",
    ".ckpt",
    ".npz",
];

/// Reads the statement or envelope at `path`.
///
/// # Errors
/// [`ImportError`] if it is neither, or lists more than is read.
pub fn import_statement(path: &Path, trusted: &[PublicKey]) -> Result<Imported, ImportError> {
    let bytes = read_document(path)?;
    let file = path.file_name().map(|name| name.to_string_lossy());
    read_statement(&bytes, &file.unwrap_or_default(), trusted)
        .map_err(|kind| ImportError::new(path, kind))
}

fn read_statement(
    bytes: &[u8],
    file: &str,
    trusted: &[PublicKey],
) -> Result<Imported, ImportErrorKind> {
    let value: Value = serde_json::from_slice(bytes).map_err(ImportErrorKind::Json)?;
    let not_this = |found: String| ImportErrorKind::NotThis {
        expected: "an in-toto statement, or a DSSE envelope with one",
        found,
    };
    let mut ignored = Vec::new();
    let (payload, by, grade) = match value.get("payload") {
        None => (
            bytes.to_vec(),
            format!("statement {}", cut(file)),
            Grade::Declared,
        ),
        Some(_) => {
            let envelope: Envelope =
                serde_json::from_value(value).map_err(ImportErrorKind::Json)?;
            match envelope.verify(trusted) {
                Ok(verified) => {
                    let key = verified.keys.first().map_or("", |key| &key[..12]);
                    (verified.payload, format!("key {key}"), Grade::Verified)
                }
                Err(error) => {
                    ignored.push(format!("signature: {error}"));
                    let payload = envelope
                        .unverified_payload()
                        .ok_or_else(|| not_this("a payload that is not base64".to_owned()))?;
                    let by = format!("envelope {}, signature not trusted", cut(file));
                    (payload, by, Grade::Declared)
                }
            }
        }
    };
    let statement = Statement::parse(&payload).map_err(|error| not_this(error.to_string()))?;
    let mut draft = Draft::new(by, grade);
    let provenance = statement.provenance().ok();
    let definition = provenance
        .as_ref()
        .map(|provenance| &provenance.build_definition);
    let dependencies = definition.map_or(&[][..], |definition| &definition.resolved_dependencies);
    if statement.subject.len() + dependencies.len() > MAX_ITEMS
        || statement.subject.len().saturating_mul(dependencies.len()) > 10 * MAX_ITEMS
    {
        return Err(not_this(
            "one with more subjects and dependencies than are read".to_owned(),
        ));
    }
    let step = definition.map(|definition| {
        let details = provenance
            .as_ref()
            .map(|provenance| &provenance.run_details);
        let metadata = details.and_then(|details| details.metadata.as_ref());
        draft.entity(Entity::Step(Step {
            kind: cut(&definition.build_type),
            code: details.map(|details| cut(&details.builder.id)),
            key: metadata
                .and_then(|metadata| metadata.invocation_id.as_deref())
                .map(cut),
            settings: definition.external_parameters.clone(),
            seeds: Vec::new(),
            started_at: metadata.and_then(|metadata| metadata.started_on.clone()),
            ended_at: metadata.and_then(|metadata| metadata.finished_on.clone()),
        }))
    });
    draft.within(step);
    let mut first = None;
    let sources: Vec<(EntityKind, EntityId)> = dependencies
        .iter()
        .filter_map(|resource| add(&mut draft, resource, &mut ignored))
        .collect();
    for subject in &statement.subject {
        let Some((kind, id)) = add(&mut draft, subject, &mut ignored) else {
            continue;
        };
        first.get_or_insert(id);
        if let Some(step) = step {
            draft.edge(id, step, Relation::GeneratedBy { rows: None });
        }
        for (of, source) in &sources {
            let relation = match (kind, of) {
                (EntityKind::Model, EntityKind::Model) => Relation::InitialisedFrom { how: None },
                (EntityKind::Model, _) => Relation::TrainedOn { rows: None },
                (_, EntityKind::Model) => Relation::GeneratedBy { rows: None },
                _ => Relation::DerivedFrom {
                    how: Derivation::Other("attested".to_owned()),
                    rows: None,
                },
            };
            draft.edge(id, *source, relation);
        }
    }
    let subject = first.ok_or_else(|| not_this("one whose subjects have no SHA-256".to_owned()))?;
    Ok(Imported {
        subject,
        draft,
        ignored,
    })
}

fn add(
    draft: &mut Draft,
    resource: &ResourceDescriptor,
    ignored: &mut Vec<String>,
) -> Option<(EntityKind, EntityId)> {
    let name = match resource.name.is_empty() {
        true => &resource.uri,
        false => &resource.name,
    };
    let sha256 = resource.digest.get("sha256");
    let digest = sha256.and_then(|text| text.to_ascii_lowercase().parse::<Sha256Digest>().ok());
    if digest.is_none() && name.is_empty() {
        ignored.push("a resource without name and SHA-256".to_owned());
        return None;
    }
    let files: Vec<FileDigest> = digest
        .map(|sha256| FileDigest {
            name: cut(name.rsplit('/').next().unwrap_or_default()),
            bytes: resource.annotations.get("bytes").and_then(Value::as_u64),
            sha256,
            blake3: None,
        })
        .into_iter()
        .collect();
    let lower = name.to_ascii_lowercase();
    // The name of a file in somebody's folders is no name of the content.
    let is_weights = is_weights(&lower);
    let given: Option<Name> = files.is_empty().then(|| name_of(&cut(name)));
    let (kind, entity) = match is_weights {
        true => (
            EntityKind::Model,
            Entity::Model(Model {
                name: given,
                files,
                ..Model::default()
            }),
        ),
        false => (
            EntityKind::Dataset,
            Entity::Dataset(Dataset {
                name: given,
                files,
                ..Dataset::default()
            }),
        ),
    };
    Some((kind, draft.entity(entity)))
}

/// Says whether a file of this name holds weights.
pub(super) fn is_weights(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    WEIGHTS.iter().any(|ending| lower.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::envelope::{STATEMENT_TYPE, SigningKey};
    use crate::graph::Graph;

    fn statement() -> String {
        let hash = |text: &str| Sha256Digest::of(text.as_bytes()).hex();
        format!(
            "{{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":[{{\"name\":\"out/model.safetensors\",\"digest\":{{\"sha256\":\"{}\"}}}}],\
             \"predicateType\":\"https://slsa.dev/provenance/v1\",\"predicate\":{{\"buildDefinition\":{{\"buildType\":\"urn:x\",\"externalParameters\":{{}},\
             \"resolvedDependencies\":[{{\"name\":\"rows.jsonl\",\"digest\":{{\"sha256\":\"{}\"}}}},{{\"name\":\"base.safetensors\",\"digest\":{{\"sha256\":\"{}\"}}}}]}},\
             \"runDetails\":{{\"builder\":{{\"id\":\"urn:b\"}}}}}}}}",
            hash("model"),
            hash("rows"),
            hash("base")
        )
    }

    #[test]
    fn dependencies_become_edges_graded_by_the_signature() {
        let key = SigningKey::generate().expect("randomness");
        let text = statement();
        let envelope = Envelope::sign(STATEMENT_TYPE, text.as_bytes(), &[&key]).to_bytes();
        for (bytes, trusted, grade) in [
            (text.as_bytes(), vec![], Grade::Declared),
            (&envelope[..], vec![], Grade::Declared),
            (&envelope[..], vec![key.public()], Grade::Verified),
        ] {
            let imported = read_statement(bytes, "x", &trusted).expect("the statement is good");
            let graph = Graph::from_records(imported.draft.into_records());
            let reach = graph
                .ancestors(imported.subject, None)
                .expect("it is there");
            assert_eq!(reach.reached.len(), 3, "rows, base and step");
            assert!(reach.reached.iter().all(|reached| reached.weakest == grade));
        }
    }

    #[test]
    fn other_documents_are_refused() {
        for text in [
            "{}",
            "[1]",
            "{\"payload\":\"e30=\",\"payloadType\":\"x\",\"signatures\":[]}",
            "x",
        ] {
            assert!(read_statement(text.as_bytes(), "x", &[]).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn mutated_statements_are_read_or_refused(at in any::<prop::sample::Index>(), insert in "[{}\\[\\]\":,a-z0-9]{0,6}") {
            let mut text = statement();
            let at = at.index(text.len());
            text.insert_str(at, &insert);
            let _ = read_statement(text.as_bytes(), "x", &[]);
        }
    }
}
