//! The most this processor multiplies and adds in a second: the denominator of every speed we report.

use std::time::{Duration, Instant};

use super::dispatch::{self, InstructionSet};
use super::isa::Isa;
use super::step::Pass;

/// Independent sums: enough to hide the latency of two fused units, few enough to stay in the registers.
const CHAINS_WIDE: usize = 16;
/// The same where a vector takes two of sixteen registers.
const CHAINS_NARROW: usize = 6;
/// Rounds between two looks at the clock.
const ROUNDS: usize = 100_000;

/// Runs `ROUNDS` rounds of independent products and returns a value that keeps them from being optimised away.
struct Burn(f32);

impl Pass for Burn {
    type Output = f32;

    #[inline(always)]
    unsafe fn run<I: Isa>(self) -> f32 {
        let mut out = [0.0f32; 16];
        // SAFETY: values only; the store goes to a local array of one lane.
        unsafe {
            let total = if I::WIDE {
                burn::<I, CHAINS_WIDE>(self.0)
            } else {
                burn::<I, CHAINS_NARROW>(self.0)
            };
            I::store(out.as_mut_ptr(), total);
        }
        out[0]
    }
}

/// Adds `ROUNDS` products to each of `N` sums.
#[inline(always)]
unsafe fn burn<I: Isa, const N: usize>(value: f32) -> I::V {
    // SAFETY: values only.
    unsafe {
        let mut sums = [I::splat(value); N];
        let (a, b) = (I::splat(value), I::splat(value));
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = I::dot(a, b, *sum);
            }
        }
        let add = |total, sum| I::add(total, sum);
        sums.into_iter().fold(I::zero(), add)
    }
}

/// Returns the GFLOP/s one thread reaches with `set` in registers alone, measured for about `time`.
///
/// # Panics
/// If the processor lacks `set`.
pub fn peak_gflops(set: InstructionSet, time: Duration) -> f64 {
    let per_word = if set == InstructionSet::Avx512Bf16 {
        4.0
    } else {
        2.0
    };
    let chains = match set {
        InstructionSet::Avx512 | InstructionSet::Avx512Bf16 => CHAINS_WIDE,
        InstructionSet::Avx2 | InstructionSet::Portable => CHAINS_NARROW,
    };
    let flop = (ROUNDS * chains * 16) as f64 * per_word;
    let (started, mut bursts) = (Instant::now(), 0u32);
    while started.elapsed() < time {
        std::hint::black_box(dispatch::run(set, Burn(std::hint::black_box(0.0))));
        bursts += 1;
    }
    flop * f64::from(bursts) / started.elapsed().as_secs_f64() / 1e9
}
