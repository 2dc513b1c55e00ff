//! Runs one experiment, all cells of it, and reads its numbers: accuracies with intervals, and the verdict.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_stats::{Estimate, Rule, Verdict, decide, mean_t};

use crate::error::LabError;
use crate::pool;
use crate::published;
use crate::settings::{Condition, MlpSettings};
use crate::steps::{Bench, Cell, CellOutcome, CellPlan};

/// The level of every interval and the equivalence margin of the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerdictRule {
    /// Confidence level of intervals: 0.95.
    pub level: f64,
    /// A difference in accuracy smaller than this counts as none: 0.02.
    pub delta: f64,
}

impl VerdictRule {
    /// Checks that a verdict can be formed by this rule, before anything is computed for it.
    ///
    /// # Errors
    /// If the level or the margin is out of range.
    pub fn check(&self) -> Result<(), LabError> {
        decide(&[], &[], &self.rule())?;
        Ok(())
    }

    fn rule(&self) -> Rule {
        Rule {
            level: self.level,
            delta: self.delta,
        }
    }
}

impl Default for VerdictRule {
    fn default() -> Self {
        Self {
            level: 0.95,
            delta: 0.02,
        }
    }
}

/// What was read in one condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConditionResult {
    /// Which condition.
    pub condition: Condition,
    /// Its name.
    pub label: String,
    /// Mean test accuracy over models after the last epoch.
    pub accuracy: Option<Estimate>,
    /// Each model's test accuracy, in the order of the models.
    pub per_model: Vec<f64>,
    /// Mean test accuracy before training and after each epoch.
    pub curve: Vec<Option<Estimate>>,
    /// Models whose loss stopped being a number; their accuracy counts as it is.
    pub diverged: u32,
    /// The published value, where the settings are the published ones.
    pub published: Option<f64>,
}

/// What one experiment gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExperimentResult {
    /// What it was.
    pub settings: MlpSettings,
    /// Every condition that was run.
    pub conditions: Vec<ConditionResult>,
    /// The condition that should show transfer.
    pub treatment: Condition,
    /// The condition it is compared with, model by model.
    pub control: Condition,
    /// Transfer or not.
    pub verdict: Verdict,
    /// Mean KL to the untrained teacher after behaviour cloning, in nats.
    pub cloning_loss: Option<Estimate>,
    /// What the reader must know about what is missing or odd.
    pub left_out: Vec<String>,
}

impl ExperimentResult {
    /// Returns what was read in `condition`, if it was run.
    pub fn condition(&self, condition: Condition) -> Option<&ConditionResult> {
        self.conditions
            .iter()
            .find(|result| result.condition == condition)
    }

    /// Returns the mean accuracies that the verdict compares, treatment and control: over the models it pairs, which are
    /// all but those that are their own partners. `None` without any.
    pub fn judged(&self) -> [Option<f64>; 2] {
        let (settings, sides) = (&self.settings, (self.treatment, self.control));
        let judged = judged(settings, &settings.partners(), &self.conditions, sides);
        judged.map(|values| {
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        })
    }
}

/// What an experiment will cost.
#[derive(Debug, Default)]
pub struct Plan {
    /// Its cells.
    pub cells: u64,
    /// The sum over cells.
    pub total: CellPlan,
}

/// Returns the cells of an experiment.
pub fn cells<'a>(settings: &'a MlpSettings, partners: &[u32]) -> Vec<Cell<'a>> {
    (0..settings.models)
        .zip(partners)
        .map(|(model, &partner)| Cell {
            settings,
            model,
            partner,
        })
        .collect()
}

