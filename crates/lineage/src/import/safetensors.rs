//! The header of a safetensors file: number types, and the metadata that training tools leave there.
//!
//! Values are read only to take the file's digest. Metadata that names a base (`base_model`, `ss_base_model_name`,
//! `modelspec.*`) is declared by whoever wrote the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::{ImportError, ImportErrorKind, Imported, add_base, cut, unreadable};
use crate::entity::{Entity, Model, Name};
use crate::files::digest_file;
use crate::grade::Grade;
use crate::record::Draft;

/// The longest header: that of a model with some 100,000 tensors.
const MAX_HEADER_BYTES: u64 = 32 << 20;
/// Keys of the metadata that name what the weights began as.
const BASE_KEYS: [&str; 4] = [
    "base_model",
    "base_model_name_or_path",
    "ss_base_model_name",
    "ss_sd_model_name",
];

#[derive(Deserialize)]
struct Tensor {
    dtype: String,
}

/// What a header says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Header {
    /// The number type of the tensors, if all have one.
    dtype: Option<String>,
    metadata: BTreeMap<String, String>,
}

/// Reads the file at `path` as the weights of a model called `name`, if it has a name.
///
/// # Errors
/// [`ImportError`] names the byte.
pub fn import_safetensors(path: &Path, name: Option<Name>) -> Result<Imported, ImportError> {
    let fail = |kind| ImportError::new(path, kind);
    let file = File::open(path).map_err(|error| fail(ImportErrorKind::Io(error)))?;
    let header = read_header(file).map_err(fail)?;
    let digest = digest_file(path).map_err(unreadable)?;

    let mut draft = Draft::new(
        format!("metadata of {}", cut(&digest.name)),
        Grade::Declared,
    );
    let metadata = &header.metadata;
    let said = |key: &str| metadata.get(key).map(|text| cut(text));
    let subject = draft.entity(Entity::Model(Model {
        name,
        files: vec![digest],
        architecture: said("modelspec.architecture").or_else(|| said("architecture")),
        dtype: header.dtype.clone(),
        adapter: metadata
            .contains_key("ss_network_module")
            .then(|| "lora".to_owned()),
        ..Model::default()
    }));
    let bases = BASE_KEYS.iter().filter_map(|key| said(key));
    for base in bases.filter(|base| !base.trim().is_empty()) {
        add_base(&mut draft, subject, &base, None);
    }
    let ignored = metadata.keys().map(|key| cut(key)).collect();
    Ok(Imported {
        subject,
        draft,
        ignored,
    })
}

fn read_header(mut reader: impl Read) -> Result<Header, ImportErrorKind> {
    let damaged = |offset, problem: &str| ImportErrorKind::Header {
        offset,
        problem: problem.to_owned(),
    };
    let mut length = [0; 8];
    reader
        .read_exact(&mut length)
        .map_err(|_| damaged(0, "shorter than the 8 bytes of a length"))?;
    let length = u64::from_le_bytes(length);
    if !(2..=MAX_HEADER_BYTES).contains(&length) {
        return Err(damaged(0, "the length of the header is out of range"));
    }
    let mut text = Vec::new();
    reader
        .take(length)
        .read_to_end(&mut text)
        .map_err(ImportErrorKind::Io)?;
    if text.len() as u64 != length {
        return Err(damaged(8, "the file ends within the header"));
    }
    let entries: BTreeMap<String, Value> =
        serde_json::from_slice(&text).map_err(ImportErrorKind::Json)?;
    let mut header = Header::default();
    let mut dtypes = std::collections::BTreeSet::new();
    for (name, value) in entries {
        if name == "__metadata__" {
            header.metadata = serde_json::from_value(value).map_err(ImportErrorKind::Json)?;
        } else {
            let tensor: Tensor = serde_json::from_value(value).map_err(ImportErrorKind::Json)?;
            dtypes.insert(cut(&tensor.dtype).to_lowercase());
        }
    }
    if dtypes.len() == 1 {
        header.dtype = dtypes.pop_first();
    }
    Ok(header)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::graph::Graph;

    /// Returns a safetensors file with one tensor.
    pub(crate) fn file(metadata: &str) -> Vec<u8> {
        let header = format!(
            "{{\"__metadata__\":{metadata},\"w\":{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}}}"
        );
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes
    }

    #[test]
    fn metadata_gives_a_declared_base_and_the_digest_is_that_of_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, file("{\"base_model\":\"org/base\"}")).expect("writable");
        let imported = import_safetensors(&path, Some(Name::new("local", "mine"))).expect("good");
        let graph = Graph::from_records(imported.draft.into_records());
        assert_eq!(graph.resolve("mine"), Ok(imported.subject));
        let base = graph.resolve("org/base").expect("declared");
        let why = graph.why(base, imported.subject, 10).expect("in memory");
        assert_eq!(why.forward[0].weakest, Grade::Declared);
    }

    #[test]
    fn lengths_are_checked_before_anything_is_allocated() {
        for bytes in [&[][..], &[1, 2], &[255; 8], &[8, 0, 0, 0, 0, 0, 0, 0, b'{']] {
            assert!(read_header(bytes).is_err());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_headers_are_read_or_refused(length in 0u64..80, bytes in prop::collection::vec(any::<u8>(), 0..80), at in 0usize..120, byte: u8) {
            let mut whole = length.to_le_bytes().to_vec();
            whole.extend_from_slice(&bytes);
            let _ = read_header(&whole[..]);
            let mut mutated = file("{\"base_model\":\"org/base\"}");
            let at = at % mutated.len();
            mutated[at] = byte;
            let _ = read_header(&mutated[..]);
        }
    }
}
