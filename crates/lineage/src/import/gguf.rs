//! The metadata of a GGUF file: `general.*`, which names bases, datasets and how the file was quantised.
//!
//! A reader of key-value pairs and nothing else: tensors are not looked at, arrays are skipped without being kept. The
//! engine has its own reader, which checks much more; this one must read files of models it cannot run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use undertone_core::Digest;

use super::{
    ImportError, ImportErrorKind, Imported, MAX_ITEMS, MAX_TEXT, add_base, cut, unreadable,
};
use crate::entity::{Entity, Model, Name, dataset_named};
use crate::files::digest_file;
use crate::grade::Grade;
use crate::record::Draft;
use crate::relation::Relation;

const MAX_PAIRS: u64 = 100_000;
const MAX_KEY_BYTES: u64 = 1 << 16;
/// The longest text kept: chat templates are long.
const MAX_VALUE_BYTES: u64 = 4 << 20;
/// The most bytes of metadata read: vocabularies and merges are the largest.
const MAX_METADATA_BYTES: u64 = 256 << 20;
const MAX_DEPTH: u32 = 4;

/// The texts and integers of the metadata, by key.
#[derive(Debug, Default)]
struct Metadata {
    texts: BTreeMap<String, String>,
    numbers: BTreeMap<String, u64>,
}

/// Reads the file at `path` as a model called `name`, or by the name it gives itself.
///
/// # Errors
/// [`ImportError`] names the byte.
pub fn import_gguf(path: &Path, name: Option<Name>) -> Result<Imported, ImportError> {
    let fail = |kind| ImportError::new(path, kind);
    let file = File::open(path).map_err(|error| fail(ImportErrorKind::Io(error)))?;
    let metadata = read_metadata(BufReader::new(file)).map_err(fail)?;
    let digest = digest_file(path).map_err(unreadable)?;
    let text = |key: &str| metadata.texts.get(key).map(|text| cut(text));

    let mut draft = Draft::new(
        format!("metadata of {}", cut(&digest.name)),
        Grade::Declared,
    );
    let file_type = metadata.numbers.get("general.file_type").copied();
    let quantisation = file_type.and_then(file_type_name).map(str::to_owned);
    let subject = draft.entity(Entity::Model(Model {
        name: name.or_else(|| text("general.name").map(|name| Name::new("gguf", &name))),
        files: vec![digest],
        architecture: text("general.architecture"),
        chat_template: metadata
            .texts
            .get("tokenizer.chat_template")
            .map(|template| Digest::of(template.as_bytes())),
        quantisation,
        ..Model::default()
    }));
    let mut ignored = Vec::new();
    for n in 0..count(&metadata, "general.base_model.count") {
        match named(&metadata, "base_model", n) {
            Some(base) => add_base(&mut draft, subject, &base, None),
            None => ignored.push(format!("general.base_model.{n}: no name")),
        }
    }
    for n in 0..count(&metadata, "general.dataset.count") {
        match named(&metadata, "dataset", n) {
            Some(dataset) => {
                let dataset = draft.entity(dataset_named(super::name_of(&dataset)));
                draft.edge(subject, dataset, Relation::TrainedOn { rows: None });
            }
            None => ignored.push(format!("general.dataset.{n}: no name")),
        }
    }
    Ok(Imported {
        subject,
        draft,
        ignored,
    })
}

fn count(metadata: &Metadata, key: &str) -> u64 {
    let said = metadata.numbers.get(key).copied().unwrap_or_default();
    said.min(MAX_ITEMS as u64)
}

/// Returns what `general.WHAT.N.*` names: the address, else organisation and name.
fn named(metadata: &Metadata, what: &str, n: u64) -> Option<String> {
    let field = |field: &str| {
        let text = metadata.texts.get(&format!("general.{what}.{n}.{field}"))?;
        let text = text.trim();
        (!text.is_empty()).then(|| cut(text))
    };
    if let Some(url) = field("repo_url") {
        return Some(url);
    }
    let name = field("name")?.replace(' ', "-");
    Some(match field("organization") {
        Some(organization) => format!("{}/{name}", organization.replace(' ', "-")),
        None => name,
    })
}

/// Returns the name of a `general.file_type`, for the ones in use.
fn file_type_name(number: u64) -> Option<&'static str> {
    Some(match number {
        0 => "F32",
        1 => "F16",
        2 => "Q4_0",
        3 => "Q4_1",
        7 => "Q8_0",
        8 => "Q5_0",
        9 => "Q5_1",
        10 => "Q2_K",
        11 => "Q3_K_S",
        12 => "Q3_K_M",
        13 => "Q3_K_L",
        14 => "Q4_K_S",
        15 => "Q4_K_M",
        16 => "Q5_K_S",
        17 => "Q5_K_M",
        18 => "Q6_K",
        32 => "BF16",
        _ => return None,
    })
}

