//! `ablate`: the experiment along one axis.

use std::cell::RefCell;

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_lab::outcome::{self, VerdictRule};
use undertone_lab::search::{self, Search};
use undertone_lab::steps::{Bench, DataSets};
use undertone_lab::sweep::{Axis, PUBLISHED_CLONING_EPOCHS, Point};
use undertone_lab::{Control, ExperimentResult, LabError, MlpSettings};
use undertone_mlp::Optimiser;
use undertone_stats::Outcome;

use crate::args::AblateArgs;
use crate::commands::experiment;
use crate::commands::work::{self, Task};
use crate::context::Context;
use crate::failure::Usage;
use crate::origins;
use crate::present;
use crate::progress::Unit;
use crate::resolve::{self, Resolved, Start};

/// Everything the result of a sweep depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepRun {
    /// The axis.
    pub axis: Axis,
    /// The experiments in the order of the values, before any learning rate is searched.
    pub points: Vec<PointSettings>,
    /// How each is judged.
    pub rule: VerdictRule,
}

/// One value of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PointSettings {
    /// The value, as it is shown.
    pub label: String,
    /// Its place on a numeric axis.
    pub x: Option<f64>,
    /// The experiment.
    pub experiment: MlpSettings,
}

/// What a sweep gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepResult {
    /// The axis.
    pub axis: Axis,
    /// The results in the order of the values.
    pub points: Vec<PointResult>,
    /// The learning-rate searches behind it.
    pub searches: Vec<Search>,
}

/// One value of a sweep and what it gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PointResult {
    /// The value, as it is shown.
    pub label: String,
    /// Its place on a numeric axis.
    pub x: Option<f64>,
    /// What the experiment gave.
    pub result: ExperimentResult,
}

impl SweepResult {
    /// Returns the outcome all points share; `Inconclusive` if they differ.
    pub fn outcome(&self) -> Outcome {
        let mut outcomes = self.points.iter().map(|point| point.result.verdict.outcome);
        match outcomes.next() {
            Some(first) if outcomes.all(|outcome| outcome == first) => first,
            _ => Outcome::Inconclusive,
        }
    }
}

/// Runs the sweep.
pub fn run(context: &Context, args: &AblateArgs) -> Result<u8> {
    let axis: Axis = args
        .sweep
        .parse()
        .map_err(|error| Usage(format!("--sweep: {error}")))?;
    let mut experiment = args.experiment.clone();
    if let Axis::CloningEpochs | Axis::StudentBody = axis {
        // These axes clone without being asked: how is theirs to say, how long need not be.
        experiment
            .cloning_epochs
            .get_or_insert(PUBLISHED_CLONING_EPOCHS);
    }
    let Resolved {
        settings: base,
        rule,
        data,
    } = resolve::experiment(context, Start::Preset(args.preset), &experiment)?;
    let (points, data) = points(context, axis, &base, args, data)?;
    let store = context.store()?;
    let experiments: Vec<MlpSettings> = points.iter().map(|point| point.settings.clone()).collect();
    for point in &points {
        point
            .settings
            .check()
            .map_err(|error| Usage(format!("at {axis} = {}: {error}", point.label)))?;
    }
    if args.experiment.why || args.experiment.dry_run {
        let control = Control::silent(&context.stop);
        let bench = Bench {
            store: &store,
            data: &data,
            control: &control,
            turns: Default::default(),
        };
        let mut experiments = experiments.clone();
        let trials = trials(context, axis, &points, &mut experiments, &bench)?;
        if args.experiment.why {
            experiment::why(context, &store, &data, &experiments)?;
        }
        if args.experiment.dry_run {
            return experiment::dry_run(context, &store, &data, &trials, &experiments);
        }
    }
    let settings = SweepRun {
        axis,
        points: points
            .iter()
            .map(|point| PointSettings {
                label: point.label.clone(),
                x: point.x,
                experiment: point.settings.clone(),
            })
            .collect(),
        rule,
    };
    let task = Task {
        command: "ablate",
        settings: &settings,
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
            let mut experiments = experiments.clone();
            let trials = trials(context, axis, &points, &mut experiments, &bench)?;
            experiment::tell_plan(&[trials.as_slice(), &experiments].concat(), &bench)?;
            let searches = searched(context, axis, &points, &mut experiments, &bench)?;
            let results = outcome::run(&experiments, rule, context.threads, &bench)?;
            let points = points
                .iter()
                .zip(results)
                .map(|(point, result)| PointResult {
                    label: point.label.clone(),
                    x: point.x,
                    result,
                })
                .collect();
            Ok(SweepResult {
                axis,
                points,
                searches,
            })
        },
        |origins, result| {
            let points = result.points.iter();
            let points = points.map(|point| (Some(point.label.as_str()), &point.result));
            origins::experiments(origins, &data, points)
        },
        |result: &SweepResult, recipe| present::sweep(result, Some(recipe)),
    )?;
    let report = present::sweep(&finished.result, None);
    let outcome = finished.result.outcome();
    work::close(
        context,
        &finished,
        &report,
        Some(outcome),
        args.experiment.expect,
        "undertone runs",
    )
}

