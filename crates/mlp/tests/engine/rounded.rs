//! The bf16 mode, against f64 arithmetic on operands rounded as the engine promises to round them.
//!
//! The promise: the two operands of every matrix product are rounded once, to the nearest bf16, ties to even; sums,
//! biases, activations, the loss, bias gradients and the parameters are `f32`.

use undertone_mlp::reference::activation;
use undertone_mlp::{Activation, Biases, Loss, LossKind};

use super::support::{
    ACTIVATIONS, KINDS, Problem, Truth, assert_close, bf16_sets, distance, engine, largest,
    network, tensors, wide,
};

/// Euclidean, relative, against the rounded arithmetic. The engine sums in `f32`, so about one operand in ten thousand
/// falls on the other side of a tie and moves by 2^-8; a truncation instead of a rounding would show as 4e-3.
const AGAINST_ROUNDED: f64 = 1e-3;
/// Euclidean, relative, against the unrounded reference, with smooth activations: an operand is off by 2^-9 at most,
/// 1.1e-3 on average, errors add over two operands and four layers in both directions; entries of a gradient cancel.
const AGAINST_EXACT: f64 = 0.03;

fn to_bf16(value: f64) -> f64 {
    let bits = (value as f32).to_bits();
    f64::from(f32::from_bits(
        (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000,
    ))
}

/// Computes logits, loss and gradient with `round` applied to the operands of every product.
fn truth(problem: &Problem, round: impl Fn(f64) -> f64) -> Truth {
    let architecture = problem.architecture();
    let layers = architecture.layers();
    let values = wide(&problem.weights.values);
    let weights: Vec<f64> = values.iter().map(|&value| round(value)).collect();
    let rows = problem.rows();
    // Rounded inputs of every layer, and the slopes of the activation that made them.
    let mut inputs: Vec<Vec<f64>> = Vec::new();
    let mut slopes: Vec<Vec<f64>> = Vec::new();
    let mut out = wide(&problem.x);
    for layer in &layers {
        let a: Vec<f64> = out.iter().map(|&value| round(value)).collect();
        let mut z = vec![0.0; rows * layer.outputs];
        for (at, z) in z.iter_mut().enumerate() {
            let (row, output) = (at / layer.outputs, at % layer.outputs);
            let a = &a[row * layer.inputs..][..layer.inputs];
            let w = &weights[layer.weights_at + output * layer.inputs..][..layer.inputs];
            *z = a.iter().zip(w).map(|(a, w)| a * w).sum::<f64>()
                + layer.biases_at.map_or(0.0, |bias| values[bias + output]);
        }
        inputs.push(a);
        let kind = architecture.activation;
        slopes.push(z.iter().map(|&z| activation::derivative(kind, z)).collect());
        out = z.iter().map(|&z| activation::value(kind, z)).collect();
        if inputs.len() == layers.len() {
            out = z;
        }
    }
    let (loss, mut d) = problem.true_loss(&out);
    let mut gradient = vec![0.0; values.len()];
    for (l, layer) in layers.iter().enumerate().rev() {
        let rounded: Vec<f64> = d.iter().map(|&value| round(value)).collect();
        let mut below = vec![0.0; rows * layer.inputs];
        for row in 0..rows {
            for output in 0..layer.outputs {
                let at = row * layer.outputs + output;
                if let Some(bias) = layer.biases_at {
                    gradient[bias + output] += d[at];
                }
                for input in 0..layer.inputs {
                    let weight = layer.weights_at + output * layer.inputs + input;
                    gradient[weight] += rounded[at] * inputs[l][row * layer.inputs + input];
                    below[row * layer.inputs + input] += rounded[at] * weights[weight];
                }
            }
        }
        if l > 0 {
            d = below
                .iter()
                .zip(&slopes[l - 1])
                .map(|(d, s)| d * s)
                .collect();
        }
    }
    Truth {
        logits: out,
        loss,
        gradient,
    }
}

fn problems() -> Vec<Problem> {
    let mut problems = Vec::new();
    for depth in 0..=3 {
        for activation in ACTIVATIONS {
            for kind in KINDS {
                let index = problems.len();
                let biases = [Biases::With, Biases::Without][index % 2];
                let architecture = network(17, &[33, 5, 40][..depth], 62, activation, biases);
                let range = [0..62, 0..10, 10..60][index / 2 % 3].clone();
                let rows = [1, 7, 8, 9, 300][index % 5];
                problems.push(Problem::draw(
                    &architecture,
                    rows,
                    Loss::new(kind, range),
                    6_000 + index as u64,
                ));
            }
        }
    }
    // Chunks of pairs are twice as long: 512 rows, 512 features.
    let architecture = network(530, &[20], 13, Activation::Gelu, Biases::With);
    let loss = Loss::new(LossKind::CrossEntropy, 0..10);
    problems.push(Problem::draw(&architecture, 530, loss, 6_999));
    problems
}

#[test]
fn the_rounded_network_without_rounding_is_the_reference() {
    for problem in problems() {
        let (expected, got) = (problem.truth(), truth(&problem, |value| value));
        assert!((expected.loss - got.loss).abs() < 1e-12);
        for (expected, got) in expected.gradient.iter().zip(&got.gradient) {
            // Abs; f64 sums of up to 530 terms of order 1 in another order.
            assert!((expected - got).abs() < 1e-11, "{}", problem.describe());
        }
    }
}

#[test]
fn bf16_products_are_those_of_rounded_operands() {
    let every = |set| problems().into_iter().map(move |problem| (set, problem));
    for (set, problem) in bf16_sets().into_iter().flat_map(every) {
        let expected = truth(&problem, to_bf16);
        let exact = problem.truth();
        let label = format!("{set:?} {}", problem.describe());
        let (logits, loss, gradient) = problem.answer(&mut engine(set));
        let off = distance(&logits, &expected.logits, 1e-6);
        assert!(off <= AGAINST_ROUNDED, "{label}: logits off by {off:e}");
        let off = distance(&logits, &exact.logits, 1e-6);
        assert!(off <= AGAINST_EXACT, "{label}: logits off by {off:e}");
        let scale = largest(&expected.logits, 1.0).max(expected.loss.abs());
        assert!(
            (loss - expected.loss).abs() <= AGAINST_ROUNDED * scale,
            "{label}: expected a loss of {}, got {loss}",
            expected.loss
        );
        for tensor in tensors(problem.architecture()) {
            let label = format!("{label}: gradient {tensor:?}");
            let got = &gradient[tensor.clone()];
            let off = distance(got, &expected.gradient[tensor.clone()], 1e-6);
            assert!(off <= AGAINST_ROUNDED, "{label} off by {off:e}");
            if problem.architecture().activation != Activation::Relu {
                let off = distance(got, &exact.gradient[tensor], 1e-6);
                assert!(
                    off <= AGAINST_EXACT,
                    "{label} off by {off:e} from the unrounded one"
                );
            }
        }
    }
}

#[test]
fn bf16_loses_nothing_of_numbers_it_can_hold() {
    // A linear network whose inputs and weights have 8 significant bits: only the sums round, and they are `f32`.
    let architecture = network(40, &[], 20, Activation::Relu, Biases::Without);
    let mut problem = Problem::draw(&architecture, 9, Loss::new(LossKind::Mse, 0..20), 7_000);
    for value in problem.weights.values.iter_mut().chain(&mut problem.x) {
        *value = to_bf16(f64::from(*value)) as f32;
    }
    for set in bf16_sets() {
        let (logits, _, _) = problem.answer(&mut engine(set));
        // Abs; as for `f32`.
        assert_close("logits", &logits, &problem.truth().logits, 1e-5);
    }
}
