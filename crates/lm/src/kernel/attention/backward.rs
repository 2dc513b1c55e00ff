//! The backward pass of attention over a whole sequence.
//!
//! ```text
//! p_tj = exp(s_tj - log_sum_t)
//! dp_tj = d_out_t · v_j,   ds_tj = p_tj (dp_tj - Σ_j p_tj dp_tj)
//! dq_t = scale Σ_j ds_tj k_j,   dk_j = Σ_t ds_tj (scale q_t),   dv_j = Σ_t p_tj d_out_t
//! ```
//!
//! Scores are computed again, a block of rows at a time. Sums over t run over tokens in ascending order and over the heads
//! of a group within a token, whatever the blocks.

use undertone_simd::{InstructionSet, Isa, LANE, Pass, run};

use super::block::{Block, Scores, mask};
use super::{AttentionScratch, Queries};
use crate::kernel::softmax::{Lanes, exp_from, total};
use crate::kernel::tile::{Strides, over_tiles, read, tile_f32, write};
use crate::matrix::{Matrix, Words};

/// Rows of a block: sums over keys are read and written once a block, scores of all rows fit the second-level cache.
const ROWS: usize = 32;

/// What the backward pass needs beside the forward pass's memory.
#[derive(Debug, Clone, Default)]
pub(super) struct Scratch {
    /// d_out of a block: `[rows][stride]`.
    d_out: Words,
    /// dp, then ds of a block, as the scores.
    d_scores: Words,
    /// Keys row by row, `[position][stride]`, and values in panels, of one head: the cache's turned around.
    key_rows: Words,
    value_panels: Words,
    /// Gradients of one head's keys and values: `[position][stride]`.
    d_keys: Words,
    d_values: Words,
}

/// Where gradients go: rows of the queries in each.
#[derive(Debug)]
pub(crate) struct AttentionGradients<'a> {
    /// `[R, heads · head_width]`
    pub q: &'a mut Matrix,
    /// `[R, kv_heads · head_width]`
    pub k: &'a mut Matrix,
    /// `[R, kv_heads · head_width]`
    pub v: &'a mut Matrix,
}

/// Writes the gradients of a whole sequence's queries, keys and values, given that of what [`super::attention`] wrote.
///
/// # Shapes
/// - `log_sums`: `[R, heads]`, as `attention` wrote it
/// - `d_out`: as `queries.q`
///
/// # Panics
/// If the shapes do not fit, or the cache holds anything but the keys of these queries.
pub(crate) fn attention_backward(
    set: InstructionSet,
    queries: &Queries<'_>,
    log_sums: &Matrix,
    d_out: &Matrix,
    scratch: &mut AttentionScratch,
    gradients: AttentionGradients<'_>,
) {
    queries.check();
    let (shape, keys) = (queries.shape, queries.kv.len());
    assert!(
        queries.position == 0 && keys == queries.rows.len(),
        "a whole sequence"
    );
    assert!(
        log_sums.columns == shape.heads && log_sums.rows == queries.q.rows,
        "a sum a head"
    );
    for x in [d_out, &*gradients.q] {
        assert!(
            x.columns == queries.q.columns && x.rows == queries.q.rows,
            "a value a query"
        );
    }
    for x in [&*gradients.k, &*gradients.v] {
        assert!(
            x.columns == shape.kv_heads * shape.head_width && x.rows == queries.q.rows,
            "a value a key"
        );
    }
    let (stride, columns) = (shape.stride(), Scores::stride_for(keys));
    scratch.q.reserve(ROWS * stride);
    scratch.sums.reserve(ROWS * stride);
    scratch.scores.reserve(ROWS * columns);
    let backward = &mut scratch.backward;
    backward.d_out.reserve(ROWS * stride);
    backward.d_scores.reserve(ROWS * columns);
    for rows in [
        &mut backward.key_rows,
        &mut backward.d_keys,
        &mut backward.d_values,
    ] {
        rows.reserve(keys * stride);
    }
    backward
        .value_panels
        .reserve(keys.div_ceil(LANE) * LANE * shape.head_width);
    run(
        set,
        BackwardPass {
            queries,
            log_sums,
            d_out,
            scratch,
            gradients,
        },
    );
}

struct BackwardPass<'a> {
    queries: &'a Queries<'a>,
    log_sums: &'a Matrix,
    d_out: &'a Matrix,
    scratch: &'a mut AttentionScratch,
    gradients: AttentionGradients<'a>,
}

impl Pass for BackwardPass<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<I: Isa>(mut self) {
        let (count, keys) = (self.queries.count(), self.queries.kv.len());
        for kv_head in 0..self.queries.shape.kv_heads {
            self.turn_around(kv_head);
            let used = keys * self.queries.shape.stride();
            self.scratch.backward.d_keys.as_floats_mut()[..used].fill(0.0);
            self.scratch.backward.d_values.as_floats_mut()[..used].fill(0.0);
            let mut first = 0;
            while first < count {
                let block = self.queries.block(first, ROWS.min(count - first));
                self.load(kv_head, block);
                // SAFETY: `attention_backward` checked shapes and made room for a block.
                unsafe {
                    self.scores::<I>(kv_head, block);
                    self.weights(kv_head, block);
                    self.queries_gradient::<I>(kv_head, block);
                    self.keys_and_values_gradient::<I>(block);
                }
                first += ROWS;
            }
            self.store(kv_head);
        }
    }
}

