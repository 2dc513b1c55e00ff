//! The step `lm/train`: an adapter, or the whole model, trained on rows.
//!
//! ```text
//! lm/train (model, rows, evaluation rows, teacher, start, how to train, seed) -> config, weights, log
//! ```
//! Now and then the whole state is kept, so an interrupted run goes on from there to the same bits. When is decided by
//! whoever started the work, and decides nothing.

mod guides;
mod kept;
mod log;
pub(crate) mod state;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use undertone_core::Seed;
use undertone_lm::examples::{Length, Plan, TrainingRow};
use undertone_lm::lora::{LoraConfig, LoraWeights};
use undertone_lm::loss::Objective;
use undertone_lm::model::LoadOptions;
use undertone_lm::train::{TrainSettings, Trainer};
use undertone_simd::Precision;
use undertone_store::{StepIdentity, StepKey, StepRecord};

use super::error::LmError;
use super::memory::{self, Guiding, Memory, Trainable};
use super::rows::RowFile;
use super::sample::rows_error;
use super::speech::{Ending, Prompting, SoftLabelUse, Speech, tokens_digest};
use super::step::LmBench;
use super::subject::{Loaded, Named, Subject};
use crate::error::LabError;

pub use guides::Guides;
pub use log::{Evaluation, LoggedStep, TrainingLog};

/// The version of the code behind the step.
const VERSION: u32 = 2;
/// The kind of the step.
const KIND: &str = "lm/train";
/// The output of every step; there is another for what was trained.
const LOG: &str = "log";
/// Evaluation rows that are in memory at a time.
const EVALUATION_ROWS: usize = 256;

/// What is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TrainedPart {
    /// An adapter of this shape.
    Adapter {
        /// Its shape.
        lora: LoraConfig,
    },
    /// Every weight.
    Full,
}

impl TrainedPart {
    /// Returns what an estimate of memory needs to know of it.
    pub(crate) fn trainable(&self) -> Trainable<'_> {
        match self {
            Self::Adapter { lora } => Trainable::Adapter(lora),
            Self::Full => Trainable::Full,
        }
    }
}

/// A live teacher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Teacher {
    /// The model.
    pub model: Named,
    /// Its adapter.
    pub adapter: Option<Named>,
}

/// Everything a trained model depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainRun {
    /// The model.
    pub model: Named,
    /// The adapter that training starts from, instead of a new one.
    pub adapter: Option<Named>,
    /// The file of rows.
    pub rows: Named,
    /// The file of rows that the loss is evaluated on.
    pub evaluation: Option<Named>,
    /// Optimiser steps after which it is, ascending; 0 is before the first. Without any, before the first and after the
    /// last.
    pub evaluate_at: Vec<u64>,
    /// The live teacher.
    pub teacher: Option<Teacher>,
    /// How prompts become texts.
    pub prompting: Prompting,
    /// What follows a completion that is given as text.
    pub ending: Ending,
    /// What is trained.
    pub trained: TrainedPart,
    /// How weights change.
    pub settings: TrainSettings,
    /// Rows of an optimiser step.
    pub batch_rows: u32,
    /// How long.
    pub length: Length,
    /// Names the initial weights and the order of rows.
    pub seed: Seed,
    /// The number format of products.
    pub precision: Precision,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainResult {
    /// The settings.
    pub settings: TrainRun,
    /// The step.
    pub step: StepKey,
    /// Trained weights.
    pub parameters: u64,
    /// Rows trained on.
    pub rows: u64,
    /// The line that the chat template added in the system's place.
    pub system_line: Option<String>,
    /// Exactly what the model was given first, without the completion.
    pub first_prompt: String,
    /// What every optimiser step did.
    pub log: TrainingLog,
}

/// What the work needs and what decides no bit of its result.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// Worker threads.
    pub threads: usize,
    /// Bytes of activations that a thread may keep for the backward pass.
    pub kept_bytes: usize,
    /// Says after a step whether the state is to be kept now.
    pub keep_now: &'a dyn Fn() -> bool,
}

/// A run that is ready to begin.
#[derive(Debug)]
pub struct TrainJob<'a> {
    /// What to do.
    pub run: TrainRun,
    /// The model.
    pub subject: &'a Subject,
    teacher: Option<&'a Subject>,
    rows: Vec<TrainingRow>,
    evaluation: Vec<TrainingRow>,
    plan: Plan,
    soft: SoftLabelUse,
    system_line: Option<String>,
    first_prompt: String,
}

