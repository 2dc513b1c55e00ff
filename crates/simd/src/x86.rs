//! The x86-64 instruction sets: AVX2 with FMA, AVX-512, and AVX-512 with bf16 pairs.

use std::arch::x86_64::*;

use crate::isa::Isa;

/// AVX2 and FMA: a vector is two registers.
#[derive(Clone, Copy)]
pub struct Avx2;

macro_rules! halves {
    ($op:ident, $($x:ident),+) => { ($op($($x.0),+), $op($($x.1),+)) };
}

// SAFETY: called only after `is_x86_feature_detected!("avx2")` and `("fma")`, see `dispatch.rs`; pointers are the caller's
// duty as the trait says. Holds for every block below.
unsafe impl Isa for Avx2 {
    type V = (__m256, __m256);
    const WIDE: bool = false;
    const PAIRS: bool = false;

    #[inline(always)]
    unsafe fn zero() -> Self::V {
        unsafe { (_mm256_setzero_ps(), _mm256_setzero_ps()) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        unsafe { (_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::V) {
        unsafe {
            _mm256_storeu_ps(to, value.0);
            _mm256_storeu_ps(to.add(8), value.1);
        }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::V {
        unsafe { (_mm256_set1_ps(value), _mm256_set1_ps(value)) }
    }
    #[inline(always)]
    unsafe fn splat_word(from: *const f32) -> Self::V {
        unsafe { Self::splat(*from) }
    }
    #[inline(always)]
    unsafe fn dot(a: Self::V, b: Self::V, acc: Self::V) -> Self::V {
        unsafe { Self::fma(a, b, acc) }
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        unsafe { halves!(_mm256_fmadd_ps, a, b, c) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        unsafe { halves!(_mm256_add_ps, a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        unsafe { halves!(_mm256_sub_ps, a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        unsafe { halves!(_mm256_mul_ps, a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
        unsafe { halves!(_mm256_div_ps, a, b) }
    }
    #[inline(always)]
    unsafe fn sqrt(a: Self::V) -> Self::V {
        unsafe { halves!(_mm256_sqrt_ps, a) }
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        unsafe { halves!(_mm256_max_ps, a, b) }
    }
    #[inline(always)]
    unsafe fn where_positive(gate: Self::V, value: Self::V) -> Self::V {
        unsafe {
            let zero = _mm256_setzero_ps();
            (
                _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(gate.0, zero), value.0),
                _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(gate.1, zero), value.1),
            )
        }
    }
}

/// Pairs of bf16 with the instructions of [`Avx2`]: what bf16 does to a number can be seen, slowly, where it is missing.
///
/// A product of two bf16 is exact in `f32`; the two sums of a pair are rounded one after the other, the first value first.
#[derive(Clone, Copy)]
pub struct EmulatedBf16;

/// Forwards methods to [`Avx2`].
macro_rules! forward {
    ($($name:ident($($x:ident),*));* $(;)?) => {
        $(
            #[inline(always)]
            unsafe fn $name($($x: Self::V),*) -> Self::V {
                unsafe { Avx2::$name($($x),*) }
            }
        )*
    };
}

// SAFETY: as `Avx2`. Holds for every block below.
unsafe impl Isa for EmulatedBf16 {
    type V = (__m256, __m256);
    const WIDE: bool = false;
    const PAIRS: bool = true;

    forward! {
        zero(); fma(a, b, c); add(a, b); sub(a, b); mul(a, b); div(a, b); sqrt(a); max(a, b);
        where_positive(gate, value);
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        unsafe { Avx2::load(from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::V) {
        unsafe { Avx2::store(to, value) }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::V {
        unsafe { Avx2::splat(value) }
    }
    #[inline(always)]
    unsafe fn splat_word(from: *const f32) -> Self::V {
        unsafe { Avx2::splat_word(from) }
    }
    #[inline(always)]
    unsafe fn dot(a: Self::V, b: Self::V, acc: Self::V) -> Self::V {
        unsafe { (dot_pairs(a.0, b.0, acc.0), dot_pairs(a.1, b.1, acc.1)) }
    }
}

#[inline(always)]
unsafe fn dot_pairs(a: __m256, b: __m256, acc: __m256) -> __m256 {
    // SAFETY: as `Avx2`.
    unsafe {
        let first = |x| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(x)));
        let mask = _mm256_castsi256_ps(_mm256_set1_epi32(0xffff_0000_u32.cast_signed()));
        let second = |x| _mm256_and_ps(x, mask);
        let acc = _mm256_fmadd_ps(first(a), first(b), acc);
        _mm256_fmadd_ps(second(a), second(b), acc)
    }
}

macro_rules! avx512 {
    ($(#[$doc:meta])* $name:ident, pairs: $pairs:literal, { $($extra:tt)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name;

        // SAFETY: called only after the run-time detection in `dispatch.rs`; pointers are the caller's duty as the trait
        // says. Holds for every block below.
        unsafe impl Isa for $name {
            type V = __m512;
            const WIDE: bool = true;
            const PAIRS: bool = $pairs;

            #[inline(always)]
            unsafe fn zero() -> __m512 {
                unsafe { _mm512_setzero_ps() }
            }
            #[inline(always)]
            unsafe fn load(from: *const f32) -> __m512 {
                unsafe { _mm512_loadu_ps(from) }
            }
            #[inline(always)]
            unsafe fn store(to: *mut f32, value: __m512) {
                unsafe { _mm512_storeu_ps(to, value) }
            }
            #[inline(always)]
            unsafe fn splat(value: f32) -> __m512 {
                unsafe { _mm512_set1_ps(value) }
            }
            #[inline(always)]
            unsafe fn splat_word(from: *const f32) -> __m512 {
                unsafe { _mm512_set1_ps(*from) }
            }
            #[inline(always)]
            unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
                unsafe { _mm512_fmadd_ps(a, b, c) }
            }
            #[inline(always)]
            unsafe fn add(a: __m512, b: __m512) -> __m512 {
                unsafe { _mm512_add_ps(a, b) }
            }
            #[inline(always)]
            unsafe fn sub(a: __m512, b: __m512) -> __m512 {
                unsafe { _mm512_sub_ps(a, b) }
            }
            #[inline(always)]
            unsafe fn mul(a: __m512, b: __m512) -> __m512 {
                unsafe { _mm512_mul_ps(a, b) }
            }
            #[inline(always)]
            unsafe fn div(a: __m512, b: __m512) -> __m512 {
                unsafe { _mm512_div_ps(a, b) }
            }
            #[inline(always)]
            unsafe fn sqrt(a: __m512) -> __m512 {
                unsafe { _mm512_sqrt_ps(a) }
            }
            #[inline(always)]
            unsafe fn max(a: __m512, b: __m512) -> __m512 {
                unsafe { _mm512_max_ps(a, b) }
            }
            #[inline(always)]
            unsafe fn where_positive(gate: __m512, value: __m512) -> __m512 {
                unsafe {
                    let mask = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(gate, _mm512_setzero_ps());
                    _mm512_maskz_mov_ps(mask, value)
                }
            }
            $($extra)*
        }
    };
}

avx512! {
    /// AVX-512F in `f32`.
    Avx512, pairs: false, {
        #[inline(always)]
        unsafe fn dot(a: __m512, b: __m512, acc: __m512) -> __m512 {
            unsafe { _mm512_fmadd_ps(a, b, acc) }
        }
    }
}

avx512! {
    /// AVX-512 with bf16 operands and `f32` sums.
    Avx512Bf16, pairs: true, {
        #[inline(always)]
        unsafe fn dot(a: __m512, b: __m512, acc: __m512) -> __m512 {
            // SAFETY: the words of `a` and `b` are bf16 pairs; the cast changes no bit.
            unsafe { _mm512_dpbf16_ps(acc, std::mem::transmute::<__m512, __m512bh>(a), std::mem::transmute::<__m512, __m512bh>(b)) }
        }
        #[inline(always)]
        unsafe fn store_pairs(to: *mut u32, first: __m512, second: __m512) {
            // SAFETY: the caller's pointer is valid for 16 words.
            unsafe {
                // Low half of the pair is `first`: widen both to 32 bits, move the second up, merge.
                let low = _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(first)));
                let high = _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(second)));
                _mm512_storeu_si512(to.cast(), _mm512_or_si512(low, _mm512_slli_epi32::<16>(high)));
            }
        }
        #[inline(always)]
        unsafe fn store_row(to: *mut u16, row: __m512) {
            // SAFETY: the caller's pointer is valid for 16 half words.
            unsafe {
                _mm256_storeu_si256(to.cast(), std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(row)));
            }
        }
    }
}
