//! The passes of a step, in order, for one model and the batch in the workspace.
//!
//! ```text
//! forward   h[l] = act(h[l-1] · W[l] + b[l]),  h[-1] = x,  logits = h[L-1] without activation
//! loss      d[L-1] = ∂loss/∂logits
//! backward  for l from L-1: d[l-1] = (d[l] · W[l]ᵀ) ⊙ act'(…),  then W[l], b[l] take their gradients
//! ```

use undertone_simd::{Isa, Pass};

use super::super::architecture::{Activation, Biases};
use super::super::lane::{LANE, Lane, Panels};
use super::super::model::{Layer, Model};
use super::super::optimiser::Update;
use super::super::workspace::{Batch, Workspace};
use super::elementwise::{
    BiasOnly, BiasRelu, BiasSmooth, CopySink, GateRelu, GateSlope, LossTask, UpdateSink,
    column_sums, loss, to_bf16, transpose, update,
};
use super::gemm::{Epilogue, Gradient, Product, gradient, product};

/// Makes the bf16 copies of the input batch that both products read.
pub(crate) struct CopyInput<'a>(pub &'a mut Batch, pub usize);

impl Pass for CopyInput<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        if I::PAIRS {
            // SAFETY: forwarded.
            unsafe { copy_bf16::<I>(self.0, self.1, true, true) }
        }
    }
}

/// Fills every layer's activations, the last of which are the logits.
pub(crate) struct Forward<'a> {
    pub model: &'a Model,
    pub work: &'a mut Workspace,
}

impl Pass for Forward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        let last = self.model.layers.len() - 1;
        let activation = self.model.weights.architecture.activation;
        let rows = self.work.padded_rows;
        for (l, layer) in self.model.layers.iter().enumerate() {
            let Workspace {
                input,
                layers,
                weight_pairs,
                ..
            } = &mut *self.work;
            let (before, from_here) = layers.split_at_mut(l);
            let source = before.last().map_or(&*input, |below| &below.out);
            let here = &mut from_here[0];
            let bias = layer.bias.as_ptr().cast::<f32>();
            // SAFETY: the workspace was sized for this model and batch (`Workspace::prepare`).
            unsafe {
                let (b, b_stride) = right_operand::<I>(&layer.weights, weight_pairs);
                let (a, a_stride) = left_operand::<I>(source);
                let task = Product {
                    a,
                    a_stride,
                    a_panels: layer.k_lanes() / LANE,
                    b,
                    b_stride,
                    b_panels: layer.n_panels(),
                    c: here.out.values.lanes.as_mut_ptr().cast(),
                    c_stride: here.out.values.stride * LANE,
                    rows,
                };
                if l == last {
                    product::<I, _>(&task, &BiasOnly { bias });
                } else if activation == Activation::Relu {
                    product::<I, _>(&task, &BiasRelu { bias });
                } else {
                    let slopes = here.slopes.lanes.as_mut_ptr().cast();
                    let stride = here.slopes.stride * LANE;
                    product::<I, _>(
                        &task,
                        &BiasSmooth {
                            bias,
                            activation,
                            columns: layer.shape.outputs,
                            slopes,
                            stride,
                        },
                    );
                }
                if I::PAIRS && l < last {
                    copy_bf16::<I>(&mut here.out, rows, true, true);
                }
            }
        }
    }
}

/// Computes the loss and its gradient with respect to the logits; returns the sum of the loss over rows.
pub(crate) struct LossPass<'a>(pub LossTask<'a>);

impl Pass for LossPass<'_> {
    type Output = f64;

    #[inline(always)]
    unsafe fn run<I: Isa>(self) -> f64 {
        // SAFETY: forwarded.
        unsafe { loss(self.0) }
    }
}

/// What becomes of the gradients.
pub(crate) enum Fate<'a> {
    /// They move the parameters, panel by panel, as they are made.
    Update(&'a mut Model, Update),
    /// They are kept: weights and bias lanes of each layer.
    Keep(&'a Model, &'a mut [(Panels, Vec<Lane>)]),
}

/// Carries the gradient of the logits back to every parameter.
pub(crate) struct Backward<'a> {
    pub work: &'a mut Workspace,
    pub fate: Fate<'a>,
}

