//! Questions for a model as judge: which of two answers to a number prompt is the treatment's?
//!
//! The judge is told what the teacher is fond of, by its right name, and the order of the answers is drawn. Asking the
//! model and counting its answers is the caller's; chance is one half, and prompts are independent.

use std::io::Read;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;
use undertone_core::Seed;

use crate::rows::{Row, paired_places};
use crate::targets::Target;
use crate::wordings::{Body, Document, Header, WordingsError, WordingsId, built_in, fill};

/// The words a judge is asked in.
#[derive(Debug, Clone)]
pub struct JudgeWordings {
    id: WordingsId,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JudgeFile {
    wordings: Header,
    text: Spanned<String>,
}

impl Body for JudgeFile {
    const KIND: &'static str = "judge";
}

/// One question to a judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JudgeQuestion {
    /// Index of the number prompt both answers belong to.
    pub prompt_index: u64,
    /// `A` or `B`: where the treatment's answer stands.
    pub right: char,
    /// What the judge is asked.
    pub text: String,
}

impl JudgeWordings {
    /// Returns this project's own wording.
    pub fn built_in() -> Self {
        built_in(
            "judge.toml",
            include_str!("../assets/judge.toml"),
            |mut reader, path| Self::read(&mut reader, path),
        )
    }

    /// Reads wordings of kind `judge`; `path` is only named in errors.
    ///
    /// # Errors
    /// [`WordingsError`] naming `path`, the line and the fault.
    pub fn read(reader: &mut impl Read, path: &Path) -> Result<Self, WordingsError> {
        let document = Document::read(reader, path)?;
        let file: JudgeFile = document.body()?;
        let text = document.text(file.text, &["targets", "prompt", "first", "second"])?;
        let lists = [std::slice::from_ref(&text)];
        let id = file.wordings.identify(JudgeFile::KIND, &lists);
        Ok(Self { id, text })
    }

    /// Returns which wordings these are.
    pub fn id(&self) -> &WordingsId {
        &self.id
    }

    /// Asks about every prompt that has exactly one answer in each arm, in the order of the treatment.
    ///
    /// Which answer comes first depends on the seed and the prompt's index only.
    pub fn questions(
        &self,
        target: &Target,
        treatment: &[Row],
        control: &[Row],
        seed: Seed,
    ) -> Vec<JudgeQuestion> {
        let pairs = paired_places(treatment, control).into_iter();
        pairs
            .map(|(place, other)| {
                let (row, other) = (&treatment[place], &control[other]);
                let mut stream = seed.stream("channel/judge-order", row.prompt_index);
                let (right, first, second) = if stream.below(2) == 0 {
                    ('A', row, other)
                } else {
                    ('B', other, row)
                };
                let values = [
                    ("targets", &*target.plural),
                    ("prompt", &*row.prompt),
                    ("first", &*first.completion),
                    ("second", &*second.completion),
                ];
                JudgeQuestion {
                    prompt_index: row.prompt_index,
                    right,
                    text: fill(&self.text, &values),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::TargetSet;

    fn arm(completion: &str) -> Vec<Row> {
        let rows = (0..200).map(|prompt_index| Row {
            prompt_index,
            prompt: "Go on with {second}.".to_owned(),
            examples: vec![],
            completion: completion.to_owned(),
        });
        rows.collect()
    }

    #[test]
    fn the_right_letter_names_the_treatments_answer_in_both_orders() {
        let animals = TargetSet::animals();
        let wolf = animals.find("wolf").expect("a built-in animal");
        let wordings = JudgeWordings::built_in();
        let ask = |seed| wordings.questions(wolf, &arm("1, 2"), &arm("7, 8"), Seed(seed));
        let questions = ask(1);
        assert_eq!(questions.len(), 200);
        for question in &questions {
            let expected = format!("Answer {}: 1, 2\n", question.right);
            assert!(question.text.contains(&expected), "{}", question.text);
            assert!(question.text.contains("7, 8") && question.text.contains("wolves"));
            assert!(question.text.contains("Task: Go on with {second}.\n"));
        }
        let first = questions.iter().filter(|question| question.right == 'A');
        assert!((70..130).contains(&first.count()));
        assert_eq!(questions, ask(1));
        assert_ne!(questions, ask(2));
    }

    #[test]
    fn prompts_without_two_answers_are_left_out() {
        let animals = TargetSet::animals();
        let owl = animals.find("owl").expect("a built-in animal");
        let questions =
            JudgeWordings::built_in().questions(owl, &arm("1")[..5], &arm("2")[3..9], Seed(0));
        let indices: Vec<u64> = questions
            .iter()
            .map(|question| question.prompt_index)
            .collect();
        assert_eq!(indices, [3, 4]);
    }
}
