//! OpenSSF model signatures (OMS): every file of a model's folder under one P-256 signature, as others write and read them.
//!
//! The signature is a Sigstore bundle with a DSSE envelope around an in-toto statement of predicate
//! `https://model_signing/signature/v1.0`: the list of files with digests, and a digest over that list as the one subject.
//! Files in the folder that are not listed and not said to be passed over are as wrong as changed ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use undertone_core::Sha256Digest;
use undertone_store::{StoreError, write_atomic};

use super::dsse::{Envelope, STATEMENT_TYPE, decode, pre_authentication_encoding};
use super::p256::{OmsKey, OmsPublicKey};
use super::run::{Difference, DifferenceKind};
use super::statement::{ResourceDescriptor, Statement};
use crate::files::{ReadFileError, digest_file, read_bounded};
use crate::import::MAX_DOCUMENT_BYTES;

/// The usual name of a signature in a model's folder.
pub const OMS_FILE: &str = "model.sig";
/// The type of the predicate.
pub const OMS_PREDICATE: &str = "https://model_signing/signature/v1.0";

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const GIT_PATHS: [&str; 4] = [".git", ".gitattributes", ".github", ".gitignore"];
/// The most files of a folder.
const MAX_FILES: usize = 100_000;
/// The deepest folder in a folder.
const MAX_DEPTH: usize = 32;

/// A model could not be signed, or its signature not be read.
#[derive(Debug, thiserror::Error)]
pub enum OmsError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] ReadFileError),
    /// The signature cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder holds a symbolic link or something else that is no plain file.
    #[error("`{}` is no plain file: only plain files are signed", path.display())]
    NotPlain {
        /// What it is.
        path: PathBuf,
    },
    /// The folder holds nothing, or too much.
    #[error("`{}` holds {n} files; 1 to {MAX_FILES}, at most {MAX_DEPTH} folders deep, are signed", path.display())]
    Files {
        /// The folder.
        path: PathBuf,
        /// How many.
        n: usize,
    },
    /// A name is not UTF-8.
    #[error("the name of `{}` is not UTF-8", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// The signature is not what its kind should be.
    #[error("`{}` does not hold: {problem}", path.display())]
    Signature {
        /// The signature.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl OmsError {
    /// Says whether this means that something was changed, rather than that it cannot be read.
    pub fn is_tampered(&self) -> bool {
        matches!(self, OmsError::Signature { .. })
    }
}

/// What verifying a model found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OmsCheck {
    /// The name the signer gave it.
    pub model: String,
    /// How many files were looked at.
    pub files: usize,
    /// What differs, in the order of names.
    pub differences: Vec<Difference>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Envelope,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    #[serde(default)]
    public_key: Option<KeyHint>,
    #[serde(default)]
    tlog_entries: Vec<Value>,
}

#[derive(Serialize, Deserialize)]
struct KeyHint {
    #[serde(default)]
    hint: Option<String>,
}

