//! The digest of a dataset's rows, whatever their order and encoding; and who wrote each row, if the rows say so.
//!
//! A JSONL file is UTF-8, one JSON object a line; a byte order mark, `\r` before the newline and blank lines are not
//! content. A row's canonical form has the keys of every object sorted by their UTF-8 bytes, no white space, texts escaped
//! only where JSON must, and numbers by value: an integer that fits 64 bits in decimal digits, every other number as the
//! nearest `f64`, which is written as an integer if it is one below 2^53 in magnitude (so `1`, `1.0` and `1e0` are equal)
//! and else in the shortest form that reads back. Texts are compared by code points, without normalisation. The same key twice in an
//! object is an error: readers disagree on what it means.
//!
//! Row digest: `BLAKE3("undertone-row-v1\n" + canonical form)`. Row-set digest: `BLAKE3("undertone-row-set-v1\n" + number
//! of rows as 8 bytes, little-endian + the row digests in ascending order)`. Equal rows count as often as they occur.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use undertone_core::Digest;
use undertone_store::canonical_json;

/// The longest row.
pub const MAX_ROW_BYTES: usize = 16 << 20;
/// The most rows: their digests are sorted in memory.
pub const MAX_ROWS: usize = 1 << 26;
/// The most generators one file may name.
pub const MAX_GENERATORS: usize = 10_000;
/// Columns that name the model that wrote a row, in the order they are looked for.
pub const GENERATOR_COLUMNS: [&str; 7] = [
    "model_name",
    "generator",
    "generated_by",
    "model",
    "teacher",
    "source_model",
    "model_id",
];

const ROW: &[u8] = b"undertone-row-v1\n";
const ROW_SET: &[u8] = b"undertone-row-set-v1\n";

/// A dataset of rows could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read rows of `{}`", path.display())]
pub struct RowsError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub kind: RowsErrorKind,
}

/// Why a dataset of rows could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RowsErrorKind {
    /// The operating system refused.
    #[error("the operating system refused")]
    Io(#[source] io::Error),
    /// A line is no JSON, nests too deep, or has a key twice.
    #[error("line {line} is no row")]
    Line {
        /// The line, from 1.
        line: u64,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A line is JSON but not an object.
    #[error("line {line} is not a JSON object: rows are objects, one a line")]
    NotAnObject {
        /// The line, from 1.
        line: u64,
    },
    /// A line is too long.
    #[error("line {line} is longer than {MAX_ROW_BYTES} bytes")]
    LongLine {
        /// The line, from 1.
        line: u64,
    },
    /// There are too many rows.
    #[error("there are more than {MAX_ROWS} rows: split the file")]
    ManyRows,
    /// There are too many generators.
    #[error(
        "column `{column}` names more than {MAX_GENERATORS} generators: it is probably another thing's name"
    )]
    ManyGenerators {
        /// The column.
        column: String,
    },
}

/// What the rows of a file say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// The row-set digest.
    pub digest: Digest,
    /// How many rows there are.
    pub n: u64,
    /// The column that names generators, if one was asked for or found.
    pub column: Option<String>,
    /// How many rows each generator wrote.
    pub generators: BTreeMap<String, u64>,
    /// Rows that name no generator, while there is such a column.
    pub unnamed: u64,
}

/// Returns the digest of one row, given as JSON text.
///
/// # Errors
/// If it is no JSON or has a key twice.
pub fn row_digest(text: &[u8]) -> Result<Digest, serde_json::Error> {
    let row: Row = serde_json::from_slice(text)?;
    Ok(digest_of(&row.0))
}

fn digest_of(row: &Value) -> Digest {
    let mut bytes = ROW.to_vec();
    let canonical = canonical_json(row).expect("a JSON value has a JSON form");
    bytes.extend_from_slice(canonical.strip_suffix(b"\n").unwrap_or(&canonical));
    Digest::of(&bytes)
}

/// Returns the digest of a set of rows, given their digests in any order.
pub fn row_set_digest(mut rows: Vec<Digest>) -> Digest {
    rows.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    hasher.update(ROW_SET);
    hasher.update(&(rows.len() as u64).to_le_bytes());
    for row in &rows {
        hasher.update(row.as_bytes());
    }
    Digest::from_bytes(*hasher.finalize().as_bytes())
}

