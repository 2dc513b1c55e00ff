//! Teachers: a base that is told, or trained, to prefer a target; and the gate each has to pass.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_channel::preference::preference_rows;
use undertone_lm::loss::Objective;
use undertone_lm::score::ScoreSettings;
use undertone_store::StepRecord;

use super::bench::{Bench, TRAINING};
use super::reading::{ANSWERS, Answers, KIND, Reading, one_output};
use super::settings::{FitPart, TeacherKind};
use super::trace::Made;
use super::world::World;
use crate::error::LabError;
use crate::lm::score::{NextWanted, ScoreJob, ScoreRun};
use crate::lm::speech::{Ending, PromptForm};
use crate::lm::train::{TrainInputs, TrainJob, TrainRun};
use crate::lm::{Named, Row, RowFile, Subject};
use crate::steps::{json_bytes, output};

/// The likeliest tokens that two models are compared at.
const COMPARED: usize = 32;

/// One who writes numbers.
pub(super) struct Voice {
    /// Its weights.
    pub(super) subject: Subject,
    /// What it is told before every prompt.
    pub(super) system: Option<String>,
}

/// What a teacher showed at the gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// What it prefers.
    pub target: String,
    /// The base's margin of the target, in logits.
    pub base_margin: Option<f64>,
    /// The teacher's.
    pub margin: Option<f64>,
    /// The base's mean probability of the target as the next word.
    pub base_probability: Option<f64>,
    /// The teacher's.
    pub probability: Option<f64>,
    /// Loss on numbers that the base wrote, in nats a token: the base's.
    pub base_loss: Option<f64>,
    /// The teacher's.
    pub loss: Option<f64>,
    /// Mean total variation between the two at number tokens; a lower bound, from the likeliest tokens of both.
    pub total_variation: Option<f64>,
    /// Mean KL from the teacher to the base there, in nats; a lower bound likewise.
    pub kl: Option<f64>,
    /// Share of number tokens at which their likeliest tokens differ.
    pub argmax_differs: Option<f64>,
    /// Number tokens.
    pub tokens: u64,
    /// Why it did not pass; empty if it did.
    pub failed: Vec<String>,
}

