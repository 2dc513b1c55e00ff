//! The learning-rate search behind the optimiser sweep: the publication states no rate for SGD.
//!
//! The rule never looks at what the sweep reports. Teachers: the rate with the highest mean accuracy of the *teacher*.
//! Students: with that teacher, the rate with the lowest mean distillation loss of the aux-only student after the last
//! epoch; a rate at which any loss stopped being a number is out. Searched with [`SEARCH_MODELS`] models of a seed of
//! their own, over the powers of 10^(1/2) given below.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Seed;
use undertone_mlp::Optimiser;

use crate::error::LabError;
use crate::outcome::{self, cells};
use crate::pool;
use crate::settings::{Condition, MlpSettings};
use crate::steps::{Bench, CellOutcome};

/// Models each rate is tried on.
pub const SEARCH_MODELS: u32 = 3;
/// Rates tried for SGD, from largest to smallest.
pub const SGD_RATES: [f64; 9] = [30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003];

/// One rate and what was read at it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchRow {
    /// The rate.
    pub learning_rate: f64,
    /// Mean accuracy of the teachers, or mean final loss of the students; `None` if any diverged.
    pub score: Option<f64>,
}

/// A finished search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// The optimiser's name in the sweep.
    pub optimiser: String,
    /// Models each rate was tried on.
    pub models: u32,
    /// Their seed.
    pub seed: Seed,
    /// Teacher rates and mean accuracies.
    pub teacher: Vec<SearchRow>,
    /// Student rates and mean final losses.
    pub student: Vec<SearchRow>,
    /// The chosen teacher rate.
    pub teacher_rate: f64,
    /// The chosen student rate.
    pub student_rate: f64,
}

/// Searches the rates of an SGD experiment; `None` for an optimiser whose rate is published.
///
/// # Errors
/// If a cell fails, or every rate diverges.
pub fn search(
    label: &str,
    settings: &MlpSettings,
    threads: usize,
    bench: &Bench<'_>,
) -> Result<Option<Search>, LabError> {
    let Some(teachers) = teacher_trials(settings) else {
        return Ok(None);
    };
    let seed = teachers[0].seed;
    let (teacher, teacher_rate) = teachers_read(&teachers, threads, bench)?;
    let students = student_trials(&teachers, teacher_rate);
    let student = scores(&students, threads, bench, |cell| {
        let curve = cell.students.get(&Condition::AuxOnly)?;
        if curve.diverged() {
            None
        } else {
            curve.loss.last().copied().flatten()
        }
    })?;
    let student_rate =
        best(&student, |new, old| new < old).ok_or(LabError::AllDiverged { phase: "student" })?;
    Ok(Some(Search {
        optimiser: label.to_owned(),
        models: SEARCH_MODELS,
        seed,
        teacher,
        student,
        teacher_rate,
        student_rate,
    }))
}

/// What a search would train, and what it finds if all of that is in the store already.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreseen {
    /// Every trial; while the teachers' best rate is not known, students are those of the first rate, which cost the
    /// same.
    pub trials: Vec<MlpSettings>,
    /// The search, if it costs nothing.
    pub found: Option<Search>,
}

/// Returns what [`search`] would do, computing nothing that is not in the store; `None` where it has nothing to search.
///
/// # Errors
/// If the settings make no experiment, the store fails, or every rate diverged.
pub fn foresee(
    label: &str,
    settings: &MlpSettings,
    threads: usize,
    bench: &Bench<'_>,
) -> Result<Option<Foreseen>, LabError> {
    let Some(teachers) = teacher_trials(settings) else {
        return Ok(None);
    };
    let stored = |trials: &[MlpSettings]| -> Result<bool, LabError> {
        let plan = outcome::plan(trials, bench)?;
        Ok(plan.total.missing.is_empty() && plan.total.unplanned == 0)
    };
    // The teachers' rate decides the students' trials, so their scores are needed before students can be looked up.
    let rate = if stored(&teachers)? {
        teachers_read(&teachers, threads, bench)?.1
    } else {
        SGD_RATES[0]
    };
    let students = student_trials(&teachers, rate);
    let trials: Vec<MlpSettings> = teachers.into_iter().chain(students).collect();
    let found = if stored(&trials)? {
        search(label, settings, threads, bench)?
    } else {
        None
    };
    Ok(Some(Foreseen { trials, found }))
}

