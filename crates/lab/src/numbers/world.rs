//! What settings name, found: models, wordings, and the tokens that a preference is read at.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_channel::preference::TeacherPrompt;
use undertone_channel::prompts::{NumberPrompt, NumberPrompts, NumberWordings};
use undertone_channel::questions::{QuestionSet, StemSet, refuse_shared};
use undertone_channel::targets::{Target, TargetSet};
use undertone_channel::wordings::{WordingsError, WordingsId};
use undertone_lm::score::ScoreRow;
use undertone_lm::tokenizer::SpecialTokens;

use super::error::NumbersError;
use super::settings::{NumbersSettings, TeacherKind};
use crate::error::LabError;
use crate::lm::speech::PromptForm;
use crate::lm::{LmError, Named, Prompting, Row, RowFile, Speech, Subject};

/// Opens a model by the name it has in a file: where a model that is made, not found, is made first.
pub type OpenModel<'a> = dyn Fn(&str) -> Result<Subject, LabError> + 'a;

/// A text that names a built-in set of wordings.
const BUILT_IN: &str = "built-in";

/// Everything an experiment reads.
pub struct World<'a> {
    /// What it is about.
    pub settings: &'a NumbersSettings,
    /// Opens models.
    pub open: &'a OpenModel<'a>,
    /// What teachers and students start from.
    pub base: Subject,
    /// What foreign students start from.
    pub foreign: Option<Subject>,
    /// Targets and alternatives.
    pub words: TargetSet,
    /// The system prompt of a prompted teacher.
    pub teacher_prompt: TeacherPrompt,
    /// The questions of a trained teacher.
    pub teacher_questions: QuestionSet,
    /// The texts of number prompts.
    pub number_wordings: NumberWordings,
    /// The questions of the readout.
    pub stems: StemSet,
    /// The targets, then the alternatives.
    pub candidates: Vec<Candidate>,
}

/// A word whose probability is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// The word.
    pub word: String,
    /// Its token, with a space before it.
    pub token: u32,
}

/// What was found under the names in the settings: recorded beside them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// The base.
    pub base: Named,
    /// The base of foreign students.
    pub foreign_base: Option<Named>,
    /// Every set of wordings that is used.
    pub wordings: Vec<WordingsId>,
    /// The targets, then the alternatives.
    pub candidates: Vec<Candidate>,
    /// The line that the chat template adds in the system's place, in training and readout alike.
    pub system_line: Option<String>,
}

impl<'a> World<'a> {
    /// Opens models and wordings and checks that they fit each other.
    ///
    /// # Errors
    /// If something cannot be opened, or a word is not one token.
    pub fn open(settings: &'a NumbersSettings, open: &'a OpenModel<'a>) -> Result<Self, LabError> {
        settings.check()?;
        let base = open(&settings.experiment.base)?;
        let foreign = settings
            .experiment
            .foreign_base
            .as_deref()
            .map(open)
            .transpose()?;
        if let Some(foreign) = foreign
            .as_ref()
            .filter(|model| model.vocabulary != base.vocabulary)
        {
            return Err(NumbersError::OtherVocabulary {
                foreign: foreign.name.clone(),
                base: base.name.clone(),
            }
            .into());
        }
        let words = match settings.preference.words.as_str() {
            "animals" => TargetSet::animals(),
            "trees" => TargetSet::trees(),
            path => read(path, TargetSet::read)?,
        };
        let teacher_prompt = either(
            &settings.teacher.prompt,
            TeacherPrompt::built_in,
            TeacherPrompt::read,
        )?;
        let teacher_questions = either(
            &settings.teacher.questions,
            QuestionSet::teacher,
            QuestionSet::read,
        )?;
        let number_wordings = either(
            &settings.channel.prompts,
            NumberWordings::built_in,
            NumberWordings::read,
        )?;
        let stems = either(&settings.readouts.stems, StemSet::held_out, StemSet::read)?;
        if settings.teacher.kind != TeacherKind::Prompt {
            refuse_shared(teacher_questions.questions(), &stems.questions())
                .map_err(NumbersError::from)?;
        }
        if settings.teacher.kind != TeacherKind::FineTune
            && settings.experiment.form == PromptForm::Raw
        {
            let problem = "a system prompt needs `experiment.form = \"chat\"`".to_owned();
            return Err(NumbersError::Setting {
                key: "teacher.kind",
                problem,
            }
            .into());
        }
        let candidates = candidates(settings, &words, &base)?;
        Ok(Self {
            settings,
            open,
            base,
            foreign,
            words,
            teacher_prompt,
            teacher_questions,
            number_wordings,
            stems,
            candidates,
        })
    }

    /// Returns a target by its place.
    pub fn target(&self, place: usize) -> &Target {
        let word = &self.settings.preference.targets[place];
        self.words.find(word).expect("targets were looked up")
    }

    /// Returns how prompts of students and readouts become texts, with `system` before them.
    pub fn prompting(&self, system: Option<String>) -> Prompting {
        Prompting {
            form: self.settings.experiment.form,
            system,
            template: None,
            date: self.settings.experiment.date.clone(),
        }
    }

    /// Returns the number prompts.
    ///
    /// # Errors
    /// If none can be drawn.
    pub fn prompts(&self) -> Result<Vec<NumberPrompt>, LabError> {
        let settings = self.settings.channel.prompt_settings();
        let prompts =
            NumberPrompts::new(&self.number_wordings, &settings).map_err(NumbersError::from)?;
        Ok(prompts.take(self.settings.channel.rows as usize).collect())
    }

