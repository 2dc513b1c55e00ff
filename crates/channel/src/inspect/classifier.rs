//! How well rows of two arms can be told apart by somebody who may study other rows of both.
//!
//! Cross-validated over prompts: all rows of a prompt fall on the same side, so that nothing is learned from the other
//! answer to the very prompt that is judged. The strength of the penalty is chosen inside the studied rows.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Seed;
use undertone_stats::{Estimate, wilson};

use super::features::{FeatureSet, matrix};
use super::logistic::{Logistic, Sparse, fit, softplus};
use crate::rows::{NotNumbersError, Row, paired_places, parse_all};

/// How a classifier is trained and judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClassifierSettings {
    /// What it sees of a row.
    pub features: FeatureSet,
    /// Into how many parts prompts are dealt; each part is judged by a classifier of the others. At least 3.
    pub folds: usize,
    /// Penalties to choose from, by log-loss on a part of the studied prompts; the first of equally good ones.
    pub l2: Vec<f64>,
    /// Level of the intervals.
    pub level: f64,
}

impl Default for ClassifierSettings {
    fn default() -> Self {
        Self {
            features: FeatureSet::Bag,
            folds: 5,
            l2: vec![300.0, 100.0, 30.0, 10.0, 3.0],
            level: 0.95,
        }
    }
}

/// What a classifier achieved on rows it had not studied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Classified {
    /// What it saw.
    pub features: FeatureSet,
    /// Share of rows whose arm was named rightly. The interval takes rows for independent; the two answers to a prompt are
    /// not quite.
    pub rows: Estimate,
    /// What calling every row by the more frequent arm would achieve.
    pub chance: f64,
    /// Share of prompts of whose two answers the treatment's was picked; chance is 0.5, and prompts are independent. Absent
    /// if no prompt has exactly one answer in each arm.
    pub pairs: Option<Estimate>,
    /// Pairs that are left out of `pairs` because both answers scored the same.
    pub ties: u64,
    /// The penalty chosen in each fold.
    pub l2: Vec<f64>,
}

/// Rows of two arms that no classifier can be judged on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClassifyError {
    /// A completion did not pass a filter.
    #[error(transparent)]
    NotNumbers(#[from] NotNumbersError),
    /// The settings have fewer than 3 folds, no penalty, one that is not above 0, or no level between 0 and 1.
    #[error("a classifier needs 3 folds, penalties above 0 and a level between 0 and 1")]
    Settings,
    /// Some fold leaves one arm without rows to study or to choose the penalty with.
    #[error("there are too few rows or prompts for {folds} folds")]
    TooFew {
        /// How many folds were wanted.
        folds: usize,
    },
}

/// Trains and judges a classifier of `treatment` against `control`.
///
/// Prompts are dealt to folds by the seed. Costs a few seconds for 20,000 rows.
///
/// # Errors
/// [`ClassifyError`] if the rows or the settings do not allow it.
pub fn classify(
    treatment: &[Row],
    control: &[Row],
    settings: &ClassifierSettings,
    seed: Seed,
) -> Result<Classified, ClassifyError> {
    let valid = settings.l2.iter().all(|l2| l2.is_finite() && *l2 > 0.0);
    let is_level = settings.level > 0.0 && settings.level < 1.0;
    if settings.folds < 3 || settings.l2.is_empty() || !valid || !is_level {
        return Err(ClassifyError::Settings);
    }
    let mut parsed = parse_all(treatment)?;
    parsed.extend(parse_all(control)?);
    let data = Data {
        matrix: matrix(&parsed, settings.features),
        labels: (0..parsed.len()).map(|at| at < treatment.len()).collect(),
        folds: deal(treatment.iter().chain(control), settings.folds, seed),
        n_folds: settings.folds,
    };
    let mut log_odds = vec![0.0; parsed.len()];
    let mut chosen_l2 = Vec::new();
    for fold in 0..settings.folds {
        let (model, l2) = data
            .train(fold, &settings.l2)
            .ok_or(ClassifyError::TooFew {
                folds: settings.folds,
            })?;
        chosen_l2.push(l2);
        for row in data.rows(|of| of == fold) {
            log_odds[row] = model.log_odds(&data.matrix, row);
        }
    }
    let all: Vec<usize> = (0..parsed.len()).collect();
    let right = data.right(&all, |row| log_odds[row]);
    let more_frequent = treatment.len().max(control.len());
    let (of_treatment, of_control) = log_odds.split_at(treatment.len());
    let (pairs, ties) = judge_pairs(treatment, control, of_treatment, of_control);
    Ok(Classified {
        features: settings.features,
        rows: wilson(right, all.len() as u64, settings.level).ok_or(ClassifyError::TooFew {
            folds: settings.folds,
        })?,
        chance: more_frequent as f64 / all.len() as f64,
        pairs: wilson(pairs.0, pairs.1, settings.level),
        ties,
        l2: chosen_l2,
    })
}

