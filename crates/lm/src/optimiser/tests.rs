//! The rules by hand, against f64, and the same bits however the work is cut.

use undertone_core::Seed;

use super::*;

fn normals(n: usize, index: u64) -> Vec<f32> {
    let mut stream = Seed(3).stream("test/optimiser", index);
    (0..n).map(|_| stream.normal() as f32).collect()
}

const RULES: [Optimiser; 4] = [
    Optimiser::adamw(1e-2, 0.1),
    Optimiser::adam(1e-2),
    Optimiser::Sgd {
        learning_rate: 1e-2,
        momentum: 0.9,
    },
    Optimiser::Sgd {
        learning_rate: 1e-2,
        momentum: 0.0,
    },
];

/// Textbook f64 steps of one weight.
fn textbook(optimiser: &Optimiser, mut w: f64, gradients: &[f64]) -> f64 {
    let (mut m, mut v) = (0.0, 0.0);
    for (index, g) in gradients.iter().enumerate() {
        let t = index as i32 + 1;
        let (rate, b1, b2, eps, decay) = match *optimiser {
            Optimiser::AdamW {
                learning_rate,
                beta1,
                beta2,
                epsilon,
                weight_decay,
            } => (learning_rate, beta1, beta2, epsilon, weight_decay),
            Optimiser::Adam {
                learning_rate,
                beta1,
                beta2,
                epsilon,
            } => (learning_rate, beta1, beta2, epsilon, 0.0),
            Optimiser::Sgd {
                learning_rate,
                momentum,
            } => {
                m = momentum * m + g;
                w -= learning_rate * m;
                continue;
            }
        };
        m = b1 * m + (1.0 - b1) * g;
        v = b2 * v + (1.0 - b2) * g * g;
        let (corrected_m, corrected_v) = (m / (1.0 - b1.powi(t)), v / (1.0 - b2.powi(t)));
        w -= rate * decay * w;
        w -= rate * corrected_m / (corrected_v.sqrt() + eps);
    }
    w
}

#[test]
fn six_steps_are_the_textbooks() {
    for rule in RULES {
        let mut weights = normals(4, 0);
        let start = weights.clone();
        let gradients: Vec<Vec<f32>> = (1..7).map(|index| normals(4, index)).collect();
        let mut state = OptimiserState::new(&rule, 4);
        for gradient in &gradients {
            state.step(&rule, 1.0, &mut weights, gradient, 0.5);
        }
        for (at, &w) in weights.iter().enumerate() {
            let column: Vec<f64> = gradients.iter().map(|g| 0.5 * f64::from(g[at])).collect();
            let expected = textbook(&rule, f64::from(start[at]), &column);
            // Absolute: six f32 roundings of weights of order 1.
            assert!(
                (f64::from(w) - expected).abs() < 5e-7,
                "{rule:?}: {w} for {expected}"
            );
        }
    }
}

#[test]
fn the_first_step_of_adam_is_the_learning_rate() {
    let rule = Optimiser::adam(0.125);
    let mut weights = [1.0f32, 1.0];
    OptimiserState::new(&rule, 2).step(&rule, 1.0, &mut weights, &[3.0, -0.001], 1.0);
    // Relative: epsilon is 1e-8 beside a root of 1e-3.
    assert!((weights[0] - 0.875).abs() < 1e-5 && (weights[1] - 1.125).abs() < 1e-5);
}

#[test]
fn learning_rate_zero_changes_no_weight_but_counts() {
    for rule in RULES {
        let (mut weights, gradient) = (normals(9, 0), normals(9, 1));
        let before = weights.clone();
        let mut state = OptimiserState::new(&rule, 9);
        state.step(&rule, 0.0, &mut weights, &gradient, 1.0);
        assert_eq!(weights, before);
        assert_eq!(state.step, 1);
    }
}

#[test]
fn cutting_weights_into_slices_changes_no_bit() {
    // More than one chunk and no whole number of them.
    let n = 2 * CHUNK + 77;
    let gradient = normals(n, 1);
    for rule in RULES {
        let mut whole = normals(n, 0);
        let mut parts = whole.clone();
        let mut state = OptimiserState::new(&rule, n);
        let mut first = state.first.clone();
        let mut second = state.second.clone();
        state.step(&rule, 0.5, &mut whole, &gradient, 0.25);
        let update = Update::at_step(&rule, 1, 0.5);
        for range in [0..3, 3..CHUNK + 9, CHUNK + 9..n] {
            let empty_or = |moments: usize| {
                if rule.moments() > moments {
                    range.clone()
                } else {
                    0..0
                }
            };
            update.apply(
                &mut parts[range.clone()],
                &gradient[range.clone()],
                0.25,
                &mut first[empty_or(0)],
                &mut second[empty_or(1)],
            );
        }
        assert_eq!(whole, parts, "{rule:?}");
        assert_eq!((&state.first, &state.second), (&first, &second), "{rule:?}");
    }
}

#[test]
fn weights_that_get_no_decay_are_those_of_adam() {
    let (mut plain, gradient) = (normals(50, 0), normals(50, 1));
    let mut exempt = plain.clone();
    let (mut m, mut v) = (vec![0.0; 50], vec![0.0; 50]);
    Update::at_step(&RULES[0], 1, 1.0).without_decay().apply(
        &mut exempt,
        &gradient,
        1.0,
        &mut m,
        &mut v,
    );
    OptimiserState::new(&RULES[1], 50).step(&RULES[1], 1.0, &mut plain, &gradient, 1.0);
    assert_eq!(plain, exempt);
}

#[test]
fn padding_stays_zero() {
    for rule in RULES {
        let mut weights = [0.0f32; 3];
        let mut state = OptimiserState::new(&rule, 3);
        for _ in 0..3 {
            state.step(&rule, 1.0, &mut weights, &[0.0; 3], 1.0);
        }
        assert_eq!(weights, [0.0; 3], "{rule:?}");
    }
}
