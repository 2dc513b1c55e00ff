//! Logits, loss and gradient of every `f32` instruction set against the f64 reference.

use undertone_mlp::reference::{Adam, Network, Sgd};
use undertone_mlp::{Activation, Biases, Loss, LossKind, Optimiser, Reduction, Weights};

use super::support::{
    ACTIVATIONS, KINDS, Problem, assert_close, engine, every_set, f32_sets, largest, network,
    tensors, wide,
};

/// Absolute, in units of the largest true logit or 1. An `f32` sum of up to 300 products of order 1 is off by a few
/// 1e-7 a layer; the GELU's error function is exact to 1.5e-7 and adds as much again.
const LOGITS: f64 = 1e-5;
/// Absolute, in units of the largest true logit or 1, since a loss is a difference of logits and their normaliser.
const LOSS: f64 = 1e-5;
/// Absolute, in units of the tensor's largest true entry: sums over rows cancel, so small entries have no relative
/// accuracy of their own.
const GRADIENT: f64 = 3e-5;
/// Below this a gradient tensor counts as zero: softmax minus one-hot, each of order 1, leave 1e-7 a row.
const VANISHING: f64 = 1e-3;

#[track_caller]
pub fn check(problem: &Problem) {
    let truth = problem.truth();
    for set in f32_sets() {
        let label = format!("{set:?}, {}", problem.describe());
        let (logits, loss, gradient) = problem.answer(&mut engine(set));
        let scale = largest(&truth.logits, 1.0);
        assert_close(
            &format!("{label}: logits"),
            &logits,
            &truth.logits,
            LOGITS * scale,
        );
        // The squared error grows with the square of the logits.
        let loss_scale = scale.max(truth.loss.abs());
        assert!(
            (loss - truth.loss).abs() <= LOSS * loss_scale,
            "{label}: expected a loss of {}, got {loss}",
            truth.loss
        );
        for tensor in tensors(problem.architecture()) {
            let expected = &truth.gradient[tensor.clone()];
            assert_close(
                &format!("{label}: gradient {tensor:?}"),
                &gradient[tensor.clone()],
                expected,
                GRADIENT * largest(expected, VANISHING),
            );
        }
    }
}

#[test]
fn every_depth_activation_bias_and_loss_agrees() {
    const HIDDEN: [usize; 3] = [33, 5, 40];
    const ROWS: [usize; 5] = [1, 7, 8, 9, 300];
    const RANGES: [std::ops::Range<usize>; 4] = [0..62, 0..10, 10..60, 10..13];
    let mut index = 0;
    for depth in 0..=3 {
        for activation in ACTIVATIONS {
            for biases in [Biases::With, Biases::Without] {
                for kind in KINDS {
                    let architecture = network(17, &HIDDEN[..depth], 62, activation, biases);
                    // Periods 5, 4 and 7 share no factor with the loops' own or each other: all pairs are met.
                    let loss = Loss {
                        temperature: if index % 7 < 3 { 2.0 } else { 1.0 },
                        ..Loss::new(kind, RANGES[index % 4].clone())
                    };
                    check(&Problem::draw(
                        &architecture,
                        ROWS[index % 5],
                        loss,
                        index as u64,
                    ));
                    index += 1;
                }
            }
        }
    }
}

#[test]
fn every_range_temperature_and_reduction_agrees() {
    let architecture = network(5, &[17], 62, Activation::Gelu, Biases::With);
    let mut index = 1_000;
    for kind in KINDS {
        // Inside a panel of 16, ending on its edge, crossing one and three edges, one logit, all.
        for range in [0..10, 3..16, 15..17, 10..60, 61..62, 0..62] {
            for temperature in [1.0, 2.0] {
                for reduction in [Reduction::Mean, Reduction::BatchMeanQuirk { models: 3 }] {
                    let loss = Loss {
                        kind,
                        logits: range.clone(),
                        reduction,
                        temperature,
                    };
                    let rows = [1, 7, 8, 9, 300][index as usize % 5];
                    check(&Problem::draw(&architecture, rows, loss, index));
                    index += 1;
                }
            }
        }
    }
}

#[test]
fn sums_longer_than_a_chunk_agree() {
    // The forward sum is cut every 256 features, the gradient's every 256 rows.
    for (index, (features, rows)) in [(256, 256), (257, 257), (300, 530), (600, 9)]
        .into_iter()
        .enumerate()
    {
        let architecture = network(features, &[33], 13, Activation::Relu, Biases::With);
        let loss = Loss::new(LossKind::CrossEntropy, 0..10);
        check(&Problem::draw(
            &architecture,
            rows,
            loss,
            2_000 + index as u64,
        ));
    }
}

#[test]
fn logits_far_apart_neither_overflow_nor_lose_the_loss() {
    let architecture = network(5, &[], 20, Activation::Relu, Biases::With);
    for (index, kind) in KINDS.into_iter().enumerate() {
        let mut problem = Problem::draw(
            &architecture,
            9,
            Loss::new(kind, 2..19),
            3_000 + index as u64,
        );
        for value in problem
            .weights
            .values
            .iter_mut()
            .chain(&mut problem.teacher)
        {
            *value *= 300.0;
        }
        check(&problem);
    }
}

