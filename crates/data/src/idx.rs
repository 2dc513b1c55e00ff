//! Reads and writes idx files, the format MNIST is distributed in, treating every file as hostile.
//!
//! An image file is a big-endian header (magic 2051, images, rows, columns) and one byte per pixel; a label file is
//! (magic 2049, labels) and one byte per label. The header is checked before anything is allocated, the body must have
//! exactly the promised length, and labels must be digits. Plain and gzip files are told apart by content. Knows no
//! dataset by name: [`crate::source`] does.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use undertone_core::Sha256Digest;

use crate::bounded::{Content, MAX_CONTENT_BYTES, read_up_to};

const IMAGES_MAGIC: u32 = 2051;
const LABELS_MAGIC: u32 = 2049;

/// The largest label of a ten-class dataset.
pub const MAX_LABEL: u8 = 9;

/// The images of one idx file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdxImages {
    /// Number of images, at least 1.
    pub n: usize,
    /// Rows of each image, at least 1.
    pub rows: usize,
    /// Columns of each image, at least 1.
    pub cols: usize,
    /// `[n, rows, cols]`, row-major, 0 to 255.
    pub pixels: Vec<u8>,
    /// SHA-256 of the uncompressed file, header included.
    pub sha256: Sha256Digest,
}

/// The labels of one idx file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdxLabels {
    /// `[n]`, each 0 to 9.
    pub labels: Vec<u8>,
    /// SHA-256 of the uncompressed file, header included.
    pub sha256: Sha256Digest,
}

/// An idx file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read idx file `{}`", path.display())]
pub struct ReadIdxError {
    /// The file, as the caller named it.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub kind: ReadIdxErrorKind,
}

/// Why an idx file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadIdxErrorKind {
    /// The reader failed; the file itself may be sound.
    #[error("the file cannot be read")]
    Io(#[source] io::Error),
    /// The file starts as gzip does, but cannot be decompressed to its end.
    #[error("the gzip stream is damaged or cut short")]
    Gzip(#[source] io::Error),
    /// The first four bytes are not those of the wanted kind of idx file.
    #[error(
        "the magic number is {found}, expected {expected} ({})",
        magic_name(*expected)
    )]
    Magic {
        /// The number of the wanted kind.
        expected: u32,
        /// The number in the file.
        found: u32,
    },
    /// The header says there is nothing in the file.
    #[error("the header gives 0 {dimension}")]
    EmptyDimension {
        /// `images`, `rows`, `columns` or `labels`.
        dimension: &'static str,
    },
    /// The product of the dimensions is larger than [`MAX_CONTENT_BYTES`].
    #[error(
        "the header gives dimensions {dimensions:?}, more than the {limit_bytes} bytes allowed"
    )]
    TooLarge {
        /// The dimensions in the header.
        dimensions: Vec<u32>,
        /// [`MAX_CONTENT_BYTES`].
        limit_bytes: u64,
    },
    /// The content ends before the header or the promised body does.
    #[error("the content ends after {found_bytes} bytes, expected {expected_bytes}")]
    Truncated {
        /// Bytes of header and body together.
        expected_bytes: u64,
        /// Bytes there were.
        found_bytes: u64,
    },
    /// Something follows the promised body.
    #[error("the content goes on after the {expected_bytes} bytes its header promises")]
    TrailingBytes {
        /// Bytes of header and body together.
        expected_bytes: u64,
    },
    /// A label is not a digit.
    #[error("label {label} in row {row} is not one of 0 to {MAX_LABEL}")]
    Label {
        /// The row, counted from 0.
        row: usize,
        /// The value there.
        label: u8,
    },
}

fn magic_name(magic: u32) -> &'static str {
    if magic == IMAGES_MAGIC {
        "images"
    } else {
        "labels"
    }
}

/// Reads the images of an idx file, plain or gzip.
///
/// `path` is only named in errors. Never holds more than the larger of 64 KiB and twice the content that arrived.
///
/// # Errors
/// [`ReadIdxError`] naming `path`, if the reader fails or anything about the content is not as the format demands.
pub fn read_images(reader: &mut impl Read, path: &Path) -> Result<IdxImages, ReadIdxError> {
    parse_images(reader).map_err(|kind| ReadIdxError {
        path: path.to_path_buf(),
        kind,
    })
}

/// Reads the labels of an idx file, plain or gzip.
///
/// `path` is only named in errors. Never holds more than the larger of 64 KiB and twice the content that arrived.
///
/// # Errors
/// [`ReadIdxError`] naming `path`, if the reader fails or anything about the content is not as the format demands.
pub fn read_labels(reader: &mut impl Read, path: &Path) -> Result<IdxLabels, ReadIdxError> {
    parse_labels(reader).map_err(|kind| ReadIdxError {
        path: path.to_path_buf(),
        kind,
    })
}

fn parse_images(reader: &mut impl Read) -> Result<IdxImages, ReadIdxErrorKind> {
    let (mut content, [n, rows, cols]) =
        read_file(reader, IMAGES_MAGIC, ["images", "rows", "columns"])?;
    let sha256 = Sha256Digest::of(&content);
    content.drain(..header_bytes::<3>());
    Ok(IdxImages {
        n,
        rows,
        cols,
        pixels: content,
        sha256,
    })
}

