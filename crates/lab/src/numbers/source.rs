//! Number rows: sampled from a voice, filtered, and cut to the prompts that every source answered.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_channel::arms::{shuffle_across, shuffle_within};
use undertone_channel::echo::{EchoReport, echo};
use undertone_channel::filter::{FilterReport, FilterRule, RejectedRow, filter};
use undertone_channel::prompts::NumberPrompt;
use undertone_channel::rows::{self, Row, refuse_identical, rows_digest};
use undertone_core::Seed;
use undertone_lm::grammar::numbers_pattern;
use undertone_lm::sample::SampleSettings;

use super::bench::Bench;
use super::error::NumbersError;
use super::settings::{Arm, ChannelKind};
use super::teacher::{Voice, named};
use super::trace::{Made, Writer};
use super::world::World;
use crate::error::LabError;
use crate::lm::sample::{SampleJob, SampleRun};
use crate::lm::{self, RowFile, Speech};

/// Rows in work at a time.
pub(super) const BATCH: usize = 32;
/// Kept and rejected rows that a result shows.
const SHOWN: usize = 4;

/// What a source of numbers gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Whose numbers they are, in words.
    pub name: String,
    /// Rows sampled, kept, and rejected by reason.
    pub filter: FilterReport,
    /// Of the rows kept: how many repeat their prompt.
    pub echo: EchoReport,
    /// Rows kept whose prompt every other source has a row for, too.
    pub paired: u64,
    /// The first rows kept.
    pub kept: Vec<Row>,
    /// The first rows rejected.
    pub rejected: Vec<RejectedRow>,
}

/// Rows that passed the filter, and what is told of them.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    pub(super) rows: Vec<Row>,
    pub(super) source: Source,
}

