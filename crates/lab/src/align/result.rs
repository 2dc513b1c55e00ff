//! Reads an alignment run: curves over models with intervals, and whether removing alignment stops acquisition.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_mlp::Optimiser;
use undertone_stats::{Estimate, Outcome, Rule, Verdict, decide, mean_t};

use super::settings::{ACCURACY_ROWS, AlignSettings};
use super::trace::{Arm, Trace, Traces};
use crate::error::LabError;
use crate::outcome::VerdictRule;

/// A mean over models at one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Optimiser steps taken before the reading.
    pub step: u32,
    /// The mean over models; `null` where it is undefined for every model. Its n counts those where it is defined.
    pub estimate: Option<Estimate>,
}

/// What was read in one arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArmResult {
    /// Which arm.
    pub arm: Arm,
    /// Its name.
    pub label: String,
    /// Cosine of the distillation gradient with the trait gradient, before any projection.
    pub cosine: Vec<Point>,
    /// Cosine of the gradient given to the optimiser with the trait gradient.
    pub applied_cosine: Vec<Point>,
    /// Cosine of the step taken with a step down the trait gradient.
    pub update_cosine: Vec<Point>,
    /// `cosine` averaged over each model's recorded steps, then over models.
    pub mean_cosine: Option<Estimate>,
    /// `update_cosine` averaged likewise.
    pub mean_update_cosine: Option<Estimate>,
    /// Share of the gradient's length that the projection took, averaged likewise; `null` in arms without projection.
    pub mean_removed: Option<Estimate>,
    /// Accuracy on the first `accuracy_rows` test images.
    pub accuracy: Vec<Point>,
    /// Accuracy on all test images before training and after each epoch.
    pub epoch_accuracy: Vec<Option<Estimate>>,
    /// Accuracy on all test images after the last epoch.
    pub final_accuracy: Option<Estimate>,
    /// The same of each model, in the order of the models.
    pub per_model: Vec<f64>,
    /// Models whose loss stopped being a number; their accuracy counts as it is.
    pub diverged: u32,
}

/// The answer to: does removing alignment stop acquisition?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// Without alignment the student ends within delta of the cross-model control.
    Stops,
    /// Without alignment the student still ends above the control.
    Persists,
    /// The untouched student was not shown to acquire anything that could be stopped.
    NothingToStop,
    /// Neither could be shown.
    Inconclusive,
}

impl Conclusion {
    /// Returns the answer from the outcomes with the gradient as it is and without alignment.
    fn of(as_is: Outcome, without: Outcome) -> Self {
        match (as_is, without) {
            (Outcome::NoTransfer, _) => Self::NothingToStop,
            (_, Outcome::Transfer) => Self::Persists,
            (Outcome::Transfer, Outcome::NoTransfer) => Self::Stops,
            (Outcome::Inconclusive, _) | (_, Outcome::Inconclusive) => Self::Inconclusive,
        }
    }
}

impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stops => "removing alignment stops acquisition",
            Self::Persists => "acquisition persists without alignment",
            Self::NothingToStop => "no acquisition to stop",
            Self::Inconclusive => "inconclusive",
        })
    }
}

/// What an alignment run gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlignResult {
    /// What it was.
    pub settings: AlignSettings,
    /// Test images behind `accuracy`, at most; the first of the set.
    pub accuracy_rows: usize,
    /// The four arms.
    pub arms: Vec<ArmResult>,
    /// Transfer or not with the gradient as it is: `as-is` against `cross`, model by model.
    pub acquisition: Verdict,
    /// Transfer or not without alignment: `projected` against `cross`, model by model.
    pub verdict: Verdict,
    /// The answer the two verdicts give.
    pub conclusion: Conclusion,
    /// Final accuracy of `as-is` minus `projected`, over models.
    pub prevented: Option<Estimate>,
    /// The same for `projected-other`: what removing a direction does that is not the student's own trait.
    pub prevented_by_other: Option<Estimate>,
    /// Mean of `prevented` as a share of the mean effect in `acquisition`; `null` unless that is a transfer. It can
    /// lie above 1 or below 0; no interval.
    pub prevented_share: Option<f64>,
    /// The same of `prevented_by_other`.
    pub prevented_share_by_other: Option<f64>,
    /// The findings in sentences.
    pub summary: Vec<String>,
    /// What a reader should know before quoting them.
    pub left_out: Vec<String>,
}

