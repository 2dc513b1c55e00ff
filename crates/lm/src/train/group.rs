//! What one thread does with one group of sequences: forward, losses, backward.

use std::ops::Range;

use crate::adapter::Adapter;
use crate::cache::{Cache, LayerKv};
use crate::examples::TrainingRow;
use crate::forward::{Activations, Crew, Pass, Span, Workspace, positions, spans};
use crate::kernel::gradient::add_gradient;
use crate::kernel::product::Into;
use crate::kernel::rows;
use crate::kernel::softmax::{LossKind, PositionTarget, position_loss};
use crate::loss::Objective;
use crate::matrix::{Matrix, Operand};
use crate::model::Model;
use crate::train::backward::{BackwardWorkspace, BlockBackward};
use crate::train::gradients::{Gradients, OuterGradients};
use crate::train::trainer::Guide;

/// Tokens a group aims at: weights are read once a group, and eight usual rows still make groups for four threads. Part of
/// what gradients are rounded by: another number is another version of the training step.
const GROUP_TOKENS: usize = 192;
/// Positions whose logits exist at a time.
const HEAD_ROWS: usize = 64;

/// Cuts rows into groups: whole sequences, in order, up to [`GROUP_TOKENS`] tokens unless one alone is longer.
pub(crate) fn groups(lengths: &[usize]) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (row, &length) in lengths.iter().enumerate() {
        if row > start && tokens + length > GROUP_TOKENS {
            groups.push(start..row);
            (start, tokens) = (row, 0);
        }
        tokens += length;
    }
    if start < lengths.len() {
        groups.push(start..lengths.len());
    }
    groups
}

/// What a group is trained towards.
#[derive(Clone, Copy)]
pub(crate) struct Goal<'a> {
    pub objective: Objective,
    /// A live teacher: its whole distribution replaces stored labels.
    pub teacher: Option<Guide<'a>>,
    /// The frozen base and the weight of KL(base ‖ student).
    pub base: Option<(Guide<'a>, f32)>,
    /// 1 / completion tokens of the whole batch.
    pub weight: f32,
}

/// The model as it is in this step.
#[derive(Clone, Copy)]
pub(crate) struct Student<'a> {
    pub model: &'a Model,
    pub adapter: Option<&'a Adapter>,
    /// Blocks from this one on keep their activations; those before compute them again.
    pub first_kept: usize,
}

/// What becomes of the head's gradients.
enum Outer<'a> {
    /// There is no backward pass.
    Evaluated,
    /// Only the residual stream's gradient is wanted.
    Frozen,
    /// Head and final norm are trained.
    Trained(&'a mut OuterGradients),
}

/// Memory of one thread.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    forward: Workspace,
    kept: Vec<Activations>,
    befores: Vec<Matrix>,
    caches: Vec<Cache>,
    guide_caches: Vec<Cache>,
    backward: BackwardWorkspace,
    head: HeadWorkspace,
}

/// Memory of the head's passes.
#[derive(Debug, Default)]
struct HeadWorkspace {
    /// The residual stream at loss positions.
    last: Matrix,
    teacher_last: Matrix,
    base_last: Matrix,
    chunk: Matrix,
    scales: Vec<f32>,
    normed: Operand,
    logits: Matrix,
    teacher_logits: Matrix,
    base_logits: Matrix,
    d_logits: Operand,
    d_normed: Matrix,
    d_last: Matrix,
    x: Matrix,
}

impl Worker {
    /// Adds a group's gradients, in its turn, and returns the summed loss of every row, in nats.
    pub fn train(
        &mut self,
        student: Student<'_>,
        rows: &[&TrainingRow],
        goal: Goal<'_>,
        order: usize,
        gradients: &Gradients,
    ) -> Vec<f64> {
        let batch = Batch::new(rows);
        self.forward(student, &batch);
        let losses = self.losses(student, &batch, goal, Some((order, gradients)));
        self.backward(student, &batch, order, gradients);
        losses
    }

