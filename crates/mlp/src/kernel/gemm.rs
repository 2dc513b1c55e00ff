//! The two matrix products of a training step, over panels, one thread.
//!
//! ```text
//! R rows of a batch, K features in, N features out; a panel is 16 columns
//!
//! forward    C[R,N] = A[R,K] · W[K,N]      A, C: batch panels; W: parameter panels (K lanes each)
//! backward   C[R,K] = A[R,N] · Wt[N,K]     the same routine over the transposed weights
//! gradient   G[K,N] = A[R,K]ᵀ · D[R,N]     G arrives panel by panel, in cache, for the optimiser to consume at once
//! ```
//!
//! Every sum over K or R runs in ascending order in chunks of fixed size, whatever the processor and thread count.
//! With bf16 pairs the same code runs over words that hold two values, and half as many of them.

use undertone_simd::{Isa, LANE};

use super::super::lane::ROW_BLOCK;

/// Panels of the left operand a chunk of the forward sum covers: 16 lanes × 16 × 2 right panels fill a 32 KiB cache.
const CHUNK_PANELS: usize = 16;
/// Rows a chunk of the gradient sum covers.
const CHUNK_ROWS: usize = 256;

/// What happens to a value of C once its sum is complete.
pub(crate) trait Epilogue<I: Isa> {
    /// Maps the finished lane of `panel` and `row`.
    ///
    /// # Safety
    /// As [`Isa`]; `panel` and `row` lie inside C.
    unsafe fn apply(&self, panel: usize, row: usize, value: I::V) -> I::V;
}

/// Operands of [`product`]; strides in 32-bit words.
#[derive(Clone, Copy)]
pub(crate) struct Product {
    pub a: *const f32,
    pub a_stride: usize,
    pub a_panels: usize,
    pub b: *const f32,
    pub b_stride: usize,
    pub b_panels: usize,
    pub c: *mut f32,
    pub c_stride: usize,
    /// A multiple of [`ROW_BLOCK`].
    pub rows: usize,
}

/// Adds `words` products to a tile of MR rows × NV lanes.
///
/// Word (m, k) of the left operand stands at `a[m * A_ROW + k * A_K]`; lane (k, v) of the right at
/// `b[v * b_stride + k * 16]`.
#[inline(always)]
unsafe fn tile<I: Isa, const MR: usize, const NV: usize, const A_ROW: usize, const A_K: usize>(
    a: *const f32,
    b: *const f32,
    b_stride: usize,
    words: usize,
    acc: &mut [[I::V; NV]; MR],
) {
    // SAFETY: the caller's operands hold `words` words for each row and lane.
    unsafe {
        let (mut a, mut b) = (a, b);
        for _ in 0..words {
            let mut lanes = [I::zero(); NV];
            for (v, lane) in lanes.iter_mut().enumerate() {
                *lane = I::load(b.add(v * b_stride));
            }
            for (row, sums) in acc.iter_mut().enumerate() {
                let word = I::splat_word(a.add(row * A_ROW));
                for (sum, &lane) in sums.iter_mut().zip(&lanes) {
                    *sum = I::dot(word, lane, *sum);
                }
            }
            a = a.add(A_K);
            b = b.add(LANE);
        }
    }
}

/// Computes C = epilogue(A · B).
///
/// # Safety
/// The processor has `I`; the operands are as [`Product`] describes.
#[inline(always)]
pub(crate) unsafe fn product<I: Isa, E: Epilogue<I>>(p: &Product, epilogue: &E) {
    // SAFETY: forwarded.
    unsafe {
        if I::WIDE {
            let pairs = p.b_panels / 2 * 2;
            for panel in (0..pairs).step_by(2) {
                product_strip::<I, E, 8, 2>(p, epilogue, panel);
            }
            if pairs < p.b_panels {
                product_strip::<I, E, 8, 1>(p, epilogue, pairs);
            }
        } else {
            for panel in 0..p.b_panels {
                product_strip::<I, E, 4, 1>(p, epilogue, panel);
            }
        }
    }
}

#[inline(always)]
unsafe fn product_strip<I: Isa, E: Epilogue<I>, const MR: usize, const NV: usize>(
    p: &Product,
    epilogue: &E,
    first: usize,
) {
    // A batch panel holds 16 values a row: 16 words, or 8 words of pairs.
    if I::PAIRS {
        // SAFETY: forwarded.
        unsafe { product_chunks::<I, E, MR, NV, 8>(p, epilogue, first) }
    } else {
        // SAFETY: forwarded.
        unsafe { product_chunks::<I, E, MR, NV, LANE>(p, epilogue, first) }
    }
}

#[inline(always)]
unsafe fn product_chunks<
    I: Isa,
    E: Epilogue<I>,
    const MR: usize,
    const NV: usize,
    const ROW_WORDS: usize,
