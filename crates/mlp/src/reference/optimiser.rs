//! Plain optimiser steps on flat vectors, with PyTorch's definitions: no weight decay, no schedule.

/// Stochastic gradient descent, with or without momentum (no dampening, no Nesterov).
///
/// Step: `u ← μ u + g`, then `θ ← θ - η u`, with `u = 0` before the first step. μ = 0 is plain SGD.
#[derive(Debug, Clone, PartialEq)]
pub struct Sgd {
    /// η, the learning rate.
    pub learning_rate: f64,
    /// μ, the momentum, in [0, 1).
    pub momentum: f64,
    velocity: Vec<f64>,
}

impl Sgd {
    /// Makes an optimiser for `n_parameters` numbers that has taken no step.
    pub fn new(n_parameters: usize, learning_rate: f64, momentum: f64) -> Self {
        Self {
            learning_rate,
            momentum,
            velocity: vec![0.0; n_parameters],
        }
    }

    /// Takes one step.
    ///
    /// # Panics
    /// If the lengths differ from the one given at the start.
    pub fn step(&mut self, parameters: &mut [f64], gradient: &[f64]) {
        assert_lengths(self.velocity.len(), parameters, gradient);
        for ((value, &slope), velocity) in
            parameters.iter_mut().zip(gradient).zip(&mut self.velocity)
        {
            *velocity = self.momentum * *velocity + slope;
            *value -= self.learning_rate * *velocity;
        }
    }
}

/// Adam with bias correction.
///
/// Step t = 1, 2, ...: `m ← β₁ m + (1 - β₁) g`, `v ← β₂ v + (1 - β₂) g²`, then
/// `θ ← θ - η / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + e)`. The stabiliser e stands outside the root and after the bias
/// correction, as in PyTorch.
#[derive(Debug, Clone, PartialEq)]
pub struct Adam {
    /// η, the learning rate.
    pub learning_rate: f64,
    /// β₁, PyTorch's default 0.9.
    pub beta1: f64,
    /// β₂, PyTorch's default 0.999.
    pub beta2: f64,
    /// e, PyTorch's default 1e-8.
    pub stabiliser: f64,
    // β₁ᵗ and β₂ᵗ are kept as running products: no power function, no rounding that depends on one.
    beta1_power: f64,
    beta2_power: f64,
    first_moment: Vec<f64>,
    second_moment: Vec<f64>,
}

impl Adam {
    /// Makes an optimiser with PyTorch's defaults for `n_parameters` numbers that has taken no step.
    pub fn new(n_parameters: usize, learning_rate: f64) -> Self {
        Self {
            learning_rate,
            beta1: 0.9,
            beta2: 0.999,
            stabiliser: 1e-8,
            beta1_power: 1.0,
            beta2_power: 1.0,
            first_moment: vec![0.0; n_parameters],
            second_moment: vec![0.0; n_parameters],
        }
    }

    /// Takes one step.
    ///
    /// # Panics
    /// If the lengths differ from the one given at the start.
    pub fn step(&mut self, parameters: &mut [f64], gradient: &[f64]) {
        assert_lengths(self.first_moment.len(), parameters, gradient);
        self.beta1_power *= self.beta1;
        self.beta2_power *= self.beta2;
        let step_size = self.learning_rate / (1.0 - self.beta1_power);
        let second_scale = (1.0 - self.beta2_power).sqrt();
        for (index, (value, &slope)) in parameters.iter_mut().zip(gradient).enumerate() {
            let first = &mut self.first_moment[index];
            let second = &mut self.second_moment[index];
            *first = self.beta1 * *first + (1.0 - self.beta1) * slope;
            *second = self.beta2 * *second + (1.0 - self.beta2) * slope * slope;
            *value -= step_size * *first / (second.sqrt() / second_scale + self.stabiliser);
        }
    }
}

#[track_caller]
fn assert_lengths(expected: usize, parameters: &[f64], gradient: &[f64]) {
    assert_eq!(parameters.len(), expected, "parameters");
    assert_eq!(gradient.len(), expected, "gradient");
}
