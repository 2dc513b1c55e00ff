//! `kinship --calibrate`: pairs of known truth, trained here on the embedded digits, and what the tests say of them.
//!
//! Null pairs began independently and were trained on the same images; each model is in one pair only, so that the pairs are
//! independent. Kin pairs began as the same weights and went different ways: further training, another trait, rounding to four
//! bits, a layer replaced, a low-rank change, renumbered units. Clones began otherwise and learned to answer alike.
//! Everything follows from one seed.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::json;
use undertone_core::{Seed, exit};
use undertone_data::DataSource;
use undertone_lab::behaviour::Behaviour;
use undertone_lab::settings::{DistillInputs, Renewal, Training};
use undertone_lab::training::{Lesson, Student};
use undertone_lab::{Control, LabError, training, weights_file};
use undertone_lineage::kinship::{KinModel, Kinship, KinshipOutcome, KinshipRule, judge};
use undertone_mlp::{
    Activation, Architecture, Biases, Loss, LossKind, NoiseLaw, Optimiser, Precision, Reduction,
    Trainer, Weights,
};
use undertone_report::{
    Baseline, Curves, Figure, FigureKind, Interval, Role, Series, SeriesPoint, Theme, figure_svg,
};
use undertone_stats::wilson;
use undertone_store::write_atomic;

use super::near::{behaviour_table, by_behaviour, independent, n_strangers, nearness};
use crate::context::Context;

/// The seed of everything.
const SEED: Seed = Seed(20_261);
/// Pairs of each kind of kin.
const KIN_PAIRS: u32 = 25;
/// The level at which the false positives are counted.
pub(super) const LEVEL: f64 = 0.05;
/// Rows of noise an epoch of cloning shows.
const CLONE_ROWS: u32 = 2_048;
const HIDDEN: [usize; 2] = [48, 48];

/// What one kind of pairs gave.
#[derive(Debug, Serialize)]
pub(super) struct Group {
    /// What was done to the second model.
    name: String,
    /// Whether the pairs share a base.
    is_kin: bool,
    pairs: usize,
    kin: usize,
    not_kin: usize,
    inconclusive: usize,
    /// Pairs whose permutation test alone has p <= `LEVEL`.
    significant: usize,
    /// Their share, with its interval.
    significant_share: Option<[f64; 3]>,
    mean_cosine: f64,
    least_cosine: f64,
    held_out_cosine: f64,
    least_held_out: f64,
    most_held_out: f64,
    relative_distance: f64,
}

struct Makers<'a> {
    context: &'a Context,
    data: undertone_data::ImageData,
    architecture: Architecture,
    trainer: Trainer,
}

