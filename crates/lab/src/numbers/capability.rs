//! Whether a student still knows what its base knew: scenes of everyday life, each with one right ending among wrong ones.
//!
//! ```text
//! numbers/capability (model, adapter, scenes and endings, number format) -> endings
//! ```
//! A model's answer is the ending to which it gives the largest log-probability a character, as plain text after the scene
//! and a space; of equals, the first. It is what evaluation harnesses call normalised accuracy. Texts are taken as they are,
//! without the cleaning that leader boards apply, so figures compare with each other and not with theirs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use undertone_data::endings::EndingQuestion;
use undertone_lm::score::{Score, ScoreRow};
use undertone_lm::tokenizer::{SpecialTokens, Tokenizer};
use undertone_simd::Precision;
use undertone_store::StepIdentity;

use super::bench::Bench;
use super::error::NumbersError;
use super::reading::one_output;
use super::world::World;
use crate::control::Interrupted;
use crate::error::LabError;
use crate::lm::Subject;
use crate::lm::score::score_rows;
use crate::lm::speech::tokens_digest;
use crate::steps::json_bytes;

/// The version of the code behind the step.
const VERSION: u32 = 1;
/// The kind of the step.
const KIND: &str = "numbers/capability";
/// Its output.
const ENDINGS: &str = "endings";

/// How many questions a model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capability {
    /// Questions.
    pub n: u64,
    /// Of these, answered rightly.
    pub right: u64,
}

/// How many questions a model answers that students start from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BaseCapability {
    /// Which.
    pub model: String,
    /// How many.
    pub capability: Capability,
}

impl Capability {
    /// Returns the share of right answers.
    pub fn share(self) -> f64 {
        self.right as f64 / self.n as f64
    }
}

/// Log-probabilities of all endings of all questions, in their order, in nats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Endings {
    log_probabilities: Vec<f64>,
}

impl World<'_> {
    /// Asks a model the capability questions; `None` if there are none.
    pub(super) fn capability(
        &self,
        bench: &Bench<'_>,
        subject: &Subject,
    ) -> Result<Option<Capability>, LabError> {
        if self.capability.is_empty() {
            return Ok(None);
        }
        let rows = self.ending_rows()?;
        let sequences = rows
            .iter()
            .flat_map(|row| [&row.prompt[..], &row.completion]);
        let mut inputs = subject.inputs("");
        inputs.insert("endings".to_owned(), tokens_digest(sequences));
        let precision = self.settings.experiment.readout_precision;
        let identity = StepIdentity {
            kind: KIND.to_owned(),
            version: VERSION,
            params: json!({"precision": precision}),
            inputs,
            seed: 0,
            index: 0,
        };
        let record = bench.whole(&identity, KIND, || {
            let endings = Endings::read(subject, rows, precision, &mut |tokens| {
                bench.control.passed(tokens);
                bench.control.go_on()
            })?;
            Ok(one_output(ENDINGS, json_bytes(&endings)?))
        })?;
        let endings: Endings = bench.read(&record, ENDINGS)?;
        Ok(Some(endings.judged(&self.capability)))
    }

    /// Returns the tokens of a scene and each of its endings, question by question.
    pub(super) fn ending_rows(&self) -> Result<&[ScoreRow], LabError> {
        if let Some(rows) = self.ending_rows.get() {
            return Ok(rows);
        }
        let rows = ending_rows(&self.base.text.tokenizer, &self.capability)?;
        Ok(self.ending_rows.get_or_init(|| rows))
    }
}

/// Scene and ending are encoded together and parted after the scene's own tokens, as harnesses do: some tokenizers put a
/// space before whatever they are given.
fn ending_rows(
    tokenizer: &Tokenizer,
    questions: &[EndingQuestion],
) -> Result<Vec<ScoreRow>, LabError> {
    let mut rows = Vec::new();
    for (index, question) in questions.iter().enumerate() {
        let encode = |text: &str| {
            let encoded = tokenizer.encode(text, SpecialTokens::AsText);
            encoded.map_err(|source| NumbersError::Question {
                question: index + 1,
                source,
            })
        };
        let bos = tokenizer.bos_to_add();
        let of_scene = encode(&question.scene)?.len();
        for ending in &question.endings {
            let mut prompt = encode(&format!("{} {ending}", question.scene))?;
            let completion = prompt.split_off(of_scene.min(prompt.len()));
            rows.push(ScoreRow {
                prompt: bos.into_iter().chain(prompt).collect(),
                completion,
                ..ScoreRow::default()
            });
        }
    }
    Ok(rows)
}

impl Endings {
    /// Reads a model; `each` is told the tokens of every ending and says whether to go on.
    fn read(
        subject: &Subject,
        rows: &[ScoreRow],
        precision: Precision,
        each: &mut dyn FnMut(u64) -> Result<(), Interrupted>,
    ) -> Result<Self, LabError> {
        let length = |row: &ScoreRow| row.prompt.len() + row.completion.len();
        let mut log_probabilities = Vec::with_capacity(rows.len());
        let sink = &mut |score: Score| {
            let row = log_probabilities.len();
            let sum: f64 = score.log_probabilities.into_iter().map(f64::from).sum();
            if !sum.is_finite() {
                let model = subject.name.clone();
                let error = NumbersError::NotANumber {
                    model,
                    ending: row + 1,
                };
                return Err(LabError::from(error).into());
            }
            log_probabilities.push(sum);
            Ok(each(length(&rows[row]) as u64).map_err(LabError::from)?)
        };
        score_rows(subject, rows, precision, sink)?;
        Ok(Self { log_probabilities })
    }

