//! Logistic regression with an L2 penalty, on sparse rows, by Newton's method: small, exact and the same everywhere.
//!
//! The problem is strictly convex but for the intercept, which has curvature too once both classes occur; so the optimum
//! is one point, and every start, order or machine ends there up to rounding. Nothing is drawn.

/// Rows of a matrix of which most entries are 0.
#[derive(Debug, Clone)]
pub struct Sparse {
    n_columns: usize,
    /// Where each row starts in `entries`, and where the last ends.
    starts: Vec<usize>,
    entries: Vec<(u32, f64)>,
}

impl Sparse {
    /// Starts a matrix without rows.
    pub fn new(n_columns: usize) -> Self {
        Self {
            n_columns,
            starts: vec![0],
            entries: Vec::new(),
        }
    }

    /// Adds a row of (column, value).
    ///
    /// # Panics
    /// If a column is not below the number of columns.
    pub fn push_row(&mut self, entries: impl IntoIterator<Item = (u32, f64)>) {
        self.entries.extend(entries);
        let start = self.starts[self.starts.len() - 1];
        assert!(
            self.entries[start..]
                .iter()
                .all(|&(column, _)| (column as usize) < self.n_columns),
            "a column beyond the matrix"
        );
        self.starts.push(self.entries.len());
    }

    /// Returns how many rows there are.
    pub fn n_rows(&self) -> usize {
        self.starts.len() - 1
    }

    fn row(&self, row: usize) -> &[(u32, f64)] {
        &self.entries[self.starts[row]..self.starts[row + 1]]
    }
}

/// A fitted model: the log-odds of a row are `intercept` plus its entries times `weights`.
#[derive(Debug, Clone, PartialEq)]
pub struct Logistic {
    /// One for each column.
    pub weights: Vec<f64>,
    /// The log-odds of a row of zeros.
    pub intercept: f64,
}

impl Logistic {
    /// Returns the log-odds of row `row` being of the positive class.
    pub fn log_odds(&self, rows: &Sparse, row: usize) -> f64 {
        let entries = rows.row(row).iter();
        entries.fold(self.intercept, |sum, &(column, value)| {
            sum + self.weights[column as usize] * value
        })
    }
}

/// The most Newton steps; a dozen is usual.
const MAX_STEPS: usize = 200;
/// The gradient at which a fit is done, per row.
const TOLERANCE: f64 = 1e-10;

/// Fits the rows of `rows` named by `chosen`, of which `labels` says the class.
///
/// Minimises the sum over chosen rows of ln(1 + exp(-y z)) plus `l2` / 2 times the squared length of the weights, with
/// z the log-odds and y = ±1; the intercept is not penalised. `l2` is 1 / C of scikit-learn.
///
/// `None` unless both classes are chosen and `l2` is finite and above 0: there is then no finite optimum.
///
/// # Panics
/// If `chosen` names a row that `rows` or `labels` does not have.
pub fn fit(rows: &Sparse, labels: &[bool], chosen: &[usize], l2: f64) -> Option<Logistic> {
    let n_positive = chosen.iter().filter(|&&row| labels[row]).count();
    if n_positive == 0 || n_positive == chosen.len() || !(l2 > 0.0 && l2.is_finite()) {
        return None;
    }
    let problem = Problem {
        rows,
        labels,
        chosen,
        l2,
    };
    // The last parameter is the intercept, which starts at the log-odds of the classes.
    let mut parameters = vec![0.0; rows.n_columns + 1];
    parameters[rows.n_columns] = (n_positive as f64 / (chosen.len() - n_positive) as f64).ln();
    let mut at = problem.evaluate(&parameters);
    for _ in 0..MAX_STEPS {
        let largest = at
            .gradient
            .iter()
            .fold(0.0_f64, |max, part| max.max(part.abs()));
        if largest <= TOLERANCE * chosen.len() as f64 {
            break;
        }
        let step = problem.newton_step(&at);
        let slope = dot(&at.gradient, &step);
        let mut length = 1.0;
        let next = loop {
            let moved: Vec<f64> = parameters
                .iter()
                .zip(&step)
                .map(|(parameter, step)| parameter + length * step)
                .collect();
            let next = problem.evaluate(&moved);
            if next.objective <= at.objective + 1e-4 * length * slope {
                break Some((moved, next));
            }
            length *= 0.5;
            if length < 1e-10 {
                break None;
            }
        };
        // No step lowers the objective any more: only rounding is left.
        let Some((moved, next)) = next else { break };
        parameters = moved;
        at = next;
    }
    let intercept = parameters.pop()?;
    Some(Logistic {
        weights: parameters,
        intercept,
    })
}

