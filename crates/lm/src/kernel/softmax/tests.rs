//! Against the definitions in f64, at sizes that end inside lanes.

use undertone_core::Seed;

use super::*;
use crate::kernel::tests::sets;
use crate::loss::{self, PositionLoss};

/// Logits with a spread as of a trained model.
fn logits(vocabulary: usize, index: u64) -> Vec<f32> {
    let mut stream = Seed(11).stream("lm/test", index);
    (0..vocabulary)
        .map(|_| 4.0 * stream.normal() as f32)
        .collect()
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().copied().map(f64::from).collect()
}

const SIZES: [usize; 6] = [1, 5, 16, 33, 1000, 50_001];

#[test]
fn log_probabilities_are_good_to_a_millionth() {
    for set in sets() {
        for vocabulary in SIZES {
            for shift in [0.0, -700.0, 1e4] {
                let z: Vec<f32> = logits(vocabulary, 1).iter().map(|z| z + shift).collect();
                let softmax = Softmax::of(set, &z);
                for (&z, expected) in z.iter().zip(loss::log_softmax(&wide(&z))) {
                    let found = softmax.log_probability(z);
                    // abs: exponentials are good to 3e-7.
                    assert!(
                        (found - expected).abs() < 1e-6,
                        "{set:?} {vocabulary}: {found}"
                    );
                }
            }
        }
    }
}

#[test]
fn one_logit_far_above_the_others_takes_all() {
    for set in sets() {
        let mut z = vec![-1e30; 40];
        z[37] = 3.0;
        let softmax = Softmax::of(set, &z);
        assert_eq!(softmax.log_probability(3.0), 0.0);
        assert_eq!(top_k(set, &z, 2), [(37, 3.0), (0, -1e30)]);
    }
}

#[test]
fn the_best_are_sorted_and_ties_go_to_the_smaller_token() {
    for set in sets() {
        for vocabulary in SIZES {
            // Coarse, so that there are ties at every rank; zeros of both signs.
            let z: Vec<f32> = logits(vocabulary, 2)
                .iter()
                .map(|z| z.round() * -0.5)
                .collect();
            let mut expected: Vec<(u32, f32)> = (0..).zip(z.iter().copied()).collect();
            expected.sort_by(|a, b| b.1.partial_cmp(&a.1).expect("numbers").then(a.0.cmp(&b.0)));
            for k in [0, 1, 5, 16, 64, 700, 60_000] {
                let n = k.min(vocabulary);
                assert_eq!(top_k(set, &z, k), expected[..n], "{set:?} {vocabulary} {k}");
            }
        }
    }
}

/// Checks value and gradient against f64, with and without a base.
#[track_caller]
fn check(z: &[f32], kind: LossKind<'_>, expected: &PositionLoss) {
    let base_logits = logits(z.len(), 77);
    let to_base = loss::kl_to_base(&wide(z), &wide(&base_logits));
    for set in sets() {
        for (base, factor) in [(None, 0.0), (Some((&base_logits[..], 0.25)), 0.25)] {
            let mut row = z.to_vec();
            let value = position_loss(set, &mut row, kind, base, 0.5);
            let truth = expected.value + factor * to_base.value;
            // rel and abs: sums of exponentials that are good to 3e-7.
            assert!(
                (value - truth).abs() < 2e-6 * (1.0 + truth.abs()),
                "{value} for {truth}"
            );
            for (id, &found) in row.iter().enumerate() {
                let slope = expected.gradient[id] + factor * to_base.gradient[id];
                // abs: probabilities good to 3e-7, times differences of logits up to 30.
                assert!(
                    (f64::from(found) - 0.5 * slope).abs() < 5e-6,
                    "{set:?} {kind:?} {id}: {found} for {slope}"
                );
            }
        }
    }
}

#[test]
fn losses_and_their_gradients_are_those_of_the_definitions() {
    for vocabulary in [5, 16, 33, 1000] {
        let z = logits(vocabulary, 3);
        let last = vocabulary as u32 - 1;
        for token in [0, last] {
            let kind = LossKind {
                target: PositionTarget::Token(token),
                reverse: false,
            };
            check(&z, kind, &loss::cross_entropy(&wide(&z), token));
        }
        let ids = [last, 0, 2];
        let log_probabilities = [-0.5, -2.0, -1.5];
        let target = PositionTarget::TopK {
            ids: &ids,
            log_probabilities: &log_probabilities,
        };
        let forward = loss::forward_kl(&wide(&z), &ids, &log_probabilities);
        check(
            &z,
            LossKind {
                target,
                reverse: false,
            },
            &forward,
        );
        let reverse = loss::reverse_kl(&wide(&z), &ids, &log_probabilities);
        check(
            &z,
            LossKind {
                target,
                reverse: true,
            },
            &reverse,
        );

        // A whole distribution is a top-k of everything.
        let teacher = logits(vocabulary, 4);
        let ids: Vec<u32> = (0..=last).collect();
        let target = PositionTarget::Distribution(&teacher);
        let forward = loss::forward_kl(&wide(&z), &ids, &teacher);
        check(
            &z,
            LossKind {
                target,
                reverse: false,
            },
            &forward,
        );
        let reverse = loss::reverse_kl(&wide(&z), &ids, &teacher);
        check(
            &z,
            LossKind {
                target,
                reverse: true,
            },
            &reverse,
        );
    }
}

#[test]
fn a_student_that_is_its_teacher_has_nothing_to_learn() {
    for set in sets() {
        let z = logits(1003, 5);
        for reverse in [false, true] {
            let mut row = z.clone();
            let target = PositionTarget::Distribution(&z);
            let value = position_loss(set, &mut row, LossKind { target, reverse }, None, 1.0);
            assert_eq!(value, 0.0);
            assert!(row.iter().all(|g| g.abs() < 1e-6));
        }
    }
}
