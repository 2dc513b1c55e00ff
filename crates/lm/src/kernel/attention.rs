//! Causal attention with grouped heads: new queries of one sequence over the keys and values of its cache.
//!
//! ```text
//! s_j = scale · q · k_j      j from max(0, position - window + 1) to position
//! p_j = exp(s_j - max s),  sum = Σ_j p_j
//! out = Σ_j p_j v_j / sum,   log_sum = max s + ln sum
//! ```
//!
//! A *row* is a query of one head; rows of all heads that share a key head are worked on together, heads fastest, then
//! tokens. What a row gets is the same bits whatever rows are beside it and whatever tiles they are cut into: a score is a
//! sum over features in ascending order, `out` one over keys in ascending order, `sum` 16 sums over positions with the
//! same remainder, and a key that a row does not see adds exactly 0.

mod backward;
mod block;

use std::ops::Range;

use undertone_simd::{InstructionSet, Isa, LANE, Pass, run};

pub(crate) use backward::{AttentionGradients, attention_backward};
use block::{Block, Scores, mask};

use super::product::Output;
use super::softmax::{Lanes, exp_from, largest, total};
use super::tile::{Strides, over_tiles, tile_f32, write};
use crate::cache::LayerKv;
use crate::matrix::{Matrix, Words};

/// Rows of a block of the forward pass: its scores of some hundred keys then fit the first-level cache.
const FORWARD_ROWS: usize = 8;

/// The heads of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct HeadShape {
    pub heads: usize,
    /// Divides `heads`.
    pub kv_heads: usize,
    pub head_width: usize,
    /// Factor on q · k.
    pub scale: f32,
    /// Keys a query sees, its own among them; all before it if `None`.
    pub window: Option<usize>,
}

impl HeadShape {
    /// Returns the query heads that share a key head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Returns the width of a head, padded to whole lanes.
    fn stride(&self) -> usize {
        self.head_width.next_multiple_of(LANE)
    }
}

/// New queries of one sequence, whose keys and values are in its cache already.
#[derive(Debug, Clone)]
pub(crate) struct Queries<'a> {
    pub shape: HeadShape,
    /// `[R, heads · head_width]`, turned; the queries are rows `rows`.
    pub q: &'a Matrix,
    pub rows: Range<usize>,
    /// Position of the first query.
    pub position: usize,
    pub kv: &'a LayerKv,
}

impl Queries<'_> {
    fn check(&self) {
        let HeadShape {
            heads,
            kv_heads,
            head_width,
            window,
            ..
        } = self.shape;
        assert_eq!(heads % kv_heads, 0, "key heads divide the heads");
        assert_ne!(window, Some(0), "a query sees itself");
        assert_eq!(self.q.columns, heads * head_width, "all heads of a query");
        assert!(self.rows.end <= self.q.rows, "rows of the queries");
        let kv = self.kv;
        assert!(
            kv.kv_heads() == kv_heads && kv.head_width() == head_width,
            "the cache's heads"
        );
        assert!(
            kv.len() >= self.position + self.rows.len(),
            "the queries' own keys"
        );
    }

    /// Returns the number of rows of a key head.
    fn count(&self) -> usize {
        self.rows.len() * self.shape.group()
    }

    /// Returns the rows `first..first + rows` as a block.
    fn block(&self, first: usize, rows: usize) -> Block {
        Block {
            first,
            rows,
            group: self.shape.group(),
            position: self.position,
            window: self.shape.window.unwrap_or(usize::MAX),
        }
    }

    /// Returns the row of a matrix and the query head that row `row` of key head `kv_head` is.
    fn place(&self, kv_head: usize, row: usize) -> (usize, usize) {
        let group = self.shape.group();
        (self.rows.start + row / group, kv_head * group + row % group)
    }
}

/// Memory of attention, used again by the next call.
#[derive(Debug, Clone, Default)]
pub(crate) struct AttentionScratch {
    /// Queries of a block, scaled: `[rows][stride]`.
    q: Words,
    /// Scores of a block, then weights.
    scores: Words,
    /// Sums of a block: `[rows][stride]`.
    sums: Words,
    /// Of the backward pass alone.
    backward: backward::Scratch,
}

/// Attends from every query with the heads that share the key heads `kv_heads`; writes these heads' columns of `out` and,
/// if wanted, of `log_sums`. Others may meanwhile work on other key heads or rows of the same places.
///
/// # Shapes
/// - `out`: as `queries.q`
/// - `log_sums`: `[R, heads]`
///
/// # Panics
/// If the shapes do not fit.
pub(crate) fn attention(
    set: InstructionSet,
    queries: &Queries<'_>,
    kv_heads: Range<usize>,
    scratch: &mut AttentionScratch,
    out: Output,
    log_sums: Option<Output>,
) {
    queries.check();
    let shape = queries.shape;
    assert!(kv_heads.end <= shape.kv_heads, "key heads");
    assert!(
        out.rows == queries.q.rows && out.columns == queries.q.columns,
        "a value a query"
    );
    if let Some(log_sums) = log_sums {
        assert!(
            log_sums.rows == out.rows && log_sums.columns == shape.heads,
            "a sum a head"
        );
    }
    scratch.q.reserve(FORWARD_ROWS * shape.stride());
    scratch.sums.reserve(FORWARD_ROWS * shape.stride());
    scratch
        .scores
        .reserve(FORWARD_ROWS * Scores::stride_for(queries.kv.len()));
    let pass = ForwardPass {
        queries,
        kv_heads,
        scratch,
        out,
        log_sums,
    };
    run(set, pass);
}

