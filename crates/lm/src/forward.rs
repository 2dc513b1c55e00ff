//! The forward pass: new tokens of some sequences through all blocks, keys and values into their caches.
//!
//! ```text
//! R new tokens of all sequences together, one after the other
//!
//! x[R, width]   residual stream
//! q[R, heads · head_width], k, v[R, kv_heads · head_width]
//! ```
//!
//! Products run over the rows of all sequences at once, attention sequence by sequence. A row's bits depend on neither.

use rayon::prelude::*;

use crate::adapter::{Adapter, Pair};
use crate::cache::{Cache, LayerKv};
use crate::config::{LayerAttention, ModelConfig};
use crate::kernel::attention::{AttentionScratch, HeadShape, Queries, attention};
use crate::kernel::product::{Into, LowRank, Output, Packed, product_into};
use crate::kernel::rows::{self, Turn};
use crate::lora::Projection;
use crate::matrix::{Matrix, Operand};
use crate::model::{Block, Linear, Model};

/// Panels a thread takes at a time where threads share a product.
const SHARE: usize = 6;

/// Who computes a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crew {
    /// The calling thread.
    Alone,
    /// All threads of the pool: for few rows.
    Shared,
}

/// New tokens of one sequence: rows `first_row..first_row + tokens`, at positions from `position` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub first_row: usize,
    pub tokens: usize,
    pub position: usize,
}

impl Span {
    pub fn rows(&self) -> std::ops::Range<usize> {
        self.first_row..self.first_row + self.tokens
    }
}

/// What a block adds to the residual stream, before the norm some families put in between; empty without such a norm.
#[derive(Debug, Default, Clone)]
pub(crate) struct Branch {
    pub out: Matrix,
    pub scales: Vec<f32>,
}

/// Everything a block computes on the way, for one group of tokens. Used again for block after block, or kept for the
/// backward pass.
#[derive(Debug, Default, Clone)]
pub(crate) struct Activations {
    pub attention_scales: Vec<f32>,
    pub attention_in: Operand,
    /// u = s · x Aᵀ of every projection with an adapter.
    pub low_rank: [Matrix; 7],
    /// q and k before their head norms; empty without such norms.
    pub q_raw: Matrix,
    pub k_raw: Matrix,
    pub q_scales: Vec<f32>,
    pub k_scales: Vec<f32>,
    pub q: Matrix,
    pub k: Matrix,
    pub v: Matrix,
    pub attended: Matrix,
    pub log_sums: Matrix,
    pub output_in: Operand,
    pub attention: Branch,
    /// The residual stream between attention and feed-forward; kept for gradients only.
    pub middle: Matrix,
    pub ffn_scales: Vec<f32>,
    pub ffn_in: Operand,
    pub gate: Matrix,
    pub up: Matrix,
    pub down_in: Operand,
    pub ffn: Branch,
}

impl Activations {
    /// Returns about how many bytes are kept for `tokens` tokens.
    pub fn bytes(config: &ModelConfig, tokens: usize) -> usize {
        let queries = config.heads * config.head_width;
        let keys = config.kv_heads * config.head_width;
        // Inputs of products, q, k, v twice with head norms, the attended values, the stream in the middle, gate and up.
        let features = 3 * config.width + 4 * queries + 4 * keys + 3 * config.ffn_width;
        features * tokens * size_of::<f32>()
    }
}

/// Memory of a pass, used again by the next.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// The residual stream after the last block, `[R, width]`.
    pub x: Matrix,
    pub activations: Activations,
    pub normed: Matrix,
    pub attention: AttentionScratch,
    positions: Vec<u32>,
}

/// One model with one adapter or none, and who computes.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub model: &'a Model,
    pub adapter: Option<&'a Adapter>,
    pub crew: Crew,
    /// Whether what only the backward pass needs is kept.
    pub keep: bool,
}

