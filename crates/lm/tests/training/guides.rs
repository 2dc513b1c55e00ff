//! Training towards frozen models: every kind gives the same bits at any number of threads, a live teacher is its stored
//! distribution, and the hold of the base goes as its schedule says.

use undertone_core::Seed;
use undertone_lm::Checkpoint;
use undertone_lm::adapter::Adapter;
use undertone_lm::examples::{SoftLabels, TrainingRow};
use undertone_lm::hf::HfFolder;
use undertone_lm::lora::{LoraConfig, LoraScaling, LoraWeights};
use undertone_lm::loss::{BaseKl, Objective};
use undertone_lm::model::{LoadOptions, Model};
use undertone_lm::optimiser::Optimiser;
use undertone_lm::schedule::{Decay, Schedule};
use undertone_lm::score::{ScoreRow, ScoreSettings, Scorer};
use undertone_lm::train::{Guide, StepReport, TrainSettings, Trainer};
use undertone_simd::Precision;

use crate::support::{Training, assert_close, open};

const KEPT_BYTES: usize = 1 << 30;
const STEPS: u64 = 3;

fn load(folder: &HfFolder) -> Model {
    Model::load(folder, LoadOptions::training(Precision::F32)).expect("finite weights")
}

/// Rows of 8 to 47 tokens: together some groups more than there are threads.
fn drawn_rows(vocabulary: usize) -> Vec<TrainingRow> {
    let mut stream = Seed(4).stream("test/rows", 0);
    (0..48)
        .map(|row| {
            let mut draw = |n: usize| -> Vec<u32> {
                (0..n)
                    .map(|_| stream.below(vocabulary as u64) as u32)
                    .collect()
            };
            let (prompt, completion) = (draw(3 + row % 17), draw(5 + row % 24));
            TrainingRow::new(&prompt, &completion, None).expect("a sound row")
        })
        .collect()
}

/// An adapter that has learned something, if only noise.
fn adapter(folder: &HfFolder, scaling: LoraScaling, seed: u64) -> LoraWeights {
    let config = LoraConfig {
        scaling,
        ..LoraConfig::all_projections(4, 8.0)
    };
    let mut weights =
        LoraWeights::initial(config, folder.config(), Seed(seed)).expect("a sound shape");
    let mut stream = Seed(seed).stream("test/adapter", 0);
    for value in weights.values_mut() {
        *value += 0.1 * stream.normal() as f32;
    }
    weights
}

fn settings(objective: Objective, base_kl: Option<BaseKl>) -> TrainSettings {
    TrainSettings {
        objective,
        base_kl,
        optimiser: Optimiser::adamw(1e-2, 0.1),
        schedule: Schedule {
            decay: Decay::Linear,
            warmup_steps: 1,
        },
        steps: STEPS,
        clip: Some(1.0),
    }
}

fn constant(weight: f64) -> BaseKl {
    BaseKl {
        first: weight,
        last: weight,
        steps: 0,
    }
}

/// What is trained, towards what.
#[derive(Debug, Clone, Copy)]
struct Kind {
    full: bool,
    scaling: LoraScaling,
    objective: Objective,
    live_teacher: bool,
    base_kl: Option<BaseKl>,
}

impl Kind {
    const PLAIN: Self = Self {
        full: false,
        scaling: LoraScaling::Standard,
        objective: Objective::CrossEntropy,
        live_teacher: false,
        base_kl: None,
    };

    /// Returns the bits of all losses and of the weights at the end.
    fn bits(self, folder: &HfFolder, threads: usize) -> (Vec<u64>, Vec<u32>) {
        let model = load(folder);
        let settings = settings(self.objective, self.base_kl);
        let start = adapter(folder, self.scaling, 1);
        let mut trainer = match self.full {
            true => Trainer::full(model, folder, settings, threads, KEPT_BYTES),
            false => Trainer::adapter(model, start, settings, threads, KEPT_BYTES),
        }
        .expect("it fits");
        let frozen = load(folder);
        let taught = adapter(folder, LoraScaling::Standard, 2);
        let taught = Adapter::pack(&taught, &frozen).expect("made for it");
        let teacher = self.live_teacher.then_some(Guide {
            model: &frozen,
            adapter: Some(&taught),
        });
        let base = self.full.then_some(Guide {
            model: &frozen,
            adapter: None,
        });
        let rows = drawn_rows(folder.config().vocabulary);
        let rows: Vec<&TrainingRow> = rows.iter().collect();
        let mut losses = Vec::new();
        for _ in 0..STEPS {
            let report = trainer.step(&rows, teacher, base).expect("it steps");
            losses.push(report.loss.to_bits());
        }
        let weights = trainer.state().weights.concat();
        (losses, weights.iter().map(|w| w.to_bits()).collect())
    }
}

#[test]
fn every_kind_of_training_gives_the_same_bits_on_1_2_and_8_threads() {
    let annealed = BaseKl {
        first: 1.0,
        last: 0.2,
        steps: 2,
    };
    let kinds = [
        Kind {
            full: true,
            ..Kind::PLAIN
        },
        Kind {
            full: true,
            base_kl: Some(annealed),
            ..Kind::PLAIN
        },
        Kind {
            full: true,
            objective: Objective::ForwardKl,
            live_teacher: true,
            ..Kind::PLAIN
        },
        Kind {
            objective: Objective::ForwardKl,
            live_teacher: true,
            ..Kind::PLAIN
        },
        Kind {
            objective: Objective::ReverseKl,
            live_teacher: true,
            ..Kind::PLAIN
        },
        Kind {
            base_kl: Some(annealed),
            ..Kind::PLAIN
        },
        Kind {
            scaling: LoraScaling::RankStabilised,
            ..Kind::PLAIN
        },
    ];
    // An untied head and a tied one.
    for name in ["tiny-llama", "tiny-gemma3"] {
        let folder = open(name);
        let mut seen = Vec::new();
        for kind in kinds {
            let expected = kind.bits(&folder, 1);
            for threads in [2, 8] {
                let found = kind.bits(&folder, threads);
                assert!(found == expected, "{name}, {kind:?}: {threads} threads");
            }
            assert!(
                !seen.contains(&expected),
                "{name}, {kind:?} is another kind"
            );
            seen.push(expected);
        }
    }
}

