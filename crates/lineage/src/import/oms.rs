//! OpenSSF model signatures: which files are a model, by the word of whoever signed them.
//!
//! With a trusted key that signed it the description is `verified`; without, it is `declared`. The files themselves are not
//! looked at: that is `lineage verify`.

use std::path::Path;

use serde_json::Value;
use undertone_core::Sha256Digest;

use super::{ImportError, ImportErrorKind, Imported, MAX_ITEMS, cut, read_document};
use crate::entity::{Entity, FileDigest, Model, Name};
use crate::envelope::{OMS_PREDICATE, OmsPublicKey, Statement, read_oms, unverified_statement};
use crate::grade::Grade;
use crate::record::Draft;

/// Reads the signature at `path`; `name` is the model's, if the signer's word for it is not wanted.
///
/// # Errors
/// [`ImportError`] if it is no model signature. One that the key did not sign is read, and said to be declared.
pub fn import_oms(
    path: &Path,
    name: Option<Name>,
    trusted: &[OmsPublicKey],
) -> Result<Imported, ImportError> {
    let bytes = read_document(path)?;
    let file = path.file_name().map(|name| name.to_string_lossy());
    let file = cut(&file.unwrap_or_default());
    let signer = trusted.iter().find_map(|key| {
        let statement = read_oms(path, key).ok()?;
        Some((statement, key.hint()))
    });
    let read = || match signer {
        Some((statement, hint)) => {
            let by = format!("key {}", &hint[..12]);
            draft(statement, Draft::new(by, Grade::Verified), name, Vec::new())
        }
        None => {
            let not_this = |found: &str| ImportErrorKind::NotThis {
                expected: "an OpenSSF model signature",
                found: found.to_owned(),
            };
            let payload =
                unverified_statement(&bytes).ok_or_else(|| not_this("no Sigstore bundle"))?;
            let statement =
                Statement::parse(&payload).map_err(|error| not_this(&error.to_string()))?;
            let by = format!("signature {file}, not trusted");
            let ignored = vec!["the signature: no trusted key made it".to_owned()];
            draft(statement, Draft::new(by, Grade::Declared), name, ignored)
        }
    };
    read().map_err(|kind| ImportError::new(path, kind))
}

fn draft(
    statement: Statement,
    mut draft: Draft,
    name: Option<Name>,
    mut ignored: Vec<String>,
) -> Result<Imported, ImportErrorKind> {
    let field = |field: &str, problem: &str| ImportErrorKind::Field {
        field: field.to_owned(),
        problem: problem.to_owned(),
    };
    if statement.predicate_type != OMS_PREDICATE {
        return Err(field("predicateType", "is not that of a model signature"));
    }
    let resources = statement
        .predicate
        .get("resources")
        .and_then(Value::as_array);
    let resources = resources.ok_or_else(|| field("predicate.resources", "is missing"))?;
    if resources.len() > MAX_ITEMS {
        return Err(field(
            "predicate.resources",
            "has more entries than are read",
        ));
    }
    let mut files = Vec::new();
    for resource in resources {
        let text = |name: &str| {
            resource
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let path = text("name");
        if !super::intoto::is_weights(path) {
            continue;
        }
        let digest = text("digest").parse::<Sha256Digest>();
        let (Ok(sha256), "sha256") = (digest, text("algorithm")) else {
            return Err(field(
                "predicate.resources",
                "has a weight file without SHA-256",
            ));
        };
        files.push(FileDigest {
            name: cut(path.rsplit('/').next().unwrap_or_default()),
            bytes: None,
            sha256,
            blake3: None,
        });
    }
    let others = resources.len() - files.len();
    if others > 0 {
        ignored.push(format!("{others} files that hold no weights"));
    }
    let said = statement.subject.first().map(|subject| cut(&subject.name));
    let said = said.filter(|name| !name.is_empty());
    let name = name.or(said.map(|name| Name::new("signed", &name)));
    if files.is_empty() && name.is_none() {
        return Err(field(
            "predicate.resources",
            "has no weight file, and the model has no name",
        ));
    }
    let subject = draft.entity(Entity::Model(Model {
        name,
        files,
        ..Model::default()
    }));
    Ok(Imported {
        subject,
        draft,
        ignored,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{OMS_FILE, OmsKey, sign_model};
    use crate::graph::Graph;

    #[test]
    fn a_trusted_signature_describes_the_weights_as_verified() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        std::fs::write(path.join("model.safetensors"), "weights").expect("writable");
        std::fs::write(path.join("config.json"), "{}").expect("writable");
        let key = OmsKey::generate().expect("randomness");
        let signature = path.join(OMS_FILE);
        sign_model(path, &signature, &key).expect("two files");
        let other = OmsKey::generate().expect("randomness").public();
        for (trusted, grade) in [(key.public(), Grade::Verified), (other, Grade::Declared)] {
            let imported = import_oms(&signature, None, &[trusted]).expect("a signature");
            let graph = Graph::from_records(imported.draft.into_records());
            let described = graph.descriptions_of(imported.subject).expect("in memory");
            assert_eq!(described[0].grade, grade);
            let Entity::Model(model) = &described[0].entity else {
                panic!("a model is signed");
            };
            assert_eq!(model.files[0].sha256, Sha256Digest::of(b"weights"));
        }
        std::fs::write(&signature, "{}").expect("writable");
        assert!(import_oms(&signature, None, &[]).is_err());
    }
}
