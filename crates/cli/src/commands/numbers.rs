//! `run`, `plan`, `new` and `config`: experiments that are described in a file.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use undertone_core::exit;
use undertone_lab::lm::memory::bytes_text;
use undertone_lab::lm::tiny::{TinyName, TinyShelf};
use undertone_lab::lm::train::Means;
use undertone_lab::lm::{LmBench, Subject};
use undertone_lab::numbers::file::{
    ExperimentFile, Explained, Origin, Variant, commented_file, value_text,
};
use undertone_lab::numbers::plan::Plan;
use undertone_lab::numbers::result::NumbersResult;
use undertone_lab::numbers::run;
use undertone_lab::numbers::trace::trace;
use undertone_lab::numbers::world::{Found, Sources, World};
use undertone_lab::{Control, LabError, News};
use undertone_lineage::Draft;
use undertone_store::{Store, write_atomic};

use crate::args::{
    ConfigArgs, ConfigWhat, NewArgs, NewWhat, PlanFileArgs, RunFileArgs, TrainingMeans,
};
use crate::commands::lm::plan::{counted, warn_of_memory};
use crate::commands::lm::{keep, start_threads};
use crate::commands::work::{self, Task};
use crate::context::Context;
use crate::failure::Usage;
use crate::origins::{self, Bases};
use crate::present;
use crate::progress::{Progress, Unit, seconds};

/// Everything the result of a file depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NumbersRun {
    /// The experiments.
    pub variants: Vec<Variant>,
    /// What the names in each stand for.
    pub found: Vec<Found>,
}

/// Runs the experiments of a file.
pub fn run_file(context: &Context, args: &RunFileArgs) -> Result<u8> {
    if args.dry_run {
        return plan_of(context, &args.file, args.means, Calibration::Wanted);
    }
    let file = read(&args.file)?;
    start_threads(context)?;
    let store = context.store()?;
    let keep_now = keep::every(args.means.keep_every);
    let means = means(context, args.means, &keep_now);
    let making = Making::new(context);
    let control = Control {
        stop: &context.stop,
        news: &|news| making.take(&news),
    };
    let models = Models::new(context, &store, &control, means);
    let settings = NumbersRun {
        found: models.listening(|| found(&file.variants, &models))?,
        variants: file.variants,
    };
    tell(context, &settings.found);
    let task = Task {
        command: "numbers",
        settings: &settings,
        inputs: inputs(&settings.found),
        unit: Unit::TokenPasses,
    };
    let finished = work::recorded(
        context,
        &store,
        &task,
        |control| {
            context.say("looking for steps that are in the store");
            let warn = |plan: &Plan| warn_of_memory(context, plan.memory_bytes as usize);
            run::run(&settings.variants, &models, &store, control, means, &warn)
        },
        |origins, result: &NumbersResult| {
            let mut draft = Draft::observed();
            for (variant, result) in settings.variants.iter().zip(&result.variants) {
                let world = World::open(&variant.settings, &models)?;
                let bases = Bases {
                    base: &world.base,
                    foreign: world.foreign.as_ref(),
                    cloned: world.cloned.as_ref(),
                    tiny: &models.tiny,
                };
                let made = trace(variant, &models, &store, means)?;
                draft.extend(origins::numbers(origins, variant, &bases, &made, result)?);
            }
            Ok(draft)
        },
        |result: &NumbersResult, recipe| present::numbers(result, Some(recipe)),
    )?;
    let report = present::numbers(&finished.result, None);
    let outcome = finished.result.outcome();
    work::close(context, &finished, &report, Some(outcome), args.expect, "")
}

/// Says what a file costs.
pub fn plan_file(context: &Context, args: &PlanFileArgs) -> Result<u8> {
    let calibration = match args.no_calibration {
        true => Calibration::LeftOut,
        false => Calibration::Wanted,
    };
    plan_of(context, &args.file, args.means, calibration)
}

/// Whether a plan measures this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Calibration {
    Wanted,
    LeftOut,
}