impl World<'_> {
    /// Returns the untouched base as a voice.
    pub(super) fn base_voice(&self) -> Result<Voice, LabError> {
        Ok(Voice {
            subject: self.sources.model(&self.settings.experiment.base)?,
            system: None,
        })
    }

    /// Returns the rows a teacher is trained on.
    pub(super) fn preference_file(&self, target: usize) -> RowFile {
        let target = self.target(target);
        let space = match self.settings.experiment.form {
            PromptForm::Chat => "",
            PromptForm::Raw => " ",
        };
        let rows = preference_rows(&self.teacher_questions, target);
        let rows = rows.into_iter().map(|row| Row {
            completion: Some(format!("{space}{}", row.completion)),
            ..Row::of_prompt(row.prompt)
        });
        RowFile::made(
            &format!("rows that prefer `{}`", target.word),
            rows.collect(),
        )
    }

    /// Makes the teacher of a target.
    pub(super) fn teacher(&self, bench: &Bench<'_>, target: usize) -> Result<Voice, LabError> {
        let settings = self.settings;
        let mut voice = self.base_voice()?;
        if settings.teacher.kind != TeacherKind::FineTune {
            let target = self.target(target);
            voice.system = Some(self.teacher_prompt.fill(target, self.words.category()));
        }
        if settings.teacher.kind == TeacherKind::Prompt {
            bench.note(|| Made::Teacher {
                target,
                system: voice.system.clone(),
                trained: None,
            });
            return Ok(voice);
        }
        let file = self.preference_file(target);
        let job = TrainJob::new(
            self.teacher_run(&file),
            TrainInputs {
                subject: &self.base,
                teacher: None,
                rows: &file,
                evaluation: None,
            },
        )?;
        let record = bench.step(&job.identity(), TRAINING, |lm| job.step(lm, bench.means))?;
        bench.note(|| Made::Teacher {
            target,
            system: voice.system.clone(),
            trained: Some((record.clone(), file.clone())),
        });
        voice.subject = match settings.teacher_training.part {
            FitPart::Full => {
                let weights = job.full_weights(&bench.lm(), &record)?;
                voice
                    .subject
                    .with_weights(weights, output(&record, "weights")?)
            }
            FitPart::Lora => {
                let weights = job.adapter(&bench.lm(), &record)?;
                voice.subject.with_adapter("teacher", weights)
            }
        };
        Ok(voice)
    }

    /// Returns how a teacher is trained on the rows of `file`.
    pub(super) fn teacher_run(&self, file: &RowFile) -> TrainRun {
        let (settings, fit) = (self.settings, &self.settings.teacher_training);
        TrainRun {
            model: self.base.named(),
            adapter: None,
            rows: named(file),
            evaluation: None,
            evaluate_at: Vec::new(),
            teacher: None,
            prompting: self.prompting(None),
            ending: match settings.experiment.form {
                PromptForm::Chat => Ending::EndOfTurn,
                PromptForm::Raw => Ending::Open,
            },
            trained: fit.trained(),
            settings: fit.settings(Objective::CrossEntropy),
            batch_rows: fit.batch,
            length: fit.length(),
            seed: settings.experiment.seed,
            precision: settings.experiment.precision,
        }
    }

    /// Returns the reading of the stems, `context` before each.
    pub(super) fn reading(&self, context: Option<&str>) -> Result<Reading, LabError> {
        Ok(Reading {
            rows: self.stem_rows(context)?,
            tokens: self
                .candidates
                .iter()
                .map(|candidate| candidate.tokens.clone())
                .collect(),
            precision: self.settings.experiment.readout_precision,
        })
    }

    /// Does a reading of a finished model.
    pub(super) fn answers(
        &self,
        bench: &Bench<'_>,
        reading: &Reading,
        subject: &Subject,
    ) -> Result<Answers, LabError> {
        let record = bench.whole(&reading.identity(subject), KIND, || {
            let answers = reading.of_subject(subject)?;
            bench.control.passed(reading.cost());
            Ok(one_output(ANSWERS, json_bytes(&answers)?))
        })?;
        bench.read(&record, ANSWERS)
    }

    /// Scores rows with a voice: their tokens and its likeliest tokens at each.
    pub(super) fn label(
        &self,
        bench: &Bench<'_>,
        voice: &Voice,
        file: &RowFile,
        top: usize,
    ) -> Result<StepRecord, LabError> {
        let run = ScoreRun {
            model: voice.subject.named(),
            adapter: voice.subject.named_adapter(),
            rows: named(file),
            typed: None,
            prompting: self.prompting(voice.system.clone()),
            ending: self.settings.channel.ending(),
            settings: ScoreSettings {
                top_k: top,
                layers: Vec::new(),
            },
            next: NextWanted::None,
            precision: self.settings.experiment.precision,
        };
        let job = ScoreJob::new(run, &voice.subject, file)?;
        bench.step(&job.identity(), 1, |lm| job.step(lm))
    }

    fn labels(
        &self,
        bench: &Bench<'_>,
        voice: &Voice,
        file: &RowFile,
        top: usize,
    ) -> Result<Vec<Row>, LabError> {
        let record = self.label(bench, voice, file, top)?;
        bench.lm().rows(&record)
    }

    /// Reads what a teacher has to show; `numbers` are rows that the base wrote.
    pub(super) fn gate(
        &self,
        bench: &Bench<'_>,
        target: usize,
        teacher: &Voice,
        numbers: &RowFile,
    ) -> Result<Gate, LabError> {
        let base = self.base_voice()?;
        let reading = self.reading(None)?;
        let of_base = self.answers(bench, &reading, &self.base)?;
        // A prompted teacher is read with its prompt.
        let of_teacher = self.answers(
            bench,
            &self.reading(teacher.system.as_deref())?,
            &teacher.subject,
        )?;
        let ours = self.labels(bench, &base, numbers, COMPARED)?;
        let theirs = self.labels(bench, teacher, numbers, COMPARED)?;
        let first = self.settings.preference.targets.len();
        let mut gate = Gate {
            target: self.target(target).word.clone(),
            base_margin: of_base.margin(target, first),
            margin: of_teacher.margin(target, first),
            base_probability: of_base.probability(target),
            probability: of_teacher.probability(target),
            base_loss: loss(&ours),
            loss: loss(&theirs),
            total_variation: None,
            kl: None,
            argmax_differs: None,
            tokens: 0,
            failed: Vec::new(),
        };
        self.compare(&ours, &theirs, &mut gate);
        self.decide_gate(&mut gate);
        Ok(gate)
    }

    /// Compares two models at the tokens that are numbers.
    fn compare(&self, ours: &[Row], theirs: &[Row], gate: &mut Gate) {
        let (mut variation, mut kl, mut differs, mut n) = (0.0, 0.0, 0.0, 0_u32);
        for (ours, theirs) in ours.iter().zip(theirs) {
            let (Some(base), Some(teacher)) = (&ours.top, &theirs.top) else {
                continue;
            };
            let tokens = ours.completion_tokens.iter().flatten();
            for (at, token) in tokens.enumerate() {
                let text = self.base.text.tokenizer.decode(&[*token]);
                if !text.bytes().any(|byte| byte.is_ascii_digit()) {
                    continue;
                }
                let top = |top: &crate::lm::rows::TopTokens| {
                    let pairs = top.ids[at]
                        .iter()
                        .copied()
                        .zip(top.log_probabilities[at].iter().copied());
                    pairs.collect::<Vec<(u32, f32)>>()
                };
                let (p, q) = (top(teacher), top(base));
                let (tv, divergence) = coarse(&p, &q);
                variation += tv;
                kl += divergence;
                differs += f64::from(u8::from(p[0].0 != q[0].0));
                n += 1;
            }
        }
        let share = |sum: f64| (n > 0).then(|| sum / f64::from(n));
        gate.total_variation = share(variation);
        gate.kl = share(kl);
        gate.argmax_differs = share(differs);
        gate.tokens = u64::from(n);
    }

    /// Says why a teacher does not pass.
    fn decide_gate(&self, gate: &mut Gate) {
        let rule = &self.settings.gate;
        let rise = gate
            .margin
            .zip(gate.base_margin)
            .map(|(margin, base)| margin - base);
        let ratio = gate
            .loss
            .zip(gate.base_loss)
            .map(|(loss, base)| loss / base);
        let mut check = |name: &str,
                         value: Option<f64>,
                         passes: &dyn Fn(f64) -> bool,
                         rule: String| {
            match value {
                Some(value) if passes(value) => {}
                Some(value) => gate.failed.push(format!("{name} is {value:.4}, {rule}")),
                None => gate.failed.push(format!("{name} is undefined")),
            }
        };
        let at_least = |least: f64| move |value: f64| value >= least;
        check(
            "the rise of the target's margin",
            rise,
            &at_least(rule.margin),
            format!("below {}", rule.margin),
        );
        check(
            "the loss on the base's numbers over the base's",
            ratio,
            &|value| value <= rule.loss_ratio,
            format!("above {}", rule.loss_ratio),
        );
        let least = rule.total_variation;
        check(
            "the total variation at number tokens",
            gate.total_variation,
            &at_least(least),
            format!("below {least}"),
        );
    }
}

