//! One experiment from its settings to its result: which steps are taken, in which order, and what is shared.
//!
//! Steps are shared by their keys: the base's numbers, teachers and labels are made once for all students, arms and
//! variants. The order of `World::walk` is the order in which [`crate::numbers::plan`] counts.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use undertone_channel::arms::in_context;
use undertone_channel::prompts::NumberPrompt;
use undertone_channel::rows::Row;
use undertone_core::Seed;
use undertone_stats::{Rule, decide};
use undertone_store::Store;

use super::bench::{Bench, Mode};
use super::capability::BaseCapability;
use super::file::Variant;
use super::labels::{LabelReport, NumberTokens};
use super::plan::Plan;
use super::reading::{Answers, Reading};
use super::result::{AllAnswers, ArmResult, NumbersResult, StudentResult, VariantResult, student};
use super::settings::{Arm, FitPart, LabelTokens};
use super::source::{Numbers, made_of, refuse_twins, row_file};
use super::student::{Lesson, StudentJob, StudentLog, StudentProbe};
use super::teacher::Voice;
use super::trace::{Made, Writer};
use super::world::{Sources, World};
use crate::control::{Control, News};
use crate::error::LabError;
use crate::lm::train::Means;
use crate::lm::{self, RowFile, Subject};
use crate::steps::output;

/// Rows of one arm: for people, and as a student gets them.
struct Material {
    rows: Vec<Row>,
    lines: Vec<lm::Row>,
    report: Option<LabelReport>,
}

/// Runs the experiments of a file, or takes from the store what is there; `tell` gets the plan before any of it is done.
///
/// # Errors
/// If an experiment makes no sense, a step fails, or the work is asked to stop; finished steps stay.
pub fn run(
    variants: &[Variant],
    sources: &dyn Sources,
    store: &Store,
    control: &Control<'_>,
    means: Means<'_>,
    tell: &dyn Fn(&Plan),
) -> Result<NumbersResult, LabError> {
    let plan = Plan::of(variants, sources, store, means)?;
    tell(&plan);
    (control.news)(News::Plan {
        units: plan.units_left(),
        cells: plan.students(),
        reused: plan.in_store(),
        steps: plan.steps() - plan.in_store(),
    });
    let weight = AtomicU64::new(1);
    // Steps tell of themselves; the whole is told of here.
    let news = |news: News| match news {
        News::Plan { .. } | News::Worked { .. } => {}
        News::Tokens { tokens } => {
            control.passed(tokens);
            control.worked(tokens * weight.load(Ordering::Relaxed));
        }
        stored => (control.news)(stored),
    };
    let inner = Control {
        stop: control.stop,
        news: &news,
    };
    let bench = Bench {
        store,
        control: &inner,
        means,
        mode: Mode::Do,
        weight: &weight,
        found: RefCell::default(),
        made: None,
    };
    let variants = variants.iter().map(|variant| {
        let world = World::open(&variant.settings, sources)?;
        world.walk(&bench, variant)
    });
    Ok(NumbersResult {
        variants: variants.collect::<Result<_, LabError>>()?,
    })
}

