//! Derivatives against central finite differences, activations and optimiser steps against values worked out elsewhere.

use undertone_core::{Seed, Stream};

use super::{Adam, Loss, Network, Selection, Sgd, activation};
use crate::{Activation, Architecture, Biases};

const ACTIVATIONS: [Activation; 3] = [Activation::Relu, Activation::Gelu, Activation::Sigmoid];
const ROWS: usize = 5;
const INPUTS: usize = 4;
const OUTPUTS: usize = 6;

/// Half the width of a central difference. Truncation is about h² = 1e-10 times a third derivative, rounding about
/// 2e-16 / h = 2e-11 times the loss: both stay well below [`TOLERANCE`].
const H: f64 = 1e-5;
/// Absolute and relative to the largest derivative compared.
const TOLERANCE: f64 = 1e-8;

/// One network with inputs, none of whose ReLUs a finite difference can push over its kink.
struct Setting {
    network: Network,
    x: Vec<f64>,
}

fn normals(stream: &mut Stream, n: usize) -> Vec<f64> {
    (0..n).map(|_| stream.normal()).collect()
}

fn draw(activation: Activation, biases: Biases, depth: usize) -> Setting {
    let mut stream = Seed(11).stream("test/reference", depth as u64);
    let architecture = Architecture {
        inputs: INPUTS,
        hidden: [5, 3, 4][..depth].to_vec(),
        outputs: OUTPUTS,
        activation,
        biases,
    };
    loop {
        let values = normals(&mut stream, architecture.n_parameters());
        let network = Network::new(architecture.clone(), values);
        let x = normals(&mut stream, ROWS * INPUTS);
        let clear_of_kinks = network
            .hidden_pre_activations(&x)
            .iter()
            .flatten()
            .all(|z| z.abs() > 1e-2);
        if activation != Activation::Relu || clear_of_kinks {
            return Setting { network, x };
        }
    }
}

fn every_setting(check: impl Fn(&str, &Setting)) {
    for activation in ACTIVATIONS {
        for biases in [Biases::With, Biases::Without] {
            for depth in 0..=3 {
                let label = format!("{activation:?}, {biases:?} biases, depth {depth}");
                check(&label, &draw(activation, biases, depth));
            }
        }
    }
}

#[track_caller]
fn assert_close(label: &str, expected: &[f64], got: &[f64]) {
    assert_eq!(expected.len(), got.len(), "{label}");
    let scale = expected.iter().fold(1.0, |top: f64, e| top.max(e.abs()));
    for (index, (e, g)) in expected.iter().zip(got).enumerate() {
        assert!(
            (e - g).abs() <= TOLERANCE * scale,
            "{label}, entry {index}: expected {e}, got {g}"
        );
    }
}

/// Checks the parameter gradient and the logit gradient of `loss` in every setting.
fn check_loss(name: &str, loss: impl Fn(&[f64]) -> Loss) {
    every_setting(|label, Setting { network, x }| {
        let logits = network.forward(x);
        let got = loss(&logits).gradient;
        let expected: Vec<f64> = (0..logits.len())
            .map(|index| {
                let at = |step: f64| {
                    let mut moved = logits.clone();
                    moved[index] += step;
                    loss(&moved).value
                };
                (at(H) - at(-H)) / (2.0 * H)
            })
            .collect();
        assert_close(&format!("{name}, logits, {label}"), &expected, &got);

        let expected: Vec<f64> = (0..network.values.len())
            .map(|index| {
                let at = |step: f64| {
                    let mut moved = network.clone();
                    moved.values[index] += step;
                    loss(&moved.forward(x)).value
                };
                (at(H) - at(-H)) / (2.0 * H)
            })
            .collect();
        let got = network.gradient(x, &got);
        assert!(
            got.iter().any(|g| g.abs() > 1e-3),
            "{name}, {label}: all zero"
        );
        assert_close(&format!("{name}, {label}"), &expected, &got);
    });
}

fn teacher_logits() -> Vec<f64> {
    normals(&mut Seed(12).stream("test/teacher", 0), ROWS * OUTPUTS)
}

