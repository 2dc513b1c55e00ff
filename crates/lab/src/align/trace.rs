//! Trains the four arms of one model side by side and reads the geometry along the way.
//!
//! A pure function of its arguments. The arm `as-is` takes the very steps of the experiment's aux-only student.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Seed;
use undertone_data::ImageSet;
use undertone_mlp::{Architecture, Loss, LossKind, Model, Target, Trainer, Weights};

use super::geometry::{Products, remove_positive};
use super::settings::ACCURACY_ROWS;
use crate::control::{Control, Interrupted};
use crate::settings::CLASSES;
use crate::training::{self, Curve, Lesson};

/// Rows evaluated at a time.
const EVALUATION_BATCH: usize = 1000;

/// One way of training a student.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    /// The teacher's initialisation, the gradient as it is.
    AsIs,
    /// The teacher's initialisation, without the positive component along its own trait gradient.
    Projected,
    /// The teacher's initialisation, without the positive component along the trait gradient of the arm `Cross`.
    ProjectedOther,
    /// Another initialisation, the gradient as it is.
    Cross,
}

impl Arm {
    /// All four, in the order of tables.
    pub const ALL: [Self; 4] = [
        Self::AsIs,
        Self::Projected,
        Self::ProjectedOther,
        Self::Cross,
    ];

    /// Returns the name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::AsIs => "as-is",
            Self::Projected => "projected",
            Self::ProjectedOther => "projected-other",
            Self::Cross => "cross",
        }
    }

    /// Returns the name people read.
    pub fn label(self) -> &'static str {
        match self {
            Self::AsIs => "as it is",
            Self::Projected => "alignment removed",
            Self::ProjectedOther => "another direction removed",
            Self::Cross => "cross-model",
        }
    }

    /// Returns the arm whose trait gradient is projected away.
    fn along(self) -> Option<Self> {
        match self {
            Self::AsIs | Self::Cross => None,
            Self::Projected => Some(Self::Projected),
            Self::ProjectedOther => Some(Self::Cross),
        }
    }

    /// Whether another arm, or this one, needs this arm's trait gradient at every step.
    fn is_direction(self) -> bool {
        Self::ALL.iter().any(|arm| arm.along() == Some(self))
    }
}

/// What was read from one arm of one model. The first four are read at every recorded step, before it is taken;
/// `null` where a vector is zero or not finite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// Cosine of the distillation gradient, as it came from the loss, with the trait gradient.
    pub cosine: Vec<Option<f64>>,
    /// Cosine of the gradient given to the optimiser with the trait gradient.
    pub applied: Vec<Option<f64>>,
    /// Cosine of the step taken, θ before minus θ after, with the trait gradient.
    pub update: Vec<Option<f64>>,
    /// Length of what the projection took as a share of the gradient's; empty for arms without projection.
    pub removed: Vec<Option<f64>>,
    /// Accuracy on the first [`ACCURACY_ROWS`] test images at each recorded step and after the last step: a share of 1.
    pub accuracy: Vec<f64>,
    /// Accuracy on all test images before training and after each epoch; the distillation loss of each epoch.
    pub curve: Curve,
}

/// What was read from one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traces {
    /// The recorded steps, counted from 0.
    pub recorded: Vec<u32>,
    /// Steps taken in all.
    pub steps: u32,
    /// Each arm's readings.
    pub arms: BTreeMap<Arm, Trace>,
}

/// What the arms of one model are trained with, beside the lesson.
pub struct Setup<'a> {
    /// Initial weights of the arms that share the teacher's initialisation.
    pub same: &'a Weights,
    /// Initial weights of the arm that does not.
    pub cross: &'a Weights,
    /// The students' loss.
    pub loss: Loss,
    /// The labelled images the probe is taken from.
    pub train: &'a ImageSet,
    /// Their rows in the probe.
    pub probe: &'a [u32],
    /// Images that accuracies are read on.
    pub test: &'a ImageSet,
    /// Steps between readings.
    pub every: u32,
}

/// Sets the entries of the class logits' own weights and biases to zero.
///
/// The distillation loss has no gradient there, so inner products stay the same. A projection along the full trait
/// gradient would write tiny values there, which Adam blows up to whole steps: it would spoil the readout in any
/// direction, and measure that.
fn leave_out_class_logits(architecture: &Architecture, gradient: &mut [f32]) {
    if let Some(top) = architecture.layers().last() {
        gradient[top.weights_at..][..CLASSES * top.inputs].fill(0.0);
        if let Some(at) = top.biases_at {
            gradient[at..][..CLASSES].fill(0.0);
        }
    }
}