fn plan_of(
    context: &Context,
    path: &Path,
    given: TrainingMeans,
    calibration: Calibration,
) -> Result<u8> {
    let file = read(path)?;
    start_threads(context)?;
    let store = context.store()?;
    let keep_now = keep::every(given.keep_every);
    let means = means(context, given, &keep_now);
    let making = Making::new(context);
    let control = Control {
        stop: &context.stop,
        news: &|news| making.take(&news),
    };
    let models = Models::new(context, &store, &control, means);
    let found = models.listening(|| found(&file.variants, &models))?;
    tell(context, &found);
    let mut plan = Plan::of(&file.variants, &models, &store, means)?;
    warn_of_memory(context, plan.memory_bytes as usize);
    if calibration == Calibration::Wanted {
        plan.calibrate(&file.variants, &models, means)?;
    }
    context.print(&plan, || Ok(plan_text(&plan, &file, context.threads)))?;
    Ok(exit::DONE)
}

fn plan_text(plan: &Plan, file: &ExperimentFile, threads: usize) -> String {
    let mut lines = vec![format!(
        "{}, {}, {}, {} of them in the store",
        counted(file.variants.len() as u64, "experiment"),
        counted(plan.students(), "student"),
        counted(plan.steps(), "step"),
        plan.in_store()
    )];
    for line in &plan.lines {
        let left = match line.steps - line.in_store {
            0 => "all in the store".to_owned(),
            _ => format!(
                "{} to do, {} each, {} of disk",
                counted(line.tokens, "token"),
                match line.passes {
                    1 => "1 pass".to_owned(),
                    n => format!("{n} passes"),
                },
                bytes_text(line.bytes as usize)
            ),
        };
        lines.push(format!(
            "  {} x {}: {}, {left}",
            line.steps,
            line.what,
            counted(line.rows, "row")
        ));
    }
    if plan.in_store() < plan.steps() {
        let disk: u64 = plan.lines.iter().map(|line| line.bytes).sum();
        lines.push(format!(
            "about {} of disk, {} of memory",
            bytes_text(disk as usize),
            bytes_text(plan.memory_bytes as usize)
        ));
    }
    lines.push(match (plan.speed, plan.secs_estimated) {
        (Some(speed), Some(secs)) => format!(
            "about {} on {threads} threads ({:.0} tokens/s in training, {:.0} in sampling, in a short calibration)",
            seconds(secs),
            speed.training,
            speed.sampling
        ),
        _ if plan.in_store() == plan.steps() => "no time: all of it is in the store".to_owned(),
        _ => "time unknown".to_owned(),
    });
    lines.join("\n")
}

/// Writes a file to begin with.
pub fn new(context: &Context, args: &NewArgs) -> Result<u8> {
    let NewWhat::Numbers { output, name } = &args.what;
    let text = commented_file(name);
    match output {
        None => context.print(&json!({ "file": text }), || Ok(text.clone()))?,
        Some(path) if path.exists() => {
            let path = path.display();
            return Err(Usage(format!("`{path}` is there already; nothing is overwritten")).into());
        }
        Some(path) => {
            write_atomic(path, text.as_bytes())?;
            let shown = path.display().to_string();
            context.print(&json!({ "written": path }), || {
                Ok(format!("written to {shown}"))
            })?;
            context.say(format!("next:   undertone plan {shown}"));
        }
    }
    Ok(exit::DONE)
}

/// Explains a file.
pub fn config(context: &Context, args: &ConfigArgs) -> Result<u8> {
    let ConfigWhat::Explain { file } = &args.what;
    let explained = read(file)?.explain();
    let name = file.display().to_string();
    context.print(&json!({ "keys": explained }), || {
        let lines: Vec<String> = explained
            .iter()
            .map(|value| explained_text(value, &name))
            .collect();
        Ok(lines.join("\n"))
    })?;
    Ok(exit::DONE)
}

