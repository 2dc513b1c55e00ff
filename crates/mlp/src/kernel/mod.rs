//! The kernels: everything here runs on raw lanes, on one thread, for one model and one batch.
//!
//! `isa.rs` says what an instruction set must offer, `gemm.rs` the two products, `elementwise.rs` the rest of a step,
//! `pack.rs` how inputs get into panels; `dispatch.rs` picks the set at run time.
#![expect(
    unsafe_code,
    reason = "vector intrinsics and raw panels; bounds are checked by the callers in `trainer`"
)]

pub(crate) mod dispatch;
pub(crate) mod elementwise;
pub(crate) mod gemm;
pub(crate) mod isa;
pub(crate) mod pack;
pub(crate) mod peak;
pub(crate) mod step;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;