fn read_metadata(reader: impl Read) -> Result<Metadata, ImportErrorKind> {
    let mut cursor = Cursor {
        reader: reader.take(MAX_METADATA_BYTES),
        at: 0,
    };
    if cursor.array::<4>()? != *b"GGUF" {
        return Err(cursor.damaged("it does not begin with `GGUF`"));
    }
    let version = u32::from_le_bytes(cursor.array()?);
    if !(2..=3).contains(&version) {
        return Err(cursor.damaged("the version is not 2 or 3, or the file is big-endian"));
    }
    let _tensors = cursor.number()?;
    let n_pairs = cursor.number()?;
    if n_pairs > MAX_PAIRS {
        return Err(cursor.damaged("too many key-value pairs"));
    }
    let mut metadata = Metadata::default();
    for _ in 0..n_pairs {
        let key = cursor.text(MAX_KEY_BYTES)?;
        let kind = u32::from_le_bytes(cursor.array()?);
        match kind {
            8 => {
                let text = cursor.text(MAX_VALUE_BYTES)?;
                let is_kept = key.len() <= MAX_TEXT && metadata.texts.len() < MAX_ITEMS;
                if is_kept && (key.starts_with("general.") || key == "tokenizer.chat_template") {
                    metadata.texts.insert(key, text);
                }
            }
            4 | 10 => {
                let number = match kind {
                    4 => u64::from(u32::from_le_bytes(cursor.array()?)),
                    _ => cursor.number()?,
                };
                if key.starts_with("general.") && metadata.numbers.len() < MAX_ITEMS {
                    metadata.numbers.insert(key, number);
                }
            }
            _ => cursor.skip(kind, 0)?,
        }
    }
    Ok(metadata)
}

struct Cursor<R> {
    reader: std::io::Take<R>,
    at: u64,
}

impl<R: Read> Cursor<R> {
    fn damaged(&self, problem: &str) -> ImportErrorKind {
        ImportErrorKind::Header {
            offset: self.at,
            problem: problem.to_owned(),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ImportErrorKind> {
        let mut bytes = [0; N];
        match self.reader.read_exact(&mut bytes) {
            Ok(()) => {
                self.at += N as u64;
                Ok(bytes)
            }
            Err(_) => {
                Err(self.damaged("the metadata ends early, or is longer than any tool writes"))
            }
        }
    }

    fn number(&mut self) -> Result<u64, ImportErrorKind> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self, max: u64) -> Result<String, ImportErrorKind> {
        let length = self.number()?;
        if length > max {
            return Err(self.damaged("a text is too long"));
        }
        let mut bytes = Vec::new();
        let read = (&mut self.reader).take(length).read_to_end(&mut bytes);
        if read.is_err() || bytes.len() as u64 != length {
            return Err(self.damaged("the file ends within a text"));
        }
        self.at += length;
        String::from_utf8(bytes).map_err(|_| self.damaged("a text is not UTF-8"))
    }

    fn skip_bytes(&mut self, length: u64) -> Result<(), ImportErrorKind> {
        let copied = std::io::copy(&mut (&mut self.reader).take(length), &mut std::io::sink());
        match copied {
            Ok(n) if n == length => {
                self.at += length;
                Ok(())
            }
            _ => Err(self.damaged("the file ends within a value")),
        }
    }

    fn skip(&mut self, kind: u32, depth: u32) -> Result<(), ImportErrorKind> {
        if depth > MAX_DEPTH {
            return Err(self.damaged("arrays nest too deep"));
        }
        match width(kind) {
            Some(bytes) => self.skip_bytes(bytes),
            None if kind == 8 => {
                let length = self.number()?;
                self.skip_bytes(length)
            }
            None if kind == 9 => {
                let inner = u32::from_le_bytes(self.array()?);
                let n = self.number()?;
                match width(inner) {
                    Some(bytes) => match n.checked_mul(bytes) {
                        Some(length) => self.skip_bytes(length),
                        None => Err(self.damaged("an array is too long")),
                    },
                    // Each item takes at least eight bytes, and the reader ends: no count can run for long.
                    None => (0..n).try_for_each(|_| self.skip(inner, depth + 1)),
                }
            }
            None => Err(self.damaged("a value of an unknown type")),
        }
    }
}

/// Returns how many bytes a plain value takes.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::graph::Graph;

    fn text(bytes: &mut Vec<u8>, text: &str) {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }

    fn file() -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend_from_slice(&3u32.to_le_bytes());
        bytes.extend_from_slice(&0u64.to_le_bytes());
        bytes.extend_from_slice(&6u64.to_le_bytes());
        for (key, value) in [
            ("general.name", "Mine"),
            ("general.base_model.0.organization", "The Org"),
            ("general.base_model.0.name", "Base 1"),
        ] {
            text(&mut bytes, key);
            bytes.extend_from_slice(&8u32.to_le_bytes());
            text(&mut bytes, value);
        }
        text(&mut bytes, "tokenizer.ggml.tokens");
        bytes.extend_from_slice(&9u32.to_le_bytes());
        bytes.extend_from_slice(&8u32.to_le_bytes());
        bytes.extend_from_slice(&2u64.to_le_bytes());
        text(&mut bytes, "a");
        text(&mut bytes, "bc");
        for (key, value) in [
            ("general.base_model.count", 1u32),
            ("general.file_type", 15),
        ] {
            text(&mut bytes, key);
            bytes.extend_from_slice(&4u32.to_le_bytes());
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn general_keys_give_the_base_and_the_quantisation() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.gguf");
        std::fs::write(&path, file()).expect("writable");
        let imported = import_gguf(&path, None).expect("the file is good");
        let graph = Graph::from_records(imported.draft.into_records());
        assert_eq!(graph.resolve("gguf:Mine"), Ok(imported.subject));
        assert!(graph.resolve("The-Org/Base-1").is_ok());
        let shown = graph
            .show(imported.subject)
            .expect("in memory")
            .expect("there");
        assert!(shown.to_string().contains("Q4_K_M"));
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = file();
        assert!(read_metadata(&bytes[..]).is_ok());
        for length in 0..bytes.len() {
            assert!(read_metadata(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn mutated_files_are_read_or_refused(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
            let mut bytes = file();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = read_metadata(&bytes[..]);
        }
    }
}
