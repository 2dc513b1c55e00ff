//! Keeps records in the store's folder, in files that are only ever added.
//!
//! ```text
//! <store>/lineage/segments/ab/<digest>.jsonl   records, one a line, in a file named by the BLAKE3 digest of its bytes
//!         lineage/index.bin                    adjacency and names; a cache, made again from the segments when in doubt
//!         lineage/signatures/                  envelopes over runs (`envelope`)
//! ```
//!
//! What counts is the set of records. Which segments they lie in does not matter, and a record in two segments is one
//! record; so copying another person's segments beside one's own is a merge, and cannot conflict. The files' shape is
//! in `segment`, the cache's in `index`. Segments are written through the store's atomic write: whole or not at all.

mod index;
mod segment;

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use undertone_core::Digest;
use undertone_store::{ExitClass, StoreError, write_atomic};

use crate::entity::Entity;
use crate::graph::Graph;
use crate::record::Record;
pub(crate) use index::{Builder, DescriptionCell, EdgeCell, Place, Tables};
pub(crate) use segment::SegmentReader;
pub use segment::{
    MAX_RECORD_BYTES, MAX_SEGMENT_BYTES, SegmentHeader, read_records_file, records_file,
};

/// How many records a segment has at most.
pub const MAX_SEGMENT_RECORDS: usize = 1 << 16;

/// An index this much smaller than what it does not cover is written anew.
const MIN_UNCOVERED_BYTES: u64 = 1 << 20;

/// The ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`", path.display())]
pub struct LedgerError {
    /// What was attempted, as a verb phrase.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// Why it failed.
    #[source]
    pub kind: Box<LedgerErrorKind>,
}