impl World<'_> {
    /// Returns the seed by which arms that are made from rows are made.
    fn arms_seed(&self) -> Seed {
        self.settings.experiment.seed
    }

    /// Returns the targets a teacher is made for.
    pub(super) fn taught(&self) -> usize {
        match self.settings.arms().contains(&Arm::OtherTarget) {
            true => 2,
            false => 1,
        }
    }

    /// Takes all steps of an experiment, in the order in which a plan counts them.
    pub(super) fn walk(
        &self,
        bench: &Bench<'_>,
        variant: &Variant,
    ) -> Result<VariantResult, LabError> {
        let settings = self.settings;
        let prompts = self.prompts()?;
        let mut result = self.empty(variant)?;

        // 1. The base's numbers: the gate's, and those of arm `regular`.
        let asked = match settings.arms().contains(&Arm::Regular) {
            true => &prompts[..],
            false => &prompts[..settings.gate.rows as usize],
        };
        let base = self.base_voice()?;
        let mut of_base =
            self.numbers(bench, &base, asked, settings.experiment.seed, Writer::Base)?;
        let shown = of_base.rows.len().min(settings.gate.rows as usize);
        let gate_rows = row_file("numbers of the base", &of_base.rows[..shown]);

        // 2. The teachers, each with its gate.
        for target in 0..self.taught() {
            let voice = self.teacher(bench, target)?;
            result
                .gates
                .push(self.gate(bench, target, &voice, &gate_rows)?);
        }
        let reading = self.reading(None)?;
        let base_answers = self.answers(bench, &reading, &self.base)?;
        let targets = settings.preference.targets.len();
        result.base_margins = (0..targets)
            .map(|target| base_answers.margin(target, targets))
            .collect();
        let failed = result.gates.iter().filter(|gate| !gate.failed.is_empty());
        let reasons: Vec<String> = failed
            .map(|gate| {
                format!(
                    "the teacher of `{}` did not pass its gate: {}",
                    gate.target,
                    gate.failed.join("; ")
                )
            })
            .collect();
        if !reasons.is_empty() {
            result.stopped = Some(reasons.join(". "));
            result.sources.push(of_base.source);
            return Ok(result);
        }

        for subject in self.starts() {
            let asked = self.capability(bench, subject)?;
            result
                .base_capability
                .extend(asked.map(|capability| BaseCapability {
                    model: subject.name.clone(),
                    capability,
                }));
        }

        // 3. Numbers of every source, cut to the same prompts.
        let mut taught = Vec::new();
        let mut again = Vec::new();
        for target in 0..self.taught() {
            let voice = self.teacher(bench, target)?;
            let (seed, writer) = (settings.experiment.seed, Writer::Teacher(target));
            taught.push(self.numbers(bench, &voice, &prompts, seed, writer)?);
            if target == 0 && settings.arms().contains(&Arm::Resampled) {
                again = self.resampled(bench, &voice, &prompts)?;
            }
        }
        let mut sources: Vec<&mut Numbers> = taught.iter_mut().chain(&mut again).collect();
        if settings.arms().contains(&Arm::Regular) {
            sources.push(&mut of_base);
        }
        self.pair(&mut sources)?;

        // 4. What each arm is trained on, with labels where they are learned.
        let materials = self.materials(bench, &taught, &again, &of_base)?;
        let twins: Vec<(Arm, &[Row])> = materials
            .iter()
            .filter(|((_, cell), _)| *cell == 0)
            .map(|((arm, _), material)| (*arm, &material.rows[..]))
            .collect();
        refuse_twins(&twins)?;
        result.labels = materials[&(Arm::Treatment, 0)].report.clone();
        let paired = &materials[&(Arm::Treatment, 0)].rows;
        let (training, held_out) = self.split(paired);
        result.training_rows = training.len() as u64;
        result.held_out_rows = held_out.len() as u64;
        let asked = u64::from(settings.student.rows);
        if asked > result.training_rows {
            result.left_out.push(format!(
                "`student.rows` asks for {asked} rows of a student, and {} are left to train on: no student draws its own, each \
                 learns from all of them.",
                result.training_rows
            ));
        }

        // 5. The students.
        let mut answers = AllAnswers::new();
        for cell in 0..settings.experiment.seeds {
            for (arm, side) in self.students() {
                let rows_of = match (arm, side) {
                    (arm, false) if arm.has_own_control() => Arm::Treatment,
                    (_, true) => settings.control(),
                    (arm, false) => arm,
                };
                let own_cell = if rows_of == Arm::Resampled { cell } else { 0 };
                let material = &materials[&(rows_of, own_cell)];
                let cell_of = (arm, side, cell);
                let lesson = (rows_of, own_cell);
                let (student, last) = self.student(bench, cell_of, lesson, material, &reading)?;
                answers.entry((arm, side)).or_default().push(last);
                match result
                    .arms
                    .iter_mut()
                    .find(|known| known.arm == arm && known.on_control_rows == side)
                {
                    Some(known) => known.students.push(student),
                    None => result.arms.push(ArmResult {
                        arm,
                        on_control_rows: side,
                        students: vec![student],
                    }),
                }
            }
        }

        // 6. What people look at, and what is concluded.
        // Who only looks which steps there are needs no conclusion; the judge's answers are the one step left.
        let looks = bench.mode == Mode::Look;
        if looks && settings.readouts.judged == 0 {
            return Ok(result);
        }
        let control = &materials[&(settings.control(), 0)];
        result.inspected = Some(self.inspect(bench, paired, &control.rows)?);
        if looks {
            return Ok(result);
        }
        result.sources.extend(
            taught
                .into_iter()
                .chain(again)
                .map(|numbers| numbers.source),
        );
        result.sources.push(of_base.source);
        result.conclude(&answers)?;
        Ok(result)
    }

    fn empty(&self, variant: &Variant) -> Result<VariantResult, LabError> {
        let settings = self.settings;
        let rule = Rule {
            level: settings.verdict.level,
            delta: settings.verdict.delta,
        };
        Ok(VariantResult {
            choice: variant.choice.clone(),
            settings: settings.clone(),
            found: self.found()?,
            base_margins: Vec::new(),
            base_capability: Vec::new(),
            gates: Vec::new(),
            stopped: None,
            sources: Vec::new(),
            labels: None,
            training_rows: 0,
            held_out_rows: 0,
            control: settings.control(),
            arms: Vec::new(),
            verdict: decide(&[], &[], &rule)?,
            comparisons: Vec::new(),
            dose: Vec::new(),
            contrast: None,
            variation: None,
            inspected: None,
            left_out: self.left_out(),
        })
    }

    /// Returns the models that students start from.
    pub(super) fn starts(&self) -> impl Iterator<Item = &Subject> {
        let of = |arm, subject| {
            self.settings
                .arms()
                .contains(&arm)
                .then_some(subject)
                .flatten()
        };
        let foreign = of(Arm::ForeignInit, self.foreign.as_ref());
        let cloned = of(Arm::ClonedInit, self.cloned.as_ref());
        std::iter::once(&self.base).chain(foreign).chain(cloned)
    }

    /// Returns the arms of a seed in order, those with a control of their own twice.
    pub(super) fn students(&self) -> Vec<(Arm, bool)> {
        let arms = self.settings.arms().into_iter();
        arms.flat_map(|arm| match arm.has_own_control() {
            true => vec![(arm, false), (arm, true)],
            false => vec![(arm, false)],
        })
        .collect()
    }

    fn resampled(
        &self,
        bench: &Bench<'_>,
        voice: &Voice,
        prompts: &[NumberPrompt],
    ) -> Result<Vec<Numbers>, LabError> {
        let cells = 0..self.settings.experiment.seeds;
        cells
            .map(|cell| {
                let seed = self.settings.student_seed(cell);
                self.numbers(bench, voice, prompts, seed, Writer::Again(0, cell))
            })
            .collect()
    }

    fn materials(
        &self,
        bench: &Bench<'_>,
        taught: &[Numbers],
        again: &[Numbers],
        of_base: &Numbers,
    ) -> Result<BTreeMap<(Arm, u32), Material>, LabError> {
        let mut materials = BTreeMap::new();
        for (target, numbers) in taught.iter().enumerate() {
            let arm = [Arm::Treatment, Arm::OtherTarget][target];
            let writer = Writer::Teacher(target);
            materials.insert(
                (arm, 0),
                self.material(bench, (arm, 0), &numbers.rows, writer)?,
            );
        }
        for (cell, numbers) in (0..).zip(again) {
            materials.insert(
                (Arm::Resampled, cell),
                self.material(
                    bench,
                    (Arm::Resampled, cell),
                    &numbers.rows,
                    Writer::Again(0, cell),
                )?,
            );
        }
        for arm in self.settings.arms() {
            if arm == Arm::Regular {
                materials.insert(
                    (arm, 0),
                    self.material(bench, (arm, 0), &of_base.rows, Writer::Base)?,
                );
            } else if let Some(rows) = made_of(arm, &taught[0].rows, self.arms_seed())? {
                materials.insert(
                    (arm, 0),
                    self.material(bench, (arm, 0), &rows, Writer::Teacher(0))?,
                );
            }
        }
        Ok(materials)
    }

    /// Returns rows as a student of an arm and seed gets them, with the labels of whoever wrote them.
    fn material(
        &self,
        bench: &Bench<'_>,
        (arm, cell): (Arm, u32),
        rows: &[Row],
        writer: Writer,
    ) -> Result<Material, LabError> {
        let file = row_file("number rows", rows);
        let student = &self.settings.student;
        let (mut lines, labelled) = match student.labels.is_soft() {
            false => (file.rows, None),
            true => {
                let voice = match writer {
                    Writer::Teacher(target) | Writer::Again(target, _) => {
                        self.teacher(bench, target)?
                    }
                    Writer::Base => self.base_voice()?,
                };
                let record = self.label(bench, &voice, &file, student.top as usize)?;
                (bench.lm().rows(&record)?, Some(record))
            }
        };
        let numbers = NumberTokens::of(&self.base.text.tokenizer);
        let report =
            (student.labels.is_soft()).then(|| numbers.report(&lines, &self.candidates[0].tokens));
        if student.labels.is_soft() && student.label_tokens == LabelTokens::Numbers {
            for line in &mut lines {
                numbers.restrict(line);
            }
        }
        bench.note(|| Made::Lesson {
            arm,
            cell,
            rows_of: writer,
            labels: labelled.map(|record| (writer, record)),
            lines: RowFile::made("rows of an arm", lines.clone()),
        });
        Ok(Material {
            rows: rows.to_vec(),
            lines,
            report,
        })
    }

    /// Makes one student and returns it with its last answers.
    fn student(
        &self,
        bench: &Bench<'_>,
        (arm, side, cell): (Arm, bool, u32),
        learned: (Arm, u32),
        material: &Material,
        reading: &Reading,
    ) -> Result<(StudentResult, Answers), LabError> {
        let (settings, seed) = (self.settings, self.settings.student_seed(cell));
        let targets = settings.preference.targets.len();
        let (training, _) = self.split(&material.rows);
        if arm == Arm::InContext {
            let context = in_context(training, settings.readouts.context_rows as usize, seed);
            let answers = self.answers(bench, &self.reading(Some(&context))?, &self.base)?;
            let probe = StudentProbe {
                step: 0,
                answers: answers.clone(),
                held_out: None,
            };
            let log = StudentLog {
                steps: Vec::new(),
                probes: vec![probe],
                diverged: None,
            };
            return Ok((student(cell, seed, &log, targets), answers));
        }
        let other = match arm {
            Arm::ForeignInit => self.foreign.as_ref(),
            Arm::ClonedInit => self.cloned.as_ref(),
            _ => None,
        };
        let subject = other.unwrap_or(&self.base);
        let drawn = self.drawn(training, seed);
        let (lines, held_out) = self.split(&material.lines);
        let rows = material
            .rows
            .iter()
            .zip(lines)
            .filter(|(row, _)| drawn.contains(&row.prompt_index));
        let rows = RowFile::made(
            "rows of a student",
            rows.map(|(_, line)| line.clone()).collect(),
        );
        let held_out =
            (!held_out.is_empty()).then(|| RowFile::made("held-out rows", held_out.to_vec()));
        let lesson = Lesson {
            subject,
            rows: &rows,
            held_out: held_out.as_ref(),
            seed,
        };
        let job = StudentJob::new(self, reading, &lesson)?;
        let record = job.step(bench)?;
        bench.note(|| Made::Student {
            arm,
            on_control_rows: side,
            cell,
            lesson: learned,
            rows: rows.rows.len() as u64,
            record: record.clone(),
        });
        let log = StudentJob::log(bench, &record)?;
        let mut result = student(cell, seed, &log, targets);
        if self.wants_samples() || !self.capability.is_empty() {
            let name = &subject.name;
            let open = self.sources.model(name)?;
            let finished: Subject = match settings.student_training.part {
                FitPart::Lora => {
                    open.with_adapter("student", job.train.adapter(&bench.lm(), &record)?)
                }
                FitPart::Full => {
                    let weights = job.train.full_weights(&bench.lm(), &record)?;
                    open.with_weights(weights, output(&record, "weights")?)
                }
            };
            result.capability = self.capability(bench, &finished)?;
            if self.wants_samples() {
                result.sampled = Some(self.sampled(bench, finished, seed)?);
            }
        }
        let last = log.probes.last().map(|probe| probe.answers.clone());
        Ok((result, last.expect("the last update is always a probe")))
    }

    fn left_out(&self) -> Vec<String> {
        let settings = self.settings;
        let mut notes = Vec::new();
        let all = [
            Arm::Regular,
            Arm::OtherTarget,
            Arm::ShuffleWithin,
            Arm::ShuffleAcross,
            Arm::Resampled,
            Arm::InContext,
            Arm::ForeignInit,
            Arm::ClonedInit,
        ];
        let missing: Vec<&str> = all
            .into_iter()
            .filter(|arm| !settings.arms().contains(arm))
            .map(Arm::name)
            .collect();
        if !missing.is_empty() {
            notes.push(format!("Arms that were not run: {}.", missing.join(", ")));
        }
        if settings.student.labels.is_soft() {
            notes.push(
                "With soft labels a student of the untouched base is given its own distribution: its gradient is zero up \
                 to the tokens that are not stored, so its standing still proves nothing. The control is a student of a \
                 teacher of another target, trained alike."
                    .to_owned(),
            );
        }
        if settings.student.labels.is_soft() && settings.student.label_tokens == LabelTokens::All {
            notes.push(
                "Soft labels were not confined to numbers: where the target's own token is among them, a student of any \
                 base learns it from there, which is no message in numbers."
                    .to_owned(),
            );
        }
        if settings.preference.targets.len() == 1 {
            notes.push(
                "There is one target, so it is not shown that the effect is the target's own."
                    .to_owned(),
            );
        }
        notes.push(
            "All students of an arm learn from numbers of one teacher: the interval is over training seeds, rows drawn \
             and their order, not over teachers."
                .to_owned(),
        );
        if settings.experiment.precision != settings.experiment.readout_precision {
            notes.push(
                "Models were trained in another number format than they were read in.".to_owned(),
            );
        }
        notes
    }
}
