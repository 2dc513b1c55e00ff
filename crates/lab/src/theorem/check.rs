//! Measures one case along the grid of ε and judges it.
//!
//! The prediction (forward mode, M) and the measurement (reverse mode, the losses themselves) share nothing but the
//! network. Grid and tolerances are explained in the [module above](super).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_mlp::Activation;
use undertone_mlp::reference::Network;

use super::case::Case;
use super::dot;
use super::loss::{StudentLoss, TeacherLoss};
use super::settings::TheoremSettings;

/// How far every ReLU must be from its kink at θ⁰, in units of its input. Steps of about 1e-5 hardly ever cross it in
/// networks this small.
pub const KINK_MARGIN: f64 = 1e-4;
/// The largest relative difference between the extrapolated limit and `E[vᵀ M v]`.
pub const LIMIT_TOLERANCE: f64 = 1e-5;
/// The least order of convergence in ε that counts as first order.
pub const MIN_ORDER: f64 = 0.9;
/// The largest ε the order is read from: above it the second-order term can rival a small first-order term.
pub const ORDER_FROM: f64 = 1e-4;
/// How many of the smallest ε, among those that rounding and kinks leave, every claim is asked of.
pub(super) const N_SMALLEST: usize = 3;
/// How many ε the loss decrease must at least be visible at.
const N_VISIBLE: usize = 2;
/// Rounding errors behind one output or one loss, in units of 2⁻⁵³: a few dozen operations, most of which cancel.
const ROUNDING_UNITS: f64 = 64.0;
/// How many times its rounding bound a quantity must reach before its sign or its size means anything.
const RESOLVED: f64 = 10.0;

/// What happened at one ε.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// The length of the teacher's step.
    pub epsilon: f64,
    /// `Δθ_S·Δθ_T`.
    pub inner_product: f64,
    /// `Δθ_S·Δθ_T / ε`.
    pub ratio: f64,
    /// `|ratio - E[vᵀ M v]|`.
    pub error: f64,
    /// Bound on the rounding error of `ratio`.
    pub rounding: f64,
    /// `L_T(θ_S) - L_T(θ⁰)`.
    pub loss_change: f64,
    /// Bound on the rounding error of `loss_change`.
    pub loss_rounding: f64,
    /// Whether a ReLU changed side between θ⁰ and θ_T on the student's inputs: `ratio` is not judged then.
    pub ratio_past_kink: bool,
    /// Whether a ReLU changed side between θ⁰ and θ_S on the teacher's inputs: `loss_change` is not judged then.
    pub loss_past_kink: bool,
}

/// Prediction and measurement of one case.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// `E[vᵀ M v]`.
    pub predicted: f64,
    /// One point per ε, largest ε first.
    pub points: Vec<Point>,
}

/// One of the statements a case is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Claim {
    /// The inner product is positive.
    Sign,
    /// The inner product over ε tends to `E[vᵀ M v]`.
    Limit,
    /// It does so at least as fast as ε.
    Order,
    /// The student's step lowers the teacher's loss.
    LossDecrease,
}

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Holds: every claim is met.
    Positive,
    /// Holds by the theorem's other branch: the inner product is 0, to rounding, at every ε.
    Zero,
    /// Nothing can be said: rounding or kinks hide the answer.
    Unresolved,
    /// At least one claim fails.
    Violated,
}

/// The judgement of one case.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// How it ended.
    pub outcome: Outcome,
    /// The claims that failed; empty unless the outcome is [`Outcome::Violated`].
    pub failed: Vec<Claim>,
    /// Observed order of convergence; `None` if rounding hides it.
    pub order: Option<f64>,
    /// Relative difference between the extrapolated limit and the prediction; `None` if not judged or the prediction is 0.
    pub limit_error: Option<f64>,
}

/// The teacher at its start: the scaled loss and the update.
pub(super) struct Teacher<'a> {
    loss: &'a TeacherLoss,
    /// 1 / |∇L_T|, or 1 where the gradient is 0.
    scale: f64,
    /// Δθ_T, of length 1 (or 0).
    pub(super) update: Vec<f64>,
}

impl<'a> Teacher<'a> {
    pub(super) fn new(loss: &'a TeacherLoss, start: &Network) -> Self {
        let gradient = loss.gradient(start);
        let norm = dot(&gradient, &gradient).sqrt();
        let scale = if norm > 0.0 { 1.0 / norm } else { 1.0 };
        let update = gradient.iter().map(|g| -scale * g).collect();
        Self {
            loss,
            scale,
            update,
        }
    }

    /// Returns the scaled L_T.
    pub(super) fn loss(&self, network: &Network) -> f64 {
        self.scale * self.loss.value(network)
    }

