//! The hidden activations and their derivatives, in f64.

use std::f64::consts::{PI, SQRT_2};

use crate::Activation;

/// Returns the activation φ(z).
///
/// - ReLU: `max(0, z)`.
/// - GELU: `z Φ(z)`, Φ the standard normal distribution function, as `½ erfc(-z/√2)` so that it keeps its relative
///   accuracy for very negative `z`.
/// - sigmoid: `1 / (1 + exp(-z))`.
pub fn value(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::Relu => z.max(0.0),
        Activation::Gelu => z * normal_cdf(z),
        Activation::Sigmoid => 1.0 / (1.0 + libm::exp(-z)),
    }
}

/// Returns the derivative φ'(z).
///
/// - ReLU: 1 for `z > 0`, else 0; at the kink `z = 0` it is 0, as in PyTorch.
/// - GELU: `Φ(z) + z exp(-z²/2) / √(2π)`.
/// - sigmoid: `σ(z) (1 - σ(z))`.
pub fn derivative(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::Relu => f64::from(u8::from(z > 0.0)),
        Activation::Gelu => normal_cdf(z) + z * libm::exp(-0.5 * z * z) / (2.0 * PI).sqrt(),
        Activation::Sigmoid => {
            let sigma = value(Activation::Sigmoid, z);
            sigma * (1.0 - sigma)
        }
    }
}

fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z / SQRT_2)
}