/// Returns the experiments of the sweep and the data they need.
fn points(
    context: &Context,
    axis: Axis,
    base: &MlpSettings,
    args: &AblateArgs,
    data: DataSets,
) -> Result<(Vec<Point>, DataSets)> {
    let defaults = || {
        axis.default_values()
            .split(',')
            .map(str::to_owned)
            .collect()
    };
    let values: Vec<String> = args.values.clone().unwrap_or_else(defaults);
    let sets = RefCell::new(data);
    let failure = RefCell::new(None);
    let lookup = |name: &str| {
        let opened = resolve::open_data(context, name, &mut sets.borrow_mut());
        opened.map_err(|error| failure.replace(Some(error))).ok()
    };
    let points = axis.points(base, &values, &lookup);
    if let Some(error) = failure.into_inner() {
        return Err(error);
    }
    let mut points = points.map_err(|error| Usage(format!("--values: {error}")))?;
    // Numbers in the order of the axis, whatever the order they were typed in.
    points.sort_by(|a, b| {
        let place = |point: &Point| point.x.unwrap_or(0.0);
        place(a).total_cmp(&place(b))
    });
    let same = |pair: &[Point]| pair[0].x.is_some() && pair[0].x == pair[1].x;
    let mut labels: Vec<&str> = points.iter().map(|point| point.label.as_str()).collect();
    labels.sort_unstable();
    if points.windows(2).any(same) || labels.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Usage("--values holds the same value twice".to_owned()).into());
    }
    if points.is_empty() {
        return Err(Usage("--values is empty".to_owned()).into());
    }
    Ok((points, sets.into_inner()))
}

/// Returns the experiments that the sweep's searches are made of; puts the rates that are known already, because all of
/// a search is in the store, into the experiments.
fn trials(
    context: &Context,
    axis: Axis,
    points: &[Point],
    experiments: &mut [MlpSettings],
    bench: &Bench<'_>,
) -> Result<Vec<MlpSettings>, LabError> {
    let mut trials = Vec::new();
    if axis != Axis::Optimiser {
        return Ok(trials);
    }
    for (point, experiment) in points.iter().zip(experiments) {
        let Some(foreseen) = search::foresee(&point.label, experiment, context.threads, bench)?
        else {
            continue;
        };
        if let Some(found) = &foreseen.found {
            take_rates(experiment, found);
        }
        trials.extend(foreseen.trials);
    }
    Ok(trials)
}

/// Searches the learning rates of the optimiser sweep and puts them into the experiments.
fn searched(
    context: &Context,
    axis: Axis,
    points: &[Point],
    experiments: &mut [MlpSettings],
    bench: &Bench<'_>,
) -> Result<Vec<Search>, LabError> {
    let mut searches = Vec::new();
    if axis != Axis::Optimiser {
        return Ok(searches);
    }
    for (point, experiment) in points.iter().zip(experiments) {
        context.say(format!("searching the learning rate of `{}`", point.label));
        let Some(found) = search::search(&point.label, experiment, context.threads, bench)? else {
            continue;
        };
        take_rates(experiment, &found);
        searches.push(found);
    }
    Ok(searches)
}

fn take_rates(experiment: &mut MlpSettings, found: &Search) {
    for (optimiser, rate) in [
        (&mut experiment.teacher.optimiser, found.teacher_rate),
        (&mut experiment.student.optimiser, found.student_rate),
    ] {
        if let Optimiser::Sgd { learning_rate, .. } = optimiser {
            *learning_rate = rate;
        }
    }
}
