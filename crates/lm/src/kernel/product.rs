//! Packed weights and the product every linear layer is.
//!
//! ```text
//! R rows, K features in, N features out
//!
//! Y[R, N] (+)= X[R, K] · Wᵀ + U[R, r] · B        W: panels of 16 outputs, one lane a word of input; U, B always f32
//! ```

use std::ops::Range;

use undertone_simd::{InstructionSet, Isa, LANE, Pass, run, to_bf16};

use super::tile::{Strides, over_tiles, read, tile, tile_f32, write};
use crate::matrix::{Matrix, Operand, Words};

/// Words of a sum that are done before the next rows: a strip of three panels then takes 24 KiB of the first-level cache,
/// and all rows find it there.
const CHUNK_WORDS: usize = 128;

/// A weight matrix `[N, K]` in panels of 16 outputs, each `words` lanes.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    words: Words,
    /// K.
    pub inputs: usize,
    /// N.
    pub outputs: usize,
    /// Words of a sum: K, or half of it where a word is a pair.
    pub words_per_panel: usize,
    /// Whether words are pairs of bf16.
    pub pairs: bool,
}

impl Packed {
    /// Makes a matrix of zeros.
    pub fn zeros(outputs: usize, inputs: usize, pairs: bool) -> Self {
        let words_per_panel = if pairs { inputs.div_ceil(2) } else { inputs };
        Self {
            words: Words::zeros(outputs.div_ceil(LANE) * words_per_panel * LANE),
            inputs,
            outputs,
            words_per_panel,
            pairs,
        }
    }

    /// Returns the number of panels.
    pub fn panels(&self) -> usize {
        self.outputs.div_ceil(LANE)
    }

    /// Returns the bytes it takes.
    pub fn bytes(&self) -> usize {
        self.words.len() * 4
    }

    /// Sets row `output` of W.
    ///
    /// # Shapes
    /// - `row`: `[K]`
    pub fn set_row(&mut self, output: usize, row: &[f32]) {
        assert_eq!(row.len(), self.inputs, "one value an input");
        let at = output / LANE * self.words_per_panel * LANE + output % LANE;
        if self.pairs {
            for (k, pair) in row.chunks(2).enumerate() {
                let low = to_bf16(pair[0]);
                let high = pair.get(1).map_or(0, |&value| to_bf16(value));
                self.set_word(at + k * LANE, u32::from(low) | u32::from(high) << 16);
            }
        } else {
            for (k, value) in row.iter().enumerate() {
                self.set_word(at + k * LANE, value.to_bits());
            }
        }
    }

    /// Sets column `input` of W: what [`Packed::set_row`] is for the transposed matrix.
    ///
    /// # Shapes
    /// - `column`: `[N]`
    pub fn set_column(&mut self, input: usize, column: &[f32]) {
        assert_eq!(column.len(), self.outputs, "one value an output");
        let (word, high) = if self.pairs {
            (input / 2, input % 2 == 1)
        } else {
            (input, false)
        };
        for (output, value) in column.iter().enumerate() {
            let at = output / LANE * self.words_per_panel * LANE + word * LANE + output % LANE;
            let bits = if self.pairs {
                let half = u32::from(to_bf16(*value));
                let old = self.word(at);
                if high {
                    old & 0xffff | half << 16
                } else {
                    old & 0xffff_0000 | half
                }
            } else {
                value.to_bits()
            };
            self.set_word(at, bits);
        }
    }

    /// Writes row `output` of W, as the product sees it, to `row`.
    pub fn get_row(&self, output: usize, row: &mut [f32]) {
        assert_eq!(row.len(), self.inputs, "one value an input");
        let at = output / LANE * self.words_per_panel * LANE + output % LANE;
        for (k, value) in row.iter_mut().enumerate() {
            *value = if self.pairs {
                let word = self.word(at + k / 2 * LANE);
                f32::from_bits(if k % 2 == 0 {
                    word << 16
                } else {
                    word & 0xffff_0000
                })
            } else {
                f32::from_bits(self.word(at + k * LANE))
            };
        }
    }

    fn word(&self, at: usize) -> u32 {
        self.words.get(at)
    }

    fn set_word(&mut self, at: usize, bits: u32) {
        self.words.set(at, bits);
    }
}

/// The low-rank part of a linear layer: U = X · Aᵀ is computed before, B is packed as `f32`.
#[derive(Clone, Copy)]
pub(crate) struct LowRank<'a> {
    /// `[R, r]`, scaled.
    pub u: &'a Matrix,
    /// B, packed from its rows `[N, r]`.
    pub b: &'a Packed,
}

/// What becomes of Y.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Into {
    /// It is overwritten.
    Set,
    /// The product is added: Y + (sum over K), the old value first.
    Add,
}

