//! Reads the JSON files of a model's folder: bounded, and value by value with the name of the field.
//!
//! Fields that we do not know are not errors here: these files are other people's, and hold much that is no concern of
//! ours. `null` counts as missing, as in Python.

use std::io;
use std::path::Path;

use serde_json::{Map, Value};

use crate::mapped::MappedFile;

/// A field of a JSON file is missing or cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field `{field}` is {found}, expected {expected}")]
pub struct FieldError {
    /// The field, with those around it: `text_config.hidden_size`.
    pub field: String,
    /// Its value, cut to 80 characters.
    pub found: String,
    /// What should be there.
    pub expected: String,
}

/// A JSON file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadJsonError {
    /// It is not there, or the system does not hand it out.
    #[error("it cannot be read")]
    Io(#[source] io::Error),
    /// It is larger than any real one.
    #[error("it is longer than {limit_bytes} bytes")]
    TooLong {
        /// The limit.
        limit_bytes: u64,
    },
    /// It is not JSON, or not an object.
    #[error("it is not a JSON object")]
    Json(#[source] serde_json::Error),
}

/// Reads the object in the file at `path`, of at most `limit_bytes` bytes.
pub(super) fn read(
    path: &Path,
    limit_bytes: u64,
) -> Result<(Map<String, Value>, MappedFile), ReadJsonError> {
    let file = MappedFile::open(path).map_err(ReadJsonError::Io)?;
    if file.bytes().len() as u64 > limit_bytes {
        return Err(ReadJsonError::TooLong { limit_bytes });
    }
    // Copied first: what was checked must not change, and the file may.
    let bytes = file.bytes().to_vec();
    let map = serde_json::from_slice(&bytes).map_err(ReadJsonError::Json)?;
    Ok((map, file))
}

/// An object and the way to it.
#[derive(Clone, Copy)]
pub(super) struct Object<'a> {
    map: &'a Map<String, Value>,
    /// Names of the objects around it, each with a dot.
    around: &'a str,
}

impl<'a> Object<'a> {
    pub(super) fn new(map: &'a Map<String, Value>, around: &'a str) -> Self {
        Self { map, around }
    }

    pub(super) fn name(&self, field: &str) -> String {
        format!("{}{field}", self.around)
    }

    /// Whether `field` is there, be it null.
    pub(super) fn has(&self, field: &str) -> bool {
        self.map.contains_key(field)
    }

    /// Returns the value of `field` unless it is missing or null.
    pub(super) fn value(&self, field: &str) -> Option<&'a Value> {
        self.map.get(field).filter(|value| !value.is_null())
    }

    pub(super) fn error(&self, field: &str, expected: impl Into<String>) -> FieldError {
        let found = match self.map.get(field) {
            Some(value) => value.to_string().chars().take(80).collect(),
            None => "missing".to_owned(),
        };
        FieldError {
            field: self.name(field),
            found,
            expected: expected.into(),
        }
    }

    fn find<T>(
        &self,
        field: &str,
        expected: &str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, FieldError> {
        match self.value(field) {
            None => Ok(None),
            Some(value) => match convert(value) {
                Some(value) => Ok(Some(value)),
                None => Err(self.error(field, expected)),
            },
        }
    }

    pub(super) fn size(&self, field: &str) -> Result<Option<usize>, FieldError> {
        let convert = |value: &Value| value.as_u64()?.try_into().ok();
        self.find(field, "an integer of at least 0", convert)
    }

    pub(super) fn u32(&self, field: &str) -> Result<Option<u32>, FieldError> {
        let convert = |value: &Value| value.as_u64()?.try_into().ok();
        self.find(field, "an integer from 0 to 4294967295", convert)
    }

    pub(super) fn number(&self, field: &str) -> Result<Option<f64>, FieldError> {
        self.find(field, "a number", Value::as_f64)
    }

    pub(super) fn truth(&self, field: &str) -> Result<Option<bool>, FieldError> {
        self.find(field, "true or false", Value::as_bool)
    }

    pub(super) fn text(&self, field: &str) -> Result<Option<&'a str>, FieldError> {
        self.find(field, "a text", Value::as_str)
    }

    pub(super) fn texts(&self, field: &str) -> Result<Option<Vec<&'a str>>, FieldError> {
        let convert = |value: &'a Value| value.as_array()?.iter().map(Value::as_str).collect();
        self.find(field, "an array of texts", convert)
    }

    pub(super) fn map(&self, field: &str) -> Result<Option<&'a Map<String, Value>>, FieldError> {
        self.find(field, "an object", Value::as_object)
    }

    /// Returns one id or several; an id that does not fit is an error.
    pub(super) fn ids(&self, field: &str) -> Result<Vec<u32>, FieldError> {
        let id = |value: &Value| value.as_u64()?.try_into().ok();
        let convert = |value: &Value| match value.as_array() {
            Some(ids) => ids.iter().map(id).collect(),
            None => id(value).map(|id| vec![id]),
        };
        let ids = self.find(field, "a token id or an array of them", convert)?;
        Ok(ids.unwrap_or_default())
    }
}
