//! The kernels: everything here runs on raw words, on one thread. Generic over the instruction sets of `undertone-simd`.
//!
//! `tile` is the loop all products share, `product` the linear layer, `gradient` sums over rows.
#![expect(
    unsafe_code,
    reason = "vector intrinsics and raw words; shapes are checked where safe code enters"
)]

pub(crate) mod tile;

pub(crate) mod attention;
pub(crate) mod gradient;
pub(crate) mod product;
pub(crate) mod rows;
pub(crate) mod softmax;

#[cfg(test)]
pub(crate) mod tests;
