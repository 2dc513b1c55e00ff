//! The same case with a teacher that starts elsewhere: what the theorem does *not* promise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::case::Case;
use super::check::{Teacher, student_update};
use super::dot;
use super::settings::TheoremSettings;

/// One case with different initialisations of teacher and student.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contrast {
    /// `Δθ_S·Δθ_T` if the student imitates the teacher before any training (ε = 0): the leading term.
    pub untrained_inner_product: f64,
    /// `Δθ_S·Δθ_T` at the smallest ε.
    pub inner_product: f64,
    /// The cosine between the two updates at the smallest ε; `None` if one of them is 0.
    pub cosine: Option<f64>,
    /// `L_T(θ_S) - L_T(θ⁰_S)` at the smallest ε.
    pub loss_change: f64,
}

/// Lets the case's student imitate a teacher that started at the case's other parameters.
///
/// L_T is divided by its gradient norm at the teacher's start; the update it gives is the teacher's.
pub fn contrast(case: &Case, settings: &TheoremSettings) -> Contrast {
    let teacher = Teacher::new(&case.teacher_loss, &case.other_start);
    let smallest = settings
        .epsilons
        .last()
        .copied()
        .expect("validated settings have at least three step lengths");
    let trained = case.other_start.moved(smallest, &teacher.update);
    let update = student_update(case, &case.start, &trained);
    let untrained = student_update(case, &case.start, &case.other_start);
    let student = case.start.moved(settings.alpha, &update);
    let inner_product = dot(&update, &teacher.update);
    let norms = (dot(&update, &update) * dot(&teacher.update, &teacher.update)).sqrt();
    Contrast {
        untrained_inner_product: dot(&untrained, &teacher.update),
        inner_product,
        cosine: (norms > 0.0).then(|| inner_product / norms),
        loss_change: teacher.loss(&student) - teacher.loss(&case.start),
    }
}
