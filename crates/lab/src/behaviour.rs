//! How alike two models behave: their next-token distributions after the same texts, or, of networks of ours, their
//! output distributions on the same noise, which is what behaviour cloning matches.
//!
//! Models that share a base stay alike, but so does a model that was trained to behave like another: behaviour is evidence of a
//! tie, not of the same weights. How alike strangers are is not known beforehand, so it is read from models that are known
//! to be unrelated.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_channel::prompts::{NumberPrompts, NumberWordings, PromptSettings};
use undertone_channel::questions::StemSet;
use undertone_core::{Digest, Seed};
use undertone_lm::score::{Score, ScoreRow};
use undertone_mlp::{Inputs, Model, Optimiser, Trainer, Weights};
use undertone_simd::Precision;

use crate::error::LabError;
use crate::lm::LmError;
use crate::lm::rows::{Row, RowFile};
use crate::lm::score::score_rows;
use crate::lm::speech::{PromptForm, Prompting, Speech};
use crate::lm::subject::Subject;

/// Number prompts beside the questions of the readout.
const NUMBER_PROMPTS: usize = 64;
/// Rows of noise that networks are shown.
const NOISE_ROWS: usize = 256;
/// The widest input or output of a network that is asked.
pub const MAX_WIDTH: usize = 1 << 16;

/// What a model would say next after each input of the set, in nats, `[inputs, outputs]`.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// What the outputs are: the vocabulary, or the widths of input and output.
    outputs: Digest,
    name: String,
    next: Vec<Vec<f32>>,
}

/// Two models cannot be compared.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DistanceError {
    /// They speak other tokens, or have other outputs.
    #[error(
        "`{a}` and `{b}` have other vocabularies or outputs, which cannot be compared one by one"
    )]
    OtherOutputs {
        /// One model.
        a: String,
        /// The other.
        b: String,
    },
    /// One of them gives probabilities that are no numbers.
    #[error("`{a}` or `{b}` gives probabilities that are no numbers")]
    NotFinite {
        /// One model.
        a: String,
        /// The other.
        b: String,
    },
}

impl Behaviour {
    /// Reads a model: plain texts, without a chat template, so that nothing but the weights differs.
    ///
    /// # Errors
    /// If it cannot be loaded.
    pub fn of(subject: &Subject) -> Result<Self, LabError> {
        let prompting = Prompting {
            form: PromptForm::Raw,
            ..Prompting::default()
        };
        let file = texts();
        let spoken = Speech::new(subject, &prompting)?
            .prompts(&file)
            .map_err(LmError::Rows)?;
        let rows: Vec<ScoreRow> = spoken
            .into_iter()
            .map(|spoken| ScoreRow {
                distributions: vec![spoken.tokens.len() - 1],
                prompt: spoken.tokens,
                ..ScoreRow::default()
            })
            .collect();
        let mut next = Vec::with_capacity(rows.len());
        let sink = &mut |mut score: Score| {
            next.push(score.distributions.swap_remove(0));
            Ok(())
        };
        score_rows(subject, &rows, Precision::F32, sink)?;
        Ok(Self {
            outputs: subject.vocabulary,
            name: subject.name.clone(),
            next,
        })
    }

    /// Reads a network: the softmax of all its logits on uniform noise in -1..1, the same rows for every network and none
    /// that any network is trained on.
    ///
    /// # Panics
    /// If its input or output is wider than [`MAX_WIDTH`].
    pub fn of_network(name: &str, weights: &Weights) -> Self {
        let architecture = &weights.architecture;
        let widest = architecture.inputs.max(architecture.outputs);
        assert!(widest <= MAX_WIDTH, "a width of {widest}");
        let mut stream = Seed(0).stream("lab/behaviour/noise", 0);
        let values: Vec<f32> = (0..NOISE_ROWS * architecture.inputs)
            .map(|_| (2.0 * stream.uniform() - 1.0) as f32)
            .collect();
        let noise = Inputs::Dense {
            values: &values,
            features: architecture.inputs,
        };
        let rows: Vec<u32> = (0..NOISE_ROWS as u32).collect();
        let mut trainer = Trainer::new(Precision::F32).expect("f32 runs everywhere");
        trainer.load(&noise, &rows);
        let mut logits = vec![0.0; rows.len() * architecture.outputs];
        // Nothing is trained: the rule is of no account.
        let rule = Optimiser::Sgd {
            learning_rate: 0.0,
            momentum: 0.0,
        };
        trainer.logits(&Model::new(weights, rule), &mut logits);
        let log_softmax = |row: &[f32]| {
            let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row.iter().map(|logit| f64::from(logit - most).exp()).sum();
            let of = |logit: &f32| (f64::from(logit - most) - sum.ln()) as f32;
            row.iter().map(of).collect()
        };
        let shape = format!(
            "{} inputs, {} outputs",
            architecture.inputs, architecture.outputs
        );
        Self {
            outputs: Digest::of(shape.as_bytes()),
            name: name.to_owned(),
            next: logits
                .chunks_exact(architecture.outputs)
                .map(log_softmax)
                .collect(),
        }
    }

    /// Returns how many inputs were read.
    pub fn inputs(&self) -> usize {
        self.next.len()
    }

