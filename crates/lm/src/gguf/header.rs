//! Reads the header of a GGUF file: metadata and where each tensor's values lie.
//!
//! The header comes from anyone, so every count, length and offset is checked against a limit and against what the file
//! has before it is used or anything is allocated by it. Memory follows the bytes that are there.
//!
//! ```text
//! "GGUF"  u32 version  u64 tensors  u64 pairs
//! pairs:    text key, u32 type, value            text: u64 bytes, UTF-8; array: u32 type, u64 count, values
//! tensors:  text name, u32 dimensions, u64 each (columns first), u32 type, u64 offset
//! padding to the alignment, then values; offsets count from here
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

use super::block::ValueType;
use super::cursor::{Cursor, Field, HeaderError, Problem};
use super::metadata::{Array, Metadata, Value};
use crate::checkpoint::Entry;

/// The version that is read, the current one since 2023.
pub const VERSION: u32 = 3;
/// The most bytes that the header may take; the largest vocabularies need 20 MiB.
pub const MAX_HEADER_BYTES: usize = 256 << 20;
/// The most tensors.
pub const MAX_TENSORS: u64 = 1 << 16;
/// The most metadata pairs.
pub const MAX_PAIRS: u64 = 1 << 16;
/// The longest key, in bytes.
pub const MAX_KEY_BYTES: u64 = 1 << 16;
/// The longest tensor name, in bytes; ggml itself allows 63.
pub const MAX_NAME_BYTES: u64 = 255;
/// The longest text value, in bytes.
pub const MAX_TEXT_BYTES: u64 = 16 << 20;
/// The most elements of an array.
pub const MAX_ARRAY: u64 = 1 << 22;
/// The most dimensions of a tensor.
pub const MAX_DIMENSIONS: u32 = 4;
/// The largest alignment of values, in bytes.
pub const MAX_ALIGNMENT: u64 = 1 << 20;

/// Bytes that a pair and a tensor's entry take at least.
const MIN_PAIR_BYTES: u64 = 8 + 1 + 4 + 1;
const MIN_TENSOR_BYTES: u64 = 8 + 1 + 4 + 8 + 4 + 8;

/// What a header says.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) metadata: Metadata,
    pub(super) tensors: BTreeMap<String, TensorEntry>,
}

/// Where a tensor's values are and what they are.
#[derive(Debug, Clone)]
pub(super) struct TensorEntry {
    pub(super) value_type: ValueType,
    /// Rows first.
    pub(super) shape: Vec<usize>,
    /// Its bytes in the file.
    pub(super) bytes: Range<usize>,
}

impl Entry for TensorEntry {
    fn shape(&self) -> &[usize] {
        &self.shape
    }
}

/// Reads the header of `file`, the whole file.
pub(super) fn read(file: &[u8]) -> Result<Header, HeaderError> {
    let mut cursor = Cursor::new(&file[..file.len().min(MAX_HEADER_BYTES)]);
    check_start(&mut cursor)?;
    cursor.field = Field::Start("number of tensors");
    let n_tensors = cursor.count(MAX_TENSORS, MIN_TENSOR_BYTES)?;
    cursor.field = Field::Start("number of metadata pairs");
    let n_pairs = cursor.count(MAX_PAIRS, MIN_PAIR_BYTES)?;

    let mut metadata = Metadata::default();
    for index in 0..n_pairs {
        cursor.field = Field::Key(index);
        let key = nonempty(cursor.text(MAX_KEY_BYTES)?, &cursor)?;
        cursor.field = Field::Value(key.clone());
        let value = value(&mut cursor)?;
        if !metadata.insert(key, value) {
            return Err(cursor.error(Problem::Duplicate));
        }
    }
    let alignment = alignment(&metadata, &mut cursor)?;
    let mut places: Vec<Place> = Vec::new();
    for index in 0..n_tensors {
        places.push(tensor(index, &mut cursor)?);
    }
    let tensors = lay_out(places, alignment, file.len() as u64, &mut cursor)?;
    Ok(Header { metadata, tensors })
}

fn check_start(cursor: &mut Cursor<'_>) -> Result<(), HeaderError> {
    let magic = cursor.array::<4>()?;
    if magic != *b"GGUF" {
        let found = u32::from_le_bytes(magic);
        return Err(cursor.error(Problem::NotGguf { found }));
    }
    cursor.field = Field::Start("version");
    match cursor.u32()? {
        VERSION => Ok(()),
        found if found == VERSION.swap_bytes() => Err(cursor.error(Problem::BigEndian)),
        found => Err(cursor.error(Problem::Version { found })),
    }
}

fn nonempty(text: String, cursor: &Cursor<'_>) -> Result<String, HeaderError> {
    match text.as_str() {
        "" => Err(cursor.error(Problem::Empty)),
        _ => Ok(text),
    }
}