impl Pass for Backward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<I: Isa>(mut self) {
        let (n_layers, activation, biases) = {
            let model = match &self.fate {
                Fate::Update(model, _) => &**model,
                Fate::Keep(model, _) => *model,
            };
            let architecture = &model.weights.architecture;
            (
                model.layers.len(),
                architecture.activation,
                architecture.biases,
            )
        };
        for l in (0..n_layers).rev() {
            // SAFETY: the workspace was sized for this model and batch (`Workspace::prepare`).
            unsafe {
                let layer = match &self.fate {
                    Fate::Update(model, _) => &model.layers[l],
                    Fate::Keep(model, _) => &model.layers[l],
                };
                if I::PAIRS {
                    copy_bf16::<I>(
                        &mut self.work.layers[l].grad,
                        self.work.padded_rows,
                        l > 0,
                        true,
                    );
                }
                if l > 0 {
                    propagate::<I>(self.work, layer, l, activation);
                }
                if biases == Biases::With {
                    let grad = &self.work.layers[l].grad.values;
                    let sums = self.work.bias_gradient.as_mut_ptr().cast();
                    let rows = self.work.padded_rows;
                    column_sums::<I>(
                        grad.lanes.as_ptr().cast(),
                        grad.stride * LANE,
                        layer.n_panels(),
                        rows,
                        sums,
                    );
                }
                let task = gradient_task::<I>(self.work, layer, l);
                consume::<I>(&mut self.fate, l, &task, biases, &self.work.bias_gradient);
            }
        }
    }
}

/// Carries the gradient through layer `l` to the activations below it.
#[inline(always)]
unsafe fn propagate<I: Isa>(work: &mut Workspace, layer: &Layer, l: usize, activation: Activation) {
    let Workspace {
        layers,
        transposed,
        transposed_pairs,
        padded_rows,
        ..
    } = work;
    let (below, here) = layers.split_at_mut(l);
    let (below, here) = (&mut below[l - 1], &here[0]);
    let (k_panels, n_panels) = (layer.k_lanes() / LANE, layer.n_panels());
    transposed.reserve_parameters(n_panels * LANE, k_panels * LANE);
    // SAFETY: `transposed` was just sized; the rest by `Workspace::prepare`.
    unsafe {
        transpose(
            layer.weights.lanes.as_ptr().cast(),
            k_panels,
            n_panels,
            transposed.lanes.as_mut_ptr().cast(),
        );
        let (b, b_stride) = right_operand::<I>(transposed, transposed_pairs);
        let (a, a_stride) = left_operand::<I>(&here.grad);
        let task = Product {
            a,
            a_stride,
            a_panels: n_panels,
            b,
            b_stride,
            b_panels: k_panels,
            c: below.grad.values.lanes.as_mut_ptr().cast(),
            c_stride: below.grad.values.stride * LANE,
            rows: *padded_rows,
        };
        if activation == Activation::Relu {
            let out = &below.out.values;
            gated::<I, _>(
                &task,
                &GateRelu {
                    activations: out.lanes.as_ptr().cast(),
                    stride: out.stride * LANE,
                },
            );
        } else {
            let slopes = &below.slopes;
            gated::<I, _>(
                &task,
                &GateSlope {
                    slopes: slopes.lanes.as_ptr().cast(),
                    stride: slopes.stride * LANE,
                },
            );
        }
    }
}

#[inline(always)]
unsafe fn gated<I: Isa, E: Epilogue<I>>(task: &Product, epilogue: &E) {
    // SAFETY: forwarded.
    unsafe { product::<I, E>(task, epilogue) }
}

/// Describes the weight gradient of layer `l`.
#[inline(always)]
fn gradient_task<I: Isa>(work: &mut Workspace, layer: &Layer, l: usize) -> Gradient {
    let source = if l == 0 {
        &work.input
    } else {
        &work.layers[l - 1].out
    };
    let grad = &work.layers[l].grad;
    let (per_word, a, d) = if I::PAIRS {
        (2, source.pairs.as_ptr(), grad.pairs.as_ptr())
    } else {
        (1, source.values.lanes.as_ptr(), grad.values.lanes.as_ptr())
    };
    Gradient {
        a: a.cast(),
        a_stride: source.values.stride / per_word * LANE,
        a_panels: layer.k_lanes() / LANE,
        d: d.cast(),
        d_stride: grad.values.stride / per_word * LANE,
        d_panels: layer.n_panels(),
        words: work.padded_rows / per_word,
        strip: work.strip.as_mut_ptr().cast(),
    }
}