    /// Returns the summed loss of every row, in nats.
    pub fn evaluate(
        &mut self,
        student: Student<'_>,
        rows: &[&TrainingRow],
        goal: Goal<'_>,
    ) -> Vec<f64> {
        let batch = Batch::new(rows);
        let pass = Pass {
            model: student.model,
            adapter: student.adapter,
            crew: Crew::Alone,
            keep: false,
        };
        run_alone(pass, &batch, &mut self.guide_caches, &mut self.forward);
        self.losses(student, &batch, goal, None)
    }

    /// Runs all blocks, keeping what the backward pass needs.
    fn forward(&mut self, student: Student<'_>, batch: &Batch<'_>) {
        let layers = student.model.config.layers;
        let pass = student.pass();
        self.kept
            .resize_with(layers - student.first_kept, Activations::default);
        self.befores.resize_with(layers, Matrix::default);
        reset(&mut self.caches, batch.spans.len(), student.model);
        pass.embed(&batch.tokens, &mut self.forward.x);
        for layer in 0..layers {
            self.befores[layer].clone_from(&self.forward.x);
            let acts = match layer.checked_sub(student.first_kept) {
                Some(kept) => &mut self.kept[kept],
                None => &mut self.forward.activations,
            };
            let mut kv: Vec<&mut LayerKv> = self
                .caches
                .iter_mut()
                .map(|cache| &mut cache.layers[layer])
                .collect();
            pass.block(
                layer,
                &batch.spans,
                &batch.positions,
                &mut kv,
                &mut self.forward.x,
                acts,
                &mut self.forward.normed,
                &mut self.forward.attention,
            );
        }
    }

    /// Computes the losses from `forward.x`; with gradients, leaves that of the residual stream in `backward.d`.
    fn losses(
        &mut self,
        student: Student<'_>,
        batch: &Batch<'_>,
        goal: Goal<'_>,
        gradients: Option<(usize, &Gradients)>,
    ) -> Vec<f64> {
        let model = student.model;
        let head = &mut self.head;
        gather(&self.forward.x, &batch.loss_rows, &mut head.last);
        // Guides run through memory of their own, forward only.
        let guides = [
            (goal.teacher, &mut head.teacher_last),
            (goal.base.map(|(guide, _)| guide), &mut head.base_last),
        ];
        let mut work = Workspace::default();
        for (guide, last) in guides {
            if let Some(guide) = guide {
                let pass = Pass {
                    model: guide.model,
                    adapter: guide.adapter,
                    crew: Crew::Alone,
                    keep: false,
                };
                run_alone(pass, batch, &mut self.guide_caches, &mut work);
                gather(&work.x, &batch.loss_rows, last);
            }
        }
        let mut losses = vec![0.0; batch.rows.len()];
        match gradients {
            None => head.run(student, batch, goal, &mut losses, Outer::Evaluated),
            Some((order, gradients)) => {
                head.d_last.reset(head.last.rows, head.last.columns);
                if gradients.whole_model {
                    gradients.outer.add(order, |sums| {
                        head.run(student, batch, goal, &mut losses, Outer::Trained(sums));
                    });
                } else {
                    head.run(student, batch, goal, &mut losses, Outer::Frozen);
                }
                let d = &mut self.backward.d;
                d.reset(self.forward.x.rows, model.config.width);
                for (from, &to) in batch.loss_rows.iter().enumerate() {
                    d.row_mut(to).copy_from_slice(head.d_last.row(from));
                }
            }
        }
        losses
    }

