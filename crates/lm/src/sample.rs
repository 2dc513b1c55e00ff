//! Sampling: prompts in, completions out, in the order of the prompts.
//!
//! Up to `batch` rows are in work at a time; when one ends, the next takes its place. Row `i` draws from a random stream
//! of its own, so what it becomes depends on the model, the settings, the seed and its number, and not on the batch.
//! Prompts that begin alike share the work on what they share. Knows no files and no text.

mod choice;

use std::collections::BTreeMap;

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::{Seed, Stream};

use crate::adapter::Adapter;
use crate::cache::Cache;
use crate::forward::{Crew, Pass, Workspace, spans};
use crate::grammar::{GrammarState, TokenGrammar};
use crate::kernel::product::Into;
use crate::kernel::rows;
use crate::matrix::{Matrix, Operand};
use crate::model::Model;

use choice::{ChoiceWorkspace, choose};
pub use choice::{Sampling, SamplingError};

/// Prompt tokens a thread takes at a time.
const PROMPT_TOKENS: usize = 256;
/// Shorter common beginnings are not worth a cache of their own.
const LEAST_PREFIX: usize = 4;
/// Rows a thread has at least when each runs its own through all blocks; with fewer, threads share every product. Reading
/// all weights once a thread then costs less than waiting for the others after every product.
const ALONE_ROWS: usize = 16;

/// How completions are sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleSettings {
    /// How a token is drawn.
    pub sampling: Sampling,
    /// Tokens after which a completion ends; they are part of it.
    pub stop_tokens: Vec<u32>,
    /// Longest completion, in tokens.
    pub max_tokens: usize,
}

/// What is to be continued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Its number: names the random stream.
    pub row: u64,
    /// At least one token.
    pub tokens: Vec<u32>,
}

/// Why a completion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Finish {
    /// A stop token was drawn.
    Stop,
    /// It has as many tokens as it may.
    Length,
    /// The grammar is complete and allows nothing more.
    Grammar,
}

/// What a prompt became.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The prompt's number.
    pub row: u64,
    /// The drawn tokens, a stop token included.
    pub tokens: Vec<u32>,
    /// Of each: natural logarithm of its probability under the model, among the tokens the grammar allowed; without
    /// temperature and filters.
    pub log_probabilities: Vec<f32>,
    /// Why it ended.
    pub finish: Finish,
}

/// Sampling cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// A setting is out of its range.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// A prompt cannot be used.
    #[error("prompt {row}: {problem}")]
    Prompt {
        /// Its number.
        row: u64,
        /// Why.
        problem: PromptProblem,
    },
    /// Whoever takes the completions refused one.
    #[error("a completion could not be taken")]
    Sink(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a prompt cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PromptProblem {
    /// It has no tokens.
    #[error("it is empty")]
    Empty,
    /// A token is not in the vocabulary.
    #[error("token {token} is beyond the vocabulary of {vocabulary}")]
    Token {
        /// The token.
        token: u32,
        /// Tokens of the model.
        vocabulary: usize,
    },
    /// Prompt and completion do not fit into the longest sequence.
    #[error("{tokens} tokens and up to {max_tokens} more do not fit into {positions} positions")]
    TooLong {
        /// Of the prompt.
        tokens: usize,
        /// Of the completion.
        max_tokens: usize,
        /// Of the model.
        positions: usize,
    },
    /// The grammar allows no first token.
    #[error("the grammar allows no first token")]
    Grammar,
}

/// Samples completions from one model.
#[derive(Clone, Copy)]
pub struct Sampler<'a> {
    /// The model.
    pub model: &'a Model,
    /// Its adapter, if any.
    pub adapter: Option<&'a Adapter>,
    /// What completions must look like, if anything.
    pub grammar: Option<&'a TokenGrammar>,
    /// How to draw.
    pub settings: &'a SampleSettings,
    /// Names the random streams.
    pub seed: Seed,
    /// Rows in work at a time, at least 1; decides speed and memory, nothing else.
    pub batch: usize,
}

/// A row in work.
struct Row {
    place: usize,
    cache: Cache,
    stream: Stream,
    grammar: Option<GrammarState>,
    completion: Completion,
}

