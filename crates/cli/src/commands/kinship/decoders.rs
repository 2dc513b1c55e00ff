//! `kinship --calibrate FILE --decoders`: the same question of tiny decoders, by weights and by behaviour.
//!
//! Null pairs began as other weights and read the same corpus; each decoder is in one pair. Kin are fine-tunes on other
//! documents. Clones began as other weights and were trained to behave like the original: not kin by weights, near by
//! behaviour. Every decoder is a step of the store, so that an interrupted calibration goes on.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;
use undertone_core::{Seed, exit};
use undertone_lab::behaviour::Behaviour;
use undertone_lab::lm::tiny::clone::{CloneSettings, clone_job, tune_job};
use undertone_lab::lm::tiny::{CorpusSettings, TinyBase, TinyPreset, TinySettings};
use undertone_lab::lm::train::{Means, TrainJob};
use undertone_lab::lm::{LmBench, Subject};
use undertone_lab::{Control, LabError};
use undertone_lineage::kinship::{KinModel, Kinship, KinshipRule, judge};
use undertone_report::{Theme, figure_svg};
use undertone_store::{Store, write_atomic};

use super::calibrate::{LEVEL, false_positives, group, table};
use super::near::{behaviour_table, by_behaviour, independent, n_strangers, nearness};
use crate::commands::lm::start_threads;
use crate::context::Context;

/// The seed of everything.
const SEED: u64 = 20_270;
/// Pairs of each kind of kin.
const KIN_PAIRS: usize = 25;
/// Optimiser steps of a base: they know their words, and no more.
const STEPS: u64 = 60;
/// Documents that fine-tunes read and bases did not.
const OTHER_CORPUS: Seed = Seed(1);

/// What is done to a base: name, whether it stays kin, steps, learning rate.
const CHANGES: [(&str, bool, u64, f64); 4] = [
    ("fine-tuned 20 steps, rate 5e-4", true, 20, 5e-4),
    ("fine-tuned 60 steps, rate 2e-3", true, 60, 2e-3),
    ("fine-tuned 200 steps, rate 5e-3", true, 200, 5e-3),
    ("another base, cloned 200 steps", false, 200, 5e-3),
];

struct Makers<'a> {
    store: &'a Store,
    control: &'a Control<'a>,
    means: Means<'a>,
    settings: TinySettings,
}

/// Trains, compares and writes.
pub fn run(context: &Context, rule: &KinshipRule, pairs: u32, path: &Path) -> Result<u8> {
    start_threads(context)?;
    let store = context.store()?;
    let control = Control::silent(&context.stop);
    let mut settings = TinySettings::preset(TinyPreset::Smoke, Seed(0));
    settings.corpus.documents = 2_000;
    settings.training.steps = STEPS;
    let makers = Makers {
        store: &store,
        control: &control,
        means: Means {
            threads: context.threads,
            kept_bytes: 1 << 30,
            keep_now: &|| false,
        },
        settings,
    };
    let n = (pairs as usize).max(2);
    let (mut null, mut firsts, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..n as u64 {
        let (a, b) = (makers.base(2 * pair)?, makers.base(2 * pair + 1)?);
        firsts.push(Behaviour::of(&a)?);
        seconds.push(Behaviour::of(&b)?);
        null.push(compare(a, b, rule)?);
        if pair % 10 == 9 {
            context.say(format!("{} of {n} pairs of strangers", pair + 1));
        }
    }
    let p_values: Vec<f64> = null
        .iter()
        .filter_map(|kinship| Some(kinship.test.as_ref()?.p_value))
        .collect();
    let mut groups = vec![group("independent", false, &null)];
    let mut behaviours = vec![independent(&firsts, &seconds)?];
    for (name, is_kin, steps, rate) in CHANGES {
        let (mut compared, mut near) = (Vec::new(), Vec::new());
        for (pair, first) in firsts.iter().enumerate().take(KIN_PAIRS) {
            let a = makers.base(2 * pair as u64)?;
            let b = makers.changed(&a, pair as u64, is_kin, steps, rate)?;
            near.push(nearness((first, &Behaviour::of(&b)?), &seconds, pair)?);
            compared.push(compare(a, b, rule)?);
        }
        context.say(name);
        groups.push(group(name, is_kin, &compared));
        behaviours.push(by_behaviour(name, is_kin, &near));
    }
    let value = json!({
        "format": "undertone-kinship-calibration",
        "version": 1,
        "network": format!("decoders of {} steps", STEPS),
        "settings": makers.settings,
        "data": "the tiny corpus",
        "seed": SEED,
        "rule": rule,
        "level": LEVEL,
        "groups": groups,
        "null_p_values": p_values,
        "strangers": n_strangers(n),
        "behaviour": behaviours,
    });
    write_atomic(path, format!("{value:#}\n").as_bytes())?;
    let figure = false_positives(&p_values);
    let svg = figure_svg(&figure, Theme::Light).context("the figure cannot be drawn")?;
    write_atomic(&path.with_extension("null.svg"), svg.as_bytes())?;
    context.print(&value, || {
        let mut text = table(&groups);
        text.push_str(&behaviour_table(&behaviours));
        Ok(text)
    })?;
    Ok(exit::DONE)
}

impl Makers<'_> {
    fn bench(&self) -> LmBench<'_> {
        LmBench {
            store: self.store,
            control: self.control,
        }
    }

    fn base(&self, index: u64) -> Result<Subject, LabError> {
        let settings = TinySettings {
            seed: Seed(SEED + index),
            ..self.settings.clone()
        };
        TinyBase::new(settings)?.subject(&self.bench(), self.means)
    }

    /// A fine-tune of `a`, or another base that was trained to behave like it.
    fn changed(
        &self,
        a: &Subject,
        pair: u64,
        is_kin: bool,
        steps: u64,
        rate: f64,
    ) -> Result<Subject, LabError> {
        let mut training = self.settings.training;
        training.steps = steps;
        training.learning_rate = rate;
        training.warmup_steps = training.warmup_steps.min(steps / 4);
        let settings = CloneSettings {
            training,
            seed: Seed(SEED + pair),
            precision: self.settings.precision,
        };
        let corpus = |seed| {
            TinyBase::new(TinySettings {
                corpus: CorpusSettings {
                    seed,
                    ..self.settings.corpus
                },
                ..self.settings.clone()
            })
        };
        match is_kin {
            true => {
                let rows = corpus(OTHER_CORPUS)?;
                let job = tune_job(&settings, a, rows.rows())?;
                self.made(&job, a)
            }
            false => {
                let other = self.base(1_000_000 + pair)?;
                let rows = corpus(self.settings.corpus.seed)?;
                let job = clone_job(&settings, &other, a, rows.rows())?;
                self.made(&job, &other)
            }
        }
    }

    fn made(&self, job: &TrainJob<'_>, start: &Subject) -> Result<Subject, LabError> {
        let record = job.step(&self.bench(), self.means)?;
        start.tuned("changed", job.full_weights(&self.bench(), &record)?)
    }
}

fn compare(a: Subject, b: Subject, rule: &KinshipRule) -> Result<Kinship> {
    let (a, b) = (KinModel::of_model(a.open), KinModel::of_model(b.open));
    Ok(judge(&a, &b, rule)?)
}
