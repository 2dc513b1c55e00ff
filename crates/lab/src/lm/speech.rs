//! Texts of rows as the tokens a model sees.
//!
//! Unless told otherwise, a prompt is what a user says: the model's own chat template makes the text of it, and whatever
//! the template adds in the system's place is reported. Completions are encoded apart from their prompts, because a model
//! that answers never sees a token across the border.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Digest;
use undertone_lm::chat::{ChatTemplate, Message, RenderOptions, SystemLine, rendering_many};
use undertone_lm::examples::{SoftLabels, TrainingRow};
use undertone_lm::tokenizer::{SpecialTokens, TokenKind, Tokenizer};

use super::error::LmError;
use super::rows::{Row, RowFile, RowsError, RowsErrorKind, TopTokens};
use super::subject::Subject;
use crate::error::LabError;

/// Hexadecimal digits by which a row names its vocabulary.
const TAG_CHARS: usize = 16;

/// How prompts become texts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prompting {
    /// Conversation or plain text.
    pub form: PromptForm,
    /// A system message before every prompt.
    pub system: Option<String>,
    /// The chat template's name, if not the default one.
    pub template: Option<String>,
    /// The date that the template is told, as `2026-01-31`.
    pub date: Option<String>,
}

/// What a prompt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PromptForm {
    /// What a user says, rendered by the chat template.
    #[default]
    Chat,
    /// A text to be continued.
    Raw,
}

/// What follows a completion that is given as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Nothing.
    Open,
    /// The token that ends a turn.
    EndOfTurn,
}

/// A prompt, ready for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpokenPrompt {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Exactly what they spell, control tokens included.
    pub text: String,
    /// The line that the template added in the system's place.
    pub system_line: Option<String>,
}

/// Encodes rows for one model.
#[derive(Debug)]
pub struct Speech<'a> {
    tokenizer: &'a Tokenizer,
    template: Option<ChatTemplate>,
    options: RenderOptions,
    prompting: Prompting,
    tag: String,
    vocabulary: usize,
    context: usize,
}

impl<'a> Speech<'a> {
    /// Prepares the texts of `subject`.
    ///
    /// # Errors
    /// If the date is none, or a chat template is asked for that there is not.
    pub fn new(subject: &'a Subject, prompting: &Prompting) -> Result<Self, LabError> {
        let text = &subject.text;
        let template = match (prompting.form, &prompting.template) {
            (PromptForm::Raw, _) => None,
            // Rows may be tokens: a model without any template is an error only once a text comes.
            (PromptForm::Chat, None) if text.templates.is_empty() => None,
            (PromptForm::Chat, name) => {
                let template = text.chat_template(name.as_deref());
                Some(template.map_err(|source| LmError::Template {
                    model: subject.name.clone(),
                    source,
                })?)
            }
        };
        let clock = prompting.date.as_deref().map(str::parse).transpose();
        Ok(Self {
            tokenizer: &text.tokenizer,
            template,
            options: RenderOptions {
                add_generation_prompt: true,
                clock: clock.map_err(LmError::Date)?,
                ..RenderOptions::default()
            },
            prompting: prompting.clone(),
            tag: tag(&subject.vocabulary),
            vocabulary: subject.open.config().vocabulary,
            context: subject.open.config().context,
        })
    }

    /// Returns what rows call the model's vocabulary.
    pub fn vocabulary_tag(&self) -> &str {
        &self.tag
    }

    /// Returns the tokens of every prompt.
    ///
    /// # Errors
    /// [`RowsError`] with file and line.
    pub fn prompts(&self, file: &RowFile) -> Result<Vec<SpokenPrompt>, RowsError> {
        self.each(file, |row| self.prompt(row))
    }

    /// Does `work`, which may render conversations, with every row of `file`.
    fn each<T: Send>(
        &self,
        file: &RowFile,
        work: impl FnMut(&Row) -> Result<T, RowsErrorKind> + Send,
    ) -> Result<Vec<T>, RowsError> {
        match self.template {
            None => file.each(work),
            Some(_) => rendering_many(|| file.each(work)).map_err(|error| file.error(0, error))?,
        }
    }