>(
    p: &Product,
    epilogue: &E,
    first: usize,
) {
    assert_eq!(p.rows % ROW_BLOCK, 0, "rows of a batch are padded");
    let chunk = CHUNK_PANELS * LANE / ROW_WORDS;
    // SAFETY: all offsets stay inside the operands: panels < a_panels, rows < p.rows, lanes of `first..first + NV`.
    unsafe {
        let b = p.b.add(first * p.b_stride);
        let c = p.c.add(first * p.c_stride);
        for from in (0..p.a_panels).step_by(chunk) {
            let to = (from + chunk).min(p.a_panels);
            for row in (0..p.rows).step_by(MR) {
                let mut acc = [[I::zero(); NV]; MR];
                if from > 0 {
                    for (i, sums) in acc.iter_mut().enumerate() {
                        for (v, sum) in sums.iter_mut().enumerate() {
                            *sum = I::load(c.add(v * p.c_stride + (row + i) * LANE));
                        }
                    }
                }
                for panel in from..to {
                    let a = p.a.add(panel * p.a_stride + row * ROW_WORDS);
                    let b = b.add(panel * ROW_WORDS * LANE);
                    tile::<I, MR, NV, ROW_WORDS, 1>(a, b, p.b_stride, ROW_WORDS, &mut acc);
                }
                for (i, sums) in acc.iter().enumerate() {
                    for (v, &sum) in sums.iter().enumerate() {
                        let value = if to == p.a_panels {
                            epilogue.apply(first + v, row + i, sum)
                        } else {
                            sum
                        };
                        I::store(c.add(v * p.c_stride + (row + i) * LANE), value);
                    }
                }
            }
        }
    }
}

/// Operands of [`gradient`]; strides in 32-bit words.
#[derive(Clone, Copy)]
pub(crate) struct Gradient {
    pub a: *const f32,
    pub a_stride: usize,
    pub a_panels: usize,
    pub d: *const f32,
    pub d_stride: usize,
    pub d_panels: usize,
    /// Words to sum over: rows, or pairs of rows.
    pub words: usize,
    /// Room for two panels of G: 2 × `a_panels` × 16 lanes.
    pub strip: *mut f32,
}

/// Takes a finished panel of G: (panel, its lanes).
pub(crate) trait PanelSink<I: Isa> {
    /// Uses the `a_panels * 16` lanes at `lanes`.
    ///
    /// # Safety
    /// As [`Isa`]; `lanes` is valid until the call returns.
    unsafe fn take(&mut self, panel: usize, lanes: *const f32);
}

/// Computes G = Aᵀ · D and hands it on panel by panel.
///
/// # Safety
/// The processor has `I`; the operands are as [`Gradient`] describes.
#[inline(always)]
pub(crate) unsafe fn gradient<I: Isa, S: PanelSink<I>>(g: &Gradient, sink: &mut S) {
    // SAFETY: forwarded.
    unsafe {
        if I::WIDE {
            let pairs = g.d_panels / 2 * 2;
            for panel in (0..pairs).step_by(2) {
                gradient_strip::<I, S, 8, 2>(g, panel, sink);
            }
            if pairs < g.d_panels {
                gradient_strip::<I, S, 8, 1>(g, pairs, sink);
            }
        } else {
            for panel in 0..g.d_panels {
                gradient_strip::<I, S, 4, 1>(g, panel, sink);
            }
        }
    }
}

#[inline(always)]
unsafe fn gradient_strip<I: Isa, S: PanelSink<I>, const MR: usize, const NV: usize>(
    g: &Gradient,
    first: usize,
    sink: &mut S,
) {
    let strip_stride = g.a_panels * LANE * LANE;
    // SAFETY: words < g.words, panels < a_panels, the strip holds NV × a_panels × 16 lanes.
    unsafe {
        let d = g.d.add(first * g.d_stride);
        for from in (0..g.words).step_by(CHUNK_ROWS) {
            let words = CHUNK_ROWS.min(g.words - from);
            for panel in 0..g.a_panels {
                for part in (0..LANE).step_by(MR) {
                    let at = g.strip.add((panel * LANE + part) * LANE);
                    let mut acc = [[I::zero(); NV]; MR];
                    if from > 0 {
                        for (i, sums) in acc.iter_mut().enumerate() {
                            for (v, sum) in sums.iter_mut().enumerate() {
                                *sum = I::load(at.add(v * strip_stride + i * LANE));
                            }
                        }
                    }
                    let a = g.a.add(panel * g.a_stride + from * LANE + part);
                    tile::<I, MR, NV, 1, LANE>(a, d.add(from * LANE), g.d_stride, words, &mut acc);
                    for (i, sums) in acc.iter().enumerate() {
                        for (v, &sum) in sums.iter().enumerate() {
                            I::store(at.add(v * strip_stride + i * LANE), sum);
                        }
                    }
                }
            }
        }
        for v in 0..NV {
            sink.take(first + v, g.strip.add(v * strip_stride));
        }
    }
}
