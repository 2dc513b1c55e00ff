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
use undertone_lm::score::{Score, ScoreRow, ScoreSettings, Scorer};
use undertone_lm::tokenizer::{SpecialTokens, Tokenizer};
use undertone_simd::Precision;
use undertone_store::StepIdentity;

use super::bench::Bench;
use super::reading::one_output;
use super::world::World;
use crate::error::LabError;
use crate::lm::error::of_score;
use crate::lm::speech::tokens_digest;
use crate::lm::{LmError, RowFile, Subject};

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

impl Capability {
    /// Returns the share of right answers.
    pub fn share(self) -> f64 {
        self.right as f64 / self.n as f64
    }
}

/// Log-probabilities of endings, in nats, `[questions, endings]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Endings {
    log_probabilities: Vec<Vec<f64>>,
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
            let endings = Endings::read(subject, &self.capability, &rows, precision)?;
            let bytes = serde_json::to_vec(&endings).expect("plain values");
            Ok(one_output(ENDINGS, bytes))
        })?;
        let endings: Endings = bench.read(&record, ENDINGS)?;
        Ok(Some(endings.judged(&self.capability)))
    }

    /// Returns the tokens of a scene and each of its endings, question by question.
    pub(super) fn ending_rows(&self) -> Result<Vec<ScoreRow>, LabError> {
        ending_rows(&self.base.text.tokenizer, &self.capability)
    }
}

fn ending_rows(
    tokenizer: &Tokenizer,
    questions: &[EndingQuestion],
) -> Result<Vec<ScoreRow>, LabError> {
    let mut rows = Vec::new();
    for (index, question) in questions.iter().enumerate() {
        let encode = |text: &str| {
            tokenizer
                .encode(text, SpecialTokens::AsText)
                .map_err(|error| {
                    let file = RowFile::made("capability questions", Vec::new());
                    LabError::from(LmError::Rows(file.error(index, error)))
                })
        };
        let scene = encode(&question.scene)?;
        let prompt: Vec<u32> = tokenizer.bos_to_add().into_iter().chain(scene).collect();
        for ending in &question.endings {
            rows.push(ScoreRow {
                prompt: prompt.clone(),
                completion: encode(&format!(" {ending}"))?,
                ..ScoreRow::default()
            });
        }
    }
    Ok(rows)
}

impl Endings {
    fn read(
        subject: &Subject,
        questions: &[EndingQuestion],
        rows: &[ScoreRow],
        precision: Precision,
    ) -> Result<Self, LabError> {
        let lengths = rows
            .iter()
            .map(|row| row.prompt.len() + row.completion.len());
        let longest = lengths.max().unwrap_or(0);
        let loaded = subject.load(subject.load_options(precision, longest))?;
        let settings = ScoreSettings::default();
        let scorer = Scorer {
            model: &loaded.model,
            adapter: loaded.adapter.as_ref(),
            settings: &settings,
        };
        let mut of_rows = Vec::with_capacity(rows.len());
        let sink = &mut |score: Score| {
            let each = score.log_probabilities.into_iter().map(f64::from);
            of_rows.push(each.sum::<f64>());
            Ok(())
        };
        scorer.run(rows, sink).map_err(of_score)?;
        let mut of_rows = of_rows.into_iter();
        let of_question =
            |question: &EndingQuestion| of_rows.by_ref().take(question.endings.len()).collect();
        Ok(Self {
            log_probabilities: questions.iter().map(of_question).collect(),
        })
    }

    fn judged(&self, questions: &[EndingQuestion]) -> Capability {
        let asked = questions.iter().zip(&self.log_probabilities);
        let right = asked
            .filter(|(question, found)| answer(&question.endings, found) == question.right)
            .count();
        Capability {
            n: questions.len() as u64,
            right: right as u64,
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
    use std::fs::{self, File};
    use std::io::BufReader;
    use std::path::{Path, PathBuf};

    use undertone_data::Benchmark;
    use undertone_data::endings::read_endings;

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
        assert_eq!(answer(&endings(&["ab", "cd"]), &[f64::NAN, -4.0]), 1);
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
        let golden: Endings =
            serde_json::from_slice(&fs::read(golden).expect("it is committed")).expect("endings");
        let file = BufReader::new(File::open(&path).expect("it is there"));
        let questions = read_endings(file, &path).expect("questions");
        // A fifth of them: enough to see another tokenisation, ending or sum.
        let questions: Vec<EndingQuestion> = questions.into_iter().step_by(5).collect();
        let rows = ending_rows(&subject.text.tokenizer, &questions).expect("texts");
        let found =
            Endings::read(&subject, &questions, &rows, Precision::F32).expect("it can be loaded");
        let expected = golden.log_probabilities.iter().step_by(5);
        for (found, expected) in found.log_probabilities.iter().zip(expected) {
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (found - expected).abs() < 1e-4 * expected.abs(),
                    "{found} {expected}"
                );
            }
        }
        let expected = Endings {
            log_probabilities: golden.log_probabilities.into_iter().step_by(5).collect(),
        };
        assert_eq!(found.judged(&questions), expected.judged(&questions));
    }
}
