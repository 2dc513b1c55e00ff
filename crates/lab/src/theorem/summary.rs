//! What a check hands back: every case, and the counts over them.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_mlp::{Activation, Architecture};

use super::case::{CaseKind, StudentLossKind};
use super::check::{Claim, Outcome, Point};
use super::contrast::Contrast;
use super::settings::TheoremSettings;

/// The smallest share of differently initialised cases with a negative inner product, and with an increased loss, that
/// shows the absence of a guarantee. Chance is near one half.
pub const MIN_VIOLATION_SHARE: f64 = 0.2;
/// Below this many differently initialised cases a share says nothing.
pub const MIN_CONTRAST_CASES: u32 = 20;

/// A finished check of Theorem 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TheoremResult {
    /// The settings it ran with.
    pub settings: TheoremSettings,
    /// Every case, in order.
    pub cases: Vec<CaseResult>,
    /// The counts.
    pub summary: TheoremSummary,
}

/// One case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseResult {
    /// Its number, from 0; with the seed it determines the case.
    pub index: u32,
    /// Which kinds of losses, logits, activation and inputs it combines.
    pub kind: CaseKind,
    /// The network.
    pub architecture: Architecture,
    /// The logits the student's loss sees.
    pub student_logits: Range<usize>,
    /// The logits the teacher's loss sees; `None` if it looks at the parameters only.
    pub teacher_logits: Option<Range<usize>>,
    /// Number of the student's inputs, each with the same mass.
    pub n_inputs: usize,
    /// Draws thrown away because a ReLU was too close to its kink.
    pub redraws: u32,
    /// `E[vᵀ M v]`.
    pub predicted: f64,
    /// One point per ε, largest first.
    pub points: Vec<Point>,
    /// How it ended.
    pub outcome: Outcome,
    /// The claims that failed.
    pub failed: Vec<Claim>,
    /// Observed order of convergence in ε; `None` if rounding hides it or the case was not judged.
    pub order: Option<f64>,
    /// Relative error of the extrapolated limit; `None` if the case was not judged.
    pub limit_error: Option<f64>,
    /// The largest ε of the grid from which on the inner product is positive and the loss decreases; `None` if there is
    /// none.
    pub holds_from: Option<f64>,
    /// The same case with different initialisations.
    pub contrast: Contrast,
}

/// Counts over cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TheoremSummary {
    /// Whether every case holds: none violated and none unresolved.
    pub all_hold: bool,
    /// Same initialisation, all cases.
    pub total: Tally,
    /// Same initialisation, by activation and student loss.
    pub groups: Vec<Group>,
    /// Draws thrown away because a ReLU was too close to its kink.
    pub redraws: u32,
    /// Different initialisation.
    pub contrast: ContrastSummary,
}

/// Counts over some cases with the same initialisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Number of cases.
    pub cases: u32,
    /// Cases in which every claim is met.
    pub positive: u32,
    /// Cases in which the inner product is 0 at every ε.
    pub zero: u32,
    /// Cases hidden by rounding or kinks.
    pub unresolved: u32,
    /// Cases with a failed claim.
    pub violated: u32,
    /// Cases in which the order of convergence stands above rounding.
    pub with_order: u32,
    /// The smallest observed order; `None` if none was observed.
    pub min_order: Option<f64>,
    /// The median observed order; `None` if none was observed.
    pub median_order: Option<f64>,
    /// The largest relative error of an extrapolated limit; `None` if none was judged.
    pub max_limit_error: Option<f64>,
    /// The smallest `holds_from` of a positive case: from this ε on, all of them hold. `None` without positive cases.
    pub all_hold_from: Option<f64>,
}

/// A tally for one activation and one student loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The hidden activation.
    pub activation: Activation,
    /// The student's loss.
    pub student_loss: StudentLossKind,
    /// The counts.
    pub tally: Tally,
}

