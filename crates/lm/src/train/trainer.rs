//! The loop: batches in, optimiser steps out.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::adapter::Adapter;
use crate::checkpoint::{Checkpoint, ReadTensorError};
use crate::examples::{RowError, TrainingRow, completion_tokens};
use crate::forward::Activations;
use crate::lora::{LoraWeights, WrongModelError};
use crate::loss::{BaseKl, Objective};
use crate::model::Model;
use crate::optimiser::{Optimiser, OptimiserState, Update, clip_factor, gradient_norm};
use crate::schedule::Schedule;
use crate::train::gradients::Gradients;
use crate::train::group::{Goal, Student, Worker, groups};
use crate::train::weights::FullWeights;

/// How a training run changes its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainSettings {
    /// What is minimised at every completion position.
    pub objective: Objective,
    /// A second loss that holds the student near its base, if any.
    pub base_kl: Option<BaseKl>,
    /// The update rule.
    pub optimiser: Optimiser,
    /// How the learning rate moves.
    pub schedule: Schedule,
    /// Optimiser steps of the whole run: the schedule's length.
    pub steps: u64,
    /// Largest norm of a gradient, if it is limited.
    pub clip: Option<f64>,
}

/// A frozen model that gives whole distributions: a live teacher, or the base.
#[derive(Debug, Clone, Copy)]
pub struct Guide<'a> {
    /// The model.
    pub model: &'a Model,
    /// Its adapter.
    pub adapter: Option<&'a Adapter>,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// Mean loss of the batch before the update, in nats a completion token.
    pub loss: f64,
    /// Completion tokens of the batch.
    pub completion_tokens: usize,
    /// All tokens of the batch.
    pub tokens: usize,
    /// Norm of the gradient before it was limited.
    pub gradient_norm: f64,
    /// Factor of the schedule.
    pub rate_factor: f64,
}

/// A training run cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A row does not fit the model.
    #[error("row {row}")]
    Row {
        /// Which, in its batch.
        row: usize,
        /// Why.
        #[source]
        source: RowError,
    },
    /// Stored labels are asked for and a row has none.
    #[error("row {row} has no soft labels, which `{objective:?}` needs")]
    NoSoftLabels {
        /// Which, in its batch.
        row: usize,
        /// What needs them.
        objective: Objective,
    },
    /// A batch has no rows.
    #[error("a batch has no rows")]
    EmptyBatch,
    /// The loss or the gradient is no finite number.
    #[error(
        "step {step}: the gradient's norm is {norm}, the loss {loss}; a lower learning rate may help"
    )]
    Diverged {
        /// Counted from 0.
        step: u64,
        /// Its norm.
        norm: f64,
        /// The loss.
        loss: f64,
    },
    /// The model was loaded without what gradients need.
    #[error("the model was loaded for inference, not for training")]
    NotForTraining,
    /// The adapter is not one for this model.
    #[error(transparent)]
    Adapter(#[from] WrongModelError),
    /// A weight of the model cannot be used.
    #[error(transparent)]
    Tensor(#[from] ReadTensorError),
    /// A saved state is not one of this run.
    #[error("the saved state has {found} values, this run {expected}")]
    State {
        /// Values in the state.
        found: usize,
        /// Values of the run.
        expected: usize,
    },
    /// KL to the base needs the base: training the whole model changes it.
    #[error("KL to the base needs a frozen copy of the base when the whole model is trained")]
    NoBase,
}

/// What is trained.
#[derive(Debug)]
enum Trained {
    Adapter {
        weights: LoraWeights,
        state: OptimiserState,
    },
    Full {
        weights: FullWeights,
        states: Vec<OptimiserState>,
    },
}

/// Everything a run needs to go on from where it stopped, to the same bits. It can be as large as three models and is
/// borrowed for that reason: from a trainer or from wherever it was kept, in any number of parts.
#[derive(Debug, Clone)]
pub struct TrainerState<'a> {
    /// Steps taken.
    pub step: u64,
    /// Weights, tensor after tensor.
    pub weights: Vec<&'a [f32]>,
    /// First moments or velocities, in the same order; no values if the rule has none.
    pub first: Vec<&'a [f32]>,
    /// Second moments; no values if the rule has none.
    pub second: Vec<&'a [f32]>,
}