/// The models and files of a run.
#[derive(Debug, Clone, Copy)]
pub struct TrainInputs<'a> {
    /// The model to train.
    pub subject: &'a Subject,
    /// The live teacher.
    pub teacher: Option<&'a Subject>,
    /// What to train on.
    pub rows: &'a RowFile,
    /// What to evaluate on.
    pub evaluation: Option<&'a RowFile>,
}

impl<'a> TrainJob<'a> {
    /// Encodes the rows and checks everything that can be checked before a model is loaded.
    ///
    /// `run.settings.steps` is set to what `run.length` comes to, and `run.evaluate_at` to its default.
    ///
    /// # Errors
    /// [`LmError`] if a row or a setting cannot be used.
    pub fn new(mut run: TrainRun, inputs: TrainInputs<'a>) -> Result<Self, LabError> {
        let subject = inputs.subject;
        let speech = Speech::new(subject, &run.prompting)?;
        let learns_labels = run.settings.objective != Objective::CrossEntropy;
        let soft = match learns_labels && inputs.teacher.is_none() {
            true => SoftLabelUse::Needed,
            false => SoftLabelUse::Ignored,
        };
        check_teacher(&inputs, learns_labels)?;
        let spoken = speech.prompts(inputs.rows).map_err(rows_error)?;
        let encode = |file| {
            speech
                .training_rows(file, run.ending, soft)
                .map_err(rows_error)
        };
        let rows = encode(inputs.rows)?;
        let evaluation = inputs.evaluation.map_or_else(|| Ok(Vec::new()), encode)?;
        if let TrainedPart::Adapter { lora } = &run.trained {
            lora.check().map_err(LmError::Lora)?;
        }
        let setting = |flag, problem: &str| LmError::Setting {
            flag,
            problem: problem.to_owned(),
        };
        let n = u32::try_from(rows.len()).map_err(|_| setting("ROWS", "more than 2^32 rows"))?;
        let plan = Plan::new(run.seed, n, run.batch_rows, run.length)
            .ok_or_else(|| setting("--batch", "at least 1"))?;
        let steps = plan.steps();
        run.settings.steps = steps;
        if inputs.evaluation.is_some() && run.evaluate_at.is_empty() {
            run.evaluate_at = if steps == 0 { vec![0] } else { vec![0, steps] };
        }
        if let Some(at) = run.evaluate_at.iter().find(|at| **at > steps) {
            let problem = format!("{at} is beyond the {steps} steps of the run");
            return Err(LmError::Setting {
                flag: "--eval-at",
                problem,
            }
            .into());
        }
        Ok(Self {
            system_line: spoken.iter().find_map(|prompt| prompt.system_line.clone()),
            first_prompt: spoken[0].text.clone(),
            run,
            subject,
            teacher: inputs.teacher,
            rows,
            evaluation,
            plan,
            soft,
        })
    }

    /// Returns the optimiser steps.
    pub fn steps(&self) -> u64 {
        self.plan.steps()
    }

    /// Returns the rows, encoded.
    pub fn rows(&self) -> &[TrainingRow] {
        &self.rows
    }

    /// Returns the tokens of all steps together.
    pub fn total_tokens(&self) -> u64 {
        let per_epoch: u64 = self.rows.iter().map(|row| row.tokens().len() as u64).sum();
        let epochs = self.steps() as f64 / self.plan.steps_per_epoch() as f64;
        (per_epoch as f64 * epochs) as u64
    }

