//! The backward pass of a block: from the gradient of its result to that of its input, weights on the way.
//!
//! Every step quotes the forward line it differentiates (`forward.rs`). `d` is the gradient of the loss with respect to the
//! residual stream after the line, and becomes that before it.

use undertone_simd::InstructionSet;

use crate::cache::LayerKv;
use crate::config::Part;
use crate::forward::{Activations, Branch, Pass, Span};
use crate::kernel::attention::{AttentionGradients, AttentionScratch, Queries, attention_backward};
use crate::kernel::gradient::add_gradient;
use crate::kernel::product::{Into, LowRank};
use crate::kernel::rows::{self, Turn};
use crate::lora::Projection;
use crate::matrix::{Matrix, Operand};
use crate::model::Linear;
use crate::train::gradients::{BlockGradients, parts_of};

/// Memory of a backward pass, used again by the next.
#[derive(Debug, Default)]
pub(crate) struct BackwardWorkspace {
    /// Gradient of the residual stream, `[R, width]`.
    pub d: Matrix,
    /// Gradient of what is added to the residual stream, where a norm stands between.
    branch: Matrix,
    /// Gradient of a norm's result.
    normed: Matrix,
    down_in: Matrix,
    attended: Matrix,
    q: Matrix,
    k: Matrix,
    v: Matrix,
    attention: AttentionScratch,
    linear: LinearWorkspace,
}

/// Memory of a linear layer's backward pass.
#[derive(Debug, Default)]
struct LinearWorkspace {
    /// The layer's input, as numbers.
    x: Matrix,
    dy: Operand,
    /// s · dy B.
    du: Matrix,
}

/// A group's tokens on their way back through one block.
pub(crate) struct BlockBackward<'a> {
    pub pass: Pass<'a>,
    pub layer: usize,
    pub positions: &'a [u32],
    pub spans: &'a [Span],
    /// Keys and values of every sequence.
    pub kv: &'a [&'a LayerKv],
    /// The residual stream before the block.
    pub before: &'a Matrix,
}

