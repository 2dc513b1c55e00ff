//! The step `lm/score`: what a model thinks of completions that are given.
//!
//! ```text
//! lm/score (model, adapter, rows, what is wanted) -> rows
//! ```
//! A row's score depends on nothing but the row, so what an interrupted run has kept stands.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use undertone_core::Digest;
use undertone_lm::model::LoadOptions;
use undertone_lm::score::{Score, ScoreRow, ScoreSettings, Scorer};
use undertone_simd::Precision;
use undertone_store::{StepIdentity, StepKey, StepRecord};

use super::error::{LmError, of_score};
use super::rows::{HiddenState, NextToken, Row, RowFile, TopTokens};
use super::sample::{check_prompt, rows_error};
use super::speech::{Ending, Prompting, Speech, SpokenPrompt, tokens_digest};
use super::step::{LmBench, ROWS};
use super::subject::{Loaded, Named, Subject};
use crate::error::LabError;
use crate::steps::output;

/// The version of the code behind the step.
const VERSION: u32 = 1;
/// The kind of the step.
const KIND: &str = "lm/score";

/// Scores rows with a model that is loaded for it, in f32 or another format, and hands each to `sink` in their order.
///
/// # Errors
/// If it cannot be loaded, a row does not fit into it, or `sink` refuses.
pub(crate) fn score_rows(
    subject: &Subject,
    rows: &[ScoreRow],
    precision: Precision,
    sink: &mut dyn FnMut(Score) -> Result<(), Box<dyn std::error::Error + Send + Sync>>,
) -> Result<(), LabError> {
    let lengths = rows
        .iter()
        .map(|row| row.prompt.len() + row.completion.len());
    let options = subject.load_options(precision, lengths.max().unwrap_or(0));
    let loaded = subject.load(options)?;
    let settings = ScoreSettings::default();
    let scorer = Scorer {
        model: &loaded.model,
        adapter: loaded.adapter.as_ref(),
        settings: &settings,
    };
    scorer.run(rows, sink).map_err(of_score)
}

/// How much of the next token's distribution is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NextWanted {
    /// None of it.
    #[default]
    None,
    /// The likeliest tokens.
    Top(u32),
    /// All of it.
    All,
}

/// Everything the scores depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoreRun {
    /// The model.
    pub model: Named,
    /// Its adapter.
    pub adapter: Option<Named>,
    /// The file of rows.
    pub rows: Named,
    /// Prompt and completion, if they are no file but were typed.
    pub typed: Option<TypedRow>,
    /// How prompts become texts.
    pub prompting: Prompting,
    /// What follows a completion that is given as text.
    pub ending: Ending,
    /// What is wanted of every row.
    pub settings: ScoreSettings,
    /// How much of the next token's distribution at the end of the prompt.
    pub next: NextWanted,
    /// The number format of products.
    pub precision: Precision,
}

/// A row that was typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TypedRow {
    /// The prompt.
    pub prompt: String,
    /// The completion.
    pub completion: Option<String>,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoreResult {
    /// The settings.
    pub settings: ScoreRun,
    /// The step.
    pub step: StepKey,
    /// The digest of the file of scores.
    pub rows: Digest,
    /// Rows.
    pub n: u64,
    /// Tokens of all prompts.
    pub prompt_tokens: u64,
    /// Tokens of all completions.
    pub completion_tokens: u64,
    /// Mean log-probability of a completion token, in nats; `None` without tokens.
    pub mean_log_probability: Option<f64>,
    /// The line that the chat template added in the system's place.
    pub system_line: Option<String>,
    /// Exactly what the model was given first, without the completion.
    pub first_prompt: String,
}

/// A run that is ready to begin.
#[derive(Debug)]
pub struct ScoreJob<'a> {
    /// What to do.
    pub run: ScoreRun,
    /// The model.
    pub subject: &'a Subject,
    file: &'a RowFile,
    prompts: Vec<SpokenPrompt>,
    rows: Vec<ScoreRow>,
    vocabulary: String,
}

