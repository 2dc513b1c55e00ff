//! A block of rows: which keys they see and where their scores stand.

use std::ops::Range;

use undertone_simd::{Isa, LANE};

use crate::kernel::softmax::Lanes;
use crate::kernel::tile::{Strides, tile_f32, write};

/// Neighbouring rows of one key head. Within a block they count from 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// The first row among all of the key head's.
    pub first: usize,
    pub rows: usize,
    /// Rows a token has.
    pub group: usize,
    /// Position of the sequence's first query.
    pub position: usize,
    /// Keys a row sees at most.
    pub window: usize,
}

impl Block {
    /// Returns the keys that `row` sees.
    pub fn seen(&self, row: usize) -> Range<usize> {
        let end = self.position + (self.first + row) / self.group + 1;
        end.saturating_sub(self.window)..end
    }

    /// Returns the keys that any of `rows` sees.
    pub fn keys(&self, rows: Range<usize>) -> Range<usize> {
        self.seen(rows.start).start..self.seen(rows.end - 1).end
    }

    /// Returns the panels with keys that any of `rows` sees.
    pub fn panels(&self, rows: Range<usize>) -> Range<usize> {
        let keys = self.keys(rows);
        keys.start / LANE..keys.end.div_ceil(LANE)
    }

    /// Returns the rows that see any of `keys`.
    pub fn rows_that_see(&self, keys: Range<usize>) -> Range<usize> {
        let row_of = |position: usize| {
            let tokens = position.saturating_sub(self.position);
            let row = tokens.saturating_mul(self.group);
            row.saturating_sub(self.first).min(self.rows)
        };
        let last = keys.end - 1;
        row_of(keys.start)..row_of(last.saturating_add(self.window))
    }
}

/// Where the scores of a block stand: row by row, from the first panel any of its rows sees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scores {
    /// Words from one row to the next.
    pub stride: usize,
    pub first_panel: usize,
}

impl Scores {
    /// Returns a stride for `keys` keys: an odd number of lanes, lest all rows meet in the same sets of the cache.
    pub fn stride_for(keys: usize) -> usize {
        (keys.div_ceil(LANE) | 1) * LANE
    }

    pub fn first_key(&self) -> usize {
        self.first_panel * LANE
    }

    /// Returns the columns that rows of `block` use.
    pub fn columns(&self, block: Block) -> usize {
        (block.panels(0..block.rows).end - self.first_panel) * LANE
    }

    /// Returns the columns that `row` sees.
    pub fn seen(&self, block: Block, row: usize) -> Range<usize> {
        let seen = block.seen(row);
        seen.start - self.first_key()..seen.end - self.first_key()
    }

    /// Multiplies MR rows of `a` with NV panels of `b`, unless none of the rows sees any of the panels.
    ///
    /// # Safety
    /// The processor has `I`; the rows are the block's, the panels `b`'s; `scores` has room for both.
    #[inline(always)]
    #[expect(
        clippy::too_many_arguments,
        reason = "operands of a product and where they stand"
    )]
    pub unsafe fn score<I: Isa, const MR: usize, const NV: usize>(
        &self,
        block: Block,
        row: usize,
        panel: usize,
        a: *const f32,
        a_row: usize,
        b: *const f32,
        width: usize,
        scores: *mut f32,
    ) {
        let seen = block.panels(row..row + MR);
        if panel >= seen.end || panel + NV <= seen.start {
            return;
        }
        // SAFETY: forwarded.
        unsafe {
            let at = Strides {
                a_row,
                a_word: 1,
                b_word: LANE,
                b_lane: width * LANE,
            };
            let mut acc = [[I::zero(); NV]; MR];
            let (a, b) = (a.add(row * a_row), b.add(panel * width * LANE));
            tile_f32::<I, MR, NV>(a, b, at, width, &mut acc);
            let to = scores.add(row * self.stride + (panel - self.first_panel) * LANE);
            write::<I, MR, NV>(&acc, to, self.stride);
        }
    }
}

/// Marks what a row does not see: -∞ beside a key it sees, 0 in other panels. Returns the panels it sees.
#[inline(always)]
pub(super) fn mask(scores: &mut [f32], seen: Range<usize>) -> &mut [Lanes] {
    let panels = seen.start / LANE * LANE..seen.end.next_multiple_of(LANE);
    scores[..panels.start].fill(0.0);
    scores[panels.start..seen.start].fill(f32::NEG_INFINITY);
    scores[seen.end..panels.end].fill(f32::NEG_INFINITY);
    scores[panels.end..].fill(0.0);
    scores[panels].as_chunks_mut().0
}