/// A model in training.
#[derive(Debug)]
pub struct Trainer {
    model: Model,
    trained: Trained,
    settings: TrainSettings,
    gradients: Gradients,
    workers: Vec<Worker>,
    kept_bytes: usize,
    step: u64,
}

impl Trainer {
    /// Begins to train an adapter; the model stays as it is.
    ///
    /// `kept_bytes` bounds the activations a thread keeps for the backward pass; what does not fit is computed again,
    /// to the same bits.
    ///
    /// # Errors
    /// If the model was not loaded for training or the adapter is not one for it.
    pub fn adapter(
        model: Model,
        weights: LoraWeights,
        settings: TrainSettings,
        threads: usize,
        kept_bytes: usize,
    ) -> Result<Self, TrainError> {
        weights.check_model(&model.config)?;
        let state = OptimiserState::new(&settings.optimiser, weights.values().len());
        let gradients = Gradients::of_adapter(&weights, &model.config);
        let trained = Trained::Adapter { weights, state };
        Self::new(model, trained, settings, gradients, threads, kept_bytes)
    }

    /// Begins to train every weight of a model.
    ///
    /// # Errors
    /// If the model was not loaded for training or a weight is not finite.
    pub fn full(
        model: Model,
        checkpoint: &dyn Checkpoint,
        settings: TrainSettings,
        threads: usize,
        kept_bytes: usize,
    ) -> Result<Self, TrainError> {
        let weights = FullWeights::read(checkpoint)?;
        let states = weights
            .tensors()
            .iter()
            .map(|(_, values)| OptimiserState::new(&settings.optimiser, values.len()))
            .collect();
        let gradients = Gradients::of_model(&model.config);
        let trained = Trained::Full { weights, states };
        Self::new(model, trained, settings, gradients, threads, kept_bytes)
    }

    fn new(
        model: Model,
        trained: Trained,
        settings: TrainSettings,
        gradients: Gradients,
        threads: usize,
        kept_bytes: usize,
    ) -> Result<Self, TrainError> {
        if model.embedding.backward.is_none() {
            return Err(TrainError::NotForTraining);
        }
        Ok(Self {
            model,
            trained,
            settings,
            gradients,
            workers: (0..threads.max(1)).map(|_| Worker::default()).collect(),
            kept_bytes,
            step: 0,
        })
    }

    /// Returns the number of optimiser steps taken.
    pub fn steps_taken(&self) -> u64 {
        self.step
    }

    /// Returns the model: as it was loaded, or as it is now if it is trained as a whole.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Returns the adapter's weights, unless the whole model is trained.
    pub fn adapter_weights(&self) -> Option<&LoraWeights> {
        match &self.trained {
            Trained::Adapter { weights, .. } => Some(weights),
            Trained::Full { .. } => None,
        }
    }

    /// Returns the model's weights, if the whole model is trained.
    pub fn full_weights(&self) -> Option<&FullWeights> {
        match &self.trained {
            Trained::Adapter { .. } => None,
            Trained::Full { weights, .. } => Some(weights),
        }
    }

    /// Packs the adapter as it is now, for sampling and scoring with [`Trainer::model`].
    pub fn packed_adapter(&self) -> Option<Adapter> {
        let weights = self.adapter_weights()?;
        Some(Adapter::new(
            weights,
            self.model.config.layers,
            self.model.set,
        ))
    }

