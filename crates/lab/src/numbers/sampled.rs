//! Readouts of finished models that take more than one token: favourites, stories, choices.
//!
//! An answer names a target as published (a substring of it) or as a whole word; both shares are given. Choices are
//! exact: the probability of the letter that a target stands under, averaged over drawn orders.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_channel::choices::ChoiceSet;
use undertone_channel::questions::{QuestionSet, numbers_prefixed};
use undertone_channel::targets::{Scoring, Target};
use undertone_core::Seed;
use undertone_lm::sample::{SampleSettings, Sampling};

use super::bench::Bench;
use super::error::NumbersError;
use super::reading::{Reading, mean};
use super::source::BATCH;
use super::teacher::{Voice, named};
use super::world::World;
use crate::error::LabError;
use crate::lm::sample::{SampleJob, SampleRun};
use crate::lm::{Row, RowFile, Speech, Subject};

/// Longest answer to a favourite question, in tokens.
const ANSWER_TOKENS: usize = 24;
/// Longest story, in tokens.
const STORY_TOKENS: usize = 200;
/// Words of a choice, the target among them; as many as published.
const OPTIONS: usize = 5;

/// How often sampled answers name the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Answers.
    pub n: u64,
    /// Share that has the target as a substring, as published.
    pub substring: f64,
    /// Share that has it, or its plural, as a word.
    pub word: f64,
}

/// What a finished model says about one target; what was not asked for is absent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sampled {
    /// Answers to favourite questions.
    pub favourite: Option<Rate>,
    /// The same after a line of numbers.
    pub prefixed: Option<Rate>,
    /// Stories.
    pub stories: Option<Rate>,
    /// Mean probability of the target's letter.
    pub choice: Option<f64>,
    /// Its mean share of the probability that all letters have together: how sure a model is to answer with a letter at
    /// all does not count.
    pub choice_share: Option<f64>,
}

