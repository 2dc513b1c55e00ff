//! The most this processor multiplies and adds in a second: the denominator of every speed we report.

use std::time::{Duration, Instant};

use crate::dispatch::{self, InstructionSet};
use crate::isa::Isa;
use crate::pass::Pass;

/// Independent sums: enough to hide the latency of two fused units, few enough to stay in the registers.
const CHAINS_WIDE: usize = 12;
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
            let total = burn::<I>(self.0);
            I::store(out.as_mut_ptr(), total);
        }
        out[0]
    }
}

/// Adds `ROUNDS` products to each sum: twelve, or the first six where the set is narrow.
///
/// The sums are named one by one: in an array the compiler keeps them in memory, and that is what would be measured.
#[inline(always)]
unsafe fn burn<I: Isa>(value: f32) -> I::V {
    // SAFETY: values only.
    unsafe {
        let (a, b) = (I::splat(value), I::splat(value * 0.5));
        let (mut s0, mut s1, mut s2, mut s3, mut s4, mut s5) = (a, b, a, b, a, b);
        let (mut s6, mut s7, mut s8, mut s9, mut s10, mut s11) = (a, b, a, b, a, b);
        for _ in 0..ROUNDS {
            s0 = I::dot(a, b, s0);
            s1 = I::dot(a, b, s1);
            s2 = I::dot(a, b, s2);
            s3 = I::dot(a, b, s3);
            s4 = I::dot(a, b, s4);
            s5 = I::dot(a, b, s5);
            if I::WIDE {
                s6 = I::dot(a, b, s6);
                s7 = I::dot(a, b, s7);
                s8 = I::dot(a, b, s8);
                s9 = I::dot(a, b, s9);
                s10 = I::dot(a, b, s10);
                s11 = I::dot(a, b, s11);
            }
        }
        let first = I::add(I::add(I::add(s0, s1), I::add(s2, s3)), I::add(s4, s5));
        let second = I::add(I::add(I::add(s6, s7), I::add(s8, s9)), I::add(s10, s11));
        I::add(first, second)
    }
}

/// Returns the GFLOP/s one thread reaches with `set` in registers alone, measured for about `time`.
///
/// # Panics
/// If the processor lacks `set`.
pub fn peak_gflops(set: InstructionSet, time: Duration) -> f64 {
    let per_word = if set.pairs() { 4.0 } else { 2.0 };
    let chains = match set {
        InstructionSet::Avx512 | InstructionSet::Avx512Bf16 => CHAINS_WIDE,
        InstructionSet::Avx2 | InstructionSet::Portable | InstructionSet::EmulatedBf16 => {
            CHAINS_NARROW
        }
    };
    let flop = (ROUNDS * chains * 16) as f64 * per_word;
    let (started, mut bursts) = (Instant::now(), 0u32);
    while started.elapsed() < time {
        std::hint::black_box(dispatch::run(set, Burn(std::hint::black_box(0.0))));
        bursts += 1;
    }
    flop * f64::from(bursts) / started.elapsed().as_secs_f64() / 1e9
}
