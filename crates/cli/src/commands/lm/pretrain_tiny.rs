//! `pretrain-tiny`: a decoder small enough to choose its initial weights.

use std::path::Path;

use anyhow::Result;
use serde_json::json;
use undertone_core::{Seed, exit};
use undertone_lab::lm::LmBench;
use undertone_lab::lm::merge::{Written, is_occupied, occupied, write_model};
use undertone_lab::lm::tiny::{TinyBase, TinyPreset, TinyResult, TinySettings};
use undertone_lab::lm::train::{Means, TrainJob};
use undertone_lab::{Control, LabError};
use undertone_lm::merge::MergedType;
use undertone_store::Store;

use super::plan::Plan;
use super::{close, keep, start_threads, train};
use crate::args::{PretrainTinyArgs, TinyPresetName};
use crate::commands::work::{self, Task};
use crate::context::Context;
use crate::failure::Usage;
use crate::origins;
use crate::present;
use crate::progress::Unit;

/// Trains a base, or takes it from the store, and writes it as a folder if asked to.
pub fn run(context: &Context, args: &PretrainTinyArgs) -> Result<u8> {
    start_threads(context)?;
    let base = TinyBase::new(settings(args)?)?;
    let job = base.job()?;
    let keep_now = keep::every(args.keep_every);
    let means = Means {
        threads: context.threads,
        kept_bytes: args.kept_memory << 20,
        keep_now: &keep_now,
    };
    let store = context.store()?;
    let in_store = store.lookup_step(&job.identity())?.is_some();
    let plan = Plan {
        what: format!(
            "a base of {} weights: {} steps of {} documents, {} documents, {} tokens in all",
            job.parameters()?,
            job.steps(),
            job.run.batch_rows,
            job.rows().len(),
            job.total_tokens()
        ),
        ..train::plan(context, &job, means, in_store)
    };
    if args.dry_run {
        return train::calibrated(plan, &job, means)?.print(context);
    }
    if !plan.in_store {
        // Better now than after minutes of work.
        if let Some(folder) = args.output.as_deref().filter(|folder| is_occupied(folder)) {
            return Err(LabError::from(occupied(folder)).into());
        }
        plan.say(context);
    }
    let task = Task {
        command: "pretrain-tiny",
        settings: base.settings(),
        inputs: job.identity().inputs,
        unit: Unit::OptimiserSteps,
    };
    let finished = work::recorded(
        context,
        &store,
        &task,
        |control| base.result(&bench(&store, control), means),
        |origins, result| {
            let name = origins.name("model");
            Ok(origins::pretrained(origins, &job.identity(), result, name)?.0)
        },
        |result: &TinyResult, recipe| present::pretrain_tiny(result, Some(recipe)),
    )?;
    let written = match &args.output {
        None => None,
        Some(folder) => Some(work::silently(context, |control| {
            write(&base, &job, &bench(&store, control), means, folder)
        })?),
    };
    let mut value = close::object(&finished);
    value["output"] = json!(args.output);
    context.print(&value, || {
        Ok(summary(&finished.result, args.output.as_deref(), written))
    })?;
    close::say_report(context, &finished);
    Ok(exit::DONE)
}

fn bench<'a>(store: &'a Store, control: &'a Control<'a>) -> LmBench<'a> {
    LmBench { store, control }
}

/// Returns what the flags come to.
fn settings(args: &PretrainTinyArgs) -> Result<TinySettings> {
    let PretrainTinyArgs {
        seed,
        preset,
        width,
        layers,
        heads,
        ffn_width,
        context,
        corpus_seed,
        documents,
        steps,
        batch,
        learning_rate,
        warmup,
        weight_decay,
        precision,
        output: _,
        keep_every: _,
        kept_memory: _,
        dry_run: _,
    } = args;
    let preset = match preset {
        TinyPresetName::Smoke => TinyPreset::Smoke,
        TinyPresetName::Default => TinyPreset::Default,
    };
    let mut settings = TinySettings::preset(preset, Seed(*seed));
    let TinySettings {
        shape,
        corpus,
        training,
        seed: _,
        precision: of_settings,
    } = &mut settings;
    let size = |of: &mut usize, given: &Option<usize>| *of = given.unwrap_or(*of);
    size(&mut shape.width, width);
    size(&mut shape.layers, layers);
    size(&mut shape.heads, heads);
    size(&mut shape.ffn_width, ffn_width);
    size(&mut shape.context, context);
    corpus.seed = Seed(*corpus_seed);
    corpus.documents = documents.unwrap_or(corpus.documents);
    training.steps = steps.unwrap_or(training.steps);
    training.batch_rows = batch.unwrap_or(training.batch_rows);
    training.warmup_steps = warmup.unwrap_or(training.warmup_steps);
    training.learning_rate = positive("--learning-rate", learning_rate, training.learning_rate)?;
    training.weight_decay = positive("--weight-decay", weight_decay, training.weight_decay)?;
    *of_settings = (*precision).into();
    if shape.heads == 0 || !shape.width.is_multiple_of(shape.heads) {
        let (heads, width) = (shape.heads, shape.width);
        let problem = format!("--heads is {heads}; a divisor of the width, {width}, is possible");
        return Err(Usage(problem).into());
    }
    if corpus.documents == 0 {
        return Err(Usage("--documents is 0; at least 1".to_owned()).into());
    }
    Ok(settings)
}

fn positive(flag: &str, given: &Option<f64>, usual: f64) -> Result<f64> {
    let value = given.unwrap_or(usual);
    match (0.0..1e3).contains(&value) {
        true => Ok(value),
        false => Err(Usage(format!("{flag} is {value}; 0 to below 1000 are possible")).into()),
    }
}

/// Writes the base into `folder`; what is there already, with the same content, is left alone.
fn write(
    base: &TinyBase,
    job: &TrainJob<'_>,
    bench: &LmBench<'_>,
    means: Means<'_>,
    folder: &Path,
) -> Result<Written, LabError> {
    let record = job.step(bench, means)?;
    let subject = base.of_record(job, bench, &record)?;
    let weights = MergedType::F32;
    Ok(write_model(&subject, subject.checkpoint(), None, weights, folder)?.1)
}

fn summary(result: &TinyResult, output: Option<&Path>, written: Option<Written>) -> String {
    let mut lines = vec![format!(
        "{} weights, {} tokens of vocabulary, {} documents",
        result.parameters, result.vocabulary, result.documents
    )];
    let evaluations = result.log.evaluations.iter();
    lines.extend(evaluations.map(|at| {
        let (step, loss) = (at.step, at.loss);
        format!("after {step} steps: loss {loss:.4} on documents that were held out")
    }));
    lines.push(match (output, written) {
        (Some(folder), Some(Written::Before)) => format!("{} was there already", folder.display()),
        (Some(folder), _) => format!("written to {}", folder.display()),
        (None, _) => "it stays in the store; -o DIR writes it to a folder".to_owned(),
    });
    lines.join("\n")
}