fn explained_text(value: &Explained, file: &str) -> String {
    let values: Vec<String> = value.values.iter().map(value_text).collect();
    let origin = match (&value.origin, &value.axis) {
        (Origin::Default, _) => "default".to_owned(),
        (Origin::Line(line), None) => format!("{file}:{line}"),
        (Origin::Line(line), Some(axis)) => format!("{file}:{line}, axis {axis}"),
    };
    format!(
        "{} = {}    # {origin}: {}",
        value.key,
        values.join(" | "),
        value.words
    )
}

fn read(path: &Path) -> Result<ExperimentFile> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Usage(format!("cannot read `{}`: {error}", path.display())))?;
    Ok(ExperimentFile::parse(&text, path)?)
}

/// Models by the names they have in a file; tiny decoders are made when they are first asked for.
struct Models<'a> {
    context: &'a Context,
    tiny: TinyShelf<'a>,
    /// By name: every variant of an experiment asks for its models.
    opened: RefCell<BTreeMap<String, Subject>>,
}

impl<'a> Models<'a> {
    fn new(
        context: &'a Context,
        store: &'a Store,
        control: &'a Control<'a>,
        means: Means<'a>,
    ) -> Self {
        Self {
            context,
            tiny: TinyShelf::new(LmBench { store, control }, means),
            opened: RefCell::default(),
        }
    }

    /// Opens models outside a recorded run: Ctrl-C ends at the next step of the training, whose state is kept.
    fn listening<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.context.listen();
        let result = work();
        self.context.stop_listening();
        result
    }
}

impl Sources for Models<'_> {
    fn model(&self, name: &str) -> Result<Subject, LabError> {
        if let Some(tiny) = TinyName::parse(name) {
            return self.tiny.subject(tiny, name);
        }
        if let Some(known) = self.opened.borrow().get(name) {
            return Ok(known.clone());
        }
        let subject = Subject::open(name, None, self.data_dir())?;
        self.opened
            .borrow_mut()
            .insert(name.to_owned(), subject.clone());
        Ok(subject)
    }

    fn data_dir(&self) -> &Path {
        &self.context.data_dir
    }
}

/// Shows how far the making of tiny decoders is: a line and a display for each.
struct Making<'a> {
    context: &'a Context,
    progress: Mutex<Option<Progress>>,
}

impl<'a> Making<'a> {
    fn new(context: &'a Context) -> Self {
        Self {
            context,
            progress: Mutex::new(None),
        }
    }

    fn take(&self, news: &News) {
        let Ok(mut progress) = self.progress.lock() else {
            return;
        };
        if let News::Plan {
            steps: 1, cells, ..
        } = news
        {
            let context = self.context;
            context.say(format!(
                "a tiny decoder is made, once: {cells} optimiser steps"
            ));
            let style = context.progress;
            *progress = Some(Progress::new(style, context.quiet, Unit::OptimiserSteps));
        }
        if let Some(shown) = &*progress {
            shown.take(news);
        }
        if let News::Stored { .. } = news
            && let Some(shown) = progress.take()
        {
            shown.end();
        }
    }
}

fn found(variants: &[Variant], sources: &dyn Sources) -> Result<Vec<Found>> {
    let each = variants
        .iter()
        .map(|variant| World::open(&variant.settings, sources)?.found());
    Ok(each.collect::<Result<_, LabError>>()?)
}

fn inputs(found: &[Found]) -> BTreeMap<String, undertone_core::Digest> {
    let models = found.iter().flat_map(|found| {
        std::iter::once(&found.base)
            .chain(&found.foreign_base)
            .chain(&found.cloned_base)
    });
    models
        .map(|model| (model.name.clone(), model.digest))
        .collect()
}

/// Says what nobody wrote and every model reads nevertheless.
fn tell(context: &Context, found: &[Found]) {
    if let Some(line) = found.iter().find_map(|found| found.system_line.as_ref()) {
        context.say(format!(
            "the chat template adds a system line, in training and readout alike: {line:?}"
        ));
    }
}

fn means<'a>(context: &Context, given: TrainingMeans, keep_now: &'a dyn Fn() -> bool) -> Means<'a> {
    Means {
        threads: context.threads,
        kept_bytes: given.kept_memory << 20,
        keep_now,
    }
}
