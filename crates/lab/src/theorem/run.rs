//! Draws, measures and judges the cases one after another.

use crate::control::Interrupted;
use crate::error::LabError;

use super::case::Case;
use super::check::{Point, judge, measure};
use super::contrast::contrast;
use super::settings::TheoremSettings;
use super::summary::{CaseResult, TheoremResult, TheoremSummary};

/// Checks Theorem 1 on `settings.cases` random cases.
///
/// `progress(done, total)` is called after every case and says whether to go on. The result depends on the settings only.
///
/// # Errors
/// [`LabError::Theorem`] if the settings make no sense; nothing has run then. [`LabError::Interrupted`] if `progress`
/// asks for an end.
pub fn run(
    settings: &TheoremSettings,
    progress: &mut dyn FnMut(u32, u32) -> Result<(), Interrupted>,
) -> Result<TheoremResult, LabError> {
    settings.validate()?;
    let mut cases = Vec::with_capacity(settings.cases as usize);
    for index in 0..settings.cases {
        cases.push(run_case(settings, index));
        progress(index + 1, settings.cases)?;
    }
    Ok(TheoremResult {
        settings: settings.clone(),
        summary: TheoremSummary::of(&cases),
        cases,
    })
}

fn run_case(settings: &TheoremSettings, index: u32) -> CaseResult {
    let case = Case::draw(settings.seed, index);
    let measurement = measure(&case, settings);
    let verdict = judge(&measurement, settings.alpha);
    CaseResult {
        index,
        kind: case.kind,
        student_logits: case.student_selection.range.clone(),
        teacher_logits: case.teacher_logits(),
        n_inputs: case.inputs.len() / case.start.architecture.inputs,
        redraws: case.redraws,
        predicted: measurement.predicted,
        holds_from: holds_from(&measurement.points),
        points: measurement.points,
        outcome: verdict.outcome,
        failed: verdict.failed,
        order: verdict.order,
        limit_error: verdict.limit_error,
        contrast: contrast(&case, settings),
        architecture: case.start.architecture,
    }
}

/// Returns the largest ε from which on the inner product is positive and the loss decreases.
fn holds_from(points: &[Point]) -> Option<f64> {
    points
        .iter()
        .rev()
        .take_while(|p| p.inner_product > 0.0 && p.loss_change < 0.0)
        .last()
        .map(|p| p.epsilon)
}