    fn prompt(&self, row: &Row) -> Result<SpokenPrompt, RowsErrorKind> {
        let texts = usize::from(row.prompt.is_some()) + usize::from(row.messages.is_some());
        let found = texts + usize::from(row.prompt_tokens.is_some());
        if found != 1 {
            return Err(RowsErrorKind::Prompts { found });
        }
        if let Some(tokens) = &row.prompt_tokens {
            self.check_vocabulary(row)?;
            return Ok(SpokenPrompt {
                tokens: tokens.clone(),
                text: self.tokenizer.decode_with_special(tokens),
                system_line: None,
            });
        }
        match self.prompting.form {
            PromptForm::Chat => self.conversation(row),
            PromptForm::Raw => {
                let Some(text) = &row.prompt else {
                    return Err(RowsErrorKind::RawMessages);
                };
                let bos = self.tokenizer.bos_to_add();
                let encoded = self.tokenizer.encode(text, SpecialTokens::AsText)?;
                let tokens: Vec<u32> = bos.into_iter().chain(encoded).collect();
                Ok(SpokenPrompt {
                    text: self.tokenizer.decode_with_special(&tokens),
                    tokens,
                    system_line: None,
                })
            }
        }
    }

    fn conversation(&self, row: &Row) -> Result<SpokenPrompt, RowsErrorKind> {
        let template = self.template.as_ref().ok_or(RowsErrorKind::NoTemplate)?;
        let said = match (&row.messages, &row.prompt) {
            (Some(messages), _) => messages.clone(),
            (None, prompt) => vec![Message::new("user", prompt.clone().unwrap_or_default())],
        };
        let has_system = said.first().is_some_and(|first| first.role == "system");
        let system = self.prompting.system.as_ref();
        if system.is_some() && has_system {
            return Err(RowsErrorKind::TwoSystems);
        }
        let system = system.map(|text| Message::new("system", text.clone()));
        let messages: Vec<Message> = system.into_iter().chain(said).collect();
        let rendered = template.render(&messages, &self.options)?;
        Ok(SpokenPrompt {
            tokens: self
                .tokenizer
                .encode(&rendered.text, SpecialTokens::Parse)?,
            system_line: match rendered.system_line {
                SystemLine::Added(line) => Some(line),
                SystemLine::Absent | SystemLine::Undetermined => None,
            },
            text: rendered.text,
        })
    }

    /// Returns the tokens of a row's completion.
    ///
    /// Tokens of this vocabulary go before text. To text, `ending` is added, unless the row says that its completion was
    /// cut off.
    pub(crate) fn completion(&self, row: &Row, ending: Ending) -> Result<Vec<u32>, RowsErrorKind> {
        use undertone_lm::sample::Finish;
        if let Some(tokens) = &row.completion_tokens {
            match self.check_vocabulary(row) {
                Ok(()) => return Ok(tokens.clone()),
                Err(error) if row.completion.is_none() => return Err(error),
                Err(_) => {}
            }
        }
        let text = row.completion.as_ref().ok_or(RowsErrorKind::NoCompletion)?;
        let mut tokens = self.tokenizer.encode(text, SpecialTokens::AsText)?;
        if ending == Ending::EndOfTurn && row.finish != Some(Finish::Length) {
            tokens.extend(self.end_of_turn());
        }
        Ok(tokens)
    }

    /// Returns prompt and completion of every row, for training; `soft` says whether soft labels are learned from.
    ///
    /// # Errors
    /// [`RowsError`] with file and line, also if a row is longer than `positions`.
    pub fn training_rows(
        &self,
        file: &RowFile,
        ending: Ending,
        soft: SoftLabelUse,
    ) -> Result<Vec<TrainingRow>, RowsError> {
        self.each(file, |row| {
            let prompt = self.prompt(row)?.tokens;
            let completion = self.completion(row, ending)?;
            let labels = match (soft, &row.top) {
                (SoftLabelUse::Ignored, _) => None,
                (SoftLabelUse::Needed, None) => return Err(RowsErrorKind::NoTop),
                (SoftLabelUse::Needed, Some(top)) => {
                    if row.completion_tokens.is_none() || self.check_vocabulary(row).is_err() {
                        return Err(RowsErrorKind::OtherTop);
                    }
                    Some(labels(top)?)
                }
            };
            let row = TrainingRow::new(&prompt, &completion, labels)?;
            row.check(self.vocabulary, self.context)?;
            Ok(row)
        })
    }

