//! The processor's peak: multiplications and additions in registers, with nothing to wait for.
//!
//! Every instruction set's loop keeps [`CHAINS`] independent sums, more than latency times throughput of any processor
//! so far, so that the units never wait for a result.
#![expect(
    unsafe_code,
    reason = "entering code compiled for instructions that were asked for at run time"
)]

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

use undertone_mlp::Precision;

use super::clock::cpu_seconds;
use super::result::Measurement;

/// Independent sums; with the two factors they fit the 16 registers of AVX2.
const CHAINS: usize = 12;
/// Instructions of each chain in one measurement: about a second.
const ITERATIONS: u64 = 250_000_000;
const SMOKE_ITERATIONS: u64 = 1_000_000;

/// A loop of `iterations` instructions a chain, and what one instruction does in FLOP.
struct Kernel {
    run: fn(u64),
    flop: u64,
}

/// Measures the FLOP/s of `threads` threads; `None` for a processor we have no loop for.
pub fn measure(precision: Precision, threads: usize, smoke: bool) -> Option<Measurement> {
    let kernel = kernel(precision)?;
    let iterations = if smoke { SMOKE_ITERATIONS } else { ITERATIONS };
    let barrier = Barrier::new(threads + 1);
    let (seconds, cpu) = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    (kernel.run)(iterations);
                })
            })
            .collect();
        barrier.wait();
        let (start, cpu) = (Instant::now(), cpu_seconds());
        for worker in workers {
            worker.join().expect("the loop does not panic");
        }
        (
            start.elapsed().as_secs_f64(),
            cpu_seconds().zip(cpu).map(|(end, start)| end - start),
        )
    });
    let flop = iterations * CHAINS as u64 * kernel.flop * threads as u64;
    Some(Measurement::peak(seconds, cpu, flop as f64))
}

#[cfg(target_arch = "x86_64")]
fn kernel(precision: Precision) -> Option<Kernel> {
    let avx512 = is_x86_feature_detected!("avx512f");
    match precision {
        // SAFETY: the processor was asked for the features of each loop.
        Precision::F32 if avx512 => Some(Kernel {
            run: |n| unsafe { x86::avx512(n) },
            flop: 32,
        }),
        // SAFETY: as above.
        Precision::F32 if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") => {
            Some(Kernel {
                run: |n| unsafe { x86::avx2(n) },
                flop: 16,
            })
        }
        // SAFETY: as above.
        Precision::Bf16 if avx512 && is_x86_feature_detected!("avx512bf16") => Some(Kernel {
            run: |n| unsafe { x86::avx512_bf16(n) },
            flop: 64,
        }),
        _ => None,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn kernel(_: Precision) -> Option<Kernel> {
    None
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! The loops. Factors and sums are hidden from the optimiser, which would otherwise work the result out.

    use std::arch::x86_64::*;

    use super::{CHAINS, black_box};

    #[target_feature(enable = "avx512f")]
    pub fn avx512(iterations: u64) {
        let (a, b) = (
            _mm512_set1_ps(black_box(0.5)),
            _mm512_set1_ps(black_box(0.25)),
        );
        let mut sums = [_mm512_setzero_ps(); CHAINS];
        for _ in 0..iterations {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, a, b);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn avx2(iterations: u64) {
        let (a, b) = (
            _mm256_set1_ps(black_box(0.5)),
            _mm256_set1_ps(black_box(0.25)),
        );
        let mut sums = [_mm256_setzero_ps(); CHAINS];
        for _ in 0..iterations {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, a, b);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub fn avx512_bf16(iterations: u64) {
        let factor = _mm512_set1_ps(black_box(0.5));
        let a = _mm512_cvtne2ps_pbh(factor, factor);
        let mut sums = [_mm512_setzero_ps(); CHAINS];
        for _ in 0..iterations {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, a, a);
            }
        }
        black_box(sums);
    }
}
