//! Reads the comma-separated form of the 8x8 digits: 64 pixels of 0 to 16 and a label of 0 to 9 on every line.
//!
//! Strict on purpose: no spaces, no signs, no blank lines, no header; whatever deviates is named by line and column.
//! Plain and gzip files are told apart by content. The embedded copy is opened by [`mod@crate::digits`].

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::bounded::{ReadContentError, read_content};
use crate::idx::MAX_LABEL;

/// Rows and columns of one image.
pub const SIDE: usize = 8;
/// The largest pixel value.
pub const MAX_PIXEL: u8 = 16;
/// The most uncompressed bytes such a file may have: 16 MiB, sixty times the real one.
pub const MAX_CSV_BYTES: u64 = 16 << 20;

const PIXELS: usize = SIDE * SIDE;

/// What one file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DigitRows {
    /// `[n, 8, 8]`, row-major, each 0 to 16.
    pub pixels: Vec<u8>,
    /// `[n]`, each 0 to 9.
    pub labels: Vec<u8>,
}

/// A digits file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read digits file `{}`", path.display())]
pub struct ReadCsvError {
    /// The file, as the caller named it.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub kind: ReadCsvErrorKind,
}

/// Why a digits file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadCsvErrorKind {
    /// The reader failed; the file itself may be sound.
    #[error("the file cannot be read")]
    Io(#[source] io::Error),
    /// The file starts as gzip does, but cannot be decompressed to its end.
    #[error("the gzip stream is damaged or cut short")]
    Gzip(#[source] io::Error),
    /// There is more than [`MAX_CSV_BYTES`] in it.
    #[error("the content is longer than {limit_bytes} bytes")]
    TooLarge {
        /// [`MAX_CSV_BYTES`].
        limit_bytes: u64,
    },
    /// There is no row.
    #[error("the file is empty")]
    Empty,
    /// A line has too few or too many fields.
    #[error("line {line} has {found} fields, expected {}", PIXELS + 1)]
    FieldCount {
        /// The line, counted from 1.
        line: usize,
        /// Fields there were.
        found: usize,
    },
    /// A field is no number of its range.
    #[error("line {line}, column {column}: `{text}` is not an integer from 0 to {max}")]
    Field {
        /// The line, counted from 1.
        line: usize,
        /// The field, counted from 1.
        column: usize,
        /// The first 20 bytes of the field.
        text: String,
        /// 16 for pixels, 9 for the label.
        max: u8,
    },
}

/// Reads a digits file, plain or gzip.
///
/// `path` is only named in errors. Never holds more than twice [`MAX_CSV_BYTES`].
///
/// # Errors
/// [`ReadCsvError`] naming `path`, line and column.
pub fn read_digits_csv(reader: &mut impl Read, path: &Path) -> Result<DigitRows, ReadCsvError> {
    parse(reader).map_err(|kind| ReadCsvError {
        path: path.to_path_buf(),
        kind,
    })
}

fn parse(reader: &mut impl Read) -> Result<DigitRows, ReadCsvErrorKind> {
    let content = read_content(reader, MAX_CSV_BYTES).map_err(|error| match error {
        ReadContentError::Io(error) => ReadCsvErrorKind::Io(error),
        ReadContentError::Damaged(error) => ReadCsvErrorKind::Gzip(error),
        ReadContentError::TooLong { limit_bytes } => ReadCsvErrorKind::TooLarge { limit_bytes },
    })?;
    let lines = content.strip_suffix(b"\n").unwrap_or(&content);
    if lines.is_empty() {
        return Err(ReadCsvErrorKind::Empty);
    }
    let mut rows = DigitRows::default();
    for (line_idx, line) in lines.split(|&byte| byte == b'\n').enumerate() {
        parse_line(line, line_idx + 1, &mut rows)?;
    }
    Ok(rows)
}

fn parse_line(text: &[u8], line: usize, rows: &mut DigitRows) -> Result<(), ReadCsvErrorKind> {
    let found = text.split(|&byte| byte == b',').count();
    if found != PIXELS + 1 {
        return Err(ReadCsvErrorKind::FieldCount { line, found });
    }
    for (field_idx, field) in text.split(|&byte| byte == b',').enumerate() {
        let (max, values) = if field_idx < PIXELS {
            (MAX_PIXEL, &mut rows.pixels)
        } else {
            (MAX_LABEL, &mut rows.labels)
        };
        let value = parse_field(field, max).ok_or_else(|| ReadCsvErrorKind::Field {
            line,
            column: field_idx + 1,
            text: String::from_utf8_lossy(&field[..field.len().min(20)]).into_owned(),
            max,
        })?;
        values.push(value);
    }
    Ok(())
}

/// Returns the value of one or two decimal digits, if it is at most `max`.
fn parse_field(field: &[u8], max: u8) -> Option<u8> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| byte - b'0');
    let value = match *field {
        [units] => digit(units)?,
        [tens, units] => digit(tens)? * 10 + digit(units)?,
        _ => return None,
    };
    (value <= max).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(label: &str) -> String {
        "0,16,".repeat(PIXELS / 2) + label
    }

    fn read(text: &str) -> Result<DigitRows, ReadCsvError> {
        read_digits_csv(&mut text.as_bytes(), Path::new("digits.csv"))
    }

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        let error = read(text).expect_err("the text is wrong");
        assert_eq!(error.to_string(), "cannot read digits file `digits.csv`");
        assert_eq!(error.kind.to_string(), expected);
    }

    #[test]
    fn reads_lines_with_and_without_a_final_newline() -> Result<(), ReadCsvError> {
        let text = format!("{}\n{}", line("3"), line("9"));
        let rows = read(&text)?;
        assert_eq!(rows.labels, [3, 9]);
        assert_eq!(rows.pixels.len(), 2 * PIXELS);
        assert_eq!(rows.pixels[..4], [0, 16, 0, 16]);
        assert_eq!(rows, read(&(text + "\n"))?);
        Ok(())
    }

    #[test]
    fn names_line_and_column() {
        let good = line("1");
        let at = |bad: &str| format!("{good}\n{}", good.replacen("16", bad, 1));
        for bad in ["17", "-1", " 1", "", "x", "016", "1.0", "+1"] {
            let expected = format!("line 2, column 2: `{bad}` is not an integer from 0 to 16");
            check_error(&at(bad), &expected);
        }
        check_error(
            &line("10"),
            "line 1, column 65: `10` is not an integer from 0 to 9",
        );
        check_error(
            &format!("{good}\r\n"),
            "line 1, column 65: `1\r` is not an integer from 0 to 9",
        );
    }

    #[test]
    fn names_lines_of_the_wrong_width() {
        let good = line("1");
        check_error("", "the file is empty");
        check_error("\n", "the file is empty");
        check_error(
            &format!("{good}\n\n{good}"),
            "line 2 has 1 fields, expected 65",
        );
        check_error(&format!("{good},1"), "line 1 has 66 fields, expected 65");
    }

    #[test]
    fn stops_at_the_cap() {
        let error = read_digits_csv(&mut io::repeat(b'1'), Path::new("digits.csv"))
            .expect_err("an endless file is over the cap");
        assert!(matches!(error.kind, ReadCsvErrorKind::TooLarge { .. }));
    }
}
