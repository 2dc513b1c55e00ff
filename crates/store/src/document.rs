//! The one shape of every JSON file in a store: format, version, check digest, body.
//!
//! The check digest covers format, version and body, and a file must be byte for byte what this program would write:
//! a flipped bit anywhere is noticed. The four outer fields keep their meaning in all future versions, so that a
//! file that is merely newer is never mistaken for a damaged one.

use std::path::Path;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use undertone_core::Digest;

use crate::canonical;
use crate::error::{Result, StoreError, StoreErrorKind};

/// A body that is stored as a file of its own.
pub trait Stored: Serialize + DeserializeOwned {
    /// The format's name, the same for all versions.
    const FORMAT: &'static str;
    /// The version this program reads and writes.
    const VERSION: u32;
}

/// A JSON file of the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document<T> {
    /// The name of the body's format.
    pub format: String,
    /// The version of the body's format.
    pub version: u32,
    /// The BLAKE3 digest of the canonical JSON of `{body, format, version}`.
    pub check: Digest,
    /// What the file says.
    pub body: T,
}

/// Returns the bytes of the file that holds `body`.
pub(crate) fn seal<T: Stored>(body: &T) -> std::result::Result<Vec<u8>, serde_json::Error> {
    let body = serde_json::to_value(body)?;
    let check = check_of(T::FORMAT, u64::from(T::VERSION), &body);
    let document =
        json!({"format": T::FORMAT, "version": T::VERSION, "check": check, "body": body});
    Ok(canonical::pretty(&document))
}

/// Reads back the body of a file that [`seal`] made; `path` is for the error only.
pub(crate) fn unseal<T: Stored>(path: &Path, bytes: &[u8]) -> Result<T> {
    let error = |kind| StoreError::new("read", path, kind);
    let malformed = |source| error(StoreErrorKind::Malformed(source));
    let value: Value = serde_json::from_slice(bytes).map_err(malformed)?;
    let is_canonical = canonical::pretty(&value) == bytes;
    let Document {
        format,
        version,
        check,
        body,
    }: Document<Value> = serde_json::from_value(value).map_err(malformed)?;

    let found = check_of(&format, u64::from(version), &body);
    if found != check {
        return Err(error(StoreErrorKind::Tampered {
            expected: check,
            found,
        }));
    }
    if !is_canonical {
        return Err(error(StoreErrorKind::NotCanonical));
    }
    if format != T::FORMAT {
        let expected = T::FORMAT.to_owned();
        return Err(error(StoreErrorKind::Misplaced {
            expected,
            found: format,
        }));
    }
    check_version(T::FORMAT, u64::from(version), T::VERSION).map_err(error)?;
    serde_json::from_value(body).map_err(malformed)
}

/// Says "too new" or "too old" unless `found` is the one version this program reads.
pub(crate) fn check_version(
    format: &str,
    found: u64,
    supported: u32,
) -> std::result::Result<(), StoreErrorKind> {
    let format = format.to_owned();
    match found.cmp(&u64::from(supported)) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(StoreErrorKind::TooNew {
            format,
            found,
            supported,
        }),
        std::cmp::Ordering::Less => Err(StoreErrorKind::TooOld {
            format,
            found,
            supported,
        }),
    }
}

fn check_of(format: &str, version: u64, body: &Value) -> Digest {
    Digest::of(&canonical::compact(
        &json!({"format": format, "version": version, "body": body}),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        text: String,
        size: f64,
    }

    impl Stored for Note {
        const FORMAT: &'static str = "note";
        const VERSION: u32 = 2;
    }

    fn note() -> Note {
        Note {
            text: "a \"b\"".into(),
            size: 0.1,
        }
    }

    fn document_of_version(version: u32) -> Vec<u8> {
        let body = serde_json::to_value(note()).expect("a note is JSON");
        let check = check_of("note", u64::from(version), &body);
        canonical::pretty(
            &json!({"format": "note", "version": version, "check": check, "body": body}),
        )
    }

    fn read(bytes: &[u8]) -> Result<Note> {
        unseal(Path::new("note.json"), bytes)
    }

    #[test]
    fn notices_every_flipped_bit_and_every_truncation() {
        let bytes = seal(&note()).expect("a note is JSON");
        assert_eq!(read(&bytes).expect("the file is intact"), note());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = read(&flipped).expect_err("one bit differs");
            assert_eq!(error.exit_class().code(), 4, "bit {bit}: {:?}", error.kind);
        }
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn tells_newer_and_older_files_from_damaged_ones() {
        let kind = |version| read(&document_of_version(version)).map_err(|error| *error.kind);
        assert!(kind(2).is_ok());
        assert!(matches!(
            kind(3),
            Err(StoreErrorKind::TooNew {
                found: 3,
                supported: 2,
                ..
            })
        ));
        assert!(matches!(
            kind(1),
            Err(StoreErrorKind::TooOld {
                found: 1,
                supported: 2,
                ..
            })
        ));
    }
}