/// Says what `experiments` still cost, without computing anything.
///
/// # Errors
/// If the settings make no experiment or the store cannot be read.
pub fn plan(experiments: &[MlpSettings], bench: &Bench<'_>) -> Result<Plan, LabError> {
    let mut plan = Plan::default();
    let mut known = std::collections::BTreeSet::new();
    for settings in experiments {
        settings.check()?;
        let features = bench.data.get(&settings.data.digest)?.train().features();
        for cell in cells(settings, &settings.partners()) {
            let cost = cell.plan(bench.store, features)?;
            plan.cells += 1;
            plan.total.units += cost.units;
            plan.total.reused += cost.reused;
            plan.total.unplanned += cost.unplanned;
            for identity in cost.missing {
                // Experiments of a sweep share steps; a shared one is computed once.
                if known.insert(identity.key()) {
                    plan.total.missing.push(identity);
                } else {
                    plan.total.units -= shared_units(settings, &identity.kind);
                }
            }
        }
    }
    Ok(plan)
}

fn shared_units(settings: &MlpSettings, kind: &str) -> u64 {
    match kind {
        "mlp/teacher" => u64::from(settings.teacher.epochs),
        "mlp/clone" => settings
            .cloning
            .as_ref()
            .map_or(0, |cloning| u64::from(cloning.training.epochs)),
        _ => u64::from(settings.student.epochs) * settings.students.len() as u64,
    }
}

/// Runs the cells of all `experiments` and reads each one's numbers.
///
/// # Errors
/// If the settings make no experiment, the store fails or the work is asked to stop.
pub fn run(
    experiments: &[MlpSettings],
    rule: VerdictRule,
    threads: usize,
    bench: &Bench<'_>,
) -> Result<Vec<ExperimentResult>, LabError> {
    let Some(first) = experiments.first() else {
        return Ok(Vec::new());
    };
    for settings in experiments {
        settings.check()?;
    }
    let partners: Vec<Vec<u32>> = experiments.iter().map(MlpSettings::partners).collect();
    let all: Vec<Cell<'_>> = experiments
        .iter()
        .zip(&partners)
        .flat_map(|(settings, partners)| cells(settings, partners))
        .collect();
    let outcomes = pool::run(all.len(), threads, first.precision, |trainer, at| {
        all[at].run(trainer, bench)
    })?;
    let mut outcomes = outcomes.into_iter();
    experiments
        .iter()
        .zip(&partners)
        .map(|(settings, partners)| {
            let own: Vec<CellOutcome> = outcomes.by_ref().take(settings.models as usize).collect();
            read(settings, partners, rule, &own)
        })
        .collect()
}

/// Reads the numbers of one experiment from its cells.
fn read(
    settings: &MlpSettings,
    partners: &[u32],
    rule: VerdictRule,
    cells: &[CellOutcome],
) -> Result<ExperimentResult, LabError> {
    let conditions: Vec<ConditionResult> = Condition::ALL
        .into_iter()
        .filter(|condition| {
            matches!(condition, Condition::Reference | Condition::Teacher)
                || settings.students.contains(condition)
        })
        .map(|condition| read_condition(settings, condition, rule, cells))
        .collect();
    let (treatment, control) = comparison(settings);
    let [treated, controls] = judged(settings, partners, &conditions, (treatment, control));
    let verdict = decide(&treated, &controls, &rule.rule())?;
    let cloning: Vec<f64> = cells.iter().filter_map(|cell| cell.cloning_loss).collect();
    Ok(ExperimentResult {
        settings: settings.clone(),
        treatment,
        control,
        verdict,
        cloning_loss: mean_t(&cloning, rule.level),
        left_out: left_out(settings, partners, &conditions),
        conditions,
    })
}

/// Returns what is compared with what: the student of the shared initialisation with the one of another, from the same
/// teacher, inputs and order; a cloned student or one of another network, and one without such a partner, with the
/// untrained network. Students of the auxiliary logits alone come before those of all logits.
fn comparison(settings: &MlpSettings) -> (Condition, Condition) {
    use Condition::{AllLogits, AuxOnly, CrossAllLogits, CrossAuxOnly, Reference, Teacher};
    let has = |condition: &Condition| settings.students.contains(condition);
    if settings.cloning.is_some() || settings.student_body.is_some() {
        // These start elsewhere on purpose: they are the ones in question.
        if let Some(student) = [CrossAuxOnly, CrossAllLogits].into_iter().find(has) {
            return (student, Reference);
        }
    }
    for (same, cross) in [(AuxOnly, CrossAuxOnly), (AllLogits, CrossAllLogits)] {
        match (has(&same), has(&cross)) {
            (true, true) => return (same, cross),
            (true, false) => return (same, Reference),
            (false, true) => return (cross, Reference),
            (false, false) => {}
        }
    }
    (Teacher, Reference)
}

