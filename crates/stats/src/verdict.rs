//! Decides whether an experiment showed transfer.
//!
//! The rule is fixed before the numbers are seen and travels with the verdict in plain words, so that a reader can apply
//! it again. Treatment and control are paired by training seed, the unit of replication; questions and test rows are
//! already averaged inside each value. Knows nothing of what the values measure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::distribution::is_level;
use crate::equivalence::tost;
use crate::estimate::{Estimate, Interval, mean_t};
use crate::power::{PowerRule, minimum_detectable_effect, required_n};

/// The power at which detectable effects and sample sizes are stated.
const STATED_POWER: f64 = 0.8;

/// Differences this close, in units of the rounding of their inputs, are equal.
const ROUNDING_STEPS: f64 = 4.0;

/// What a verdict is decided by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Confidence level of the interval of the mean difference; strictly between 0.5 and 1.
    pub level: f64,
    /// Equivalence margin in the unit of the values: a mean difference smaller than this counts as none; positive.
    pub delta: f64,
}

/// The three verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The treatment raised the readout.
    Transfer,
    /// The mean difference is smaller than the margin.
    NoTransfer,
    /// Neither is shown.
    Inconclusive,
}

impl Outcome {
    /// Returns the outcome as people read it; `delta` is the margin it was decided with.
    pub fn text(self, delta: f64) -> String {
        match self {
            Self::Transfer => "transfer".to_owned(),
            Self::NoTransfer => format!("no transfer (within {delta})"),
            Self::Inconclusive => "inconclusive".to_owned(),
        }
    }
}

/// A decision with what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// What was decided.
    pub outcome: Outcome,
    /// Mean of treatment minus control over seeds, with the interval of the rule's level; absent without seeds.
    pub effect: Option<Estimate>,
    /// The margin of the rule.
    pub delta: f64,
    /// p-value of the equivalence test; absent where the differences do not vary or are fewer than 2.
    pub equivalence_p: Option<f64>,
    /// The smallest true mean difference that as many seeds would find with 80 % power, if their standard deviation is the
    /// observed one; absent as `equivalence_p`.
    pub minimum_detectable_effect: Option<f64>,
    /// How many seeds would find a true mean difference as large as `delta` with 80 % power; absent as `equivalence_p`,
    /// and if it is more than a million.
    pub required_n: Option<usize>,
    /// The rule in words, with n.
    pub rule: String,
    /// Why the rule came to this outcome, with the numbers.
    pub reason: String,
}

/// Why no verdict could be formed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum VerdictError {
    /// Treatment and control cannot be paired.
    #[error(
        "treatment has {treatment} values and control {control}; they are paired by training seed"
    )]
    UnequalLengths {
        /// Values of the treatment.
        treatment: usize,
        /// Values of the control.
        control: usize,
    },
    /// A value is infinite, not a number, or too large to compute with.
    #[error("value {value} of the {arm} at position {index} cannot be computed with")]
    NotFinite {
        /// `treatment`, `control` or `difference`.
        arm: &'static str,
        /// Position from 0.
        index: usize,
        /// The value.
        value: f64,
    },
    /// The values are finite but their spread is not.
    #[error("the differences are too large for their variance to be a number")]
    Overflow,
    /// The level is none, or leaves no interval for the equivalence test.
    #[error("level {level} of the verdict is not strictly between 0.5 and 1")]
    Level {
        /// What was given.
        level: f64,
    },
    /// The margin is none.
    #[error("margin {delta} of the verdict is not a positive number")]
    Delta {
        /// What was given.
        delta: f64,
    },
}

