//! The kernels: everything here runs on raw lanes, on one thread, for one model and one batch.
//!
//! `gemm.rs` has the two products, `elementwise.rs` the rest of a step, `pack.rs` how inputs get into panels. All are
//! generic over the instruction sets of `undertone-simd`.
#![expect(
    unsafe_code,
    reason = "vector intrinsics and raw panels; bounds are checked by the callers in `trainer`"
)]

pub(crate) mod elementwise;
pub(crate) mod gemm;
pub(crate) mod pack;
pub(crate) mod step;