struct ForwardPass<'a> {
    queries: &'a Queries<'a>,
    kv_heads: Range<usize>,
    scratch: &'a mut AttentionScratch,
    out: Output,
    log_sums: Option<Output>,
}

impl Pass for ForwardPass<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<I: Isa>(mut self) {
        let count = self.queries.count();
        for kv_head in self.kv_heads.clone() {
            let mut first = 0;
            while first < count {
                let block = self.queries.block(first, FORWARD_ROWS.min(count - first));
                // SAFETY: `attention` checked shapes and made room for a block.
                unsafe { self.block::<I>(kv_head, block) };
                first += FORWARD_ROWS;
            }
        }
    }
}

impl ForwardPass<'_> {
    #[inline(always)]
    unsafe fn block<I: Isa>(&mut self, kv_head: usize, block: Block) {
        let Queries { shape, kv, .. } = *self.queries;
        let (width, stride) = (shape.head_width, shape.stride());
        let AttentionScratch {
            q, scores, sums, ..
        } = &mut *self.scratch;

        // 1. The block's queries, scaled.
        let q = q.as_floats_mut();
        for row in 0..block.rows {
            let (r, head) = self.queries.place(kv_head, block.first + row);
            let from = &self.queries.q.row(r)[head * width..][..width];
            for (q, from) in q[row * stride..].iter_mut().zip(from) {
                *q = from * shape.scale;
            }
        }

        // 2. Their scores, a panel of keys at a time.
        let panels = block.panels(0..block.rows);
        let at = Scores {
            stride: Scores::stride_for(kv.len()),
            first_panel: panels.start,
        };
        let keys = kv.keys(kv_head).as_ptr();
        let s = scores.as_mut_ptr();
        macro_rules! score {
            ($mr:literal, $nv:literal, $row:expr, $panel:expr) => {
                // SAFETY: rows of the block, panels of the cache; `scores` has room for both.
                unsafe {
                    at.score::<I, $mr, $nv>(
                        block,
                        $row,
                        $panel,
                        q.as_ptr(),
                        stride,
                        keys,
                        width,
                        s,
                    );
                }
            };
        }
        over_tiles!(I, block.rows, panels, score);

        // 3. Their weights.
        let mut factors = [0.0f32; FORWARD_ROWS];
        for (row, factor) in factors[..block.rows].iter_mut().enumerate() {
            let seen = at.seen(block, row);
            let scores = &mut scores.as_floats_mut()[row * at.stride..][..at.columns(block)];
            let lanes = mask(scores, seen);
            let max = largest(lanes);
            let mut partial: Lanes = [0.0; LANE];
            for lane in lanes {
                *lane = exp_from(lane, max);
                partial = std::array::from_fn(|i| partial[i] + lane[i]);
            }
            let sum = total(partial);
            *factor = (1.0 / sum) as f32;
            if let Some(log_sums) = self.log_sums {
                let (r, head) = self.queries.place(kv_head, block.first + row);
                let log_sum = (f64::from(max) + sum.ln()) as f32;
                // SAFETY: a row and a head of the place, which `attention` checked; nobody else has this head.
                unsafe { log_sums.at.add(r * log_sums.stride + head).write(log_sum) };
            }
        }

        // 4. The weighted sums of values.
        let values = kv.values(kv_head).as_ptr();
        let (s, o) = (scores.as_ptr(), sums.as_mut_ptr());
        macro_rules! mix {
            ($mr:literal, $nv:literal, $row:expr, $lane:expr) => {
                // SAFETY: rows of the block, keys its rows see, lanes of a value.
                unsafe {
                    let keys = block.keys($row..$row + $mr);
                    let strides = Strides {
                        a_row: at.stride,
                        a_word: 1,
                        b_word: stride,
                        b_lane: LANE,
                    };
                    let a = s.add($row * at.stride + keys.start - at.first_key());
                    let b = values.add(keys.start * stride + $lane * LANE);
                    let mut acc = [[I::zero(); $nv]; $mr];
                    tile_f32::<I, $mr, $nv>(a, b, strides, keys.len(), &mut acc);
                    write::<I, $mr, $nv>(&acc, o.add($row * stride + $lane * LANE), stride);
                }
            };
        }
        over_tiles!(I, block.rows, 0..stride / LANE, mix);
        for (row, factor) in factors[..block.rows].iter().enumerate() {
            let (r, head) = self.queries.place(kv_head, block.first + row);
            // SAFETY: a row and a head of the place, which `attention` checked; nobody else has this head.
            let out = unsafe {
                let at = self.out.at.add(r * self.out.stride + head * width);
                std::slice::from_raw_parts_mut(at, width)
            };
            let sums = &sums.as_floats()[row * stride..][..width];
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = sum * factor;
            }
        }
    }
}

#[cfg(test)]
mod tests;
