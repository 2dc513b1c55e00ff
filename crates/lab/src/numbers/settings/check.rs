//! What can be said of settings before any model or wording is opened.

use undertone_lm::chat::FrozenClock;
use undertone_lm::lora::MAX_RANK;

use super::{Arm, FitPart, LabelTokens, Labels, NumbersSettings};
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
        for (key, rank, fit) in [
            (
                "teacher.training",
                "teacher.training.rank",
                &self.teacher_training,
            ),
            (
                "student.training",
                "student.training.rank",
                &self.student_training,
            ),
        ] {
            let rate = fit.learning_rate;
            if !(rate.is_finite() && rate >= 0.0) || fit.batch == 0 {
                return error(
                    key,
                    "a learning rate of at least 0 and a batch of at least 1",
                );
            }
            if fit.part == FitPart::Lora && !(1..=MAX_RANK as u32).contains(&fit.rank) {
                return error(rank, &format!("1 to {MAX_RANK} are possible"));
            }
        }
        undertone_stats::decide(
            &[],
            &[],
            &undertone_stats::Rule {
                level: self.verdict.level,
                delta: self.verdict.delta,
            },
        )?;
        Ok(())
    }
}