    /// Returns the live teacher.
    pub fn teacher(&self) -> Option<&'a Subject> {
        self.teacher
    }

    /// Returns the line that the template added in the system's place, in any prompt.
    pub fn system_line(&self) -> Option<&str> {
        self.system_line.as_deref()
    }

    /// Returns exactly what the model is given first, without the completion.
    pub fn first_prompt(&self) -> &str {
        &self.first_prompt
    }

    /// Returns the tokens of the longest row.
    pub fn longest(&self) -> usize {
        let all = self.rows.iter().chain(&self.evaluation);
        all.map(|row| row.tokens().len()).max().unwrap_or(0)
    }

    /// Returns the memory that training needs, from sizes.
    pub fn memory(&self, means: Means<'_>) -> Memory {
        memory::training(
            self.subject.open.config(),
            self.run.precision,
            self.run.trained.trainable(),
            Guiding {
                teacher: self.teacher.map(|teacher| teacher.open.config()),
                base_kl: self.run.settings.base_kl.is_some(),
            },
            &self.run.settings.optimiser,
            means.kept_bytes,
            self.longest(),
            means.threads,
        )
    }

    /// Returns how the model is loaded.
    pub fn load_options(&self) -> LoadOptions {
        LoadOptions {
            gradients: true,
            ..self
                .subject
                .load_options(self.run.precision, self.longest())
        }
    }

    /// Returns what the step depends on.
    pub fn identity(&self) -> StepIdentity {
        let run = &self.run;
        let mut inputs = self.subject.inputs("");
        inputs.insert("rows".to_owned(), self.rows_digest(&self.rows));
        if !self.evaluation.is_empty() {
            inputs.insert("evaluation".to_owned(), self.rows_digest(&self.evaluation));
        }
        if let Some(teacher) = self.teacher {
            inputs.extend(teacher.inputs("teacher-"));
        }
        StepIdentity {
            kind: KIND.to_owned(),
            version: VERSION,
            params: json!({
                "trained": run.trained,
                "settings": run.settings,
                "batch_rows": run.batch_rows,
                "length": run.length,
                "evaluate_at": run.evaluate_at,
                "precision": run.precision,
            }),
            inputs,
            seed: run.seed.0,
            index: 0,
        }
    }

    /// Digests what is learned from rows: prompts, completions and, where they count, soft labels.
    fn rows_digest(&self, rows: &[TrainingRow]) -> undertone_core::Digest {
        let mut sequences: Vec<Vec<u32>> = Vec::new();
        for row in rows {
            sequences.push(vec![row.positions().start as u32]);
            sequences.push(row.tokens().to_vec());
            if let Some(soft) = row.soft().filter(|_| self.soft == SoftLabelUse::Needed) {
                sequences.push(vec![soft.k as u32]);
                sequences.push(soft.ids.clone());
                sequences.push(
                    soft.log_probabilities
                        .iter()
                        .map(|value| value.to_bits())
                        .collect(),
                );
            }
        }
        tokens_digest(sequences.iter().map(Vec::as_slice))
    }

    /// Loads the model and begins to train it.
    ///
    /// # Errors
    /// If the model cannot be loaded or the adapter is not one for it.
    pub fn trainer(&self, means: Means<'_>) -> Result<Trainer, LabError> {
        let run = &self.run;
        let Loaded { model, .. } = self.subject.load(self.load_options())?;
        let (settings, threads) = (run.settings.clone(), means.threads);
        let trainer = match &run.trained {
            TrainedPart::Adapter { lora } => {
                let start = match &self.subject.adapter {
                    Some(adapter) => adapter.weights.clone(),
                    None => LoraWeights::initial(lora.clone(), model.config(), run.seed)
                        .map_err(LmError::Lora)?,
                };
                Trainer::adapter(model, start, settings, threads, means.kept_bytes)
            }
            TrainedPart::Full => {
                let checkpoint = self.subject.checkpoint();
                Trainer::full(model, checkpoint, settings, threads, means.kept_bytes)
            }
        };
        Ok(trainer.map_err(LmError::Train)?)
    }

    /// Loads the models that training looks at: the teacher, and the base where training changes it.
    ///
    /// # Errors
    /// If one cannot be loaded.
    pub fn guides(&self) -> Result<Guides, LabError> {
        let load = |subject: &Subject| {
            subject.load(subject.load_options(self.run.precision, self.longest()))
        };
        let needs_base =
            self.run.settings.base_kl.is_some() && self.run.trained == TrainedPart::Full;
        Ok(Guides {
            teacher: self.teacher.map(load).transpose()?,
            base: needs_base.then(|| load(self.subject)).transpose()?,
        })
    }

    /// Returns the rows of every step from `first` on, until `sink` says that it is enough.
    pub(crate) fn batches(&self, first: u64) -> impl Iterator<Item = Vec<&TrainingRow>> {
        let mut kept: Option<(u64, Vec<u32>)> = None;
        (first..self.steps()).map(move |step| {
            let (epoch, place) = self.plan.batch(step);
            if kept.as_ref().is_none_or(|(of, _)| *of != epoch) {
                kept = Some((epoch, self.plan.order(epoch)));
            }
            let (_, order) = kept.as_ref().expect("set just now");
            order[place]
                .iter()
                .map(|row| &self.rows[*row as usize])
                .collect()
        })
    }

    /// Takes the first steps, at most `most`, hands the tokens of each to `watch`, and forgets them: a calibration.
    ///
    /// # Errors
    /// As [`TrainJob::step`].
    pub fn try_out(
        &self,
        means: Means<'_>,
        most: usize,
        watch: &mut dyn FnMut(u64),
    ) -> Result<(), LabError> {
        let mut trainer = self.trainer(means)?;
        let guides = self.guides()?;
        watch(0);
        for batch in self.batches(0).take(most) {
            let report = trainer
                .step(&batch, guides.teacher(), guides.base())
                .map_err(LmError::Train)?;
            watch(report.tokens as u64);
        }
        Ok(())
    }

    /// Returns the step's record, training what is not trained yet.
    ///
    /// # Errors
    /// If the store fails, training diverges, or the work is asked to stop; the state is kept then.
    pub fn step(&self, bench: &LmBench<'_>, means: Means<'_>) -> Result<StepRecord, LabError> {
        bench.step(
            &self.identity(),
            KIND,
            self.steps(),
            |unfinished, progress| {
                let mut trainer = self.trainer(means)?;
                let guides = self.guides()?;
                let mut log = TrainingLog::default();
                if let Some(kept) = progress.state.and_then(|bytes| state::decode(&bytes)) {
                    trainer.restore(&kept.state()).map_err(LmError::Train)?;
                    log = kept.log;
                }
                let first = trainer.steps_taken();
                bench.tell_plan(self.steps(), first);
                let mut batches = self.batches(first);
                for step in first..=self.steps() {
                    if self.run.evaluate_at.contains(&step) {
                        let loss = self.evaluate(&mut trainer, &guides)?;
                        log.evaluations.push(Evaluation { step, loss });
                    }
                    let Some(batch) = batches.next() else { break };
                    let report = trainer
                        .step(&batch, guides.teacher(), guides.base())
                        .map_err(LmError::Train)?;
                    log.steps.push(LoggedStep::new(step, &report));
                    bench.control.passed(report.tokens as u64);
                    bench.control.worked(1);
                    let end = bench.control.go_on();
                    if end.is_err() || (means.keep_now)() {
                        unfinished.set_state(state::encode(&trainer.state(), &log)?)?;
                    }
                    end?;
                }
                self.outputs(&trainer, &log)
            },
        )
    }

    /// Returns the mean loss over the evaluation rows, in nats a completion token.
    pub(crate) fn evaluate(&self, trainer: &mut Trainer, guides: &Guides) -> Result<f64, LabError> {
        let (mut sum, mut n) = (0.0, 0);
        for chunk in self.evaluation.chunks(EVALUATION_ROWS) {
            let rows: Vec<&TrainingRow> = chunk.iter().collect();
            let tokens = undertone_lm::examples::completion_tokens(chunk);
            let loss = trainer
                .evaluate(&rows, guides.teacher())
                .map_err(LmError::Train)?;
            sum += loss * tokens as f64;
            n += tokens;
        }
        Ok(sum / n as f64)
    }

    /// Does the step and says what came out.
    ///
    /// # Errors
    /// As [`TrainJob::step`].
    pub fn result(&self, bench: &LmBench<'_>, means: Means<'_>) -> Result<TrainResult, LabError> {
        let record = self.step(bench, means)?;
        let log = self.log_bytes(bench, &record)?;
        let log = serde_json::from_slice(&log)
            .map_err(|source| LabError::Artefact { name: LOG, source })?;
        Ok(TrainResult {
            parameters: self.parameters()?,
            settings: self.run.clone(),
            step: record.key,
            rows: self.rows.len() as u64,
            system_line: self.system_line.clone(),
            first_prompt: self.first_prompt.clone(),
            log,
        })
    }

    /// Returns the number of trained weights.
    ///
    /// # Errors
    /// If the adapter cannot have its shape.
    pub fn parameters(&self) -> Result<u64, LabError> {
        let config = self.subject.open.config();
        Ok(match &self.run.trained {
            TrainedPart::Adapter { lora } => LoraWeights::zeros(lora.clone(), config)
                .map_err(LmError::Lora)?
                .values()
                .len() as u64,
            TrainedPart::Full => config.parameters(),
        })
    }
}

/// A teacher is for soft labels, and has to speak the student's tokens.
fn check_teacher(inputs: &TrainInputs<'_>, learns_labels: bool) -> Result<(), LabError> {
    let Some(teacher) = inputs.teacher else {
        return Ok(());
    };
    let problem = if !learns_labels {
        "it has nothing to say to the objective `ce`; use `--objective kl` or `reverse-kl`"
    } else if teacher.vocabulary != inputs.subject.vocabulary {
        "its vocabulary is not the student's"
    } else {
        return Ok(());
    };
    let problem = problem.to_owned();
    Err(LmError::Setting {
        flag: "--teacher",
        problem,
    }
    .into())
}