/// Reads a value, which begins with its type.
fn value(cursor: &mut Cursor<'_>) -> Result<Value, HeaderError> {
    Ok(match cursor.u32()? {
        0 => Value::U8(u8::from_le_bytes(cursor.array()?)),
        1 => Value::I8(i8::from_le_bytes(cursor.array()?)),
        2 => Value::U16(u16::from_le_bytes(cursor.array()?)),
        3 => Value::I16(i16::from_le_bytes(cursor.array()?)),
        4 => Value::U32(u32::from_le_bytes(cursor.array()?)),
        5 => Value::I32(i32::from_le_bytes(cursor.array()?)),
        6 => Value::F32(f32::from_le_bytes(cursor.array()?)),
        7 => Value::Bool(truth(cursor.array()?, cursor)?),
        8 => Value::String(cursor.text(MAX_TEXT_BYTES)?),
        9 => Value::Array(array(cursor)?),
        10 => Value::U64(u64::from_le_bytes(cursor.array()?)),
        11 => Value::I64(i64::from_le_bytes(cursor.array()?)),
        12 => Value::F64(f64::from_le_bytes(cursor.array()?)),
        found => return Err(cursor.error(Problem::UnknownType { found })),
    })
}

fn truth([byte]: [u8; 1], cursor: &Cursor<'_>) -> Result<bool, HeaderError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(cursor.error(Problem::NotBool { found })),
    }
}

fn array(cursor: &mut Cursor<'_>) -> Result<Array, HeaderError> {
    Ok(match cursor.u32()? {
        0 => Array::U8(elements(cursor, u8::from_le_bytes)?),
        1 => Array::I8(elements(cursor, i8::from_le_bytes)?),
        2 => Array::U16(elements(cursor, u16::from_le_bytes)?),
        3 => Array::I16(elements(cursor, i16::from_le_bytes)?),
        4 => Array::U32(elements(cursor, u32::from_le_bytes)?),
        5 => Array::I32(elements(cursor, i32::from_le_bytes)?),
        6 => Array::F32(elements(cursor, f32::from_le_bytes)?),
        7 => {
            let bytes = elements(cursor, |byte: [u8; 1]| byte)?;
            let truths = bytes.into_iter().map(|byte| truth(byte, cursor));
            Array::Bool(truths.collect::<Result<_, _>>()?)
        }
        8 => {
            let count = cursor.count(MAX_ARRAY, 8)?;
            let texts = (0..count).map(|_| cursor.text(MAX_TEXT_BYTES));
            Array::String(texts.collect::<Result<_, _>>()?)
        }
        9 => return Err(cursor.error(Problem::NestedArray)),
        10 => Array::U64(elements(cursor, u64::from_le_bytes)?),
        11 => Array::I64(elements(cursor, i64::from_le_bytes)?),
        12 => Array::F64(elements(cursor, f64::from_le_bytes)?),
        found => return Err(cursor.error(Problem::UnknownType { found })),
    })
}

