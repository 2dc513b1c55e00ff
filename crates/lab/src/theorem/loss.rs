//! The losses of the theorem: the student's L_S with its mixed second derivative M, and the teacher's arbitrary L_T.

use undertone_mlp::reference::loss::softmax;
use undertone_mlp::reference::{Loss, Network, Selection};

/// L_S(z, y): how far the student's logits z are from the teacher's y.
#[derive(Debug, Clone, PartialEq)]
pub enum StudentLoss {
    /// `Σ_i w_i (z_i - y_i)²` with non-negative weights `[k]`.
    SquaredError(Vec<f64>),
    /// `-Σ_i softmax(y)_i log softmax(z)_i`.
    CrossEntropy,
}

impl StudentLoss {
    /// Returns the gradient of `E[L_S]` with respect to the student's logits, `[B, outputs]`.
    ///
    /// # Shapes
    /// - `student`, `teacher`: logits, `[B, outputs]`
    pub fn logit_gradient(
        &self,
        selection: &Selection,
        student: &[f64],
        teacher: &[f64],
    ) -> Vec<f64> {
        match self {
            Self::SquaredError(weights) => {
                selection
                    .weighted_squared_error(student, teacher, weights)
                    .gradient
            }
            // KL differs from the cross-entropy by the teacher's entropy, which the student does not move.
            Self::CrossEntropy => selection.kl(student, teacher).gradient,
        }
    }

    /// Returns `M_ij = -∂²L_S/∂y_j∂z_i` at `y = z`, `[k, k]` row-major.
    ///
    /// Squared error: `diag(2 w_i)`. Cross-entropy: `diag(σ) - σσᵀ`, σ = softmax(z). Both are positive semidefinite.
    pub fn mixed_derivative(&self, z: &[f64]) -> Vec<f64> {
        match self {
            Self::SquaredError(weights) => diagonal(weights.iter().map(|w| 2.0 * w)),
            Self::CrossEntropy => {
                let sigma = softmax(z);
                let mut m = diagonal(sigma.iter().copied());
                for i in 0..sigma.len() {
                    for j in 0..sigma.len() {
                        m[i * sigma.len() + j] -= sigma[i] * sigma[j];
                    }
                }
                m
            }
        }
    }

    /// Returns the sizes of the terms M is made of, `[k, k]`, before they cancel: what rounding errors scale with.
    pub fn mixed_derivative_magnitude(&self, z: &[f64]) -> Vec<f64> {
        match self {
            Self::SquaredError(_) => self.mixed_derivative(z),
            Self::CrossEntropy => {
                let sigma = softmax(z);
                let mut m = diagonal(sigma.iter().copied());
                for i in 0..sigma.len() {
                    for j in 0..sigma.len() {
                        m[i * sigma.len() + j] += sigma[i] * sigma[j];
                    }
                }
                m
            }
        }
    }
}

fn diagonal(entries: impl ExactSizeIterator<Item = f64>) -> Vec<f64> {
    let k = entries.len();
    let mut matrix = vec![0.0; k * k];
    for (index, entry) in entries.enumerate() {
        matrix[index * k + index] = entry;
    }
    matrix
}

/// L_T before scaling: any differentiable function of the parameters.
#[derive(Debug, Clone, PartialEq)]
pub enum TeacherLoss {
    /// A mean over the teacher's own inputs of a loss on its logits.
    OnLogits {
        /// `[B', inputs]`: not the student's inputs.
        inputs: Vec<f64>,
        /// The logits the loss sees.
        selection: Selection,
        /// The loss.
        objective: Objective,
    },
    /// `½ |θ - centre|²`: looks at no logit at all.
    OnParameters {
        /// `[n_parameters]`.
        centre: Vec<f64>,
    },
}

/// What a teacher's loss asks of its logits.
#[derive(Debug, Clone, PartialEq)]
pub enum Objective {
    /// Cross-entropy on these labels, `[B']`.
    Labels(Vec<usize>),
    /// Squared error to these targets, `[B', outputs]`.
    Targets(Vec<f64>),
    /// `s / √(1 + s²)` with `s` the product of the selected logits with these coefficients, `[k]`: smooth, bounded, not
    /// convex and not minimised anywhere.
    Squashed(Vec<f64>),
}

impl TeacherLoss {
    /// Returns L_T at the network's parameters.
    pub fn value(&self, network: &Network) -> f64 {
        match self {
            Self::OnLogits {
                inputs,
                selection,
                objective,
            } => {
                objective
                    .at_logits(selection, &network.forward(inputs))
                    .value
            }
            Self::OnParameters { centre } => {
                let squares = network.values.iter().zip(centre);
                0.5 * squares.map(|(p, c)| (p - c) * (p - c)).sum::<f64>()
            }
        }
    }

    /// Returns ∇L_T at the network's parameters, `[n_parameters]`.
    pub fn gradient(&self, network: &Network) -> Vec<f64> {
        match self {
            Self::OnLogits {
                inputs,
                selection,
                objective,
            } => {
                let loss = objective.at_logits(selection, &network.forward(inputs));
                network.gradient(inputs, &loss.gradient)
            }
            Self::OnParameters { centre } => {
                let entries = network.values.iter().zip(centre);
                entries.map(|(p, c)| p - c).collect()
            }
        }
    }

    /// Returns the inputs the loss is taken over, `[B', inputs]`; empty if it looks at none.
    pub fn inputs(&self) -> &[f64] {
        match self {
            Self::OnLogits { inputs, .. } => inputs,
            Self::OnParameters { .. } => &[],
        }
    }
}

impl Objective {
    fn at_logits(&self, selection: &Selection, logits: &[f64]) -> Loss {
        match self {
            Self::Labels(labels) => selection.cross_entropy(logits, labels),
            Self::Targets(targets) => selection.mean_squared_error(logits, targets),
            Self::Squashed(coefficients) => squashed(selection, logits, coefficients),
        }
    }
}

/// Mean over rows of `s / √(1 + s²)`, whose derivative with respect to s is `(1 + s²)^(-3/2)`.
fn squashed(selection: &Selection, logits: &[f64], coefficients: &[f64]) -> Loss {
    let n_rows = logits.len() / selection.outputs;
    let mut value = 0.0;
    let mut gradient = vec![0.0; logits.len()];
    for (row, selected) in selection.rows(logits).enumerate() {
        let s = super::dot(selected, coefficients);
        let root = (1.0 + s * s).sqrt();
        value += s / root / n_rows as f64;
        let start = row * selection.outputs + selection.range.start;
        for (slope, coefficient) in gradient[start..].iter_mut().zip(coefficients) {
            *slope = coefficient / (root * root * root) / n_rows as f64;
        }
    }
    Loss { value, gradient }
}