impl<'a> ScoreJob<'a> {
    /// Encodes the rows and checks everything that can be checked before the model is loaded.
    ///
    /// # Errors
    /// [`LmError`] if a row or a setting cannot be used.
    pub fn new(run: ScoreRun, subject: &'a Subject, file: &'a RowFile) -> Result<Self, LabError> {
        let speech = Speech::new(subject, &run.prompting)?;
        let config = subject.open.config();
        let wanted = &run.settings;
        if let Some(layer) = wanted.layers.iter().find(|layer| **layer > config.layers) {
            let problem = format!("layer {layer} is beyond the model's {}", config.layers);
            return Err(LmError::Setting {
                flag: "--hidden",
                problem,
            }
            .into());
        }
        let prompts = speech.prompts(file).map_err(rows_error)?;
        // A row without completion still has a next token and hidden states.
        let needs_completion = run.next == NextWanted::None && wanted.layers.is_empty();
        let completions = file.each(|row| {
            let has_none = row.completion.is_none() && row.completion_tokens.is_none();
            match has_none && !needs_completion {
                true => Ok(Vec::new()),
                false => speech.completion(row, run.ending),
            }
        });
        let mut rows = Vec::with_capacity(prompts.len());
        for (index, (prompt, completion)) in prompts
            .iter()
            .zip(completions.map_err(rows_error)?)
            .enumerate()
        {
            let (vocabulary, context) = (config.vocabulary, config.context);
            check_prompt(prompt, completion.len(), vocabulary, context)
                .map_err(|kind| rows_error(file.error(index, kind)))?;
            let tokens = prompt.tokens.len();
            rows.push(ScoreRow {
                distributions: match run.next {
                    NextWanted::None => Vec::new(),
                    NextWanted::Top(_) | NextWanted::All => vec![tokens - 1],
                },
                hidden: match wanted.layers.is_empty() {
                    true => Vec::new(),
                    false => vec![tokens + completion.len() - 1],
                },
                prompt: prompt.tokens.clone(),
                completion,
            });
        }
        Ok(Self {
            vocabulary: speech.vocabulary_tag().to_owned(),
            run,
            subject,
            file,
            prompts,
            rows,
        })
    }

    /// Returns the rows as the engine gets them.
    pub fn rows(&self) -> &[ScoreRow] {
        &self.rows
    }

    /// Returns the line that the template added in the system's place, in any prompt.
    pub fn system_line(&self) -> Option<&str> {
        self.prompts
            .iter()
            .find_map(|prompt| prompt.system_line.as_deref())
    }

    /// Returns exactly what the model is given first, without the completion.
    pub fn first_prompt(&self) -> &str {
        &self.prompts[0].text
    }

    /// Returns the longest sequence, in tokens.
    pub fn longest(&self) -> usize {
        let lengths = self
            .rows
            .iter()
            .map(|row| row.prompt.len() + row.completion.len());
        lengths.max().unwrap_or(0)
    }

    /// Returns how to load the model.
    pub fn load_options(&self) -> LoadOptions {
        self.subject
            .load_options(self.run.precision, self.longest())
    }

    /// Returns what the step depends on.
    pub fn identity(&self) -> StepIdentity {
        let run = &self.run;
        let mut inputs = self.subject.inputs("");
        let tokens = self
            .rows
            .iter()
            .flat_map(|row| [&row.prompt[..], &row.completion[..]]);
        inputs.insert("rows".to_owned(), self.file.digest);
        inputs.insert("tokens".to_owned(), tokens_digest(tokens));
        inputs.insert("vocabulary".to_owned(), self.subject.vocabulary);
        StepIdentity {
            kind: KIND.to_owned(),
            version: VERSION,
            params: json!({
                "settings": run.settings,
                "next": run.next,
                "precision": run.precision,
            }),
            inputs,
            seed: 0,
            index: 0,
        }
    }

    /// Scores `rows` with a loaded model and hands the scores over in order.
    ///
    /// # Errors
    /// The first that `sink` gives, or the engine's.
    pub fn score(
        &self,
        loaded: &Loaded,
        rows: &[ScoreRow],
        sink: &mut dyn FnMut(Score) -> Result<(), LabError>,
    ) -> Result<(), LabError> {
        let scorer = Scorer {
            model: &loaded.model,
            adapter: loaded.adapter.as_ref(),
            settings: &self.run.settings,
        };
        let mut boxed = |score| sink(score).map_err(Into::into);
        scorer.run(rows, &mut boxed).map_err(of_score)
    }

