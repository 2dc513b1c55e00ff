//! What an experiment gave, and what is concluded from it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Seed;
use undertone_stats::{
    Estimate, Outcome, PermutationRule, PermutationTest, Rule, Verdict, decide, mean_t,
    paired_total_variation, sign_flip,
};

use super::capability::{BaseCapability, Capability};
use super::inspection::Inspected;
use super::labels::LabelReport;
use super::reading::mean;
use super::sampled::Sampled;
use super::settings::{Arm, NumbersSettings};
use super::source::Source;
use super::student::StudentLog;
use super::teacher::Gate;
use super::world::Found;
use crate::error::LabError;

/// What the experiments of a file gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NumbersResult {
    /// One for every variant.
    pub variants: Vec<VariantResult>,
}

/// What one experiment gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VariantResult {
    /// One name of each axis; empty if the file has none.
    pub choice: BTreeMap<String, String>,
    /// What it was.
    pub settings: NumbersSettings,
    /// What was found under the names in it.
    pub found: Found,
    /// The base's margin of every target, in logits.
    pub base_margins: Vec<Option<f64>>,
    /// How many capability questions the models that students start from answer; empty if none were asked.
    #[serde(default)]
    pub base_capability: Vec<BaseCapability>,
    /// What the teachers showed.
    pub gates: Vec<Gate>,
    /// Why no student was trained, if none was.
    pub stopped: Option<String>,
    /// Where the numbers came from.
    pub sources: Vec<Source>,
    /// What the treatment's soft labels hold beside numbers, before they were confined to them; `None` with hard labels.
    pub labels: Option<LabelReport>,
    /// Rows that students are drawn from.
    pub training_rows: u64,
    /// Rows kept for the loss on the channel.
    pub held_out_rows: u64,
    /// The arm the treatment is compared with.
    pub control: Arm,
    /// The students, arm by arm.
    pub arms: Vec<ArmResult>,
    /// Treatment against control: the first target's margin after the last update.
    pub verdict: Verdict,
    /// Every other arm against its control.
    pub comparisons: Vec<Comparison>,
    /// Treatment minus control after every probe.
    pub dose: Vec<Dose>,
    /// Whether each target's numbers raise that target more than the other's do.
    pub contrast: Option<SpecificityContrast>,
    /// How far the answers of treatment and control are apart.
    pub variation: Option<PermutationTest>,
    /// What inspection of the rows sees.
    pub inspected: Option<Inspected>,
    /// What the reader must know about what is missing or odd.
    pub left_out: Vec<String>,
}

/// The students of one arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArmResult {
    /// Which arm.
    pub arm: Arm,
    /// Whether these are the control of an arm that has one of its own: same base or prompt, the control's rows.
    pub on_control_rows: bool,
    /// One for every seed.
    pub students: Vec<StudentResult>,
}

/// One student.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StudentResult {
    /// Its number: what pairs students of different arms.
    pub cell: u32,
    /// Its training seed.
    pub seed: Seed,
    /// Its readouts, ascending.
    pub probes: Vec<ProbeResult>,
    /// The update at which its training diverged; it was read as it was before.
    pub diverged: Option<u64>,
    /// Loss of its first and last update, in nats a token; `None` without updates.
    pub losses: Option<(f64, f64)>,
    /// Readouts that take more than one token, for each target; `None` if none is wanted.
    pub sampled: Option<Vec<Sampled>>,
    /// How many capability questions it answers; `None` if none were asked.
    pub capability: Option<Capability>,
}

/// What was read between two updates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeResult {
    /// Updates before it.
    pub step: u64,
    /// The margin of every target, in logits.
    pub margins: Vec<Option<f64>>,
    /// The mean probability of every target as the next word.
    pub probabilities: Vec<Option<f64>>,
    /// Loss on held-out rows of its own arm, in nats a token.
    pub held_out: Option<f64>,
}

/// An arm against its control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The arm.
    pub arm: Arm,
    /// What it is compared with, in words.
    pub against: String,
    /// Transfer or not.
    pub verdict: Verdict,
    /// Where the arm has a control of its own on the other target's numbers: the same contrast as the treatment's.
    pub contrast: Option<SpecificityContrast>,
}

/// Treatment minus control after some updates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dose {
    /// Updates.
    pub step: u64,
    /// The paired difference of the first target's margin over seeds.
    pub effect: Option<Estimate>,
    /// The treatment's mean loss on held-out rows.
    pub held_out: Option<f64>,
}