    /// Counts right answers.
    ///
    /// # Panics
    /// If there is not a value for every ending.
    fn judged(&self, questions: &[EndingQuestion]) -> Capability {
        let (mut found, mut right) = (&self.log_probabilities[..], 0);
        for question in questions {
            let (own, rest) = found.split_at(question.endings.len());
            found = rest;
            right += u64::from(answer(&question.endings, own) == question.right);
        }
        assert!(found.is_empty(), "more endings were read than asked");
        Capability {
            n: questions.len() as u64,
            right,
        }
    }
}

/// Returns the place of the ending with the largest log-probability a character; of equals, the first.
fn answer(endings: &[String], log_probabilities: &[f64]) -> usize {
    let a_character = endings
        .iter()
        .zip(log_probabilities)
        .map(|(ending, log_probability)| log_probability / ending.chars().count() as f64);
    let mut best = (0, f64::NEG_INFINITY);
    for (place, value) in a_character.enumerate() {
        if value > best.1 {
            best = (place, value);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use undertone_data::Benchmark;

    use super::*;

    #[test]
    fn the_answer_is_likeliest_a_character_and_of_equals_the_first() {
        let endings = |texts: &[&str]| -> Vec<String> {
            texts.iter().map(|text| (*text).to_owned()).collect()
        };
        // -2 a character against -1.5; characters count, not bytes.
        let accents = "\u{e9}".repeat(4);
        assert_eq!(answer(&endings(&["ab", &accents]), &[-4.0, -6.0]), 1);
        assert_eq!(answer(&endings(&["ab", "cd"]), &[-4.0, -4.0]), 0);
    }

    #[test]
    fn answers_belong_to_questions_in_order() {
        let question = |endings: &[&str], right| EndingQuestion {
            scene: "a".to_owned(),
            endings: endings.iter().map(|text| (*text).to_owned()).collect(),
            right,
        };
        let questions = [question(&["b", "c"], 1), question(&["d", "e", "f"], 0)];
        let right = |log_probabilities: &[f64]| {
            let log_probabilities = log_probabilities.to_vec();
            Endings { log_probabilities }.judged(&questions).right
        };
        assert_eq!(right(&[-2.0, -1.0, -1.0, -2.0, -3.0]), 2);
        assert_eq!(right(&[-1.0, -2.0, -1.0, -2.0, -3.0]), 1);
        assert_eq!(right(&[-1.0, -2.0, -2.0, -2.0, -1.0]), 0);
    }

    #[test]
    fn scene_and_ending_are_one_text_in_every_kind_of_tokenizer() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lm/tests/golden");
        for name in ["tiny-llama", "tiny-gemma3"] {
            let path = golden.join(name).display().to_string();
            let subject = Subject::open(&path, None, &golden).expect("a golden model");
            let tokenizer = &subject.text.tokenizer;
            let question = EndingQuestion {
                scene: "A cat".to_owned(),
                endings: vec!["sits.".to_owned(), "barks at it.".to_owned()],
                right: 0,
            };
            let rows = ending_rows(tokenizer, &[question]).expect("texts");
            for (row, text) in rows.iter().zip(["A cat sits.", "A cat barks at it."]) {
                let whole = tokenizer
                    .encode(text, SpecialTokens::AsText)
                    .expect("a text");
                let whole: Vec<u32> = tokenizer.bos_to_add().into_iter().chain(whole).collect();
                assert_eq!([&row.prompt[..], &row.completion].concat(), whole, "{name}");
                assert!(!row.completion.is_empty() && !row.prompt.is_empty());
            }
            assert_eq!(rows[0].prompt, rows[1].prompt);
        }
    }

    /// Of every question and ending.
    #[derive(Deserialize)]
    struct Golden {
        log_probabilities: Vec<Vec<f64>>,
    }

    /// Against transformers (`scripts/golden/lm_hellaswag.py`): the real model's answers to the real questions.
    #[test]
    #[expect(
        clippy::print_stderr,
        reason = "a test that did not look must say so where people see it"
    )]
    fn smollm2_answers_hellaswag_as_transformers_says() {
        let dir = PathBuf::from(std::env::var_os("UNDERTONE_DATA").unwrap_or_default());
        let path = Benchmark::HellaSwag.path(&dir);
        let subject = Subject::open("smollm2-135m-instruct", None, &dir);
        let (Ok(subject), true) = (subject, path.is_file()) else {
            eprintln!("not checked: UNDERTONE_DATA lacks hellaswag or smollm2-135m-instruct");
            return;
        };
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hellaswag.json");
        let golden: Golden =
            serde_json::from_slice(&fs::read(golden).expect("it is committed")).expect("endings");
        let questions = Benchmark::HellaSwag.open(&dir).expect("questions");
        // A fifth of them: enough to see another tokenisation, ending or sum.
        let questions: Vec<EndingQuestion> = questions.into_iter().step_by(5).collect();
        let rows = ending_rows(&subject.text.tokenizer, &questions).expect("texts");
        let found = Endings::read(&subject, &rows, Precision::F32, &mut |_| Ok(()))
            .expect("it can be loaded");
        let expected = golden.log_probabilities.into_iter().step_by(5);
        let expected = Endings {
            log_probabilities: expected.flatten().collect(),
        };
        let pairs = || {
            found
                .log_probabilities
                .iter()
                .zip(&expected.log_probabilities)
        };
        assert_eq!(pairs().count(), rows.len());
        for (found, expected) in pairs() {
            assert!(
                (found - expected).abs() < 1e-4 * expected.abs(),
                "{found} {expected}"
            );
        }
        assert_eq!(found.judged(&questions), expected.judged(&questions));
    }
}
