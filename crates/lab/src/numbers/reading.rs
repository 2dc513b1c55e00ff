//! The exact readout: log-probabilities of some words as the next token, question by question.
//!
//! ```text
//! numbers/read (model, adapter, questions, words, number format) -> answers
//! ```
//! The margin of a target is its log-probability less the mean over the alternatives, averaged over questions; targets of
//! the experiment are no alternatives to each other, so that one student's gain is not another's loss by definition.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use undertone_lm::adapter::Adapter;
use undertone_lm::model::Model;
use undertone_lm::score::{ScoreRow, ScoreSettings, Scorer};
use undertone_lm::train::Trainer;
use undertone_simd::Precision;
use undertone_store::StepIdentity;

use crate::error::LabError;
use crate::lm::error::of_score;
use crate::lm::speech::tokens_digest;
use crate::lm::{LmError, Subject};

/// The version of the code behind the step.
const VERSION: u32 = 2;
/// The kind of the step.
pub(super) const KIND: &str = "numbers/read";
/// Its output.
pub(super) const ANSWERS: &str = "answers";

/// Log-probabilities in nats, `[questions, words]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// Of every question, of every word, in their orders.
    pub log_probabilities: Vec<Vec<f32>>,
}

impl Answers {
    /// Returns the margin of word `target` over all words from `alternatives` on, question by question, in logits.
    pub fn margins(&self, target: usize, alternatives: usize) -> Vec<f64> {
        let of = |row: &Vec<f32>| {
            let others = &row[alternatives..];
            let sum: f64 = others.iter().copied().map(f64::from).sum();
            f64::from(row[target]) - sum / others.len() as f64
        };
        self.log_probabilities.iter().map(of).collect()
    }

    /// Returns the mean margin; `None` without questions.
    pub fn margin(&self, target: usize, alternatives: usize) -> Option<f64> {
        mean(&self.margins(target, alternatives))
    }

    /// Returns the mean probability of a word; `None` without questions.
    pub fn probability(&self, word: usize) -> Option<f64> {
        let each = self
            .log_probabilities
            .iter()
            .map(|row| f64::from(row[word]).exp());
        mean(&each.collect::<Vec<f64>>())
    }

    /// Returns the probabilities of every question: those of the words, and of everything else together.
    pub fn distributions(&self) -> Vec<Vec<f64>> {
        let of = |row: &Vec<f32>| {
            let mut all: Vec<f64> = row.iter().map(|value| f64::from(*value).exp()).collect();
            let rest = 1.0 - all.iter().sum::<f64>();
            all.push(rest.max(0.0));
            all
        };
        self.log_probabilities.iter().map(of).collect()
    }
}

/// Returns the log-probability of one of some tokens; a single one's is its own, to the bit.
fn together(mut each: impl ExactSizeIterator<Item = f32>) -> f32 {
    match each.len() {
        1 => each.next().expect("there is one"),
        _ => each.map(|value| f64::from(value).exp()).sum::<f64>().ln() as f32,
    }
}

/// Returns the mean, in order; `None` of nothing.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// What is read: questions, words, and in which number format.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The questions, each with the position of the next token.
    pub rows: Vec<ScoreRow>,
    /// The words' tokens: of each those that count as it.
    pub tokens: Vec<Vec<u32>>,
    /// The number format.
    pub precision: Precision,
}

impl Reading {
    /// Returns the tokens that go through the model.
    pub fn cost(&self) -> u64 {
        self.rows.iter().map(|row| row.prompt.len() as u64).sum()
    }

    /// Returns the parameters that answers depend on, for a step's identity.
    pub fn params(&self) -> serde_json::Value {
        json!({"tokens": self.tokens, "precision": self.precision, "version": VERSION})
    }

    /// Returns the digest of the questions.
    pub fn digest(&self) -> undertone_core::Digest {
        tokens_digest(self.rows.iter().map(|row| &row.prompt[..]))
    }

    /// Returns what the step that reads `subject` depends on.
    pub fn identity(&self, subject: &Subject) -> StepIdentity {
        let mut inputs = subject.inputs("");
        inputs.insert("questions".to_owned(), self.digest());
        StepIdentity {
            kind: KIND.to_owned(),
            version: VERSION,
            params: self.params(),
            inputs,
            seed: 0,
            index: 0,
        }
    }