/// Deals prompts to folds evenly, in an order drawn from the seed; returns the fold of every row.
fn deal<'a>(rows: impl Iterator<Item = &'a Row>, n_folds: usize, seed: Seed) -> Vec<usize> {
    let of_rows: Vec<u64> = rows.map(|row| row.prompt_index).collect();
    let mut prompts = of_rows.clone();
    prompts.sort_unstable();
    prompts.dedup();
    let mut places: Vec<usize> = (0..prompts.len()).collect();
    seed.stream("channel/classifier-folds", 0)
        .shuffle(&mut places);
    let fold = |prompt: &u64| {
        let at = prompts.binary_search(prompt).expect("every prompt is in");
        places[at] % n_folds
    };
    of_rows.iter().map(fold).collect()
}

struct Data {
    matrix: Sparse,
    /// Whether a row is of the treatment.
    labels: Vec<bool>,
    /// The fold of a row.
    folds: Vec<usize>,
    n_folds: usize,
}

impl Data {
    fn rows(&self, is_in: impl Fn(usize) -> bool) -> Vec<usize> {
        let rows = self.folds.iter().enumerate();
        rows.filter(|&(_, &fold)| is_in(fold))
            .map(|(row, _)| row)
            .collect()
    }

    /// Fits all folds but `out`, with the penalty that is best when the next fold is held out of them too.
    fn train(&self, out: usize, penalties: &[f64]) -> Option<(Logistic, f64)> {
        let inner = (out + 1) % self.n_folds;
        let mut best = (penalties[0], f64::INFINITY);
        if penalties.len() > 1 {
            let studied = self.rows(|fold| fold != out && fold != inner);
            let held_out = self.rows(|fold| fold == inner);
            for &l2 in penalties {
                let model = fit(&self.matrix, &self.labels, &studied, l2)?;
                let loss = self.loss(&held_out, &model);
                if loss < best.1 {
                    best = (l2, loss);
                }
            }
        }
        let studied = self.rows(|fold| fold != out);
        let model = fit(&self.matrix, &self.labels, &studied, best.0)?;
        Some((model, best.0))
    }

    /// Returns the sum of -ln P(arm) over rows, in nats.
    fn loss(&self, rows: &[usize], model: &Logistic) -> f64 {
        let losses = rows.iter().map(|&row| {
            let log_odds = model.log_odds(&self.matrix, row);
            softplus(if self.labels[row] {
                -log_odds
            } else {
                log_odds
            })
        });
        losses.sum()
    }

    /// Counts rows whose arm the log-odds name rightly; odds of exactly 1 name the treatment.
    fn right(&self, rows: &[usize], log_odds: impl Fn(usize) -> f64) -> u64 {
        let right = rows
            .iter()
            .filter(|&&row| (log_odds(row) >= 0.0) == self.labels[row]);
        right.count() as u64
    }
}

/// Returns (pairs rightly picked, pairs decided) and the number of ties.
fn judge_pairs(
    treatment: &[Row],
    control: &[Row],
    of_treatment: &[f64],
    of_control: &[f64],
) -> ((u64, u64), u64) {
    let (mut right, mut decided, mut ties) = (0, 0, 0);
    for (place, other) in paired_places(treatment, control) {
        match of_treatment[place].total_cmp(&of_control[other]) {
            Ordering::Equal => ties += 1,
            Ordering::Less => decided += 1,
            Ordering::Greater => {
                decided += 1;
                right += 1;
            }
        }
    }
    ((right, decided), ties)
}