/// Counts over cases with different initialisations, at the smallest ε.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContrastSummary {
    /// Cases counted.
    pub cases: u32,
    /// Cases left out because the leading term is exactly 0: a softmax over one logit, or updates that share no parameter.
    pub left_out: u32,
    /// Share with a negative inner product; `None` without cases.
    pub negative_share: Option<f64>,
    /// Share in which the student's step increases the teacher's loss; `None` without cases.
    pub increase_share: Option<f64>,
    /// Median of inner product at the smallest ε over inner product at ε = 0: 1 if the leading term does not depend on ε,
    /// where the same initialisation gives 0 for the term at ε = 0. `None` without cases.
    pub median_leading_share: Option<f64>,
    /// Whether both shares reach [`MIN_VIOLATION_SHARE`]; `None` with fewer than [`MIN_CONTRAST_CASES`] cases.
    pub shows_no_guarantee: Option<bool>,
}

impl TheoremSummary {
    /// Counts over `cases`.
    pub fn of(cases: &[CaseResult]) -> Self {
        let total = Tally::of(cases.iter());
        let mut groups = Vec::new();
        for activation in [Activation::Relu, Activation::Gelu, Activation::Sigmoid] {
            for student_loss in [StudentLossKind::SquaredError, StudentLossKind::CrossEntropy] {
                let tally = Tally::of(cases.iter().filter(|case| {
                    case.kind.activation == activation && case.kind.student_loss == student_loss
                }));
                groups.push(Group {
                    activation,
                    student_loss,
                    tally,
                });
            }
        }
        Self {
            all_hold: total.positive + total.zero == total.cases,
            total,
            groups,
            redraws: cases.iter().map(|case| case.redraws).sum(),
            contrast: ContrastSummary::of(cases),
        }
    }
}

impl Tally {
    fn of<'a>(cases: impl Iterator<Item = &'a CaseResult>) -> Self {
        let cases: Vec<&CaseResult> = cases.collect();
        let ended = |outcome| count(&cases, |case| case.outcome == outcome);
        let orders: Vec<f64> = cases.iter().filter_map(|case| case.order).collect();
        let positive = cases
            .iter()
            .filter(|case| case.outcome == Outcome::Positive);
        Self {
            cases: count(&cases, |_| true),
            positive: ended(Outcome::Positive),
            zero: ended(Outcome::Zero),
            unresolved: ended(Outcome::Unresolved),
            violated: ended(Outcome::Violated),
            with_order: orders.len() as u32,
            min_order: orders.iter().copied().reduce(f64::min),
            median_order: median(orders),
            max_limit_error: cases
                .iter()
                .filter_map(|case| case.limit_error)
                .reduce(f64::max),
            all_hold_from: positive.filter_map(|case| case.holds_from).reduce(f64::min),
        }
    }
}

impl ContrastSummary {
    fn of(cases: &[CaseResult]) -> Self {
        // An exact 0 is structural: there is no sign to count.
        let counted: Vec<&CaseResult> = cases
            .iter()
            .filter(|case| case.contrast.untrained_inner_product != 0.0)
            .collect();
        let n = counted.len() as u32;
        let share = |holds: fn(&Contrast) -> bool| {
            (n > 0).then(|| f64::from(count(&counted, |case| holds(&case.contrast))) / f64::from(n))
        };
        let negative_share = share(|contrast| contrast.inner_product < 0.0);
        let increase_share = share(|contrast| contrast.loss_change > 0.0);
        let leading_shares = counted
            .iter()
            .map(|case| case.contrast.inner_product / case.contrast.untrained_inner_product);
        Self {
            cases: n,
            left_out: cases.len() as u32 - n,
            negative_share,
            increase_share,
            median_leading_share: median(leading_shares.collect()),
            shows_no_guarantee: (n >= MIN_CONTRAST_CASES).then(|| {
                [negative_share, increase_share]
                    .iter()
                    .all(|share| share.is_some_and(|share| share >= MIN_VIOLATION_SHARE))
            }),
        }
    }
}

fn count(cases: &[&CaseResult], holds: impl Fn(&CaseResult) -> bool) -> u32 {
    cases.iter().filter(|case| holds(case)).count() as u32
}

/// Returns the median, the mean of the two middle values for an even number; `None` for none.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (half, n) = (values.len() / 2, values.len());
    match n {
        0 => None,
        _ if n % 2 == 1 => Some(values[half]),
        _ => Some((values[half - 1] + values[half]) / 2.0),
    }
}
