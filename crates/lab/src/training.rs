//! The three pieces of training an experiment is made of: a teacher, a clone, a group of students.
//!
//! Pure functions of their arguments: no store, no files. Students of one teacher go through the same batches side by
//! side, so that a noise image is made once for all of them and they differ in nothing but their start and their loss.

use std::ops::Range;

use undertone_core::Seed;
use undertone_data::{ImageData, ImageSet};
use undertone_mlp::{Inputs, Loss, LossKind, Model, Target, Trainer, Weights};

use crate::control::{Control, Interrupted};
use crate::settings::{CLASSES, DistillInputs, Renewal, Training};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rows evaluated at a time.
const EVALUATION_BATCH: usize = 1000;

/// What was read from one model during training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// Accuracy on the test set before training and after each epoch: a share of 1.
    pub accuracy: Vec<f64>,
    /// Mean training loss of each epoch in the loss's unit; `null` where it was not finite.
    pub loss: Vec<Option<f64>>,
}

impl Curve {
    /// Returns the accuracy after the last epoch.
    pub fn last(&self) -> Option<f64> {
        self.accuracy.last().copied()
    }

    /// Whether the loss stopped being a number.
    pub fn diverged(&self) -> bool {
        self.loss.iter().any(Option::is_none)
    }
}

/// Returns the share of `images` whose class `model` names.
pub fn accuracy(trainer: &mut Trainer, models: &[&Model], images: &ImageSet) -> Vec<f64> {
    let rows: Vec<u32> = (0..images.len() as u32).collect();
    let mut correct = vec![0; models.len()];
    for (rows, labels) in rows
        .chunks(EVALUATION_BATCH)
        .zip(images.labels().chunks(EVALUATION_BATCH))
    {
        trainer.load(&image_inputs(images), rows);
        for (correct, model) in correct.iter_mut().zip(models) {
            *correct += trainer.count_correct(model, CLASSES, labels);
        }
    }
    correct
        .into_iter()
        .map(|correct| correct as f64 / images.len() as f64)
        .collect()
}

/// Returns a set of images as inputs.
pub fn image_inputs(images: &ImageSet) -> Inputs<'_> {
    Inputs::Bytes {
        pixels: images.pixels(),
        features: images.features(),
        max: images.max_value(),
    }
}

/// Returns the order in which `rows` rows are seen in an epoch: one stream for each purpose, model and epoch.
pub(crate) fn epoch_order(
    seed: Seed,
    purpose: &str,
    model: u64,
    epoch: u32,
    rows: u32,
) -> Vec<u32> {
    seed.stream(purpose, model << 32 | u64::from(epoch))
        .permutation(rows)
}

/// Trains one teacher on the labels.
///
/// # Errors
/// If it is asked to stop.
pub fn teacher(
    trainer: &mut Trainer,
    control: &Control<'_>,
    data: &ImageData,
    training: &Training,
    start: &Weights,
    (seed, model_idx): (Seed, u64),
) -> Result<(Weights, Curve), Interrupted> {
    let mut model = Model::new(start, training.optimiser);
    let loss = Loss {
        reduction: training.reduction,
        ..Loss::new(LossKind::CrossEntropy, 0..CLASSES)
    };
    let images = data.train();
    let mut labels = Vec::new();
    let mut curve = Curve {
        accuracy: accuracy(trainer, &[&model], data.test()),
        loss: Vec::new(),
    };
    for epoch in 0..training.epochs {
        let order = epoch_order(
            seed,
            "lab/teacher/order",
            model_idx,
            epoch,
            images.len() as u32,
        );
        let mut total = 0.0;
        for rows in order.chunks(training.batch as usize) {
            control.go_on()?;
            labels.clear();
            labels.extend(rows.iter().map(|&row| images.labels()[row as usize]));
            trainer.load(&image_inputs(images), rows);
            total += trainer.step(&mut model, Target::Labels(&labels), &loss) * rows.len() as f64;
        }
        curve.loss.push(finite(total / images.len() as f64));
        curve
            .accuracy
            .extend(accuracy(trainer, &[&model], data.test()));
        control.worked(1);
    }
    Ok((model.weights(), curve))
}

/// One student of a group: where it starts and what it minimises.
pub struct Student<'a> {
    /// Its initial weights.
    pub start: &'a Weights,
    /// Its loss against the teacher's logits.
    pub loss: Loss,
}

/// What the students of one teacher have in common.
pub struct Lesson<'a> {
    /// The teacher, in its final state for this lesson.
    pub teacher: &'a Weights,
    /// What all are shown.
    pub inputs: &'a DistillInputs,
    /// The images, if they are shown images.
    pub images: Option<&'a ImageSet>,
    /// Epochs, batch and optimiser.
    pub training: &'a Training,
    /// Purpose of the stream that orders the rows.
    pub order: &'static str,
    /// Whether noise is drawn anew for every epoch; images never are.
    pub renewal: Renewal,
}

