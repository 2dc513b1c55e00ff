//! When the state of a training run is kept: by the clock, which decides nothing else.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Returns what says after a step whether `secs` seconds have passed since the last state was kept.
pub fn every(secs: u64) -> impl Fn() -> bool {
    let (last, every) = (Cell::new(Instant::now()), Duration::from_secs(secs));
    move || {
        let due = last.get().elapsed() >= every;
        if due {
            last.set(Instant::now());
        }
        due
    }
}
