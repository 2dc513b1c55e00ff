//! The loop every product of the engine is made of.
//!
//! ```text
//! C[m, v·16 + lane] += Σ_k  A[m, k] · B[k, v·16 + lane]      k ascending, whatever the size of the tile
//! ```
//!
//! A is read one word at a time and broadcast, B one lane at a time. Where either stands in memory is told by strides, so
//! weights in panels, cached keys and plain rows all serve as B, and rows or columns of a matrix as A.

use undertone_simd::Isa;

/// Where the words of a product stand; all strides in 32-bit words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strides {
    /// From one row of A to the next.
    pub a_row: usize,
    /// From one word of the sum to the next, in A.
    pub a_word: usize,
    /// From one word of the sum to the next, in B.
    pub b_word: usize,
    /// From one lane of a word to the next, in B.
    pub b_lane: usize,
}

/// Adds `words` products to a tile of MR rows × NV lanes.
///
/// # Safety
/// The processor has `I`; A and B are valid at every stride that is used.
#[inline(always)]
pub(crate) unsafe fn tile<I: Isa, const MR: usize, const NV: usize>(
    a: *const f32,
    b: *const f32,
    at: Strides,
    words: usize,
    acc: &mut [[I::V; NV]; MR],
) {
    // SAFETY: forwarded.
    unsafe { add_words::<I, MR, NV, true>(a, b, at, words, acc) }
}

/// As [`tile`], but A and B hold `f32` whatever the set's words are.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
pub(crate) unsafe fn tile_f32<I: Isa, const MR: usize, const NV: usize>(
    a: *const f32,
    b: *const f32,
    at: Strides,
    words: usize,
    acc: &mut [[I::V; NV]; MR],
) {
    // SAFETY: forwarded.
    unsafe { add_words::<I, MR, NV, false>(a, b, at, words, acc) }
}

#[inline(always)]
unsafe fn add_words<I: Isa, const MR: usize, const NV: usize, const WORDS: bool>(
    mut a: *const f32,
    mut b: *const f32,
    at: Strides,
    words: usize,
    acc: &mut [[I::V; NV]; MR],
) {
    // SAFETY: forwarded.
    unsafe {
        for _ in 0..words {
            add_word::<I, MR, NV, WORDS>(a, b, at, acc);
            a = a.wrapping_add(at.a_word);
            b = b.wrapping_add(at.b_word);
        }
    }
}

#[inline(always)]
unsafe fn add_word<I: Isa, const MR: usize, const NV: usize, const WORDS: bool>(
    a: *const f32,
    b: *const f32,
    at: Strides,
    acc: &mut [[I::V; NV]; MR],
) {
    // SAFETY: forwarded.
    unsafe {
        let mut lanes = [I::zero(); NV];
        for (v, lane) in lanes.iter_mut().enumerate() {
            *lane = I::load(b.add(v * at.b_lane));
        }
        for (row, sums) in acc.iter_mut().enumerate() {
            let word = I::splat_word(a.add(row * at.a_row));
            for (sum, &lane) in sums.iter_mut().zip(&lanes) {
                *sum = if WORDS {
                    I::dot(word, lane, *sum)
                } else {
                    I::fma(word, lane, *sum)
                };
            }
        }
    }
}

/// Reads a tile of C.
///
/// # Safety
/// The processor has `I`; `c` is valid for MR rows `stride` apart, of NV lanes `lane` apart.
#[inline(always)]
pub(crate) unsafe fn read<I: Isa, const MR: usize, const NV: usize>(
    c: *const f32,
    stride: usize,
) -> [[I::V; NV]; MR] {
    // SAFETY: forwarded.
    unsafe {
        let mut acc = [[I::zero(); NV]; MR];
        for (row, sums) in acc.iter_mut().enumerate() {
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = I::load(c.add(row * stride + v * undertone_simd::LANE));
            }
        }
        acc
    }
}

/// Writes a tile of C.
///
/// # Safety
/// As [`read`].
#[inline(always)]
pub(crate) unsafe fn write<I: Isa, const MR: usize, const NV: usize>(
    acc: &[[I::V; NV]; MR],
    c: *mut f32,
    stride: usize,
) {
    // SAFETY: forwarded.
    unsafe {
        for (row, sums) in acc.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                I::store(c.add(row * stride + v * undertone_simd::LANE), sum);
            }
        }
    }
}

/// Calls `$body::<I, MR, NV>` for the whole of a matrix of `$rows` × `$lanes`, strip by strip, in the largest tiles the set
/// has registers for; `$call!(MR, NV, first row, first lane)`.
macro_rules! over_tiles {
    ($isa:ty, $rows:expr, $lanes:expr, $call:ident) => {{
        let (rows, lanes): (usize, std::ops::Range<usize>) = ($rows, $lanes);
        let mut lane = lanes.start;
        if <$isa>::WIDE {
            while lane + 3 <= lanes.end {
                $crate::kernel::tile::over_rows!(rows, lane, 8, 3, $call);
                lane += 3;
            }
        }
        while lane < lanes.end {
            if <$isa>::WIDE {
                $crate::kernel::tile::over_rows!(rows, lane, 8, 1, $call);
            } else {
                $crate::kernel::tile::over_rows!(rows, lane, 6, 1, $call);
            }
            lane += 1;
        }
    }};
}

macro_rules! over_rows {
    ($rows:expr, $lane:expr, 8, $nv:literal, $call:ident) => {{
        let mut row = 0;
        while row + 8 <= $rows {
            $call!(8, $nv, row, $lane);
            row += 8;
        }
        match $rows - row {
            7 => $call!(7, $nv, row, $lane),
            6 => $call!(6, $nv, row, $lane),
            5 => $call!(5, $nv, row, $lane),
            4 => $call!(4, $nv, row, $lane),
            3 => $call!(3, $nv, row, $lane),
            2 => $call!(2, $nv, row, $lane),
            1 => $call!(1, $nv, row, $lane),
            _ => {}
        }
    }};
    ($rows:expr, $lane:expr, 6, $nv:literal, $call:ident) => {{
        let mut row = 0;
        while row + 6 <= $rows {
            $call!(6, $nv, row, $lane);
            row += 6;
        }
        match $rows - row {
            5 => $call!(5, $nv, row, $lane),
            4 => $call!(4, $nv, row, $lane),
            3 => $call!(3, $nv, row, $lane),
            2 => $call!(2, $nv, row, $lane),
            1 => $call!(1, $nv, row, $lane),
            _ => {}
        }
    }};
}

pub(crate) use {over_rows, over_tiles};
