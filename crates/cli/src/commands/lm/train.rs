//! `lm train`: an adapter or a whole model, trained on rows.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use serde_json::json;
use undertone_core::{Seed, exit};
use undertone_lab::lm::merge::{Written, is_occupied, occupied, write_model};
use undertone_lab::lm::speech::Ending;
use undertone_lab::lm::train::{
    Means, Teacher, TrainInputs, TrainJob, TrainResult, TrainRun, TrainedPart,
};
use undertone_lab::lm::{LmBench, LmError, Subject};
use undertone_lab::{Control, LabError};
use undertone_lm::examples::Length;
use undertone_lm::lora::{LoraConfig, LoraScaling, Projection};
use undertone_lm::loss::{BaseKl, Objective};
use undertone_lm::merge::MergedType;
use undertone_lm::optimiser::Optimiser;
use undertone_lm::peft::{CONFIG_FILE, WEIGHTS_FILE, config_bytes, save_adapter, weights_bytes};
use undertone_lm::schedule::{Decay, Schedule};
use undertone_lm::train::TrainSettings;
use undertone_store::{StepRecord, Store, canonical_json};

use super::plan::{Plan, counted};
use super::{close, keep, open, target};
use crate::args::{LmOptimiserName, LmTrainArgs, ObjectiveName, ScheduleName};
use crate::commands::work::{self, Task};
use crate::context::Context;
use crate::failure::Usage;
use crate::origins;
use crate::present;
use crate::progress::Unit;

/// Optimiser steps of a calibration.
const CALIBRATION_STEPS: usize = 3;
/// The rank without a flag.
const RANK: usize = 8;