/// Trained on x evaluated for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpecificityContrast {
    /// Change of the margin in training, from the base's or a foreign start's: `matrix[trained][evaluated]`, over seeds.
    pub matrix: [[Option<Estimate>; 2]; 2],
    /// For each target: how much more its own numbers raise its margin than the other's do, over seeds.
    #[serde(default)]
    pub own: [Option<Estimate>; 2],
    /// Half the sum, over targets, of how much more a target's own numbers raise it than the other's do; over seeds.
    pub effect: Option<Estimate>,
    /// Exchanging the two trained students of a seed.
    pub test: Option<PermutationTest>,
}

impl NumbersResult {
    /// Returns the outcome that holds for all variants; `Inconclusive` if they differ.
    pub fn outcome(&self) -> Outcome {
        let mut outcomes = self.variants.iter().map(|variant| variant.verdict.outcome);
        let first = outcomes.next().unwrap_or(Outcome::Inconclusive);
        match outcomes.all(|outcome| outcome == first) {
            true => first,
            false => Outcome::Inconclusive,
        }
    }
}

impl ArmResult {
    /// Returns the margin of a target after the last update, student by student.
    pub fn margins(&self, target: usize) -> Vec<f64> {
        let last = self
            .students
            .iter()
            .filter_map(|student| student.probes.last());
        last.filter_map(|probe| probe.margins[target]).collect()
    }

    /// Returns how far the margin of a target moved, student by student: from the base's, or, where students start from
    /// another model, from their own before the first update. Students of another model that were not asked then are left
    /// out: their margin minus the base's would be a difference of models.
    pub fn changes(&self, target: usize, base_margins: &[Option<f64>]) -> Vec<f64> {
        let from_base = !matches!(self.arm, Arm::ForeignInit | Arm::ClonedInit);
        let change = |student: &StudentResult| {
            let before = match from_base {
                true => base_margins[target]?,
                false => {
                    let first = student.probes.first().filter(|probe| probe.step == 0)?;
                    first.margins[target]?
                }
            };
            Some(student.probes.last()?.margins[target]? - before)
        };
        self.students.iter().filter_map(change).collect()
    }

    fn at(&self, step: u64) -> impl Iterator<Item = (u32, &ProbeResult)> {
        self.students.iter().filter_map(move |student| {
            let probe = student.probes.iter().find(|probe| probe.step == step)?;
            Some((student.cell, probe))
        })
    }
}

/// The answers behind the numbers, by arm, side and cell: what total variation is computed from.
pub(super) type AllAnswers = BTreeMap<(Arm, bool), Vec<super::reading::Answers>>;

/// Reads a student's log.
pub(super) fn student(cell: u32, seed: Seed, log: &StudentLog, targets: usize) -> StudentResult {
    let probes = log.probes.iter().map(|probe| ProbeResult {
        step: probe.step,
        margins: (0..targets)
            .map(|target| probe.answers.margin(target, targets))
            .collect(),
        probabilities: (0..targets)
            .map(|target| probe.answers.probability(target))
            .collect(),
        held_out: probe.held_out,
    });
    let losses = log.steps.first().zip(log.steps.last());
    StudentResult {
        cell,
        seed,
        probes: probes.collect(),
        diverged: log.diverged,
        losses: losses.map(|(first, last)| (first.loss, last.loss)),
        sampled: None,
        capability: None,
    }
}

impl VariantResult {
    /// Returns an arm's students.
    pub fn arm(&self, arm: Arm, on_control_rows: bool) -> Option<&ArmResult> {
        self.arms
            .iter()
            .find(|result| result.arm == arm && result.on_control_rows == on_control_rows)
    }

    /// Returns the variant's names; `None` if there is but one.
    pub fn name(&self) -> Option<String> {
        let names: Vec<&str> = self.choice.values().map(String::as_str).collect();
        (!names.is_empty()).then(|| names.join(" / "))
    }