impl AlignResult {
    /// Reads the numbers from the traces of all models, in their order.
    pub(super) fn read(
        settings: &AlignSettings,
        rule: VerdictRule,
        traces: &[Traces],
    ) -> Result<Self, LabError> {
        let arms: Vec<ArmResult> = Arm::ALL
            .into_iter()
            .map(|arm| read_arm(arm, rule.level, traces))
            .collect();
        let side = |arm: Arm| &arms[arm as usize].per_model[..];
        let limits = Rule {
            level: rule.level,
            delta: rule.delta,
        };
        let acquisition = decide(side(Arm::AsIs), side(Arm::Cross), &limits)?;
        let verdict = decide(side(Arm::Projected), side(Arm::Cross), &limits)?;
        let lost = |arm| {
            let pairs = side(Arm::AsIs).iter().zip(side(arm));
            let differences: Vec<f64> = pairs.map(|(as_is, other)| as_is - other).collect();
            mean_t(&differences, rule.level)
        };
        let prevented = lost(Arm::Projected);
        let prevented_by_other = lost(Arm::ProjectedOther);
        let acquired = acquisition.outcome == Outcome::Transfer;
        let share_of = |lost: Option<&Estimate>, all: Option<&Estimate>| match (lost, all) {
            (Some(lost), Some(all)) if acquired => Some(lost.mean / all.mean),
            _ => None,
        };
        let all = lost(Arm::Cross);
        let prevented_share = share_of(prevented.as_ref(), all.as_ref());
        let prevented_share_by_other = share_of(prevented_by_other.as_ref(), all.as_ref());
        let conclusion = Conclusion::of(acquisition.outcome, verdict.outcome);
        let mut result = Self {
            settings: settings.clone(),
            accuracy_rows: ACCURACY_ROWS,
            left_out: left_out(settings, &arms),
            arms,
            acquisition,
            verdict,
            conclusion,
            prevented,
            prevented_by_other,
            prevented_share,
            prevented_share_by_other,
            summary: Vec::new(),
        };
        result.summary = result.sentences();
        Ok(result)
    }

    /// Returns what was read in `arm`.
    pub fn arm(&self, arm: Arm) -> Option<&ArmResult> {
        self.arms.iter().find(|result| result.arm == arm)
    }

    fn sentences(&self) -> Vec<String> {
        let of = |arm: Arm| &self.arms[arm as usize];
        let mut sentences = vec![
            format!(
                "Along training, the gradient a student learns from and the gradient of the trait had a mean cosine of \
                 {} with the teacher's initialisation and {} with another.",
                number(of(Arm::AsIs).mean_cosine.as_ref()),
                number(of(Arm::Cross).mean_cosine.as_ref()),
            ),
            format!(
                "Test accuracy at the end: {} with the gradient as it is, {} with its positive component along the \
                 trait gradient removed at every step, {} with that along another model's trait gradient removed, {} \
                 with another initialisation.",
                share(of(Arm::AsIs).final_accuracy.as_ref()),
                share(of(Arm::Projected).final_accuracy.as_ref()),
                share(of(Arm::ProjectedOther).final_accuracy.as_ref()),
                share(of(Arm::Cross).final_accuracy.as_ref()),
            ),
        ];
        if let (Some(own), Some(other)) = (self.prevented_share, self.prevented_share_by_other) {
            sentences.push(format!(
                "Removing alignment prevented {:.0} % of what the student acquired over the control; removing the \
                 other direction prevented {:.0} %.",
                100.0 * own,
                100.0 * other
            ));
        }
        sentences.push(match self.conclusion {
            Conclusion::Stops => format!(
                "Removing alignment stopped acquisition: the student ended within {} of the control.",
                self.verdict.delta
            ),
            Conclusion::Persists => {
                "Removing alignment did not stop acquisition altogether: the student ended above the control."
                    .to_owned()
            }
            Conclusion::NothingToStop => {
                "The student acquired nothing with its gradient as it is, so there was nothing to stop.".to_owned()
            }
            Conclusion::Inconclusive => {
                "Whether removing alignment stops acquisition remains open with these models.".to_owned()
            }
        });
        let update = of(Arm::Projected).mean_update_cosine.as_ref();
        let interval = update.and_then(|update| update.interval);
        sentences.push(format!(
            "With alignment removed from the gradient, the steps taken had a mean cosine of {} with a step \
             down the trait gradient{}.",
            number(update),
            match interval {
                Some(interval) if interval.lo > 0.0 => ", so alignment was reduced and not removed",
                Some(interval) if interval.hi < 0.0 => {
                    ", so on average they went against the trait, which is more than removing alignment"
                }
                _ => "",
            }
        ));
        sentences
    }
}

