//! What a tile needs of an instruction set, and the sets we have.
//!
//! A vector is always 16 values wide, whatever the registers, so the layout in memory and the order of every sum do not
//! depend on the machine. Which set runs is decided once, at run time, in `dispatch.rs`.

/// Values in a vector: one AVX-512 register of `f32`.
pub const LANE: usize = 16;

/// An instruction set: 16-wide vectors of `f32`, and the product the tiles are made of.
///
/// # Safety
/// Every method may be called only where the processor has the set, and pointers must be valid for 16 `f32`.
#[expect(
    clippy::missing_safety_doc,
    reason = "one contract for all methods, stated at the trait"
)]
pub unsafe trait Isa: Copy {
    /// Sixteen values.
    type V: Copy;
    /// Whether there are registers for tiles of 8 × 2 vectors; 4 × 1 otherwise.
    const WIDE: bool;
    /// Whether a 32-bit word of an operand holds a pair of bf16 instead of one `f32`.
    const PAIRS: bool;

    /// Returns sixteen zeros.
    unsafe fn zero() -> Self::V;
    /// Reads sixteen values, aligned or not.
    unsafe fn load(from: *const f32) -> Self::V;
    /// Writes sixteen values, aligned or not.
    unsafe fn store(to: *mut f32, value: Self::V);
    /// Returns sixteen times `value`.
    unsafe fn splat(value: f32) -> Self::V;
    /// Broadcasts one 32-bit operand word.
    unsafe fn splat_word(from: *const f32) -> Self::V;
    /// Returns `acc + a * b`, or for pairs `acc + a.0 * b.0 + a.1 * b.1`.
    unsafe fn dot(a: Self::V, b: Self::V, acc: Self::V) -> Self::V;
    /// Returns `a * b + c`, always in `f32`.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Returns `a + b`.
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// Returns `a - b`.
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// Returns `a * b`.
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// Returns `a / b`.
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// Returns the square roots.
    unsafe fn sqrt(a: Self::V) -> Self::V;
    /// Returns the greater of each pair, `b` if one is a NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// Returns `value` where `gate > 0` and 0 elsewhere.
    unsafe fn where_positive(gate: Self::V, value: Self::V) -> Self::V;
    /// Writes two rows of `f32` as 16 pairs (`first[i]`, `second[i]`) of bf16, rounded to nearest even.
    unsafe fn store_pairs(to: *mut u32, first: Self::V, second: Self::V) {
        // SAFETY: the caller's pointers; only sets with `PAIRS` are asked for speed here.
        unsafe {
            let (mut a, mut b) = ([0.0f32; LANE], [0.0f32; LANE]);
            Self::store(a.as_mut_ptr(), first);
            Self::store(b.as_mut_ptr(), second);
            for lane in 0..LANE {
                *to.add(lane) = u32::from(to_bf16(a[lane])) | u32::from(to_bf16(b[lane])) << 16;
            }
        }
    }
    /// Writes one row of `f32` as 16 bf16, rounded to nearest even.
    unsafe fn store_row(to: *mut u16, row: Self::V) {
        // SAFETY: the caller's pointer.
        unsafe {
            let mut values = [0.0f32; LANE];
            Self::store(values.as_mut_ptr(), row);
            for (lane, value) in values.into_iter().enumerate() {
                *to.add(lane) = to_bf16(value);
            }
        }
    }
}

/// Rounds to bf16, nearest even; a NaN stays a NaN.
pub fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// Plain Rust, for any processor.
#[derive(Clone, Copy)]
pub struct Portable;

// SAFETY: needs no special instruction; pointers are the caller's duty as the trait says. Holds for every block below.
unsafe impl Isa for Portable {
    type V = [f32; LANE];
    const WIDE: bool = false;
    const PAIRS: bool = false;

    #[inline(always)]
    unsafe fn zero() -> Self::V {
        [0.0; LANE]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        unsafe { from.cast::<[f32; LANE]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::V) {
        unsafe { to.cast::<[f32; LANE]>().write_unaligned(value) }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::V {
        [value; LANE]
    }
    #[inline(always)]
    unsafe fn splat_word(from: *const f32) -> Self::V {
        unsafe { [*from; LANE] }
    }
    #[inline(always)]
    unsafe fn dot(a: Self::V, b: Self::V, acc: Self::V) -> Self::V {
        unsafe { Self::fma(a, b, acc) }
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // Not `mul_add`: without the instruction it is a library call per value.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] / b[i])
    }
    #[inline(always)]
    unsafe fn sqrt(a: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i].sqrt())
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn where_positive(gate: Self::V, value: Self::V) -> Self::V {
        std::array::from_fn(|i| if gate[i] > 0.0 { value[i] } else { 0.0 })
    }
}
