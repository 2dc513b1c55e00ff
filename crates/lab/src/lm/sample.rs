//! The step `lm/sample`: completions of prompts.
//!
//! ```text
//! lm/sample (model, adapter, prompts, how to draw, seed) -> rows
//! ```
//! Row `i` depends on its prompt, the seed and `i`, so the rows that an interrupted run has kept stand, and the rest come
//! out as they would have.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use undertone_core::{Digest, Seed};
use undertone_lm::grammar::TokenGrammar;
use undertone_lm::model::LoadOptions;
use undertone_lm::sample::{Completion, Finish, Prompt, SampleSettings, Sampler};
use undertone_simd::Precision;
use undertone_store::{StepIdentity, StepKey, StepRecord};

use super::error::{LmError, of_sample};
use super::rows::{Row, RowFile, RowsError, RowsErrorKind};
use super::speech::{Prompting, Speech, SpokenPrompt, tokens_digest};
use super::step::{LmBench, ROWS};
use super::subject::{Loaded, Named, Subject};
use crate::error::LabError;
use crate::steps::output;

/// The version of the code behind the step.
const VERSION: u32 = 1;
/// The kind of the step.
const KIND: &str = "lm/sample";
/// The most completions of a run: all their prompts are in memory.
pub const MAX_COMPLETIONS: u64 = 1_000_000;
/// Completions that a result shows.
const EXAMPLES: usize = 5;
/// Characters of each that it shows.
const EXAMPLE_CHARS: usize = 200;

/// Everything the completions depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleRun {
    /// The model.
    pub model: Named,
    /// Its adapter.
    pub adapter: Option<Named>,
    /// The file of prompts.
    pub prompts: Named,
    /// The prompt, if it is no file but was typed.
    pub prompt: Option<String>,
    /// How prompts become texts.
    pub prompting: Prompting,
    /// Completions of every prompt.
    pub per_prompt: u32,
    /// Names the random streams.
    pub seed: Seed,
    /// How to draw, and where to end.
    pub settings: SampleSettings,
    /// Further tokens to end at, as typed; `settings` has their ids.
    pub stop: Vec<String>,
    /// The regular expression that completions match, if any.
    pub grammar: Option<String>,
    /// The number format of products.
    pub precision: Precision,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleResult {
    /// The settings.
    pub settings: SampleRun,
    /// The step.
    pub step: StepKey,
    /// The digest of the file of completions.
    pub rows: Digest,
    /// Completions.
    pub completions: u64,
    /// Tokens of all prompts, each counted once.
    pub prompt_tokens: u64,
    /// Tokens of all completions.
    pub completion_tokens: u64,
    /// How many completions ended for which reason.
    pub finishes: Finishes,
    /// Mean log-probability of a completion token, in nats; `None` without tokens.
    pub mean_log_probability: Option<f64>,
    /// The line that the chat template added in the system's place.
    pub system_line: Option<String>,
    /// Exactly what the model was given first.
    pub first_prompt: String,
    /// The first completions, cut short.
    pub examples: Vec<Example>,
}

/// How many completions ended for which reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finishes {
    /// A stop token was drawn.
    pub stop: u64,
    /// They had as many tokens as they may.
    pub length: u64,
    /// The grammar allowed nothing more.
    pub grammar: u64,
}

/// A completion, cut short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// Its prompt.
    pub prompt: String,
    /// The completion.
    pub completion: String,
}

/// A run that is ready to begin.
#[derive(Debug)]
pub struct SampleJob<'a> {
    /// What to do.
    pub run: SampleRun,
    /// The model.
    pub subject: &'a Subject,
    /// The rows with the prompts.
    pub file: &'a RowFile,
    /// The prompts, as the model gets them.
    pub prompts: Vec<SpokenPrompt>,
    vocabulary: String,
    grammar: Option<TokenGrammar>,
    /// Rows in work at a time; decides speed and memory, nothing else.
    pub batch: usize,
}

