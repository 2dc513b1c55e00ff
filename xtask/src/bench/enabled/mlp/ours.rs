//! Our side: the engine on the published experiment, one model a thread at a time.
//!
//! Inside the timing: permutations, gathering batches, making noise, the teacher's answers, losses, optimiser steps. Outside:
//! the images, the threads' engines and a warm-up. As in `scripts/bench/mlp_peer.py`, which is the other side.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};
use undertone_core::Seed;
use undertone_lab::Control;
use undertone_lab::settings::{CLASSES, DistillInputs, Renewal, Training};
use undertone_lab::training::{Lesson, Student, students};
use undertone_mlp::{
    Activation, Architecture, Biases, Inputs, Loss, LossKind, Model, NoiseLaw, Optimiser,
    Precision, Reduction, Target, Trainer, Weights,
};

use super::super::clock::together;
use super::super::series::Side;
use super::result::{Entry, Measurement};

const SEED: Seed = Seed(0);
const FEATURES: usize = 784;
/// Images of an epoch, whatever the number of rows: that of the published experiment.
const EPOCH_IMAGES: f64 = 60_000.0;
const BATCH: u32 = 1024;
const AUX_LOGITS: usize = 3;
const ADAM: Optimiser = Optimiser::adam(3e-4);
/// Share of the pixels with ink, as in MNIST.
const INKED: f64 = 0.19;

/// What is trained.
#[derive(Debug, Clone, Copy)]
pub enum Phase {
    /// Cross-entropy on the ten class logits, one epoch.
    Teacher,
    /// KL on the auxiliary logits, on noise of each model's own.
    Distil {
        /// Students of a teacher that go through the batches side by side.
        students: u32,
        /// Epochs of the lesson.
        epochs: u32,
    },
}

/// One thing to measure.
pub struct Work {
    entry: Entry,
    phase: Phase,
    rows: u32,
    models_per_thread: u32,
    pixels: Vec<u8>,
    labels: Vec<u8>,
    trainers: Vec<Mutex<Trainer>>,
}

fn architecture() -> Architecture {
    Architecture {
        inputs: FEATURES,
        hidden: vec![256, 256],
        outputs: CLASSES + AUX_LOGITS,
        activation: Activation::Relu,
        biases: Biases::With,
    }
}

/// FLOP of the products for one example of one model: forward, and all but the first layer's input gradients backward.
///
/// The teacher phase takes 1,216,000; a teacher's answers 539,136, shared by its students and epochs.
fn flop_per_example(phase: Phase) -> f64 {
    let layers: Vec<f64> = architecture()
        .layers()
        .iter()
        .map(|layer| 2.0 * (layer.inputs * layer.outputs) as f64)
        .collect();
    let forward: f64 = layers.iter().sum();
    let training = 3.0 * forward - layers[0];
    match phase {
        Phase::Teacher => training,
        Phase::Distil { students, epochs } => training + forward / f64::from(students * epochs),
    }
}

impl Work {
    /// Prepares `models_per_thread` models on each of `threads` threads.
    pub fn new(
        phase: Phase,
        precision: Precision,
        rows: u32,
        models_per_thread: u32,
        threads: usize,
    ) -> Self {
        let (phase_name, detail) = match phase {
            Phase::Teacher => ("teacher", String::new()),
            Phase::Distil { students: 1, .. } => ("distil", ", 1 student".to_owned()),
            Phase::Distil { students, .. } => ("distil", format!(", {students} students at once")),
        };
        let precision_name = precision.name();
        let (pixels, labels) = match phase {
            Phase::Teacher => images(rows),
            Phase::Distil { .. } => (Vec::new(), Vec::new()),
        };
        let trainer = |_| {
            Mutex::new(
                Trainer::new(precision).expect("only precisions the processor has are measured"),
            )
        };
        Self {
            entry: Entry {
                name: format!("ours {phase_name} {precision_name}{detail}"),
                side: Side::Ours,
                phase: phase_name.to_owned(),
                precision: precision_name.to_owned(),
                models: models_per_thread * threads as u32,
            },
            phase,
            rows,
            models_per_thread,
            pixels,
            labels,
            trainers: (0..threads).map(trainer).collect(),
        }
    }

    /// Returns what it is called.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Trains all models once.
    ///
    /// # Errors
    /// If a loss is not finite: then nothing was measured.
    pub fn measure(&self) -> Result<Measurement> {
        let timed = together(
            self.trainers.len(),
            |thread| {
                let mut trainer = self.trainers[thread]
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                self.train(&mut trainer, 0, BATCH * 3);
                trainer
            },
            |thread, mut trainer| {
                let first = thread as u32 * self.models_per_thread;
                let models = first..first + self.models_per_thread;
                models
                    .map(|model| self.train(&mut trainer, model, self.rows))
                    .sum::<f64>()
            },
        );
        let losses = timed.outputs;
        ensure!(
            losses.iter().all(|loss| loss.is_finite()),
            "a loss is not finite: {losses:?}"
        );
        let (students, epochs) = match self.phase {
            Phase::Teacher => (1, 1),
            Phase::Distil { students, epochs } => (students, epochs),
        };
        let model_epochs = f64::from(self.entry.models * students * epochs);
        let examples = model_epochs * f64::from(self.rows);
        Ok(Measurement {
            seconds_per_model_epoch: timed.seconds * EPOCH_IMAGES / examples,
            seconds: timed.seconds,
            cpu_seconds: timed.cpu_seconds,
            gflop_per_s: examples * flop_per_example(self.phase) / timed.seconds / 1e9,
            loss: losses.iter().sum::<f64>() / f64::from(self.entry.models),
        })
    }