fn read_arm(arm: Arm, level: f64, models: &[Traces]) -> ArmResult {
    let traces: Vec<&Trace> = models
        .iter()
        .filter_map(|model| model.arms.get(&arm))
        .collect();
    let recorded: &[u32] = models.first().map_or(&[], |model| &model.recorded);
    let last = models.first().map(|model| model.steps);
    let series = |of: fn(&Trace) -> &[Option<f64>]| -> Vec<Point> {
        let at = |at: usize| {
            traces
                .iter()
                .filter_map(|trace| of(trace)[at])
                .collect::<Vec<f64>>()
        };
        let points = recorded.iter().enumerate();
        points
            .map(|(index, &step)| Point {
                step,
                estimate: mean_t(&at(index), level),
            })
            .collect()
    };
    let mean = |of: fn(&Trace) -> &[Option<f64>]| {
        let means: Vec<f64> = traces
            .iter()
            .filter_map(|trace| average(of(trace)))
            .collect();
        mean_t(&means, level)
    };
    let column = |of: fn(&Trace) -> &[f64], at: usize| {
        let values: Vec<f64> = traces
            .iter()
            .filter_map(|trace| of(trace).get(at).copied())
            .collect();
        mean_t(&values, level)
    };
    let per_model: Vec<f64> = traces
        .iter()
        .filter_map(|trace| trace.curve.last())
        .collect();
    let epochs = traces.first().map_or(0, |trace| trace.curve.accuracy.len());
    ArmResult {
        arm,
        label: arm.label().to_owned(),
        cosine: series(|trace| &trace.cosine),
        applied_cosine: series(|trace| &trace.applied),
        update_cosine: series(|trace| &trace.update),
        mean_cosine: mean(|trace| &trace.cosine),
        mean_update_cosine: mean(|trace| &trace.update),
        mean_removed: mean(|trace| &trace.removed),
        accuracy: recorded
            .iter()
            .copied()
            .chain(last)
            .enumerate()
            .map(|(at, step)| Point {
                step,
                estimate: column(|trace| &trace.accuracy, at),
            })
            .collect(),
        epoch_accuracy: (0..epochs)
            .map(|epoch| column(|trace| &trace.curve.accuracy, epoch))
            .collect(),
        final_accuracy: mean_t(&per_model, level),
        diverged: traces.iter().filter(|trace| trace.curve.diverged()).count() as u32,
        per_model,
    }
}

/// Returns the mean of the values that exist; `None` without any.
fn average(values: &[Option<f64>]) -> Option<f64> {
    let (sum, n) = values
        .iter()
        .flatten()
        .fold((0.0, 0_u32), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}

fn left_out(settings: &AlignSettings, arms: &[ArmResult]) -> Vec<String> {
    let mut notes = vec![
        format!(
            "Accuracies between epochs are read on the first {ACCURACY_ROWS} test images, or on all if there are \
             fewer; those at the end of an epoch on all of them."
        ),
        format!(
            "The trait gradient is that of {} labelled training images, the same at every step of a model.",
            settings.probe
        ),
    ];
    notes.push(
        "Only the positive component is removed; where a batch's gradient points against the trait it stays, which \
         makes the mean over batches slightly negative."
            .to_owned(),
    );
    let remembers = match settings.base.student.optimiser {
        Optimiser::Adam { .. } => Some("Adam, which rescales it and adds earlier gradients"),
        Optimiser::Sgd { momentum, .. } if momentum != 0.0 => {
            Some("SGD, whose momentum adds earlier gradients")
        }
        Optimiser::Sgd { .. } => None,
    };
    notes.extend(remembers.map(|optimiser| {
        format!(
            "The gradient is projected before {optimiser}: the steps taken may still follow the trait gradient, or \
             go against it. With plain SGD the projection is that of the step itself."
        )
    }));
    for arm in arms.iter().filter(|arm| arm.diverged > 0) {
        notes.push(format!(
            "Training diverged in {} of {} models of “{}”; their accuracies are counted as they are.",
            arm.diverged,
            arm.per_model.len(),
            arm.label
        ));
    }
    notes
}

fn number(estimate: Option<&Estimate>) -> String {
    write_estimate(estimate, |value| format!("{value:.3}"))
}

fn share(estimate: Option<&Estimate>) -> String {
    write_estimate(estimate, |value| format!("{:.1} %", 100.0 * value))
}

fn write_estimate(estimate: Option<&Estimate>, value: impl Fn(f64) -> String) -> String {
    let Some(estimate) = estimate else {
        return "(undefined)".to_owned();
    };
    match estimate.interval {
        Some(interval) => format!(
            "{} [{}, {}]",
            value(estimate.mean),
            value(interval.lo),
            value(interval.hi)
        ),
        None => value(estimate.mean),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_concluded_from_an_open_outcome_or_stopped_where_nothing_was_acquired() {
        use Outcome::{Inconclusive, NoTransfer, Transfer};
        for (as_is, without, expected) in [
            (Transfer, NoTransfer, Conclusion::Stops),
            (Transfer, Transfer, Conclusion::Persists),
            (Transfer, Inconclusive, Conclusion::Inconclusive),
            (NoTransfer, NoTransfer, Conclusion::NothingToStop),
            (NoTransfer, Inconclusive, Conclusion::NothingToStop),
            (Inconclusive, NoTransfer, Conclusion::Inconclusive),
            (Inconclusive, Inconclusive, Conclusion::Inconclusive),
        ] {
            assert_eq!(
                Conclusion::of(as_is, without),
                expected,
                "{as_is:?} {without:?}"
            );
        }
    }

    #[test]
    fn an_average_leaves_undefined_values_out() {
        assert_eq!(average(&[Some(1.0), None, Some(2.0)]), Some(1.5));
        assert_eq!(average(&[None]), None);
        assert_eq!(average(&[]), None);
    }
}