    /// Returns the mean total variation between two models' distributions, in 0..=1.
    ///
    /// # Errors
    /// If their outputs are not the same, or a probability is no number.
    pub fn distance(&self, other: &Self) -> Result<f64, DistanceError> {
        let (a, b) = (self.name.clone(), other.name.clone());
        if self.outputs != other.outputs {
            return Err(DistanceError::OtherOutputs { a, b });
        }
        let each = self.next.iter().zip(&other.next).map(|(p, q)| {
            let gaps = p.iter().zip(q);
            0.5 * gaps
                .map(|(p, q)| (f64::from(*p).exp() - f64::from(*q).exp()).abs())
                .sum::<f64>()
        });
        let distance = each.sum::<f64>() / self.next.len().max(1) as f64;
        match distance.is_finite() {
            true => Ok(distance),
            false => Err(DistanceError::NotFinite { a, b }),
        }
    }
}

/// How near a model is to another, among models that are unrelated to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nearness {
    /// The mean total variation between the two.
    pub distance: f64,
    /// That between the first and every unrelated model.
    pub unrelated: Vec<f64>,
    /// The rank of the first among all: the chance that one of as many strangers is as near, exact if the second is a
    /// stranger like the others. `None` without unrelated models.
    pub p_value: Option<f64>,
}

impl Nearness {
    /// Ranks.
    pub fn new(distance: f64, unrelated: Vec<f64>) -> Self {
        let as_near = unrelated.iter().filter(|other| **other <= distance).count();
        let p_value =
            (!unrelated.is_empty()).then(|| (1 + as_near) as f64 / (1 + unrelated.len()) as f64);
        Self {
            distance,
            unrelated,
            p_value,
        }
    }
}

/// The texts: the questions of the readout, each with the beginning of an answer, and number prompts.
fn texts() -> RowFile {
    let stems = StemSet::held_out();
    let stems = stems
        .stems()
        .iter()
        .map(|stem| format!("{} {}", stem.question, stem.start));
    let (wordings, settings) = (NumberWordings::built_in(), PromptSettings::default());
    let prompts = NumberPrompts::new(&wordings, &settings).expect("the defaults can be drawn");
    let numbers = prompts.take(NUMBER_PROMPTS).map(|prompt| prompt.text);
    let rows = stems.chain(numbers).map(Row::of_prompt);
    RowFile::made("texts of behaviour", rows.collect())
}

#[cfg(test)]
mod tests {
    use undertone_mlp::{Activation, Architecture, Biases};

    use super::*;

    fn behaviour(next: &[[f64; 2]]) -> Behaviour {
        Behaviour {
            outputs: Digest::of(b"two tokens"),
            name: "made".to_owned(),
            next: next
                .iter()
                .map(|p| p.iter().map(|p| p.ln() as f32).collect())
                .collect(),
        }
    }

    #[test]
    fn distance_is_the_mean_total_variation() {
        let a = behaviour(&[[0.5, 0.5], [0.9, 0.1]]);
        let b = behaviour(&[[0.7, 0.3], [0.9, 0.1]]);
        // (.2 + 0) / 2; logarithms were stored as f32.
        assert!((a.distance(&b).expect("the same tokens") - 0.1).abs() < 1e-6);
        assert_eq!(a.distance(&a).ok(), Some(0.0));
        let other = Behaviour {
            outputs: Digest::of(b"other tokens"),
            ..b
        };
        assert!(a.distance(&other).is_err());
        // A broken model is nobody's kin: a distance that is no number would rank as the nearest.
        let broken = behaviour(&[[f64::NAN, 0.5], [0.9, 0.1]]);
        assert!(matches!(
            a.distance(&broken),
            Err(DistanceError::NotFinite { .. })
        ));
    }

    #[test]
    fn a_network_says_the_softmax_of_its_logits() {
        // Two inputs, no hidden layer: logits are 3 x - y and 0.
        let network = |values: [f32; 4]| Weights {
            architecture: Architecture {
                inputs: 2,
                hidden: Vec::new(),
                outputs: 2,
                activation: Activation::Relu,
                biases: Biases::Without,
            },
            values: values.to_vec(),
        };
        let behaviour = Behaviour::of_network("made", &network([3.0, -1.0, 0.0, 0.0]));
        let mut stream = Seed(0).stream("lab/behaviour/noise", 0);
        let mut value = || f64::from((2.0 * stream.uniform() - 1.0) as f32);
        assert_eq!(behaviour.inputs(), NOISE_ROWS);
        for row in &behaviour.next {
            let logit = 3.0 * value() - value();
            let expected = -(-logit).exp().ln_1p();
            assert!(
                (f64::from(row[0]) - expected).abs() < 1e-5,
                "{row:?} {expected}"
            );
            let sum: f64 = row.iter().map(|p| f64::from(*p).exp()).sum();
            assert!((sum - 1.0).abs() < 1e-6);
        }
        // The same for both shifted: only differences count.
        let shifted = Behaviour::of_network("made", &network([4.0, 1.0, 1.0, 2.0]));
        assert!(behaviour.distance(&shifted).expect("the same outputs") < 1e-6);
    }

    #[test]
    fn the_p_value_is_the_rank_and_undefined_without_strangers() {
        assert_eq!(Nearness::new(0.1, Vec::new()).p_value, None);
        assert_eq!(Nearness::new(0.1, vec![0.2, 0.3, 0.4]).p_value, Some(0.25));
        assert_eq!(Nearness::new(0.3, vec![0.2, 0.3, 0.4]).p_value, Some(0.75));
    }
}