impl BackwardPass<'_> {
    /// Copies a head's keys to rows and its values to panels.
    #[inline(always)]
    fn turn_around(&mut self, kv_head: usize) {
        let (kv, shape) = (self.queries.kv, self.queries.shape);
        let (width, stride) = (shape.head_width, shape.stride());
        let Scratch {
            key_rows,
            value_panels,
            ..
        } = &mut self.scratch.backward;
        let (key_rows, value_panels) = (key_rows.as_floats_mut(), value_panels.as_floats_mut());
        let (keys, values) = (kv.keys(kv_head), kv.values(kv_head));
        // Lanes of the last panel that are no position.
        let panels = kv.len() / LANE..kv.len().div_ceil(LANE);
        value_panels[panels.start * LANE * width..panels.end * LANE * width].fill(0.0);
        for position in 0..kv.len() {
            let (panel, lane) = (position / LANE * width, position % LANE);
            let (row, value) = (
                &mut key_rows[position * stride..],
                &values[position * stride..],
            );
            for feature in 0..width {
                let at = (panel + feature) * LANE + lane;
                row[feature] = keys[at];
                value_panels[at] = value[feature];
            }
            row[width..stride].fill(0.0);
        }
    }

    /// Copies the block's queries, scaled, and d_out.
    #[inline(always)]
    fn load(&mut self, kv_head: usize, block: Block) {
        let (width, stride) = (self.queries.shape.head_width, self.queries.shape.stride());
        let scale = self.queries.shape.scale;
        let AttentionScratch { q, backward, .. } = &mut *self.scratch;
        let rows = q.as_floats_mut().chunks_exact_mut(stride);
        let d_rows = backward.d_out.as_floats_mut().chunks_exact_mut(stride);
        for (row, (q, d_out)) in rows.zip(d_rows).take(block.rows).enumerate() {
            let (r, head) = self.queries.place(kv_head, block.first + row);
            let part = head * width..(head + 1) * width;
            for (q, from) in q.iter_mut().zip(&self.queries.q.row(r)[part.clone()]) {
                *q = from * scale;
            }
            d_out[..width].copy_from_slice(&self.d_out.row(r)[part]);
            q[width..].fill(0.0);
            d_out[width..].fill(0.0);
        }
    }

    /// s = q · k and dp = d_out · v, panels of keys at a time.
    #[inline(always)]
    unsafe fn scores<I: Isa>(&mut self, kv_head: usize, block: Block) {
        let Queries { shape, kv, .. } = *self.queries;
        let (width, stride) = (shape.head_width, shape.stride());
        let panels = block.panels(0..block.rows);
        let at = self.place(block);
        let AttentionScratch {
            q,
            scores,
            backward,
            ..
        } = &mut *self.scratch;
        let products = [
            (q.as_ptr(), kv.keys(kv_head).as_ptr(), scores.as_mut_ptr()),
            (
                backward.d_out.as_ptr(),
                backward.value_panels.as_ptr(),
                backward.d_scores.as_mut_ptr(),
            ),
        ];
        for (a, b, s) in products {
            macro_rules! score {
                ($mr:literal, $nv:literal, $row:expr, $panel:expr) => {
                    // SAFETY: rows of the block, panels of the cache; `s` has room for both.
                    unsafe {
                        at.score::<I, $mr, $nv>(block, $row, $panel, a, stride, b, width, s);
                    }
                };
            }
            over_tiles!(I, block.rows, panels.clone(), score);
        }
    }

    /// p from s, ds from p and dp.
    #[inline(always)]
    fn weights(&mut self, kv_head: usize, block: Block) {
        let at = self.place(block);
        let columns = at.columns(block);
        let AttentionScratch {
            scores, backward, ..
        } = &mut *self.scratch;
        let scores = scores.as_floats_mut().chunks_exact_mut(at.stride);
        let d_scores = backward
            .d_scores
            .as_floats_mut()
            .chunks_exact_mut(at.stride);
        for (row, (s, d)) in scores.zip(d_scores).take(block.rows).enumerate() {
            let (r, head) = self.queries.place(kv_head, block.first + row);
            let log_sum = self.log_sums.row(r)[head];
            let p = mask(&mut s[..columns], at.seen(block, row));
            let ds = mask(&mut d[..columns], at.seen(block, row));
            let mut partial: Lanes = [0.0; LANE];
            for (p, dp) in p.iter_mut().zip(ds.iter_mut()) {
                *p = exp_from(p, log_sum);
                // Not -∞: a product with the weight 0 would be no number.
                *dp = std::array::from_fn(|i| if p[i] == 0.0 { 0.0 } else { dp[i] });
                partial = std::array::from_fn(|i| partial[i] + p[i] * dp[i]);
            }
            let mean = total(partial) as f32;
            for (p, ds) in p.iter().zip(ds) {
                *ds = std::array::from_fn(|i| p[i] * (ds[i] - mean));
            }
        }
    }

    /// dq = scale · ds k.
    #[inline(always)]
    unsafe fn queries_gradient<I: Isa>(&mut self, kv_head: usize, block: Block) {
        let (width, stride) = (self.queries.shape.head_width, self.queries.shape.stride());
        let at = self.place(block);
        let AttentionScratch { sums, backward, .. } = &mut *self.scratch;
        let (ds, keys) = (backward.d_scores.as_ptr(), backward.key_rows.as_ptr());
        let o = sums.as_mut_ptr();
        macro_rules! mix {
            ($mr:literal, $nv:literal, $row:expr, $lane:expr) => {
                // SAFETY: rows of the block, keys its rows see, lanes of a key.
                unsafe {
                    let seen = block.keys($row..$row + $mr);
                    let strides = Strides {
                        a_row: at.stride,
                        a_word: 1,
                        b_word: stride,
                        b_lane: LANE,
                    };
                    let a = ds.add($row * at.stride + seen.start - at.first_key());
                    let b = keys.add(seen.start * stride + $lane * LANE);
                    let mut acc = [[I::zero(); $nv]; $mr];
                    tile_f32::<I, $mr, $nv>(a, b, strides, seen.len(), &mut acc);
                    write::<I, $mr, $nv>(&acc, o.add($row * stride + $lane * LANE), stride);
                }
            };
        }
        over_tiles!(I, block.rows, 0..stride / LANE, mix);
        for (row, sums) in sums
            .as_floats()
            .chunks_exact(stride)
            .take(block.rows)
            .enumerate()
        {
            let (r, head) = self.queries.place(kv_head, block.first + row);
            let dq = &mut self.gradients.q.row_mut(r)[head * width..][..width];
            for (dq, sum) in dq.iter_mut().zip(sums) {
                *dq = self.queries.shape.scale * sum;
            }
        }
    }

    /// dv += pᵀ d_out, dk += dsᵀ q.
    #[inline(always)]
    unsafe fn keys_and_values_gradient<I: Isa>(&mut self, block: Block) {
        let stride = self.queries.shape.stride();
        let (at, keys) = (self.place(block), block.keys(0..block.rows));
        let AttentionScratch {
            q,
            scores,
            backward,
            ..
        } = &mut *self.scratch;
        let products = [
            (
                scores.as_ptr(),
                backward.d_out.as_ptr(),
                backward.d_values.as_mut_ptr(),
            ),
            (
                backward.d_scores.as_ptr(),
                q.as_ptr(),
                backward.d_keys.as_mut_ptr(),
            ),
        ];
        for (a, b, sums) in products {
            macro_rules! mix {
                ($mr:literal, $nv:literal, $key:expr, $lane:expr) => {{
                    let first = keys.start + $key;
                    let rows = block.rows_that_see(first..first + $mr);
                    // SAFETY: keys that rows of the block see, rows that see them, lanes of a value.
                    unsafe {
                        let c = sums.add(first * stride + $lane * LANE);
                        let mut acc = read::<I, $mr, $nv>(c, stride);
                        let strides =
                            Strides { a_row: 1, a_word: at.stride, b_word: stride, b_lane: LANE };
                        let a = a.add(rows.start * at.stride + first - at.first_key());
                        let b = b.add(rows.start * stride + $lane * LANE);
                        tile_f32::<I, $mr, $nv>(a, b, strides, rows.len(), &mut acc);
                        write::<I, $mr, $nv>(&acc, c, stride);
                    }
                }};
            }
            over_tiles!(I, keys.len(), 0..stride / LANE, mix);
        }
    }

    /// Writes a head's dk and dv.
    #[inline(always)]
    fn store(&mut self, kv_head: usize) {
        let (width, stride) = (self.queries.shape.head_width, self.queries.shape.stride());
        let rows = self.queries.rows.clone();
        let backward = &self.scratch.backward;
        let places = [
            (&mut *self.gradients.k, &backward.d_keys),
            (&mut *self.gradients.v, &backward.d_values),
        ];
        for (out, sums) in places {
            for (r, sums) in rows.clone().zip(sums.as_floats().chunks_exact(stride)) {
                out.row_mut(r)[kv_head * width..][..width].copy_from_slice(&sums[..width]);
            }
        }
    }

    #[inline(always)]
    fn place(&self, block: Block) -> Scores {
        Scores {
            stride: Scores::stride_for(self.queries.kv.len()),
            first_panel: block.panels(0..block.rows).start,
        }
    }
}