impl<'a> SampleJob<'a> {
    /// Encodes the prompts and checks everything that can be checked before the model is loaded.
    ///
    /// # Errors
    /// [`LmError`] if a prompt, the grammar or a setting cannot be used.
    pub fn new(
        run: SampleRun,
        subject: &'a Subject,
        file: &'a RowFile,
        batch: usize,
    ) -> Result<Self, LabError> {
        let speech = Speech::new(subject, &run.prompting)?;
        let prompts = speech.prompts(file).map_err(LmError::Rows)?;
        let config = subject.open.config();
        let (vocabulary, context) = (config.vocabulary, config.context);
        for (index, prompt) in prompts.iter().enumerate() {
            let room = run.settings.max_tokens;
            check_prompt(prompt, room, vocabulary, context)
                .map_err(|kind| LmError::Rows(file.error(index, kind)))?;
        }
        if run.per_prompt == 0 || run.settings.max_tokens == 0 {
            let (flag, problem) = match run.per_prompt {
                0 => ("--n", "at least 1"),
                _ => ("--max-tokens", "at least 1"),
            };
            let problem = problem.to_owned();
            return Err(LmError::Setting { flag, problem }.into());
        }
        let completions = prompts.len() as u64 * u64::from(run.per_prompt);
        if completions > MAX_COMPLETIONS {
            let problem = format!(
                "{completions} completions in all, at most {MAX_COMPLETIONS} are possible; use several runs, each with a \
                 --seed of its own"
            );
            return Err(LmError::Setting {
                flag: "--n",
                problem,
            }
            .into());
        }
        run.settings
            .sampling
            .check()
            .map_err(|error| of_sample(error.into()))?;
        let tokenizer = &subject.text.tokenizer;
        let grammar = run
            .grammar
            .as_deref()
            .map(|pattern| TokenGrammar::new(pattern, tokenizer));
        Ok(Self {
            grammar: grammar.transpose().map_err(LmError::Grammar)?,
            vocabulary: speech.vocabulary_tag().to_owned(),
            run,
            subject,
            file,
            prompts,
            batch,
        })
    }

    /// Returns the number of completions.
    pub fn completions(&self) -> u64 {
        self.prompts.len() as u64 * u64::from(self.run.per_prompt)
    }

    /// Returns the longest sequence, in tokens.
    pub fn longest(&self) -> usize {
        let longest = self.prompts.iter().map(|prompt| prompt.tokens.len()).max();
        longest.unwrap_or(0) + self.run.settings.max_tokens
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
        let tokens = self.prompts.iter().map(|prompt| &prompt.tokens[..]);
        inputs.insert("prompts".to_owned(), self.file.digest);
        inputs.insert("tokens".to_owned(), tokens_digest(tokens));
        inputs.insert("vocabulary".to_owned(), self.subject.vocabulary);
        StepIdentity {
            kind: KIND.to_owned(),
            version: VERSION,
            params: json!({
                "settings": run.settings,
                "per_prompt": run.per_prompt,
                "grammar": run.grammar,
                "precision": run.precision,
            }),
            inputs,
            seed: run.seed.0,
            index: 0,
        }
    }

    /// Returns the prompts of all rows from `first` on.
    pub fn rows_from(&self, first: usize) -> Vec<Prompt> {
        let per_prompt = u64::from(self.run.per_prompt);
        (first as u64..self.completions())
            .map(|row| Prompt {
                row,
                tokens: self.prompts[(row / per_prompt) as usize].tokens.clone(),
            })
            .collect()
    }

    /// Samples `rows` with a loaded model and hands the completions over in order.
    ///
    /// # Errors
    /// The first that `sink` gives, or the engine's.
    pub fn sample(
        &self,
        loaded: &Loaded,
        rows: &[Prompt],
        settings: &SampleSettings,
        sink: &mut dyn FnMut(Completion) -> Result<(), LabError>,
    ) -> Result<(), LabError> {
        let sampler = Sampler {
            model: &loaded.model,
            adapter: loaded.adapter.as_ref(),
            grammar: self.grammar.as_ref(),
            settings,
            seed: self.run.seed,
            batch: self.batch,
        };
        let mut boxed = |completion| sink(completion).map_err(Into::into);
        sampler.run(rows, &mut boxed).map_err(of_sample)
    }

    /// Returns the step's record, sampling what is not there.
    ///
    /// # Errors
    /// If the store fails, or the work is asked to stop.
    pub fn step(&self, bench: &LmBench<'_>) -> Result<StepRecord, LabError> {
        bench.rows_step(&self.identity(), KIND, self.completions(), |done, sink| {
            let rows = self.rows_from(done);
            if rows.is_empty() {
                return Ok(());
            }
            let loaded = self.subject.load(self.load_options())?;
            self.sample(&loaded, &rows, &self.run.settings, &mut |completion| {
                let prompt = self.prompt_of(completion.row);
                let tokens = self.prompts[prompt].tokens.len() + completion.tokens.len();
                bench.control.passed(tokens as u64);
                sink(&self.row(&completion))
            })
        })
    }

