//! One model of an alignment run as a step of the store.
//!
//! ```text
//! mlp/teacher  shared with every other experiment of the same teacher
//! mlp/align    (model, teacher, starts, loss, inputs, probe, interval)  -> traces
//! ```

use std::collections::BTreeMap;

use serde_json::json;
use undertone_core::Digest;
use undertone_mlp::Trainer;
use undertone_store::StepIdentity;

use super::result::AlignResult;
use super::settings::{ACCURACY_ROWS, AlignSettings};
use super::trace::{self, Arm, Setup, Traces};
use crate::error::LabError;
use crate::outcome::{Plan, VerdictRule, cells};
use crate::pool;
use crate::settings::Renewal;
use crate::steps::{Bench, Cell, image_digests, images, json_bytes, output};
use crate::training::Lesson;
use crate::weights_file;

/// The step's kind in the store.
const KIND: &str = "mlp/align";
/// The version of the code behind the step; raise it whenever the same settings would give other bytes.
const VERSION: u32 = 2;

/// Says what a run still costs, without computing anything. A unit is a model-epoch: one arm through one epoch.
///
/// # Errors
/// If the settings make no run or the store cannot be read.
pub fn plan(settings: &AlignSettings, bench: &Bench<'_>) -> Result<Plan, LabError> {
    let train = bench.data.get(&settings.base.data.digest)?.train();
    settings.check(train.len())?;
    let arms = u64::from(settings.base.student.epochs) * Arm::ALL.len() as u64;
    let mut plan = Plan::default();
    for cell in cells(&settings.base, &settings.base.partners()) {
        plan.cells += 1;
        let mut missing = |identity, units| {
            plan.total.missing.push(identity);
            plan.total.units += units;
        };
        let teacher = cell.teacher_identity(train.features());
        let Some(teacher) = bench.store.lookup_step(&teacher)? else {
            missing(teacher, u64::from(settings.base.teacher.epochs));
            plan.total.units += arms;
            plan.total.unplanned += 1;
            continue;
        };
        let own = identity(
            settings,
            &cell,
            train.features(),
            output(&teacher, "weights")?,
        );
        if bench.store.lookup_step(&own)?.is_some() {
            plan.total.reused += 2;
        } else {
            missing(own, arms);
            plan.total.reused += 1;
        }
    }
    Ok(plan)
}

/// Runs the models of `settings`, taking from the store what is there, and reads the numbers.
///
/// # Errors
/// If the settings make no run, the store fails or the work is asked to stop.
pub fn run(
    settings: &AlignSettings,
    rule: VerdictRule,
    threads: usize,
    bench: &Bench<'_>,
) -> Result<AlignResult, LabError> {
    let traces = traces(settings, threads, bench)?;
    AlignResult::read(settings, rule, &traces)
}

/// Returns what was read from every model, in their order.
pub(super) fn traces(
    settings: &AlignSettings,
    threads: usize,
    bench: &Bench<'_>,
) -> Result<Vec<Traces>, LabError> {
    settings.check(bench.data.get(&settings.base.data.digest)?.train().len())?;
    let cells = cells(&settings.base, &settings.base.partners());
    let precision = settings.base.precision;
    pool::run(cells.len(), threads, precision, |trainer, at| {
        run_cell(settings, &cells[at], trainer, bench)
    })
}

/// Returns everything that the traces of a model depend on, given its teacher's weights: the identity of the step.
pub fn identity(
    settings: &AlignSettings,
    cell: &Cell<'_>,
    features: usize,
    teacher: Digest,
) -> StepIdentity {
    let base = &settings.base;
    let mut inputs = image_digests(&base.inputs);
    inputs.insert("data".to_owned(), base.data.digest);
    inputs.insert("teacher".to_owned(), teacher);
    let params = json!({
        "architecture": cell.teacher_architecture(features),
        "partner": cell.partner,
        "init_gain": base.init_gain,
        "perturb_sigma": base.perturb_sigma,
        "training": base.student,
        "loss": base.student_loss,
        "temperature": base.temperature,
        "inputs": base.inputs,
        "precision": base.precision,
        "every": settings.every,
        "probe": settings.probe,
        "accuracy_rows": ACCURACY_ROWS,
    });
    StepIdentity {
        version: VERSION,
        ..cell.identity(KIND, params, inputs)
    }
}

fn run_cell(
    settings: &AlignSettings,
    cell: &Cell<'_>,
    trainer: &mut Trainer,
    bench: &Bench<'_>,
) -> Result<Traces, LabError> {
    let features = cell.features(bench)?;
    let teacher = output(&cell.teacher(trainer, bench, features)?, "weights")?;
    let own = identity(settings, cell, features, teacher);
    let record = bench.step(own, KIND, || {
        let traces = compute(settings, cell, trainer, bench, features, teacher)?;
        Ok(BTreeMap::from([(
            "traces".to_owned(),
            json_bytes(&traces)?,
        )]))
    })?;
    bench.read(&record, "traces")
}

fn compute(
    settings: &AlignSettings,
    cell: &Cell<'_>,
    trainer: &mut Trainer,
    bench: &Bench<'_>,
    features: usize,
    teacher: Digest,
) -> Result<Traces, LabError> {
    let base = &settings.base;
    let architecture = cell.teacher_architecture(features);
    let teacher = weights_file::decode(&architecture, &bench.store.get(&teacher)?)?;
    let data = bench.data.get(&base.data.digest)?;
    // Inputs and order are those of the experiment's own students, so that `as-is` is its aux-only student.
    let lesson = Lesson {
        teacher: &teacher,
        inputs: &base.inputs,
        images: images(bench, &base.inputs)?,
        training: &base.student,
        order: "lab/student/order",
        renewal: Renewal::Fixed,
    };
    let model = u64::from(cell.model);
    let mut probe = base
        .seed
        .stream("lab/align/probe", model)
        .permutation(data.train().len() as u32);
    probe.truncate(settings.probe as usize);
    let setup = Setup {
        same: &cell.same_start(features),
        cross: &cell.cross_start(features),
        loss: cell.aux_loss(),
        train: data.train(),
        probe: &probe,
        test: data.test(),
        every: settings.every,
    };
    Ok(trace::trace(
        trainer,
        bench.control,
        &lesson,
        &setup,
        (base.seed, model),
    )?)
}