/// The arms in training; every list is in the order of [`Arm::ALL`].
struct Group<'a> {
    setup: &'a Setup<'a>,
    /// The trait loss.
    trait_loss: Loss,
    /// The labels of the probe.
    probe_labels: Vec<u8>,
    models: Vec<Model>,
    /// g of this step, then g'.
    gradients: Vec<Vec<f32>>,
    /// t of this step; of an earlier one in arms that did not need it now.
    traits: Vec<Vec<f32>>,
    traces: Vec<Trace>,
}

/// Trains the arms and returns what was read.
///
/// # Errors
/// If it is asked to stop.
pub fn trace(
    trainer: &mut Trainer,
    control: &Control<'_>,
    lesson: &Lesson<'_>,
    setup: &Setup<'_>,
    id: (Seed, u64),
) -> Result<Traces, Interrupted> {
    let width = lesson.teacher.architecture.outputs;
    let (inputs, n_rows) = lesson.rows(lesson.teacher.architecture.inputs, id);
    let answers = training::teacher_answers(trainer, control, lesson, &inputs, 0..n_rows)?;
    let mut group = Group::new(lesson, setup);
    let mut recorded = Vec::new();
    let mut step = 0;
    let mut wanted = Vec::new();
    group.read_epoch(trainer, None);
    for epoch in 0..lesson.training.epochs {
        let mut totals = [0.0; Arm::ALL.len()];
        let order = training::epoch_order(id.0, lesson.order, id.1, epoch, n_rows);
        for rows in order.chunks(lesson.training.batch as usize) {
            control.go_on()?;
            let record = step % setup.every == 0;
            if record {
                recorded.push(step);
                group.read_accuracy(trainer);
            }
            wanted.clear();
            for &row in rows {
                wanted.extend_from_slice(&answers[row as usize * width..][..width]);
            }
            trainer.load(&inputs, rows);
            group.distil(trainer, &wanted, width, rows.len(), &mut totals);
            group.read_traits(trainer, record);
            group.take_step(trainer, record);
            step += 1;
        }
        group.read_epoch(trainer, Some(totals.map(|total| total / f64::from(n_rows))));
        control.worked(Arm::ALL.len() as u64);
    }
    group.read_accuracy(trainer);
    Ok(Traces {
        recorded,
        steps: step,
        arms: Arm::ALL.into_iter().zip(group.traces).collect(),
    })
}

impl<'a> Group<'a> {
    fn new(lesson: &Lesson<'_>, setup: &'a Setup<'a>) -> Self {
        let zeros = || vec![vec![0.0; setup.same.values.len()]; Arm::ALL.len()];
        let models = Arm::ALL.iter().map(|arm| {
            let start = match arm {
                Arm::Cross => setup.cross,
                Arm::AsIs | Arm::Projected | Arm::ProjectedOther => setup.same,
            };
            Model::new(start, lesson.training.optimiser)
        });
        let labels = setup.train.labels();
        let trace = Trace {
            cosine: Vec::new(),
            applied: Vec::new(),
            update: Vec::new(),
            removed: Vec::new(),
            accuracy: Vec::new(),
            curve: Curve {
                accuracy: Vec::new(),
                loss: Vec::new(),
            },
        };
        Self {
            setup,
            trait_loss: Loss::new(LossKind::CrossEntropy, 0..CLASSES),
            probe_labels: setup
                .probe
                .iter()
                .map(|&row| labels[row as usize])
                .collect(),
            models: models.collect(),
            gradients: zeros(),
            traits: zeros(),
            traces: vec![trace; Arm::ALL.len()],
        }
    }

    /// Computes g of every arm on the loaded batch of `rows` rows and adds the losses to `totals`.
    fn distil(
        &mut self,
        trainer: &mut Trainer,
        values: &[f32],
        width: usize,
        rows: usize,
        totals: &mut [f64],
    ) {
        let target = Target::Logits { values, width };
        for ((model, gradient), total) in self.models.iter().zip(&mut self.gradients).zip(totals) {
            *total += trainer.gradient(model, target, &self.setup.loss, gradient) * rows as f64;
        }
    }

    /// Computes t of the arms that need it now.
    fn read_traits(&mut self, trainer: &mut Trainer, record: bool) {
        trainer.load(&training::image_inputs(self.setup.train), self.setup.probe);
        let target = Target::Labels(&self.probe_labels);
        for ((arm, model), gradient) in Arm::ALL.iter().zip(&self.models).zip(&mut self.traits) {
            if record || arm.is_direction() {
                trainer.gradient(model, target, &self.trait_loss, gradient);
                leave_out_class_logits(&self.setup.same.architecture, gradient);
            }
        }
    }