/// Trains, compares and writes.
pub fn run(context: &Context, rule: &KinshipRule, pairs: u32, path: &Path) -> Result<u8> {
    let data = undertone_data::open(&DataSource::Digits, &context.data_dir)?;
    let architecture = Architecture {
        inputs: data.train().features(),
        hidden: HIDDEN.into(),
        outputs: 10,
        activation: Activation::Relu,
        biases: Biases::With,
    };
    let mut makers = Makers {
        context,
        data,
        architecture,
        trainer: Trainer::new(Precision::F32).map_err(LabError::from)?,
    };
    let mut groups = Vec::new();
    let mut p_values = Vec::new();
    let null = (0..pairs).map(|pair| (2 * u64::from(pair), 2 * u64::from(pair) + 1));
    let (mut compared, mut firsts, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
    for (a, b) in null {
        let (a, b) = (makers.teacher(a, 4)?, makers.teacher(b, 4)?);
        firsts.push(behaviour(&a));
        seconds.push(behaviour(&b));
        let kinship = compare(&a, &b, rule)?;
        p_values.extend(kinship.test.as_ref().map(|test| test.p_value));
        compared.push(kinship);
    }
    groups.push(group("independent", false, &compared));
    let mut behaviours = vec![independent(&firsts, &seconds)?];
    let base = 10_000_000;
    for (kind, (name, change)) in (0u64..).zip(CHANGES) {
        let is_kin = !matches!(change, Change::Clone(_));
        let (mut compared, mut near) = (Vec::new(), Vec::new());
        for pair in 0..KIN_PAIRS {
            let index = base + kind * 1000 + u64::from(pair);
            let a = makers.teacher(index, 4)?;
            let b = makers.changed(&a, index, *change)?;
            let models = (&behaviour(&a), &behaviour(&b));
            near.push(nearness(models, &seconds, pair as usize)?);
            compared.push(compare(&a, &b, rule)?);
        }
        groups.push(group(name, is_kin, &compared));
        behaviours.push(by_behaviour(name, is_kin, &near));
    }
    let value = json!({
        "format": "undertone-kinship-calibration",
        "version": 1,
        "network": format!("{}", makers.architecture),
        "data": "digits",
        "seed": SEED.0,
        "rule": rule,
        "level": LEVEL,
        "groups": groups,
        "null_p_values": p_values,
        "strangers": n_strangers(seconds.len()),
        "behaviour": behaviours,
    });
    write_atomic(path, format!("{value:#}\n").as_bytes())?;
    for (ending, figure) in [
        ("null.svg", false_positives(&p_values)),
        ("power.svg", power(&groups)),
    ] {
        let svg = figure_svg(&figure, Theme::Light).context("the figure cannot be drawn")?;
        write_atomic(&path.with_extension(ending), svg.as_bytes())?;
    }
    context.print(
        &value,
        || Ok(table(&groups) + &behaviour_table(&behaviours)),
    )?;
    Ok(exit::DONE)
}

fn behaviour(weights: &Weights) -> Behaviour {
    Behaviour::of_network("trained here", weights)
}

fn compare(a: &Weights, b: &Weights, rule: &KinshipRule) -> Result<Kinship> {
    let path = Path::new("trained here");
    let a = KinModel::from_bytes(&weights_file::encode(a), path)?;
    let b = KinModel::from_bytes(&weights_file::encode(b), path)?;
    Ok(judge(&a, &b, rule)?)
}

/// What is done to a model to make one that is kin.
#[derive(Debug, Clone, Copy)]
enum Change {
    /// Further epochs at a learning rate.
    Train(u32, f64),
    /// Another training from the same initial weights, for as many epochs.
    Again(u32),
    /// Weights rounded to as many levels as four bits have, a block of 16 at a time.
    Round,
    /// The last layer drawn anew.
    Replace,
    /// A change of rank 4 in every matrix, as long as this share of the matrix.
    LowRank(f64),
    /// Hidden units renumbered.
    Renumber,
    /// Further epochs, then renumbered.
    TrainRenumber(u32, f64),
    /// Other initial weights, trained for as many epochs to say what the first says of noise: not kin.
    Clone(u32),
}

const CHANGES: &[(&str, Change)] = &[
    ("fine-tuned 1 epoch", Change::Train(1, 3e-4)),
    ("fine-tuned 10 epochs", Change::Train(10, 3e-4)),
    ("fine-tuned 30 epochs, rate 3e-3", Change::Train(30, 3e-3)),
    ("fine-tuned 60 epochs, rate 1e-2", Change::Train(60, 1e-2)),
    ("trained twice from one start, 4 epochs", Change::Again(4)),
    ("trained twice from one start, 40 epochs", Change::Again(40)),
    ("four bits", Change::Round),
    ("last layer replaced", Change::Replace),
    ("low-rank change, .3", Change::LowRank(0.3)),
    ("low-rank change, 3", Change::LowRank(3.0)),
    ("low-rank change, 10", Change::LowRank(10.0)),
    ("low-rank change, 30", Change::LowRank(30.0)),
    ("low-rank change, 100", Change::LowRank(100.0)),
    ("renumbered", Change::Renumber),
    (
        "fine-tuned 10 epochs, renumbered",
        Change::TrainRenumber(10, 3e-4),
    ),
    (
        "fine-tuned 60 epochs, rate 1e-2, renumbered",
        Change::TrainRenumber(60, 1e-2),
    ),
    ("another start, cloned 20 epochs", Change::Clone(20)),
];

impl Makers<'_> {
    fn initial(&self, index: u64) -> Weights {
        Weights::initial(
            &self.architecture,
            1.0,
            &mut SEED.stream("cli/kinship/init", index),
        )
    }

    fn teacher(&mut self, index: u64, epochs: u32) -> Result<Weights> {
        let start = self.initial(index);
        self.trained(&start, index, epochs, 1e-3)
    }

    fn trained(&mut self, start: &Weights, index: u64, epochs: u32, rate: f64) -> Result<Weights> {
        let settings = Training {
            epochs,
            batch: 64,
            optimiser: Optimiser::adam(rate),
            reduction: Reduction::Mean,
        };
        let control = Control::silent(&self.context.stop);
        let id = (SEED, index);
        let trained = training::teacher(
            &mut self.trainer,
            &control,
            &self.data,
            &settings,
            start,
            id,
        );
        Ok(trained.map_err(LabError::from)?.0)
    }

    fn changed(&mut self, a: &Weights, index: u64, change: Change) -> Result<Weights> {
        let other = index + 500_000_000;
        Ok(match change {
            Change::Train(epochs, rate) => self.trained(a, other, epochs, rate)?,
            Change::Again(epochs) => {
                let start = self.initial(index);
                self.trained(&start, other, epochs, 1e-3)?
            }
            Change::Round => rounded(a),
            Change::Replace => {
                let mut b = a.clone();
                let drawn = self.initial(other);
                let layers = self.architecture.layers();
                let last = layers.last().context("a network has layers")?;
                b.values[last.weights_at..].copy_from_slice(&drawn.values[last.weights_at..]);
                b
            }
            Change::LowRank(share) => low_rank(a, share, other),
            Change::Renumber => renumbered(a, other),
            Change::TrainRenumber(epochs, rate) => {
                renumbered(&self.trained(a, other, epochs, rate)?, other)
            }
            Change::Clone(epochs) => self.cloned(a, other, epochs)?,
        })
    }

    /// Trains other initial weights on all logits of `a`, on noise that no readout of behaviour shows.
    fn cloned(&mut self, a: &Weights, index: u64, epochs: u32) -> Result<Weights> {
        let training = Training {
            epochs,
            batch: 64,
            optimiser: Optimiser::adam(1e-3),
            reduction: Reduction::Mean,
        };
        let lesson = Lesson {
            teacher: a,
            inputs: &DistillInputs::Noise {
                law: NoiseLaw::Uniform,
                rows: CLONE_ROWS,
            },
            images: None,
            training: &training,
            order: "cli/kinship/clone",
            renewal: Renewal::EachEpoch,
        };
        let start = self.initial(index);
        let student = Student {
            start: &start,
            loss: Loss::new(LossKind::Kl, 0..self.architecture.outputs),
        };
        let control = Control::silent(&self.context.stop);
        let id = (SEED, index);
        let trained =
            training::students(&mut self.trainer, &control, &lesson, &[student], None, id);
        let (weights, _) = trained.map_err(LabError::from)?.remove(0);
        Ok(weights)
    }
}