impl BlockBackward<'_> {
    /// Turns `work.d` from the gradient after the block into that before it; consumes gate and up of `acts`.
    pub fn run(
        &self,
        acts: &mut Activations,
        g: &mut BlockGradients,
        work: &mut BackwardWorkspace,
    ) {
        self.feed_forward(acts, g, work);
        self.attention(acts, g, work);
    }

    fn feed_forward(
        &self,
        acts: &mut Activations,
        g: &mut BlockGradients,
        work: &mut BackwardWorkspace,
    ) {
        let model = self.pass.model;
        let block = &model.blocks[self.layer];

        // x += norm(W_down · act), or without norm.
        let branch = branch_gradient(
            model.set,
            block.post_ffn_norm.as_deref(),
            &acts.ffn,
            &work.d,
            &mut work.branch,
            g.vector(Part::PostFfnNorm),
        );
        acts.down_in.write_to(&mut work.linear.x);
        let down = (Projection::Down, &block.down);
        self.linear(
            down,
            branch,
            acts,
            Into::Set,
            &mut work.down_in,
            g,
            &mut work.linear,
        );

        // act = activation(gate) · up
        let gate = model.config.gate;
        rows::gated_backward(model.set, gate, &work.down_in, &mut acts.gate, &mut acts.up);

        // gate, up = W · norm(x)
        acts.ffn_in.write_to(&mut work.linear.x);
        let (normed, linear) = (&mut work.normed, &mut work.linear);
        let gate = (Projection::Gate, &block.gate);
        self.linear(gate, &acts.gate, acts, Into::Set, normed, g, linear);
        let up = (Projection::Up, &block.up);
        self.linear(up, &acts.up, acts, Into::Add, normed, g, linear);
        rows::norm_backward(
            model.set,
            &acts.middle,
            &block.ffn_norm,
            &acts.ffn_scales,
            &work.normed,
            &mut work.d,
            g.vector(Part::FfnNorm),
        );
    }

    fn attention(
        &self,
        acts: &mut Activations,
        g: &mut BlockGradients,
        work: &mut BackwardWorkspace,
    ) {
        let model = self.pass.model;
        let block = &model.blocks[self.layer];

        // x += norm(W_o · attended), or without norm.
        let branch = branch_gradient(
            model.set,
            block.post_attention_norm.as_deref(),
            &acts.attention,
            &work.d,
            &mut work.branch,
            g.vector(Part::PostAttentionNorm),
        );
        acts.output_in.write_to(&mut work.linear.x);
        let output = (Projection::Output, &block.output);
        self.linear(
            output,
            branch,
            acts,
            Into::Set,
            &mut work.attended,
            g,
            &mut work.linear,
        );

        // attended = attention(q, k, v)
        self.attend(acts, work);

        // q, k = rope(norm(W x)), v = W x
        let rope = model.rope_of(self.layer);
        let heads = [
            (
                &mut work.q,
                &block.query_norm,
                &acts.q_raw,
                &acts.q_scales,
                Part::QueryNorm,
            ),
            (
                &mut work.k,
                &block.key_norm,
                &acts.k_raw,
                &acts.k_scales,
                Part::KeyNorm,
            ),
        ];
        for (dy, weight, raw, scales, part) in heads {
            rows::rope(model.set, rope, self.positions, Turn::Back, dy);
            if let Some(weight) = weight {
                rows::norm_heads_backward(model.set, raw, weight, scales, dy, g.vector(part));
            }
        }
        acts.attention_in.write_to(&mut work.linear.x);
        let inputs = [
            (Projection::Query, &block.query, &work.q, Into::Set),
            (Projection::Key, &block.key, &work.k, Into::Add),
            (Projection::Value, &block.value, &work.v, Into::Add),
        ];
        for (projection, linear, dy, into) in inputs {
            let place = (projection, linear);
            self.linear(place, dy, acts, into, &mut work.normed, g, &mut work.linear);
        }
        rows::norm_backward(
            model.set,
            self.before,
            &block.attention_norm,
            &acts.attention_scales,
            &work.normed,
            &mut work.d,
            g.vector(Part::AttentionNorm),
        );
    }

    fn attend(&self, acts: &Activations, work: &mut BackwardWorkspace) {
        work.q.reshape(acts.q.rows, acts.q.columns);
        work.k.reshape(acts.k.rows, acts.k.columns);
        work.v.reshape(acts.v.rows, acts.v.columns);
        for (span, kv) in self.spans.iter().zip(self.kv) {
            let queries = Queries {
                shape: self.pass.heads(self.layer),
                q: &acts.q,
                rows: span.rows(),
                position: 0,
                kv,
            };
            let gradients = AttentionGradients {
                q: &mut work.q,
                k: &mut work.k,
                v: &mut work.v,
            };
            attention_backward(
                self.pass.model.set,
                &queries,
                &acts.log_sums,
                &work.attended,
                &mut work.attention,
                gradients,
            );
        }
    }

    /// Differentiates `y = W x + s B A x + bias` with respect to everything in it; `work.x` holds x.
    #[expect(
        clippy::too_many_arguments,
        reason = "a layer, its place and its operands"
    )]
    fn linear(
        &self,
        (projection, linear): (Projection, &Linear),
        dy: &Matrix,
        acts: &Activations,
        into: Into,
        dx: &mut Matrix,
        g: &mut BlockGradients,
        work: &mut LinearWorkspace,
    ) {
        let set = self.pass.model.set;
        rows::to_operand(set, dy, &mut work.dy);
        let pair = self
            .pass
            .adapter
            .and_then(|adapter| Some((adapter.scale, adapter.pair(self.layer, projection)?)));
        if let Some((scale, pair)) = pair {
            work.du.reshape(dy.rows, pair.b_backward.outputs);
            self.pass
                .product(&work.dy, &pair.b_backward, None, Into::Set, &mut work.du);
            rows::scale(set, &mut work.du, scale);
            if let Some(gradient) = &mut g.pairs[projection as usize] {
                add_gradient(
                    set,
                    &acts.low_rank[projection as usize],
                    dy,
                    &mut gradient.b,
                );
                add_gradient(set, &work.du, &work.x, &mut gradient.a);
            }
        }
        let (part, bias) = parts_of(projection);
        g.add_matrix(set, part, dy, &work.x);
        if let Some(bias) = bias {
            g.add_bias(set, bias, dy);
        }
        let weights = linear
            .backward
            .as_ref()
            .expect("a trainer checks that the model was loaded for gradients");
        if into == Into::Set {
            dx.reshape(dy.rows, weights.outputs);
        }
        let low_rank = pair.map(|(_, pair)| LowRank {
            u: &work.du,
            b: &pair.a_backward,
        });
        self.pass.product(&work.dy, weights, low_rank, into, dx);
    }
}

/// Returns the gradient of what a block added to the residual stream, given that of the stream.
fn branch_gradient<'a>(
    set: InstructionSet,
    norm: Option<&[f32]>,
    branch: &Branch,
    d: &'a Matrix,
    normed: &'a mut Matrix,
    dw: Option<&mut [f32]>,
) -> &'a Matrix {
    let Some(weight) = norm else {
        return d;
    };
    normed.reset(d.rows, d.columns);
    rows::norm_backward(set, &branch.out, weight, &branch.scales, d, normed, dw);
    normed
}
