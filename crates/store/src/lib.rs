//! Keeps what was computed: byte strings by digest, finished steps by key, and the record of every run.
//!
//! The only writer of run folders. It knows nothing of models, experiments or terminals, and it keeps no index: a
//! scan of the folders is fast enough for some thousands of steps, and an index that can be rebuilt may come later.
//!
//! ```text
//! <root>/store.json                  marks the folder and carries the version of this layout
//!        objects/ab/<digest>         raw bytes, named by their BLAKE3 digest          store
//!        steps/ab/<key>.json         which step gave which objects                    steps, staleness
//!        partial/<key>/              what an unfinished step has so far               partial
//!        runs/<command>-<12 hex>/    one run: settings, environment, events, result   runs
//!        damaged/                    what `repair` set aside; nothing is deleted      repair
//!        tmp/                        files being written; leftovers are removed       disk
//!        commit.lock                 held for the moment in which a step is recorded  store
//! ```
//!
//! Three promises. A file is there whole or not at all (`disk`). Every byte that is read back was checked against a
//! digest (`document`). Interrupting a command at any moment and repeating it gives the same bytes, times aside,
//! as not interrupting it (`crash_tests`).

mod disk;
mod document;

mod canonical;
mod environment;
mod error;
mod owner;
mod partial;
mod repair;
mod runs;
mod schemas;
mod staleness;
mod steps;
mod store;

#[cfg(test)]
mod crash_tests;

pub use canonical::canonical_json;
pub use disk::write_atomic;
pub use document::Document;
pub use environment::Environment;
pub use error::{ExitClass, Result, StoreError, StoreErrorKind};
pub use owner::Owner;
pub use partial::{StepProgress, UnfinishedStep};
pub use repair::{Damage, DamagedThing, Repair};
pub use runs::{
    Begun, Event, EventLog, Manifest, RunHandle, RunId, RunList, RunResult, RunSettings, RunStart,
    RunStatus, RunSummary, RunView,
};
pub use schemas::schemas;
pub use staleness::{Difference, Staleness, StepHistory};
pub use steps::{StepIdentity, StepKey, StepRecord};
pub use store::{Store, StoreMark};
