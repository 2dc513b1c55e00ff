//! What training minimises, as a function of the parameters, and its slopes.

use super::model::{Parameter, ReferenceModel};
use crate::examples::{TrainingRow, completion_tokens};
use crate::loss::{self, Objective, PositionLoss};

/// Step of the differences, a power of two: the five-point formula's own error falls with its fourth power, rounding
/// grows with its inverse; at this one both are about 1e-11 for the models of our tests.
const STEP: f64 = 1.0 / 4096.0;

/// Returns the loss of a step: the mean over all completion tokens of `rows`, in nats.
///
/// `to_base` adds the KL to a frozen base with a weight ([`loss::BaseKl`]).
///
/// # Panics
/// If there are no rows, or soft labels are wanted and a row has none.
pub fn mean_loss(
    model: &ReferenceModel,
    rows: &[TrainingRow],
    objective: Objective,
    to_base: Option<(&ReferenceModel, f64)>,
) -> f64 {
    let mut sum = 0.0;
    for row in rows {
        let logits = model.logits(row.tokens());
        let base_logits = to_base.map(|(base, weight)| (base.logits(row.tokens()), weight));
        for (place, position) in row.positions().enumerate() {
            sum += position_loss(row, place, &logits[position], objective).value;
            if let Some((base_logits, weight)) = &base_logits {
                let near = loss::kl_to_base(&logits[position], &base_logits[position]);
                sum += weight * near.value;
            }
        }
    }
    let tokens = completion_tokens(rows);
    assert!(tokens > 0, "a mean over no completion tokens");
    sum / tokens as f64
}

/// Returns the objective at completion position `place` of `row`, given the logits that predict it.
///
/// # Panics
/// If soft labels are wanted and the row has none.
pub fn position_loss(
    row: &TrainingRow,
    place: usize,
    logits: &[f64],
    objective: Objective,
) -> PositionLoss {
    let soft = || {
        row.soft()
            .expect("the objective needs soft labels, and its rows have them")
            .at(place)
    };
    match objective {
        Objective::CrossEntropy => loss::cross_entropy(logits, row.completion()[place]),
        Objective::ForwardKl => {
            let (ids, log_probabilities) = soft();
            loss::forward_kl(logits, ids, log_probabilities)
        }
        Objective::ReverseKl => {
            let (ids, log_probabilities) = soft();
            loss::reverse_kl(logits, ids, log_probabilities)
        }
    }
}

/// Returns the derivative of `loss` with respect to one value of `parameter`, by central differences over five points.
///
/// The model is left as it was. Absolute error about 1e-11 for losses and slopes of order 1.
///
/// # Panics
/// If the model does not have the parameter, or that many values in it.
pub fn slope(
    model: &mut ReferenceModel,
    parameter: Parameter,
    index: usize,
    loss: impl Fn(&ReferenceModel) -> f64,
) -> f64 {
    let centre = model.values(parameter)[index];
    let mut at = |steps: f64| {
        model.values_mut(parameter)[index] = centre + steps * STEP;
        loss(model)
    };
    let near = at(1.0) - at(-1.0);
    let far = at(2.0) - at(-2.0);
    model.values_mut(parameter)[index] = centre;
    (8.0 * near - far) / (12.0 * STEP)
}