    /// Runs all blocks backwards from `backward.d`, and the embedding.
    fn backward(
        &mut self,
        student: Student<'_>,
        batch: &Batch<'_>,
        order: usize,
        gradients: &Gradients,
    ) {
        let pass = student.pass();
        for layer in (0..student.model.config.layers).rev() {
            let acts = match layer.checked_sub(student.first_kept) {
                Some(kept) => &mut self.kept[kept],
                None => {
                    self.forward.x.clone_from(&self.befores[layer]);
                    let mut kv: Vec<&mut LayerKv> = self
                        .caches
                        .iter_mut()
                        .map(|cache| &mut cache.layers[layer])
                        .collect();
                    for kv in &mut kv {
                        kv.truncate(0);
                    }
                    pass.block(
                        layer,
                        &batch.spans,
                        &batch.positions,
                        &mut kv,
                        &mut self.forward.x,
                        &mut self.forward.activations,
                        &mut self.forward.normed,
                        &mut self.forward.attention,
                    );
                    &mut self.forward.activations
                }
            };
            let kv: Vec<&LayerKv> = self
                .caches
                .iter()
                .map(|cache| &cache.layers[layer])
                .collect();
            let block = BlockBackward {
                pass,
                layer,
                positions: &batch.positions,
                spans: &batch.spans,
                kv: &kv,
                before: &self.befores[layer],
            };
            gradients.blocks[layer].add(order, |sums| block.run(acts, sums, &mut self.backward));
        }
        // x = embedding[token] · scale
        if !gradients.whole_model {
            return;
        }
        let scale = student.model.config.embedding_scale as f32;
        let d = &self.backward.d;
        gradients.input.add(order, |sum| {
            if let Some(sum) = sum {
                for (row, &token) in batch.tokens.iter().enumerate() {
                    for (sum, d) in sum.row_mut(token as usize).iter_mut().zip(d.row(row)) {
                        *sum += d * scale;
                    }
                }
            }
        });
    }
}

impl Student<'_> {
    fn pass(&self) -> Pass<'_> {
        Pass {
            model: self.model,
            adapter: self.adapter,
            crew: Crew::Alone,
            keep: true,
        }
    }
}

impl HeadWorkspace {
    /// Goes through the loss positions in chunks: logits, losses, and back to the residual stream.
    fn run(
        &mut self,
        student: Student<'_>,
        batch: &Batch<'_>,
        goal: Goal<'_>,
        losses: &mut [f64],
        mut outer: Outer<'_>,
    ) {
        let model = student.model;
        let pass = student.pass();
        for start in (0..batch.loss_rows.len()).step_by(HEAD_ROWS) {
            let chunk = start..(start + HEAD_ROWS).min(batch.loss_rows.len());
            if let Some(teacher) = goal.teacher {
                slice(&self.teacher_last, chunk.clone(), &mut self.chunk);
                logits(
                    teacher.model,
                    &self.chunk,
                    &mut self.scales,
                    &mut self.normed,
                    &mut self.teacher_logits,
                );
            }
            if let Some((base, _)) = goal.base {
                slice(&self.base_last, chunk.clone(), &mut self.chunk);
                logits(
                    base.model,
                    &self.chunk,
                    &mut self.scales,
                    &mut self.normed,
                    &mut self.base_logits,
                );
            }
            slice(&self.last, chunk.clone(), &mut self.chunk);
            logits(
                model,
                &self.chunk,
                &mut self.scales,
                &mut self.normed,
                &mut self.logits,
            );
            for (row, place) in chunk.clone().enumerate() {
                let (of, target) = batch.target(place, goal.objective);
                let kind = match goal.teacher {
                    Some(_) => LossKind {
                        target: PositionTarget::Distribution(self.teacher_logits.row(row)),
                        reverse: goal.objective == Objective::ReverseKl,
                    },
                    None => target,
                };
                let base = goal
                    .base
                    .map(|(_, weight)| (self.base_logits.row(row), weight));
                losses[of] +=
                    position_loss(model.set, self.logits.row_mut(row), kind, base, goal.weight);
            }
            let sums = match &mut outer {
                Outer::Evaluated => continue,
                Outer::Frozen => None,
                Outer::Trained(sums) => Some(sums),
            };
            // logits = W_head · norm(x)
            rows::to_operand(model.set, &self.logits, &mut self.d_logits);
            let weights = model
                .head()
                .backward
                .as_ref()
                .expect("loaded for gradients");
            self.d_normed.reshape(chunk.len(), model.config.width);
            pass.product(&self.d_logits, weights, None, Into::Set, &mut self.d_normed);
            let mut norm_sum = None;
            if let Some(sums) = sums {
                let head = sums.head.as_mut().or(sums.embedding.as_mut());
                self.normed.write_to(&mut self.x);
                add_gradient(
                    model.set,
                    &self.logits,
                    &self.x,
                    head.expect("a head or a tied one"),
                );
                norm_sum = sums.final_norm.as_mut().map(Matrix::padded_mut);
            }
            let mut d = Matrix::zeros(chunk.len(), model.config.width);
            rows::norm_backward(
                model.set,
                &self.chunk,
                &model.final_norm,
                &self.scales,
                &self.d_normed,
                &mut d,
                norm_sum,
            );
            for (row, place) in chunk.enumerate() {
                self.d_last.row_mut(place).copy_from_slice(d.row(row));
            }
        }
    }
}