#[derive(Deserialize)]
struct Predicate {
    serialization: Serialization,
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Serialization {
    method: String,
    hash_type: String,
    #[serde(default)]
    ignore_paths: Vec<String>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    algorithm: String,
    digest: String,
}

/// Signs every file of a model's folder into `signature`, which may lie in the folder.
///
/// # Errors
/// [`OmsError`].
pub fn sign_model(folder: &Path, signature: &Path, key: &OmsKey) -> Result<(), OmsError> {
    let mut passed_over: Vec<String> = GIT_PATHS.map(str::to_owned).into();
    if let Some(inside) = inside(folder, signature) {
        passed_over.insert(0, inside);
    }
    let files = files_of(folder, &passed_over)?;
    if files.is_empty() {
        let path = folder.to_owned();
        return Err(OmsError::Files { path, n: 0 });
    }
    let mut over_all = Sha256::new();
    let mut resources = Vec::new();
    for name in &files {
        let digest = digest_file(&folder.join(name))?.sha256;
        over_all.update(digest.as_bytes());
        resources.push(json!({"name": name, "algorithm": "sha256", "digest": digest.hex()}));
    }
    let over_all = Sha256Digest::from_bytes(over_all.finalize().into());
    let model = folder.canonicalize().ok();
    let model = model
        .as_deref()
        .and_then(Path::file_name)
        .unwrap_or_default();
    let statement = Statement {
        statement_type: super::STATEMENT_V1.to_owned(),
        subject: vec![ResourceDescriptor {
            name: model.to_string_lossy().into_owned(),
            digest: BTreeMap::from([("sha256".to_owned(), over_all.hex())]),
            ..ResourceDescriptor::default()
        }],
        predicate_type: OMS_PREDICATE.to_owned(),
        predicate: json!({
            "serialization": {
                "method": "files", "hash_type": "sha256", "allow_symlinks": false, "ignore_paths": passed_over,
            },
            "resources": resources,
        }),
    };
    let payload = statement.to_bytes();
    let message = pre_authentication_encoding(STATEMENT_TYPE, &payload);
    let bundle = json!({
        "mediaType": BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": key.public().hint()}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": Base64::encode_string(&payload),
            "payloadType": STATEMENT_TYPE,
            "signatures": [{"sig": Base64::encode_string(&key.sign(&message)), "keyid": ""}],
        },
    });
    write_atomic(signature, bundle.to_string().as_bytes())?;
    Ok(())
}

/// Checks a signature with a trusted key, then every file of the folder against it.
///
/// # Errors
/// [`OmsError::Signature`] if the signature itself does not hold; differing files are in the answer.
pub fn verify_model(
    folder: &Path,
    signature: &Path,
    key: &OmsPublicKey,
) -> Result<OmsCheck, OmsError> {
    let statement = read_signature(signature, key)?;
    let fail = |problem: &str| OmsError::Signature {
        path: signature.to_owned(),
        problem: problem.to_owned(),
    };
    let predicate: Predicate = serde_json::from_value(statement.predicate)
        .map_err(|error| fail(&format!("its predicate is not that of a model: {error}")))?;
    if predicate.serialization.method != "files" || predicate.serialization.hash_type != "sha256" {
        return Err(fail(
            "it is over shards or other digests than SHA-256, which are not read",
        ));
    }
    if predicate.resources.len() > MAX_FILES {
        return Err(fail("it lists more files than are read"));
    }
    let mut over_all = Sha256::new();
    let mut expected: BTreeMap<String, Sha256Digest> = BTreeMap::new();
    for resource in &predicate.resources {
        let digest = resource.digest.parse::<Sha256Digest>();
        let (Ok(digest), "sha256") = (digest, resource.algorithm.as_str()) else {
            return Err(fail("a file has no SHA-256"));
        };
        over_all.update(digest.as_bytes());
        if expected.insert(resource.name.clone(), digest).is_some() {
            return Err(fail("a file is listed twice"));
        }
    }
    let over_all = Sha256Digest::from_bytes(over_all.finalize().into()).hex();
    let [subject] = &statement.subject[..] else {
        return Err(fail("it is not about one model"));
    };
    if subject.digest.get("sha256") != Some(&over_all) {
        return Err(fail(
            "its list of files does not have the digest of its subject",
        ));
    }
    let mut passed_over: Vec<String> = GIT_PATHS.map(str::to_owned).into();
    passed_over.extend(predicate.serialization.ignore_paths);
    passed_over.extend(inside(folder, signature));
    let present = files_of(folder, &passed_over)?;
    let mut differences = Vec::new();
    for (name, expected) in &expected {
        if let Some(kind) = compare(folder, name, expected) {
            let file = name.clone();
            differences.push(Difference { file, kind });
        }
    }
    for file in present.iter().filter(|name| !expected.contains_key(*name)) {
        let kind = DifferenceKind::Added {};
        let file = file.clone();
        differences.push(Difference { file, kind });
    }
    differences.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(OmsCheck {
        model: subject.name.clone(),
        files: expected.len(),
        differences,
    })
}