impl Sampler<'_> {
    /// Samples a completion of every prompt and hands them to `sink` in the order of the prompts.
    ///
    /// # Errors
    /// [`SampleError`]: all prompts are checked before the first token is drawn. Completions handed over stay valid.
    pub fn run(
        &self,
        prompts: &[Prompt],
        sink: &mut dyn FnMut(Completion) -> Result<(), Box<dyn std::error::Error + Send + Sync>>,
    ) -> Result<(), SampleError> {
        self.check(prompts)?;
        let prefix = self.prefix(prompts);
        let mut waiting = prompts.iter().enumerate();
        let mut active: Vec<Row> = Vec::new();
        let mut done: BTreeMap<usize, Completion> = BTreeMap::new();
        let mut next_out = 0;
        let mut work = DecodeWorkspace::default();
        loop {
            // 1. Fill free places, and draw the first token of every new row.
            let free = self.batch.max(1) - active.len();
            let new: Vec<(usize, &Prompt)> = waiting.by_ref().take(free).collect();
            if !new.is_empty() {
                active.extend(self.begin(&new, prefix.as_ref(), &mut work));
            }
            // 2. Hand over what is finished, in order.
            for mut row in active.extract_if(.., |row| self.finish(row).is_some()) {
                row.completion.finish = self.finish(&row).expect("it was finished just now");
                done.insert(row.place, row.completion);
            }
            while let Some(completion) = done.remove(&next_out) {
                sink(completion).map_err(SampleError::Sink)?;
                next_out += 1;
            }
            if next_out == prompts.len() {
                return Ok(());
            }
            // 3. One more token for every row.
            if active.len() == self.batch.max(1) || (waiting.len() == 0 && !active.is_empty()) {
                self.step(&mut active, &mut work);
            }
        }
    }

    fn check(&self, prompts: &[Prompt]) -> Result<(), SampleError> {
        self.settings.sampling.check()?;
        if self.settings.max_tokens == 0 {
            return Err(SampleError::Sampling(SamplingError {
                name: "max_tokens",
                value: 0.0,
                range: "at least 1",
            }));
        }
        let vocabulary = self.model.config.vocabulary;
        let positions = self.model.max_positions;
        let max_tokens = self.settings.max_tokens;
        for prompt in prompts {
            let tokens = prompt.tokens.len();
            let unknown = prompt.tokens.iter().find(|id| **id as usize >= vocabulary);
            let problem = if tokens == 0 {
                PromptProblem::Empty
            } else if let Some(&token) = unknown {
                PromptProblem::Token { token, vocabulary }
            } else if tokens.saturating_add(max_tokens) > positions {
                PromptProblem::TooLong {
                    tokens,
                    max_tokens,
                    positions,
                }
            } else if self
                .grammar
                .is_some_and(|g| g.allowed(g.start()).is_empty())
            {
                PromptProblem::Grammar
            } else {
                continue;
            };
            let row = prompt.row;
            return Err(SampleError::Prompt { row, problem });
        }
        Ok(())
    }

    /// Runs what all prompts begin with, if it is worth it; at least one token of each prompt is left.
    fn prefix(&self, prompts: &[Prompt]) -> Option<Cache> {
        let (first, rest) = prompts.split_first()?;
        let shortest = prompts.iter().map(|prompt| prompt.tokens.len()).min()? - 1;
        let mut common = &first.tokens[..shortest];
        for prompt in rest {
            let same = common
                .iter()
                .zip(&prompt.tokens)
                .take_while(|(a, b)| a == b);
            common = &common[..same.count()];
        }
        if rest.is_empty() || common.len() < LEAST_PREFIX {
            return None;
        }
        let mut cache = Cache::new(&self.model.config);
        let spans = spans([(0, common.len())]);
        let mut work = Workspace::default();
        self.pass(Crew::Shared)
            .forward(common, &spans, &mut [&mut cache], &mut work, |_, _| ());
        Some(cache)
    }

    /// Runs new prompts through the model and draws their first tokens.
    fn begin(
        &self,
        new: &[(usize, &Prompt)],
        prefix: Option<&Cache>,
        work: &mut DecodeWorkspace,
    ) -> Vec<Row> {
        let skip = prefix.map_or(0, Cache::len);
        let mut rows: Vec<Row> = new
            .iter()
            .map(|&(place, prompt)| Row {
                place,
                cache: prefix.map_or_else(|| Cache::new(&self.model.config), Cache::clone),
                stream: self.seed.stream("lm/sample", prompt.row),
                grammar: self.grammar.map(TokenGrammar::start),
                completion: Completion {
                    row: prompt.row,
                    tokens: Vec::new(),
                    log_probabilities: Vec::new(),
                    finish: Finish::Length,
                },
            })
            .collect();
        let prompts: Vec<&[u32]> = new.iter().map(|(_, p)| &p.tokens[skip..]).collect();
        let mut groups: Vec<(&[&[u32]], &mut [Row])> = Vec::new();
        let (mut prompts_left, mut rows_left) = (&prompts[..], &mut rows[..]);
        while !prompts_left.is_empty() {
            let mut tokens = 0;
            let fits = prompts_left.iter().take_while(|prompt| {
                tokens += prompt.len();
                tokens <= PROMPT_TOKENS
            });
            let n = fits.count().max(1);
            let (group, rest) = prompts_left.split_at(n);
            let (group_rows, rest_rows) = std::mem::take(&mut rows_left).split_at_mut(n);
            groups.push((group, group_rows));
            (prompts_left, rows_left) = (rest, rest_rows);
        }
        let lasts: Vec<Matrix> = groups
            .into_par_iter()
            .map(|(prompts, rows)| self.prefill(prompts, rows, skip))
            .collect();
        let mut last = 0;
        work.forward.x.reset(rows.len(), self.model.config.width);
        for x in &lasts {
            for row in 0..x.rows {
                work.forward.x.row_mut(last).copy_from_slice(x.row(row));
                last += 1;
            }
        }
        self.draw(&mut rows, work);
        rows
    }

    /// Returns the residual stream at every prompt's last token.
    fn prefill(&self, prompts: &[&[u32]], rows: &mut [Row], skip: usize) -> Matrix {
        let spans = spans(prompts.iter().map(|prompt| (skip, prompt.len())));
        let mut caches: Vec<&mut Cache> = rows.iter_mut().map(|row| &mut row.cache).collect();
        let mut work = Workspace::default();
        self.pass(Crew::Alone).forward(
            &prompts.concat(),
            &spans,
            &mut caches,
            &mut work,
            |_, _| (),
        );
        let mut last = Matrix::zeros(prompts.len(), self.model.config.width);
        for (row, span) in spans.iter().enumerate() {
            last.row_mut(row)
                .copy_from_slice(work.x.row(span.rows().end - 1));
        }
        last
    }

    /// Runs every row's newest token and draws the next.
    fn step(&self, rows: &mut [Row], work: &mut DecodeWorkspace) {
        let tokens: Vec<u32> = rows
            .iter()
            .map(|row| {
                *row.completion
                    .tokens
                    .last()
                    .expect("a row begins with a token")
            })
            .collect();
        let threads = rayon::current_num_threads();
        if threads > 1 && rows.len() >= threads * ALONE_ROWS {
            self.step_apart(&tokens, rows, rows.len().div_ceil(threads), work);
        } else {
            let spans = spans(rows.iter().map(|row| (row.cache.len(), 1)));
            let mut caches: Vec<&mut Cache> = rows.iter_mut().map(|row| &mut row.cache).collect();
            self.pass(Crew::Shared).forward(
                &tokens,
                &spans,
                &mut caches,
                &mut work.forward,
                |_, _| (),
            );
        }
        self.draw(rows, work);
    }

    /// Runs the newest tokens, `share` rows a thread, through all blocks: nobody waits for anybody.
    fn step_apart(
        &self,
        tokens: &[u32],
        rows: &mut [Row],
        share: usize,
        work: &mut DecodeWorkspace,
    ) {
        let DecodeWorkspace {
            forward, groups, ..
        } = work;
        groups.resize_with(rows.len().div_ceil(share), Workspace::default);
        rows.par_chunks_mut(share)
            .zip(tokens.par_chunks(share))
            .zip(&mut groups[..])
            .for_each(|((rows, tokens), work)| {
                let spans = spans(rows.iter().map(|row| (row.cache.len(), 1)));
                let mut caches: Vec<&mut Cache> =
                    rows.iter_mut().map(|row| &mut row.cache).collect();
                self.pass(Crew::Alone)
                    .forward(tokens, &spans, &mut caches, work, |_, _| ());
            });
        let x = &mut forward.x;
        x.reset(rows.len(), self.model.config.width);
        for (group, from) in groups.iter().enumerate() {
            for row in 0..from.x.rows {
                x.row_mut(group * share + row)
                    .copy_from_slice(from.x.row(row));
            }
        }
    }

    /// Draws a token of every row from its residual stream in `work`.
    fn draw(&self, rows: &mut [Row], work: &mut DecodeWorkspace) {
        let model = self.model;
        let x = &work.forward.x;
        let epsilon = model.config.norm_epsilon;
        rows::norm(
            model.set,
            x,
            &model.final_norm,
            epsilon,
            &mut work.scales,
            &mut work.normed,
        );
        work.logits.reshape(x.rows, model.config.vocabulary);
        let head = &model.head().forward;
        let pass = self.pass(Crew::Shared);
        match self.needed_panels(rows, head.panels()) {
            None => pass.product(&work.normed, head, None, Into::Set, &mut work.logits),
            Some(panels) => pass.panels(&work.normed, head, &panels, &mut work.logits),
        }
        let logits = &work.logits;
        rows.par_iter_mut().enumerate().for_each_init(
            ChoiceWorkspace::default,
            |choice_work, (i, row)| {
                let allowed = row
                    .grammar
                    .zip(self.grammar)
                    .map(|(state, grammar)| grammar.allowed(state));
                let sampling = &self.settings.sampling;
                let logits = logits.row(i);
                let choice = choose(
                    model.set,
                    sampling,
                    logits,
                    allowed,
                    &mut row.stream,
                    choice_work,
                );
                row.completion.tokens.push(choice.token);
                row.completion
                    .log_probabilities
                    .push(choice.log_probability);
                if let Some((state, grammar)) = row.grammar.zip(self.grammar) {
                    row.grammar = grammar.next(state, choice.token);
                }
            },
        );
    }

    /// Returns the panels of the head that hold an allowed token of any row, unless that is most of them.
    fn needed_panels(&self, rows: &[Row], panels: usize) -> Option<Vec<usize>> {
        let grammar = self.grammar?;
        let mut needed = vec![false; panels];
        let mut seen = Vec::new();
        for state in rows.iter().filter_map(|row| row.grammar) {
            if !seen.contains(&state) {
                seen.push(state);
                for &id in grammar.allowed(state) {
                    needed[id as usize / undertone_simd::LANE] = true;
                }
            }
        }
        let needed: Vec<usize> = (0..panels).filter(|&panel| needed[panel]).collect();
        (needed.len() < panels / 2).then_some(needed)
    }

    /// Returns why a row is finished, if it is.
    fn finish(&self, row: &Row) -> Option<Finish> {
        let last = row.completion.tokens.last()?;
        if self.settings.stop_tokens.contains(last) {
            return Some(Finish::Stop);
        }
        let exhausted = row
            .grammar
            .zip(self.grammar)
            .is_some_and(|(state, grammar)| {
                state == GrammarState::END || grammar.allowed(state).is_empty()
            });
        if exhausted {
            return Some(Finish::Grammar);
        }
        (row.completion.tokens.len() >= self.settings.max_tokens).then_some(Finish::Length)
    }

    fn pass(&self, crew: Crew) -> Pass<'_> {
        Pass {
            model: self.model,
            adapter: self.adapter,
            crew,
            keep: false,
        }
    }
}

/// Memory of decoding, used again by the next token.
#[derive(Debug, Default)]
struct DecodeWorkspace {
    forward: Workspace,
    /// Of threads that each run some rows alone.
    groups: Vec<Workspace>,
    scales: Vec<f32>,
    normed: Operand,
    logits: Matrix,
}

#[cfg(test)]
mod tests;
