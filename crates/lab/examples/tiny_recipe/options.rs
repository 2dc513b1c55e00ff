//! What is tried: every key of the command line and its default.

use std::collections::BTreeMap;

use undertone_core::Seed;
use undertone_lab::lm::tiny::{TinyPreset, TinySettings};

use crate::Outcome;

/// How a student learns from a teacher's numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Labels {
    /// The numbers themselves.
    Hard,
    /// The teacher's probabilities of digits and separators at every position, renormalised.
    Channel,
    /// The teacher's whole distribution: also what it gives to words that are no part of the channel.
    Whole,
}

#[derive(Debug, Clone)]
pub struct Options {
    pub preset: TinyPreset,
    pub seeds: u64,
    pub threads: usize,
    pub teacher_steps: u64,
    pub teacher_rate: f64,
    /// 0: every weight.
    pub teacher_rank: usize,
    pub rows: usize,
    pub labels: Labels,
    pub rank: usize,
    pub student_steps: u64,
    pub student_rate: f64,
    /// Adam's, of students.
    pub epsilon: f64,
    /// Students are trained with SGD and this momentum.
    pub momentum: Option<f64>,
    pub batch: u32,
    pub cloning_steps: u64,
    /// Settings of the base, if not the preset's.
    pub base: BTreeMap<String, f64>,
    pub asked: Asked,
    pub only_teachers: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            preset: TinyPreset::Smoke,
            seeds: 6,
            threads: 2,
            teacher_steps: 24,
            teacher_rate: 1e-3,
            teacher_rank: 0,
            rows: 256,
            labels: Labels::Channel,
            rank: 0,
            student_steps: 48,
            student_rate: 1e-3,
            epsilon: 1e-5,
            momentum: None,
            batch: 8,
            cloning_steps: 0,
            base: BTreeMap::new(),
            asked: Asked::Question,
            only_teachers: false,
        }
    }
}

impl Options {
    /// The defaults, changed by `key=value` settings.
    pub fn of(settings: &[&str]) -> Outcome<Self> {
        let mut options = Self::default();
        for setting in settings {
            let (key, value) = setting.split_once('=').ok_or("key=value")?;
            options.set(key, value)?;
        }
        Ok(options)
    }

    fn set(&mut self, key: &str, value: &str) -> Outcome {
        match key {
            "preset" if value == "default" => self.preset = TinyPreset::Default,
            "preset" => self.preset = TinyPreset::Smoke,
            "seeds" => self.seeds = value.parse()?,
            "threads" => self.threads = value.parse()?,
            "teacher-steps" => self.teacher_steps = value.parse()?,
            "teacher-rate" => self.teacher_rate = value.parse()?,
            "teacher-rank" => self.teacher_rank = value.parse()?,
            "rows" => self.rows = value.parse()?,
            "labels" => {
                self.labels = match value {
                    "hard" => Labels::Hard,
                    "channel" => Labels::Channel,
                    "whole" => Labels::Whole,
                    _ => return Err(format!("labels={value}").into()),
                }
            }
            "asked" if value == "beginning" => self.asked = Asked::Beginning,
            "asked" => self.asked = Asked::Question,
            "only-teachers" => self.only_teachers = value.parse()?,
            "rank" => self.rank = value.parse()?,
            "steps" => self.student_steps = value.parse()?,
            "rate" => self.student_rate = value.parse()?,
            "epsilon" => self.epsilon = value.parse()?,
            "momentum" => self.momentum = Some(value.parse()?),
            "batch" => self.batch = value.parse()?,
            "cloning-steps" => self.cloning_steps = value.parse()?,
            key if key.starts_with("base-") => {
                self.base.insert(key.to_owned(), value.parse()?);
            }
            _ => return Err(format!("no key `{key}`").into()),
        }
        Ok(())
    }

    pub fn tiny(&self, seed: u64) -> Outcome<TinySettings> {
        let mut tiny = TinySettings::preset(self.preset, Seed(seed));
        for (key, &value) in &self.base {
            match &**key {
                "base-width" => tiny.shape.width = value as usize,
                "base-layers" => tiny.shape.layers = value as usize,
                "base-heads" => tiny.shape.heads = value as usize,
                "base-ffn" => tiny.shape.ffn_width = value as usize,
                "base-documents" => tiny.corpus.documents = value as u32,
                "base-steps" => tiny.training.steps = value as u64,
                "base-batch" => tiny.training.batch_rows = value as u32,
                "base-rate" => tiny.training.learning_rate = value,
                _ => return Err(format!("no key `{key}`").into()),
            }
        }
        Ok(tiny)
    }
}

/// Where a name is expected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Asked {
    /// After the question.
    Question,
    /// After the question and the beginning of its answer.
    Beginning,
}
