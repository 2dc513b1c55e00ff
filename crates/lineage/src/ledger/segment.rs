//! A segment: a header line and records, one canonical JSON a line, sorted by their digests.
//!
//! The same records give the same bytes and so the same name. Segments may come from others: sizes are checked before
//! anything is read, the digest before anything is parsed.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Digest;
use undertone_store::canonical_json;

use super::index::Place;
use super::{LedgerError, LedgerErrorKind, MAX_SEGMENT_RECORDS};
use crate::record::Record;

/// The longest record.
pub const MAX_RECORD_BYTES: usize = 1 << 20;

/// The longest segment; a writer begins the next one well before.
pub const MAX_SEGMENT_BYTES: u64 = 1 << 28;

const FORMAT: &str = "undertone-lineage-segment";
const VERSION: u32 = 1;
const SUFFIX: &str = ".jsonl";
/// Files kept open while details are read.
const MAX_OPEN: usize = 64;

/// The first line of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SegmentHeader {
    /// Always `undertone-lineage-segment`.
    pub format: String,
    /// The version of the records.
    pub version: u64,
}

/// How much of a record is checked beyond being one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// It is a record.
    Records,
    /// It is byte for byte what this program writes, too.
    Canonical,
}

/// Collects lines into segments of bounded size.
#[derive(Default)]
pub(crate) struct SegmentWriter {
    bytes: Vec<u8>,
    n_records: usize,
}

impl SegmentWriter {
    /// Adds a line; returns the segment that was full before it.
    pub(crate) fn push(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        let is_full = self.n_records == MAX_SEGMENT_RECORDS
            || (self.bytes.len() + line.len()) as u64 >= MAX_SEGMENT_BYTES;
        let full = if is_full { self.finish() } else { None };
        if self.n_records == 0 {
            let header = SegmentHeader {
                format: FORMAT.to_owned(),
                version: u64::from(VERSION),
            };
            self.bytes = canonical_json(&header).expect("two plain fields are JSON");
        }
        self.bytes.extend_from_slice(line);
        self.bytes.push(b'\n');
        self.n_records += 1;
        full
    }

    /// Returns what is left, if anything.
    pub(crate) fn finish(&mut self) -> Option<Vec<u8>> {
        let n_records = std::mem::take(&mut self.n_records);
        let bytes = std::mem::take(&mut self.bytes);
        (n_records > 0).then_some(bytes)
    }
}

/// Returns records as one file in the form of a segment, whatever their number: sorted, each once.
pub fn records_file(records: &[Record]) -> Vec<u8> {
    let mut lines: Vec<(Digest, Vec<u8>)> = records
        .iter()
        .map(|record| {
            let line = record.line();
            (Digest::of(&line), line)
        })
        .collect();
    lines.sort_unstable();
    lines.dedup();
    let header = SegmentHeader {
        format: FORMAT.to_owned(),
        version: u64::from(VERSION),
    };
    let mut bytes = canonical_json(&header).expect("two plain fields are JSON");
    for (_, line) in lines {
        bytes.extend_from_slice(&line);
        bytes.push(b'\n');
    }
    bytes
}

/// Reads what [`records_file`] wrote; `path` is for the error.
///
/// # Errors
/// [`LedgerError`] names the line.
pub fn read_records_file(path: &Path, bytes: &[u8]) -> Result<Vec<Record>, LedgerError> {
    let mut records = Vec::new();
    for_each_record(path, bytes, Strictness::Canonical, |record, _, _| {
        records.push(record);
    })?;
    Ok(records)
}

pub(crate) fn path(ledger: &Path, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    let folder = ledger.join("segments").join(&hex[..2]);
    folder.join(format!("{hex}{SUFFIX}"))
}

