//! `demo` and `mnist`: the six conditions, once.

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_lab::outcome::{self, VerdictRule};
use undertone_lab::steps::Bench;
use undertone_lab::{ExperimentResult, MlpSettings};

use crate::args::{ExperimentArgs, MnistArgs};
use crate::commands::experiment;
use crate::commands::work::{self, Task};
use crate::context::Context;
use crate::origins;
use crate::present;
use crate::progress::Unit;
use crate::resolve::{self, Resolved, Start};

/// Everything the result of `demo` or `mnist` depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExperimentRun {
    /// The experiment.
    pub experiment: MlpSettings,
    /// How it is judged.
    pub rule: VerdictRule,
}

/// Runs the demo.
pub fn demo(context: &Context, args: &ExperimentArgs) -> Result<u8> {
    run(
        context,
        "demo",
        Start::Demo,
        args,
        "undertone fetch mnist && undertone mnist",
    )
}

/// Runs the experiment on images.
pub fn mnist(context: &Context, args: &MnistArgs) -> Result<u8> {
    run(
        context,
        "mnist",
        Start::Preset(args.preset),
        &args.experiment,
        "undertone ablate --sweep aux-logits",
    )
}

fn run(
    context: &Context,
    command: &str,
    start: Start,
    args: &ExperimentArgs,
    next: &str,
) -> Result<u8> {
    let Resolved {
        settings,
        rule,
        data,
    } = resolve::experiment(context, start, args)?;
    let store = context.store()?;
    let experiments = [settings.clone()];
    if args.why {
        experiment::why(context, &store, &data, &experiments)?;
    }
    if args.dry_run {
        return experiment::dry_run(context, &store, &data, &[], &experiments);
    }
    let task = Task {
        command,
        settings: &ExperimentRun {
            experiment: settings,
            rule,
        },
        inputs: experiment::inputs(&experiments),
        unit: Unit::ModelEpochs,
    };
    let finished = work::recorded(
        context,
        &store,
        &task,
        |control| {
            let bench = Bench {
                store: &store,
                data: &data,
                control,
                turns: Default::default(),
            };
            experiment::tell_plan(&experiments, &bench)?;
            let mut results = outcome::run(&experiments, rule, context.threads, &bench)?;
            Ok(results.remove(0))
        },
        |origins, result| origins::experiments(origins, &data, [(None, result)]),
        |result: &ExperimentResult, recipe| present::experiment(result, Some(recipe)),
    )?;
    let report = present::experiment(&finished.result, None);
    let outcome = finished.result.verdict.outcome;
    work::close(
        context,
        &finished,
        &report,
        Some(outcome),
        args.expect,
        next,
    )
}