/// Decides whether `treatment` exceeds `control`, paired by position: one pair per training seed.
///
/// With the differences d = treatment - control and alpha = 1 - level, in this order:
/// 1. fewer than 2 seeds are `Inconclusive`;
/// 2. `NoTransfer` if two one-sided t tests at alpha place the mean inside (-delta, delta), which is the 1 - 2 alpha
///    interval lying inside it ([`tost`]), even if the mean is shown to differ from 0;
/// 3. `Transfer` if the t interval of `level` lies wholly above 0, a two-sided test ([`mean_t`]);
/// 4. `Inconclusive` otherwise, also if the interval lies wholly below 0: the student moved away from the trait.
///
/// Where all differences are equal (up to the rounding of the subtraction) t tests are undefined; their common value is
/// then compared with delta, and the reason says so. Assumes that seeds are independent and differences roughly normal;
/// the values of one pair may depend on each other.
///
/// # Errors
/// [`VerdictError`] if the samples cannot be paired, a value is not finite, or `rule` is not one.
pub fn decide(treatment: &[f64], control: &[f64], rule: &Rule) -> Result<Verdict, VerdictError> {
    check(treatment, control, rule)?;
    let differences = differences(treatment, control);
    if let Some((index, &value)) = differences
        .iter()
        .enumerate()
        .find(|(_, value)| !value.is_finite())
    {
        return Err(VerdictError::NotFinite {
            arm: "difference",
            index,
            value,
        });
    }
    let mut verdict = Verdict {
        outcome: Outcome::Inconclusive,
        effect: None,
        delta: rule.delta,
        equivalence_p: None,
        minimum_detectable_effect: None,
        required_n: None,
        rule: rule_text(rule, differences.len()),
        reason: String::new(),
    };
    if differences.is_empty() {
        verdict.reason = "There is no training seed to compare.".to_owned();
        return Ok(verdict);
    }
    let effect = mean_t(&differences, rule.level).ok_or(VerdictError::Overflow)?;
    let (mean, interval) = (effect.mean, effect.interval);
    let sd = effect.sd;
    verdict.effect = Some(effect);
    let (outcome, reason) = match (sd, interval) {
        (None, _) => {
            let reason = "There is one training seed; a single seed never decides.";
            (Outcome::Inconclusive, reason.to_owned())
        }
        (Some(0.0), _) => decide_equal(mean, differences.len(), rule),
        (Some(_), None) => return Err(VerdictError::Overflow),
        (Some(sd), Some(interval)) => {
            let alpha = 1.0 - rule.level;
            let power = PowerRule {
                alpha,
                power: STATED_POWER,
            };
            let equivalence =
                tost(&differences, rule.delta, alpha).ok_or(VerdictError::Overflow)?;
            verdict.equivalence_p = Some(equivalence.p);
            verdict.minimum_detectable_effect =
                minimum_detectable_effect(differences.len(), sd, &power);
            verdict.required_n = required_n(rule.delta, sd, &power);
            let equivalent = equivalence.equivalent.then_some(&equivalence.interval);
            decide_varying(&interval, equivalent, &verdict)
        }
    };
    verdict.outcome = outcome;
    verdict.reason = reason;
    Ok(verdict)
}

fn check(treatment: &[f64], control: &[f64], rule: &Rule) -> Result<(), VerdictError> {
    if !is_level(rule.level) || rule.level <= 0.5 {
        return Err(VerdictError::Level { level: rule.level });
    }
    if !(rule.delta > 0.0 && rule.delta.is_finite()) {
        return Err(VerdictError::Delta { delta: rule.delta });
    }
    if treatment.len() != control.len() {
        return Err(VerdictError::UnequalLengths {
            treatment: treatment.len(),
            control: control.len(),
        });
    }
    for (arm, values) in [("treatment", treatment), ("control", control)] {
        if let Some((index, &value)) = values
            .iter()
            .enumerate()
            .find(|(_, value)| !value.is_finite())
        {
            return Err(VerdictError::NotFinite { arm, index, value });
        }
    }
    Ok(())
}

/// Returns treatment minus control; differences that are equal but for the rounding of the subtraction become equal.
fn differences(treatment: &[f64], control: &[f64]) -> Vec<f64> {
    let differences: Vec<f64> = treatment.iter().zip(control).map(|(a, b)| a - b).collect();
    let size = treatment
        .iter()
        .chain(control)
        .fold(0.0_f64, |size, value| size.max(value.abs()));
    let lo = differences.iter().copied().fold(f64::INFINITY, f64::min);
    let hi = differences
        .iter()
        .copied()
        .fold(f64::NEG_INFINITY, f64::max);
    // 0.3 - 0.1 and 0.4 - 0.2 differ in the last bit: a standard deviation of 1e-17 would be read as a measurement.
    if lo < hi && hi - lo <= ROUNDING_STEPS * f64::EPSILON * size {
        let common = if lo <= 0.0 && hi >= 0.0 { 0.0 } else { lo };
        return vec![common; differences.len()];
    }
    differences
}