/// As [`product_into`], by one thread.
#[cfg(test)]
pub(crate) fn product(
    set: InstructionSet,
    x: &Operand,
    w: &Packed,
    panels: Range<usize>,
    low_rank: Option<LowRank<'_>>,
    into: Into,
    y: &mut Matrix,
) {
    let out = Output::of(y);
    assert_eq!(y.columns, w.outputs, "Y has the columns of W");
    assert_eq!(y.rows, x.rows, "Y has the rows of X");
    product_into(set, x, w, panels, low_rank, into, out);
}

/// A place for Y that several threads fill, each its own panels.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    pub at: *mut f32,
    pub stride: usize,
    pub rows: usize,
    pub columns: usize,
}

// SAFETY: threads write disjoint panels, see `product_into`'s callers.
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}

impl Output {
    pub fn of(y: &mut Matrix) -> Self {
        Self {
            stride: y.stride,
            rows: y.rows,
            columns: y.columns,
            at: y.as_mut_ptr(),
        }
    }
}

/// Computes Y from all rows of X and the panels `panels` of W; other columns of Y are left alone.
///
/// Other threads may fill other panels meanwhile.
///
/// # Panics
/// If the shapes or formats do not fit.
pub(crate) fn product_into(
    set: InstructionSet,
    x: &Operand,
    w: &Packed,
    panels: Range<usize>,
    low_rank: Option<LowRank<'_>>,
    into: Into,
    y: Output,
) {
    assert_eq!(x.columns, w.inputs, "X has the inputs of W");
    assert_eq!(x.pairs, w.pairs, "X and W have one format");
    assert_eq!(w.pairs, set.pairs(), "the format is the set's");
    assert!(panels.end <= w.panels(), "panels of W");
    assert!(y.rows == x.rows && y.columns == w.outputs && y.stride >= w.panels() * LANE);
    if let Some(LowRank { u, b }) = low_rank {
        assert!(
            !b.pairs && b.outputs == w.outputs && b.inputs == u.columns,
            "B is [N, r]"
        );
        assert_eq!(u.rows, x.rows, "U has the rows of X");
    }
    run(
        set,
        ProductPass {
            x,
            w,
            panels,
            low_rank,
            into,
            y,
        },
    );
}

struct ProductPass<'a> {
    x: &'a Operand,
    w: &'a Packed,
    panels: Range<usize>,
    low_rank: Option<LowRank<'a>>,
    into: Into,
    y: Output,
}

impl Pass for ProductPass<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        // Chunks outside panels: C carries the sum from chunk to chunk, which changes no bit of it.
        let words = self.w.words_per_panel;
        let strip = if I::WIDE { 3 } else { 1 };
        let mut first = self.panels.start;
        while first < self.panels.end {
            let end = (first + strip).min(self.panels.end);
            let mut from = 0;
            loop {
                let to = (from + CHUNK_WORDS).min(words);
                macro_rules! call {
                    ($mr:literal, $nv:literal, $row:expr, $lane:expr) => {
                        // SAFETY: the tile lies inside Y, X and W, as checked by `product_into`.
                        unsafe { self.tile::<I, $mr, $nv>($row, $lane, from..to, from > 0) }
                    };
                }
                over_tiles!(I, self.x.rows, first..end, call);
                from = to;
                if from == words {
                    break;
                }
            }
            first = end;
        }
    }
}

impl ProductPass<'_> {
    #[inline(always)]
    unsafe fn tile<I: Isa, const MR: usize, const NV: usize>(
        &self,
        row: usize,
        panel: usize,
        words: Range<usize>,
        continued: bool,
    ) {
        let panel_words = self.w.words_per_panel * LANE;
        // SAFETY: rows below R, panels below those of W, words below those of a panel.
        unsafe {
            let c = self.y.at.add(row * self.y.stride + panel * LANE);
            let mut acc = if continued || self.into == Into::Add {
                read::<I, MR, NV>(c, self.y.stride)
            } else {
                [[I::zero(); NV]; MR]
            };
            let a = self.x.as_ptr().add(row * self.x.stride + words.start);
            let b = self
                .w
                .words
                .as_ptr()
                .add(panel * panel_words + words.start * LANE);
            let at = Strides {
                a_row: self.x.stride,
                a_word: 1,
                b_word: LANE,
                b_lane: panel_words,
            };
            tile::<I, MR, NV>(a, b, at, words.len(), &mut acc);
            if let Some(LowRank { u, b }) = self.low_rank
                && words.end == self.w.words_per_panel
            {
                let rank = b.words_per_panel;
                let at = Strides {
                    a_row: u.stride,
                    a_word: 1,
                    b_word: LANE,
                    b_lane: rank * LANE,
                };
                let a = u.as_ptr().add(row * u.stride);
                let b = b.words.as_ptr().add(panel * rank * LANE);
                tile_f32::<I, MR, NV>(a, b, at, rank, &mut acc);
            }
            write::<I, MR, NV>(&acc, c, self.y.stride);
        }
    }
}
