//! What was measured, as it goes into the table and the JSON file.

use std::path::Path;

use serde::{Deserialize, Serialize};
use undertone_mlp::Precision;

use super::super::peak::Peak;
use super::super::report::processor;
use super::super::series::{self, Side};
use super::LmArgs;
use super::work::Task;

/// One thing that is measured in every round.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    pub name: String,
    pub side: Side,
    /// What is done; means nothing for a peak.
    pub task: Task,
    /// `f32`, `bf16`, or the type of llama.cpp's weights.
    pub precision: String,
}

impl Entry {
    /// Returns the entry of the processor's peak.
    pub fn peak(precision: Precision) -> Self {
        let precision = precision.name().to_owned();
        Self {
            name: format!("peak {precision}"),
            side: Side::Peak,
            task: Task::Train,
            precision,
        }
    }

    /// Returns the entry of our engine.
    pub fn ours(task: Task, precision: Precision) -> Self {
        let precision = precision.name().to_owned();
        Self {
            name: format!("ours {} {precision}", task.name()),
            side: Side::Ours,
            task,
            precision,
        }
    }
}

/// One measurement; a peer prints it as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measurement {
    /// Seconds it took.
    pub seconds: f64,
    /// CPU seconds of all threads meanwhile, if the system tells.
    pub cpu_seconds: Option<f64>,
    /// Tokens trained on, made or scored.
    pub tokens: u64,
    /// Most memory the process had meanwhile, if the system tells.
    pub peak_bytes: Option<u64>,
    /// FLOP of the products with the model's matrices, a billion a second; 0 until it is worked out.
    #[serde(default)]
    pub gflop_per_s: f64,
    /// Mean loss in nats of what was trained on, before the last step, or scored; 0 where there is none.
    #[serde(default)]
    pub loss: f64,
}

impl Measurement {
    /// Adds the speed, given what the task takes: the same on both sides, whatever they really compute.
    pub fn with_flop(self, flop: f64) -> Self {
        Self {
            gflop_per_s: flop / self.seconds / 1e9,
            ..self
        }
    }
}

impl From<Peak> for Measurement {
    fn from(peak: Peak) -> Self {
        Self {
            seconds: peak.seconds,
            cpu_seconds: peak.cpu_seconds,
            tokens: 0,
            peak_bytes: None,
            gflop_per_s: peak.gflop_per_s,
            loss: 0.0,
        }
    }
}

/// An entry with its measurements, one a round.
pub type Series = series::Series<Entry, Measurement>;

/// Everything that was measured in one run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub format: &'static str,
    pub version: u32,
    pub undertone: &'static str,
    pub processor: Option<String>,
    /// The model's file name.
    pub model: String,
    pub threads: u16,
    /// Rounds that are finished.
    pub rounds: u32,
    /// Whether busy measurements were counted too.
    pub busy: bool,
    /// Whether it was a smoke test, whose numbers mean nothing.
    pub smoke: bool,
    /// When it ended, in seconds since 1970.
    pub unix_seconds: u64,
    pub series: Vec<Series>,
}

impl Report {
    /// Makes an empty report.
    pub fn new(args: &LmArgs, model: &Path) -> Self {
        let name = model.file_name().unwrap_or_default();
        Self {
            format: "undertone-bench-lm",
            version: 1,
            undertone: env!("CARGO_PKG_VERSION"),
            processor: processor(),
            model: name.to_string_lossy().into_owned(),
            threads: args.threads,
            rounds: 0,
            busy: args.busy,
            smoke: args.smoke,
            unix_seconds: 0,
            series: Vec::new(),
        }
    }

    /// Adds the measurement of an entry.
    pub fn add(&mut self, entry: &Entry, measurement: Measurement) {
        series::add(&mut self.series, entry, measurement);
    }
}