/// Returns the experiments that only train teachers, one a rate; `None` for an optimiser whose rate is published.
fn teacher_trials(settings: &MlpSettings) -> Option<Vec<MlpSettings>> {
    let Optimiser::Sgd { momentum, .. } = settings.teacher.optimiser else {
        return None;
    };
    let trial = |&learning_rate: &f64| {
        let mut trial = settings.clone();
        // A seed of its own: the models that choose the rate are not those that are reported.
        trial.seed = Seed(settings.seed.0 ^ 0x5ea7_c4ed);
        trial.models = SEARCH_MODELS;
        trial.students = Vec::new();
        trial.teacher.optimiser = Optimiser::Sgd {
            learning_rate,
            momentum,
        };
        trial
    };
    Some(SGD_RATES.iter().map(trial).collect())
}

/// Returns the experiments with an aux-only student, one a rate, all of the teachers that were trained at `rate`.
fn student_trials(teachers: &[MlpSettings], rate: f64) -> Vec<MlpSettings> {
    let trial = |of: &MlpSettings| {
        let mut trial = of.clone();
        trial.student.optimiser = trial.teacher.optimiser;
        if let Optimiser::Sgd { learning_rate, .. } = &mut trial.teacher.optimiser {
            *learning_rate = rate;
        }
        trial.students = vec![Condition::AuxOnly];
        trial
    };
    teachers.iter().map(trial).collect()
}

/// Trains the teachers; returns their mean accuracies and the best rate.
fn teachers_read(
    trials: &[MlpSettings],
    threads: usize,
    bench: &Bench<'_>,
) -> Result<(Vec<SearchRow>, f64), LabError> {
    let rows = scores(trials, threads, bench, |cell| {
        if cell.teacher.diverged() {
            None
        } else {
            cell.teacher.last()
        }
    })?;
    let rate = best(&rows, |new, old| new > old);
    let rate = rate.ok_or(LabError::AllDiverged { phase: "teacher" })?;
    Ok((rows, rate))
}

/// Runs the trials, one a rate, and returns the mean of what `read` finds in their models.
fn scores(
    trials: &[MlpSettings],
    threads: usize,
    bench: &Bench<'_>,
    read: impl Fn(&CellOutcome) -> Option<f64>,
) -> Result<Vec<SearchRow>, LabError> {
    let outcomes = run(trials, threads, bench)?;
    let means = outcomes.iter().map(|cells| mean(cells.iter().map(&read)));
    Ok(rows(means.collect()))
}

fn run(
    trials: &[MlpSettings],
    threads: usize,
    bench: &Bench<'_>,
) -> Result<Vec<Vec<CellOutcome>>, LabError> {
    let partners: Vec<Vec<u32>> = trials.iter().map(MlpSettings::partners).collect();
    let all: Vec<_> = trials
        .iter()
        .zip(&partners)
        .flat_map(|(trial, partners)| cells(trial, partners))
        .collect();
    let precision = trials
        .first()
        .map(|trial| trial.precision)
        .unwrap_or_default();
    let outcomes = pool::run(all.len(), threads, precision, |trainer, at| {
        all[at].run(trainer, bench)
    })?;
    let mut outcomes = outcomes.into_iter();
    Ok(trials
        .iter()
        .map(|trial| outcomes.by_ref().take(trial.models as usize).collect())
        .collect())
}

fn rows(scores: Vec<Option<f64>>) -> Vec<SearchRow> {
    SGD_RATES
        .iter()
        .zip(scores)
        .map(|(&learning_rate, score)| SearchRow {
            learning_rate,
            score,
        })
        .collect()
}