/// Reads a JSONL file. `column` names the generator column; without it the [`GENERATOR_COLUMNS`] are looked for in the
/// first row.
///
/// # Errors
/// [`RowsError`] names the line.
pub fn read_jsonl(path: &Path, column: Option<&str>) -> Result<Rows, RowsError> {
    let fail = |kind| RowsError {
        path: path.to_owned(),
        kind,
    };
    let file = File::open(path).map_err(|error| fail(RowsErrorKind::Io(error)))?;
    read_rows(BufReader::new(file), column).map_err(fail)
}

/// Reads JSONL from memory or a stream; see [`read_jsonl`].
///
/// # Errors
/// [`RowsErrorKind`] names the line.
pub fn read_rows(mut reader: impl BufRead, column: Option<&str>) -> Result<Rows, RowsErrorKind> {
    let mut rows = Vec::new();
    let mut column = column.map(str::to_owned);
    let mut generators: BTreeMap<String, u64> = BTreeMap::new();
    let mut unnamed = 0;
    let mut number = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = MAX_ROW_BYTES as u64 + 1;
        let read = reader.by_ref().take(limit).read_until(b'\n', &mut line);
        if read.map_err(RowsErrorKind::Io)? == 0 {
            break;
        }
        number += 1;
        if line.len() > MAX_ROW_BYTES {
            return Err(RowsErrorKind::LongLine { line: number });
        }
        let text = match number {
            1 => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line),
            _ => &line,
        };
        if text.trim_ascii().is_empty() {
            continue;
        }
        let row: Row = serde_json::from_slice(text).map_err(|source| RowsErrorKind::Line {
            line: number,
            source,
        })?;
        let Value::Object(fields) = &row.0 else {
            return Err(RowsErrorKind::NotAnObject { line: number });
        };
        if rows.len() == MAX_ROWS {
            return Err(RowsErrorKind::ManyRows);
        }
        if rows.is_empty() && column.is_none() {
            column = GENERATOR_COLUMNS
                .iter()
                .find(|name| fields.get(**name).is_some_and(Value::is_string))
                .map(|name| (*name).to_owned());
        }
        if let Some(column) = &column {
            match fields.get(column) {
                Some(Value::String(name)) if !name.trim().is_empty() => {
                    *generators.entry(name.trim().to_owned()).or_default() += 1;
                }
                _ => unnamed += 1,
            }
            if generators.len() > MAX_GENERATORS {
                let column = column.clone();
                return Err(RowsErrorKind::ManyGenerators { column });
            }
        }
        rows.push(digest_of(&row.0));
    }
    Ok(Rows {
        n: rows.len() as u64,
        digest: row_set_digest(rows),
        column,
        generators,
        unnamed,
    })
}