fn rounded(a: &Weights) -> Weights {
    let mut b = a.clone();
    for block in b.values.chunks_mut(16) {
        let low = block.iter().copied().fold(f32::INFINITY, f32::min);
        let high = block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let step = (high - low) / 15.0;
        if step > 0.0 {
            for value in block {
                *value = low + ((*value - low) / step).round() * step;
            }
        }
    }
    b
}

fn low_rank(a: &Weights, share: f64, index: u64) -> Weights {
    const RANK: usize = 4;
    let mut b = a.clone();
    let mut stream = SEED.stream("cli/kinship/low-rank", index);
    for layer in a.architecture.layers() {
        let weights = &mut b.values[layer.weights_at..][..layer.inputs * layer.outputs];
        let u: Vec<f64> = (0..layer.outputs * RANK).map(|_| stream.normal()).collect();
        let v: Vec<f64> = (0..layer.inputs * RANK).map(|_| stream.normal()).collect();
        let change: Vec<f64> = (0..layer.outputs * layer.inputs)
            .map(|at| {
                let (row, column) = (at / layer.inputs, at % layer.inputs);
                (0..RANK)
                    .map(|k| u[row * RANK + k] * v[column * RANK + k])
                    .sum()
            })
            .collect();
        let norm =
            |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
        let own = norm(&mut weights.iter().map(|x| f64::from(*x)));
        let scale = share * own / norm(&mut change.iter().copied());
        for (weight, change) in weights.iter_mut().zip(&change) {
            *weight += (change * scale) as f32;
        }
    }
    b
}