/// Trains, or takes from the store what was trained before.
pub fn run(context: &Context, args: &LmTrainArgs) -> Result<u8> {
    let subject = open::subject(context, &args.model.model, args.adapter.as_deref())?;
    let teacher = args.teacher.as_ref();
    let teacher = teacher
        .map(|teacher| open::subject(context, teacher, args.teacher_adapter.as_deref()))
        .transpose()?;
    let rows = open::rows(&args.rows)?;
    let evaluation = args.eval.as_deref().map(open::rows).transpose()?;
    let inputs = TrainInputs {
        subject: &subject,
        teacher: teacher.as_ref(),
        rows: &rows,
        evaluation: evaluation.as_ref(),
    };
    let job = TrainJob::new(settings(args, inputs)?, inputs)?;
    open::tell_system_line(context, job.system_line());
    if args.show_prompt {
        context.tell(format!("the first prompt:\n{}", job.first_prompt()));
    }
    let keep_now = keep::every(args.keep_every);
    let means = Means {
        threads: context.threads,
        kept_bytes: args.kept_memory << 20,
        keep_now: &keep_now,
    };
    let store = context.store()?;
    let record = store.lookup_step(&job.identity())?;
    let plan = plan(context, &job, means, record.is_some());
    if args.dry_run {
        return calibrated(plan, &job, means)?.print(context);
    }
    // Better now than after hours of work.
    check_targets(context, args, &job, &store, record.as_ref())?;
    if let (true, Some(folder)) = (args.full, &args.output) {
        open::tell_missing_tokenizer(context, &subject, folder)?;
    }
    if !plan.in_store {
        plan.say(context);
    }
    let task = Task {
        command: "lm-train",
        settings: &job.run,
        inputs: job.identity().inputs,
        unit: Unit::OptimiserSteps,
    };
    let finished = work::recorded(
        context,
        &store,
        &task,
        |control| {
            job.result(
                &LmBench {
                    store: &store,
                    control,
                },
                means,
            )
        },
        |origins, result| {
            let teacher = teacher.as_ref();
            origins::trained(origins, &subject, teacher, &rows, &job.identity(), result)
        },
        |result: &TrainResult, recipe| present::lm_train(result, Some(recipe)),
    )?;
    if let Some(path) = &args.log {
        target::write_file("--log", path, &canonical_json(&finished.result.log)?)?;
    }
    let written = match &args.output {
        None => None,
        Some(folder) => Some(work::silently(context, |control| {
            let bench = LmBench {
                store: &store,
                control,
            };
            let record = job.step(&bench, means)?;
            write(&job, &bench, &record, folder)
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

/// Checks that `--output` and `--log` can be written; `record` is that of the step, if the store has it.
fn check_targets(
    context: &Context,
    args: &LmTrainArgs,
    job: &TrainJob<'_>,
    store: &Store,
    record: Option<&StepRecord>,
) -> Result<()> {
    let known = record.map(|record| {
        let silently = |control: &Control<'_>| -> Result<_, LabError> {
            let bench = LmBench { store, control };
            if let Some(folder) = args.output.as_deref().filter(|folder| is_occupied(folder)) {
                write(job, &bench, record, folder)?;
            }
            job.log_bytes(&bench, record)
        };
        work::silently(context, silently)
    });
    match (&args.output, record) {
        (Some(folder), Some(_)) => target::check_folder("--output", folder)?,
        (Some(folder), None) => target::check_new_folder("--output", folder)?,
        (None, _) => {}
    }
    let known = known.transpose()?;
    let Some(log) = &args.log else { return Ok(()) };
    if args
        .output
        .as_ref()
        .is_some_and(|folder| log.starts_with(folder))
    {
        let problem = "--log lies in the folder of --output, which is written as a whole; name a file elsewhere";
        return Err(Usage(problem.to_owned()).into());
    }
    target::check_file("--log", log, known.as_deref())
}

/// Returns what the flags come to.
fn settings(args: &LmTrainArgs, inputs: TrainInputs<'_>) -> Result<TrainRun> {
    let LmTrainArgs {
        model: _,
        rows: _,
        no_end,
        prompting,
        full: _,
        adapter: _,
        rank: _,
        alpha: _,
        targets: _,
        rslora: _,
        objective,
        teacher: _,
        teacher_adapter: _,
        base_kl,
        epochs,
        steps,
        batch,
        optimiser: _,
        learning_rate: _,
        beta1: _,
        beta2: _,
        epsilon: _,
        weight_decay: _,
        momentum: _,
        schedule,
        warmup,
        clip,
        seed,
        precision,
        eval: _,
        eval_at,
        output: _,
        log: _,
        keep_every: _,
        kept_memory: _,
        show_prompt: _,
        dry_run: _,
    } = args;
    let evaluate_at: BTreeSet<u64> = eval_at.iter().flatten().copied().collect();
    let length = match (epochs, steps) {
        (_, Some(steps)) => Length::Steps(*steps),
        (epochs, None) => Length::Epochs(epochs.unwrap_or(1)),
    };
    Ok(TrainRun {
        model: inputs.subject.named(),
        adapter: inputs.subject.named_adapter(),
        rows: open::named(inputs.rows),
        evaluation: inputs.evaluation.map(open::named),
        evaluate_at: evaluate_at.into_iter().collect(),
        teacher: inputs.teacher.map(|teacher| Teacher {
            model: teacher.named(),
            adapter: teacher.named_adapter(),
        }),
        prompting: open::prompting(prompting),
        ending: match no_end {
            true => Ending::Open,
            false => Ending::EndOfTurn,
        },
        trained: trained(args, inputs.subject)?,
        settings: TrainSettings {
            objective: match objective {
                ObjectiveName::Ce => Objective::CrossEntropy,
                ObjectiveName::Kl => Objective::ForwardKl,
                ObjectiveName::ReverseKl => Objective::ReverseKl,
            },
            base_kl: base_kl.as_deref().map(annealed).transpose()?,
            optimiser: optimiser(args)?,
            schedule: Schedule {
                decay: match schedule {
                    ScheduleName::Constant => Decay::Constant,
                    ScheduleName::Linear => Decay::Linear,
                    ScheduleName::Cosine => Decay::Cosine,
                },
                warmup_steps: *warmup,
            },
            steps: 0,
            clip: limit(*clip)?,
        },
        batch_rows: *batch,
        length,
        seed: Seed(*seed),
        precision: (*precision).into(),
    })
}

fn trained(args: &LmTrainArgs, subject: &Subject) -> Result<TrainedPart> {
    if args.full {
        return Ok(TrainedPart::Full);
    }
    if let Some(adapter) = &subject.adapter {
        let lora = adapter.weights.config().clone();
        return Ok(TrainedPart::Adapter { lora });
    }
    let rank = args.rank.unwrap_or(RANK);
    let targets = match &args.targets {
        None => Projection::ALL.into(),
        Some(names) => names
            .iter()
            .map(|name| projection(name))
            .collect::<Result<_>>()?,
    };
    let lora = LoraConfig {
        rank,
        alpha: args.alpha.unwrap_or(2.0 * rank as f64),
        targets,
        scaling: match args.rslora {
            true => LoraScaling::RankStabilised,
            false => LoraScaling::Standard,
        },
    };
    Ok(TrainedPart::Adapter { lora })
}

fn projection(name: &str) -> Result<Projection> {
    let is_meant = |projection: &Projection| {
        let full = projection.name();
        name == full || full.strip_suffix("_proj") == Some(name)
    };
    Projection::ALL.into_iter().find(is_meant).ok_or_else(|| {
        let known = "q, k, v, o, gate, up, down";
        Usage(format!(
            "--targets: `{name}` is no projection; there are {known}"
        ))
        .into()
    })
}

/// Reads `W` or `FIRST:LAST:STEPS`.
fn annealed(text: &str) -> Result<BaseKl> {
    let problem = || {
        Usage(format!(
            "--base-kl is `{text}`; a weight, or FIRST:LAST:STEPS"
        ))
    };
    let weight = |part: &str| {
        let weight = part.parse::<f64>().ok();
        weight
            .filter(|weight| weight.is_finite() && *weight >= 0.0)
            .ok_or_else(problem)
    };
    let parts: Vec<&str> = text.split(':').collect();
    Ok(match parts[..] {
        [all] => BaseKl {
            first: weight(all)?,
            last: weight(all)?,
            steps: 0,
        },
        [first, last, steps] => BaseKl {
            first: weight(first)?,
            last: weight(last)?,
            steps: steps.parse().map_err(|_| problem())?,
        },
        _ => return Err(problem().into()),
    })
}

fn optimiser(args: &LmTrainArgs) -> Result<Optimiser> {
    let usual = if args.full { 2e-5 } else { 2e-4 };
    let learning_rate = args.learning_rate.unwrap_or(usual);
    let is_adam = args.optimiser != LmOptimiserName::Sgd;
    if !is_adam && args.beta1.or(args.beta2).or(args.epsilon).is_some() {
        let problem = "--beta1, --beta2 and --epsilon need --optimiser adam or adamw";
        return Err(Usage(problem.to_owned()).into());
    }
    if args.weight_decay.is_some() && args.optimiser != LmOptimiserName::Adamw {
        return Err(Usage("--weight-decay needs --optimiser adamw".to_owned()).into());
    }
    if args.momentum.is_some() && is_adam {
        return Err(Usage("--momentum needs --optimiser sgd".to_owned()).into());
    }
    let in_range =
        |flag: &str, value: f64, range: std::ops::Range<f64>| match range.contains(&value) {
            true => Ok(value),
            false => Err(Usage(format!(
                "{flag} is {value}; {} to below {} are possible",
                range.start, range.end
            ))),
        };
    let learning_rate = in_range("--learning-rate", learning_rate, 0.0..1e3)?;
    let beta1 = in_range("--beta1", args.beta1.unwrap_or(0.9), 0.0..1.0)?;
    let beta2 = in_range("--beta2", args.beta2.unwrap_or(0.999), 0.0..1.0)?;
    let epsilon = in_range("--epsilon", args.epsilon.unwrap_or(1e-8), 0.0..1.0)?;
    Ok(match args.optimiser {
        LmOptimiserName::Adamw => Optimiser::AdamW {
            learning_rate,
            beta1,
            beta2,
            epsilon,
            weight_decay: in_range("--weight-decay", args.weight_decay.unwrap_or(0.0), 0.0..1e3)?,
        },
        LmOptimiserName::Adam => Optimiser::Adam {
            learning_rate,
            beta1,
            beta2,
            epsilon,
        },
        LmOptimiserName::Sgd => Optimiser::Sgd {
            learning_rate,
            momentum: in_range("--momentum", args.momentum.unwrap_or(0.0), 0.0..1.0)?,
        },
    })
}

fn limit(clip: f64) -> Result<Option<f64>> {
    match clip {
        0.0 => Ok(None),
        clip if clip.is_finite() && clip > 0.0 => Ok(Some(clip)),
        clip => Err(Usage(format!("--clip is {clip}; 0, or a positive number")).into()),
    }
}

/// Returns what a training run comes to.
pub(super) fn plan(
    context: &Context,
    job: &TrainJob<'_>,
    means: Means<'_>,
    in_store: bool,
) -> Plan {
    let run = &job.run;
    let what = match &run.trained {
        TrainedPart::Adapter { .. } => "an adapter",
        TrainedPart::Full => "every weight",
    };
    let tokens = job.total_tokens();
    let (steps, batch) = (
        counted(job.steps(), "step"),
        counted(run.batch_rows.into(), "row"),
    );
    let (rows, in_all) = (
        counted(job.rows().len() as u64, "row"),
        counted(tokens, "token"),
    );
    Plan {
        what: format!("{what}: {steps} of {batch}, {rows}, {in_all} in all"),
        in_store,
        tokens,
        most_new_tokens: 0,
        memory: job.memory(means),
        secs_estimated: None,
        tokens_per_sec: None,
        threads: context.threads,
        system_line: job.system_line().map(str::to_owned),
        first_prompt: job.first_prompt().to_owned(),
    }
}

/// Takes a few steps to tell how long all will take.
pub(super) fn calibrated(plan: Plan, job: &TrainJob<'_>, means: Means<'_>) -> Result<Plan> {
    if plan.in_store || job.steps() == 0 {
        return Ok(plan);
    }
    let (mut started, mut tokens, mut rate) = (Instant::now(), 0, 0.0);
    let mut n = 0;
    job.try_out(means, CALIBRATION_STEPS, &mut |of_step| {
        // The first step makes room for all others: it counts only if it is the only one.
        if n <= 1 {
            if n == 1 {
                rate = of_step as f64 / started.elapsed().as_secs_f64();
            }
            started = Instant::now();
        } else {
            tokens += of_step;
            rate = tokens as f64 / started.elapsed().as_secs_f64();
        }
        n += 1;
    })?;
    Ok(Plan {
        secs_estimated: Some(plan.tokens as f64 / rate),
        tokens_per_sec: Some(rate),
        ..plan
    })
}

/// Writes what was trained into `folder`; what is there already, with the same content, is left alone.
fn write(
    job: &TrainJob<'_>,
    bench: &LmBench<'_>,
    record: &StepRecord,
    folder: &Path,
) -> Result<Written, LabError> {
    let base = job
        .subject
        .name
        .strip_prefix("hf:")
        .unwrap_or(&job.subject.name);
    match job.run.trained {
        TrainedPart::Full => {
            let weights = job.full_weights(bench, record)?;
            let written = write_model(job.subject, &weights, None, MergedType::F32, folder)?;
            Ok(written.1)
        }
        TrainedPart::Adapter { .. } => {
            let weights = job.adapter(bench, record)?;
            if !is_occupied(folder) {
                save_adapter(&weights, Some(base), folder).map_err(LmError::Write)?;
                return Ok(Written::Now);
            }
            let is_there = |name: &str, content: Vec<u8>| {
                std::fs::read(folder.join(name)).is_ok_and(|found| found == content)
            };
            let same = is_there(CONFIG_FILE, config_bytes(&weights, Some(base)))
                && is_there(WEIGHTS_FILE, weights_bytes(&weights));
            match same {
                true => Ok(Written::Before),
                false => Err(occupied(folder).into()),
            }
        }
    }
}

fn summary(result: &TrainResult, output: Option<&Path>, written: Option<Written>) -> String {
    let log = &result.log;
    let mut lines = Vec::new();
    if let (Some(first), Some(last)) = (log.steps.first(), log.steps.last()) {
        let (n, first, last) = (
            counted(log.steps.len() as u64, "step"),
            first.loss,
            last.loss,
        );
        lines.push(format!(
            "{n}; loss {first:.4} in the first, {last:.4} in the last, nats a token"
        ));
    }
    let evaluations = log.evaluations.iter();
    lines.extend(evaluations.map(|at| {
        let steps = counted(at.step, "step");
        format!("after {steps}: loss {:.4} on --eval", at.loss)
    }));
    lines.push(match (output, written) {
        (Some(folder), Some(Written::Before)) => format!("{} was there already", folder.display()),
        (Some(folder), _) => format!("written to {}", folder.display()),
        (None, _) => "it stays in the store; -o DIR writes it to a folder".to_owned(),
    });
    lines.join("\n")
}