    /// Takes one optimiser step over `rows`.
    ///
    /// The loss is the mean over all completion tokens of the batch. `teacher`, if given, replaces stored labels by its
    /// whole distribution; `base` is what [`TrainSettings::base_kl`] refers to, by default the model without adapter.
    ///
    /// # Errors
    /// [`TrainError`]; weights and state are then as before the step.
    pub fn step(
        &mut self,
        rows: &[&TrainingRow],
        teacher: Option<Guide<'_>>,
        base: Option<Guide<'_>>,
    ) -> Result<StepReport, TrainError> {
        self.check(rows, teacher.is_some())?;
        self.gradients.clear();
        let n = completion_tokens(rows.iter().copied());
        let loss = self.run(rows, teacher, base, Mode::Train)? / n as f64;

        let rate_factor = self
            .settings
            .schedule
            .factor(self.step, self.settings.steps);
        let mut flat = Vec::new();
        if let Trained::Adapter { weights, .. } = &self.trained {
            self.gradients.flatten_adapter(weights, &mut flat);
        }
        let norm = match &self.trained {
            Trained::Adapter { .. } => gradient_norm([&flat[..]]),
            Trained::Full { weights, .. } => {
                let mut norm_of = Vec::new();
                for (tensor, _) in weights.tensors() {
                    norm_of.push(self.gradients.norm_of(*tensor));
                }
                norm_of.iter().map(|norm| norm * norm).sum::<f64>().sqrt()
            }
        };
        if !norm.is_finite() || !loss.is_finite() {
            return Err(TrainError::Diverged {
                step: self.step,
                norm,
                loss,
            });
        }
        let factor = self
            .settings
            .clip
            .map_or(1.0, |limit| clip_factor(norm, limit));
        match &mut self.trained {
            Trained::Adapter { weights, state } => {
                let optimiser = &self.settings.optimiser;
                state.step(optimiser, rate_factor, weights.values_mut(), &flat, factor);
            }
            Trained::Full { weights, states } => {
                for ((tensor, values), state) in weights.tensors_mut().iter_mut().zip(states) {
                    let (rows, _) = self.model.config.shape(*tensor);
                    let gradient = self.gradients.flatten(*tensor);
                    state.step += 1;
                    let mut update =
                        Update::at_step(&self.settings.optimiser, state.step, rate_factor);
                    // Vectors (norms, biases) are not decayed.
                    if rows == 1 {
                        update = update.without_decay();
                    }
                    update.apply(
                        values,
                        &gradient,
                        factor,
                        &mut state.first,
                        &mut state.second,
                    );
                }
                weights.pack_into(&mut self.model);
            }
        }
        self.step += 1;
        Ok(StepReport {
            loss,
            completion_tokens: n,
            tokens: rows.iter().map(|row| row.tokens().len()).sum(),
            gradient_norm: norm,
            rate_factor,
        })
    }