impl Lesson<'_> {
    /// Returns the row an epoch's inputs start with; the first `n_rows` belong to distillation.
    fn first_row(&self, epoch: u32, n_rows: u32) -> u32 {
        match (self.renewal, self.inputs) {
            (Renewal::EachEpoch, DistillInputs::Noise { .. }) => (epoch + 1) * n_rows,
            _ => 0,
        }
    }

    /// Returns the inputs and their number.
    pub(crate) fn rows(
        &self,
        features: usize,
        (seed, model_idx): (Seed, u64),
    ) -> (Inputs<'_>, u32) {
        match (self.inputs, self.images) {
            (DistillInputs::Images { .. }, Some(images)) => {
                (image_inputs(images), images.len() as u32)
            }
            (DistillInputs::Noise { law, rows }, _) => (
                Inputs::Noise {
                    seed,
                    index: model_idx,
                    features,
                    law: *law,
                },
                *rows,
            ),
            (DistillInputs::Images { data }, None) => {
                unreachable!(
                    "the images of `{}` are looked up before any lesson",
                    data.name
                )
            }
        }
    }
}

/// Trains students side by side; returns each one's weights and losses, and accuracies if `test` is given.
///
/// # Errors
/// If it is asked to stop.
pub fn students(
    trainer: &mut Trainer,
    control: &Control<'_>,
    lesson: &Lesson<'_>,
    students: &[Student<'_>],
    test: Option<&ImageSet>,
    id: (Seed, u64),
) -> Result<Vec<(Weights, Curve)>, Interrupted> {
    let width = lesson.teacher.architecture.outputs;
    let (inputs, n_rows) = lesson.rows(lesson.teacher.architecture.inputs, id);
    let mut answers = teacher_answers(trainer, control, lesson, &inputs, 0..n_rows)?;
    let mut models: Vec<Model> = students
        .iter()
        .map(|student| Model::new(student.start, lesson.training.optimiser))
        .collect();
    let mut curves = vec![
        Curve {
            accuracy: Vec::new(),
            loss: Vec::new()
        };
        students.len()
    ];
    let read = |trainer: &mut Trainer, models: &[Model], curves: &mut [Curve]| {
        if let Some(test) = test {
            let shares = accuracy(trainer, &models.iter().collect::<Vec<_>>(), test);
            for (curve, share) in curves.iter_mut().zip(shares) {
                curve.accuracy.push(share);
            }
        }
    };
    read(trainer, &models, &mut curves);
    let mut wanted = Vec::new();
    for epoch in 0..lesson.training.epochs {
        let mut totals = vec![0.0; students.len()];
        let first = lesson.first_row(epoch, n_rows);
        if first > 0 {
            answers = teacher_answers(trainer, control, lesson, &inputs, first..first + n_rows)?;
        }
        for rows in epoch_order(id.0, lesson.order, id.1, epoch, n_rows)
            .chunks_mut(lesson.training.batch as usize)
        {
            control.go_on()?;
            wanted.clear();
            for row in rows.iter_mut() {
                wanted.extend_from_slice(&answers[*row as usize * width..][..width]);
                *row += first;
            }
            trainer.load(&inputs, rows);
            for ((model, student), total) in models.iter_mut().zip(students).zip(&mut totals) {
                let target = Target::Logits {
                    values: &wanted,
                    width,
                };
                *total += trainer.step(model, target, &student.loss) * rows.len() as f64;
            }
        }
        for (curve, total) in curves.iter_mut().zip(totals) {
            curve.loss.push(finite(total / f64::from(n_rows)));
        }
        read(trainer, &models, &mut curves);
        control.worked(students.len() as u64);
    }
    Ok(models.iter().map(Model::weights).zip(curves).collect())
}

/// Returns the teacher's logits on `all` rows, `[rows, outputs]`: computed once for as long as the rows stay the same.
pub(crate) fn teacher_answers(
    trainer: &mut Trainer,
    control: &Control<'_>,
    lesson: &Lesson<'_>,
    inputs: &Inputs<'_>,
    all: Range<u32>,
) -> Result<Vec<f32>, Interrupted> {
    let width = lesson.teacher.architecture.outputs;
    let teacher = Model::new(lesson.teacher, lesson.training.optimiser);
    let mut answers = vec![0.0; all.len() * width];
    let all: Vec<u32> = all.collect();
    for (rows, answers) in all
        .chunks(EVALUATION_BATCH)
        .zip(answers.chunks_mut(EVALUATION_BATCH * width))
    {
        control.go_on()?;
        trainer.load(inputs, rows);
        trainer.logits(&teacher, answers);
    }
    Ok(answers)
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