#[test]
fn cross_entropy_gradients_match_finite_differences() {
    for range in [0..4, 4..6, 0..6] {
        let selection = Selection::new(OUTPUTS, range);
        let labels: Vec<usize> = (0..ROWS).map(|row| row % selection.range.len()).collect();
        check_loss("cross-entropy", |logits| {
            selection.cross_entropy(logits, &labels)
        });
    }
}

#[test]
fn kl_gradients_match_finite_differences() {
    let teacher = teacher_logits();
    for range in [3..6, 0..6] {
        let selection = Selection::new(OUTPUTS, range);
        check_loss("KL", |logits| selection.kl(logits, &teacher));
    }
}

#[test]
fn squared_error_gradients_match_finite_differences() {
    let teacher = teacher_logits();
    let selection = Selection::new(OUTPUTS, 2..5);
    check_loss("mean squared error", |logits| {
        selection.mean_squared_error(logits, &teacher)
    });
    check_loss("weighted squared error", |logits| {
        selection.weighted_squared_error(logits, &teacher, &[0.5, 0.0, 2.0])
    });
}

#[test]
fn jvp_matches_finite_differences() {
    every_setting(|label, Setting { network, x }| {
        let mut stream = Seed(13).stream("test/direction", 0);
        let direction = normals(&mut stream, network.values.len());
        let ahead = network.moved(H, &direction).forward(x);
        let behind = network.moved(-H, &direction).forward(x);
        let expected: Vec<f64> = ahead
            .iter()
            .zip(&behind)
            .map(|(a, b)| (a - b) / (2.0 * H))
            .collect();
        assert_close(label, &expected, &network.jvp(x, &direction));
    });
}

#[test]
fn jvp_and_gradient_are_adjoint() {
    every_setting(|label, Setting { network, x }| {
        let mut stream = Seed(14).stream("test/adjoint", 0);
        let direction = normals(&mut stream, network.values.len());
        let weights = normals(&mut stream, ROWS * OUTPUTS);
        let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let forward = dot(&network.jvp(x, &direction), &weights);
        let reverse = dot(&network.gradient(x, &weights), &direction);
        // Rounding only: a few hundred terms of size 1 to 100.
        assert!(
            (forward - reverse).abs() <= 1e-11 * (1.0 + forward.abs()),
            "{label}: {forward} and {reverse}"
        );
    });
}

#[test]
fn a_small_network_gives_the_logits_worked_out_by_hand() {
    let architecture = Architecture {
        inputs: 2,
        hidden: vec![2],
        outputs: 1,
        activation: Activation::Relu,
        biases: Biases::With,
    };
    // W1 = [[1, 2], [-1, 1]], b1 = [0.5, 0], W2 = [[3, -2]], b2 = [0.25].
    let values = vec![1.0, 2.0, -1.0, 1.0, 0.5, 0.0, 3.0, -2.0, 0.25];
    let network = Network::new(architecture, values);
    // Row 1: z1 = [3.5, 0], so 3 · 3.5 + 0.25. Row 2: z1 = [-1.5, 2], so -2 · 2 + 0.25.
    assert_eq!(network.forward(&[1.0, 1.0, -2.0, 0.0]), [10.75, -3.75]);
}

#[test]
fn activations_have_their_known_values() {
    // Φ(1) = 0.8413447460685429 and Φ(-6) = 9.865876450376981e-10 (tables of the normal distribution).
    let table = [
        (Activation::Gelu, 1.0, 0.841_344_746_068_542_9),
        (Activation::Gelu, -6.0, -6.0 * 9.865_876_450_376_98e-10),
        (Activation::Sigmoid, 0.0, 0.5),
        (Activation::Sigmoid, -800.0, 0.0),
        (Activation::Relu, -2.0, 0.0),
        (Activation::Relu, 2.0, 2.0),
    ];
    for (kind, z, expected) in table {
        let got = activation::value(kind, z);
        assert!(
            (got - expected).abs() <= 1e-14 * expected.abs(),
            "{kind:?}({z}) = {got}"
        );
    }
    assert_eq!(activation::derivative(Activation::Relu, 0.0), 0.0);
}

