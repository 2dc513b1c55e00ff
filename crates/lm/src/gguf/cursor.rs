//! Takes little-endian values off the front of a header, each checked against what is left.

use std::fmt;

/// The part of a header that is being read, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// One of the first fields, by name.
    Start(&'static str),
    /// The key of metadata pair 0, 1, …
    Key(u64),
    /// The value of a metadata pair, by its key.
    Value(String),
    /// The name of tensor 0, 1, …
    TensorName(u64),
    /// A part of a tensor's entry, by the tensor's name.
    Tensor(String, &'static str),
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(name) => f.write_str(name),
            Self::Key(index) => write!(f, "key of metadata pair {index}"),
            Self::Value(key) => write!(f, "metadata `{key}`"),
            Self::TensorName(index) => write!(f, "name of tensor {index}"),
            Self::Tensor(name, part) => write!(f, "{part} of tensor `{name}`"),
        }
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file does not begin as GGUF files do.
    #[error("this is not a GGUF file: it begins with {found:#010x}, expected `GGUF`")]
    NotGguf {
        /// The first four bytes as a little-endian number.
        found: u32,
    },
    /// A file of another version.
    #[error("version {found} is not supported, supported is 3")]
    Version {
        /// The version.
        found: u32,
    },
    /// A file for big-endian machines.
    #[error("the file is big-endian, supported is little-endian")]
    BigEndian,
    /// The file ends, or the part of it that may be header.
    #[error("it needs {needed_bytes} bytes and {left_bytes} are left")]
    Truncated {
        /// Bytes that the field takes, at least.
        needed_bytes: u64,
        /// Bytes that are left.
        left_bytes: u64,
    },
    /// A length or count is over its limit.
    #[error("it is {found}, at most {limit} is read")]
    OverLimit {
        /// The length or count.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A text is not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// A text is empty.
    #[error("it is empty")]
    Empty,
    /// A type is none of the format's.
    #[error("type {found} is not a type of GGUF 3")]
    UnknownType {
        /// The number of the type.
        found: u32,
    },
    /// An array of arrays.
    #[error("it is an array of arrays, which no model of ours needs")]
    NestedArray,
    /// A truth value other than 0 and 1.
    #[error("it is {found}, expected 0 or 1")]
    NotBool {
        /// The byte.
        found: u8,
    },
    /// A key or name occurred before.
    #[error("it occurs twice")]
    Duplicate,
    /// A tensor's number of dimensions or a dimension is out of range.
    #[error("it is {found}, expected {lowest} to {highest}")]
    OutOfRange {
        /// What it is.
        found: u64,
        /// The lowest possible.
        lowest: u64,
        /// The highest possible.
        highest: u64,
    },
    /// A tensor's type is one that is not read.
    #[error("type {name} is not supported, supported are {supported}")]
    UnsupportedType {
        /// The type's name, or its number.
        name: String,
        /// The types that are read.
        supported: String,
    },
    /// A quantised tensor's rows are not whole blocks.
    #[error("{found} is not a multiple of the {block} values of a block of its type")]
    PartialBlock {
        /// Values in a row.
        found: u64,
        /// Values in a block.
        block: u64,
    },
    /// Sizes multiply to more than any file holds.
    #[error("its size overflows")]
    Overflow,
    /// The offset of a tensor is not aligned.
    #[error("{found} is not a multiple of the alignment {alignment}")]
    Misaligned {
        /// The offset.
        found: u64,
        /// The file's alignment.
        alignment: u64,
    },
    /// An alignment has another type.
    #[error("it is {found}, expected u32")]
    NotU32 {
        /// Its type and value.
        found: String,
    },
    /// An alignment is not a power of two, or too large.
    #[error("{found} is not a power of two up to {limit}")]
    BadAlignment {
        /// The alignment.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A tensor's values lie beyond the end of the file.
    #[error("its values end at byte {end}, the file at {file_bytes}")]
    BeyondEnd {
        /// Where the values would end.
        end: u64,
        /// Length of the file.
        file_bytes: u64,
    },
    /// Two tensors share bytes.
    #[error("its values overlap those of tensor `{other}`")]
    Overlap {
        /// The other tensor.
        other: String,
    },
}

/// A header cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} (at byte {at}): {problem}")]
pub struct HeaderError {
    /// The field.
    pub field: Field,
    /// Where the reader was, in bytes from the start of the file.
    pub at: u64,
    /// What is wrong with it.
    pub problem: Problem,
}

/// The rest of a header.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// What is being read; every error names it.
    pub(super) field: Field,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            field: Field::Start("magic"),
        }
    }

    /// Bytes read so far.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn left(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }

    pub(super) fn error(&self, problem: Problem) -> HeaderError {
        HeaderError {
            field: self.field.clone(),
            at: self.at as u64,
            problem,
        }
    }

    /// Checks that `count` items of at least `bytes` bytes each can still follow.
    pub(super) fn expect_items(&self, count: u64, bytes: u64) -> Result<(), HeaderError> {
        let needed_bytes = count.saturating_mul(bytes);
        let left_bytes = self.left();
        if needed_bytes <= left_bytes {
            return Ok(());
        }
        Err(self.error(Problem::Truncated {
            needed_bytes,
            left_bytes,
        }))
    }

    pub(super) fn take(&mut self, n_bytes: u64) -> Result<&'a [u8], HeaderError> {
        self.expect_items(n_bytes, 1)?;
        // At most what is left, so it fits.
        let taken = &self.bytes[self.at..][..n_bytes as usize];
        self.at += taken.len();
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], HeaderError> {
        let bytes = self.take(N as u64)?;
        Ok(bytes.try_into().expect("as many bytes were taken"))
    }

    pub(super) fn u32(&mut self) -> Result<u32, HeaderError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, HeaderError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads a count of at most `limit` items of at least `item_bytes` bytes each, all of which can still follow.
    pub(super) fn count(&mut self, limit: u64, item_bytes: u64) -> Result<u64, HeaderError> {
        let found = self.u64()?;
        if found > limit {
            return Err(self.error(Problem::OverLimit { found, limit }));
        }
        self.expect_items(found, item_bytes)?;
        Ok(found)
    }

    /// Reads a text of at most `limit` bytes.
    pub(super) fn text(&mut self, limit: u64) -> Result<String, HeaderError> {
        let n_bytes = self.count(limit, 1)?;
        // Copied first: what was checked must not change, and the file may.
        let bytes = self.take(n_bytes)?.to_vec();
        String::from_utf8(bytes).map_err(|_| self.error(Problem::NotUtf8))
    }
}
