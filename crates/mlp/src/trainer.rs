//! One thread's engine: takes a batch once, then steps any number of models through it.

use undertone_simd::{InstructionSet, Precision, UnsupportedError};

use super::inputs::Inputs;
use super::kernel::elementwise::{Goal, LossTask};
use super::kernel::step::{Apply, Backward, CopyInput, Fate, Forward, LossPass};
use super::lane::{LANE, Lane, Panels};
use super::loss::{Loss, LossKind};
use super::model::{Model, gather};
use super::optimiser::Update;
use super::workspace::Workspace;

/// What a batch is trained towards.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// One class for each row of the batch, counted from the first selected logit.
    Labels(&'a [u8]),
    /// Teacher logits `[rows, width]`, row-major; the loss's range counts in these too.
    Logits {
        /// The logits.
        values: &'a [f32],
        /// Logits a row.
        width: usize,
    },
}

/// Trains and evaluates models on one thread, in memory of its own.
#[derive(Debug)]
pub struct Trainer {
    set: InstructionSet,
    work: Workspace,
    kept: Vec<(Panels, Vec<Lane>)>,
    scratch: Vec<u8>,
}

impl Trainer {
    /// Makes an engine with the fastest instructions for `precision`.
    ///
    /// # Errors
    /// If the processor has no bf16 products and they were asked for: there is no silent fallback.
    pub fn new(precision: Precision) -> Result<Self, UnsupportedError> {
        Self::with_instructions(precision.instructions()?)
    }

