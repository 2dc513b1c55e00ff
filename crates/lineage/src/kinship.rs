//! Do two models share a base? Evidence from their weights, with what it could have missed.
//!
//! Three looks, from exact to tolerant. `tensors` compares the two number by number: equal tensors, relative distance, cosine.
//! `permutation` is a test with an exact null: hidden units of a network are exchangeable, so if two networks began
//! independently, renumbering the hidden units of one changes nothing about how alike units of the same number are. `matching`
//! finds units that were renumbered: it pairs units by one half of their weights and compares the other half; its rule is
//! calibrated, not exact. `load` reads files. What this means for a verdict is in [`judge`].

mod load;
mod matching;
mod permutation;
mod tensors;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::entity::Verdict;
use crate::query::KINSHIP;

pub use load::{KinModel, LoadKinError, read_network};
pub use matching::Matching;
pub use permutation::{LayerTest, PermutationTest};
pub use tensors::{TensorDifference, TensorSummary};

/// One half of the weights of the units of a hidden layer: a row a unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Half {
    /// `[units, width]`, row-major.
    pub values: Vec<f32>,
    /// Numbers a unit.
    pub width: usize,
}

/// The hidden units of a layer, by the weights that lead into them and out of them.
#[derive(Debug, Clone, PartialEq)]
pub struct HiddenLayer {
    /// What it is called.
    pub name: String,
    /// Units.
    pub units: usize,
    /// Weights into them. Columns are inputs, the residual stream, or the units of the layer before.
    pub into: Half,
    /// Weights out of them. Columns are outputs, the residual stream, or the units of the layer after.
    pub out: Half,
    /// Whether the columns of `into` are the units of the layer before, which may be renumbered too.
    pub follows: bool,
    /// Whether the columns of `out` are the units of the layer after.
    pub leads: bool,
}

/// How the question is decided.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KinshipRule {
    /// The level of the permutation test.
    pub alpha: f64,
    /// Renumberings drawn; the smallest possible p-value is one in one more.
    pub permutations: u32,
    /// Mean cosine of the held-out half of matched units from which on models are kin; calibrated.
    pub matched_cosine: f64,
    /// Mean cosine of units of the same number that the test must be able to see before it says "not kin"; calibrated.
    pub sought_cosine: f64,
    /// Power at that cosine that "not kin" needs.
    pub power: f64,
    /// Names the random renumberings.
    pub seed: u64,
}

impl Default for KinshipRule {
    /// The calibrated rule. Of 400 unrelated pairs the largest held-out cosine was .28, of 75 renumbered ones the smallest .81;
    /// of kin that kept their numbers the smallest mean cosine was .33. See `docs/src/kinship.md`.
    fn default() -> Self {
        KinshipRule {
            alpha: 0.01,
            permutations: 9_999,
            matched_cosine: 0.5,
            sought_cosine: 0.2,
            power: 0.95,
            seed: 0,
        }
    }
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KinshipOutcome {
    /// They share a base.
    Kin,
    /// They do not, as far as a test of this power can tell.
    NotKin,
    /// Neither can be said.
    Inconclusive,
}

impl fmt::Display for KinshipOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KinshipOutcome::Kin => "kin",
            KinshipOutcome::NotKin => "not kin",
            KinshipOutcome::Inconclusive => "inconclusive",
        })
    }
}

/// The answer with everything it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Kinship {
    /// The answer.
    pub outcome: KinshipOutcome,
    /// Why, in a sentence.
    pub reason: String,
    /// The rule.
    pub rule: KinshipRule,
    /// The numbers compared one by one; absent if no tensor of the two has the same shape.
    pub tensors: Option<TensorSummary>,
    /// The test with an exact null; absent if no hidden layer of the two has the same shape.
    pub test: Option<PermutationTest>,
    /// Units paired by one half of their weights; absent as the test.
    pub matching: Option<Matching>,
}

/// Compares two models.
///
/// # Errors
/// If a weight cannot be read.
pub fn judge(a: &KinModel, b: &KinModel, rule: &KinshipRule) -> Result<Kinship, LoadKinError> {
    let tensors = tensors::compare(a, b)?;
    let mut layers = Vec::new();
    for index in 0..a.hidden_layers().min(b.hidden_layers()) {
        let (of_a, of_b) = (a.hidden_layer(index)?, b.hidden_layer(index)?);
        let alike = of_a.units == of_b.units
            && of_a.into.width == of_b.into.width
            && of_a.out.width == of_b.out.width;
        if alike && of_a.units >= permutation::MIN_UNITS {
            layers.push((of_a, of_b));
        }
    }
    let test = permutation::test(&layers, rule);
    let matching = matching::matched(&layers);
    let (outcome, reason) = decide(rule, tensors.as_ref(), test.as_ref(), matching.as_ref());
    Ok(Kinship {
        outcome,
        reason,
        rule: *rule,
        tensors,
        test,
        matching,
    })
}