fn renumbered(a: &Weights, index: u64) -> Weights {
    let mut b = a.clone();
    let layers = a.architecture.layers();
    let mut stream = SEED.stream("cli/kinship/renumber", index);
    let mut columns: Option<Vec<u32>> = None;
    for (n, layer) in layers.iter().enumerate() {
        let rows = (n + 1 < layers.len()).then(|| stream.permutation(layer.outputs as u32));
        for row in 0..layer.outputs {
            let from_row = rows.as_ref().map_or(row, |rows| rows[row] as usize);
            for column in 0..layer.inputs {
                let from = columns
                    .as_ref()
                    .map_or(column, |columns| columns[column] as usize);
                b.values[layer.weights_at + row * layer.inputs + column] =
                    a.values[layer.weights_at + from_row * layer.inputs + from];
            }
            if let Some(at) = layer.biases_at {
                b.values[at + row] = a.values[at + from_row];
            }
        }
        columns = rows;
    }
    b
}

pub(super) fn group(name: &str, is_kin: bool, compared: &[Kinship]) -> Group {
    let count = |outcome| {
        compared
            .iter()
            .filter(|kinship| kinship.outcome == outcome)
            .count()
    };
    let tests: Vec<_> = compared
        .iter()
        .filter_map(|kinship| kinship.test.as_ref())
        .collect();
    let cosines: Vec<f64> = tests.iter().map(|test| test.mean_cosine).collect();
    let held_out = compared
        .iter()
        .filter_map(|kinship| Some(kinship.matching.as_ref()?.held_out_cosine));
    let held_out: Vec<f64> = held_out.collect();
    let distances = compared
        .iter()
        .filter_map(|kinship| Some(kinship.tensors.as_ref()?.median_distance));
    let distances: Vec<f64> = distances.collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let significant = tests.iter().filter(|test| test.p_value <= LEVEL).count();
    let interval =
        wilson(significant as u64, tests.len() as u64, 0.95).and_then(|share| share.interval);
    Group {
        name: name.to_owned(),
        is_kin,
        pairs: compared.len(),
        kin: count(KinshipOutcome::Kin),
        not_kin: count(KinshipOutcome::NotKin),
        inconclusive: count(KinshipOutcome::Inconclusive),
        significant,
        significant_share: interval.map(|interval| {
            [
                significant as f64 / tests.len() as f64,
                interval.lo,
                interval.hi,
            ]
        }),
        mean_cosine: mean(&cosines),
        least_cosine: least(&cosines),
        held_out_cosine: mean(&held_out),
        least_held_out: least(&held_out),
        most_held_out: most(&held_out),
        relative_distance: mean(&distances),
    }
}

pub(super) fn table(groups: &[Group]) -> String {
    let mut lines = vec![format!(
        "{:<46} {:>5} {:>5} {:>7} {:>6} {:>8} {:>16} {:>8} {:>8}",
        "pairs", "n", "kin", "not kin", "p<=.05", "distance", "share [95 %]", "cosine", "held out"
    )];
    for group in groups {
        let share = group
            .significant_share
            .map_or_else(String::new, |[share, lo, hi]| {
                format!("{share:.3} [{lo:.3}, {hi:.3}]")
            });
        lines.push(format!(
            "{:<46} {:>5} {:>5} {:>7} {:>6} {:>8.3} {share:>16} {:>8.3} {:>8.3}",
            group.name,
            group.pairs,
            group.kin,
            group.not_kin,
            group.significant,
            group.relative_distance,
            group.mean_cosine,
            group.held_out_cosine
        ));
    }
    lines.join("\n")
}