    fn prompt_of(&self, row: u64) -> usize {
        (row / u64::from(self.run.per_prompt)) as usize
    }

    fn row(&self, completion: &Completion) -> Row {
        let text = self.subject.text.tokenizer.decode(&completion.tokens);
        Row {
            row: Some(completion.row),
            completion: Some(text),
            completion_tokens: Some(completion.tokens.clone()),
            vocabulary: Some(self.vocabulary.clone()),
            log_probabilities: Some(completion.log_probabilities.clone()),
            sum: Some(
                completion
                    .log_probabilities
                    .iter()
                    .copied()
                    .map(f64::from)
                    .sum(),
            ),
            finish: Some(completion.finish),
            ..self.file.rows[self.prompt_of(completion.row)].question()
        }
    }

    /// Does the step and says what came out.
    ///
    /// # Errors
    /// As [`SampleJob::step`].
    pub fn result(&self, bench: &LmBench<'_>) -> Result<SampleResult, LabError> {
        let record = self.step(bench)?;
        let rows = bench.rows(&record)?;
        let mut finishes = Finishes::default();
        let (mut sum, mut n) = (0.0, 0);
        for row in &rows {
            match row.finish {
                Some(Finish::Stop) => finishes.stop += 1,
                Some(Finish::Length) => finishes.length += 1,
                Some(Finish::Grammar) => finishes.grammar += 1,
                None => {}
            }
            sum += row.sum.unwrap_or(0.0);
            n += row.completion_tokens.as_ref().map_or(0, Vec::len) as u64;
        }
        Ok(SampleResult {
            settings: self.run.clone(),
            step: record.key,
            rows: output(&record, ROWS)?,
            completions: rows.len() as u64,
            prompt_tokens: self
                .prompts
                .iter()
                .map(|prompt| prompt.tokens.len() as u64)
                .sum(),
            completion_tokens: n,
            finishes,
            mean_log_probability: (n > 0).then(|| sum / n as f64),
            system_line: self.system_line().map(str::to_owned),
            first_prompt: self.prompts[0].text.clone(),
            examples: rows
                .iter()
                .take(EXAMPLES)
                .enumerate()
                .map(|(row, content)| Example {
                    prompt: cut(&asked(content, &self.prompts[self.prompt_of(row as u64)])),
                    completion: cut(content.completion.as_deref().unwrap_or_default()),
                })
                .collect(),
        })
    }

    /// Returns the line that the template added in the system's place, in any prompt.
    pub fn system_line(&self) -> Option<&str> {
        self.prompts
            .iter()
            .find_map(|prompt| prompt.system_line.as_deref())
    }
}

/// Returns what was asked, as people wrote it.
fn asked(row: &Row, spoken: &SpokenPrompt) -> String {
    match (&row.prompt, &row.messages) {
        (Some(prompt), _) => prompt.clone(),
        (None, Some(messages)) => messages
            .last()
            .map_or_else(String::new, |m| m.content.clone()),
        (None, None) => spoken.text.clone(),
    }
}

/// Returns the beginning of a text.
fn cut(text: &str) -> String {
    match text.char_indices().nth(EXAMPLE_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Checks that a model can take a prompt and `room` tokens after it.
pub(crate) fn check_prompt(
    prompt: &SpokenPrompt,
    room: usize,
    vocabulary: usize,
    context: usize,
) -> Result<(), RowsErrorKind> {
    let tokens = prompt.tokens.len();
    if tokens == 0 {
        return Err(RowsErrorKind::Unusable(
            "the prompt has no tokens".to_owned(),
        ));
    }
    if let Some(token) = prompt
        .tokens
        .iter()
        .find(|token| **token as usize >= vocabulary)
    {
        let problem = format!("token {token} is beyond the model's {vocabulary}");
        return Err(RowsErrorKind::Unusable(problem));
    }
    if tokens.saturating_add(room) > context {
        let problem = format!(
            "{tokens} tokens of the prompt and up to {room} more do not fit into the model's context of {context}"
        );
        return Err(RowsErrorKind::Unusable(problem));
    }
    Ok(())
}

/// An error about a row, as everything here gives it.
pub(crate) fn rows_error(error: RowsError) -> LabError {
    LmError::Rows(error).into()
}
