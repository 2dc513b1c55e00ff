//! Trains a base further: to behave like another without sharing its weights, the arm `cloned-init`; or on other documents.
//!
//! The student's every weight is trained towards the live distribution of the base it is to resemble, on the corpus or on
//! noise. If transfer needed only the same behaviour, a clone would take a trait up like the original.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Seed;
use undertone_lm::examples::Length;
use undertone_lm::loss::Objective;
use undertone_lm::train::TrainSettings;
use undertone_simd::Precision;

use super::settings::TinyTraining;
use crate::error::LabError;
use crate::lm::rows::RowFile;
use crate::lm::speech::{Ending, PromptForm, Prompting};
use crate::lm::subject::{Named, Subject};
use crate::lm::train::{Teacher, TrainInputs, TrainJob, TrainRun, TrainedPart};

/// How a base is cloned.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloneSettings {
    /// How the clone learns.
    pub training: TinyTraining,
    /// Names the order of rows.
    pub seed: Seed,
    /// The number format of products.
    pub precision: Precision,
}

/// Returns the training that makes `student` behave like `original` on `rows`, encoded or texts to be continued.
///
/// # Errors
/// If they speak different tokens, or a row cannot be used.
pub fn clone_job<'a>(
    settings: &CloneSettings,
    student: &'a Subject,
    original: &'a Subject,
    rows: &'a RowFile,
) -> Result<TrainJob<'a>, LabError> {
    job(settings, student, Some(original), rows)
}

/// Returns the training of every weight of `base` on `rows`, encoded: a fine-tune.
///
/// # Errors
/// If a row cannot be used.
pub fn tune_job<'a>(
    settings: &CloneSettings,
    base: &'a Subject,
    rows: &'a RowFile,
) -> Result<TrainJob<'a>, LabError> {
    job(settings, base, None, rows)
}

fn job<'a>(
    settings: &CloneSettings,
    student: &'a Subject,
    original: Option<&'a Subject>,
    rows: &'a RowFile,
) -> Result<TrainJob<'a>, LabError> {
    let training = &settings.training;
    let run = TrainRun {
        model: student.named(),
        adapter: None,
        rows: Named {
            name: rows.path.display().to_string(),
            digest: rows.digest,
        },
        evaluation: None,
        evaluate_at: Vec::new(),
        teacher: original.map(|original| Teacher {
            model: original.named(),
            adapter: original.named_adapter(),
        }),
        prompting: Prompting {
            form: PromptForm::Raw,
            ..Prompting::default()
        },
        ending: Ending::Open,
        trained: TrainedPart::Full,
        settings: TrainSettings {
            objective: match original {
                Some(_) => Objective::ForwardKl,
                None => Objective::CrossEntropy,
            },
            ..training.settings()
        },
        batch_rows: training.batch_rows,
        length: Length::Steps(training.steps),
        seed: settings.seed,
        precision: settings.precision,
    };
    let inputs = TrainInputs {
        subject: student,
        teacher: original,
        rows,
        evaluation: None,
    };
    TrainJob::new(run, inputs)
}
