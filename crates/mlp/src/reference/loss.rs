//! Losses over a contiguous range of logits, each with its gradient with respect to all logits.
//!
//! Every loss is a mean over rows; logits outside the range get gradient 0.

use std::ops::Range;

/// A loss and its gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct Loss {
    /// The loss, a mean over rows.
    pub value: f64,
    /// dL/dlogits, `[B, outputs]`.
    pub gradient: Vec<f64>,
}

/// Which logits of a row a loss sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Number of logits in a row.
    pub outputs: usize,
    /// The logits the loss sees; k of them.
    pub range: Range<usize>,
}

impl Selection {
    /// Selects `range` out of rows of `outputs` logits.
    ///
    /// # Panics
    /// If the range is empty or leaves the row.
    pub fn new(outputs: usize, range: Range<usize>) -> Self {
        assert!(
            range.start < range.end && range.end <= outputs,
            "logits {range:?} of {outputs}"
        );
        Self { outputs, range }
    }

    /// Returns the cross-entropy against labels, in nats: mean over rows of `-log softmax(z)[label]`.
    ///
    /// The softmax is over the selected logits only. Gradient: `(softmax(z) - onehot(label)) / B`.
    ///
    /// # Shapes
    /// - `logits`: `[B, outputs]`
    /// - `labels`: `[B]`, each counted from the start of the range, so `< k`
    ///
    /// # Panics
    /// If there is no row, or the shapes or a label do not fit.
    pub fn cross_entropy(&self, logits: &[f64], labels: &[usize]) -> Loss {
        assert_eq!(logits.len(), labels.len() * self.outputs, "labels");
        self.mean_over_rows(logits, |row, z| {
            let log_q = log_softmax(z);
            let label = labels[row];
            let gradient = log_q
                .iter()
                .enumerate()
                .map(|(index, &log_q)| libm::exp(log_q) - f64::from(u8::from(index == label)))
                .collect();
            (-log_q[label], gradient)
        })
    }

    /// Returns KL(teacher ‖ student), in nats: mean over rows of `Σ_i p_i (log p_i - log q_i)`.
    ///
    /// `p` and `q` are the softmax of teacher and student over the selected logits only, at temperature 1. The teacher
    /// is a constant. Gradient with respect to the student's logits: `(q - p) / B`, which is also the gradient of the
    /// cross-entropy `-Σ_i p_i log q_i`.
    ///
    /// # Shapes
    /// - `student`, `teacher`: `[B, outputs]`
    ///
    /// # Panics
    /// If there is no row or the shapes differ.
    pub fn kl(&self, student: &[f64], teacher: &[f64]) -> Loss {
        self.against_teacher(student, teacher, |z, y| {
            let (log_q, log_p) = (log_softmax(z), log_softmax(y));
            let value = log_p
                .iter()
                .zip(&log_q)
                .map(|(&log_p, &log_q)| libm::exp(log_p) * (log_p - log_q))
                .sum();
            let gradient = log_q
                .iter()
                .zip(&log_p)
                .map(|(&log_q, &log_p)| libm::exp(log_q) - libm::exp(log_p))
                .collect();
            (value, gradient)
        })
    }

    /// Returns the squared error on raw logits: mean over rows *of the mean over the selected logits* of `(z_i - y_i)²`.
    ///
    /// This is PyTorch's `mse_loss` with reduction `mean` on the selected columns. Gradient: `2 (z - y) / (B k)`.
    ///
    /// # Shapes
    /// - `student`, `teacher`: `[B, outputs]`
    ///
    /// # Panics
    /// If there is no row or the shapes differ.
    pub fn mean_squared_error(&self, student: &[f64], teacher: &[f64]) -> Loss {
        let k = self.range.len();
        self.weighted_squared_error(student, teacher, &vec![1.0 / k as f64; k])
    }

    /// Returns the weighted squared error: mean over rows *of the sum over the selected logits* of `w_i (z_i - y_i)²`.
    ///
    /// Gradient: `2 w_i (z_i - y_i) / B`. Equal weights `1/k` make [`Self::mean_squared_error`].
    ///
    /// # Shapes
    /// - `student`, `teacher`: `[B, outputs]`
    /// - `weights`: `[k]`
    ///
    /// # Panics
    /// If there is no row or the shapes do not fit.
    pub fn weighted_squared_error(
        &self,
        student: &[f64],
        teacher: &[f64],
        weights: &[f64],
    ) -> Loss {
        assert_eq!(weights.len(), self.range.len(), "weights");
        self.against_teacher(student, teacher, |z, y| {
            let errors: Vec<f64> = z.iter().zip(y).map(|(z, y)| z - y).collect();
            let value = errors.iter().zip(weights).map(|(e, w)| w * e * e).sum();
            let gradient = errors
                .iter()
                .zip(weights)
                .map(|(e, w)| 2.0 * w * e)
                .collect();
            (value, gradient)
        })
    }

    /// Returns the selected logits of every row, in order.
    ///
    /// # Panics
    /// If `logits` is not a whole number of rows.
    pub fn rows<'a>(&self, logits: &'a [f64]) -> impl Iterator<Item = &'a [f64]> {
        assert_eq!(logits.len() % self.outputs, 0, "rows of logits");
        let range = self.range.clone();
        logits
            .chunks_exact(self.outputs)
            .map(move |row| &row[range.clone()])
    }

    fn against_teacher(
        &self,
        student: &[f64],
        teacher: &[f64],
        row_loss: impl Fn(&[f64], &[f64]) -> (f64, Vec<f64>),
    ) -> Loss {
        assert_eq!(student.len(), teacher.len(), "student and teacher logits");
        let targets: Vec<&[f64]> = self.rows(teacher).collect();
        self.mean_over_rows(student, |row, z| row_loss(z, targets[row]))
    }

    /// Averages `row_loss(row, selected logits) -> (value, gradient of the selected logits)` over rows.
    fn mean_over_rows(
        &self,
        logits: &[f64],
        row_loss: impl Fn(usize, &[f64]) -> (f64, Vec<f64>),
    ) -> Loss {
        let n_rows = logits.len() / self.outputs;
        assert!(n_rows > 0, "a mean over no rows");
        let mut value = 0.0;
        let mut gradient = vec![0.0; logits.len()];
        for (row, selected) in self.rows(logits).enumerate() {
            let (row_value, row_gradient) = row_loss(row, selected);
            value += row_value / n_rows as f64;
            for (offset, slope) in row_gradient.iter().enumerate() {
                gradient[row * self.outputs + self.range.start + offset] = slope / n_rows as f64;
            }
        }
        Loss { value, gradient }
    }
}

/// Returns softmax(z), `exp(z_i) / Σ_j exp(z_j)`, computed after subtracting the largest logit.
pub fn softmax(z: &[f64]) -> Vec<f64> {
    log_softmax(z).into_iter().map(libm::exp).collect()
}

/// Returns log softmax(z) in nats, `z_i - log Σ_j exp(z_j)`, computed after subtracting the largest logit.
pub fn log_softmax(z: &[f64]) -> Vec<f64> {
    let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_sum = libm::log(z.iter().map(|z| libm::exp(z - largest)).sum());
    z.iter().map(|z| z - largest - log_sum).collect()
}