    /// Returns the stems as tokens, with `context` before each; the next token is the answer.
    ///
    /// # Errors
    /// If one cannot be encoded.
    pub fn stem_rows(&self, context: Option<&str>) -> Result<Vec<ScoreRow>, LabError> {
        let stems = self.stems.stems().iter();
        let asked: Vec<(String, &str)> = match self.settings.experiment.form {
            PromptForm::Chat => stems
                .map(|stem| (stem.question.clone(), &*stem.start))
                .collect(),
            PromptForm::Raw => stems
                .map(|stem| {
                    let context =
                        context.map_or_else(String::new, |context| format!("{context}\n\n"));
                    (format!("{context}{} {}", stem.question, stem.start), "")
                })
                .collect(),
        };
        let system = context.filter(|_| self.settings.experiment.form == PromptForm::Chat);
        self.next_rows(&asked, system.map(str::to_owned))
    }

    /// Returns prompts, each with the beginning of an answer, as tokens after which the next one is read.
    ///
    /// # Errors
    /// If one cannot be encoded.
    pub fn next_rows(
        &self,
        asked: &[(String, &str)],
        system: Option<String>,
    ) -> Result<Vec<ScoreRow>, LabError> {
        let speech = Speech::new(&self.base, &self.prompting(system))?;
        let rows = asked
            .iter()
            .map(|(prompt, _)| Row::of_prompt(prompt.clone()))
            .collect();
        let file = RowFile::made("questions of the readout", rows);
        let spoken = speech.prompts(&file).map_err(LmError::Rows)?;
        let rows =
            spoken
                .into_iter()
                .zip(asked)
                .enumerate()
                .map(|(index, (spoken, (_, start)))| {
                    let start = self
                        .base
                        .text
                        .tokenizer
                        .encode(start, SpecialTokens::AsText);
                    let start = start.map_err(|error| LmError::Rows(file.error(index, error)))?;
                    let prompt = [spoken.tokens, start].concat();
                    Ok(ScoreRow {
                        distributions: vec![prompt.len() - 1],
                        prompt,
                        ..ScoreRow::default()
                    })
                });
        rows.collect()
    }

    /// Says what was found.
    ///
    /// # Errors
    /// If a prompt cannot be rendered.
    pub fn found(&self) -> Result<Found, LabError> {
        let speech = Speech::new(&self.base, &self.prompting(None))?;
        let file = RowFile::made("a prompt", vec![Row::of_prompt("a")]);
        let spoken = speech.prompts(&file).map_err(LmError::Rows)?;
        Ok(Found {
            base: self.base.named(),
            foreign_base: self.foreign.as_ref().map(Subject::named),
            wordings: vec![
                self.words.id().clone(),
                self.teacher_prompt.id().clone(),
                self.teacher_questions.id().clone(),
                self.number_wordings.id().clone(),
                self.stems.id().clone(),
            ],
            candidates: self.candidates.clone(),
            system_line: spoken.into_iter().find_map(|prompt| prompt.system_line),
        })
    }
}

/// Returns the targets and what they compete with, each one token.
fn candidates(
    settings: &NumbersSettings,
    words: &TargetSet,
    base: &Subject,
) -> Result<Vec<Candidate>, LabError> {
    let list = &settings.preference.words;
    let model = &base.name;
    let token = |word: &str| base.text.tokenizer.single_token(&format!(" {word}"));
    let named = |word: &String| {
        if words.find(word).is_none() {
            let known = words.targets().iter().map(|target| target.word.clone());
            return Err(NumbersError::UnknownWord {
                word: word.clone(),
                list: list.clone(),
                known: known
                    .filter(|known| known.starts_with(&word[..word.len().min(1)]))
                    .collect(),
            });
        }
        let token = token(word).ok_or_else(|| NumbersError::NotOneToken {
            word: word.clone(),
            model: model.clone(),
        })?;
        Ok(Candidate {
            word: word.clone(),
            token,
        })
    };
    let targets = &settings.preference.targets;
    let mut candidates: Vec<Candidate> = targets.iter().map(named).collect::<Result<_, _>>()?;
    if settings.preference.alternatives.is_empty() {
        let others = words
            .targets()
            .iter()
            .filter(|other| !targets.contains(&other.word));
        candidates.extend(others.filter_map(|other| {
            let token = token(&other.word)?;
            Some(Candidate {
                word: other.word.clone(),
                token,
            })
        }));
    } else {
        let others = settings
            .preference
            .alternatives
            .iter()
            .filter(|other| !targets.contains(other));
        candidates.extend(others.map(named).collect::<Result<Vec<_>, _>>()?);
    }
    let found = candidates.len() - targets.len();
    match found {
        0 | 1 => Err(NumbersError::FewAlternatives {
            found,
            model: model.clone(),
        }
        .into()),
        _ => Ok(candidates),
    }
}

fn either<T>(
    name: &str,
    built_in: impl FnOnce() -> T,
    from_file: impl FnOnce(&mut BufReader<File>, &Path) -> Result<T, WordingsError>,
) -> Result<T, LabError> {
    match name {
        BUILT_IN => Ok(built_in()),
        path => read(path, from_file),
    }
}

fn read<T>(
    path: &str,
    from_file: impl FnOnce(&mut BufReader<File>, &Path) -> Result<T, WordingsError>,
) -> Result<T, LabError> {
    let path = Path::new(path);
    let file = File::open(path).map_err(|source| NumbersError::Open {
        path: path.to_owned(),
        source,
    })?;
    Ok(from_file(&mut BufReader::new(file), path).map_err(NumbersError::from)?)
}