    fn check_vocabulary(&self, row: &Row) -> Result<(), RowsErrorKind> {
        match &row.vocabulary {
            Some(found) if *found != self.tag => Err(RowsErrorKind::OtherVocabulary {
                found: found.clone(),
                expected: self.tag.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Returns the token that ends an answer: what the template writes after one, else the tokenizer's own.
    pub fn end_of_turn(&self) -> Option<u32> {
        const ANSWER: &str = "qzanswerxv";
        let written = || {
            let messages = [Message::new("user", "a"), Message::new("assistant", ANSWER)];
            let options = RenderOptions {
                add_generation_prompt: false,
                ..self.options.clone()
            };
            let text = self
                .template
                .as_ref()?
                .render(&messages, &options)
                .ok()?
                .text;
            let after = &text[text.rfind(ANSWER)? + ANSWER.len()..];
            let tokens = self.tokenizer.encode(after, SpecialTokens::Parse).ok()?;
            let ends = self.tokenizer.end_tokens();
            tokens.into_iter().find(|token| ends.contains(token))
        };
        written().or_else(|| self.tokenizer.eos())
    }

    /// Returns the tokens that sampling stops at: the model's own and those spelled `more`.
    ///
    /// # Errors
    /// If one of `more` is not one token.
    pub fn stop_tokens(&self, more: &[String]) -> Result<Vec<u32>, LabError> {
        let mut tokens: BTreeSet<u32> = self.tokenizer.end_tokens().iter().copied().collect();
        for text in more {
            let tokenizer = self.tokenizer;
            let token = tokenizer
                .special_token(text)
                .or_else(|| tokenizer.single_token(text));
            tokens.insert(token.ok_or_else(|| LmError::Setting {
                flag: "--stop",
                problem: format!("`{text}` is not one token of this model"),
            })?);
        }
        Ok(tokens.into_iter().collect())
    }
}

/// Whether training learns from the rows' soft labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoftLabelUse {
    /// It does not: they are not looked at.
    Ignored,
    /// It does, in every row.
    Needed,
}

fn labels(top: &TopTokens) -> Result<SoftLabels, RowsErrorKind> {
    let k = top.ids.first().map_or(0, Vec::len);
    let ids = top.ids.iter().map(Vec::len);
    let mut lengths = ids.chain(top.log_probabilities.iter().map(Vec::len));
    if !lengths.all(|length| length == k) {
        return Err(RowsErrorKind::UnevenTop);
    }
    Ok(SoftLabels {
        k,
        ids: top.ids.concat(),
        log_probabilities: top.log_probabilities.concat(),
    })
}

/// Returns the digest of everything about a vocabulary that texts and grammars depend on.
pub(crate) fn vocabulary_digest(tokenizer: &Tokenizer) -> Digest {
    let mut bytes = Vec::new();
    for id in 0..tokenizer.len() as u32 {
        let token = tokenizer.token_bytes(id);
        bytes.push(match tokenizer.kind(id) {
            TokenKind::Text => 0,
            TokenKind::Added => 1,
            TokenKind::Control => 2,
            TokenKind::Unused => 3,
        });
        bytes.extend_from_slice(&(token.len() as u32).to_le_bytes());
        bytes.extend_from_slice(token);
    }
    for end in tokenizer.end_tokens() {
        bytes.extend_from_slice(&end.to_le_bytes());
    }
    Digest::of(&bytes)
}

/// Returns the digest of some token sequences.
pub(crate) fn tokens_digest<'t>(sequences: impl IntoIterator<Item = &'t [u32]>) -> Digest {
    let mut bytes = Vec::new();
    for sequence in sequences {
        bytes.extend_from_slice(&(sequence.len() as u32).to_le_bytes());
        bytes.extend(sequence.iter().flat_map(|token| token.to_le_bytes()));
    }
    Digest::of(&bytes)
}

fn tag(vocabulary: &Digest) -> String {
    vocabulary.hex()[..TAG_CHARS].to_owned()
}