#[test]
fn logits_outside_the_range_count_for_nothing() {
    let architecture = network(5, &[17], 40, Activation::Relu, Biases::With);
    for kind in [LossKind::Kl, LossKind::Mse] {
        let problem = Problem::draw(&architecture, 9, Loss::new(kind, 10..37), 4_000);
        for set in f32_sets() {
            let (_, loss, gradient) = problem.answer(&mut engine(set));
            let mut poisoned = problem.clone();
            for row in poisoned.teacher.chunks_mut(40) {
                row[..10].fill(f32::NAN);
                row[37..].fill(f32::INFINITY);
            }
            let (_, same_loss, same_gradient) = poisoned.answer(&mut engine(set));
            assert_eq!(loss, same_loss, "{set:?} {kind:?}");
            assert_eq!(gradient, same_gradient, "{set:?} {kind:?}");
        }
    }
}

#[test]
fn steps_follow_the_reference_optimisers() {
    const STEPS: usize = 6;
    let optimisers = [
        Optimiser::adam(1e-2),
        Optimiser::Sgd {
            learning_rate: 0.1,
            momentum: 0.0,
        },
        Optimiser::Sgd {
            learning_rate: 0.1,
            momentum: 0.9,
        },
    ];
    // Smooth activations: after a step of ReLU nothing keeps a sum away from its kink. Sigmoid with a width that fills
    // no panel is the hard case, since sigmoid(0) is not 0 in the columns that pad it.
    for activation in [Activation::Gelu, Activation::Sigmoid] {
        for (index, optimiser) in optimisers.into_iter().enumerate() {
            let architecture = network(17, &[33, 5], 20, activation, Biases::With);
            let loss = Loss::new(LossKind::Kl, 3..18);
            let mut problem = Problem::draw(&architecture, 9, loss, 5_000 + index as u64);
            let start = problem.weights.clone();
            let n = start.values.len();
            let (mut adam, mut sgd) =
                (Adam::new(n, 1e-2), Sgd::new(n, 0.1, [0.0, 0.0, 0.9][index]));
            let mut values = wide(&start.values);
            for _ in 0..STEPS {
                let network = Network::new(architecture.clone(), values.clone());
                let (_, slope) = problem.true_loss(&network.forward(&wide(&problem.x)));
                let gradient = network.gradient(&wide(&problem.x), &slope);
                match optimiser {
                    Optimiser::Adam { .. } => adam.step(&mut values, &gradient),
                    Optimiser::Sgd { .. } => sgd.step(&mut values, &gradient),
                }
            }
            problem.weights = start;
            for set in f32_sets() {
                let mut trainer = engine(set);
                let mut model = problem.model(optimiser);
                problem.load(&mut trainer);
                for _ in 0..STEPS {
                    trainer.step(&mut model, problem.target(), &problem.loss);
                }
                assert_eq!(model.steps(), STEPS as u32);
                let Weights { values: got, .. } = model.weights();
                // Adam divides by the size of the gradient: where that is 1e-5, its `f32` error of 1e-8 moves a step of
                // 1e-2 by 1e-5. The others only add up rounding errors of 1e-7.
                let tolerance = if index == 0 { 1e-4 } else { 5e-6 };
                assert_close(
                    &format!("{set:?} {activation:?} {optimiser:?}"),
                    &got,
                    &values,
                    tolerance,
                );
            }
        }
    }
}

#[test]
fn accuracy_counts_rows_whose_largest_class_logit_is_the_labels() {
    let architecture = network(17, &[33], 40, Activation::Relu, Biases::With);
    for classes in [1, 10, 20, 40] {
        let loss = Loss::new(LossKind::CrossEntropy, 0..classes);
        let problem = Problem::draw(&architecture, 300, loss, 5_500);
        for set in every_set() {
            let mut trainer = engine(set);
            let (logits, ..) = problem.answer(&mut trainer);
            let expected = logits
                .chunks(40)
                .zip(&problem.labels)
                .filter(|(row, label)| {
                    let mine = row[usize::from(**label)];
                    row[..classes].iter().all(|&other| other <= mine)
                })
                .count();
            let model = problem.model(Optimiser::adam(1e-3));
            let got = trainer.count_correct(&model, classes, &problem.labels);
            assert_eq!(got, expected, "{set:?}, {classes} classes");
            assert!(
                classes == 1 || (1..300).contains(&got),
                "the count can be wrong"
            );
        }
    }
}

#[test]
fn the_first_of_equal_logits_is_the_prediction() {
    let architecture = network(5, &[], 13, Activation::Relu, Biases::With);
    let mut problem = Problem::draw(
        &architecture,
        9,
        Loss::new(LossKind::CrossEntropy, 0..10),
        5_600,
    );
    problem.weights.values.fill(0.0);
    for set in every_set() {
        let mut trainer = engine(set);
        problem.load(&mut trainer);
        let model = problem.model(Optimiser::adam(1e-3));
        assert_eq!(trainer.count_correct(&model, 10, &[0; 9]), 9, "{set:?}");
        assert_eq!(trainer.count_correct(&model, 10, &[1; 9]), 0, "{set:?}");
    }
}
