//! `align`: does a student learn because its gradient points along the trait's?

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::exit;
use undertone_lab::News;
use undertone_lab::align::{self, AlignResult, AlignSettings};
use undertone_lab::outcome::VerdictRule;
use undertone_lab::settings::CrossRule;
use undertone_lab::steps::Bench;

use crate::args::{AlignArgs, Preset};
use crate::commands::experiment;
use crate::commands::work::{self, Task};
use crate::context::Context;
use crate::failure::Usage;
use crate::origins;
use crate::present;
use crate::progress::Unit;
use crate::resolve::{self, Start};

/// Everything the result of an alignment run depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlignRun {
    /// The run.
    pub align: AlignSettings,
    /// How it is judged.
    pub rule: VerdictRule,
}

/// Runs the four arms.
pub fn run(context: &Context, args: &AlignArgs) -> Result<u8> {
    let digits = args.experiment.data.as_deref() == Some("digits");
    let start = if digits {
        Start::Demo
    } else {
        Start::Preset(Preset::Quick)
    };
    let resolved = resolve::experiment(context, start, &args.experiment)?;
    let mut base = resolved.settings;
    base.students = Vec::new();
    if args.experiment.students.is_some() || args.experiment.cross.is_some() {
        return Err(Usage(
            "align has four arms of its own: --students and --cross do not apply".to_owned(),
        )
        .into());
    }
    base.cross = CrossRule::Derangement;
    let settings = AlignSettings {
        base,
        every: args.every,
        probe: args.probe,
    };
    let (rule, data) = (resolved.rule, resolved.data);
    settings
        .check(data.get(&settings.base.data.digest)?.train().len())
        .map_err(|e| Usage(e.to_string()))?;
    let store = context.store()?;
    let control = undertone_lab::Control::silent(&context.stop);
    let bench = Bench {
        store: &store,
        data: &data,
        control: &control,
        turns: Default::default(),
    };
    let plan = align::plan(&settings, &bench)?;
    if args.experiment.why {
        experiment::reasons(&store, &plan.total)?;
    }
    let steps = plan.total.missing.len() as u64 + plan.total.unplanned;
    if args.experiment.dry_run {
        let (units, reused) = (plan.total.units, plan.total.reused);
        let value = serde_json::json!({"model_epochs": units, "steps_to_compute": steps, "steps_reused": reused});
        context.print(&value, || {
            Ok(format!("{reused} steps in the store, {steps} to compute: {units} model-epochs, with two gradients a step"))
        })?;
        return Ok(exit::DONE);
    }
    let inputs = experiment::inputs(std::slice::from_ref(&settings.base));
    let record = AlignRun {
        align: settings.clone(),
        rule,
    };
    let task = Task {
        command: "align",
        settings: &record,
        inputs,
        unit: Unit::ModelEpochs,
    };
    let finished = work::recorded(
        context,
        &store,
        &task,
        |control| {
            let cells = plan.cells;
            (control.news)(News::Plan {
                units: plan.total.units,
                cells,
                reused: plan.total.reused,
                steps,
            });
            let bench = Bench {
                store: &store,
                data: &data,
                control,
                turns: Default::default(),
            };
            align::run(&settings, rule, context.threads, &bench)
        },
        |origins, _| origins::aligned(origins, &data, &settings),
        |result: &AlignResult, recipe| present::align(result, Some(recipe)),
    )?;
    let report = present::align(&finished.result, None);
    let outcome = finished.result.verdict.outcome;
    work::close(
        context,
        &finished,
        &report,
        Some(outcome),
        args.experiment.expect,
        "undertone theorem",
    )
}