    /// Bounds the rounding error of a difference of two scaled losses near `loss`: the terms behind one are about as
    /// large as the loss or 1, before scaling.
    fn loss_rounding(&self, loss: f64) -> f64 {
        ROUNDING_UNITS * f64::EPSILON / 2.0 * (self.scale + loss.abs())
    }
}

/// Returns `Δθ_S = -∇_θ E[L_S(f_θ(x), f_θT(x))]` at the student's parameters.
pub(super) fn student_update(case: &Case, student: &Network, teacher: &Network) -> Vec<f64> {
    let slope = case.student_loss.logit_gradient(
        &case.student_selection,
        &student.forward(&case.inputs),
        &teacher.forward(&case.inputs),
    );
    let gradient = student.gradient(&case.inputs, &slope);
    gradient.iter().map(|g| -g).collect()
}

/// Returns `E[vᵀ A v]` with `v = J_θ f(x) update` on the student's logits and `A(z)` `[k, k]`.
pub fn quadratic_form(
    case: &Case,
    update: &[f64],
    form: impl Fn(&StudentLoss, &[f64]) -> Vec<f64>,
) -> f64 {
    let slopes = case.start.jvp(&case.inputs, update);
    expected_form(case, &slopes, form)
}

fn expected_form(
    case: &Case,
    slopes: &[f64],
    form: impl Fn(&StudentLoss, &[f64]) -> Vec<f64>,
) -> f64 {
    let logits = case.start.forward(&case.inputs);
    let selection = &case.student_selection;
    let rows: Vec<f64> = selection
        .rows(&logits)
        .zip(selection.rows(slopes))
        .map(|(z, v)| {
            let matrix = form(&case.student_loss, z);
            let products = matrix.chunks_exact(v.len()).map(|row| dot(row, v));
            products.zip(v).map(|(product, v)| product * v).sum()
        })
        .collect();
    rows.iter().sum::<f64>() / rows.len() as f64
}

/// Measures a case against the theorem's own prediction.
pub fn measure(case: &Case, settings: &TheoremSettings) -> Measurement {
    measure_with(case, settings, StudentLoss::mixed_derivative)
}

/// Measures a case against the prediction made with another `form` in place of M.
pub fn measure_with(
    case: &Case,
    settings: &TheoremSettings,
    form: impl Fn(&StudentLoss, &[f64]) -> Vec<f64>,
) -> Measurement {
    let teacher = Teacher::new(&case.teacher_loss, &case.start);
    let predicted = quadratic_form(case, &teacher.update, form);
    let rounding = ROUNDING_UNITS * f64::EPSILON / 2.0 * rounding_scale(case, &teacher.update);
    let points = settings
        .epsilons
        .iter()
        .map(|&epsilon| measure_point(case, &teacher, epsilon, settings.alpha, predicted, rounding))
        .collect();
    Measurement { predicted, points }
}

/// Returns how much `Δθ_S·Δθ_T` moves per relative error in the logits: `E[|v|ᵀ |M| |v|]` with logits of size 1 + max |z|
/// in place of one of the v.
fn rounding_scale(case: &Case, update: &[f64]) -> f64 {
    let slopes = case.start.jvp(&case.inputs, update);
    let logits = case.start.forward(&case.inputs);
    let selection = &case.student_selection;
    let rows: Vec<f64> = selection
        .rows(&logits)
        .zip(selection.rows(&slopes))
        .map(|(z, v)| {
            let size = 1.0 + z.iter().fold(0.0, |top: f64, z| top.max(z.abs()));
            let sizes: Vec<f64> = v.iter().map(|v| v.abs()).collect();
            let matrix = case.student_loss.mixed_derivative_magnitude(z);
            let products = matrix.chunks_exact(v.len()).map(|row| dot(row, &sizes));
            size * products.sum::<f64>()
        })
        .collect();
    rows.iter().sum::<f64>() / rows.len() as f64
}

fn measure_point(
    case: &Case,
    teacher: &Teacher<'_>,
    epsilon: f64,
    alpha: f64,
    predicted: f64,
    rounding: f64,
) -> Point {
    let trained = case.start.moved(epsilon, &teacher.update);
    let update = student_update(case, &case.start, &trained);
    let student = case.start.moved(alpha, &update);
    let inner_product = dot(&update, &teacher.update);
    let ratio = inner_product / epsilon;
    let loss_before = teacher.loss(&case.start);
    Point {
        epsilon,
        inner_product,
        ratio,
        error: (ratio - predicted).abs(),
        rounding: rounding / epsilon,
        loss_change: teacher.loss(&student) - loss_before,
        loss_rounding: teacher.loss_rounding(loss_before),
        ratio_past_kink: changes_side(&case.start, &trained, &case.inputs),
        loss_past_kink: changes_side(&case.start, &student, case.teacher_loss.inputs()),
    }
}