impl Pass<'_> {
    /// Runs `tokens`, the new tokens of all sequences one after the other, through all blocks; leaves the residual
    /// stream in `work.x` and keys and values in the caches. `inspect(layer, x)` sees the stream after every block.
    pub fn forward(
        &self,
        tokens: &[u32],
        spans: &[Span],
        caches: &mut [&mut Cache],
        work: &mut Workspace,
        mut inspect: impl FnMut(usize, &Matrix),
    ) {
        self.embed(tokens, &mut work.x);
        work.positions.clear();
        work.positions.extend(positions(spans));
        for layer in 0..self.model.blocks.len() {
            let mut layers: Vec<&mut LayerKv> = caches
                .iter_mut()
                .map(|cache| &mut cache.layers[layer])
                .collect();
            let Workspace {
                x,
                activations,
                normed,
                attention,
                positions,
                ..
            } = work;
            self.block(
                layer,
                spans,
                positions,
                &mut layers,
                x,
                activations,
                normed,
                attention,
            );
            inspect(layer, &work.x);
        }
    }

    /// Writes the embeddings of `tokens` to `x`.
    pub fn embed(&self, tokens: &[u32], x: &mut Matrix) {
        let model = self.model;
        x.reset(tokens.len(), model.config.width);
        for (row, &token) in tokens.iter().enumerate() {
            model
                .embedding
                .forward
                .get_row(token as usize, x.row_mut(row));
        }
        if model.config.embedding_scale != 1.0 {
            rows::scale(model.set, x, model.config.embedding_scale as f32);
        }
    }

    /// Runs one block: attention, feed-forward, both added to `x`.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of a workspace, borrowed apart"
    )]
    pub fn block(
        &self,
        layer: usize,
        spans: &[Span],
        positions: &[u32],
        kv: &mut [&mut LayerKv],
        x: &mut Matrix,
        acts: &mut Activations,
        normed: &mut Matrix,
        scratch: &mut AttentionScratch,
    ) {
        let Model { config, set, .. } = self.model;
        let (set, epsilon) = (*set, config.norm_epsilon);
        let block = &self.model.blocks[layer];

        // 1. q, k, v.
        rows::norm(
            set,
            x,
            &block.attention_norm,
            epsilon,
            &mut acts.attention_scales,
            &mut acts.attention_in,
        );
        self.queries_keys_values(layer, block, positions, acts);

        // 2. Attention, sequence by sequence.
        self.attend(layer, spans, kv, acts, scratch);

        // 3. x += W_o · attended.
        rows::to_operand(set, &acts.attended, &mut acts.output_in);
        self.add_branch(
            (layer, Projection::Output, &block.output),
            &acts.output_in,
            &mut acts.low_rank[Projection::Output as usize],
            block.post_attention_norm.as_deref(),
            &mut acts.attention,
            normed,
            x,
        );
        if self.keep {
            acts.middle.clone_from(x);
        }

        // 4. x += W_down · (activation(gate) · up).
        rows::norm(
            set,
            x,
            &block.ffn_norm,
            epsilon,
            &mut acts.ffn_scales,
            &mut acts.ffn_in,
        );
        acts.gate.reshape(x.rows, config.ffn_width);
        acts.up.reshape(x.rows, config.ffn_width);
        for (projection, linear, y) in [
            (Projection::Gate, &block.gate, &mut acts.gate),
            (Projection::Up, &block.up, &mut acts.up),
        ] {
            let u = &mut acts.low_rank[projection as usize];
            self.linear(layer, projection, linear, &acts.ffn_in, u, Into::Set, y);
        }
        rows::gated(set, config.gate, &acts.gate, &acts.up, &mut acts.down_in);
        self.add_branch(
            (layer, Projection::Down, &block.down),
            &acts.down_in,
            &mut acts.low_rank[Projection::Down as usize],
            block.post_ffn_norm.as_deref(),
            &mut acts.ffn,
            normed,
            x,
        );
    }

    /// Adds `W branch_in` to `x`, normed if the block has a norm there.
    #[expect(
        clippy::too_many_arguments,
        reason = "a layer, its place and its operands"
    )]
    fn add_branch(
        &self,
        (layer, projection, linear): (usize, Projection, &Linear),
        branch_in: &Operand,
        u: &mut Matrix,
        norm: Option<&[f32]>,
        branch: &mut Branch,
        normed: &mut Matrix,
        x: &mut Matrix,
    ) {
        let Some(weight) = norm else {
            return self.linear(layer, projection, linear, branch_in, u, Into::Add, x);
        };
        let (set, out) = (self.model.set, &mut branch.out);
        out.reshape(x.rows, x.columns);
        self.linear(layer, projection, linear, branch_in, u, Into::Set, out);
        let epsilon = self.model.config.norm_epsilon;
        rows::norm_to_matrix(set, out, weight, epsilon, &mut branch.scales, normed);
        rows::add(set, normed, x);
    }

    fn queries_keys_values(
        &self,
        layer: usize,
        block: &Block,
        positions: &[u32],
        acts: &mut Activations,
    ) {
        let Model { config, set, .. } = self.model;
        let tokens = acts.attention_in.rows;
        acts.q.reshape(tokens, config.heads * config.head_width);
        acts.k.reshape(tokens, config.kv_heads * config.head_width);
        acts.v.reshape(tokens, config.kv_heads * config.head_width);
        for (projection, linear, y) in [
            (Projection::Query, &block.query, &mut acts.q),
            (Projection::Key, &block.key, &mut acts.k),
            (Projection::Value, &block.value, &mut acts.v),
        ] {
            let u = &mut acts.low_rank[projection as usize];
            self.linear(
                layer,
                projection,
                linear,
                &acts.attention_in,
                u,
                Into::Set,
                y,
            );
            if let Some(bias) = &linear.bias {
                rows::add_bias(*set, y, bias);
            }
        }
        let heads = [
            (
                &block.query_norm,
                &mut acts.q,
                &mut acts.q_raw,
                &mut acts.q_scales,
            ),
            (
                &block.key_norm,
                &mut acts.k,
                &mut acts.k_raw,
                &mut acts.k_scales,
            ),
        ];
        for (weight, x, raw, scales) in heads {
            if let Some(weight) = weight {
                if self.keep {
                    raw.clone_from(x);
                }
                rows::norm_heads(*set, x, weight, config.norm_epsilon, scales);
            }
            rows::rope(*set, self.model.rope_of(layer), positions, Turn::Forward, x);
        }
    }

    /// Appends k and v to the caches and attends from every new token.
    fn attend(
        &self,
        layer: usize,
        spans: &[Span],
        kv: &mut [&mut LayerKv],
        acts: &mut Activations,
        scratch: &mut AttentionScratch,
    ) {
        let shape = self.heads(layer);
        acts.attended.reshape(acts.q.rows, acts.q.columns);
        acts.log_sums.reshape(acts.q.rows, shape.heads);
        for (span, kv) in spans.iter().zip(kv.iter_mut()) {
            kv.append(&acts.k, &acts.v, span.rows());
        }
        let set = self.model.set;
        let out = Output::of(&mut acts.attended);
        let log_sums = self.keep.then(|| Output::of(&mut acts.log_sums));
        let q = &acts.q;
        let attend = |(span, kv): (&Span, &&mut LayerKv), scratch: &mut AttentionScratch| {
            let queries = Queries {
                shape,
                q,
                rows: span.rows(),
                position: span.position,
                kv,
            };
            attention(set, &queries, 0..shape.kv_heads, scratch, out, log_sums);
        };
        match self.crew {
            Crew::Alone => {
                for sequence in spans.iter().zip(&*kv) {
                    attend(sequence, scratch);
                }
            }
            Crew::Shared => spans.par_iter().zip(&*kv).for_each_init(
                AttentionScratch::default,
                |scratch, sequence| {
                    attend(sequence, scratch);
                },
            ),
        }
    }

    /// Returns the shape of a layer's heads.
    pub fn heads(&self, layer: usize) -> HeadShape {
        let config = &self.model.config;
        HeadShape {
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_width: config.head_width,
            scale: config.attention_scale as f32,
            window: match config.attention[layer] {
                LayerAttention::Global => None,
                LayerAttention::Local { window } => Some(window as usize),
            },
        }
    }

    /// Computes one projection with its adapter; leaves s · x Aᵀ in `u`.
    #[expect(
        clippy::too_many_arguments,
        reason = "a layer, its place and its operands"
    )]
    fn linear(
        &self,
        layer: usize,
        projection: Projection,
        linear: &Linear,
        x: &Operand,
        u: &mut Matrix,
        into: Into,
        y: &mut Matrix,
    ) {
        let pair = self
            .adapter
            .and_then(|adapter| Some((adapter.scale, adapter.pair(layer, projection)?)));
        if let Some((scale, pair)) = pair {
            self.low_rank(x, pair, scale, u);
        }
        let low_rank = pair.map(|(_, pair)| LowRank { u, b: &pair.b });
        self.product(x, &linear.forward, low_rank, into, y);
    }

    fn low_rank(&self, x: &Operand, pair: &Pair, scale: f32, u: &mut Matrix) {
        u.reshape(x.rows, pair.a.outputs);
        self.product(x, &pair.a, None, Into::Set, u);
        rows::scale(self.model.set, u, scale);
    }

    /// Computes a product, alone or together.
    pub fn product(
        &self,
        x: &Operand,
        w: &Packed,
        low_rank: Option<LowRank<'_>>,
        into: Into,
        y: &mut Matrix,
    ) {
        let (set, panels, y) = (self.model.set, w.panels(), Output::of(y));
        match self.crew {
            Crew::Alone => product_into(set, x, w, 0..panels, low_rank, into, y),
            Crew::Shared => (0..panels.div_ceil(SHARE))
                .into_par_iter()
                .for_each(|part| {
                    let share = part * SHARE..((part + 1) * SHARE).min(panels);
                    product_into(set, x, w, share, low_rank, into, y);
                }),
        }
    }
}

impl Pass<'_> {
    /// Computes some panels of a product together; other columns of `y` are left alone.
    pub fn panels(&self, x: &Operand, w: &Packed, panels: &[usize], y: &mut Matrix) {
        let (set, y) = (self.model.set, Output::of(y));
        panels
            .into_par_iter()
            .for_each(|&panel| product_into(set, x, w, panel..panel + 1, None, Into::Set, y));
    }
}

/// Returns the position of every row.
pub(crate) fn positions(spans: &[Span]) -> impl Iterator<Item = u32> {
    spans
        .iter()
        .flat_map(|span| (0..span.tokens).map(|token| (span.position + token) as u32))
}

/// Lays sequences with `lengths` new tokens out one after the other, from `positions` on.
pub(crate) fn spans(lengths: impl IntoIterator<Item = (usize, usize)>) -> Vec<Span> {
    let mut first_row = 0;
    lengths
        .into_iter()
        .map(|(position, tokens)| {
            let span = Span {
                first_row,
                tokens,
                position,
            };
            first_row += tokens;
            span
        })
        .collect()
}

#[cfg(test)]
mod tests;