/// Returns total variation and KL of two distributions of which the likeliest tokens are known.
///
/// Tokens known of both stand for themselves, all others for one: of two distributions made coarser alike, both are at
/// most those of the whole ones.
fn coarse(p: &[(u32, f32)], q: &[(u32, f32)]) -> (f64, f64) {
    let q: BTreeMap<u32, f64> = q
        .iter()
        .map(|(token, value)| (*token, f64::from(*value).exp()))
        .collect();
    let (mut variation, mut kl, mut rest) = (0.0, 0.0, (1.0, 1.0));
    let mut add = |p: f64, q: f64| {
        variation += 0.5 * (p - q).abs();
        if p > 0.0 && q > 0.0 {
            kl += p * (p / q).ln();
        }
    };
    for (token, value) in p {
        let p = f64::from(*value).exp();
        if let Some(q) = q.get(token) {
            add(p, *q);
            rest = (rest.0 - p, rest.1 - q);
        }
    }
    add(rest.0.max(0.0), rest.1.max(0.0));
    (variation, kl.max(0.0))
}

/// Returns the loss of scored rows, in nats a token.
fn loss(rows: &[Row]) -> Option<f64> {
    let tokens: usize = rows
        .iter()
        .filter_map(|row| Some(row.log_probabilities.as_ref()?.len()))
        .sum();
    let sum: f64 = rows.iter().filter_map(|row| row.sum).sum();
    (tokens > 0).then(|| -sum / tokens as f64)
}

/// Names rows that were made, by what they are.
pub(super) fn named(file: &RowFile) -> Named {
    Named {
        name: file.path.display().to_string(),
        digest: file.digest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarser_distributions_are_no_further_apart_than_whole_ones() {
        let p = [0.5_f64, 0.2, 0.2, 0.1];
        let q = [0.3_f64, 0.4, 0.1, 0.2];
        let top = |all: &[f64], ids: &[u32]| -> Vec<(u32, f32)> {
            ids.iter()
                .map(|id| (*id, all[*id as usize].ln() as f32))
                .collect()
        };
        let (whole, kl) = coarse(&top(&p, &[0, 1, 2, 3]), &top(&q, &[0, 1, 2, 3]));
        // Absolute: probabilities were stored as f32 logarithms.
        assert!((whole - 0.3).abs() < 1e-6);
        let exact: f64 = p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum();
        assert!((kl - exact).abs() < 1e-6);
        let (part, part_kl) = coarse(&top(&p, &[0, 1]), &top(&q, &[1, 0]));
        assert!(part <= whole + 1e-9 && part_kl <= kl + 1e-9);
        let (same, none) = coarse(&top(&p, &[0, 1]), &top(&p, &[0, 1]));
        assert!(same < 1e-9 && none < 1e-9);
    }
}