#[inline(always)]
unsafe fn consume<I: Isa>(
    fate: &mut Fate<'_>,
    l: usize,
    task: &Gradient,
    biases: Biases,
    bias_gradient: &[Lane],
) {
    // SAFETY: sinks have the layer's own shapes.
    unsafe {
        match fate {
            Fate::Update(model, constants) => {
                let layer = &mut model.layers[l];
                let stride = layer.k_lanes() * LANE;
                let mut sink = UpdateSink {
                    weights: layer.weights.lanes.as_mut_ptr().cast(),
                    first: layer.first.lanes.as_mut_ptr().cast(),
                    second: layer.second.lanes.as_mut_ptr().cast(),
                    stride,
                    update: *constants,
                };
                gradient::<I, _>(task, &mut sink);
                if biases == Biases::With {
                    update::<I>(
                        layer.bias.as_mut_ptr().cast(),
                        layer.bias_first.as_mut_ptr().cast(),
                        layer.bias_second.as_mut_ptr().cast(),
                        bias_gradient.as_ptr().cast(),
                        layer.bias.len(),
                        constants,
                    );
                }
            }
            Fate::Keep(model, kept) => {
                let stride = model.layers[l].k_lanes() * LANE;
                let (weights, bias) = &mut kept[l];
                gradient::<I, _>(
                    task,
                    &mut CopySink {
                        to: weights.lanes.as_mut_ptr().cast(),
                        stride,
                    },
                );
                let n = bias.len();
                bias.copy_from_slice(&bias_gradient[..n]);
            }
        }
    }
}

/// Applies an optimiser step with gradients kept earlier.
pub(crate) struct Apply<'a> {
    pub model: &'a mut Model,
    pub gradients: &'a [(Panels, Vec<Lane>)],
    pub update: Update,
}

impl Pass for Apply<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        let biases = self.model.weights.architecture.biases;
        for (layer, (weights, bias)) in self.model.layers.iter_mut().zip(self.gradients) {
            // SAFETY: gradients were laid out like the model (`Trainer::apply`).
            unsafe {
                update::<I>(
                    layer.weights.lanes.as_mut_ptr().cast(),
                    layer.first.lanes.as_mut_ptr().cast(),
                    layer.second.lanes.as_mut_ptr().cast(),
                    weights.lanes.as_ptr().cast(),
                    layer.weights.lanes.len(),
                    &self.update,
                );
                if biases == Biases::With {
                    update::<I>(
                        layer.bias.as_mut_ptr().cast(),
                        layer.bias_first.as_mut_ptr().cast(),
                        layer.bias_second.as_mut_ptr().cast(),
                        bias.as_ptr().cast(),
                        layer.bias.len(),
                        &self.update,
                    );
                }
            }
        }
    }
}

/// Returns the words of a batch as a left operand, and the words from panel to panel.
#[inline(always)]
fn left_operand<I: Isa>(batch: &Batch) -> (*const f32, usize) {
    if I::PAIRS {
        (batch.rows.as_ptr().cast(), batch.values.stride * LANE / 2)
    } else {
        (
            batch.values.lanes.as_ptr().cast(),
            batch.values.stride * LANE,
        )
    }
}

/// Returns the words of parameters as a right operand, converting them to bf16 pairs in `pairs` if need be.
#[inline(always)]
unsafe fn right_operand<I: Isa>(parameters: &Panels, pairs: &mut Vec<Lane>) -> (*const f32, usize) {
    if !I::PAIRS {
        return (parameters.lanes.as_ptr().cast(), parameters.stride * LANE);
    }
    let lanes = parameters.panels * parameters.stride;
    if pairs.len() < lanes / 2 {
        pairs.resize(lanes / 2, Lane::default());
    }
    // SAFETY: `pairs` was just sized; a parameter panel has a multiple of 16 lanes, so pairs never cross panels.
    unsafe {
        to_bf16::<I>(
            parameters.lanes.as_ptr().cast(),
            lanes,
            std::ptr::null_mut(),
            pairs.as_mut_ptr().cast(),
        );
    }
    (pairs.as_ptr().cast(), parameters.stride / 2 * LANE)
}

/// Renews a batch's bf16 copies for its first `rows` rows.
#[inline(always)]
unsafe fn copy_bf16<I: Isa>(batch: &mut Batch, rows: usize, as_rows: bool, as_pairs: bool) {
    let Batch {
        values,
        rows: row_copy,
        pairs,
    } = batch;
    for panel in 0..values.panels {
        let at = panel * values.stride;
        // SAFETY: copies have half the lanes of `values`, panel by panel (`Batch::reserve`).
        unsafe {
            let to_rows = if as_rows {
                row_copy.as_mut_ptr().cast::<u16>().add(at * LANE)
            } else {
                std::ptr::null_mut()
            };
            let to_pairs = if as_pairs {
                pairs.as_mut_ptr().cast::<u32>().add(at / 2 * LANE)
            } else {
                std::ptr::null_mut()
            };
            to_bf16::<I>(
                values.lanes.as_ptr().cast::<f32>().add(at * LANE),
                rows,
                to_rows,
                to_pairs,
            );
        }
    }
}