fn read_condition(
    settings: &MlpSettings,
    condition: Condition,
    rule: VerdictRule,
    cells: &[CellOutcome],
) -> ConditionResult {
    let curves: Vec<(&[f64], bool)> = cells
        .iter()
        .filter_map(|cell| match condition {
            Condition::Reference => cell.teacher.accuracy.get(..1).map(|start| (start, false)),
            Condition::Teacher => Some((&cell.teacher.accuracy[..], cell.teacher.diverged())),
            student => cell
                .students
                .get(&student)
                .map(|curve| (&curve.accuracy[..], curve.diverged())),
        })
        .collect();
    let per_model: Vec<f64> = curves
        .iter()
        .filter_map(|(curve, _)| curve.last().copied())
        .collect();
    let epochs = curves
        .iter()
        .map(|(curve, _)| curve.len())
        .max()
        .unwrap_or(0);
    let at = |epoch: usize| {
        curves
            .iter()
            .filter_map(|(curve, _)| curve.get(epoch).copied())
            .collect::<Vec<f64>>()
    };
    ConditionResult {
        condition,
        label: condition.label().to_owned(),
        accuracy: mean_t(&per_model, rule.level),
        curve: (0..epochs)
            .map(|epoch| mean_t(&at(epoch), rule.level))
            .collect(),
        diverged: curves.iter().filter(|(_, diverged)| *diverged).count() as u32,
        published: published::accuracy(settings, condition),
        per_model,
    }
}

/// Returns the accuracies that the verdict compares, model by model. A model that is its own partner has no student of
/// another initialisation to be compared with, and is in neither.
fn judged(
    settings: &MlpSettings,
    partners: &[u32],
    conditions: &[ConditionResult],
    (treatment, control): (Condition, Condition),
) -> [Vec<f64>; 2] {
    let own = match treatment.is_cross() || control.is_cross() {
        true => own_partners(settings, partners),
        false => Vec::new(),
    };
    [treatment, control].map(|condition| {
        let of = conditions.iter().find(|of| of.condition == condition);
        let values = of.map(|of| &of.per_model[..]).unwrap_or_default();
        let paired = (0..).zip(values).filter(|(model, _)| !own.contains(model));
        paired.map(|(_, &value)| value).collect()
    })
}

/// Returns the models whose cross-model students start from their own teacher's initialisation after all: what a plain
/// permutation leaves where it was. Students of another network never share it.
fn own_partners(settings: &MlpSettings, partners: &[u32]) -> Vec<u32> {
    if settings.student_body.is_some() {
        return Vec::new();
    }
    let models = (0..)
        .zip(partners)
        .filter(|(model, partner)| model == *partner);
    models.map(|(model, _)| model).collect()
}

fn left_out(
    settings: &MlpSettings,
    partners: &[u32],
    conditions: &[ConditionResult],
) -> Vec<String> {
    let mut notes = Vec::new();
    for student in Condition::STUDENTS {
        if !settings.students.contains(&student) {
            notes.push(format!("The condition “{}” was not run.", student.label()));
        }
    }
    let own = own_partners(settings, partners).len();
    if own > 0 && settings.students.iter().any(|c| c.is_cross()) {
        notes.push(format!(
            "{own} of {} cross-model students share their teacher's initialisation after all: the published rule is a \
             plain permutation. They are in the means of their condition, as published, and not in the verdict.",
            partners.len()
        ));
    }
    for result in conditions.iter().filter(|result| result.diverged > 0) {
        notes.push(format!(
            "Training diverged in {} of {} models of “{}”; their accuracies are counted as they are.",
            result.diverged,
            result.per_model.len(),
            result.label
        ));
    }
    notes
}

#[cfg(test)]
mod tests;
