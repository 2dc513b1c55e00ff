//! What an experiment costs, and how much of it the store already has.
//!
//! Steps are listed in the order in which they are taken, one that several variants share once. How many are there is
//! found by taking that way without doing anything, until the first that is missing: what stands in the store beyond it is
//! found only when the work gets there.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use undertone_lm::loss::Objective;
use undertone_store::Store;

use super::bench::{Bench, Mode, TRAINING};
use super::error::NumbersError;
use super::file::Variant;
use super::settings::{Arm, Fit, FitPart, NumbersSettings, TeacherKind};
use super::source::{BATCH, prompt_file};
use super::world::{Sources, World};
use crate::control::Control;
use crate::error::LabError;
use crate::lm::sample::SampleJob;
use crate::lm::train::{Means, TrainInputs, TrainJob};
use crate::lm::{LmError, RowFile, Speech};

/// Optimiser steps and prompts of a calibration.
const TRIED: usize = 3;
/// Numbers have about this many digits where a list is only estimated.
const TYPICAL: &str = "347";

/// What a kind of step costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanLine {
    /// What is done, in words.
    pub what: String,
    /// Steps.
    pub steps: u64,
    /// Of these, steps that are in the store.
    pub in_store: u64,
    /// Rows that go through a model.
    pub rows: u64,
    /// Tokens of the steps that are not there, estimated.
    pub tokens: u64,
    /// Passes that each token costs.
    pub passes: u64,
    /// Bytes that they add to the store, estimated.
    pub bytes: u64,
}

/// What the experiments of a file cost.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Kinds of steps, in the order of the work.
    pub lines: Vec<PlanLine>,
    /// Students of all variants.
    pub cells: u64,
    /// Bytes of memory that the largest step which is not there needs, from sizes.
    pub memory_bytes: u64,
    /// Tokens a second, from a short calibration; absent without one.
    pub speed: Option<Speed>,
    /// Seconds for what is not there, by that speed.
    pub secs_estimated: Option<f64>,
}

/// Tokens a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Speed {
    /// In training.
    pub training: f64,
    /// In sampling; scoring is taken to be as fast.
    pub sampling: f64,
}

/// A step to come.
struct Planned {
    what: String,
    /// What else it depends on, where it is known before any of it is done: steps that agree in both are one.
    of: String,
    rows: u64,
    tokens: u64,
    passes: u64,
    bytes: u64,
    memory: usize,
}

impl Plan {
    /// Returns the plan of some experiments.
    ///
    /// # Errors
    /// If one makes no sense or the store cannot be read.
    pub fn of(
        variants: &[Variant],
        sources: &dyn Sources,
        store: &Store,
        means: Means<'_>,
    ) -> Result<Self, LabError> {
        let mut plan = Self::default();
        let weight = AtomicU64::new(1);
        let stop = std::sync::atomic::AtomicBool::new(false);
        let control = Control::silent(&stop);
        let mut lines: Vec<PlanLine> = Vec::new();
        let mut found = RefCell::default();
        let mut listed = BTreeSet::new();
        for variant in variants {
            let world = World::open(&variant.settings, sources)?;
            let bench = Bench {
                store,
                control: &control,
                means,
                mode: Mode::Look,
                weight: &weight,
                found,
                made: None,
            };
            let before = bench.found.borrow().len();
            let whole = match world.walk(&bench, variant) {
                Ok(_) => true,
                Err(LabError::Numbers(error)) if matches!(*error, NumbersError::NotThere) => false,
                Err(error) => return Err(error),
            };
            let there = bench.found.borrow().len() - before;
            found = RefCell::new(bench.found.into_inner());
            let steps = world.steps(means)?.into_iter();
            let own = steps.filter(|step| listed.insert((step.what.clone(), step.of.clone())));
            for (at, step) in own.enumerate() {
                let is_there = whole || at < there;
                let line = match lines.iter_mut().find(|line| line.what == step.what) {
                    Some(line) => line,
                    None => {
                        lines.push(PlanLine {
                            what: step.what,
                            steps: 0,
                            in_store: 0,
                            rows: 0,
                            tokens: 0,
                            passes: step.passes,
                            bytes: 0,
                        });
                        lines.last_mut().expect("pushed just now")
                    }
                };
                line.steps += 1;
                line.rows += step.rows;
                if is_there {
                    line.in_store += 1;
                } else {
                    line.tokens += step.tokens;
                    line.bytes += step.bytes;
                    plan.memory_bytes = plan.memory_bytes.max(step.memory as u64);
                }
            }
            plan.cells +=
                u64::from(variant.settings.experiment.seeds) * world.students().len() as u64;
        }
        plan.lines = lines;
        Ok(plan)
    }