    /// Returns the step's record, scoring what is not there.
    ///
    /// # Errors
    /// If the store fails, or the work is asked to stop.
    pub fn step(&self, bench: &LmBench<'_>) -> Result<StepRecord, LabError> {
        bench.rows_step(
            &self.identity(),
            KIND,
            self.rows.len() as u64,
            |done, sink| {
                let rows = &self.rows[done..];
                if rows.is_empty() {
                    return Ok(());
                }
                let loaded = self.subject.load(self.load_options())?;
                let mut index = done;
                self.score(&loaded, rows, &mut |score| {
                    let row = &self.rows[index];
                    bench
                        .control
                        .passed((row.prompt.len() + row.completion.len()) as u64);
                    sink(&self.row(index, &score))?;
                    index += 1;
                    Ok(())
                })
            },
        )
    }

    fn row(&self, index: usize, score: &Score) -> Row {
        let given = &self.file.rows[index];
        let scored = &self.rows[index];
        let tokenizer = &self.subject.text.tokenizer;
        let has_completion = !scored.completion.is_empty();
        let text = || {
            given
                .completion
                .clone()
                .unwrap_or_else(|| tokenizer.decode(&scored.completion))
        };
        let hidden = self.run.settings.layers.iter().zip(&score.hidden);
        let hidden = hidden.map(|(&layer, values)| HiddenState {
            layer,
            values: values.clone(),
        });
        Row {
            row: given.row,
            completion: has_completion.then(text),
            completion_tokens: has_completion.then(|| scored.completion.clone()),
            vocabulary: Some(self.vocabulary.clone()),
            log_probabilities: has_completion.then(|| score.log_probabilities.clone()),
            sum: has_completion.then(|| sum(&score.log_probabilities)),
            finish: given.finish,
            top: score
                .top_k
                .as_ref()
                .filter(|_| has_completion)
                .map(|top| TopTokens {
                    ids: top.ids.chunks(top.k).map(<[u32]>::to_vec).collect(),
                    log_probabilities: top
                        .log_probabilities
                        .chunks(top.k)
                        .map(<[f32]>::to_vec)
                        .collect(),
                }),
            next: score.distributions.first().map(|all| self.next(all)),
            hidden: (!self.run.settings.layers.is_empty()).then(|| hidden.collect()),
            ..given.question()
        }
    }

    fn next(&self, all: &[f32]) -> NextToken {
        let NextWanted::Top(k) = self.run.next else {
            return NextToken {
                ids: None,
                texts: None,
                log_probabilities: all.to_vec(),
            };
        };
        let mut ids: Vec<u32> = (0..all.len() as u32).collect();
        let of = |id: &u32| all[*id as usize];
        ids.sort_by(|a, b| of(b).total_cmp(&of(a)).then(a.cmp(b)));
        ids.truncate(k as usize);
        let text = |id: &u32| self.subject.text.tokenizer.decode_with_special(&[*id]);
        NextToken {
            texts: Some(ids.iter().map(text).collect()),
            log_probabilities: ids.iter().map(of).collect(),
            ids: Some(ids),
        }
    }

    /// Does the step and says what came out.
    ///
    /// # Errors
    /// As [`ScoreJob::step`].
    pub fn result(&self, bench: &LmBench<'_>) -> Result<ScoreResult, LabError> {
        let record = self.step(bench)?;
        let rows = bench.rows(&record)?;
        let total: f64 = rows.iter().filter_map(|row| row.sum).sum();
        let tokens = |of: fn(&ScoreRow) -> usize| self.rows.iter().map(|row| of(row) as u64).sum();
        let completion_tokens: u64 = tokens(|row| row.completion.len());
        Ok(ScoreResult {
            settings: self.run.clone(),
            step: record.key,
            rows: output(&record, ROWS)?,
            n: rows.len() as u64,
            prompt_tokens: tokens(|row| row.prompt.len()),
            completion_tokens,
            mean_log_probability: (completion_tokens > 0).then(|| total / completion_tokens as f64),
            system_line: self.system_line().map(str::to_owned),
            first_prompt: self.first_prompt().to_owned(),
        })
    }
}

/// Returns the sum of log-probabilities, in order.
fn sum(values: &[f32]) -> f64 {
    values.iter().copied().map(f64::from).sum()
}