/// A JSON value whose objects have no key twice and whose numbers are by value.
struct Row(Value);

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Row, E> {
        Ok(Row(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Row, E> {
        Ok(Row(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Row, E> {
        Ok(Row(Value::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Row, E> {
        Ok(Row(Value::from(value)))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Row, E> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if value.fract() == 0.0 && value.abs() < EXACT {
            return Ok(Row(Value::from(value as i64)));
        }
        let number = Number::from_f64(value);
        number
            .map(|number| Row(Value::Number(number)))
            .ok_or_else(|| E::custom("a number beyond the range of f64"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Row, E> {
        Ok(Row(Value::String(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Row, A::Error> {
        let mut values = Vec::new();
        while let Some(Row(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Row(Value::Array(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Row, A::Error> {
        let mut fields = Map::new();
        while let Some((name, Row(value))) = entries.next_entry::<String, Row>()? {
            if fields.contains_key(&name) {
                return Err(A::Error::custom(format_args!("key `{name}` twice")));
            }
            fields.insert(name, value);
        }
        Ok(Row(Value::Object(fields)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(text: &str) -> Rows {
        read_rows(text.as_bytes(), None).expect("the rows are good")
    }

    #[test]
    fn order_white_space_escapes_and_number_forms_do_not_matter() {
        let plain = "{\"a\":1,\"b\":\"é\"}\n{\"a\":2.5,\"b\":[0]}\n";
        let other = "\u{feff}{ \"b\" : [0.0], \"a\": 25e-1 }\r\n\n{\"b\":\"\\u00e9\",\"a\":1.0}";
        assert_eq!(rows(plain).digest, rows(other).digest);
        assert_eq!(rows(other).n, 2);
    }

    #[test]
    fn values_types_counts_and_splits_do_matter() {
        let digest = |text| rows(text).digest;
        let base = digest("{\"a\":1}\n{\"a\":2}");
        for other in [
            "{\"a\":1}\n{\"a\":3}",
            "{\"a\":1}\n{\"a\":\"2\"}",
            "{\"a\":1}\n{\"a\":2}\n{\"a\":2}",
            "{\"a\":1}",
            "{\"a\":1,\"b\":null}\n{\"a\":2}",
            "{\"a\":[1,2]}",
        ] {
            assert_ne!(digest(other), base, "{other}");
        }
        // Integers beyond 2^53 keep their digits.
        let (big, bigger) = ("{\"a\":9007199254740993}", "{\"a\":9007199254740992}");
        assert_ne!(digest(big), digest(bigger));
    }

    #[test]
    fn the_digest_is_what_the_definition_says() {
        let row = |text: &str| {
            let mut bytes = b"undertone-row-v1\n".to_vec();
            bytes.extend_from_slice(text.as_bytes());
            Digest::of(&bytes)
        };
        let mut digests = [row("{\"a\":1,\"b\":\"x\"}"), row("{\"a\":-0.5}")];
        digests.sort();
        let mut bytes = b"undertone-row-set-v1\n".to_vec();
        bytes.extend_from_slice(&2u64.to_le_bytes());
        bytes.extend(digests.iter().flat_map(|digest| digest.as_bytes()));
        let read = rows("{\"b\":\"x\",\"a\":1e0}\n{\"a\":-0.50}\n");
        assert_eq!(read.digest, Digest::of(&bytes));
    }

    #[test]
    fn keys_twice_and_rows_that_are_no_objects_are_refused_with_their_line() {
        for (text, line) in [
            ("{\"a\":1}\n{\"a\":1,\"a\":2}", 2),
            ("[1]", 1),
            ("{\"a\":1}\n\n{", 3),
        ] {
            let error = read_rows(text.as_bytes(), None).expect_err(text);
            let at = match error {
                RowsErrorKind::Line { line, .. } | RowsErrorKind::NotAnObject { line } => line,
                other => panic!("{other}"),
            };
            assert_eq!(at, line, "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        let text = format!("{{\"a\":{}", "[".repeat(100_000));
        assert!(read_rows(text.as_bytes(), None).is_err());
    }

    #[test]
    fn shares_are_counted_by_generator() {
        let text = "{\"model_name\":\"x\",\"t\":1}\n{\"model_name\":\"y\",\"t\":2}\n{\"model_name\":\" x \",\"t\":3}\n{\"t\":4}\n";
        let rows = rows(text);
        assert_eq!(rows.column.as_deref(), Some("model_name"));
        assert_eq!(
            rows.generators,
            BTreeMap::from([("x".to_owned(), 2), ("y".to_owned(), 1)])
        );
        assert_eq!(rows.unnamed, 1);
    }

    proptest! {
        #[test]
        fn any_order_has_the_same_digest(mut values in prop::collection::vec(any::<(i32, String)>(), 0..20), seed in any::<u64>()) {
            let text = |values: &[(i32, String)]| -> String {
                let row = |(n, s): &(i32, String)| format!("{}\n", serde_json::json!({"n": n, "s": s}));
                values.iter().map(row).collect()
            };
            let before = rows(&text(&values)).digest;
            let n = values.len().max(1);
            values.rotate_left(seed as usize % n);
            values.reverse();
            prop_assert_eq!(rows(&text(&values)).digest, before);
        }

        #[test]
        fn arbitrary_bytes_are_rows_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read_rows(&bytes[..], None);
        }
    }
}
