//! What can go wrong in a store, and which exit code and advice each failure deserves.

use std::io;
use std::path::{Path, PathBuf};

use undertone_core::{Digest, exit};

use crate::owner::Owner;
use crate::steps::StepKey;

/// The result of a store operation.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A store operation that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`", path.display())]
pub struct StoreError {
    /// What was attempted, as a verb phrase: `read object`.
    pub action: &'static str,
    /// The file or folder it was attempted on.
    pub path: PathBuf,
    /// Why it failed.
    #[source]
    pub kind: Box<StoreErrorKind>,
}

/// Why a store operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The disk, a quota or a file size limit has no room for the bytes.
    #[error("no room left on the disk; everything finished before this is kept")]
    DiskFull(#[source] io::Error),
    /// The operating system refused for another reason.
    #[error("the operating system refused")]
    Io(#[source] io::Error),
    /// The bytes do not have the digest they are stored under: truncated, flipped or changed.
    #[error("damaged or changed: its digest should be {expected} and is {found}")]
    Tampered {
        /// The digest recorded for the bytes.
        expected: Digest,
        /// The digest of the bytes found.
        found: Digest,
    },
    /// A JSON file we wrote cannot be read back: truncated, flipped or edited.
    #[error("damaged or changed: it is not the JSON this program writes")]
    Malformed(#[source] serde_json::Error),
    /// A JSON file we wrote parses, but is not byte for byte what this program writes.
    #[error("damaged or changed: its bytes are not in canonical form")]
    NotCanonical,
    /// A JSON file sits where a file of another kind or another name belongs.
    #[error("damaged or changed: `{found}` stands where `{expected}` belongs")]
    Misplaced {
        /// What belongs here.
        expected: String,
        /// What is here.
        found: String,
    },
    /// Something another record names is not in the store.
    #[error("it is missing")]
    Missing,
    /// The file was written by a newer program.
    #[error(
        "too new: it has version {found} of format `{format}`, this program reads up to {supported}"
    )]
    TooNew {
        /// The format's name.
        format: String,
        /// The version found.
        found: u64,
        /// The newest version this program reads.
        supported: u32,
    },
    /// The file was written by a program too old to be read by this one.
    #[error("too old: it has version {found} of format `{format}`, this program reads {supported}")]
    TooOld {
        /// The format's name.
        format: String,
        /// The version found.
        found: u64,
        /// The oldest version this program reads.
        supported: u32,
    },
    /// The folder holds other things and no `store.json`.
    #[error("the folder is not empty and has no `store.json`: it is not a store")]
    NotAStore,
    /// A store opened for reading only does not exist.
    #[error("there is no store here")]
    NoStore,
    /// A store opened for reading only was asked to write.
    #[error("the store was opened for reading only")]
    ReadOnly,
    /// Another process is working on the run.
    #[error("another process is working on it{}", owner.as_ref().map(|owner| format!(" (process {})", owner.pid)).unwrap_or_default())]
    Busy {
        /// Who holds the run, if the lock file says so.
        owner: Option<Owner>,
    },
    /// A step gave other bytes than the first time: it is not the pure function it must be.
    #[error(
        "step {key} is not deterministic: output `{output}` was {} and is now {}; the first is kept",
        or_absent(recorded),
        or_absent(computed)
    )]
    StepDiffers {
        /// The step.
        key: StepKey,
        /// The first output that differs.
        output: String,
        /// What the store has recorded; `None` if the output is new.
        recorded: Option<Digest>,
        /// What was computed now; `None` if the output is gone.
        computed: Option<Digest>,
    },
    /// No run has a name that begins so.
    #[error("no run has a name that begins with `{prefix}`")]
    NoSuchRun {
        /// What was asked for.
        prefix: String,
    },
    /// Several runs have names that begin so.
    #[error("several runs begin with `{prefix}`: {}", candidates.join(", "))]
    AmbiguousRun {
        /// What was asked for.
        prefix: String,
        /// The runs that match.
        candidates: Vec<String>,
    },
    /// A name cannot be used for a command or an attachment.
    #[error("the name `{name}` cannot be used: {rule}")]
    BadName {
        /// The name given.
        name: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A value given to the store cannot be written as JSON.
    #[error("the value cannot be written as JSON")]
    NotJson(#[source] serde_json::Error),
}

fn or_absent(digest: &Option<Digest>) -> String {
    digest.map_or_else(|| "absent".to_owned(), |digest| digest.to_string())
}

/// The classes of failure that a caller tells apart by exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitClass {
    /// The request cannot be used as given: exit code 2.
    Usage,
    /// Stored bytes are damaged, changed or contradict each other: exit code 4.
    Tampered,
    /// The machine failed us: exit code 5.
    Infrastructure,
}