fn compare(folder: &Path, name: &str, expected: &Sha256Digest) -> Option<DifferenceKind> {
    let is_inside = Path::new(name)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let unreadable = |why: String| Some(DifferenceKind::Unreadable { why });
    if name.is_empty() || !is_inside {
        return unreadable("its name leads out of the folder".to_owned());
    }
    let path = folder.join(name);
    match std::fs::symlink_metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Some(DifferenceKind::Missing {});
        }
        Ok(metadata) if !metadata.is_file() => return unreadable("it is no plain file".to_owned()),
        _ => {}
    }
    match digest_file(&path) {
        Err(error) => unreadable(error.source.to_string()),
        Ok(found) if found.sha256 == *expected => None,
        Ok(found) => Some(DifferenceKind::Changed {
            expected: expected.hex(),
            found: found.sha256.hex(),
            sizes: None,
        }),
    }
}

/// Reads a signature and returns its statement, if the key signed it.
pub(crate) fn read_signature(path: &Path, key: &OmsPublicKey) -> Result<Statement, OmsError> {
    let fail = |problem: String| OmsError::Signature {
        path: path.to_owned(),
        problem,
    };
    let bytes = read_bounded(path, MAX_DOCUMENT_BYTES).map_err(|source| ReadFileError {
        path: path.to_owned(),
        source,
    })?;
    let bundle: Bundle = serde_json::from_slice(&bytes).map_err(|error| {
        fail(format!(
            "it is not a Sigstore bundle with a DSSE envelope: {error}"
        ))
    })?;
    if bundle.media_type != BUNDLE {
        return Err(fail(format!("it is not a `{BUNDLE}`")));
    }
    let hint = bundle
        .verification_material
        .public_key
        .and_then(|key| key.hint);
    if hint.is_some_and(|hint| !hint.is_empty() && hint != key.hint()) {
        return Err(fail("it names another key".to_owned()));
    }
    let envelope = bundle.dsse_envelope;
    if envelope.payload_type != STATEMENT_TYPE {
        return Err(fail("its payload is no in-toto statement".to_owned()));
    }
    let payload =
        decode(&envelope.payload).ok_or_else(|| fail("its payload is not base64".to_owned()))?;
    let message = pre_authentication_encoding(STATEMENT_TYPE, &payload);
    let [signature] = &envelope.signatures[..] else {
        return Err(fail("it has not exactly one signature".to_owned()));
    };
    let is_signed =
        decode(&signature.sig).is_some_and(|signature| key.accepts(&message, &signature));
    if !is_signed {
        return Err(fail(
            "the key did not sign it, or it was changed".to_owned(),
        ));
    }
    let statement = Statement::parse(&payload).map_err(|error| fail(error.to_string()))?;
    match statement.predicate_type == OMS_PREDICATE {
        true => Ok(statement),
        false => Err(fail("it is not about a model's files".to_owned())),
    }
}

/// Returns the statement of a bundle without looking at any signature: it is anybody's word.
pub(crate) fn unverified_statement(bytes: &[u8]) -> Option<Vec<u8>> {
    let bundle: Bundle = serde_json::from_slice(bytes).ok()?;
    decode(&bundle.dsse_envelope.payload)
}

/// Returns the name of a file within a folder, if it lies there.
fn inside(folder: &Path, file: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let parent = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.canonicalize().ok()?,
        _ => std::env::current_dir().ok()?.canonicalize().ok()?,
    };
    let path = parent.join(file.file_name()?);
    let relative = path.strip_prefix(folder).ok()?;
    Some(relative.to_str()?.to_owned())
}