/// Why the ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerErrorKind {
    /// The operating system refused.
    #[error("the operating system refused")]
    Io(#[source] io::Error),
    /// The store's writer failed.
    #[error(transparent)]
    Store(StoreError),
    /// A file's bytes do not have the digest that is its name, or a record's not the one the index has.
    #[error("damaged or changed: its digest should be {expected} and is {found}")]
    Tampered {
        /// The digest expected.
        expected: Digest,
        /// The digest of what is there.
        found: Digest,
    },
    /// A record cannot be read at the place the index gives.
    #[error("damaged or changed: no record of {length} bytes at byte {offset}")]
    Displaced {
        /// Where it should be.
        offset: u64,
        /// How long it should be.
        length: u64,
    },
    /// The first line is no header of a segment.
    #[error("line 1 is not the header of a lineage segment")]
    Header(#[source] Option<serde_json::Error>),
    /// The segment is of another version.
    #[error("it has version {found} of the segment format, this program reads {supported}")]
    Version {
        /// The version found.
        found: u64,
        /// The version read.
        supported: u32,
    },
    /// A line is no record.
    #[error("line {line} is not a lineage record")]
    Line {
        /// The line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A line is a record, but not byte for byte what this program writes.
    #[error("line {line} is not in canonical form")]
    NotCanonical {
        /// The line, from 1.
        line: usize,
    },
    /// A file or record is longer than any this program writes.
    #[error("{bytes} bytes are more than the {limit} allowed")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A verdict holds a number that is not finite.
    #[error("the number `{name}` of a verdict is not finite: leave out what is undefined")]
    NotFinite {
        /// The number.
        name: String,
    },
}

impl LedgerError {
    pub(crate) fn new(action: &'static str, path: &Path, kind: LedgerErrorKind) -> Self {
        LedgerError {
            action,
            path: path.to_owned(),
            kind: Box::new(kind),
        }
    }

    fn is_missing(&self) -> bool {
        matches!(&*self.kind, LedgerErrorKind::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Returns the class of this failure, which decides the exit code.
    pub fn exit_class(&self) -> ExitClass {
        match &*self.kind {
            LedgerErrorKind::Io(_) => ExitClass::Infrastructure,
            LedgerErrorKind::Store(error) => error.exit_class(),
            LedgerErrorKind::Version { .. } | LedgerErrorKind::NotFinite { .. } => ExitClass::Usage,
            LedgerErrorKind::TooLarge { .. } => ExitClass::Usage,
            _ => ExitClass::Tampered,
        }
    }

    /// Returns what the user can do about it, as a sentence without a full stop.
    pub fn hint(&self) -> Option<&'static str> {
        match &*self.kind {
            LedgerErrorKind::Store(error) => error.hint(),
            LedgerErrorKind::Version { .. } => Some("use the `undertone` that wrote it"),
            kind if matches!(self.exit_class(), ExitClass::Tampered) => Some(match kind {
                LedgerErrorKind::Displaced { .. } => {
                    "delete `lineage/index.bin`: it is made again from the segments"
                }
                _ => {
                    "fetch the segment again from where it came, or remove it: its records are then unknown"
                }
            }),
            _ => None,
        }
    }
}

impl From<StoreError> for LedgerError {
    fn from(error: StoreError) -> Self {
        LedgerError {
            action: "write",
            path: error.path.clone(),
            kind: Box::new(LedgerErrorKind::Store(error)),
        }
    }
}

/// What [`Ledger::append`] and [`Ledger::merge`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Segments that were not here before.
    pub new_segments: usize,
    /// Segments that were.
    pub known_segments: usize,
}

/// What [`Ledger::verify`] found.
#[derive(Debug)]
pub struct LedgerCheck {
    /// Segments looked at.
    pub segments: usize,
    /// The graph of the intact segments, read from the records and not from the index.
    pub graph: Graph,
    /// The names of all intact records.
    pub records: HashSet<Digest>,
    /// What does not hold, one error a file.
    pub damage: Vec<LedgerError>,
}

/// The records of one store. Cheap to make; holds nothing open.
#[derive(Debug, Clone)]
pub struct Ledger {
    folder: PathBuf,
}

impl Ledger {
    /// Returns the ledger of the store at `root`; an empty one if nothing was recorded yet.
    pub fn of_store(root: &Path) -> Self {
        Ledger {
            folder: root.join("lineage"),
        }
    }

    /// Returns the ledger's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds records. The same batch again adds nothing.
    ///
    /// # Errors
    /// [`LedgerError`] if the disk refuses, a record is longer than [`MAX_RECORD_BYTES`] or a number is not finite.
    pub fn append(
        &self,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<Appended, LedgerError> {
        let mut lines = BTreeSet::new();
        for record in records {
            self.check_finite(&record)?;
            let line = record.line();
            if line.len() > MAX_RECORD_BYTES {
                let kind = LedgerErrorKind::TooLarge {
                    bytes: line.len() as u64,
                    limit: MAX_RECORD_BYTES as u64,
                };
                return Err(LedgerError::new("append to", &self.folder, kind));
            }
            lines.insert((Digest::of(&line), line));
        }
        self.write_sorted(lines.into_iter().map(|(_, line)| line))
    }

    fn check_finite(&self, record: &Record) -> Result<(), LedgerError> {
        let Record::Entity(description) = record else {
            return Ok(());
        };
        let Entity::Verdict(verdict) = &description.entity else {
            return Ok(());
        };
        match verdict.numbers.iter().find(|(_, value)| !value.is_finite()) {
            None => Ok(()),
            Some((name, _)) => {
                let kind = LedgerErrorKind::NotFinite { name: name.clone() };
                Err(LedgerError::new("append to", &self.folder, kind))
            }
        }
    }

    fn write_sorted(&self, lines: impl Iterator<Item = Vec<u8>>) -> Result<Appended, LedgerError> {
        let mut appended = Appended {
            new_segments: 0,
            known_segments: 0,
        };
        let mut writer = segment::SegmentWriter::default();
        let mut write = |bytes: Option<Vec<u8>>| -> Result<(), LedgerError> {
            if let Some(bytes) = bytes {
                match self.write_segment(&bytes)? {
                    true => appended.new_segments += 1,
                    false => appended.known_segments += 1,
                }
            }
            Ok(())
        };
        for line in lines {
            write(writer.push(&line))?;
        }
        write(writer.finish())?;
        Ok(appended)
    }

    /// Writes a segment; `false` if it was here already, whole.
    fn write_segment(&self, bytes: &[u8]) -> Result<bool, LedgerError> {
        let digest = Digest::of(bytes);
        let path = self.segment_path(&digest);
        if std::fs::read(&path).is_ok_and(|present| present == bytes) {
            return Ok(false);
        }
        write_atomic(&path, bytes)?;
        Ok(true)
    }

    fn segment_path(&self, digest: &Digest) -> PathBuf {
        segment::path(&self.folder, digest)
    }

    fn index_path(&self) -> PathBuf {
        self.folder.join("index.bin")
    }

    /// Returns the names of all segments, sorted.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn segments(&self) -> Result<Vec<Digest>, LedgerError> {
        segment::list(&self.folder)
    }

    /// Reads the graph: from the index as far as it goes, from segments beyond it. Writes a new index if that is worth
    /// it and possible.
    ///
    /// # Errors
    /// A damaged segment is an error of class [`Tampered`](ExitClass::Tampered).
    pub fn graph(&self) -> Result<Graph, LedgerError> {
        // Another process may be compacting: a listed segment can vanish, and its records are then in another one.
        for _ in 0..3 {
            match self.load() {
                Err(error) if error.is_missing() => {}
                outcome => return outcome,
            }
        }
        self.load()
    }

    fn load(&self) -> Result<Graph, LedgerError> {
        let present: BTreeSet<Digest> = self.segments()?.into_iter().collect();
        let covered = index::read(&self.index_path())
            .filter(|tables| {
                tables
                    .segments
                    .iter()
                    .all(|(digest, _)| present.contains(digest))
            })
            .unwrap_or_default();
        let known: BTreeSet<Digest> = covered.segments.iter().map(|(digest, _)| *digest).collect();
        let uncovered: Vec<Digest> = present.difference(&known).copied().collect();
        if uncovered.is_empty() {
            return Ok(self.graph_of(covered));
        }

        let covered_bytes: u64 = covered.segments.iter().map(|(_, bytes)| bytes).sum();
        let mut builder = Builder::from(covered);
        let mut uncovered_bytes = 0;
        for digest in &uncovered {
            uncovered_bytes +=
                self.add_segment(&mut builder, digest, segment::Strictness::Records)?;
        }
        let tables = builder.finish();
        if uncovered_bytes >= MIN_UNCOVERED_BYTES.max(covered_bytes / 8) {
            // A cache: where it cannot be written, the next command reads the segments again.
            let _ = write_atomic(&self.index_path(), &index::encode(&tables));
        }
        Ok(self.graph_of(tables))
    }

    fn add_segment(
        &self,
        builder: &mut Builder,
        digest: &Digest,
        strictness: segment::Strictness,
    ) -> Result<u64, LedgerError> {
        let path = self.segment_path(digest);
        let bytes = segment::read(&path, digest)?;
        let number = builder.begin_segment(*digest, bytes.len() as u64);
        segment::for_each_record(&path, &bytes, strictness, |record, place, check| {
            builder.add(
                &record,
                Place {
                    segment: number,
                    ..place
                },
                check,
            );
        })?;
        Ok(bytes.len() as u64)
    }

    fn graph_of(&self, tables: Tables) -> Graph {
        let names = tables.segments.iter().map(|(digest, _)| *digest).collect();
        Graph::on_disk(tables, SegmentReader::new(self.folder.clone(), names))
    }

    /// Copies the segments of `other` that are not here, after checking every record of theirs.
    ///
    /// # Errors
    /// Names the segment and line of `other` that does not hold; segments before it are then merged already.
    pub fn merge(&self, other: &Ledger) -> Result<Appended, LedgerError> {
        let mut appended = Appended {
            new_segments: 0,
            known_segments: 0,
        };
        for digest in other.segments()? {
            let path = other.segment_path(&digest);
            let bytes = segment::read(&path, &digest)?;
            segment::for_each_record(&path, &bytes, segment::Strictness::Canonical, |_, _, _| {})?;
            match self.write_segment(&bytes)? {
                true => appended.new_segments += 1,
                false => appended.known_segments += 1,
            }
        }
        Ok(appended)
    }

    /// Reads every byte, and compares the index with what the segments say.
    ///
    /// # Errors
    /// Only if the folder cannot be listed; everything else is in [`LedgerCheck::damage`].
    pub fn verify(&self) -> Result<LedgerCheck, LedgerError> {
        let segments = self.segments()?;
        let mut damage = Vec::new();
        let mut builder = Builder::default();
        let mut records = HashSet::new();
        for digest in &segments {
            // Whole segments only: one that breaks off in the middle adds nothing.
            let path = self.segment_path(digest);
            let mut read = Vec::new();
            let outcome = segment::read(&path, digest).and_then(|bytes| {
                let strict = segment::Strictness::Canonical;
                segment::for_each_record(&path, &bytes, strict, |record, place, check| {
                    read.push((record, place, check));
                })?;
                Ok(bytes.len() as u64)
            });
            match outcome {
                Err(error) => damage.push(error),
                Ok(bytes) => {
                    let segment = builder.begin_segment(*digest, bytes);
                    for (record, place, check) in read {
                        records.insert(check);
                        builder.add(&record, Place { segment, ..place }, check);
                    }
                }
            }
        }
        let tables = builder.finish();
        damage.extend(self.check_index()?);
        Ok(LedgerCheck {
            segments: segments.len(),
            graph: self.graph_of(tables),
            records,
            damage,
        })
    }

    /// Compares the index with a fresh one of the segments it claims to cover.
    fn check_index(&self) -> Result<Option<LedgerError>, LedgerError> {
        let path = self.index_path();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let kind = LedgerErrorKind::Io(error);
                return Err(LedgerError::new("read", &path, kind));
            }
        };
        let expected = index::decode(&bytes).and_then(|tables| {
            let mut builder = Builder::default();
            for (digest, _) in &tables.segments {
                self.add_segment(&mut builder, digest, segment::Strictness::Records)
                    .ok()?;
            }
            Some(index::encode(&builder.finish()))
        });
        let found = Digest::of(&bytes);
        Ok(match expected {
            Some(expected) if expected == bytes => None,
            expected => {
                let expected = Digest::of(&expected.unwrap_or_default());
                let kind = LedgerErrorKind::Tampered { expected, found };
                Some(LedgerError::new("trust", &path, kind))
            }
        })
    }

    /// Writes all records into as few segments as hold them, and removes the segments they came from.
    ///
    /// The set of records stays what it was. Merging with a copy that was not compacted does no harm.
    ///
    /// # Errors
    /// As [`Ledger::merge`]; nothing is removed before everything is written.
    pub fn compact(&self) -> Result<Appended, LedgerError> {
        let before = self.segments()?;
        let mut lines = BTreeSet::new();
        for digest in &before {
            let path = self.segment_path(digest);
            let bytes = segment::read(&path, digest)?;
            segment::for_each_record(
                &path,
                &bytes,
                segment::Strictness::Canonical,
                |record, _, _| {
                    let line = record.line();
                    lines.insert((Digest::of(&line), line));
                },
            )?;
        }
        let mut kept = BTreeSet::new();
        let mut writer = segment::SegmentWriter::default();
        let mut finished: Vec<Vec<u8>> = Vec::new();
        for (_, line) in lines {
            finished.extend(writer.push(&line));
        }
        finished.extend(writer.finish());
        let mut appended = Appended {
            new_segments: 0,
            known_segments: 0,
        };
        for bytes in &finished {
            kept.insert(Digest::of(bytes));
            match self.write_segment(bytes)? {
                true => appended.new_segments += 1,
                false => appended.known_segments += 1,
            }
        }
        for digest in before.iter().filter(|digest| !kept.contains(digest)) {
            let path = self.segment_path(digest);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let kind = LedgerErrorKind::Io(error);
                    return Err(LedgerError::new("remove", &path, kind));
                }
                _ => {}
            }
        }
        Ok(appended)
    }
}