/// Returns the names of the segments of a ledger's folder, sorted; other files are left alone.
pub(crate) fn list(ledger: &Path) -> Result<Vec<Digest>, LedgerError> {
    let root = ledger.join("segments");
    let mut names = Vec::new();
    for folder in entries(&root)? {
        if folder.is_dir() {
            let digests = entries(&folder)?.into_iter().filter_map(|path| {
                let name = path.file_name()?.to_str()?;
                name.strip_suffix(SUFFIX)?.parse::<Digest>().ok()
            });
            names.extend(digests);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, LedgerError> {
    let error = |error| LedgerError::new("list", folder, LedgerErrorKind::Io(error));
    match fs::read_dir(folder) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries
            .map_err(error)?
            .map(|entry| entry.map(|entry| entry.path()).map_err(error))
            .collect(),
    }
}

/// Reads a segment and checks its name.
pub(crate) fn read(path: &Path, digest: &Digest) -> Result<Vec<u8>, LedgerError> {
    let error = |kind| LedgerError::new("read", path, kind);
    let io_error = |source| error(LedgerErrorKind::Io(source));
    let file = File::open(path).map_err(io_error)?;
    let bytes = file.metadata().map_err(io_error)?.len();
    if bytes > MAX_SEGMENT_BYTES {
        return Err(error(LedgerErrorKind::TooLarge {
            bytes,
            limit: MAX_SEGMENT_BYTES,
        }));
    }
    let mut content = Vec::new();
    file.take(MAX_SEGMENT_BYTES)
        .read_to_end(&mut content)
        .map_err(io_error)?;
    let found = Digest::of(&content);
    if found != *digest {
        let expected = *digest;
        return Err(error(LedgerErrorKind::Tampered { expected, found }));
    }
    Ok(content)
}

/// Calls `visit` with every record, where it lies (the segment's number left 0), and its digest.
pub(crate) fn for_each_record(
    path: &Path,
    bytes: &[u8],
    strictness: Strictness,
    mut visit: impl FnMut(Record, Place, Digest),
) -> Result<(), LedgerError> {
    let error = |kind| LedgerError::new("read", path, kind);
    let mut offset = 0;
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let start = offset;
        offset += line.len();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if index == 0 {
            check_header(line).map_err(error)?;
            continue;
        }
        if line.len() > MAX_RECORD_BYTES {
            return Err(error(LedgerErrorKind::TooLarge {
                bytes: line.len() as u64,
                limit: MAX_RECORD_BYTES as u64,
            }));
        }
        let number = index + 1;
        let record: Record = serde_json::from_slice(line).map_err(|source| {
            error(LedgerErrorKind::Line {
                line: number,
                source,
            })
        })?;
        if strictness == Strictness::Canonical && record.line() != line {
            return Err(error(LedgerErrorKind::NotCanonical { line: number }));
        }
        let place = Place {
            segment: 0,
            offset: u32::try_from(start).expect("a segment is shorter than 4 GiB"),
            length: u32::try_from(line.len()).expect("a record is shorter than a segment"),
        };
        visit(record, place, Digest::of(line));
    }
    match offset {
        0 => Err(error(LedgerErrorKind::Header(None))),
        _ => Ok(()),
    }
}

fn check_header(line: &[u8]) -> Result<(), LedgerErrorKind> {
    let header: SegmentHeader =
        serde_json::from_slice(line).map_err(|error| LedgerErrorKind::Header(Some(error)))?;
    if header.format != FORMAT {
        return Err(LedgerErrorKind::Header(None));
    }
    match header.version == u64::from(VERSION) {
        true => Ok(()),
        false => Err(LedgerErrorKind::Version {
            found: header.version,
            supported: VERSION,
        }),
    }
}

/// Reads single records from segments, checked against the digests the index has.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    folder: PathBuf,
    names: Vec<Digest>,
    open: Mutex<HashMap<u32, File>>,
}

impl SegmentReader {
    pub(crate) fn new(folder: PathBuf, names: Vec<Digest>) -> Self {
        SegmentReader {
            folder,
            names,
            open: Mutex::new(HashMap::new()),
        }
    }

    pub(crate) fn record(&self, place: Place, check: &[u8; 16]) -> Result<Record, LedgerError> {
        let path = path(&self.folder, &self.names[place.segment as usize]);
        let error = |kind| LedgerError::new("read a record of", &path, kind);
        let displaced = || {
            error(LedgerErrorKind::Displaced {
                offset: u64::from(place.offset),
                length: u64::from(place.length),
            })
        };
        if place.length as usize > MAX_RECORD_BYTES {
            return Err(displaced());
        }
        let mut line = vec![0; place.length as usize];
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_OPEN && !open.contains_key(&place.segment) {
            open.clear();
        }
        let file = match open.entry(place.segment) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let file =
                    File::open(&path).map_err(|source| error(LedgerErrorKind::Io(source)))?;
                entry.insert(file)
            }
        };
        file.seek(SeekFrom::Start(u64::from(place.offset)))
            .map_err(|source| error(LedgerErrorKind::Io(source)))?;
        match file.read_exact(&mut line) {
            Err(source) if source.kind() == io::ErrorKind::UnexpectedEof => return Err(displaced()),
            read => read.map_err(|source| error(LedgerErrorKind::Io(source)))?,
        }
        drop(open);
        if Digest::of(&line).as_bytes()[..16] != check[..] {
            return Err(displaced());
        }
        serde_json::from_slice(&line).map_err(|_| displaced())
    }
}
