//! What settings name, found: models, wordings, and the tokens that a preference is read at.

use std::cell::OnceCell;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_channel::choices::ChoiceSet;
use undertone_channel::judge::JudgeWordings;
use undertone_channel::preference::TeacherPrompt;
use undertone_channel::prompts::{NumberPrompt, NumberPrompts, NumberWordings};
use undertone_channel::questions::{QuestionSet, Stem, StemSet, refuse_shared};
use undertone_channel::targets::{Target, TargetSet};
use undertone_channel::wordings::{WordingsError, WordingsId};
use undertone_core::Digest;
use undertone_data::Benchmark;
use undertone_data::endings::{EndingQuestion, read_endings};
use undertone_lm::score::ScoreRow;
use undertone_lm::tokenizer::SpecialTokens;

use super::error::NumbersError;
use super::keys::NONE;
use super::settings::{AnswerStart, NumbersSettings, TeacherKind};
use crate::error::LabError;
use crate::lm::speech::PromptForm;
use crate::lm::{LmError, Named, Prompting, Row, RowFile, Speech, Subject};

/// Where names in a file are looked up.
pub trait Sources {
    /// Opens a model by the name it has in a file: one that is made, not found, is made first.
    ///
    /// # Errors
    /// If there is no such model, or it cannot be made.
    fn model(&self, name: &str) -> Result<Subject, LabError>;

    /// Returns the folder of fetched data.
    fn data_dir(&self) -> &Path;
}

/// A text that names a built-in set of wordings.
const BUILT_IN: &str = "built-in";

/// Everything an experiment reads.
pub struct World<'a> {
    /// What it is about.
    pub settings: &'a NumbersSettings,
    /// Where names are looked up.
    pub sources: &'a dyn Sources,
    /// What teachers and students start from.
    pub base: Subject,
    /// What foreign students start from.
    pub foreign: Option<Subject>,
    /// What cloned students start from.
    pub cloned: Option<Subject>,
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
    /// Questions that show whether a model still knows what its base knew; empty if none are asked.
    pub capability: Vec<EndingQuestion>,
    /// The same as tokens, made when first needed.
    pub(super) ending_rows: OnceCell<Vec<ScoreRow>>,
}

/// A word whose probability is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// The word.
    pub word: String,
    /// The tokens that count as it: one with a space before it, or every form of it that is one token.
    pub tokens: Vec<u32>,
}

/// What was found under the names in the settings: recorded beside them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// The base.
    pub base: Named,
    /// The base of foreign students.
    pub foreign_base: Option<Named>,
    /// The base of cloned students.
    pub cloned_base: Option<Named>,
    /// Every set of wordings that is used.
    pub wordings: Vec<WordingsId>,
    /// The targets, then the alternatives.
    pub candidates: Vec<Candidate>,
    /// The line that the chat template adds in the system's place, in training and readout alike.
    pub system_line: Option<String>,
    /// Digest of the capability questions; `None` if none are asked.
    pub capability: Option<Digest>,
}