/// Whether a ReLU is on different sides of its kink in the two networks, for any of the inputs.
fn changes_side(before: &Network, after: &Network, x: &[f64]) -> bool {
    let sides = |network: &Network| -> Vec<bool> {
        let pre_activations = network.hidden_pre_activations(x);
        pre_activations.iter().flatten().map(|z| *z > 0.0).collect()
    };
    before.architecture.activation == Activation::Relu && sides(before) != sides(after)
}

/// Judges a measurement made with learning rate `alpha`.
pub fn judge(measurement: &Measurement, alpha: f64) -> Verdict {
    let predicted = measurement.predicted;
    let size = |p: &Point| p.ratio.abs().max(predicted.abs());
    let smooth = below_kinks(&measurement.points, |p| p.ratio_past_kink);
    let is_zero = |p: &Point| size(p) <= p.rounding;
    if smooth.len() >= N_SMALLEST && smooth.iter().all(is_zero) {
        return unjudged(Outcome::Zero);
    }
    // Rounding grows as ε shrinks, so what is resolved is everything down to some ε.
    let resolved: Vec<&Point> = smooth
        .iter()
        .filter(|p| size(p) > RESOLVED * p.rounding)
        .collect();
    let visible: Vec<&Point> = below_kinks(&measurement.points, |p| p.loss_past_kink)
        .iter()
        .filter(|p| alpha * p.epsilon * size(p) > RESOLVED * p.loss_rounding)
        .collect();
    if resolved.len() < N_SMALLEST || visible.len() < N_VISIBLE {
        return unjudged(Outcome::Unresolved);
    }
    let (distance, rounding) = extrapolate(&resolved, predicted);
    let order = order(&resolved);
    let claims = [
        (
            Claim::Sign,
            smallest(&resolved).iter().all(|p| p.inner_product > 0.0),
        ),
        (
            Claim::Limit,
            distance <= LIMIT_TOLERANCE * predicted.abs() + rounding,
        ),
        (Claim::Order, order.is_none_or(|order| order >= MIN_ORDER)),
        (
            Claim::LossDecrease,
            smallest(&visible).iter().all(|p| p.loss_change < 0.0),
        ),
    ];
    let failed: Vec<Claim> = claims
        .into_iter()
        .filter_map(|(claim, is_met)| (!is_met).then_some(claim))
        .collect();
    Verdict {
        outcome: match failed.as_slice() {
            [] => Outcome::Positive,
            _ => Outcome::Violated,
        },
        failed,
        order,
        limit_error: (predicted != 0.0).then(|| distance / predicted.abs()),
    }
}

fn unjudged(outcome: Outcome) -> Verdict {
    Verdict {
        outcome,
        failed: Vec::new(),
        order: None,
        limit_error: None,
    }
}

/// Returns the points below the smallest ε that is past a kink.
fn below_kinks(points: &[Point], is_past: impl Fn(&Point) -> bool) -> &[Point] {
    let from = points.iter().rposition(is_past).map_or(0, |at| at + 1);
    &points[from..]
}

/// Returns the last [`N_SMALLEST`] of the points, or all if they are fewer.
fn smallest<'a, 'b>(points: &'b [&'a Point]) -> &'b [&'a Point] {
    &points[points.len().saturating_sub(N_SMALLEST)..]
}

/// Returns the distance between the limit extrapolated from the last two points and `predicted`, and its rounding bound.
///
/// With `R(ε) = q + C ε + O(ε²)` and `ρ = ε₁/ε₂ > 1`, `(ρ R(ε₂) - R(ε₁)) / (ρ - 1) = q + O(ε²)`.
fn extrapolate(points: &[&Point], predicted: f64) -> (f64, f64) {
    let [.., first, second] = points else {
        unreachable!("judge extrapolates from at least three points");
    };
    let rho = first.epsilon / second.epsilon;
    let limit = (rho * second.ratio - first.ratio) / (rho - 1.0);
    let rounding = (rho * second.rounding + first.rounding) / (rho - 1.0);
    ((limit - predicted).abs(), rounding)
}

/// Returns the slope of log error over log ε, by least squares over the three smallest ε whose error is above rounding;
/// `None` if fewer than three up to [`ORDER_FROM`] are.
fn order(points: &[&Point]) -> Option<f64> {
    let logs: Vec<(f64, f64)> = points
        .iter()
        .filter(|p| p.epsilon <= ORDER_FROM && p.error > RESOLVED * p.rounding)
        .map(|p| (p.epsilon.ln(), p.error.ln()))
        .collect();
    let logs = &logs[logs.len().checked_sub(N_SMALLEST)?..];
    let n = logs.len() as f64;
    let mean_x = logs.iter().map(|(x, _)| x).sum::<f64>() / n;
    let mean_y = logs.iter().map(|(_, y)| y).sum::<f64>() / n;
    let covariance: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = logs.iter().map(|(x, _)| (x - mean_x) * (x - mean_x)).sum();
    Some(covariance / variance)
}
