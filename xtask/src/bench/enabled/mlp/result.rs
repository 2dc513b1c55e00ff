//! What was measured, as it goes into the table and the JSON file.

use serde::{Deserialize, Serialize};
use undertone_mlp::Precision;

use super::super::peak::Peak;
use super::super::report::processor;
use super::super::series::{self, Side};
use super::MlpArgs;

/// One thing that is measured in every round.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    pub name: String,
    pub side: Side,
    /// `teacher`, `distil` or `peak`.
    pub phase: String,
    /// `f32` or `bf16`.
    pub precision: String,
    /// Models trained in one measurement.
    pub models: u32,
}

impl Entry {
    /// Returns the entry of the processor's peak.
    pub fn peak(precision: Precision) -> Self {
        let precision = precision.name().to_owned();
        let name = format!("peak {precision}");
        Self {
            name,
            side: Side::Peak,
            phase: "peak".to_owned(),
            precision,
            models: 0,
        }
    }
}

/// One measurement; the peer prints it as JSON with more besides.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measurement {
    /// Seconds to train one model for one epoch of 60,000 images; 0 for a peak, which trains none.
    pub seconds_per_model_epoch: f64,
    /// Seconds it took.
    pub seconds: f64,
    /// CPU seconds of all threads meanwhile, if the system tells.
    pub cpu_seconds: Option<f64>,
    /// FLOP of the matrix products, a billion a second; a multiplication and an addition are 2.
    pub gflop_per_s: f64,
    /// Last loss, mean of the models: shows that something was trained.
    pub loss: f64,
}

impl Measurement {
    /// Returns which share of the time of `threads` cores it had.
    pub fn cpu_share(&self, threads: u16) -> Option<f64> {
        self.cpu_seconds
            .map(|cpu| cpu / (self.seconds * f64::from(threads)))
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
    pub threads: u16,
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
    pub fn new(args: &MlpArgs, rounds: u32) -> Self {
        Self {
            format: "undertone-bench-mlp",
            version: 1,
            undertone: env!("CARGO_PKG_VERSION"),
            processor: processor(),
            threads: args.threads,
            rounds,
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

impl From<Peak> for Measurement {
    fn from(peak: Peak) -> Self {
        Self {
            seconds_per_model_epoch: 0.0,
            seconds: peak.seconds,
            cpu_seconds: peak.cpu_seconds,
            gflop_per_s: peak.gflop_per_s,
            loss: 0.0,
        }
    }
}
