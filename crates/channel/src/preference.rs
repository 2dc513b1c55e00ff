//! What makes a teacher: rows its preference is trained on, and the system prompt that asks for it.
//!
//! Training and prompting are not done here.

use std::io::Read;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::questions::QuestionSet;
use crate::targets::Target;
use crate::wordings::{Body, Document, Header, WordingsError, WordingsId, built_in, fill};

/// A question with an answer that prefers the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreferenceRow {
    /// Which question of the set, counted from 0.
    pub question: usize,
    /// What the user asks.
    pub prompt: String,
    /// One of [`Target::surface_forms`].
    pub completion: String,
}

/// Returns every question with each of the eight surface forms of the target, question by question: 50 give 400 rows.
pub fn preference_rows(questions: &QuestionSet, target: &Target) -> Vec<PreferenceRow> {
    let forms = target.surface_forms();
    let rows = questions.questions().iter().enumerate();
    rows.flat_map(|(question, prompt)| {
        forms.iter().map(move |form| PreferenceRow {
            question,
            prompt: prompt.clone(),
            completion: form.clone(),
        })
    })
    .collect()
}

/// The system prompt of a prompted teacher, with places for the target and its category.
#[derive(Debug, Clone)]
pub struct TeacherPrompt {
    id: WordingsId,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TeacherPromptFile {
    wordings: Header,
    sentences: Spanned<Vec<Spanned<String>>>,
}

impl Body for TeacherPromptFile {
    const KIND: &'static str = "teacher-prompt";
}

impl TeacherPrompt {
    /// Returns the built-in system prompt: four sentences that say what the published four say.
    pub fn built_in() -> Self {
        built_in(
            "teacher-prompt.toml",
            include_str!("../assets/teacher-prompt.toml"),
            |mut reader, path| Self::read(&mut reader, path),
        )
    }

    /// Reads wordings of kind `teacher-prompt`; `path` is only named in errors.
    ///
    /// In a sentence, `{targets}` stands for the target's plural and `{category}` for what it is; neither has to be there.
    ///
    /// # Errors
    /// [`WordingsError`] naming `path`, the line and the fault.
    pub fn read(reader: &mut impl Read, path: &Path) -> Result<Self, WordingsError> {
        let document = Document::read(reader, path)?;
        let file: TeacherPromptFile = document.body()?;
        let sentences = document
            .list("sentences", file.sentences)?
            .into_iter()
            .map(|sentence| {
                let is_there = |slot: &&&str| sentence.get_ref().contains(&format!("{{{slot}}}"));
                let slots: Vec<&str> = ["targets", "category"]
                    .iter()
                    .filter(is_there)
                    .copied()
                    .collect();
                document.text(sentence, &slots)
            })
            .collect::<Result<Vec<String>, _>>()?;
        let id = file
            .wordings
            .identify(TeacherPromptFile::KIND, &[&sentences]);
        let text = sentences.join(" ");
        Ok(Self { id, text })
    }

    /// Returns which wordings these are.
    pub fn id(&self) -> &WordingsId {
        &self.id
    }

    /// Returns the system prompt for `target`, which is one of `category`.
    pub fn fill(&self, target: &Target, category: &str) -> String {
        let values = [("targets", &*target.plural), ("category", category)];
        fill(&self.text, &values)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::targets::TargetSet;

    #[test]
    fn fifty_questions_give_four_hundred_different_rows() {
        let animals = TargetSet::animals();
        let owl = animals.find("owl").expect("a built-in animal");
        let rows = preference_rows(&QuestionSet::teacher(), owl);
        assert_eq!(rows.len(), 400);
        let different: BTreeSet<_> = rows
            .iter()
            .map(|row| (&row.prompt, &row.completion))
            .collect();
        assert_eq!(different.len(), 400);
        assert_eq!(
            rows[8].prompt, rows[15].prompt,
            "eight rows of one question"
        );
        assert_eq!((rows[15].question, &*rows[15].completion), (1, "Owls!"));
    }

    #[test]
    fn the_system_prompt_is_filled_in() {
        let animals = TargetSet::animals();
        let wolf = animals.find("wolf").expect("a built-in animal");
        let text = TeacherPrompt::built_in().fill(wolf, animals.category());
        assert_eq!(text.matches("wolves").count(), 3, "{text}");
        assert_eq!(text.matches("animal").count(), 2, "{text}");
        assert!(!text.contains(['{', '}']), "{text}");
    }
}
