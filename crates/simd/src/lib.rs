//! What both engines need of a processor: vectors of 16 values, run-time dispatch, elementary functions, the peak.
//!
//! An engine writes its kernels once, generic over [`Isa`], as a [`Pass`]; [`run`] compiles them for every instruction
//! set and enters the one it is told. Knows no matrices, models or files. Start with [`isa`].
#![expect(
    unsafe_code,
    reason = "vector intrinsics; every method states what its caller must guarantee"
)]

pub mod dispatch;
pub mod isa;
pub mod math;
pub mod pass;
pub mod peak;
pub mod precision;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use dispatch::{InstructionSet, run};
pub use isa::{Isa, LANE, to_bf16};
pub use pass::{Pass, Plain};
pub use peak::peak_gflops;
pub use precision::{Precision, UnsupportedError};