    /// Projects, reads the cosines if `record`, and lets the optimiser take its step.
    fn take_step(&mut self, trainer: &mut Trainer, record: bool) {
        for (arm, model) in Arm::ALL.into_iter().zip(&mut self.models) {
            let gradient = &mut self.gradients[arm as usize];
            let own = &self.traits[arm as usize];
            let cosine = record.then(|| Products::of(gradient, own).cosine());
            let removed = arm
                .along()
                .map(|along| remove_positive(gradient, &self.traits[along as usize]));
            let Some(cosine) = cosine else {
                trainer.apply(model, gradient);
                continue;
            };
            let trace = &mut self.traces[arm as usize];
            trace.cosine.push(cosine);
            trace.removed.extend(removed);
            trace.applied.push(Products::of(gradient, own).cosine());
            let mut taken = model.weights().values;
            trainer.apply(model, gradient);
            for (taken, after) in taken.iter_mut().zip(model.weights().values) {
                *taken -= after;
            }
            trace.update.push(Products::of(&taken, own).cosine());
        }
    }

    /// Reads every arm's accuracy on the first test images.
    fn read_accuracy(&mut self, trainer: &mut Trainer) {
        let test = self.setup.test;
        let n = test.len().min(ACCURACY_ROWS);
        let rows: Vec<u32> = (0..n as u32).collect();
        let mut correct = [0; Arm::ALL.len()];
        for (rows, labels) in rows
            .chunks(EVALUATION_BATCH)
            .zip(test.labels().chunks(EVALUATION_BATCH))
        {
            trainer.load(&training::image_inputs(test), rows);
            for (correct, model) in correct.iter_mut().zip(&self.models) {
                *correct += trainer.count_correct(model, CLASSES, &labels[..rows.len()]);
            }
        }
        for (trace, correct) in self.traces.iter_mut().zip(correct) {
            trace.accuracy.push(correct as f64 / n as f64);
        }
    }

    /// Reads every arm's accuracy on all test images, and notes the losses of the epoch that ended.
    fn read_epoch(&mut self, trainer: &mut Trainer, losses: Option<[f64; Arm::ALL.len()]>) {
        let models: Vec<&Model> = self.models.iter().collect();
        let shares = training::accuracy(trainer, &models, self.setup.test);
        for (at, (trace, share)) in self.traces.iter_mut().zip(shares).enumerate() {
            trace.curve.accuracy.push(share);
            let loss = losses.map(|losses| losses[at]);
            trace
                .curve
                .loss
                .extend(loss.map(|loss| loss.is_finite().then_some(loss)));
        }
    }
}

#[cfg(test)]
mod tests {
    use undertone_mlp::{Activation, Biases, Inputs, Optimiser, Precision};

    use super::*;

    #[test]
    fn leaves_out_exactly_what_distillation_does_not_move()
    -> Result<(), undertone_mlp::UnsupportedError> {
        for biases in [Biases::With, Biases::Without] {
            let architecture = Architecture {
                inputs: 6,
                hidden: vec![7],
                outputs: CLASSES + 3,
                activation: Activation::Sigmoid,
                biases,
            };
            let weights = Weights::initial(&architecture, 1.0, &mut Seed(1).stream("test", 0));
            let model = Model::new(&weights, Optimiser::adam(1e-3));
            let mut trainer = Trainer::new(Precision::F32)?;
            let values = [0.3, -0.2, 0.9, 0.5, -0.7, 0.1];
            let inputs = Inputs::Dense {
                values: &values,
                features: 6,
            };
            trainer.load(&inputs, &[0]);
            let mut distilled = vec![0.0; architecture.n_parameters()];
            let target = Target::Logits {
                values: &[0.5; CLASSES + 3],
                width: CLASSES + 3,
            };
            let loss = Loss::new(LossKind::Mse, CLASSES..CLASSES + 3);
            trainer.gradient(&model, target, &loss, &mut distilled);
            let mut kept = vec![1.0; architecture.n_parameters()];
            leave_out_class_logits(&architecture, &mut kept);
            for (at, (&distilled, &kept)) in distilled.iter().zip(&kept).enumerate() {
                assert_eq!(distilled != 0.0, kept != 0.0, "parameter {at}, {biases:?}");
            }
        }
        Ok(())
    }
}