struct Problem<'a> {
    rows: &'a Sparse,
    labels: &'a [bool],
    chosen: &'a [usize],
    l2: f64,
}

/// The objective at some parameters.
struct Point {
    objective: f64,
    gradient: Vec<f64>,
    /// p (1 - p) of every chosen row: its weight in the Hessian.
    curvature: Vec<f64>,
}

impl Problem<'_> {
    fn product(&self, row: usize, vector: &[f64]) -> f64 {
        let entries = self.rows.row(row).iter();
        entries.fold(vector[self.rows.n_columns], |sum, &(column, value)| {
            sum + vector[column as usize] * value
        })
    }

    fn add_row(&self, row: usize, factor: f64, sum: &mut [f64]) {
        for &(column, value) in self.rows.row(row) {
            sum[column as usize] += factor * value;
        }
        sum[self.rows.n_columns] += factor;
    }

    fn evaluate(&self, parameters: &[f64]) -> Point {
        let n_columns = self.rows.n_columns;
        let weights = &parameters[..n_columns];
        let mut objective = 0.5 * self.l2 * dot(weights, weights);
        let mut gradient: Vec<f64> = weights.iter().map(|weight| self.l2 * weight).collect();
        gradient.push(0.0);
        let mut curvature = Vec::with_capacity(self.chosen.len());
        for &row in self.chosen {
            let sign = if self.labels[row] { 1.0 } else { -1.0 };
            let margin = sign * self.product(row, parameters);
            objective += softplus(-margin);
            // 1 / (1 + exp(margin)), without overflow on either side.
            let small = (-margin.abs()).exp();
            let wrong = if margin >= 0.0 {
                small / (1.0 + small)
            } else {
                1.0 / (1.0 + small)
            };
            self.add_row(row, -sign * wrong, &mut gradient);
            curvature.push(wrong * (1.0 - wrong));
        }
        Point {
            objective,
            gradient,
            curvature,
        }
    }

    /// Solves Hessian · step = -gradient by conjugate gradients, preconditioned with the diagonal, as exactly as the
    /// distance from the optimum deserves.
    fn newton_step(&self, at: &Point) -> Vec<f64> {
        let n = at.gradient.len();
        let diagonal = self.diagonal(&at.curvature);
        let mut step = vec![0.0; n];
        let mut residual: Vec<f64> = at.gradient.iter().map(|part| -part).collect();
        let scaled = |residual: &[f64]| -> Vec<f64> {
            residual.iter().zip(&diagonal).map(|(r, d)| r / d).collect()
        };
        let mut z = scaled(&residual);
        let mut direction = z.clone();
        let mut rz = dot(&residual, &z);
        let first = dot(&residual, &residual).sqrt();
        let wanted = first * first.sqrt().min(0.1);
        for _ in 0..2 * n {
            if dot(&residual, &residual).sqrt() <= wanted {
                break;
            }
            let product = self.hessian_times(&at.curvature, &direction);
            let length = rz / dot(&direction, &product);
            if !length.is_finite() {
                break;
            }
            for at in 0..n {
                step[at] += length * direction[at];
                residual[at] -= length * product[at];
            }
            z = scaled(&residual);
            let next = dot(&residual, &z);
            let keep = next / rz;
            rz = next;
            for (direction, z) in direction.iter_mut().zip(&z) {
                *direction = z + keep * *direction;
            }
        }
        step
    }

    fn hessian_times(&self, curvature: &[f64], vector: &[f64]) -> Vec<f64> {
        let n_columns = self.rows.n_columns;
        let mut product: Vec<f64> = vector[..n_columns].iter().map(|v| self.l2 * v).collect();
        product.push(0.0);
        for (&row, curvature) in self.chosen.iter().zip(curvature) {
            let factor = curvature * self.product(row, vector);
            self.add_row(row, factor, &mut product);
        }
        product
    }

    fn diagonal(&self, curvature: &[f64]) -> Vec<f64> {
        let n_columns = self.rows.n_columns;
        let mut diagonal = vec![self.l2; n_columns];
        // So that rows of certainty alone divide by no 0.
        diagonal.push(f64::MIN_POSITIVE);
        for (&row, curvature) in self.chosen.iter().zip(curvature) {
            for &(column, value) in self.rows.row(row) {
                diagonal[column as usize] += curvature * value * value;
            }
            diagonal[n_columns] += curvature;
        }
        diagonal
    }
}

/// Returns ln(1 + exp(x)), without overflow on either side.
pub(super) fn softplus(x: f64) -> f64 {
    (-x.abs()).exp().ln_1p() + x.max(0.0)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
