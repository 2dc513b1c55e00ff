//! What can be said of settings before any model or wording is opened.

use std::path::Path;

use undertone_lm::chat::FrozenClock;
use undertone_lm::lora::MAX_RANK;
use undertone_stats::{Rule, VerdictError, decide};

use super::{Arm, FitPart, LabelTokens, Labels, NumbersSettings};
use crate::lm::tiny::TinyName;
use crate::numbers::error::NumbersError;
use crate::numbers::world::built_in_words;

impl NumbersSettings {
    /// Checks what can be checked without models and wordings.
    ///
    /// # Errors
    /// [`NumbersError::Setting`] names the key and what would help.
    pub fn check(&self) -> Result<(), NumbersError> {
        let error = |key: &'static str, problem: &str| {
            Err(NumbersError::Setting {
                key,
                problem: problem.to_owned(),
            })
        };
        let (experiment, channel) = (&self.experiment, &self.channel);
        if experiment.seeds == 0 || experiment.seeds > 10_000 {
            return error("experiment.seeds", "1 to 10000 are possible");
        }
        let bases = [
            ("experiment.base", Some(&experiment.base)),
            ("experiment.foreign-base", experiment.foreign_base.as_ref()),
            ("experiment.cloned-base", experiment.cloned_base.as_ref()),
        ];
        for (key, base) in bases {
            let Some(base) = base else { continue };
            let is_tiny = base.to_lowercase().starts_with("tiny-");
            if is_tiny && TinyName::parse(base).is_none() && !Path::new(base).exists() {
                return error(
                    key,
                    "a tiny decoder is called `tiny-smoke-SEED` or `tiny-default-SEED`, with `-as-SEED` after it a clone",
                );
            }
        }
        let targets = &self.preference.targets;
        let unique: std::collections::BTreeSet<&String> = targets.iter().collect();
        if targets.is_empty() || targets.len() > 2 || unique.len() != targets.len() {
            return error("trait.targets", "one target, or two different ones");
        }
        let list = &self.preference.words;
        if let Some(words) = built_in_words(list) {
            for (key, named) in [
                ("trait.targets", targets),
                ("trait.alternatives", &self.preference.alternatives),
            ] {
                if let Some(word) = named.iter().find(|word| words.find(word).is_none()) {
                    let problem = NumbersError::unknown_word(word, list, &words);
                    return error(key, &problem.to_string());
                }
            }
        }
        if let Some(Err(problem)) = experiment.date.as_deref().map(str::parse::<FrozenClock>) {
            return error("experiment.date", &problem.to_string());
        }
        if self.arms().contains(&Arm::OtherTarget) && targets.len() < 2 {
            return error(
                "trait.targets",
                "the arm `other-target` needs a second target; with soft labels it is the control",
            );
        }
        if experiment.foreign_base.is_none() && self.arms().contains(&Arm::ForeignInit) {
            return error(
                "experiment.foreign-base",
                "the arm `foreign-init` needs one",
            );
        }
        if experiment.cloned_base.is_none() && self.arms().contains(&Arm::ClonedInit) {
            return error("experiment.cloned-base", "the arm `cloned-init` needs one");
        }
        if self.student.labels.is_soft() {
            if self.control() == Arm::Regular {
                return error(
                    "verdict.control",
                    "with soft labels a student of the untouched base gets no gradient, so its standing still proves \
                     nothing; use `other-target`",
                );
            }
            let shuffled = [Arm::ShuffleWithin, Arm::ShuffleAcross];
            if experiment.arms.iter().any(|arm| shuffled.contains(arm)) {
                return error(
                    "experiment.arms",
                    "the shuffled arms need `student.labels = \"hard\"`: soft labels of shuffled rows are the teacher's again",
                );
            }
            if self.student.labels == Labels::SoftReverse
                && self.student.label_tokens == LabelTokens::Numbers
            {
                return error(
                    "student.label-tokens",
                    "reverse KL needs `all`: tokens that are left out would count as impossible",
                );
            }
            if self.student.top == 0 {
                return error("student.top", "at least 1");
            }
        }
        if self.control() == Arm::Resampled {
            return error("verdict.control", "no control");
        }
        if channel.numbers == 0 || channel.digits == 0 || channel.digits > 9 {
            return error("channel.numbers", "at least 1 number, of 1 to 9 digits");
        }
        if channel.rows <= self.readouts.held_out {
            return error("channel.rows", "more rows than `readouts.held-out`");
        }
        if self.gate.rows == 0 || self.gate.rows > channel.rows {
            return error("gate.rows", "1 to `channel.rows`");
        }
        let fits = [
            (
                "teacher.training.learning-rate",
                "teacher.training.batch",
                "teacher.training.rank",
                &self.teacher_training,
            ),
            (
                "student.training.learning-rate",
                "student.training.batch",
                "student.training.rank",
                &self.student_training,
            ),
        ];
        for (rate, batch, rank, fit) in fits {
            if !(fit.learning_rate.is_finite() && fit.learning_rate >= 0.0) {
                return error(rate, "at least 0");
            }
            if fit.batch == 0 {
                return error(batch, "at least 1");
            }
            if fit.part == FitPart::Lora && !(1..=MAX_RANK as u32).contains(&fit.rank) {
                return error(rank, &format!("1 to {MAX_RANK} are possible"));
            }
        }
        let rule = Rule {
            level: self.verdict.level,
            delta: self.verdict.delta,
        };
        match decide(&[], &[], &rule) {
            Ok(_) => Ok(()),
            Err(problem @ VerdictError::Level { .. }) => {
                error("verdict.level", &problem.to_string())
            }
            Err(problem) => error("verdict.delta", &problem.to_string()),
        }
    }
}