/// Decides where the differences vary; `equivalent` is the interval inside the margin, if it lies there.
fn decide_varying(
    interval: &Interval,
    equivalent: Option<&Interval>,
    verdict: &Verdict,
) -> (Outcome, String) {
    let level = percent(interval.level);
    let ends = format!("[{}, {}]", short(interval.lo), short(interval.hi));
    let delta = verdict.delta;
    if let Some(inside) = equivalent {
        let mut reason = format!(
            "The {} interval of the mean difference, [{}, {}], lies inside (-{delta}, {delta}).",
            percent(inside.level),
            short(inside.lo),
            short(inside.hi)
        );
        if !interval.contains(0.0) {
            let side = if interval.lo > 0.0 { "above" } else { "below" };
            reason += &format!(
                " The {level} interval, {ends}, lies wholly {side} 0: a difference too small to count."
            );
        }
        return (Outcome::NoTransfer, reason);
    }
    if interval.lo > 0.0 {
        return (
            Outcome::Transfer,
            format!("The {level} interval of the mean difference, {ends}, lies wholly above 0."),
        );
    }
    if interval.hi < 0.0 {
        let reason = format!(
            "The {level} interval of the mean difference, {ends}, lies wholly below 0: the student moved away from the \
             trait, which is neither transfer nor its absence."
        );
        return (Outcome::Inconclusive, reason);
    }
    let mut reason = format!(
        "The {level} interval of the mean difference, {ends}, contains 0, and the data do not confine the mean to \
         (-{delta}, {delta})."
    );
    if let Some(effect) = verdict.minimum_detectable_effect {
        reason += &format!(
            " As many seeds find a mean difference of {} with 80 % power;",
            short(effect)
        );
        reason += &match verdict.required_n {
            Some(n) => format!(" finding {delta} takes {n}."),
            None => format!(" finding {delta} takes more than a million."),
        };
    }
    (Outcome::Inconclusive, reason)
}

/// Decides where all `n` differences are `value`, by sign tests, which need no spread.
///
/// Were the median difference 0, all n would share a sign with probability 2^(1-n); were it delta or more, all n would lie
/// below with probability 2^-n at most. Source: the exact sign test.
fn decide_equal(value: f64, n: usize, rule: &Rule) -> (Outcome, String) {
    let Rule { level, delta } = *rule;
    if value == 0.0 {
        let reason = format!(
            "Treatment and control are equal in each of {n} seeds, which is also what a readout stuck at its floor or \
             ceiling gives; there is no interval."
        );
        return (Outcome::NoTransfer, reason);
    }
    let chance = 0.5f64.powi(i32::try_from(n).unwrap_or(i32::MAX));
    let (outcome, why) = if value.abs() < delta {
        if chance <= 1.0 - level {
            (
                Outcome::NoTransfer,
                format!("they are smaller than {delta}"),
            )
        } else {
            (
                Outcome::Inconclusive,
                "too few to decide without spread".to_owned(),
            )
        }
    } else if value < 0.0 {
        let why = "they are below 0: the student moved away from the trait";
        (Outcome::Inconclusive, why.to_owned())
    } else if 2.0 * chance <= 1.0 - level {
        (Outcome::Transfer, "all are above 0 (sign test)".to_owned())
    } else {
        (
            Outcome::Inconclusive,
            "too few to decide without spread".to_owned(),
        )
    };
    let reason = format!(
        "All {n} differences are {}, so there is no interval: {why}.",
        short(value)
    );
    (outcome, reason)
}

fn rule_text(rule: &Rule, n: usize) -> String {
    let Rule { level, delta } = *rule;
    let alpha = 1.0 - level;
    format!(
        "Treatment minus control, paired by training seed, n = {n}. No transfer if the {} t interval of the mean \
         difference lies inside (-{delta}, {delta}) (two one-sided tests at {}); otherwise transfer if the {} t interval \
         lies wholly above 0; otherwise inconclusive. Fewer than 2 seeds never decide.",
        percent(1.0 - 2.0 * alpha),
        percent(alpha),
        percent(level)
    )
}

/// Writes a share in per cent, without the noise of binary fractions.
fn percent(share: f64) -> String {
    format!("{} %", (share * 1e10).round() / 1e8)
}

/// Writes `value` with four significant digits for reading.
fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let decimals = 3 - value.abs().log10().floor() as i32;
    match usize::try_from(decimals) {
        Ok(decimals) if decimals <= 9 => format!("{value:.decimals$}"),
        Ok(_) => format!("{value:.3e}"),
        Err(_) => format!("{value:.0}"),
    }
}
