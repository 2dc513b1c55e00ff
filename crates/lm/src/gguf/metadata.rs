//! The key-value pairs of a GGUF file, typed as the file types them.
//!
//! A lookup says what it wants by its result type: `metadata.get::<&str>("general.architecture")`. Widths of numbers
//! are the writer's choice, so integers convert where they fit; nothing else converts.

use std::collections::BTreeMap;

/// A value, of the type that the file gives it.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    missing_docs,
    reason = "the variants are the format's types by their names"
)]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    String(String),
    Array(Array),
}

/// An array, of the type that the file gives its elements. Arrays of arrays are refused by the reader.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    missing_docs,
    reason = "the variants are the format's types by their names"
)]
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bool(Vec<bool>),
    String(Vec<String>),
}

/// The metadata of a GGUF file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata {
    values: BTreeMap<String, Value>,
}

/// A metadata value is missing or cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The file lacks the key.
    #[error("metadata `{key}` is missing, expected {expected}")]
    Missing {
        /// The key.
        key: String,
        /// What should be there.
        expected: &'static str,
    },
    /// The value has another type, or does not fit.
    #[error("metadata `{key}` is {found}, expected {expected}")]
    Type {
        /// The key.
        key: String,
        /// What should be there.
        expected: &'static str,
        /// What is there: its type and, for numbers, its value.
        found: String,
    },
}

impl Metadata {
    /// Adds a pair; returns false, and changes nothing, if the key is there.
    pub(super) fn insert(&mut self, key: String, value: Value) -> bool {
        match self.values.entry(key) {
            std::collections::btree_map::Entry::Occupied(_) => false,
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(value);
                true
            }
        }
    }

    /// Returns every pair, ordered by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Returns the number of pairs.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns the value of `key` as the file has it.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// Returns the value of `key`; `None` if it is not there.
    ///
    /// # Errors
    /// [`MetadataError::Type`] if it is something else than a `T`.
    pub fn find<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<Option<T>, MetadataError> {
        let Some(value) = self.values.get(key) else {
            return Ok(None);
        };
        match T::from_value(value) {
            Some(value) => Ok(Some(value)),
            None => Err(MetadataError::Type {
                key: key.to_owned(),
                expected: T::EXPECTED,
                found: value.describe(),
            }),
        }
    }

    /// Returns the value of `key`.
    ///
    /// # Errors
    /// [`MetadataError`] if it is missing or something else than a `T`.
    pub fn get<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<T, MetadataError> {
        self.find(key)?.ok_or_else(|| MetadataError::Missing {
            key: key.to_owned(),
            expected: T::EXPECTED,
        })
    }
}

/// A type that a metadata value can be read as.
pub trait FromValue<'a>: Sized {
    /// What it is, for messages: "a text", "an integer of at least 0".
    const EXPECTED: &'static str;

    /// Returns `value` as this type; `None` if it is another type or does not fit.
    fn from_value(value: &'a Value) -> Option<Self>;
}

impl Value {
    /// Returns the type and, where it is short, the value: "u32 7", "an array of 3 texts".
    pub fn describe(&self) -> String {
        match self {
            Self::U8(value) => format!("u8 {value}"),
            Self::I8(value) => format!("i8 {value}"),
            Self::U16(value) => format!("u16 {value}"),
            Self::I16(value) => format!("i16 {value}"),
            Self::U32(value) => format!("u32 {value}"),
            Self::I32(value) => format!("i32 {value}"),
            Self::U64(value) => format!("u64 {value}"),
            Self::I64(value) => format!("i64 {value}"),
            Self::F32(value) => format!("f32 {value}"),
            Self::F64(value) => format!("f64 {value}"),
            Self::Bool(value) => format!("bool {value}"),
            Self::String(value) => format!("a text of {} bytes", value.len()),
            Self::Array(array) => format!("an array of {} {}", array.len(), array.element_name()),
        }
    }

