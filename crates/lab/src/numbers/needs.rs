//! How much memory the steps of an experiment need, from sizes.

use undertone_lm::config::ModelConfig;
use undertone_lm::loss::Objective;

use super::settings::{FitPart, TeacherKind};
use super::source::BATCH;
use super::world::World;
use crate::lm::memory::{Guiding, Packing, sampling, scoring, training, weights};
use crate::lm::train::Means;

/// Bytes of memory of the largest step of a kind, whichever model it is about.
pub(super) struct Needs {
    /// Of loading a model, letting it write and asking it.
    pub(super) forward: usize,
    /// Of training a student and reading it.
    pub(super) student: usize,
}

impl World<'_> {
    /// Returns what steps need whose longest sequence has `longest` tokens, those of students' rows `longest_row`.
    pub(super) fn needs(&self, longest: usize, longest_row: usize, means: Means<'_>) -> Needs {
        let of = |need: &dyn Fn(&ModelConfig) -> usize| {
            let all = self.starts().map(|subject| need(subject.open.config()));
            all.max().expect("students start from the base at least")
        };
        Needs {
            forward: of(&|config| self.to_ask(config, longest, means.threads)),
            student: of(&|config| self.to_train(config, longest_row, means)),
        }
    }

    fn to_ask(&self, config: &ModelConfig, longest: usize, threads: usize) -> usize {
        let settings = self.settings;
        let in_format = |format| {
            let writing = sampling(config, format, BATCH, longest, threads).total;
            writing.max(scoring(config, format, longest, threads).total)
        };
        let forward = in_format(settings.experiment.precision)
            .max(in_format(settings.experiment.readout_precision));
        let teacher = match settings.teacher.kind {
            TeacherKind::Prompt => None,
            TeacherKind::FineTune | TeacherKind::Both => Some(&settings.teacher_training),
        };
        let mut trained = teacher.into_iter().chain([&settings.student_training]);
        if !trained.any(|fit| fit.part == FitPart::Full) {
            return forward;
        }
        // A model that was trained as a whole is read as bytes, as one list and as tensors; these stay when it is packed.
        let model = 4 * config.parameters() as usize;
        (forward + model).max(3 * model)
    }

    fn to_train(&self, config: &ModelConfig, longest: usize, means: Means<'_>) -> usize {
        let (settings, fit) = (self.settings, &self.settings.student_training);
        let (format, asked_in) = (
            settings.experiment.precision,
            settings.experiment.readout_precision,
        );
        let memory = training(
            config,
            format,
            fit.trained().trainable(),
            Guiding::default(),
            &fit.settings(Objective::CrossEntropy).optimiser,
            means.kept_bytes,
            longest,
            means.threads,
        );
        // In another number format, another model answers.
        let reader = match asked_in == format {
            true => 0,
            false => weights(config, asked_in, Packing::Forward),
        };
        memory.total + reader
    }
}
