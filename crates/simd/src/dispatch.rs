//! Decides, once per engine, which instruction set runs, and enters the code compiled for it.

use crate::isa::Portable;
use crate::pass::Pass;
#[cfg(target_arch = "x86_64")]
use crate::x86::{Avx2, Avx512, Avx512Bf16, EmulatedBf16};

/// An instruction set this build can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstructionSet {
    /// Plain Rust.
    Portable,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512F.
    Avx512,
    /// AVX-512 with bf16 operands and `f32` sums.
    Avx512Bf16,
    /// bf16 operands and `f32` sums with AVX2 and FMA: slower than `f32`, for processors without bf16.
    EmulatedBf16,
}

impl InstructionSet {
    /// Returns the fastest `f32` set of this processor.
    pub fn best() -> Self {
        [Self::Avx512, Self::Avx2]
            .into_iter()
            .find(|set| set.is_available())
            .unwrap_or(Self::Portable)
    }

    /// Returns whether operands are pairs of bf16.
    pub fn pairs(self) -> bool {
        matches!(self, Self::Avx512Bf16 | Self::EmulatedBf16)
    }

    /// Returns whether this processor has the set.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 | Self::EmulatedBf16 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => {
                Self::Avx512.is_available() && is_x86_feature_detected!("avx512bf16")
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }
}

/// Runs a pass with `set`.
///
/// # Panics
/// If the processor lacks `set`: the trainer asks first.
pub fn run<P: Pass>(set: InstructionSet, pass: P) -> P::Output {
    assert!(
        set.is_available(),
        "the instruction set was checked when the engine was made"
    );
    match set {
        // SAFETY: plain Rust needs nothing.
        InstructionSet::Portable => unsafe { pass.run::<Portable>() },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: checked above.
        InstructionSet::Avx2 => unsafe { run_avx2(pass) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: checked above.
        InstructionSet::EmulatedBf16 => unsafe { run_emulated_bf16(pass) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: checked above.
        InstructionSet::Avx512 => unsafe { run_avx512(pass) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: checked above.
        InstructionSet::Avx512Bf16 => unsafe { run_avx512_bf16(pass) },
        #[cfg(not(target_arch = "x86_64"))]
        _ => unreachable!("not available, asserted above"),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2<P: Pass>(pass: P) -> P::Output {
    // SAFETY: the features are enabled here.
    unsafe { pass.run::<Avx2>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_emulated_bf16<P: Pass>(pass: P) -> P::Output {
    // SAFETY: the features are enabled here.
    unsafe { pass.run::<EmulatedBf16>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx2,fma")]
unsafe fn run_avx512<P: Pass>(pass: P) -> P::Output {
    // SAFETY: the features are enabled here.
    unsafe { pass.run::<Avx512>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx2,fma")]
unsafe fn run_avx512_bf16<P: Pass>(pass: P) -> P::Output {
    // SAFETY: the features are enabled here.
    unsafe { pass.run::<Avx512Bf16>() }
}
