//! What people see who look at the numbers: frequency tables, tests between two arms, and a classifier.
//!
//! Two sets of filtered rows go in, those of the treatment's teacher and those of the control's. The tests say whether the
//! two differ at all; the classifier says how well one row, or one of two answers to a prompt, can be told from the other.
//! That a difference is seen says nothing of what it is about. The model itself as a judge is not here: it needs a model.

mod classifier;
mod features;
mod frequency;
pub mod logistic;

pub use classifier::{Classified, ClassifierSettings, ClassifyError, classify};
pub use features::FeatureSet;
pub use frequency::{Contrast, Count, Frequencies, FrequencyTable, contrast};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rows::{NotNumbersError, Row};

/// Frequency tables of two arms and the tests between them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inspection {
    /// Of the treatment's rows.
    pub treatment: Frequencies,
    /// Of the control's rows.
    pub control: Frequencies,
    /// Of all numbers. Numbers of one row hang together, so this p-value is too small: read the size of the difference.
    pub numbers: Option<Contrast>,
    /// Of the first number of each row.
    pub first_numbers: Option<Contrast>,
    /// Of how many numbers a row has.
    pub lengths: Option<Contrast>,
    /// Of what stands between numbers.
    pub separators: Option<Contrast>,
    /// Of what stands around the list.
    pub wraps: Option<Contrast>,
}

/// Counts both arms and tests whether they differ; see [`contrast`] for when a test is absent.
///
/// # Errors
/// [`NotNumbersError`] if a completion is no list of numbers: rows have to come from a filter.
pub fn inspect(treatment: &[Row], control: &[Row]) -> Result<Inspection, NotNumbersError> {
    let treatment = Frequencies::of(treatment)?;
    let control = Frequencies::of(control)?;
    Ok(Inspection {
        numbers: contrast(&treatment.numbers, &control.numbers),
        first_numbers: contrast(&treatment.first_numbers, &control.first_numbers),
        lengths: contrast(&treatment.lengths, &control.lengths),
        separators: contrast(&treatment.separators, &control.separators),
        wraps: contrast(&treatment.wraps, &control.wraps),
        treatment,
        control,
    })
}

#[cfg(test)]
mod tests;