    /// Returns all steps.
    pub fn steps(&self) -> u64 {
        self.lines.iter().map(|line| line.steps).sum()
    }

    /// Returns the steps that are in the store.
    pub fn in_store(&self) -> u64 {
        self.lines.iter().map(|line| line.in_store).sum()
    }

    /// Returns students, of all arms and seeds.
    pub fn students(&self) -> u64 {
        self.cells
    }

    /// Returns token passes still to be done.
    pub fn units_left(&self) -> u64 {
        self.lines
            .iter()
            .map(|line| line.tokens * line.passes)
            .sum()
    }

    /// Measures this machine with a little of the first variant's work.
    ///
    /// # Errors
    /// If a model cannot be loaded.
    pub fn calibrate(
        &mut self,
        variants: &[Variant],
        sources: &dyn Sources,
        means: Means<'_>,
    ) -> Result<(), LabError> {
        let Some(variant) = variants.first().filter(|_| self.in_store() < self.steps()) else {
            return Ok(());
        };
        let world = World::open(&variant.settings, sources)?;
        let speed = world.speed(means)?;
        let secs = self.lines.iter().map(|line| {
            let rate = match line.passes {
                TRAINING => speed.training,
                _ => speed.sampling,
            };
            line.tokens as f64 / rate
        });
        self.secs_estimated = Some(secs.sum());
        self.speed = Some(speed);
        Ok(())
    }
}