#[test]
fn losses_have_the_values_worked_out_by_hand() {
    let selection = Selection::new(3, 1..3);
    // Softmax over two logits that differ by ln 3 is (1/4, 3/4); the first logit must not count.
    let student = [9.0, 0.0, 3.0_f64.ln()];
    let teacher = [-9.0, 0.0, 0.0];
    let close = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-15, "{got}");
    close(selection.cross_entropy(&student, &[0]).value, 4.0_f64.ln());
    // ½ ln(½ / ¼) + ½ ln(½ / ¾) = ½ ln(4/3).
    let kl = selection.kl(&student, &teacher);
    close(kl.value, 0.5 * (4.0_f64 / 3.0).ln());
    close(kl.gradient[0], 0.0);
    close(kl.gradient[1], -0.25);
    close(kl.gradient[2], 0.25);
    let squared = selection.mean_squared_error(&[9.0, 1.0, 2.0], &[0.0, 0.0, 0.0]);
    close(squared.value, 2.5);
    assert_eq!(squared.gradient, [0.0, 1.0, 2.0]);
    // Two rows halve every gradient.
    let rows = selection.mean_squared_error(&[9.0, 1.0, 2.0, 0.0, 0.0, 0.0], &[0.0; 6]);
    close(rows.value, 1.25);
    assert_eq!(rows.gradient, [0.0, 0.5, 1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn a_softmax_over_one_logit_has_no_gradient() {
    let selection = Selection::new(2, 1..2);
    let kl = selection.kl(&[0.3, -1.7], &[0.1, 2.9]);
    assert_eq!((kl.value, kl.gradient), (0.0, vec![0.0, 0.0]));
}

#[test]
fn sgd_takes_the_steps_worked_out_by_hand() {
    let mut parameters = [1.0, -2.0];
    let mut plain = Sgd::new(2, 0.5, 0.0);
    plain.step(&mut parameters, &[2.0, 4.0]);
    plain.step(&mut parameters, &[1.0, 0.0]);
    assert_eq!(parameters, [-0.5, -4.0]);

    // u = 2, then 0.5 · 2 + 1 = 2, then 0.5 · 2 + 0 = 1; the learning rate is 1/4.
    let mut parameters = [1.0];
    let mut momentum = Sgd::new(1, 0.25, 0.5);
    for (gradient, expected) in [(2.0, 0.5), (1.0, 0.0), (0.0, -0.25)] {
        momentum.step(&mut parameters, &[gradient]);
        assert_eq!(parameters, [expected]);
    }
}

#[test]
fn adam_takes_the_steps_worked_out_by_hand() {
    // Step 1: m/(1-β₁) = g and v/(1-β₂) = g², so θ moves by η g / (|g| + e) whatever the size of g.
    let mut parameters = [1.0, 1.0, 1.0];
    let mut adam = Adam::new(3, 0.1);
    adam.step(&mut parameters, &[0.5, -200.0, 1e-8]);
    let expected = [
        1.0 - 0.1 * 0.5 / (0.5 + 1e-8),
        1.0 + 0.1 * 200.0 / (200.0 + 1e-8),
        0.95,
    ];
    for (got, expected) in parameters.iter().zip(expected) {
        assert!((got - expected).abs() < 1e-12, "{got} {expected}");
    }
    // Step 2 with g = -1 after g = 0.5: m = 0.9 · 0.05 - 0.1 = -0.055, m/(1-0.81) = -0.055/0.19;
    // v = 0.999 · 0.00025 + 0.001 = 0.00124975, v/(1-0.998001) = 0.00124975/0.001999.
    let mut parameters = [1.0];
    let mut adam = Adam::new(1, 0.1);
    adam.step(&mut parameters, &[0.5]);
    let before = parameters[0];
    adam.step(&mut parameters, &[-1.0]);
    let expected = 0.1 * (0.055 / 0.19) / ((0.001_249_75_f64 / 0.001_999).sqrt() + 1e-8);
    assert!((parameters[0] - before - expected).abs() < 1e-12);
}