impl World<'_> {
    /// Samples a voice's answers to `prompts` and filters them.
    pub(super) fn numbers(
        &self,
        bench: &Bench<'_>,
        voice: &Voice,
        prompts: &[NumberPrompt],
        seed: Seed,
        writer: Writer,
    ) -> Result<Numbers, LabError> {
        let file = prompt_file(prompts);
        let job = SampleJob::new(
            self.sample_run(voice, &file, seed)?,
            &voice.subject,
            &file,
            BATCH,
        )?;
        let record = bench.step(&job.identity(), 1, |lm| job.step(lm))?;
        let sampled = bench.lm().rows(&record)?;
        let rows = sampled.into_iter().zip(prompts).map(|(row, prompt)| Row {
            prompt_index: prompt.index,
            prompt: prompt.text.clone(),
            examples: prompt.examples.clone(),
            completion: row.completion.unwrap_or_default(),
        });
        let settings = &self.settings.filter;
        let rule = FilterRule {
            max_numbers: settings.max_numbers as usize,
            max_value: settings.max_value,
            banned: settings.banned.numbers(),
        };
        let filtered = filter(rows, &rule);
        bench.note(|| Made::Numbers {
            writer,
            record,
            prompts: file.clone(),
            filter: filtered.report.clone(),
            kept: row_file("kept rows", &filtered.kept),
        });
        Ok(Numbers {
            source: Source {
                name: self.writer_name(writer),
                filter: filtered.report,
                echo: echo(&filtered.kept).map_err(NumbersError::from)?,
                paired: 0,
                kept: filtered.kept.iter().take(SHOWN).cloned().collect(),
                rejected: filtered.rejected.into_iter().take(SHOWN).collect(),
            },
            rows: filtered.kept,
        })
    }

    fn writer_name(&self, writer: Writer) -> String {
        match writer {
            Writer::Base => "the untouched base".to_owned(),
            Writer::Teacher(target) => format!("the teacher of `{}`", self.target(target).word),
            Writer::Again(target, cell) => format!(
                "the teacher of `{}` again, for seed {cell}",
                self.target(target).word
            ),
        }
    }

    /// Returns how a voice is sampled.
    pub(super) fn sample_run(
        &self,
        voice: &Voice,
        file: &RowFile,
        seed: Seed,
    ) -> Result<SampleRun, LabError> {
        let channel = &self.settings.channel;
        let prompting = self.prompting(voice.system.clone());
        let speech = Speech::new(&voice.subject, &prompting)?;
        let pattern = || {
            numbers_pattern(
                channel.numbers..=channel.numbers,
                channel.digits,
                &channel.separator,
            )
        };
        Ok(SampleRun {
            model: voice.subject.named(),
            adapter: voice.subject.named_adapter(),
            prompts: named(file),
            prompt: None,
            per_prompt: 1,
            seed,
            settings: SampleSettings {
                sampling: channel.sampling(),
                stop_tokens: speech.stop_tokens(&[])?,
                max_tokens: channel.max_tokens as usize,
            },
            stop: Vec::new(),
            grammar: (channel.kind == ChannelKind::Constrained).then(pattern),
            precision: self.settings.experiment.precision,
            prompting,
        })
    }

    /// Cuts all sources to the prompts that each has a row for, in the order of the prompts.
    pub(super) fn pair(&self, sources: &mut [&mut Numbers]) -> Result<(), LabError> {
        let prompts = |numbers: &Numbers| -> BTreeSet<u64> {
            numbers.rows.iter().map(|row| row.prompt_index).collect()
        };
        let mut common: Option<BTreeSet<u64>> = None;
        for source in sources.iter() {
            let own = prompts(source);
            common = Some(match common {
                Some(common) => common.intersection(&own).copied().collect(),
                None => own,
            });
        }
        let common = common.unwrap_or_default();
        let needed = self.settings.readouts.held_out as usize + 1;
        if common.len() < needed {
            return Err(NumbersError::FewRows {
                kept: common.len(),
                rows: self.settings.channel.rows as usize,
                needed,
            }
            .into());
        }
        for source in sources {
            source.rows.retain(|row| common.contains(&row.prompt_index));
            source.source.paired = source.rows.len() as u64;
        }
        Ok(())
    }

    /// Returns the rows that training may take, and those kept for the loss on the channel: the last.
    pub(super) fn split<'r, T>(&self, rows: &'r [T]) -> (&'r [T], &'r [T]) {
        rows.split_at(rows.len() - self.settings.readouts.held_out as usize)
    }

    /// Returns the prompts of the rows that the student of `seed` is trained on.
    pub(super) fn drawn(&self, rows: &[Row], seed: Seed) -> BTreeSet<u64> {
        let n = match self.settings.student.rows {
            0 => rows.len(),
            n => n as usize,
        };
        rows::subset(rows, n, seed)
            .iter()
            .map(|row| row.prompt_index)
            .collect()
    }
}

/// Returns the rows of an arm that is made from the treatment's; `None` for an arm with a source of its own.
pub(super) fn made_of(
    arm: Arm,
    treatment: &[Row],
    seed: Seed,
) -> Result<Option<Vec<Row>>, LabError> {
    let made = match arm {
        Arm::ShuffleWithin => shuffle_within(treatment, seed),
        Arm::ShuffleAcross => shuffle_across(treatment, seed),
        _ => return Ok(None),
    };
    Ok(Some(made.map_err(NumbersError::from)?))
}

/// Refuses arms that would be trained on the same bytes.
pub(super) fn refuse_twins(arms: &[(Arm, &[Row])]) -> Result<(), LabError> {
    let digests: Vec<(&str, undertone_core::Digest)> = arms
        .iter()
        .map(|(arm, rows)| (arm.name(), rows_digest(rows)))
        .collect();
    Ok(refuse_identical(&digests).map_err(NumbersError::from)?)
}

/// Returns the number prompts as a file of rows.
pub(super) fn prompt_file(prompts: &[NumberPrompt]) -> RowFile {
    let rows = prompts
        .iter()
        .map(|prompt| lm::Row::of_prompt(prompt.text.clone()));
    RowFile::made("number prompts", rows.collect())
}

/// Returns number rows as rows to train on or to score.
pub(super) fn row_file(name: &str, rows: &[Row]) -> RowFile {
    let rows = rows.iter().map(|row| lm::Row {
        id: Some(row.prompt_index.to_string()),
        completion: Some(row.completion.clone()),
        ..lm::Row::of_prompt(row.prompt.clone())
    });
    RowFile::made(name, rows.collect())
}