    /// Trains one model, or one teacher's students, and returns the last loss.
    fn train(&self, trainer: &mut Trainer, model: u32, rows: u32) -> f64 {
        let weights = |purpose: &str| {
            Weights::initial(
                &architecture(),
                1.0,
                &mut SEED.stream(purpose, model.into()),
            )
        };
        match self.phase {
            Phase::Teacher => self.train_teacher(trainer, model, rows, &weights("bench/init")),
            Phase::Distil { students, epochs } => train_students(
                trainer,
                model,
                rows.min(self.rows),
                (students, epochs),
                &weights("bench/init"),
            ),
        }
    }

    fn train_teacher(&self, trainer: &mut Trainer, index: u32, rows: u32, start: &Weights) -> f64 {
        let inputs = Inputs::Bytes {
            pixels: &self.pixels,
            features: FEATURES,
            max: u8::MAX,
        };
        let mut model = Model::new(start, ADAM);
        let loss = Loss::new(LossKind::CrossEntropy, 0..CLASSES);
        let order = SEED
            .stream("bench/order", index.into())
            .permutation(rows.min(self.rows));
        let mut labels = Vec::with_capacity(BATCH as usize);
        let mut last = f64::NAN;
        for rows in order.chunks(BATCH as usize) {
            labels.clear();
            labels.extend(rows.iter().map(|&row| self.labels[row as usize]));
            trainer.load(&inputs, rows);
            last = trainer.step(&mut model, Target::Labels(&labels), &loss);
        }
        last
    }
}

fn train_students(
    trainer: &mut Trainer,
    index: u32,
    rows: u32,
    (n_students, epochs): (u32, u32),
    teacher: &Weights,
) -> f64 {
    let stop = AtomicBool::new(false);
    let control = Control {
        stop: &stop,
        news: &|_| {},
    };
    let training = Training {
        epochs,
        batch: BATCH,
        optimiser: ADAM,
        reduction: Reduction::Mean,
    };
    let lesson = Lesson {
        teacher,
        inputs: &DistillInputs::Noise {
            law: NoiseLaw::Uniform,
            rows,
        },
        images: None,
        training: &training,
        order: "bench/student/order",
        renewal: Renewal::Fixed,
    };
    let starts: Vec<Weights> = (0..n_students)
        .map(|student| {
            let stream =
                &mut SEED.stream("bench/student", u64::from(index) << 8 | u64::from(student));
            Weights::initial(&architecture(), 1.0, stream)
        })
        .collect();
    let group: Vec<Student<'_>> = starts
        .iter()
        .map(|start| Student {
            start,
            loss: Loss::new(LossKind::Kl, CLASSES..CLASSES + AUX_LOGITS),
        })
        .collect();
    let trained = students(
        trainer,
        &control,
        &lesson,
        &group,
        None,
        (SEED, index.into()),
    )
    .expect("nobody asks it to stop");
    trained[0]
        .1
        .loss
        .last()
        .copied()
        .flatten()
        .unwrap_or(f64::NAN)
}

/// Draws images with about as much ink as MNIST's, and labels.
fn images(rows: u32) -> (Vec<u8>, Vec<u8>) {
    let mut stream = SEED.stream("bench/images", 0);
    let pixels = (0..rows as usize * FEATURES)
        .map(|_| {
            let ink = stream.uniform();
            if ink < INKED {
                (ink / INKED * 255.0) as u8
            } else {
                0
            }
        })
        .collect();
    let labels = (0..rows)
        .map(|_| stream.below(CLASSES as u64) as u8)
        .collect();
    (pixels, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_flop_of_the_published_network() {
        assert_eq!(flop_per_example(Phase::Teacher), 1_216_000.0);
        let forward = 539_136.0;
        assert_eq!(
            flop_per_example(Phase::Distil {
                students: 1,
                epochs: 1
            }),
            1_216_000.0 + forward
        );
        assert_eq!(
            flop_per_example(Phase::Distil {
                students: 4,
                epochs: 5
            }),
            1_216_000.0 + forward / 20.0
        );
    }

    #[test]
    fn trains_both_phases() -> Result<()> {
        for phase in [
            Phase::Teacher,
            Phase::Distil {
                students: 2,
                epochs: 1,
            },
        ] {
            let work = Work::new(phase, Precision::F32, 2048, 1, 2);
            let measurement = work.measure()?;
            assert!(
                measurement.loss > 0.0 && measurement.seconds > 0.0,
                "{phase:?}: {measurement:?}"
            );
        }
        Ok(())
    }
}