impl ExitClass {
    /// Returns the exit code of this class.
    pub const fn code(self) -> u8 {
        match self {
            ExitClass::Usage => exit::USAGE,
            ExitClass::Tampered => exit::TAMPERED,
            ExitClass::Infrastructure => exit::INFRASTRUCTURE,
        }
    }
}

impl StoreErrorKind {
    /// Returns the class of this failure.
    pub fn exit_class(&self) -> ExitClass {
        use StoreErrorKind as Kind;
        match self {
            Kind::DiskFull(_) | Kind::Io(_) | Kind::Busy { .. } => ExitClass::Infrastructure,
            Kind::Tampered { .. }
            | Kind::Malformed(_)
            | Kind::NotCanonical
            | Kind::Misplaced { .. }
            | Kind::Missing
            | Kind::StepDiffers { .. } => ExitClass::Tampered,
            Kind::TooNew { .. }
            | Kind::TooOld { .. }
            | Kind::NotAStore
            | Kind::NoStore
            | Kind::ReadOnly
            | Kind::NoSuchRun { .. }
            | Kind::AmbiguousRun { .. }
            | Kind::BadName { .. }
            | Kind::NotJson(_) => ExitClass::Usage,
        }
    }
}

impl StoreError {
    pub(crate) fn new(action: &'static str, path: &Path, kind: StoreErrorKind) -> Self {
        StoreError {
            action,
            path: path.to_owned(),
            kind: Box::new(kind),
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, error: io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let kind = match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => StoreErrorKind::DiskFull(error),
            _ => StoreErrorKind::Io(error),
        };
        Self::new(action, path, kind)
    }

    /// Returns the class of this failure, which decides the exit code.
    pub fn exit_class(&self) -> ExitClass {
        self.kind.exit_class()
    }

    /// Returns what the user can do about it, if there is something, as a sentence without a full stop.
    pub fn hint(&self) -> Option<&'static str> {
        use StoreErrorKind as Kind;
        match *self.kind {
            Kind::DiskFull(_) => Some(
                "free some space, or raise the quota or file size limit, and repeat the command: it goes on where it stopped",
            ),
            Kind::Tampered { .. }
            | Kind::Malformed(_)
            | Kind::NotCanonical
            | Kind::Misplaced { .. }
            | Kind::Missing => Some(
                "run `undertone doctor --repair` to set damaged files aside, then repeat the command: only what was damaged is computed again",
            ),
            Kind::StepDiffers { .. } => Some(
                "the same step gave two results: this is a fault of the program or of the machine (memory, CPU); please report it",
            ),
            Kind::TooNew { .. } => {
                Some("use the newer `undertone` that wrote it, or another `--store`")
            }
            Kind::TooOld { .. } => {
                Some("use the older `undertone` that wrote it, or another `--store`")
            }
            Kind::NotAStore => Some("choose an empty or a new folder with `--store`"),
            Kind::NoStore => Some("run an experiment first, or name another folder with `--store`"),
            Kind::Busy { .. } => Some("wait until it ends, or stop it"),
            Kind::NoSuchRun { .. } => Some("`undertone runs` lists the runs of this store"),
            Kind::AmbiguousRun { .. } => Some("give more of the name"),
            Kind::Io(_) | Kind::ReadOnly | Kind::BadName { .. } | Kind::NotJson(_) => None,
        }
    }
}