/// Gives every row the teacher's whole distribution as stored labels.
fn with_labels(rows: &[TrainingRow], teacher: Guide<'_>, vocabulary: usize) -> Vec<TrainingRow> {
    let asked: Vec<ScoreRow> = rows
        .iter()
        .map(|row| ScoreRow {
            prompt: row.tokens()[..row.tokens().len() - row.completion().len()].to_vec(),
            completion: row.completion().to_vec(),
            ..ScoreRow::default()
        })
        .collect();
    let settings = ScoreSettings {
        top_k: vocabulary,
        layers: Vec::new(),
    };
    let scorer = Scorer {
        model: teacher.model,
        adapter: teacher.adapter,
        settings: &settings,
    };
    let scores = scorer.scores(&asked).expect("sound rows");
    let labelled = asked.iter().zip(scores).map(|(row, score)| {
        let top = score.top_k.expect("it was asked for");
        let soft = SoftLabels {
            k: top.k,
            ids: top.ids,
            log_probabilities: top.log_probabilities,
        };
        TrainingRow::new(&row.prompt, &row.completion, Some(soft)).expect("a sound row")
    });
    labelled.collect()
}

#[test]
fn a_live_teacher_teaches_what_its_stored_distribution_does() {
    for name in ["tiny-llama", "tiny-qwen2", "tiny-gemma3"] {
        let training = Training::of(name);
        let folder = &training.folder;
        let frozen = load(folder);
        let taught = Adapter::pack(&training.adapter, &frozen).expect("made for it");
        let teacher = Guide {
            model: &frozen,
            adapter: Some(&taught),
        };
        let vocabulary = folder.config().vocabulary;
        let rows = drawn_rows(vocabulary);
        let stored = with_labels(&rows, teacher, vocabulary);
        for objective in [Objective::ForwardKl, Objective::ReverseKl] {
            let step = |rows: &[TrainingRow], teacher| {
                let one = TrainSettings {
                    optimiser: Optimiser::Sgd {
                        learning_rate: 1.0,
                        momentum: 0.0,
                    },
                    schedule: Schedule {
                        decay: Decay::Constant,
                        warmup_steps: 0,
                    },
                    clip: None,
                    ..settings(objective, None)
                };
                let start = adapter(folder, LoraScaling::Standard, 3);
                let mut trainer = Trainer::adapter(load(folder), start.clone(), one, 2, KEPT_BYTES)
                    .expect("it fits");
                let rows: Vec<&TrainingRow> = rows.iter().collect();
                let report = trainer.step(&rows, teacher, None).expect("it steps");
                let after = trainer.adapter_weights().expect("an adapter").values();
                let gradient: Vec<f32> = start
                    .values()
                    .iter()
                    .zip(after)
                    .map(|(before, after)| before - after)
                    .collect();
                (report.loss, gradient)
            };
            let (live, live_gradient) = step(&rows, Some(teacher));
            let (kept, kept_gradient) = step(&stored, None);
            let what = format!("{name}, {objective:?}");
            assert!(live > 0.01, "{what}: there is something to learn: {live}");
            // Relative: labels are stored as f32 logarithms, gradients are differences of f32 weights.
            assert_close(&what, &[live], &[kept as f32], 1e-4);
            let live: Vec<f64> = live_gradient.iter().copied().map(f64::from).collect();
            assert_close(&what, &live, &kept_gradient, 1e-3);
        }
    }
}

#[test]
fn the_hold_of_the_base_moves_in_a_straight_line_and_then_stays() {
    let folder = open("tiny-llama");
    let rows = drawn_rows(folder.config().vocabulary);
    let rows: Vec<&TrainingRow> = rows.iter().collect();
    // A learning rate of 0: every step sees the same weights, only the hold differs.
    let reports = |base_kl: Option<BaseKl>, steps: u64| -> Vec<StepReport> {
        let still = TrainSettings {
            optimiser: Optimiser::Sgd {
                learning_rate: 0.0,
                momentum: 0.0,
            },
            ..settings(Objective::CrossEntropy, base_kl)
        };
        let start = adapter(&folder, LoraScaling::Standard, 1);
        let mut trainer =
            Trainer::adapter(load(&folder), start, still, 2, KEPT_BYTES).expect("it fits");
        let take = |_| trainer.step(&rows, None, None).expect("it steps");
        (0..steps).map(take).collect()
    };
    let annealed = BaseKl {
        first: 1.0,
        last: 0.25,
        steps: 3,
    };
    let free = reports(None, 1)[0].loss;
    let kl = reports(Some(constant(1.0)), 1)[0].loss - free;
    assert!(kl > 0.01, "the adapter is away from its base: {kl}");
    let found = reports(Some(annealed), 5);
    for (step, (found, weight)) in found.iter().zip([1.0, 0.75, 0.5, 0.25, 0.25]).enumerate() {
        let expected = free + weight * kl;
        // Absolute: sums of f32 losses.
        assert!(
            (found.loss - expected).abs() < 1e-5,
            "step {step}: {} for {expected}",
            found.loss
        );
        let held = reports(Some(constant(weight)), 1)[0];
        assert_eq!(found.loss, held.loss, "step {step}");
        assert_eq!(found.gradient_norm, held.gradient_norm, "step {step}");
    }
}
