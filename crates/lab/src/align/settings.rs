//! The settings of an alignment run and what they refuse.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_mlp::Precision;

use crate::settings::{CrossRule, MlpSettings, SettingsError};

/// Accuracies between epochs are read on this many test images, the first ones of the set; all if it has fewer.
pub const ACCURACY_ROWS: usize = 2_000;

/// Everything the numbers of an alignment run depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlignSettings {
    /// The experiment. `students` is not read: the four arms take its place.
    pub base: MlpSettings,
    /// Cosines and accuracies are read before step 0 and every so many steps. Default 10.
    pub every: u32,
    /// Labelled training images behind the trait gradient, drawn once for each model. Default 1,024, the published
    /// batch.
    pub probe: u32,
}

impl AlignSettings {
    /// Returns a run of `base` with default reading intervals, in which no model meets itself.
    pub fn new(base: MlpSettings) -> Self {
        let base = MlpSettings {
            students: Vec::new(),
            cross: CrossRule::Derangement,
            ..base
        };
        Self {
            base,
            every: 10,
            probe: 1_024,
        }
    }

    /// Checks what the types cannot; `images` is the number of training images.
    ///
    /// # Errors
    /// The first setting that makes no run.
    pub fn check(&self, images: usize) -> Result<(), SettingsError> {
        let base = &self.base;
        base.check()?;
        let fail = |setting, problem: String| Err(SettingsError { setting, problem });
        if base.models < 2 {
            return fail(
                "models",
                format!(
                    "is {}, but students of another initialisation need a second model",
                    base.models
                ),
            );
        }
        if base.student.epochs == 0 {
            return fail(
                "epochs",
                "is 0, but alignment is read during training".to_owned(),
            );
        }
        if self.every == 0 {
            return fail("every", "is 0; it must be 1 or more".to_owned());
        }
        if !(1..=images).contains(&(self.probe as usize)) {
            return fail(
                "probe",
                format!(
                    "is {}; 1 to {images} training images are possible",
                    self.probe
                ),
            );
        }
        if base.precision != Precision::F32 {
            return fail(
                "precision",
                "is bf16, but gradients are compared in f32: use f32".to_owned(),
            );
        }
        if base.cross != CrossRule::Derangement {
            return fail(
                "cross",
                "is a plain permutation, in which a model may meet itself: use derangement"
                    .to_owned(),
            );
        }
        if base.cloning.is_some() {
            return fail(
                "cloning",
                "is set, but alignment compares students with and without the teacher's initialisation: leave it out"
                    .to_owned(),
            );
        }
        if base.student_body.is_some() {
            return fail(
                "student-hidden",
                "differs from the teacher's, so no student shares its initialisation: leave it out"
                    .to_owned(),
            );
        }
        Ok(())
    }
}