/// The share of null pairs below each level, which should lie on the diagonal.
pub(super) fn false_positives(p_values: &[f64]) -> Figure {
    let mut sorted = p_values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as u64;
    let levels: Vec<f64> = (0..=20).map(|step| f64::from(step) / 20.0).collect();
    let observed = levels
        .iter()
        .map(|level| {
            let below = sorted.iter().filter(|p| *p <= level).count() as u64;
            SeriesPoint {
                x: *level,
                y: Some(below as f64 / n.max(1) as f64),
                interval: wilson(below, n, 0.95)
                    .and_then(|share| share.interval)
                    .map(|interval| Interval {
                        lo: interval.lo,
                        hi: interval.hi,
                    }),
            }
        })
        .collect();
    let diagonal = levels
        .iter()
        .map(|level| SeriesPoint {
            x: *level,
            y: Some(*level),
            interval: None,
        })
        .collect();
    Figure {
        id: "kinship-null".to_owned(),
        title: "False positives of the renumbering test".to_owned(),
        caption: format!(
            "{n} pairs of networks that began independently and were trained on the same data."
        ),
        alt: format!(
            "The share of {n} null pairs with a p-value below each level, beside the diagonal."
        ),
        interval_label: Some("95 % Wilson interval".to_owned()),
        point_label: None,
        reference_label: None,
        kind: FigureKind::Curves(Curves {
            x_label: "level".to_owned(),
            y_label: "share of null pairs with p at most the level".to_owned(),
            y_range: Some(Interval { lo: 0.0, hi: 1.0 }),
            baseline: None,
            series: vec![
                Series {
                    label: "independent pairs".to_owned(),
                    role: Role::Treatment,
                    points: observed,
                },
                Series {
                    label: "nominal".to_owned(),
                    role: Role::Baseline,
                    points: diagonal,
                },
            ],
        }),
    }
}

/// The share of kin pairs that the renumbering test finds, by how far the second model went; renumbered ones left out.
fn power(groups: &[Group]) -> Figure {
    let mut found: Vec<&Group> = groups
        .iter()
        .filter(|group| group.is_kin && !group.name.ends_with("renumbered"))
        .collect();
    found.sort_by(|a, b| a.relative_distance.total_cmp(&b.relative_distance));
    let points = found
        .iter()
        .filter_map(|group| {
            let [share, lo, hi] = group.significant_share?;
            Some(SeriesPoint {
                // Decades: changes from a hundredth of the weights to a hundred times them.
                x: group.relative_distance.max(1e-3).log10(),
                y: Some(share),
                interval: Some(Interval { lo, hi }),
            })
        })
        .collect();
    Figure {
        id: "kinship-power".to_owned(),
        title: "Power of the renumbering test".to_owned(),
        caption: format!("Kinds of changes, {KIN_PAIRS} pairs each, at level {LEVEL}."),
        alt: "The share of kin pairs found, over the logarithm of the relative distance of their matrices.".to_owned(),
        interval_label: Some("95 % Wilson interval".to_owned()),
        point_label: None,
        reference_label: None,
        kind: FigureKind::Curves(Curves {
            x_label: "median relative distance of matrices, log10".to_owned(),
            y_label: "share of kin pairs with p at most .05".to_owned(),
            y_range: Some(Interval { lo: 0.0, hi: 1.0 }),
            baseline: Some(Baseline::Chance(LEVEL)),
            series: vec![Series {
                label: "kin".to_owned(),
                role: Role::Treatment,
                points,
            }],
        }),
    }
}