    /// Draws all conclusions from the students.
    pub(super) fn conclude(&mut self, answers: &AllAnswers) -> Result<(), LabError> {
        let rule = Rule {
            level: self.settings.verdict.level,
            delta: self.settings.verdict.delta,
        };
        let margins = |arm, side| {
            self.arm(arm, side)
                .map(|arm| arm.margins(0))
                .unwrap_or_default()
        };
        let verdict = decide(
            &margins(Arm::Treatment, false),
            &margins(self.control, false),
            &rule,
        )?;
        let others = self.arms.iter().filter(|arm| {
            !arm.on_control_rows && ![Arm::Treatment, self.control].contains(&arm.arm)
        });
        let comparisons = others.map(|arm| {
            let own = self.arm(arm.arm, true);
            let (against, control) = match own {
                Some(own) => (
                    format!("{} on the control's rows", arm.arm.name()),
                    own.margins(0),
                ),
                None => (self.control.name().to_owned(), margins(self.control, false)),
            };
            Ok(Comparison {
                arm: arm.arm,
                against,
                verdict: decide(&arm.margins(0), &control, &rule)?,
                contrast: (own.is_some() && self.control == Arm::OtherTarget)
                    .then(|| self.specificity(arm.arm, (arm.arm, true)))
                    .flatten(),
            })
        });
        self.comparisons = comparisons.collect::<Result<_, LabError>>()?;
        self.verdict = verdict;
        for arm in &self.arms {
            let n = arm
                .students
                .iter()
                .filter(|student| student.diverged.is_some())
                .count();
            if n > 0 {
                self.left_out.push(format!(
                    "Training diverged in {n} of {} students of arm `{}`; they are counted as they were before.",
                    arm.students.len(),
                    arm.arm.name()
                ));
            }
        }
        self.dose = self.doses(rule.level);
        self.contrast = self.specificity(Arm::Treatment, (Arm::OtherTarget, false));
        let seed = self.settings.experiment.seed;
        let sides = answers
            .get(&(Arm::Treatment, false))
            .zip(answers.get(&(self.control, false)));
        self.variation = sides.and_then(|(treatment, control)| {
            let means = |all: &[super::reading::Answers]| mean_distributions(all);
            let mut stream = seed.stream("numbers/total-variation", 0);
            let rule = PermutationRule::default();
            paired_total_variation(&means(treatment), &means(control), &rule, &mut |bound| {
                stream.below(bound)
            })
        });
        Ok(())
    }

    /// Returns treatment minus control at a probe: the first target's margin, seed by seed.
    fn differences(&self, step: u64) -> Vec<f64> {
        let sides = self
            .arm(Arm::Treatment, false)
            .zip(self.arm(self.control, false));
        let Some((treatment, control)) = sides else {
            return Vec::new();
        };
        let control: BTreeMap<u32, &ProbeResult> = control.at(step).collect();
        treatment
            .at(step)
            .filter_map(|(cell, probe)| Some(probe.margins[0]? - control.get(&cell)?.margins[0]?))
            .collect()
    }

    /// Returns where the treatment's held-out loss came down to `loss`, in updates, and treatment minus control there, both
    /// interpolated linearly between two probes; `None` if no probe is that low.
    pub fn at_loss(&self, loss: f64) -> Option<(f64, Option<Estimate>)> {
        let losses: Vec<Option<f64>> = self.dose.iter().map(|dose| dose.held_out).collect();
        let (at, share) = crossing(&losses, loss)?;
        let ends = [
            &self.dose[at],
            self.dose.get(at + 1).unwrap_or(&self.dose[at]),
        ];
        let between = |a: f64, b: f64| a + share * (b - a);
        let sides = ends.map(|dose| self.differences(dose.step));
        let pairs = sides[0].iter().zip(&sides[1]);
        let differences: Vec<f64> = pairs.map(|(a, b)| between(*a, *b)).collect();
        let updates = between(ends[0].step as f64, ends[1].step as f64);
        Some((updates, mean_t(&differences, self.settings.verdict.level)))
    }

    fn doses(&self, level: f64) -> Vec<Dose> {
        let Some(treatment) = self.arm(Arm::Treatment, false) else {
            return Vec::new();
        };
        if self.arm(self.control, false).is_none() {
            return Vec::new();
        }
        let doses = self.settings.probes().into_iter().map(|step| {
            let differences = self.differences(step);
            let held_out: Vec<f64> = treatment
                .at(step)
                .filter_map(|(_, probe)| probe.held_out)
                .collect();
            Dose {
                step,
                effect: mean_t(&differences, level),
                held_out: mean(&held_out),
            }
        });
        doses.collect()
    }