    /// Returns the mean loss over the completion tokens of `rows`, in nats; changes nothing.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn evaluate(
        &mut self,
        rows: &[&TrainingRow],
        teacher: Option<Guide<'_>>,
    ) -> Result<f64, TrainError> {
        self.check(rows, teacher.is_some())?;
        let n = completion_tokens(rows.iter().copied());
        Ok(self.run(rows, teacher, None, Mode::Evaluate)? / n as f64)
    }

    /// Runs all groups; returns the sum of the losses.
    fn run(
        &mut self,
        rows: &[&TrainingRow],
        teacher: Option<Guide<'_>>,
        base: Option<Guide<'_>>,
        mode: Mode,
    ) -> Result<f64, TrainError> {
        let adapter = self.packed_adapter();
        let base_weight = self
            .settings
            .base_kl
            .filter(|_| mode == Mode::Train)
            .map_or(0.0, |kl| kl.weight(self.step) as f32);
        let base = match (base_weight != 0.0, base, &self.trained) {
            (false, ..) => None,
            (true, Some(base), _) => Some(base),
            (true, None, Trained::Adapter { .. }) => Some(Guide {
                model: &self.model,
                adapter: None,
            }),
            (true, None, Trained::Full { .. }) => return Err(TrainError::NoBase),
        };
        let goal = Goal {
            objective: self.settings.objective,
            teacher,
            base: base.map(|base| (base, base_weight)),
            weight: 1.0 / completion_tokens(rows.iter().copied()) as f32,
        };
        let lengths: Vec<usize> = rows.iter().map(|row| row.tokens().len()).collect();
        let groups = groups(&lengths);
        let longest = groups
            .iter()
            .map(|group| lengths[group.clone()].iter().sum())
            .max()
            .unwrap_or(0);
        let per_block = Activations::bytes(&self.model.config, longest);
        let layers = self.model.config.layers;
        let student = Student {
            model: &self.model,
            adapter: adapter.as_ref(),
            first_kept: layers - (self.kept_bytes / per_block.max(1)).min(layers),
        };
        // Groups are taken in ascending order: the lowest one in work never waits for one that was not begun.
        let (next, losses) = (AtomicUsize::new(0), Mutex::new(vec![0.0; rows.len()]));
        let gradients = &self.gradients;
        std::thread::scope(|scope| {
            for worker in self.workers.iter_mut().take(groups.len()) {
                let (next, groups, losses) = (&next, &groups, &losses);
                scope.spawn(move || {
                    let _ends_waiting = EndsWaiting(gradients);
                    loop {
                        let order = next.fetch_add(1, Ordering::Relaxed);
                        let Some(group) = groups.get(order) else {
                            break;
                        };
                        let rows = &rows[group.clone()];
                        let found = match mode {
                            Mode::Train => worker.train(student, rows, goal, order, gradients),
                            Mode::Evaluate => worker.evaluate(student, rows, goal),
                        };
                        losses
                            .lock()
                            .expect("no thread panics while it holds the losses")[group.clone()]
                        .copy_from_slice(&found);
                    }
                });
            }
        });
        let losses = losses.into_inner().expect("all threads have ended well");
        Ok(losses.iter().sum())
    }

    fn check(&self, rows: &[&TrainingRow], live_teacher: bool) -> Result<(), TrainError> {
        if rows.is_empty() {
            return Err(TrainError::EmptyBatch);
        }
        for (row, content) in rows.iter().enumerate() {
            content
                .check(self.model.config.vocabulary, self.model.max_positions)
                .map_err(|source| TrainError::Row { row, source })?;
            let objective = self.settings.objective;
            let stored = objective != Objective::CrossEntropy && !live_teacher;
            if stored && content.soft().is_none() {
                return Err(TrainError::NoSoftLabels { row, objective });
            }
        }
        Ok(())
    }

    /// Returns everything needed to go on later.
    pub fn state(&self) -> TrainerState<'_> {
        let tensors: Vec<(&[f32], &OptimiserState)> = match &self.trained {
            Trained::Adapter { weights, state } => vec![(weights.values(), state)],
            Trained::Full { weights, states } => {
                let values = weights.tensors().iter().map(|(_, values)| &values[..]);
                values.zip(states).collect()
            }
        };
        let states = || tensors.iter().map(|(_, state)| state);
        TrainerState {
            step: self.step,
            weights: tensors.iter().map(|(values, _)| *values).collect(),
            first: states().map(|state| &state.first[..]).collect(),
            second: states().map(|state| &state.second[..]).collect(),
        }
    }

    /// Goes on from a saved state: later steps give the bits they would have given then.
    ///
    /// # Errors
    /// If the state is not one of this run.
    pub fn restore(&mut self, saved: &TrainerState<'_>) -> Result<(), TrainError> {
        let present = self.state();
        for (found, expected) in [
            (&saved.weights, present.weights),
            (&saved.first, present.first),
            (&saved.second, present.second),
        ] {
            let count = |parts: &[&[f32]]| parts.iter().map(|part| part.len()).sum();
            let (found, expected) = (count(found), count(&expected));
            if found != expected {
                return Err(TrainError::State { found, expected });
            }
        }
        let (mut weights, mut first, mut second) = (
            saved.weights.iter().copied().flatten(),
            saved.first.iter().copied().flatten(),
            saved.second.iter().copied().flatten(),
        );
        let mut load = |values: &mut [f32], state: &mut OptimiserState| {
            take(&mut weights, values);
            take(&mut first, &mut state.first);
            take(&mut second, &mut state.second);
            state.step = saved.step;
        };
        match &mut self.trained {
            Trained::Adapter { weights, state } => load(weights.values_mut(), state),
            Trained::Full { weights, states } => {
                for ((_, values), state) in weights.tensors_mut().iter_mut().zip(states) {
                    load(values, state);
                }
                weights.pack_into(&mut self.model);
            }
        }
        self.step = saved.step;
        Ok(())
    }
}

/// Gives the sums up when its thread panics: the other threads would wait for it forever.
struct EndsWaiting<'a>(&'a Gradients);

impl Drop for EndsWaiting<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.give_up();
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Train,
    Evaluate,
}

/// Takes as many values as there is room for.
fn take<'a>(from: &mut impl Iterator<Item = &'a f32>, to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}