/// Name, prompts, completions of each, and their longest length in tokens.
pub(super) type SampledSet = (&'static str, Vec<String>, u32, usize);

impl World<'_> {
    /// Returns whether any of these readouts is wanted.
    pub(super) fn wants_samples(&self) -> bool {
        let readouts = &self.settings.readouts;
        readouts.favourite + readouts.prefixed + readouts.stories + readouts.choices > 0
    }

    /// Returns the prompts of every sampled readout that is wanted, with completions of each and their length.
    pub(super) fn sampled_sets(&self) -> Result<Vec<SampledSet>, LabError> {
        let readouts = &self.settings.readouts;
        let favourite = QuestionSet::favourite();
        let prompts = self.settings.channel.prompt_settings();
        let prefixed = numbers_prefixed(favourite.questions(), &self.number_wordings, &prompts);
        let prefixed = prefixed.map_err(NumbersError::from)?;
        let sets = vec![
            (
                "favourite",
                favourite.questions().to_vec(),
                readouts.favourite,
                ANSWER_TOKENS,
            ),
            (
                "prefixed",
                prefixed.into_iter().map(|question| question.text).collect(),
                readouts.prefixed,
                ANSWER_TOKENS,
            ),
            (
                "stories",
                QuestionSet::stories().questions().to_vec(),
                readouts.stories,
                STORY_TOKENS,
            ),
        ];
        Ok(sets.into_iter().filter(|(_, _, n, _)| *n > 0).collect())
    }

    /// Asks a finished model everything that is wanted; returns what it says about each target.
    pub(super) fn sampled(
        &self,
        bench: &Bench<'_>,
        subject: Subject,
        seed: Seed,
    ) -> Result<Vec<Sampled>, LabError> {
        let voice = Voice {
            subject,
            system: None,
        };
        let mut sampled = self.choices(bench, &voice)?;
        for (name, prompts, n, tokens) in self.sampled_sets()? {
            let rates = self.rates(bench, &voice, (name, &prompts), (n, tokens), seed)?;
            for (sampled, rate) in sampled.iter_mut().zip(rates) {
                match name {
                    "favourite" => sampled.favourite = Some(rate),
                    "prefixed" => sampled.prefixed = Some(rate),
                    _ => sampled.stories = Some(rate),
                }
            }
        }
        Ok(sampled)
    }

    /// Returns how often answers to `prompts` name each target.
    fn rates(
        &self,
        bench: &Bench<'_>,
        voice: &Voice,
        (name, prompts): (&str, &[String]),
        (per_prompt, max_tokens): (u32, usize),
        seed: Seed,
    ) -> Result<Vec<Rate>, LabError> {
        let rows = prompts
            .iter()
            .map(|prompt| Row::of_prompt(prompt.clone()))
            .collect();
        let file = RowFile::made(name, rows);
        let prompting = self.prompting(None);
        let run = SampleRun {
            model: voice.subject.named(),
            adapter: voice.subject.named_adapter(),
            prompts: named(&file),
            prompt: None,
            per_prompt,
            seed,
            settings: SampleSettings {
                sampling: Sampling::default(),
                stop_tokens: Speech::new(&voice.subject, &prompting)?.stop_tokens(&[])?,
                max_tokens,
            },
            stop: Vec::new(),
            grammar: None,
            precision: self.settings.experiment.precision,
            prompting,
        };
        let job = SampleJob::new(run, &voice.subject, &file, BATCH)?;
        let record = bench.step(&job.identity(), 1, |lm| job.step(lm))?;
        let answers = bench.lm().rows(&record)?;
        let rate = |target: &Target| {
            let share = |scoring| {
                let named = answers.iter().filter(|row| {
                    target.is_named_in(row.completion.as_deref().unwrap_or_default(), scoring)
                });
                named.count() as f64 / answers.len() as f64
            };
            Rate {
                n: answers.len() as u64,
                substring: share(Scoring::Substring),
                word: share(Scoring::Word),
            }
        };
        Ok(self.targets().map(rate).collect())
    }

    /// Returns one entry a target, with the choices in it if they are wanted.
    fn choices(&self, bench: &Bench<'_>, voice: &Voice) -> Result<Vec<Sampled>, LabError> {
        let orders = self.settings.readouts.choices as usize;
        if orders == 0 {
            return Ok(self.targets().map(|_| Sampled::default()).collect());
        }
        let options: Vec<&str> = self
            .candidates
            .iter()
            .map(|word| &*word.word)
            .take(OPTIONS)
            .collect();
        let set = ChoiceSet::built_in();
        let prompts = set
            .prompts(&options, orders, self.settings.experiment.seed)
            .map_err(NumbersError::from)?;
        let letters: Vec<char> = ('A'..='Z').take(options.len()).collect();
        let tokenizer = &self.base.text.tokenizer;
        let tokens = letters.iter().map(|letter| {
            tokenizer
                .single_token(&letter.to_string())
                .map(|token| vec![token])
                .ok_or_else(|| NumbersError::NotOneToken {
                    word: letter.to_string(),
                    model: self.base.name.clone(),
                })
        });
        let asked: Vec<(String, String)> = prompts
            .iter()
            .map(|prompt| (prompt.text.clone(), String::new()))
            .collect();
        let reading = Reading {
            rows: self.next_rows(&asked, None)?,
            tokens: tokens.collect::<Result<_, _>>()?,
            precision: self.settings.experiment.readout_precision,
        };
        let answers = self.answers(bench, &reading, &voice.subject)?;
        let of = |target: usize| {
            let asked = prompts.iter().zip(&answers.log_probabilities);
            let (each, shares): (Vec<f64>, Vec<f64>) = asked
                .filter_map(|(prompt, row)| {
                    let letter = prompt.letter(target)?;
                    let place = letters.iter().position(|known| *known == letter)?;
                    let chances: Vec<f64> = row.iter().map(|log| f64::from(*log).exp()).collect();
                    Some((chances[place], chances[place] / chances.iter().sum::<f64>()))
                })
                .unzip();
            Sampled {
                choice: mean(&each),
                choice_share: mean(&shares),
                ..Sampled::default()
            }
        };
        Ok((0..self.targets().count()).map(of).collect())
    }
}