impl<'a> World<'a> {
    /// Opens models and wordings and checks that they fit each other.
    ///
    /// # Errors
    /// If something cannot be opened, or a word is not one token.
    pub fn open(settings: &'a NumbersSettings, sources: &'a dyn Sources) -> Result<Self, LabError> {
        settings.check()?;
        let open = |name: &str| sources.model(name);
        let base = open(&settings.experiment.base)?;
        let other = |name: &Option<String>| -> Result<Option<Subject>, LabError> {
            let Some(name) = name else { return Ok(None) };
            let other = open(name)?;
            if other.vocabulary != base.vocabulary {
                return Err(NumbersError::OtherVocabulary {
                    foreign: other.name.clone(),
                    base: base.name.clone(),
                }
                .into());
            }
            if other.digest == base.digest {
                return Err(NumbersError::SameBase {
                    other: other.name.clone(),
                }
                .into());
            }
            Ok(Some(other))
        };
        let foreign = other(&settings.experiment.foreign_base)?;
        let cloned = other(&settings.experiment.cloned_base)?;
        let words = match built_in_words(&settings.preference.words) {
            Some(words) => words,
            None => read(&settings.preference.words, TargetSet::read)?,
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
        let capability = questions(&settings.readouts.capability, sources.data_dir())?;
        Ok(Self {
            settings,
            sources,
            base,
            foreign,
            cloned,
            words,
            teacher_prompt,
            teacher_questions,
            number_wordings,
            stems,
            candidates,
            capability,
            ending_rows: OnceCell::new(),
        })
    }

    /// Returns a target by its place.
    pub fn target(&self, place: usize) -> &Target {
        let word = &self.settings.preference.targets[place];
        self.words.find(word).expect("targets were looked up")
    }

    /// Returns all targets.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        (0..self.settings.preference.targets.len()).map(|place| self.target(place))
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
        let start = |stem: &Stem| match self.settings.readouts.answer {
            AnswerStart::Begun => stem.start.clone(),
            AnswerStart::Open => String::new(),
        };
        let asked: Vec<(String, String)> = match self.settings.experiment.form {
            PromptForm::Chat => stems
                .map(|stem| (stem.question.clone(), start(stem)))
                .collect(),
            PromptForm::Raw => stems
                .map(|stem| {
                    let context =
                        context.map_or_else(String::new, |context| format!("{context}\n\n"));
                    let asked = format!("{context}{} {}", stem.question, start(stem));
                    (asked.trim_end().to_owned(), String::new())
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
        asked: &[(String, String)],
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

    /// Returns the sets of wordings that are used.
    fn wordings(&self) -> Vec<WordingsId> {
        let readouts = &self.settings.readouts;
        let wanted = |wanted: bool, id: WordingsId| wanted.then_some(id);
        let favourites = readouts.favourite + readouts.prefixed > 0;
        let asked = [
            wanted(favourites, QuestionSet::favourite().id().clone()),
            wanted(readouts.stories > 0, QuestionSet::stories().id().clone()),
            wanted(readouts.choices > 0, ChoiceSet::built_in().id().clone()),
            wanted(readouts.judged > 0, JudgeWordings::built_in().id().clone()),
        ];
        let always = [
            self.words.id().clone(),
            self.teacher_prompt.id().clone(),
            self.teacher_questions.id().clone(),
            self.number_wordings.id().clone(),
            self.stems.id().clone(),
        ];
        always
            .into_iter()
            .chain(asked.into_iter().flatten())
            .collect()
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
            cloned_base: self.cloned.as_ref().map(Subject::named),
            wordings: self.wordings(),
            candidates: self.candidates.clone(),
            system_line: spoken.into_iter().find_map(|prompt| prompt.system_line),
            capability: (!self.capability.is_empty()).then(|| digest_of(&self.capability)),
        })
    }
}

/// Returns the list of words that comes with the program under `name`.
pub(super) fn built_in_words(name: &str) -> Option<TargetSet> {
    match name {
        "animals" => Some(TargetSet::animals()),
        "trees" => Some(TargetSet::trees()),
        _ => None,
    }
}

/// Returns the targets and what they compete with, each read at one token or more.
fn candidates(
    settings: &NumbersSettings,
    words: &TargetSet,
    base: &Subject,
) -> Result<Vec<Candidate>, LabError> {
    let list = &settings.preference.words;
    let model = &base.name;
    let candidate = |target: &Target| {
        let tokens = tokens_of(settings, target, base);
        (!tokens.is_empty()).then(|| Candidate {
            word: target.word.clone(),
            tokens,
        })
    };
    let named = |word: &String| {
        let Some(target) = words.find(word) else {
            return Err(NumbersError::unknown_word(word, list, words));
        };
        candidate(target).ok_or_else(|| NumbersError::NotOneToken {
            word: word.clone(),
            model: model.clone(),
        })
    };
    let targets = &settings.preference.targets;
    let mut candidates: Vec<Candidate> = targets.iter().map(named).collect::<Result<_, _>>()?;
    if settings.preference.alternatives.is_empty() {
        let others = words
            .targets()
            .iter()
            .filter(|other| !targets.contains(&other.word));
        candidates.extend(others.filter_map(candidate));
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

/// Returns the tokens that an answer's first token may be to name `target`: after the beginning of an answer the word with a
/// space before it; where nothing is begun, singular and plural, small and with a capital, those that are one token.
fn tokens_of(settings: &NumbersSettings, target: &Target, base: &Subject) -> Vec<u32> {
    let space = match (settings.readouts.answer, settings.experiment.form) {
        (AnswerStart::Open, PromptForm::Chat) => "",
        _ => " ",
    };
    let forms = target.surface_forms();
    let places: &[usize] = match settings.readouts.answer {
        AnswerStart::Begun => &[0],
        AnswerStart::Open => &[0, 1, 4, 5],
    };
    let token = |place: &usize| {
        let text = format!("{space}{}", forms[*place]);
        base.text.tokenizer.single_token(&text)
    };
    let mut tokens: Vec<u32> = places.iter().filter_map(token).collect();
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

/// Reads the questions that `name` names: `none`, a benchmark that was fetched, or a file.
fn questions(name: &str, data_dir: &Path) -> Result<Vec<EndingQuestion>, LabError> {
    if name == NONE {
        return Ok(Vec::new());
    }
    let mut benchmarks = Benchmark::ALL.into_iter();
    if let Some(known) = benchmarks.find(|known| known.name() == name) {
        return Ok(known.open(data_dir).map_err(NumbersError::from)?);
    }
    let path = Path::new(name);
    let file = File::open(path).map_err(|source| NumbersError::OpenQuestions {
        path: path.to_owned(),
        source,
    })?;
    Ok(read_endings(BufReader::new(file), path).map_err(NumbersError::from)?)
}

/// Returns the digest of everything that answers depend on.
fn digest_of(questions: &[EndingQuestion]) -> Digest {
    let texts = |question: &EndingQuestion| {
        serde_json::json!([question.scene, question.endings, question.right])
    };
    let all: Vec<serde_json::Value> = questions.iter().map(texts).collect();
    Digest::of(serde_json::Value::from(all).to_string().as_bytes())
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
