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
use crate::outcome::cells;
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
    let Optimiser::Sgd { momentum, .. } = settings.teacher.optimiser else {
        return Ok(None);
    };
    let mut trial = settings.clone();
    // A seed of its own: the models that choose the rate are not those that are reported.
    trial.seed = Seed(settings.seed.0 ^ 0x5ea7_c4ed);
    trial.models = SEARCH_MODELS;

    let score = |trials: Vec<MlpSettings>, read: &dyn Fn(&CellOutcome) -> Option<f64>| {
        run(&trials, threads, bench).map(|outcomes| {
            outcomes
                .iter()
                .map(|cells| mean(cells.iter().map(read)))
                .collect::<Vec<Option<f64>>>()
        })
    };
    let teachers: Vec<MlpSettings> = SGD_RATES
        .iter()
        .map(|&learning_rate| {
            let mut trial = MlpSettings {
                students: Vec::new(),
                ..trial.clone()
            };
            trial.teacher.optimiser = Optimiser::Sgd {
                learning_rate,
                momentum,
            };
            trial
        })
        .collect();
    let accuracies = score(teachers, &|cell| {
        if cell.teacher.diverged() {
            None
        } else {
            cell.teacher.last()
        }
    })?;
    let teacher = rows(accuracies);
    let teacher_rate =
        best(&teacher, |new, old| new > old).ok_or(LabError::AllDiverged { phase: "teacher" })?;

    trial.teacher.optimiser = Optimiser::Sgd {
        learning_rate: teacher_rate,
        momentum,
    };
    trial.students = vec![Condition::AuxOnly];
    let students: Vec<MlpSettings> = SGD_RATES
        .iter()
        .map(|&learning_rate| {
            let mut trial = trial.clone();
            trial.student.optimiser = Optimiser::Sgd {
                learning_rate,
                momentum,
            };
            trial
        })
        .collect();
    let losses = score(students, &|cell| {
        let curve = cell.students.get(&Condition::AuxOnly)?;
        if curve.diverged() {
            None
        } else {
            curve.loss.last().copied().flatten()
        }
    })?;
    let student = rows(losses);
    let student_rate =
        best(&student, |new, old| new < old).ok_or(LabError::AllDiverged { phase: "student" })?;
    Ok(Some(Search {
        optimiser: label.to_owned(),
        models: SEARCH_MODELS,
        seed: trial.seed,
        teacher,
        student,
        teacher_rate,
        student_rate,
    }))
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

    #[test]
    fn chooses_by_its_rule_on_models_of_its_own() -> TestResult {
        let mut settings = tiny();
        for phase in [&mut settings.teacher, &mut settings.student] {
            phase.optimiser = Optimiser::Sgd {
                learning_rate: 0.1,
                momentum: 0.9,
            };
        }
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
    fn a_published_rate_is_not_searched() -> TestResult {
        let (found, stored) = Place::new()?.with(|bench| search("adam", &tiny(), 1, bench))?;
        assert_eq!((found, stored), (None, 0));
        Ok(())
    }
}