/// Computes the logits of some rows of the residual stream.
fn logits(
    model: &Model,
    x: &Matrix,
    scales: &mut Vec<f32>,
    normed: &mut Operand,
    out: &mut Matrix,
) {
    let pass = Pass {
        model,
        adapter: None,
        crew: Crew::Alone,
        keep: false,
    };
    rows::norm(
        model.set,
        x,
        &model.final_norm,
        model.config.norm_epsilon,
        scales,
        normed,
    );
    out.reshape(x.rows, model.config.vocabulary);
    pass.product(normed, &model.head().forward, None, Into::Set, out);
}

/// A group of rows laid out one after the other.
struct Batch<'a> {
    rows: &'a [&'a TrainingRow],
    tokens: Vec<u32>,
    spans: Vec<Span>,
    positions: Vec<u32>,
    /// Rows of the matrices whose logits have a loss.
    loss_rows: Vec<usize>,
    /// Of each: which sequence, and which completion token it predicts.
    targets: Vec<(usize, usize)>,
}

impl<'a> Batch<'a> {
    fn new(rows: &'a [&'a TrainingRow]) -> Self {
        // The last token predicts nothing.
        let inputs = |row: &&TrainingRow| row.tokens().len() - 1;
        let spans = spans(rows.iter().map(|row| (0, inputs(row))));
        let mut batch = Self {
            rows,
            tokens: Vec::new(),
            positions: positions(&spans).collect(),
            spans,
            loss_rows: Vec::new(),
            targets: Vec::new(),
        };
        for (of, (row, span)) in rows.iter().zip(&batch.spans).enumerate() {
            batch.tokens.extend(&row.tokens()[..span.tokens]);
            batch
                .loss_rows
                .extend(row.positions().map(|position| span.first_row + position));
            batch
                .targets
                .extend((0..row.completion().len()).map(|place| (of, place)));
        }
        batch
    }

    /// Returns the sequence that loss position `place` belongs to, and its target.
    fn target(&self, place: usize, objective: Objective) -> (usize, LossKind<'a>) {
        let (of, position) = self.targets[place];
        let row = self.rows[of];
        let target = match (objective, row.soft()) {
            (Objective::ForwardKl | Objective::ReverseKl, Some(soft)) => {
                let (ids, log_probabilities) = soft.at(position);
                PositionTarget::TopK {
                    ids,
                    log_probabilities,
                }
            }
            _ => PositionTarget::Token(row.completion()[position]),
        };
        (
            of,
            LossKind {
                target,
                reverse: objective == Objective::ReverseKl,
            },
        )
    }
}

/// Runs a group through a model, forward only.
fn run_alone(pass: Pass<'_>, batch: &Batch<'_>, caches: &mut Vec<Cache>, work: &mut Workspace) {
    reset(caches, batch.spans.len(), pass.model);
    let mut caches: Vec<&mut Cache> = caches.iter_mut().collect();
    pass.forward(&batch.tokens, &batch.spans, &mut caches, work, |_, _| ());
}

fn reset(caches: &mut Vec<Cache>, sequences: usize, model: &Model) {
    caches.clear();
    caches.resize_with(sequences, || Cache::new(&model.config));
}

fn gather(x: &Matrix, rows: &[usize], out: &mut Matrix) {
    out.reset(rows.len(), x.columns);
    for (to, &from) in rows.iter().enumerate() {
        out.row_mut(to).copy_from_slice(x.row(from));
    }
}

fn slice(x: &Matrix, rows: Range<usize>, out: &mut Matrix) {
    out.reset(rows.len(), x.columns);
    for (to, from) in rows.enumerate() {
        out.row_mut(to).copy_from_slice(x.row(from));
    }
}