/// Reads a count and so many elements of `N` bytes.
fn elements<T, const N: usize>(
    cursor: &mut Cursor<'_>,
    convert: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, HeaderError> {
    let count = cursor.count(MAX_ARRAY, N as u64)?;
    let (chunks, _) = cursor.take(count * N as u64)?.as_chunks::<N>();
    Ok(chunks.iter().map(|&chunk| convert(chunk)).collect())
}

fn alignment(metadata: &Metadata, cursor: &mut Cursor<'_>) -> Result<u64, HeaderError> {
    const KEY: &str = "general.alignment";
    const DEFAULT: u64 = 32;
    cursor.field = Field::Value(KEY.to_owned());
    let found = match metadata.value(KEY) {
        None => DEFAULT,
        Some(&Value::U32(alignment)) => alignment.into(),
        Some(other) => {
            let found = other.describe();
            return Err(cursor.error(Problem::NotU32 { found }));
        }
    };
    if found.is_power_of_two() && found <= MAX_ALIGNMENT {
        return Ok(found);
    }
    let limit = MAX_ALIGNMENT;
    Err(cursor.error(Problem::BadAlignment { found, limit }))
}

/// A tensor's entry as the header has it, its sizes checked.
struct Place {
    name: String,
    value_type: ValueType,
    shape: Vec<usize>,
    n_bytes: u64,
    offset: u64,
}

fn tensor(index: u64, cursor: &mut Cursor<'_>) -> Result<Place, HeaderError> {
    cursor.field = Field::TensorName(index);
    let name = nonempty(cursor.text(MAX_NAME_BYTES)?, cursor)?;
    let of = |part| Field::Tensor(name.clone(), part);
    cursor.field = of("number of dimensions");
    let n_dimensions = cursor.u32()?;
    in_range(n_dimensions.into(), 1, MAX_DIMENSIONS.into(), cursor)?;
    cursor.field = of("a dimension");
    let mut shape = Vec::new();
    for _ in 0..n_dimensions {
        let dimension = in_range(cursor.u64()?, 1, 1 << 40, cursor)?;
        let fits = usize::try_from(dimension);
        shape.push(fits.map_err(|_| cursor.error(Problem::Overflow))?);
    }
    cursor.field = of("type");
    let value_type = value_type(cursor)?;
    cursor.field = of("shape");
    let n_bytes = n_bytes(&shape, value_type, cursor)?;
    shape.reverse();
    cursor.field = of("offset");
    let offset = cursor.u64()?;
    Ok(Place {
        name,
        value_type,
        shape,
        n_bytes,
        offset,
    })
}

fn in_range(
    found: u64,
    lowest: u64,
    highest: u64,
    cursor: &Cursor<'_>,
) -> Result<u64, HeaderError> {
    if (lowest..=highest).contains(&found) {
        return Ok(found);
    }
    Err(cursor.error(Problem::OutOfRange {
        found,
        lowest,
        highest,
    }))
}

/// Returns the bytes of a tensor whose `dimensions` begin with its columns.
fn n_bytes(
    dimensions: &[usize],
    value_type: ValueType,
    cursor: &Cursor<'_>,
) -> Result<u64, HeaderError> {
    let (columns, block) = (dimensions[0], value_type.block_values());
    if !columns.is_multiple_of(block) {
        return Err(cursor.error(Problem::PartialBlock {
            found: columns as u64,
            block: block as u64,
        }));
    }
    let row_bytes = (columns / block * value_type.block_bytes()) as u64;
    let product = dimensions[1..]
        .iter()
        .try_fold(row_bytes, |product, &dimension| {
            product.checked_mul(dimension as u64)
        });
    product.ok_or_else(|| cursor.error(Problem::Overflow))
}

/// Numbers of the types that exist, those we read first.
const TYPES: [(u32, ValueType); 11] = [
    (0, ValueType::F32),
    (1, ValueType::F16),
    (30, ValueType::Bf16),
    (2, ValueType::Q4_0),
    (3, ValueType::Q4_1),
    (6, ValueType::Q5_0),
    (7, ValueType::Q5_1),
    (8, ValueType::Q8_0),
    (12, ValueType::Q4K),
    (13, ValueType::Q5K),
    (14, ValueType::Q6K),
];
const OTHER_TYPES: [(u32, &str); 22] = [
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
];

fn value_type(cursor: &mut Cursor<'_>) -> Result<ValueType, HeaderError> {
    let number = cursor.u32()?;
    if let Some((_, value_type)) = TYPES.iter().find(|(known, _)| *known == number) {
        return Ok(*value_type);
    }
    let other = OTHER_TYPES.iter().find(|(known, _)| *known == number);
    Err(cursor.error(Problem::UnsupportedType {
        name: other.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned()),
        supported: TYPES.map(|(_, value_type)| value_type.name()).join(", "),
    }))
}

/// Gives each tensor its bytes: after the header, aligned, inside the file, its own.
fn lay_out(
    places: Vec<Place>,
    alignment: u64,
    file_bytes: u64,
    cursor: &mut Cursor<'_>,
) -> Result<BTreeMap<String, TensorEntry>, HeaderError> {
    let start = (cursor.at() as u64).next_multiple_of(alignment);
    let mut tensors = BTreeMap::new();
    let mut taken: BTreeMap<usize, (usize, String)> = BTreeMap::new();
    for place in places {
        let Place {
            name,
            value_type,
            shape,
            n_bytes,
            offset,
        } = place;
        cursor.field = Field::Tensor(name.clone(), "offset");
        if !offset.is_multiple_of(alignment) {
            let found = offset;
            return Err(cursor.error(Problem::Misaligned { found, alignment }));
        }
        let first = start.checked_add(offset);
        let end = first.and_then(|first| first.checked_add(n_bytes));
        let Some((first, end)) = first.zip(end) else {
            return Err(cursor.error(Problem::Overflow));
        };
        if end > file_bytes {
            return Err(cursor.error(Problem::BeyondEnd { end, file_bytes }));
        }
        // Inside the file, which is in memory, so both fit.
        let bytes = first as usize..end as usize;
        let before = taken.range(..bytes.end).next_back();
        if let Some((_, (other_end, other))) = before
            && *other_end > bytes.start
        {
            let other = other.clone();
            return Err(cursor.error(Problem::Overlap { other }));
        }
        taken.insert(bytes.start, (bytes.end, name.clone()));
        let entry = TensorEntry {
            value_type,
            shape,
            bytes,
        };
        if tensors.insert(name.clone(), entry).is_some() {
            cursor.field = Field::Tensor(name, "name");
            return Err(cursor.error(Problem::Duplicate));
        }
    }
    Ok(tensors)
}
