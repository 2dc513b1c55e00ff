//! The append-only log of a run, one JSON object a line.
//!
//! A process killed while writing leaves a line without its end. Readers skip such a last line and say so; the next
//! writer cuts it off and says so. A broken line anywhere else is damage.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use undertone_core::Digest;

use crate::canonical;
use crate::disk::{self, Disk};
use crate::document::check_version;
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::runs::manifest::now;
use crate::store::check_digest;

const FORMAT: &str = "undertone-event";
const VERSION: u32 = 1;

/// One line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The version of the format.
    pub version: u32,
    /// When it happened, RFC 3339 in UTC.
    pub at: String,
    /// What happened: `started`, `resumed`, `finished`, `failed`, or a word of the command's own.
    pub kind: String,
    /// Details of that kind.
    pub data: Value,
}

/// What a log says.
#[derive(Debug, Clone, PartialEq)]
pub struct EventLog {
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// The length of an unfinished last line, in bytes; 0 if the log ends properly.
    pub n_torn_bytes: u64,
}

impl EventLog {
    /// Reads the log at `path`, which must have the digest of the manifest if that has one; a missing log is empty.
    pub(crate) fn read(path: &Path, digest: Option<&Digest>) -> Result<Self> {
        let bytes = disk::read("read events", path)?.unwrap_or_default();
        if let Some(digest) = digest {
            check_digest("read events", path, digest, &bytes)?;
        }
        let end = finished_length(&bytes);
        let events = bytes[..end]
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| parse(path, line))
            .collect::<Result<_>>()?;
        Ok(EventLog {
            events,
            n_torn_bytes: (bytes.len() - end) as u64,
        })
    }
}

fn parse(path: &Path, line: &[u8]) -> Result<Event> {
    let error = |kind| StoreError::new("read events", path, kind);
    let malformed = |source| error(StoreErrorKind::Malformed(source));
    let value: Value = serde_json::from_slice(line).map_err(malformed)?;
    if let Some(version) = value.get("version").and_then(Value::as_u64) {
        check_version(FORMAT, version, VERSION).map_err(error)?;
    }
    serde_json::from_value(value).map_err(malformed)
}

/// Returns how many bytes belong to lines that have their end.
fn finished_length(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1)
}

/// Appends to the log of a run that this process holds.
pub(crate) struct EventWriter {
    disk: Disk,
    path: PathBuf,
    file: File,
    /// The length up to the last whole line.
    n_bytes: u64,
    /// How many bytes of an unfinished line were cut off on opening.
    pub(crate) n_torn_bytes: u64,
}

impl EventWriter {
    pub(crate) fn open(disk: &Disk, path: PathBuf) -> Result<Self> {
        let bytes = disk::read("read events", &path)?.unwrap_or_default();
        let file = disk.open_kept(&path, OpenOptions::new().append(true))?;
        let n_bytes = finished_length(&bytes) as u64;
        let n_torn_bytes = bytes.len() as u64 - n_bytes;
        if n_torn_bytes > 0 {
            disk.truncate(&file, &path, n_bytes)?;
        }
        Ok(EventWriter {
            disk: disk.clone(),
            path,
            file,
            n_bytes,
            n_torn_bytes,
        })
    }

    /// Appends one event. Survives the end of this process at once, a power failure from [`EventWriter::close`] on.
    pub(crate) fn append(&mut self, kind: &str, data: Value) -> Result<()> {
        let event = Event {
            version: VERSION,
            at: now(),
            kind: kind.to_owned(),
            data,
        };
        let value = serde_json::to_value(event).expect("texts and values are JSON");
        let line = canonical::compact(&value);
        let written = self.disk.write_all(&mut self.file, &self.path, &line);
        match written {
            Ok(()) => self.n_bytes += line.len() as u64,
            // A full disk may have taken half of the line: the next event must not be glued to it. Should this fail
            // as well, the next writer cuts the line off.
            Err(_) => drop(self.disk.truncate(&self.file, &self.path, self.n_bytes)),
        }
        written
    }

    /// Makes the log durable and returns its digest: nothing is appended after this.
    pub(crate) fn close(&self) -> Result<Digest> {
        self.disk.sync_file(&self.file, &self.path)?;
        Ok(Digest::of(&disk::read_required("read events", &self.path)?))
    }
}
