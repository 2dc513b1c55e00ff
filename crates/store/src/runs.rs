//! Keeps the record of each run: one folder per command and settings, written before the work starts.
//!
//! `runs/<command>-<12 hex digits>/` holds
//! - `settings.json`: the command, its resolved settings and the digests of its inputs; they decide the name;
//! - `environment.json`: the machine and program that started it;
//! - `manifest.json`: status, times, command line and the digests of all other files;
//! - `events.jsonl`: what happened, one event a line, only ever appended to;
//! - `result.json`: the result, without times, so that equal runs have equal bytes;
//! - attachments such as `report.html`;
//! - `lock`: held while a process works on the run.
//!
//! Read [`manifest`] for the files, `begin` for how a run starts or goes on, `handle` for how it ends, `view` for
//! reading finished ones.

pub mod manifest;

mod begin;
mod events;
mod handle;
mod lock;
mod view;

pub use begin::{Begun, RunStart};
pub use events::{Event, EventLog};
pub use handle::RunHandle;
pub use manifest::{Manifest, RunId, RunResult, RunSettings, RunStatus};
pub use view::{RunList, RunSummary, RunView};

pub(crate) use lock::RunLock;
pub(crate) use view::check_run;

pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const SETTINGS: &str = "settings.json";
pub(crate) const ENVIRONMENT: &str = "environment.json";
pub(crate) const EVENTS: &str = "events.jsonl";
pub(crate) const RESULT: &str = "result.json";
pub(crate) const LOCK: &str = "lock";