fn best(rows: &[SearchRow], better: impl Fn(f64, f64) -> bool) -> Option<f64> {
    let mut best: Option<(f64, f64)> = None;
    for row in rows {
        if let Some(score) = row.score
            && best.is_none_or(|(_, old)| better(score, old))
        {
            best = Some((row.learning_rate, score));
        }
    }
    best.map(|(rate, _)| rate)
}

/// The mean, or `None` if any value is missing or there is none.
fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.collect::<Option<_>>()?;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Place, TestResult, tiny};

    fn scored(scores: &[Option<f64>]) -> Vec<SearchRow> {
        rows(
            scores
                .iter()
                .copied()
                .chain(std::iter::repeat(None))
                .take(SGD_RATES.len())
                .collect(),
        )
    }

    #[test]
    fn the_best_rate_is_taken_the_larger_one_on_a_tie_and_none_if_all_diverged() {
        let rows = scored(&[None, Some(0.5), Some(0.9), Some(0.9), Some(0.1)]);
        assert_eq!(best(&rows, |new, old| new > old), Some(3.0));
        assert_eq!(best(&rows, |new, old| new < old), Some(0.3));
        assert_eq!(best(&scored(&[]), |new, old| new > old), None);
    }

    #[test]
    fn one_diverged_model_leaves_a_rate_without_score() {
        assert_eq!(mean([Some(1.0), Some(3.0)].into_iter()), Some(2.0));
        assert_eq!(mean([Some(1.0), None].into_iter()), None);
        assert_eq!(mean(std::iter::empty()), None);
    }

    fn momentum() -> MlpSettings {
        let mut settings = tiny();
        for phase in [&mut settings.teacher, &mut settings.student] {
            phase.optimiser = Optimiser::Sgd {
                learning_rate: 0.1,
                momentum: 0.9,
            };
        }
        settings
    }

    #[test]
    fn chooses_by_its_rule_on_models_of_its_own() -> TestResult {
        let settings = momentum();
        let (found, _) = Place::new()?.with(|bench| search("momentum", &settings, 2, bench))?;
        let found = found.ok_or("SGD is searched")?;
        assert_ne!(found.seed, settings.seed);
        assert_eq!(found.teacher.len(), SGD_RATES.len());
        let score = |rows: &[SearchRow], rate: f64| {
            rows.iter()
                .find(|row| row.learning_rate == rate)
                .and_then(|row| row.score)
        };
        let scores =
            |rows: &[SearchRow]| rows.iter().filter_map(|row| row.score).collect::<Vec<_>>();
        let highest = scores(&found.teacher).into_iter().reduce(f64::max);
        let lowest = scores(&found.student).into_iter().reduce(f64::min);
        assert!(highest.is_some() && lowest.is_some());
        assert_eq!(score(&found.teacher, found.teacher_rate), highest);
        assert_eq!(score(&found.student, found.student_rate), lowest);
        Ok(())
    }

    #[test]
    fn what_is_foreseen_is_what_is_done() -> TestResult {
        let settings = momentum();
        let place = Place::new()?;
        let (before, stored) = place.with(|bench| foresee("momentum", &settings, 2, bench))?;
        let before = before.ok_or("SGD is searched")?;
        assert_eq!((before.found, stored), (None, 0));
        let (planned, _) = place.with(|bench| outcome::plan(&before.trials, bench))?;

        let (found, stored) = place.with(|bench| search("momentum", &settings, 2, bench))?;
        let total = planned.total;
        assert_eq!(total.missing.len() as u64 + total.unplanned, stored);
        let (after, stored) = place.with(|bench| foresee("momentum", &settings, 2, bench))?;
        assert_eq!(after.ok_or("SGD is searched")?.found, found);
        assert_eq!(stored, 0);
        Ok(())
    }

    #[test]
    fn a_published_rate_is_not_searched() -> TestResult {
        let (found, stored) = Place::new()?.with(|bench| search("adam", &tiny(), 1, bench))?;
        assert_eq!((found, stored), (None, 0));
        let (found, _) = Place::new()?.with(|bench| foresee("adam", &tiny(), 1, bench))?;
        assert_eq!(found, None);
        Ok(())
    }
}
