//! Losses by hand, at their extremes, and against finite differences.

use super::*;

const LOGITS: [f64; 6] = [0.3, -1.25, 2.0, 0.0, 0.75, -0.5];
const IDS: [u32; 3] = [4, 0, 2];
const LOG_PROBABILITIES: [f32; 3] = [-0.5, -2.0, -1.5];

/// Compares the gradient with central differences of the value: absolute, h² f''' is about 1e-10.
#[track_caller]
fn check_gradient(loss: impl Fn(&[f64]) -> PositionLoss) {
    const STEP: f64 = 1e-5;
    let gradient = loss(&LOGITS).gradient;
    assert_eq!(gradient.len(), LOGITS.len());
    for (at, slope) in gradient.into_iter().enumerate() {
        let moved = |step: f64| {
            let mut logits = LOGITS;
            logits[at] += step;
            loss(&logits).value
        };
        let difference = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
        assert!(
            (slope - difference).abs() < 1e-9,
            "{at}: {slope} for {difference}"
        );
    }
}

#[test]
fn gradients_are_the_slopes_of_the_values() {
    check_gradient(|z| cross_entropy(z, 3));
    check_gradient(|z| forward_kl(z, &IDS, &LOG_PROBABILITIES));
    check_gradient(|z| reverse_kl(z, &IDS, &LOG_PROBABILITIES));
    check_gradient(|z| kl_to_base(z, &[1.0, 0.0, -1.0, 0.5, 2.0, 0.25]));
}

#[test]
fn cross_entropy_is_the_forward_kl_to_one_certain_token() {
    let hard = cross_entropy(&LOGITS, 4);
    assert_eq!(forward_kl(&LOGITS, &[4], &[-3.0]), hard);
}

#[test]
fn forward_kl_sees_mass_outside_the_top_k_and_reverse_kl_does_not() {
    let mut away = LOGITS;
    away[5] += 3.0;
    let forward = |z: &[f64]| forward_kl(z, &IDS, &LOG_PROBABILITIES).value;
    let reverse = |z: &[f64]| reverse_kl(z, &IDS, &LOG_PROBABILITIES).value;
    assert!(forward(&away) > forward(&LOGITS) + 0.1);
    assert_eq!(reverse(&away), reverse(&LOGITS));
}

#[test]
fn labels_over_the_whole_vocabulary_make_the_kl_to_another_model() {
    let base = [1.0, 0.0, -1.0, 0.5, 2.0, 0.25];
    let ids: Vec<u32> = (0..6).collect();
    // Any shift of log-probabilities is renormalised away.
    let log_probabilities: Vec<f32> = base.iter().map(|&z| z as f32 - 7.0).collect();
    let stored = forward_kl(&LOGITS, &ids, &log_probabilities);
    let live = kl_to_base(&LOGITS, &base);
    assert!((stored.value - live.value).abs() < 1e-12);
}

#[test]
fn a_loss_is_zero_where_the_student_is_the_target() {
    let log_q = log_softmax(&LOGITS);
    let ids: Vec<u32> = (0..6).collect();
    let stored: Vec<f32> = log_q.iter().map(|&l| l as f32).collect();
    // Absolute: the labels are rounded to f32.
    assert!(forward_kl(&LOGITS, &ids, &stored).value.abs() < 1e-12);
    assert!(reverse_kl(&LOGITS, &ids, &stored).value.abs() < 1e-12);
    assert_eq!(kl_to_base(&LOGITS, &LOGITS).value, 0.0);
}

#[test]
fn large_logits_do_not_overflow() {
    let huge = LOGITS.map(|z| z + 5000.0);
    let (a, b) = (cross_entropy(&huge, 1), cross_entropy(&LOGITS, 1));
    // Absolute: 5000 is held to 1e-12.
    assert!((a.value - b.value).abs() < 1e-11);
}

#[test]
fn the_base_weight_moves_in_a_straight_line_and_stays() {
    let annealed = BaseKl {
        first: 1.0,
        last: 0.25,
        steps: 4,
    };
    let weights: Vec<f64> = [0, 2, 4, 100].map(|step| annealed.weight(step)).to_vec();
    assert_eq!(weights, [1.0, 0.625, 0.25, 0.25]);
    let constant = BaseKl {
        steps: 0,
        ..annealed
    };
    assert_eq!(constant.weight(0), 0.25);
}
