//! The processor's peak on as many threads as are measured, by the engine's own loop.

use std::time::Duration;

use undertone_mlp::Precision;
use undertone_simd::peak_gflops;

use super::clock::together;

const TIME: Duration = Duration::from_secs(1);
const SMOKE_TIME: Duration = Duration::from_millis(10);

/// What was measured.
pub struct Peak {
    pub seconds: f64,
    /// CPU seconds of all threads meanwhile, if the system tells.
    pub cpu_seconds: Option<f64>,
    pub gflop_per_s: f64,
}

/// Measures the FLOP/s of `threads` threads together.
pub fn measure(precision: Precision, threads: usize, smoke: bool) -> Peak {
    let set = precision.set();
    let time = if smoke { SMOKE_TIME } else { TIME };
    let timed = together(threads, |_| (), |_, ()| peak_gflops(set, time));
    Peak {
        seconds: timed.seconds,
        cpu_seconds: timed.cpu_seconds,
        gflop_per_s: timed.outputs.iter().sum(),
    }
}
