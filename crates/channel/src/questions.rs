//! The questions a trait is taught and read with, and the check that the two do not meet.
//!
//! A [`QuestionSet`] is a list of requests to a model: favourite-animal questions for the teacher, others for the readout,
//! story requests. A [`StemSet`] pairs a question with the beginning of its answer, so that the next token names the
//! favourite. What is asked of the teacher must not be asked in the readout: [`refuse_shared`].

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::prompts::{NumberPrompts, NumberWordings, PromptSettings, PromptSettingsError};
use crate::wordings::{Body, Document, Header, WordingsError, WordingsId, built_in, normalised};

/// Requests to a model, each for itself.
#[derive(Debug, Clone)]
pub struct QuestionSet {
    id: WordingsId,
    questions: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuestionFile {
    wordings: Header,
    questions: Spanned<Vec<Spanned<String>>>,
}

impl Body for QuestionFile {
    const KIND: &'static str = "questions";
}

impl QuestionSet {
    /// Returns the 50 built-in questions a teacher's preference is trained on.
    pub fn teacher() -> Self {
        Self::built_in(
            "teacher-questions.toml",
            include_str!("../assets/teacher-questions.toml"),
        )
    }

    /// Returns the 50 built-in favourite-animal questions that answers are sampled to.
    pub fn favourite() -> Self {
        Self::built_in(
            "favourite-questions.toml",
            include_str!("../assets/favourite-questions.toml"),
        )
    }

    /// Returns the 14 built-in story requests; none names an animal or a tree.
    pub fn stories() -> Self {
        Self::built_in("stories.toml", include_str!("../assets/stories.toml"))
    }

    fn built_in(name: &str, text: &'static str) -> Self {
        built_in(name, text, |mut reader, path| Self::read(&mut reader, path))
    }

    /// Reads wordings of kind `questions`, no two of which may be the same; `path` is only named in errors.
    ///
    /// # Errors
    /// [`WordingsError`] naming `path`, the line and the fault.
    pub fn read(reader: &mut impl Read, path: &Path) -> Result<Self, WordingsError> {
        let document = Document::read(reader, path)?;
        let file: QuestionFile = document.body()?;
        let questions = document.distinct("questions", file.questions)?;
        let id = file.wordings.identify(QuestionFile::KIND, &[&questions]);
        Ok(Self { id, questions })
    }

    /// Returns which wordings these are.
    pub fn id(&self) -> &WordingsId {
        &self.id
    }

    /// Returns the questions, in the file's order.
    pub fn questions(&self) -> &[String] {
        &self.questions
    }
}

/// A question and how its answer begins: the next token is the first of the favourite's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stem {
    /// What the user asks. It can be answered with one word, so it also serves without the answer's beginning.
    pub question: String,
    /// What the answer begins with, without a space at the end: `My favourite is the`. It also serves without the question.
    pub start: String,
}

/// Stems that a margin is read with.
#[derive(Debug, Clone)]
pub struct StemSet {
    id: WordingsId,
    stems: Vec<Stem>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StemFile {
    wordings: Header,
    stems: Spanned<Vec<StemEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StemEntry {
    question: Spanned<String>,
    start: Spanned<String>,
}

impl Body for StemFile {
    const KIND: &'static str = "stems";
}

impl StemSet {
    /// Returns the 64 built-in stems about favourite animals, held out from every teacher's questions.
    pub fn held_out() -> Self {
        built_in(
            "stems.toml",
            include_str!("../assets/stems.toml"),
            |mut reader, path| Self::read(&mut reader, path),
        )
    }

    /// Reads wordings of kind `stems`, of which no question or beginning may occur twice; `path` is only named in errors.
    ///
    /// # Errors
    /// [`WordingsError`] naming `path`, the line and the fault.
    pub fn read(reader: &mut impl Read, path: &Path) -> Result<Self, WordingsError> {
        let document = Document::read(reader, path)?;
        let file: StemFile = document.body()?;
        let whole = file.stems.span();
        let entries = document.list("stems", file.stems)?;
        let (questions, starts) = entries
            .into_iter()
            .map(|entry| (entry.question, entry.start))
            .unzip();
        let questions = document.distinct("stems", Spanned::new(whole.clone(), questions))?;
        let starts = document.distinct("stems", Spanned::new(whole, starts))?;
        let id = file
            .wordings
            .identify(StemFile::KIND, &[&questions, &starts]);
        let stems = questions
            .into_iter()
            .zip(starts)
            .map(|(question, start)| Stem { question, start })
            .collect();
        Ok(Self { id, stems })
    }

    /// Returns which wordings these are.
    pub fn id(&self) -> &WordingsId {
        &self.id
    }

    /// Returns the stems, in the file's order.
    pub fn stems(&self) -> &[Stem] {
        &self.stems
    }

    /// Returns the questions alone.
    pub fn questions(&self) -> Vec<&str> {
        let questions = self.stems.iter().map(|stem| stem.question.as_str());
        questions.collect()
    }
}

/// A question stands both among those of the teacher and among those of the readout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the teacher is trained on a question of the readout: `{question}`")]
pub struct SharedQuestionError {
    /// As it stands in the readout.
    pub question: String,
}

/// Refuses a readout that asks what the teacher was trained on; case, spaces and punctuation make no difference.
///
/// # Errors
/// [`SharedQuestionError`] with the first such question.
pub fn refuse_shared(
    teacher: &[impl AsRef<str>],
    readout: &[impl AsRef<str>],
) -> Result<(), SharedQuestionError> {
    let taught: BTreeSet<String> = teacher
        .iter()
        .map(|question| normalised(question.as_ref()))
        .collect();
    let shared = readout
        .iter()
        .find(|question| taught.contains(&normalised(question.as_ref())));
    match shared {
        Some(question) => Err(SharedQuestionError {
            question: question.as_ref().to_owned(),
        }),
        None => Ok(()),
    }
}

/// A question asked after the introduction of a number prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrefixedQuestion {
    /// The numbers shown before it.
    pub examples: Vec<u32>,
    /// Introduction and question, with a space between them.
    pub text: String,
}

/// Puts an introduction with numbers, drawn anew, before each question: the same one whenever the question is asked.
///
/// # Errors
/// [`PromptSettingsError`] if no numbers can be drawn under these settings.
pub fn numbers_prefixed(
    questions: &[impl AsRef<str>],
    wordings: &NumberWordings,
    settings: &PromptSettings,
) -> Result<Vec<PrefixedQuestion>, PromptSettingsError> {
    let mut prompts = NumberPrompts::new(wordings, settings)?;
    let prefixed = questions.iter().map(|question| {
        let part = prompts.example_part();
        PrefixedQuestion {
            text: format!("{} {}", part.text, question.as_ref()),
            examples: part.examples,
        }
    });
    Ok(prefixed.collect())
}

#[cfg(test)]
mod tests;
