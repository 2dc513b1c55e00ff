//! Reads the header of a safetensors file: where each tensor's values lie.
//!
//! Our own reader, of 100 lines, because errors should name the tensor and the field, which those of the `safetensors`
//! crate mostly do not, and because that crate adds offsets from the file without checking for overflow.
//!
//! ```text
//! u64 header bytes   header: JSON {NAME: {"dtype", "shape", "data_offsets": [first, end]}, "__metadata__": {}}   values
//! ```

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::checkpoint::Entry;
use crate::gguf::ValueType;

/// The longest header, in bytes, as in the format's reference implementation.
pub const MAX_HEADER_BYTES: u64 = 100_000_000;

/// A safetensors header cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SafetensorsError {
    /// The file is shorter than its header says, or than any.
    #[error("the header takes {needed_bytes} bytes of {file_bytes}")]
    Truncated {
        /// Bytes up to the end of the header.
        needed_bytes: u64,
        /// Bytes of the file.
        file_bytes: u64,
    },
    /// The header is longer than any real one.
    #[error("the header takes {found} bytes, at most {MAX_HEADER_BYTES} are read")]
    OverLimit {
        /// Its length.
        found: u64,
    },
    /// The header is not the JSON that it should be.
    #[error("the header is not valid")]
    Json(#[source] serde_json::Error),
    /// A tensor is of a type that is not read.
    #[error("tensor `{tensor}`: type {found} is not supported, supported are F32, F16, BF16")]
    UnsupportedType {
        /// The tensor.
        tensor: String,
        /// Its type.
        found: String,
    },
    /// A tensor's offsets are not those of its shape, or outside the file.
    #[error(
        "tensor `{tensor}`: data_offsets {offsets:?} do not hold its shape {shape:?} in {data_bytes} bytes of values"
    )]
    Offsets {
        /// The tensor.
        tensor: String,
        /// First byte and end, from the start of the values.
        offsets: (u64, u64),
        /// Its shape.
        shape: Vec<u64>,
        /// Bytes of values in the file.
        data_bytes: u64,
    },
    /// Two tensors share bytes.
    #[error("tensor `{tensor}`: its values overlap those of `{other}`")]
    Overlap {
        /// The tensor.
        tensor: String,
        /// The other one.
        other: String,
    },
}

/// Where a tensor's values are and what they are.
#[derive(Debug, Clone)]
pub(crate) struct StoredTensor {
    pub(crate) value_type: ValueType,
    pub(crate) shape: Vec<usize>,
    /// Its bytes in the file.
    pub(crate) bytes: Range<usize>,
    /// Which of the model's files.
    pub(crate) file: usize,
}

impl Entry for StoredTensor {
    fn shape(&self) -> &[usize] {
        &self.shape
    }
}

/// Reads the header of `content`, the whole of file number `file`; tensors that are `ignored` are left out unread.
pub(crate) fn read(
    content: &[u8],
    file: usize,
    ignored: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, StoredTensor>, SafetensorsError> {
    let file_bytes = content.len() as u64;
    let truncated = |needed_bytes| SafetensorsError::Truncated {
        needed_bytes,
        file_bytes,
    };
    let Some((length, rest)) = content.split_first_chunk::<8>() else {
        return Err(truncated(8));
    };
    let found = u64::from_le_bytes(*length);
    if found > MAX_HEADER_BYTES {
        return Err(SafetensorsError::OverLimit { found });
    }
    // Below the limit, so it fits.
    let Some((header, data)) = rest.split_at_checked(found as usize) else {
        return Err(truncated(8 + found));
    };
    // Copied first: what was checked must not change, and the file may.
    let Header(entries) = serde_json::from_slice(header).map_err(SafetensorsError::Json)?;
    let start = 8 + header.len();
    let mut tensors = BTreeMap::new();
    for (tensor, entry) in entries {
        if ignored(&tensor) {
            continue;
        }
        let stored = stored(&tensor, entry, start, data.len(), file)?;
        tensors.insert(tensor, stored);
    }
    refuse_overlap(&tensors)?;
    Ok(tensors)
}

fn stored(
    tensor: &str,
    entry: JsonEntry,
    start: usize,
    data_bytes: usize,
    file: usize,
) -> Result<StoredTensor, SafetensorsError> {
    let value_type = match entry.dtype.as_str() {
        "F32" => ValueType::F32,
        "F16" => ValueType::F16,
        "BF16" => ValueType::Bf16,
        _ => {
            return Err(SafetensorsError::UnsupportedType {
                tensor: tensor.to_owned(),
                found: entry.dtype,
            });
        }
    };
    let value_bytes = value_type.block_bytes() as u64;
    let n_bytes = entry
        .shape
        .iter()
        .try_fold(value_bytes, |product, &size| product.checked_mul(size));
    let (first, end) = entry.data_offsets;
    if first > end || end > data_bytes as u64 || n_bytes != Some(end - first) {
        return Err(SafetensorsError::Offsets {
            tensor: tensor.to_owned(),
            offsets: entry.data_offsets,
            shape: entry.shape,
            data_bytes: data_bytes as u64,
        });
    }
    Ok(StoredTensor {
        value_type,
        // All inside the file, which is in memory, or beside a 0; a shape with a 0 is no tensor's of ours.
        shape: entry.shape.iter().map(|&size| size as usize).collect(),
        bytes: start + first as usize..start + end as usize,
        file,
    })
}

fn refuse_overlap(tensors: &BTreeMap<String, StoredTensor>) -> Result<(), SafetensorsError> {
    let mut in_order: Vec<_> = tensors.iter().collect();
    in_order.sort_by_key(|(_, stored)| (stored.bytes.start, stored.bytes.end));
    for pair in in_order.windows(2) {
        let [(other, before), (tensor, after)] = pair else {
            unreachable!("windows of two");
        };
        if after.bytes.start < before.bytes.end {
            return Err(SafetensorsError::Overlap {
                tensor: (*tensor).clone(),
                other: (*other).clone(),
            });
        }
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonEntry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// The entries of a header, of which no name occurs twice.
struct Header(BTreeMap<String, JsonEntry>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with an entry for each tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            match entries.entry(name) {
                Place::Occupied(place) => {
                    let twice = format!("tensor `{}` occurs twice", place.key());
                    return Err(serde::de::Error::custom(twice));
                }
                Place::Vacant(place) => {
                    let entry = map.next_value().map_err(|error| {
                        serde::de::Error::custom(format!("tensor `{}`: {error}", place.key()))
                    })?;
                    place.insert(entry);
                }
            }
        }
        Ok(Header(entries))
    }
}