    /// Makes an engine with exactly these instructions.
    ///
    /// # Errors
    /// If the processor lacks them.
    pub fn with_instructions(set: InstructionSet) -> Result<Self, UnsupportedError> {
        let set = set.checked()?;
        let work = Workspace {
            bf16: set.pairs(),
            ..Workspace::default()
        };
        Ok(Self {
            set,
            work,
            kept: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// Gathers the batch that the next calls work on.
    ///
    /// # Panics
    /// If `rows` is empty or names a row outside the inputs.
    pub fn load(&mut self, inputs: &Inputs<'_>, rows: &[u32]) {
        assert!(!rows.is_empty(), "a batch has at least one row");
        self.work.prepare_input(rows.len(), inputs.features());
        inputs.write(
            self.set,
            rows,
            &mut self.work.input.values,
            &mut self.scratch,
        );
        undertone_simd::run(
            self.set,
            CopyInput(&mut self.work.input, self.work.padded_rows),
        );
    }

    /// Takes one optimiser step on the loaded batch and returns the mean loss before it, in the loss's own unit.
    ///
    /// # Panics
    /// If the target does not fit the batch, or the loss the logits.
    pub fn step(&mut self, model: &mut Model, target: Target<'_>, loss: &Loss) -> f64 {
        let value = self.loss(model, target, loss);
        model.steps += 1;
        let update = Update::at_step(&model.optimiser, model.steps);
        undertone_simd::run(
            self.set,
            Backward {
                work: &mut self.work,
                fate: Fate::Update(model, update),
            },
        );
        value
    }

    /// Writes the gradient in canonical order into `gradient` and returns the mean loss; the model stays as it is.
    ///
    /// # Panics
    /// As [`Trainer::step`], or if `gradient` has another length than the parameters.
    pub fn gradient(
        &mut self,
        model: &Model,
        target: Target<'_>,
        loss: &Loss,
        gradient: &mut [f32],
    ) -> f64 {
        assert_eq!(
            gradient.len(),
            model.weights.values.len(),
            "one gradient value a parameter"
        );
        let value = self.loss(model, target, loss);
        self.reserve_kept(model);
        let Self {
            set, work, kept, ..
        } = self;
        undertone_simd::run(
            *set,
            Backward {
                work,
                fate: Fate::Keep(model, kept),
            },
        );
        for (layer, (weights, bias)) in model.layers.iter().zip(&self.kept) {
            gather(
                weights,
                &layer.shape,
                &mut gradient[layer.shape.weights_at..],
            );
            if let Some(at) = layer.shape.biases_at {
                for (out, value) in gradient[at..][..layer.shape.outputs].iter_mut().enumerate() {
                    *value = bias[out / LANE].0[out % LANE];
                }
            }
        }
        value
    }

    /// Takes one optimiser step with a gradient in canonical order.
    ///
    /// # Panics
    /// If `gradient` has another length than the parameters.
    pub fn apply(&mut self, model: &mut Model, gradient: &[f32]) {
        assert_eq!(
            gradient.len(),
            model.weights.values.len(),
            "one gradient value a parameter"
        );
        self.reserve_kept(model);
        for (layer, (weights, bias)) in model.layers.iter().zip(&mut self.kept) {
            let shape = layer.shape;
            // Padding must not keep what another model's gradient left there.
            weights.lanes.fill(Lane::default());
            bias.fill(Lane::default());
            for out in 0..shape.outputs {
                for input in 0..shape.inputs {
                    *weights.at_mut(input, out) =
                        gradient[shape.weights_at + out * shape.inputs + input];
                }
                if let Some(at) = shape.biases_at {
                    bias[out / LANE].0[out % LANE] = gradient[at + out];
                }
            }
        }
        model.steps += 1;
        let update = Update::at_step(&model.optimiser, model.steps);
        undertone_simd::run(
            self.set,
            Apply {
                model,
                gradients: &self.kept,
                update,
            },
        );
    }

    /// Computes the logits of the loaded batch and writes them row-major, `[rows, outputs]`.
    ///
    /// # Panics
    /// If `logits` has another length.
    pub fn logits(&mut self, model: &Model, logits: &mut [f32]) {
        let outputs = model.outputs();
        assert_eq!(
            logits.len(),
            self.work.n_rows * outputs,
            "one value a row and logit"
        );
        self.forward(model);
        let out = &self.work.layers[model.layers.len() - 1].out.values;
        for (row, logits) in logits.chunks_exact_mut(outputs).enumerate() {
            for (panel, part) in logits.chunks_mut(LANE).enumerate() {
                part.copy_from_slice(&out.lanes[panel * out.stride + row].0[..part.len()]);
            }
        }
    }

    /// Counts the rows of the loaded batch whose largest logit among the first `classes` is the label's.
    ///
    /// # Panics
    /// If there is not a label for each row, or the model has not `classes` logits, at least one.
    pub fn count_correct(&mut self, model: &Model, classes: usize, labels: &[u8]) -> usize {
        assert_eq!(labels.len(), self.work.n_rows, "one label a row");
        assert!(
            (1..=model.outputs()).contains(&classes),
            "classes are logits the model has"
        );
        self.forward(model);
        let out = &self.work.layers[model.layers.len() - 1].out.values;
        labels
            .iter()
            .enumerate()
            .filter(|&(row, &label)| {
                let best = (1..classes).fold(0, |best, class| {
                    if out.at(row, class) > out.at(row, best) {
                        class
                    } else {
                        best
                    }
                });
                best == usize::from(label)
            })
            .count()
    }

    fn forward(&mut self, model: &Model) {
        assert_eq!(
            self.work.n_features, model.layers[0].shape.inputs,
            "the batch has the model's number of inputs"
        );
        self.work.prepare(model);
        undertone_simd::run(
            self.set,
            Forward {
                model,
                work: &mut self.work,
            },
        );
    }

    /// Runs the forward pass and the loss; leaves the gradient of the logits in the workspace.
    fn loss(&mut self, model: &Model, target: Target<'_>, loss: &Loss) -> f64 {
        let rows = self.work.n_rows;
        check_target(model, target, loss, rows);
        self.forward(model);
        let top = &mut self.work.layers[model.layers.len() - 1];
        let sum = undertone_simd::run(
            self.set,
            LossPass(LossTask {
                logits: top.out.values.lanes.as_ptr().cast(),
                gradient: top.grad.values.lanes.as_mut_ptr().cast(),
                stride: top.out.values.stride,
                panels: top.out.values.panels,
                rows,
                padded_rows: self.work.padded_rows,
                kind: loss.kind,
                from: loss.logits.start,
                to: loss.logits.end,
                scale: loss.gradient_scale(rows) as f32,
                sharpness: (1.0 / loss.temperature) as f32,
                goal: match target {
                    Target::Labels(labels) => Goal::Labels(labels),
                    Target::Logits { values, width } => Goal::Logits { values, width },
                },
                scratch: &mut self.work.loss_scratch[..3 * top.out.values.panels],
            }),
        );
        sum / rows as f64
    }

    fn reserve_kept(&mut self, model: &Model) {
        // Never fewer: a smaller model in between must not free what the next one needs.
        if self.kept.len() < model.layers.len() {
            self.kept.resize_with(model.layers.len(), Default::default);
        }
        for ((weights, bias), layer) in self.kept.iter_mut().zip(&model.layers) {
            weights.reserve_parameters(layer.k_lanes(), layer.shape.outputs);
            weights.lanes.truncate(weights.panels * weights.stride);
            bias.resize(layer.n_panels(), Lane::default());
        }
    }
}

fn check_target(model: &Model, target: Target<'_>, loss: &Loss, rows: usize) {
    let range = &loss.logits;
    assert!(
        range.start < range.end && range.end <= model.outputs(),
        "the loss selects logits the model has"
    );
    assert_eq!(
        matches!(target, Target::Labels(_)),
        loss.kind == LossKind::CrossEntropy,
        "a cross-entropy is trained towards labels, every other loss towards logits"
    );
    match target {
        Target::Labels(labels) => {
            assert_eq!(labels.len(), rows, "one label a row");
            assert!(
                labels.iter().all(|&label| usize::from(label) < range.len()),
                "labels lie in the range"
            );
        }
        Target::Logits { values, width } => {
            assert_eq!(
                values.len(),
                rows * width,
                "one teacher value a row and logit"
            );
            assert!(range.end <= width, "the teacher has the selected logits");
        }
    }
}