fn parse_labels(reader: &mut impl Read) -> Result<IdxLabels, ReadIdxErrorKind> {
    let (mut content, _) = read_file(reader, LABELS_MAGIC, ["labels"])?;
    let sha256 = Sha256Digest::of(&content);
    content.drain(..header_bytes::<1>());
    match content.iter().position(|&label| label > MAX_LABEL) {
        Some(row) => Err(ReadIdxErrorKind::Label {
            row,
            label: content[row],
        }),
        None => Ok(IdxLabels {
            labels: content,
            sha256,
        }),
    }
}

const fn header_bytes<const D: usize>() -> usize {
    4 + 4 * D
}

/// Returns the whole content, header included, and the dimensions, whose product is the length of the body.
fn read_file<const D: usize>(
    reader: &mut impl Read,
    magic: u32,
    names: [&'static str; D],
) -> Result<(Vec<u8>, [usize; D]), ReadIdxErrorKind> {
    let mut content = Content::open(reader).map_err(ReadIdxErrorKind::Io)?;
    let mut bytes = Vec::new();
    let header_bytes = header_bytes::<D>() as u64;
    fill(&mut content, &mut bytes, header_bytes)?;
    let found = bytes.first_chunk().map(|&word| u32::from_be_bytes(word));
    if let Some(found) = found.filter(|&found| found != magic) {
        return Err(ReadIdxErrorKind::Magic {
            expected: magic,
            found,
        });
    }
    if (bytes.len() as u64) < header_bytes {
        return Err(truncated(header_bytes, &bytes));
    }
    let dimensions = parse_dimensions(&bytes, names)?;
    let expected_bytes = header_bytes + body_bytes(dimensions)?;
    fill(&mut content, &mut bytes, expected_bytes + 1)?;
    if (bytes.len() as u64) < expected_bytes {
        return Err(truncated(expected_bytes, &bytes));
    }
    if bytes.len() as u64 > expected_bytes {
        return Err(ReadIdxErrorKind::TrailingBytes { expected_bytes });
    }
    // Lossless: the product of the dimensions fits into memory, as the lines above have shown by holding it.
    Ok((bytes, dimensions.map(|dimension| dimension as usize)))
}

fn fill<R: Read>(
    content: &mut Content<R>,
    bytes: &mut Vec<u8>,
    limit_bytes: u64,
) -> Result<(), ReadIdxErrorKind> {
    read_up_to(content, bytes, limit_bytes).map_err(|error| {
        if content.is_damage(&error) {
            ReadIdxErrorKind::Gzip(error)
        } else {
            ReadIdxErrorKind::Io(error)
        }
    })
}

fn truncated(expected_bytes: u64, bytes: &[u8]) -> ReadIdxErrorKind {
    ReadIdxErrorKind::Truncated {
        expected_bytes,
        found_bytes: bytes.len() as u64,
    }
}

fn parse_dimensions<const D: usize>(
    header: &[u8],
    names: [&'static str; D],
) -> Result<[u32; D], ReadIdxErrorKind> {
    let mut dimensions = [0; D];
    for ((dimension, word), name) in dimensions
        .iter_mut()
        .zip(header.chunks_exact(4).skip(1))
        .zip(names)
    {
        *dimension = word
            .iter()
            .fold(0, |value, &byte| value << 8 | u32::from(byte));
        if *dimension == 0 {
            return Err(ReadIdxErrorKind::EmptyDimension { dimension: name });
        }
    }
    Ok(dimensions)
}

fn body_bytes<const D: usize>(dimensions: [u32; D]) -> Result<u64, ReadIdxErrorKind> {
    dimensions
        .iter()
        .try_fold(1u64, |product, &dimension| {
            product.checked_mul(u64::from(dimension))
        })
        .filter(|&product| product <= MAX_CONTENT_BYTES)
        .ok_or_else(|| ReadIdxErrorKind::TooLarge {
            dimensions: dimensions.to_vec(),
            limit_bytes: MAX_CONTENT_BYTES,
        })
}

/// Writes `pixels`, `[n, rows, cols]` row-major, as a plain idx file.
///
/// # Errors
/// What `out` reports; [`io::ErrorKind::InvalidInput`] if `pixels` is not a whole number of images, or too many.
pub fn write_images(
    out: &mut impl Write,
    rows: usize,
    cols: usize,
    pixels: &[u8],
) -> io::Result<()> {
    let features = rows.checked_mul(cols).filter(|&features| features > 0);
    let n = match features {
        Some(features) if pixels.len().is_multiple_of(features) => pixels.len() / features,
        _ => {
            let reason = format!("{} pixels are not images of {rows} x {cols}", pixels.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
    };
    write_header(out, IMAGES_MAGIC, &[n, rows, cols])?;
    out.write_all(pixels)
}

/// Writes `labels` as a plain idx file.
///
/// # Errors
/// What `out` reports; [`io::ErrorKind::InvalidInput`] if there are more labels than the format can count.
pub fn write_labels(out: &mut impl Write, labels: &[u8]) -> io::Result<()> {
    write_header(out, LABELS_MAGIC, &[labels.len()])?;
    out.write_all(labels)
}

fn write_header(out: &mut impl Write, magic: u32, dimensions: &[usize]) -> io::Result<()> {
    out.write_all(&magic.to_be_bytes())?;
    for &dimension in dimensions {
        let dimension = u32::try_from(dimension)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        out.write_all(&dimension.to_be_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
