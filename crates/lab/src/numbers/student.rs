//! The step `numbers/student`: a student trained on number rows, and read while it trains.
//!
//! ```text
//! numbers/student (base, rows, held-out rows, questions, how to train, seed) -> weights, log
//! ```
//! It is [`crate::lm::train`]'s step with readouts between updates, so that a dose curve costs one training run and its
//! schedule is that of the whole run. Interrupted, it goes on from its last kept state.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use undertone_core::Seed;
use undertone_lm::train::{TrainError, Trainer};
use undertone_store::{StepIdentity, StepProgress, StepRecord, UnfinishedStep};

use super::bench::{Bench, TRAINING};
use super::reading::{Answers, Reading};
use super::teacher::named;
use super::world::World;
use crate::error::LabError;
use crate::lm::train::{LoggedStep, TrainInputs, TrainJob, TrainRun, state};
use crate::lm::{LmError, RowFile, Subject};

/// The version of the code behind the step.
const VERSION: u32 = 2;
/// The kind of the step.
const KIND: &str = "numbers/student";

/// What a student did and said.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StudentLog {
    /// Its updates.
    pub steps: Vec<LoggedStep>,
    /// Its readouts.
    pub probes: Vec<StudentProbe>,
    /// The update at which its loss or gradient stopped being a number; it stayed as it was before.
    pub diverged: Option<u64>,
}

/// A student between two updates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StudentProbe {
    /// Updates it has had.
    pub step: u64,
    /// What it answers.
    pub answers: Answers,
    /// Mean loss on held-out rows of its own arm, in nats a completion token; `None` without such rows.
    pub held_out: Option<f64>,
}

/// A student that is ready to begin.
pub(super) struct StudentJob<'a> {
    pub(super) train: TrainJob<'a>,
    reading: &'a Reading,
    probes: Vec<u64>,
}

/// What one student is made from.
pub(super) struct Lesson<'a> {
    /// Its base.
    pub(super) subject: &'a Subject,
    /// What it is trained on.
    pub(super) rows: &'a RowFile,
    /// What its loss is read on.
    pub(super) held_out: Option<&'a RowFile>,
    /// Names its initial weights and the order of its rows.
    pub(super) seed: Seed,
}

impl<'a> StudentJob<'a> {
    pub(super) fn new(
        world: &World<'_>,
        reading: &'a Reading,
        lesson: &Lesson<'a>,
    ) -> Result<Self, LabError> {
        let (settings, fit) = (world.settings, &world.settings.student_training);
        let run = TrainRun {
            model: lesson.subject.named(),
            adapter: None,
            rows: named(lesson.rows),
            evaluation: lesson.held_out.map(named),
            evaluate_at: Vec::new(),
            teacher: None,
            prompting: world.prompting(None),
            ending: settings.channel.ending(),
            trained: fit.trained(),
            settings: fit.settings(settings.student.labels.objective()),
            batch_rows: fit.batch,
            length: fit.length(),
            seed: lesson.seed,
            precision: settings.experiment.precision,
        };
        let train = TrainJob::new(
            run,
            TrainInputs {
                subject: lesson.subject,
                teacher: None,
                rows: lesson.rows,
                evaluation: lesson.held_out,
            },
        )?;
        let probes = settings.probes();
        Ok(Self {
            train,
            reading,
            probes,
        })
    }

    /// Returns what the step depends on: what training does, and what is read.
    pub(super) fn identity(&self) -> StepIdentity {
        let mut identity = self.train.identity();
        identity
            .inputs
            .insert("questions".to_owned(), self.reading.digest());
        StepIdentity {
            kind: KIND.to_owned(),
            version: VERSION,
            params: json!({"train": identity.params, "probes": self.probes, "reading": self.reading.params()}),
            ..identity
        }
    }

    /// Returns the step's record, training and reading what is not there.
    pub(super) fn step(&self, bench: &Bench<'_>) -> Result<StepRecord, LabError> {
        let identity = self.identity();
        bench.step(&identity, TRAINING, |lm| {
            let total = self.train.steps();
            lm.step(&identity, KIND, total, |unfinished, progress| {
                self.work(bench, unfinished, progress)
            })
        })
    }

    /// Trains and reads from where an earlier attempt was kept.
    fn work(
        &self,
        bench: &Bench<'_>,
        unfinished: &mut UnfinishedStep,
        progress: StepProgress,
    ) -> Result<BTreeMap<String, Vec<u8>>, LabError> {
        let job = &self.train;
        let mut trainer = job.trainer(bench.means)?;
        let frozen = self.reading.frozen(job.subject, &trainer)?;
        let guides = job.guides()?;
        let mut log = StudentLog::default();
        if let Some(kept) = progress.state.and_then(|bytes| state::decode(&bytes)) {
            trainer.restore(&kept.state()).map_err(LmError::Train)?;
            log = kept.log;
        }
        let read = |trainer: &mut Trainer, step: u64| -> Result<StudentProbe, LabError> {
            Ok(StudentProbe {
                step,
                answers: self
                    .reading
                    .of_trainer(trainer, job.subject, frozen.as_ref())?,
                held_out: match job.run.evaluation {
                    Some(_) => Some(job.evaluate(trainer, &guides)?),
                    None => None,
                },
            })
        };
        let first = trainer.steps_taken();
        let mut batches = job.batches(first);
        for step in first..=job.steps() {
            if self.probes.contains(&step) {
                log.probes.push(read(&mut trainer, step)?);
            }
            let Some(batch) = batches.next() else { break };
            let report = match trainer.step(&batch, None, guides.base()) {
                Ok(report) => report,
                // Its weights are those before the step: a result, not a failure of the experiment.
                Err(TrainError::Diverged { step, .. }) => {
                    log.diverged = Some(step);
                    if log.probes.last().is_none_or(|probe| probe.step != step) {
                        log.probes.push(read(&mut trainer, step)?);
                    }
                    break;
                }
                Err(error) => return Err(LmError::Train(error).into()),
            };
            log.steps.push(LoggedStep::new(step, &report));
            bench.control.passed(report.tokens as u64);
            let end = bench.control.go_on();
            if end.is_err() || (bench.means.keep_now)() {
                unfinished.set_state(state::encode(&trainer.state(), &log)?)?;
            }
            end?;
        }
        job.outputs(&trainer, &log)
    }

    /// Returns the log of a finished student.
    pub(super) fn log(bench: &Bench<'_>, record: &StepRecord) -> Result<StudentLog, LabError> {
        bench.read(record, "log")
    }
}