    /// Loads a model and asks it.
    ///
    /// # Errors
    /// If it cannot be loaded.
    pub fn of_subject(&self, subject: &Subject) -> Result<Answers, LabError> {
        let longest = self
            .rows
            .iter()
            .map(|row| row.prompt.len())
            .max()
            .unwrap_or(0);
        let loaded = subject.load(subject.load_options(self.precision, longest))?;
        self.ask(&loaded.model, loaded.adapter.as_ref())
    }

    /// Asks a loaded model.
    ///
    /// # Errors
    /// If a question does not fit into it.
    pub fn ask(&self, model: &Model, adapter: Option<&Adapter>) -> Result<Answers, LabError> {
        let settings = ScoreSettings::default();
        let scorer = Scorer {
            model,
            adapter,
            settings: &settings,
        };
        let mut log_probabilities = Vec::with_capacity(self.rows.len());
        let sink = &mut |score: undertone_lm::score::Score| {
            let all = &score.distributions[0];
            let of = |tokens: &Vec<u32>| together(tokens.iter().map(|token| all[*token as usize]));
            log_probabilities.push(self.tokens.iter().map(of).collect());
            Ok(())
        };
        scorer.run(&self.rows, sink).map_err(of_score)?;
        Ok(Answers { log_probabilities })
    }

    /// Returns the model that answers for one in training, where that is another number format and only an adapter changes.
    ///
    /// # Errors
    /// If it cannot be loaded.
    pub fn frozen(&self, subject: &Subject, trainer: &Trainer) -> Result<Option<Model>, LabError> {
        if trainer.model().precision() == self.precision || trainer.adapter_weights().is_none() {
            return Ok(None);
        }
        let options = subject.load_options(self.precision, 0);
        Ok(Some(
            Model::load(subject.checkpoint(), options).map_err(LmError::Load)?,
        ))
    }

    /// Asks a model in training as it is now; `frozen` is what [`Reading::frozen`] gave.
    ///
    /// # Errors
    /// If the model cannot be loaded in the number format of the readout.
    pub fn of_trainer(
        &self,
        trainer: &Trainer,
        subject: &Subject,
        frozen: Option<&Model>,
    ) -> Result<Answers, LabError> {
        match (frozen, trainer.adapter_weights(), trainer.full_weights()) {
            (Some(model), Some(weights), _) => {
                let adapter = Adapter::pack(weights, model).map_err(LmError::WrongModel)?;
                self.ask(model, Some(&adapter))
            }
            (_, None, Some(weights)) if trainer.model().precision() != self.precision => {
                let options = subject.load_options(self.precision, 0);
                let model = Model::load(weights, options).map_err(LmError::Load)?;
                self.ask(&model, None)
            }
            _ => self.ask(trainer.model(), trainer.packed_adapter().as_ref()),
        }
    }
}

/// Returns a step's one output.
pub(super) fn one_output(name: &str, bytes: Vec<u8>) -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([(name.to_owned(), bytes)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> Answers {
        Answers {
            log_probabilities: vec![vec![-1.0, -2.0, -3.0, -5.0], vec![-2.0, -2.0, -4.0, -2.0]],
        }
    }

    #[test]
    fn a_margin_is_the_target_less_the_mean_of_the_alternatives() {
        // Two targets, two alternatives.
        assert_eq!(answers().margins(0, 2), [3.0, 1.0]);
        assert_eq!(answers().margin(1, 2), Some(1.5));
        let none = Answers {
            log_probabilities: Vec::new(),
        };
        assert_eq!((none.margin(0, 2), none.probability(0)), (None, None));
    }

    #[test]
    fn words_of_several_tokens_are_as_probable_as_all_of_them() {
        assert_eq!(together([-0.7].into_iter()), -0.7);
        // ln(e^-1 + e^-2)
        assert!((together([-1.0, -2.0].into_iter()) - -0.686_738_3).abs() < 1e-6);
    }

    #[test]
    fn distributions_sum_to_one_with_the_rest() {
        for row in answers().distributions() {
            assert_eq!(row.len(), 5);
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }
}