/// Returns the files of a folder, in the order of their paths part by part; what is passed over is so with all below it.
fn files_of(folder: &Path, passed_over: &[String]) -> Result<Vec<String>, OmsError> {
    let passed_over: BTreeSet<&str> = passed_over
        .iter()
        .map(|path| path.trim_end_matches('/'))
        .collect();
    let mut files: Vec<Vec<String>> = Vec::new();
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(parts) = open.pop() {
        let path = parts
            .iter()
            .fold(folder.to_owned(), |path, part| path.join(part));
        let unreadable = |source| ReadFileError {
            path: path.clone(),
            source,
        };
        for entry in std::fs::read_dir(&path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            let path = entry.path();
            let Some(name) = name.to_str() else {
                return Err(OmsError::Name { path });
            };
            let mut parts = parts.clone();
            parts.push(name.to_owned());
            if passed_over.contains(parts.join("/").as_str()) {
                continue;
            }
            let kind = entry.file_type().map_err(unreadable)?;
            if kind.is_dir() && parts.len() < MAX_DEPTH {
                open.push(parts);
            } else if kind.is_file() && files.len() < MAX_FILES {
                files.push(parts);
            } else if kind.is_dir() || kind.is_file() {
                let (path, n) = (folder.to_owned(), files.len() + 1);
                return Err(OmsError::Files { path, n });
            } else {
                return Err(OmsError::NotPlain { path });
            }
        }
    }
    files.sort();
    Ok(files.into_iter().map(|parts| parts.join("/")).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn model() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let put = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("writable");
            std::fs::write(path, content).expect("writable");
        };
        put("model.safetensors", "weights");
        put("config.json", "{}");
        put("tokenizer/vocab.json", "{\"a\":1}");
        put(".git/HEAD", "ref");
        folder
    }

    #[test]
    fn our_signature_holds_until_a_file_is_changed_added_or_removed() {
        let folder = model();
        let path = folder.path();
        let signature = path.join(OMS_FILE);
        let key = OmsKey::generate().expect("randomness");
        sign_model(path, &signature, &key).expect("three files");
        let verify = || verify_model(path, &signature, &key.public()).expect("the signature holds");
        assert_eq!((verify().files, verify().differences), (3, Vec::new()));
        std::fs::write(path.join("added.bin"), "x").expect("writable");
        std::fs::write(path.join("config.json"), "{ }").expect("writable");
        std::fs::remove_file(path.join("tokenizer/vocab.json")).expect("it is there");
        let kinds: Vec<(String, &str)> = verify()
            .differences
            .into_iter()
            .map(|difference| {
                let kind = match difference.kind {
                    DifferenceKind::Added {} => "added",
                    DifferenceKind::Changed { .. } => "changed",
                    DifferenceKind::Missing {} => "missing",
                    DifferenceKind::Unreadable { .. } => "unreadable",
                };
                (difference.file, kind)
            })
            .collect();
        let expected = [
            ("added.bin", "added"),
            ("config.json", "changed"),
            ("tokenizer/vocab.json", "missing"),
        ];
        assert_eq!(kinds, expected.map(|(file, kind)| (file.to_owned(), kind)));
    }

    #[test]
    fn another_key_and_every_changed_byte_of_the_payload_are_refused() {
        let folder = model();
        let signature = folder.path().join(OMS_FILE);
        let key = OmsKey::generate().expect("randomness");
        sign_model(folder.path(), &signature, &key).expect("three files");
        let other = OmsKey::generate().expect("randomness").public();
        assert!(verify_model(folder.path(), &signature, &other).is_err());
        let bytes = std::fs::read(&signature).expect("just written");
        let before = verify_model(folder.path(), &signature, &key.public()).expect("it holds");
        for at in (0..bytes.len()).step_by(7) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            std::fs::write(&signature, &changed).expect("writable");
            // What is left are changes of white space and names that say nothing.
            if let Ok(check) = verify_model(folder.path(), &signature, &key.public()) {
                assert_eq!(check, before, "byte {at}");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_refused() {
        let folder = model();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link")).expect("writable");
        let key = OmsKey::generate().expect("randomness");
        let error = sign_model(folder.path(), &folder.path().join(OMS_FILE), &key);
        assert!(matches!(error, Err(OmsError::NotPlain { .. })));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_no_signature(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("x.sig");
            std::fs::write(&path, bytes).expect("writable");
            let key = OmsKey::generate().expect("randomness").public();
            prop_assert!(verify_model(folder.path(), &path, &key).is_err());
        }
    }
}
