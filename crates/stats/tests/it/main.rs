//! The statistics as their users call them: against reference values, by their properties, and the verdict's cases.

mod golden;
mod properties;
mod verdict;

/// Draws below a bound from the linear congruential generator of `scripts/golden/stats.py`.
fn draws(mut state: u64) -> impl FnMut(u64) -> u64 {
    move |bound| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    }
}