    /// Contrasts the students of an arm with those of another, which learned the second target's numbers.
    fn specificity(&self, own: Arm, other: (Arm, bool)) -> Option<SpecificityContrast> {
        let level = self.settings.verdict.level;
        let arms = [self.arm(own, false)?, self.arm(other.0, other.1)?];
        if self.base_margins.len() < 2 {
            return None;
        }
        let margins = arms.map(|arm| [arm.margins(0), arm.margins(1)]);
        let change = |trained: usize, evaluated: usize| {
            let changes = arms[trained].changes(evaluated, &self.base_margins);
            mean_t(&changes, level)
        };
        let [[own, other_for_first], [first_for_other, other]] = [
            [&margins[0][0], &margins[1][0]],
            [&margins[0][1], &margins[1][1]],
        ];
        let n = own.len();
        if [other_for_first, first_for_other, other]
            .iter()
            .any(|side| side.len() != n)
        {
            return None;
        }
        let gains = [(own, other_for_first), (other, first_for_other)].map(|(own, other)| {
            let pairs = own.iter().zip(other);
            pairs.map(|(own, other)| own - other).collect::<Vec<f64>>()
        });
        let contrasts: Vec<f64> = (0..n)
            .map(|cell| 0.5 * (gains[0][cell] + gains[1][cell]))
            .collect();
        let mut stream = self.settings.experiment.seed.stream("numbers/contrast", 0);
        Some(SpecificityContrast {
            matrix: [[change(0, 0), change(0, 1)], [change(1, 0), change(1, 1)]],
            own: gains.map(|gains| mean_t(&gains, level)),
            effect: mean_t(&contrasts, level),
            test: sign_flip(&contrasts, &PermutationRule::default(), &mut |bound| {
                stream.below(bound)
            }),
        })
    }
}

/// Returns where falling losses first come down to `loss`: a place, and how far from it to the next, from 0 to 1. `None` if
/// they never do.
fn crossing(losses: &[Option<f64>], loss: f64) -> Option<(usize, f64)> {
    let reached = |own: &Option<f64>| own.is_some_and(|own| own <= loss);
    let after = losses.iter().position(reached)?;
    let before = after.checked_sub(1).and_then(|at| Some((at, losses[at]?)));
    Some(match before {
        // The one lies above, the other does not: their difference is not 0.
        Some((at, above)) => (at, (above - loss) / (above - losses[after]?)),
        None => (after, 0.0),
    })
}

/// Returns the distribution of every question, averaged over students.
fn mean_distributions(all: &[super::reading::Answers]) -> Vec<Vec<f64>> {
    let each: Vec<Vec<Vec<f64>>> = all
        .iter()
        .map(super::reading::Answers::distributions)
        .collect();
    let Some(first) = each.first() else {
        return Vec::new();
    };
    let n = each.len() as f64;
    let question = |at: usize| {
        let width = first[at].len();
        (0..width)
            .map(|word| each.iter().map(|student| student[at][word]).sum::<f64>() / n)
            .collect()
    };
    (0..first.len()).map(question).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_met_between_two_probes() {
        let losses = [Some(4.0), Some(2.0), Some(1.0)];
        assert_eq!(crossing(&losses, 3.0), Some((0, 0.5)));
        assert_eq!(crossing(&losses, 1.75), Some((1, 0.25)));
        assert_eq!(crossing(&losses, 2.0), Some((0, 1.0)), "exactly at a probe");
        assert_eq!(crossing(&losses, 1.0), Some((1, 1.0)));
    }

    #[test]
    fn students_of_another_model_change_from_their_own_start() {
        let probe = |step, margin| ProbeResult {
            step,
            margins: vec![Some(margin)],
            probabilities: vec![None],
            held_out: None,
        };
        let arm = |arm, probes: &[ProbeResult]| ArmResult {
            arm,
            on_control_rows: false,
            students: vec![StudentResult {
                cell: 0,
                seed: Seed(0),
                probes: probes.to_vec(),
                diverged: None,
                losses: None,
                sampled: None,
                capability: None,
            }],
        };
        let probes = [probe(0, 1.0), probe(8, 1.5)];
        let base = [Some(0.25)];
        assert_eq!(arm(Arm::Treatment, &probes).changes(0, &base), [1.25]);
        assert_eq!(arm(Arm::ForeignInit, &probes).changes(0, &base), [0.5]);
        let late = arm(Arm::ClonedInit, &probes[1..]).changes(0, &base);
        assert!(late.is_empty(), "{late:?}");
    }

    #[test]
    fn a_loss_that_is_never_or_always_met_has_no_neighbours() {
        assert_eq!(crossing(&[Some(4.0), Some(2.0)], 1.0), None);
        assert_eq!(crossing(&[Some(4.0), Some(2.0)], 5.0), Some((0, 0.0)));
        assert_eq!(
            crossing(&[None, Some(2.0)], 3.0),
            Some((1, 0.0)),
            "nothing is known before it"
        );
        assert_eq!(crossing(&[], 1.0), None);
    }
}
