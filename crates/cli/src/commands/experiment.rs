//! What demo, mnist and ablate share: plan, work, the reasons why steps are not reused.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;
use serde_json::json;
use undertone_core::{Digest, exit};
use undertone_lab::outcome;
use undertone_lab::settings::{DistillInputs, MlpSettings};
use undertone_lab::steps::{Bench, CellPlan, DataSets};
use undertone_lab::{Control, LabError, News};
use undertone_mlp::{Inputs, Loss, LossKind, Model, NoiseLaw, Target, Trainer, Weights};
use undertone_store::{Staleness, Store};

use crate::context::Context;
use crate::progress::seconds;

/// Reasons printed by `--why` before the rest is only counted.
const MOST_REASONS: usize = 20;

/// Says how much work `experiments` are.
pub fn tell_plan(experiments: &[MlpSettings], bench: &Bench<'_>) -> Result<(), LabError> {
    let plan = outcome::plan(experiments, bench)?;
    (bench.control.news)(News::Plan {
        units: plan.total.units,
        cells: plan.cells,
        reused: plan.total.reused,
        steps: plan.total.missing.len() as u64 + plan.total.unplanned,
    });
    Ok(())
}

/// Returns the digests of all data the experiments read, by name.
pub fn inputs(experiments: &[MlpSettings]) -> BTreeMap<String, Digest> {
    let mut inputs = BTreeMap::new();
    for settings in experiments {
        let cloning = settings.cloning.as_ref().map(|cloning| &cloning.inputs);
        inputs.insert(settings.data.name.clone(), settings.data.digest);
        for source in std::iter::once(&settings.inputs).chain(cloning) {
            if let DistillInputs::Images { data } = source {
                inputs.insert(data.name.clone(), data.digest);
            }
        }
    }
    inputs
}

/// Prints what the experiments, and the `trials` that choose their learning rates, would cost; computes nothing.
pub fn dry_run(
    context: &Context,
    store: &Store,
    data: &DataSets,
    trials: &[MlpSettings],
    experiments: &[MlpSettings],
) -> Result<u8> {
    let control = Control::silent(&context.stop);
    let bench = Bench {
        store,
        data,
        control: &control,
        turns: Default::default(),
    };
    let plan = outcome::plan(&[trials, experiments].concat(), &bench)?;
    let per_epoch = match experiments.first() {
        Some(settings) if plan.total.units > 0 => Some(calibrate(data, settings)?),
        _ => None,
    };
    let secs =
        per_epoch.map(|per_epoch| per_epoch * plan.total.units as f64 / context.threads as f64);
    let steps = plan.total.missing.len() as u64 + plan.total.unplanned;
    let value = json!({
        "experiments": experiments,
        "learning_rate_trials": trials.len(),
        "cells": plan.cells,
        "steps_to_compute": steps,
        "steps_reused": plan.total.reused,
        "model_epochs": plan.total.units,
        "secs_estimated": secs,
        "threads": context.threads,
    });
    context.print(&value, || {
        let time = secs.map_or_else(|| "no time".to_owned(), seconds);
        let searched = match trials.len() {
            0 => String::new(),
            trials => format!(" and {trials} trials of a learning rate"),
        };
        Ok(format!(
            "{} experiments{searched}, {} cells\n{} steps in the store, {steps} to compute: {} model-epochs\nabout {time} on {} \
             threads, from a short calibration of the first experiment's network",
            experiments.len(),
            plan.cells,
            plan.total.reused,
            plan.total.units,
            context.threads
        ))
    })?;
    Ok(exit::DONE)
}

/// Times a few steps of the first experiment's network on one thread; returns seconds a model-epoch.
fn calibrate(data: &DataSets, settings: &MlpSettings) -> Result<f64> {
    const STEPS: u32 = 8;
    let features = data.get(&settings.data.digest)?.train().features();
    let architecture = settings.body.architecture(features, settings.aux_logits);
    let mut trainer = Trainer::new(settings.precision).map_err(LabError::from)?;
    let weights = Weights::initial(
        &architecture,
        1.0,
        &mut settings.seed.stream("cli/calibrate", 0),
    );
    let mut model = Model::new(&weights, settings.student.optimiser);
    let batch = settings.student.batch.min(4096);
    let rows: Vec<u32> = (0..batch).collect();
    let answers = vec![0.0; batch as usize * architecture.outputs];
    let noise = Inputs::Noise {
        seed: settings.seed,
        index: 0,
        features,
        law: NoiseLaw::Uniform,
    };
    let loss = Loss::new(LossKind::Kl, 0..architecture.outputs);
    let target = Target::Logits {
        values: &answers,
        width: architecture.outputs,
    };
    let mut started = Instant::now();
    for step in 0..=STEPS {
        if step == 1 {
            started = Instant::now();
        }
        trainer.load(&noise, &rows);
        trainer.step(&mut model, target, &loss);
    }
    let per_example = started.elapsed().as_secs_f64() / f64::from(STEPS * batch);
    let examples = match &settings.inputs {
        DistillInputs::Noise { rows, .. } => *rows as usize,
        DistillInputs::Images { data: images } => data.get(&images.digest)?.train().len(),
    };
    Ok(per_example * examples as f64)
}

/// Says which steps are not taken from the store and why.
pub fn why(
    context: &Context,
    store: &Store,
    data: &DataSets,
    experiments: &[MlpSettings],
) -> Result<()> {
    let control = Control::silent(&context.stop);
    let bench = Bench {
        store,
        data,
        control: &control,
        turns: Default::default(),
    };
    reasons(store, &outcome::plan(experiments, &bench)?.total)
}

/// Says which steps of a plan are not taken from the store and why.
pub fn reasons(store: &Store, plan: &CellPlan) -> Result<()> {
    let CellPlan {
        missing,
        unplanned,
        reused,
        ..
    } = plan;
    let history = store.step_history()?;
    eprintln!(
        "{reused} steps are taken from the store, {} are not:",
        missing.len() as u64 + unplanned
    );
    for identity in missing.iter().take(MOST_REASONS) {
        let reason = match history.why_stale(identity) {
            Staleness::Fresh => "its outputs appeared meanwhile".to_owned(),
            Staleness::NeverComputed => "nothing like it was computed before".to_owned(),
            Staleness::OutputsMissing { outputs } => {
                format!("its outputs are gone: {}", outputs.join(", "))
            }
            Staleness::Changed { differences, .. } => differences
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
        };
        eprintln!("  {} of model {}: {reason}", identity.kind, identity.index);
    }
    if missing.len() > MOST_REASONS {
        eprintln!("  and {} more", missing.len() - MOST_REASONS);
    }
    if *unplanned > 0 {
        eprintln!("  {unplanned} steps depend on outputs of these");
    }
    Ok(())
}