fn decide(
    rule: &KinshipRule,
    tensors: Option<&TensorSummary>,
    test: Option<&PermutationTest>,
    matching: Option<&Matching>,
) -> (KinshipOutcome, String) {
    if let Some(tensors) = tensors.filter(|tensors| tensors.equal_matrices > 0) {
        let reason = format!(
            "{} of {} matrices are equal bit by bit",
            tensors.equal_matrices, tensors.matrices
        );
        return (KinshipOutcome::Kin, reason);
    }
    let Some(test) = test else {
        let reason = "no hidden layer of the two has the same shape".to_owned();
        return (KinshipOutcome::Inconclusive, reason);
    };
    if test.p_value <= rule.alpha {
        let reason = format!(
            "units of the same number are alike (mean cosine {:.3}, p = {:.2e} under renumbering)",
            test.mean_cosine, test.p_value
        );
        return (KinshipOutcome::Kin, reason);
    }
    if let Some(matching) =
        matching.filter(|matching| matching.held_out_cosine >= rule.matched_cosine)
    {
        let reason = format!(
            "units paired by one half of their weights are alike in the other half (mean cosine {:.3}): the units were \
             renumbered",
            matching.held_out_cosine
        );
        return (KinshipOutcome::Kin, reason);
    }
    match test.power >= rule.power {
        true => {
            let reason = format!(
                "units of the same number are not alike (mean cosine {:.3}, p = {:.2}), nor is any pairing; a mean cosine \
                 of {} would have been seen with probability {:.3}",
                test.mean_cosine, test.p_value, rule.sought_cosine, test.power
            );
            (KinshipOutcome::NotKin, reason)
        }
        false => {
            let reason = format!(
                "p = {:.2}, but a mean cosine of {} would have been seen with probability {:.2} only",
                test.p_value, rule.sought_cosine, test.power
            );
            (KinshipOutcome::Inconclusive, reason)
        }
    }
}

impl Kinship {
    /// Returns it as a verdict of the graph, on both models.
    pub fn verdict(&self, a: &str, b: &str) -> Verdict {
        let mut numbers = std::collections::BTreeMap::new();
        if let Some(test) = &self.test {
            numbers.insert("p-value".to_owned(), test.p_value);
            numbers.insert("power".to_owned(), test.power);
            numbers.insert("mean-cosine".to_owned(), test.mean_cosine);
        }
        if let Some(matching) = &self.matching {
            numbers.insert("held-out-cosine".to_owned(), matching.held_out_cosine);
        }
        Verdict {
            question: KINSHIP.to_owned(),
            outcome: match self.outcome {
                KinshipOutcome::Kin => "kin",
                KinshipOutcome::NotKin => "not-kin",
                KinshipOutcome::Inconclusive => "inconclusive",
            }
            .to_owned(),
            scope: Some(format!("{a} and {b}")),
            method: Some(self.reason.clone()),
            numbers,
            reference: None,
        }
    }
}

impl fmt::Display for Kinship {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.outcome, self.reason)?;
        if let Some(tensors) = &self.tensors {
            writeln!(
                f,
                "  tensors: {} of {} matrices equal; median cosine {:.4}, median relative distance {:.4}",
                tensors.equal_matrices,
                tensors.matrices,
                tensors.median_cosine,
                tensors.median_distance
            )?;
        }
        if let Some(test) = &self.test {
            writeln!(
                f,
                "  renumbering test: {} layers, {} renumberings, p = {:.2e}, power {:.3} at cosine {}",
                test.layers.len(),
                self.rule.permutations,
                test.p_value,
                test.power,
                self.rule.sought_cosine
            )?;
        }
        if let Some(matching) = &self.matching {
            writeln!(
                f,
                "  pairing: held-out cosine {:.3} over {} units; {:.1} % keep their number",
                matching.held_out_cosine,
                matching.units,
                100.0 * matching.kept_number
            )?;
        }
        Ok(())
    }
}