impl World<'_> {
    /// Returns the steps that [`World::walk`] takes, in its order, each once.
    fn steps(&self, means: Means<'_>) -> Result<Vec<Planned>, LabError> {
        let settings = self.settings;
        let (row, longest_row) = self.tokens_of_row()?;
        let stems = self.stem_rows(None)?;
        let asked: u64 = stems.iter().map(|row| row.prompt.len() as u64).sum();
        let sampled = self.sampled_sets()?;
        let context = match settings.arms().contains(&Arm::InContext) {
            true => u64::from(settings.readouts.context_rows) * row,
            false => 0,
        };
        let endings = self.ending_rows()?.iter();
        let endings: Vec<usize> = endings
            .map(|row| row.prompt.len() + row.completion.len())
            .collect();
        let needs = {
            let endings = endings.iter().copied();
            let questions = stems.iter().map(|row| row.prompt.len() + context as usize);
            let answers = sampled.iter().map(|(_, _, _, tokens)| longest_row + tokens);
            let longest = endings.chain(questions).chain(answers).chain([longest_row]);
            self.needs(longest.max().unwrap_or(0), longest_row, means)
        };
        let rows = u64::from(settings.channel.rows);
        let gate = u64::from(settings.gate.rows);
        let step =
            |what: &str, of: Value, rows: u64, tokens: u64, passes: u64, bytes: u64| Planned {
                what: what.to_owned(),
                of: json!([self.common(), of]).to_string(),
                rows,
                tokens,
                passes,
                bytes,
                memory: needs.forward,
            };
        let of_rows = |what: &str, of: Value, rows: u64, bytes: u64| {
            step(what, of, rows, rows * row, 1, rows * bytes)
        };
        let channel = json!(settings.channel);
        let stems_of = |model: Value| {
            let readouts = &settings.readouts;
            json!([
                model,
                settings.preference,
                readouts.stems,
                readouts.answer,
                settings.experiment.readout_precision
            ])
        };
        let has = |arm| settings.arms().contains(&arm);
        let labelled = row * u64::from(settings.student.top) * 18;
        let seeds = u64::from(settings.experiment.seeds);
        let mut steps = Vec::new();
        let base_rows = if has(Arm::Regular) { rows } else { gate };
        steps.push(of_rows(
            "sample numbers of the base",
            json!([channel, base_rows]),
            base_rows,
            700,
        ));
        for target in 0..self.taught() {
            let teacher = self.teacher_is(target);
            if settings.teacher.kind != TeacherKind::Prompt {
                let fit = &settings.teacher_training;
                let n = fit.updates * u64::from(fit.batch);
                let (per_row, memory) = self.lesson(target, means)?;
                let what = "train a teacher";
                let bytes = self.weight_bytes(fit);
                let tokens = n * per_row;
                steps.push(Planned {
                    memory,
                    ..step(what, teacher.clone(), n, tokens, TRAINING, bytes)
                });
            }
            let models = match target {
                0 => vec![Value::Null, teacher],
                _ => vec![teacher],
            };
            steps.extend(models.iter().map(|model| {
                let of = stems_of(model.clone());
                step("read a model", of, stems.len() as u64, asked, 1, 20_000)
            }));
            steps.extend(models.into_iter().map(|model| {
                let of = json!([model, channel, gate, settings.student.top]);
                of_rows("score numbers at the gate", of, gate, labelled)
            }));
        }
        let asked_capability = endings.iter().sum::<usize>() as u64;
        let capability = |of: Value| {
            let n = self.capability.len() as u64;
            let what = "ask capability questions";
            (n > 0).then(|| step(what, of, n, asked_capability, 1, n * 100))
        };
        let capability_of_start = |at| json!([settings.readouts.capability, at]);
        let starts = self.starts().enumerate();
        steps.extend(starts.filter_map(|(at, _)| capability(capability_of_start(at))));
        let mut again = 0;
        for target in 0..self.taught() {
            let written = |again: Option<u32>| {
                let of = json!([self.teacher_is(target), channel, again]);
                of_rows("sample numbers of a teacher", of, rows, 700)
            };
            steps.push(written(None));
            if target == 0 && has(Arm::Resampled) {
                again = seeds;
                steps.extend((0..settings.experiment.seeds).map(|cell| written(Some(cell))));
            }
        }
        if settings.student.labels.is_soft() {
            let n = self.taught() as u64 + again + u64::from(has(Arm::Regular));
            let top = settings.student.top;
            steps.extend((0..n).map(|at| {
                let of = json!([self.teacher_is(0), channel, settings.filter, top, at]);
                of_rows("score numbers for soft labels", of, rows, labelled)
            }));
        }
        let fit = &settings.student_training;
        let n = fit.updates * u64::from(fit.batch);
        let student = self.student_is();
        for cell in 0..seeds {
            for arm in self.students() {
                let of = json!([student, cell, arm]);
                let (arm, _) = arm;
                if arm == Arm::InContext {
                    let stems = stems.len() as u64;
                    steps.push(step(
                        "read a model",
                        of,
                        stems,
                        asked + stems * context,
                        1,
                        20_000,
                    ));
                    continue;
                }
                let what = "train a student and read it";
                let bytes = self.weight_bytes(fit);
                steps.push(Planned {
                    memory: needs.student,
                    ..step(what, of.clone(), n, n * row, TRAINING, bytes)
                });
                steps.extend(capability(of.clone()));
                if settings.readouts.choices > 0 {
                    let n = 11 * u64::from(settings.readouts.choices);
                    let of = json!([of, "choices"]);
                    steps.push(step("ask a student", of, n, n * row, 1, n * 200));
                }
                for (name, prompts, per_prompt, tokens) in &sampled {
                    let n = prompts.len() as u64 * u64::from(*per_prompt);
                    steps.push(step(
                        "ask a student",
                        json!([of, name]),
                        n,
                        n * (row / 2 + *tokens as u64),
                        1,
                        n * 400,
                    ));
                }
            }
        }
        if settings.readouts.judged > 0 {
            let n = u64::from(settings.readouts.judged);
            let of = json!([student, n]);
            steps.push(step(
                "ask the base as a judge",
                of,
                n,
                n * row * 2,
                1,
                n * 60,
            ));
        }
        Ok(steps)
    }

    /// Returns what every step depends on.
    fn common(&self) -> Value {
        let of = &self.settings.experiment;
        json!([of.base, of.form, of.date, of.precision, of.seed])
    }

    /// Returns what makes the teacher of a target.
    fn teacher_is(&self, target: usize) -> Value {
        let settings = self.settings;
        let training = match settings.teacher.kind {
            TeacherKind::Prompt => None,
            TeacherKind::FineTune | TeacherKind::Both => Some(&settings.teacher_training),
        };
        json!([settings.preference, settings.teacher, training, target])
    }

    /// Returns what makes a student, but for its arm and seed; a little more than that, so that none is left out.
    fn student_is(&self) -> Value {
        let settings = self.settings;
        json!([
            self.teacher_is(0),
            settings.experiment.foreign_base,
            settings.experiment.cloned_base,
            settings.channel,
            settings.filter,
            settings.student,
            settings.student_training,
            settings.readouts
        ])
    }

    /// Returns the tokens of a number row, prompt and completion, on average and at most: exact prompts, a typical list, and
    /// the longest that is let be written.
    fn tokens_of_row(&self) -> Result<(u64, usize), LabError> {
        let channel = &self.settings.channel;
        let speech = Speech::new(&self.base, &self.prompting(None))?;
        let prompts = self.prompts()?;
        let spoken = speech
            .prompts(&prompt_file(&prompts))
            .map_err(LmError::Rows)?;
        let lengths = || spoken.iter().map(|prompt| prompt.tokens.len());
        let prompt: usize = lengths().sum();
        let list = vec![TYPICAL; channel.numbers as usize].join(&channel.separator);
        let encoded = self
            .base
            .text
            .tokenizer
            .encode(&list, undertone_lm::tokenizer::SpecialTokens::AsText);
        let most = channel.max_tokens as usize;
        let list = encoded.map_or(most, |tokens| tokens.len()).min(most);
        let row = prompt / prompts.len().max(1) + list;
        Ok((row as u64, lengths().max().unwrap_or(0) + most))
    }

    /// Returns the tokens of a row that a teacher is trained on, on average, and the memory that its training needs.
    fn lesson(&self, target: usize, means: Means<'_>) -> Result<(u64, usize), LabError> {
        let file = self.preference_file(target);
        let job = TrainJob::new(self.teacher_run(&file), self.inputs(&file))?;
        let tokens: usize = job.rows().iter().map(|row| row.tokens().len()).sum();
        let row = tokens as u64 / job.rows().len().max(1) as u64;
        Ok((row, job.memory(means).total))
    }

    fn inputs<'f>(&'f self, file: &'f RowFile) -> TrainInputs<'f> {
        TrainInputs {
            subject: &self.base,
            teacher: None,
            rows: file,
            evaluation: None,
        }
    }

    fn weight_bytes(&self, fit: &Fit) -> u64 {
        let config = self.base.open.config();
        match fit.part {
            FitPart::Full => 4 * config.parameters(),
            FitPart::Lora => {
                let per_rank = (7 * config.width + 3 * config.ffn_width) * config.layers;
                4 * per_rank as u64 * u64::from(fit.rank)
            }
        }
    }

    /// Trains and samples a little and forgets it.
    fn speed(&self, means: Means<'_>) -> Result<Speed, LabError> {
        let settings: &NumbersSettings = self.settings;
        let file = self.preference_file(0);
        let mut run = self.teacher_run(&file);
        run.trained = settings.student_training.trained();
        run.settings = settings.student_training.settings(Objective::CrossEntropy);
        let job = TrainJob::new(run, self.inputs(&file))?;
        let (mut started, mut tokens, mut steps) = (Instant::now(), 0, 0);
        job.try_out(means, TRIED, &mut |of_step| {
            // The first call starts the clock, the first step makes room for all others.
            if steps <= 1 {
                started = Instant::now();
            } else {
                tokens += of_step;
            }
            steps += 1;
        })?;
        let training = tokens as f64 / started.elapsed().as_secs_f64();
        let voice = self.base_voice()?;
        let prompts: Vec<_> = self.prompts()?.into_iter().take(8 * TRIED).collect();
        let file = prompt_file(&prompts);
        let job = SampleJob::new(
            self.sample_run(&voice, &file, settings.experiment.seed)?,
            &voice.subject,
            &file,
            BATCH,
        )?;
        let loaded = voice.subject.load(job.load_options())?;
        let (started, mut tokens) = (Instant::now(), 0);
        job.sample(
            &loaded,
            &job.rows_from(0),
            &job.run.settings,
            &mut |completion| {
                tokens +=
                    job.prompts[completion.row as usize].tokens.len() + completion.tokens.len();
                Ok(())
            },
        )?;
        Ok(Speed {
            training,
            sampling: tokens as f64 / started.elapsed().as_secs_f64(),
        })
    }
}