    /// Returns an integer of any width.
    fn integer(&self) -> Option<i128> {
        Some(match *self {
            Self::U8(value) => value.into(),
            Self::I8(value) => value.into(),
            Self::U16(value) => value.into(),
            Self::I16(value) => value.into(),
            Self::U32(value) => value.into(),
            Self::I32(value) => value.into(),
            Self::U64(value) => value.into(),
            Self::I64(value) => value.into(),
            _ => return None,
        })
    }
}

impl Array {
    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::I8(values) => values.len(),
            Self::U16(values) => values.len(),
            Self::I16(values) => values.len(),
            Self::U32(values) => values.len(),
            Self::I32(values) => values.len(),
            Self::U64(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::String(values) => values.len(),
        }
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn element_name(&self) -> &'static str {
        match self {
            Self::U8(_) => "u8",
            Self::I8(_) => "i8",
            Self::U16(_) => "u16",
            Self::I16(_) => "i16",
            Self::U32(_) => "u32",
            Self::I32(_) => "i32",
            Self::U64(_) => "u64",
            Self::I64(_) => "i64",
            Self::F32(_) => "f32",
            Self::F64(_) => "f64",
            Self::Bool(_) => "bool",
            Self::String(_) => "texts",
        }
    }
}

impl FromValue<'_> for u64 {
    const EXPECTED: &'static str = "an integer of at least 0";

    fn from_value(value: &Value) -> Option<Self> {
        value.integer()?.try_into().ok()
    }
}

impl FromValue<'_> for usize {
    const EXPECTED: &'static str = "an integer of at least 0";

    fn from_value(value: &Value) -> Option<Self> {
        value.integer()?.try_into().ok()
    }
}

impl FromValue<'_> for u32 {
    const EXPECTED: &'static str = "an integer from 0 to 4294967295";

    fn from_value(value: &Value) -> Option<Self> {
        value.integer()?.try_into().ok()
    }
}

impl FromValue<'_> for f64 {
    const EXPECTED: &'static str = "a floating-point number";

    fn from_value(value: &Value) -> Option<Self> {
        match *value {
            Value::F32(value) => Some(value.into()),
            Value::F64(value) => Some(value),
            _ => None,
        }
    }
}

impl FromValue<'_> for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_value(value: &Value) -> Option<Self> {
        match *value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for &'a str {
    const EXPECTED: &'static str = "a text";

    fn from_value(value: &'a Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for &'a [String] {
    const EXPECTED: &'static str = "an array of texts";

    fn from_value(value: &'a Value) -> Option<Self> {
        match value {
            Value::Array(Array::String(texts)) => Some(texts),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for &'a [f32] {
    const EXPECTED: &'static str = "an array of f32";

    fn from_value(value: &'a Value) -> Option<Self> {
        match value {
            Value::Array(Array::F32(values)) => Some(values),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for &'a [bool] {
    const EXPECTED: &'static str = "an array of true or false";

    fn from_value(value: &'a Value) -> Option<Self> {
        match value {
            Value::Array(Array::Bool(values)) => Some(values),
            _ => None,
        }
    }
}

/// Integers of any width, copied: writers disagree on the type of `tokenizer.ggml.token_type`.
impl FromValue<'_> for Vec<i64> {
    const EXPECTED: &'static str = "an array of integers";

    fn from_value(value: &Value) -> Option<Self> {
        let Value::Array(array) = value else {
            return None;
        };
        match array {
            Array::U8(values) => Some(values.iter().map(|&value| value.into()).collect()),
            Array::I8(values) => Some(values.iter().map(|&value| value.into()).collect()),
            Array::U16(values) => Some(values.iter().map(|&value| value.into()).collect()),
            Array::I16(values) => Some(values.iter().map(|&value| value.into()).collect()),
            Array::U32(values) => Some(values.iter().map(|&value| value.into()).collect()),
            Array::I32(values) => Some(values.iter().map(|&value| value.into()).collect()),
            Array::U64(values) => values.iter().map(|&value| value.try_into().ok()).collect(),
            Array::I64(values) => Some(values.clone()),
            _ => None,
        }
    }
}
