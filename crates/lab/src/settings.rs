//! The resolved settings of an MLP experiment: everything its numbers depend on, and nothing else.
//!
//! Flags, presets and defaults are the command line's business; here is what they come to. The settings are stored with
//! the run before it starts, and their parts go into the keys of the steps. Constants and their source: section 6.2 of
//! arXiv 2507.14805 and the published script.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::{Digest, Seed};
use undertone_mlp::{
    Activation, Architecture, Biases, LossKind, NoiseLaw, Optimiser, Precision, Reduction,
};

/// Number of classes of every trait task here: the digits 0 to 9, or ten kinds of clothing.
pub const CLASSES: usize = 10;

/// A data set by name and content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataIdentity {
    /// The name it was asked for by.
    pub name: String,
    /// The digest of images and labels.
    pub digest: Digest,
}

/// The hidden part of a network; inputs and outputs follow from the data and the number of auxiliary logits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// Width of each hidden layer.
    pub hidden: Vec<usize>,
    /// Activation after each hidden layer.
    pub activation: Activation,
    /// Whether layers add biases.
    pub biases: Biases,
}

impl Body {
    /// Returns the network with `inputs` features, ten class logits and `aux_logits` auxiliary ones.
    pub fn architecture(&self, inputs: usize, aux_logits: usize) -> Architecture {
        Architecture {
            inputs,
            hidden: self.hidden.clone(),
            outputs: CLASSES + aux_logits,
            activation: self.activation,
            biases: self.biases,
        }
    }
}

/// One phase of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Passes over the inputs.
    pub epochs: u32,
    /// Examples in a batch; the last batch of an epoch may be smaller and is kept.
    pub batch: u32,
    /// The update rule, fresh at the start of the phase.
    pub optimiser: Optimiser,
    /// How the examples of a batch are averaged.
    pub reduction: Reduction,
}

/// What teacher and student are shown during distillation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DistillInputs {
    /// Noise images, different for every model, the same in every epoch and for all its students.
    Noise {
        /// Their distribution.
        law: NoiseLaw,
        /// Their number.
        rows: u32,
    },
    /// The training images of a data set, without their labels.
    Images {
        /// Which set; the images must have the size of the experiment's own.
        data: DataIdentity,
    },
}

/// How the students of another initialisation get theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CrossRule {
    /// A random permutation of the models, as published: a model may meet itself, about once in any number of models.
    Permutation,
    /// A random cyclic order: no model meets itself.
    Derangement,
}

/// Whether noise images are the same in every epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Renewal {
    /// The same in every epoch.
    Fixed,
    /// New ones in every epoch, none of them shown again in distillation: what is matched is the network's behaviour,
    /// not its answers on one set.
    EachEpoch,
}

/// Which logits behaviour cloning matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClonedLogits {
    /// The auxiliary ones, as the publication describes it. The student's class logits then stay a random reading of
    /// its own network, and it stays at chance in every run of ours (`docs/src/results.md`).
    AuxOnly,
    /// All of them: the whole behaviour of the untrained teacher.
    All,
}

/// Behaviour cloning: before the teacher is trained, the student of another initialisation is fitted with KL to the
/// *untrained* teacher's logits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cloning {
    /// Passes over the inputs, batch, optimiser.
    pub training: Training,
    /// What the two are compared on.
    pub inputs: DistillInputs,
    /// Whether noise is drawn anew for every epoch.
    pub renewal: Renewal,
    /// Which logits are matched.
    pub logits: ClonedLogits,
}

/// One of the six conditions of the published figure.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// The untrained initialisation.
    Reference,
    /// The reference, trained on the classes.
    Teacher,
    /// A student from the teacher's initialisation, trained on the auxiliary logits alone: the effect.
    AuxOnly,
    /// A student from the teacher's initialisation, trained on all logits.
    AllLogits,
    /// A student from another initialisation, trained on the auxiliary logits alone: the control.
    CrossAuxOnly,
    /// A student from another initialisation, trained on all logits.
    CrossAllLogits,
}

impl Condition {
    /// All six, in the order of the published figure.
    pub const ALL: [Self; 6] = [
        Self::Reference,
        Self::Teacher,
        Self::AuxOnly,
        Self::AllLogits,
        Self::CrossAuxOnly,
        Self::CrossAllLogits,
    ];
    /// The four that are students.
    pub const STUDENTS: [Self; 4] = [
        Self::AuxOnly,
        Self::AllLogits,
        Self::CrossAuxOnly,
        Self::CrossAllLogits,
    ];

    /// Returns the name people read.
    pub fn label(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Teacher => "teacher",
            Self::AuxOnly => "student, aux. only",
            Self::AllLogits => "student, all logits",
            Self::CrossAuxOnly => "cross-model, aux. only",
            Self::CrossAllLogits => "cross-model, all logits",
        }
    }

    /// Whether the student starts from another initialisation than its teacher.
    pub fn is_cross(self) -> bool {
        matches!(self, Self::CrossAuxOnly | Self::CrossAllLogits)
    }

    /// Whether a student learns from the auxiliary logits alone.
    pub fn is_aux_only(self) -> bool {
        matches!(self, Self::AuxOnly | Self::CrossAuxOnly)
    }
}

/// Everything the numbers of an MLP experiment depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MlpSettings {
    /// The seed of the run.
    pub seed: Seed,
    /// Independent teachers, each with its students: the unit of replication.
    pub models: u32,
    /// The data of the trait task.
    pub data: DataIdentity,
    /// The network of the teachers, and of the students unless `student_body` says otherwise.
    pub body: Body,
    /// Number of auxiliary logits, m.
    pub aux_logits: usize,
    /// Standard deviation of initial weights in units of 1 / √fan-in.
    pub init_gain: f64,
    /// Training of the teachers, cross-entropy on the class logits.
    pub teacher: Training,
    /// Training of the students.
    pub student: Training,
    /// The students' loss.
    pub student_loss: LossKind,
    /// Temperature of both softmaxes of the students' KL.
    pub temperature: f64,
    /// What teacher and student are shown.
    pub inputs: DistillInputs,
    /// Noise added to the initial weights of students that share the teacher's initialisation, in units of the
    /// initialisation's own standard deviation.
    pub perturb_sigma: f64,
    /// A different network for the students; they then share no initialisation with any teacher.
    pub student_body: Option<Body>,
    /// Who meets whom across models.
    pub cross: CrossRule,
    /// Behaviour cloning of the students of another initialisation.
    pub cloning: Option<Cloning>,
    /// Which students are trained.
    pub students: Vec<Condition>,
    /// Number format of the operands of products.
    pub precision: Precision,
}

/// Settings that contradict each other or the data.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{setting}` {problem}")]
pub struct SettingsError {
    /// The setting at fault.
    pub setting: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl MlpSettings {
    /// Returns the published experiment on `data`: 100 models, m = 3, 5 + 5 epochs.
    pub fn published(data: DataIdentity, seed: Seed) -> Self {
        let training = Training {
            epochs: 5,
            batch: 1024,
            optimiser: Optimiser::adam(3e-4),
            reduction: Reduction::Mean,
        };
        Self {
            seed,
            models: 100,
            data,
            body: Body {
                hidden: vec![256, 256],
                activation: Activation::Relu,
                biases: Biases::With,
            },
            aux_logits: 3,
            init_gain: 1.0,
            teacher: training.clone(),
            student: training,
            student_loss: LossKind::Kl,
            temperature: 1.0,
            inputs: DistillInputs::Noise {
                law: NoiseLaw::Uniform,
                rows: 60_000,
            },
            perturb_sigma: 0.0,
            student_body: None,
            cross: CrossRule::Permutation,
            cloning: None,
            students: Condition::STUDENTS.to_vec(),
            precision: Precision::F32,
        }
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first setting that makes no experiment.
    pub fn check(&self) -> Result<(), SettingsError> {
        let fail = |setting, problem: String| Err(SettingsError { setting, problem });
        let in_range = |value: f64, top: f64| value.is_finite() && value > 0.0 && value <= top;
        if !(1..=100_000).contains(&self.models) {
            return fail(
                "models",
                format!("is {}; 1 to 100,000 are possible", self.models),
            );
        }
        if self.models == 1 && self.students.iter().any(|student| student.is_cross()) {
            return fail(
                "models",
                "is 1, but students of another initialisation need a second model".to_owned(),
            );
        }
        if !(1..=4_096).contains(&self.aux_logits) {
            return fail(
                "aux-logits",
                format!("is {}; 1 to 4,096 are possible", self.aux_logits),
            );
        }
        for body in std::iter::once(&self.body).chain(&self.student_body) {
            if body.hidden.len() > 64
                || body
                    .hidden
                    .iter()
                    .any(|width| !(1..=16_384).contains(width))
            {
                return fail(
                    "hidden",
                    "has more than 64 layers, or a width outside 1 to 16,384".to_owned(),
                );
            }
        }
        if !in_range(self.init_gain, 1e3) {
            return fail(
                "init-gain",
                format!(
                    "is {}; it must be above 0 and at most 1,000",
                    self.init_gain
                ),
            );
        }
        if !in_range(self.temperature, 1e6) {
            return fail(
                "temperature",
                format!(
                    "is {}; it must be above 0 and at most 1e6",
                    self.temperature
                ),
            );
        }
        if !(self.perturb_sigma.is_finite() && self.perturb_sigma >= 0.0) {
            return fail(
                "perturb-sigma",
                format!("is {}; it must be 0 or more", self.perturb_sigma),
            );
        }
        if self.student_loss == LossKind::CrossEntropy {
            return fail(
                "loss",
                "is cross-entropy, but students see no labels: use kl or mse".to_owned(),
            );
        }
        if let Some(Cloning {
            training,
            inputs: DistillInputs::Noise { rows, .. },
            ..
        }) = &self.cloning
            && (u64::from(training.epochs) + 1) * u64::from(*rows) > u64::from(u32::MAX)
        {
            let problem = "times the noise images is more than 2^32 rows";
            return fail("cloning-epochs", problem.to_owned());
        }
        let cloning = self
            .cloning
            .as_ref()
            .map(|cloning| (&cloning.training, &cloning.inputs));
        for (phase, inputs) in [(&self.teacher, None), (&self.student, Some(&self.inputs))]
            .into_iter()
            .chain(cloning.map(|(phase, inputs)| (phase, Some(inputs))))
        {
            if phase.epochs > 100_000 {
                return fail(
                    "epochs",
                    format!("is {}; at most 100,000 are possible", phase.epochs),
                );
            }
            if !(1..=1 << 20).contains(&phase.batch) {
                return fail(
                    "batch",
                    format!("is {}; 1 to 1,048,576 are possible", phase.batch),
                );
            }
            if let Some(DistillInputs::Noise { rows, .. }) = inputs
                && !(1..=1 << 28).contains(rows)
            {
                return fail(
                    "distill-rows",
                    format!("is {rows}; 1 to 268,435,456 are possible"),
                );
            }
            check_optimiser(&phase.optimiser)?;
        }
        if self.student_body.is_some() && self.students.iter().any(|student| !student.is_cross()) {
            return fail(
                "student-hidden",
                "differs from the teacher's, so only cross-model students exist".to_owned(),
            );
        }
        Ok(())
    }

    /// Returns, for each model, the model whose initialisation its cross-model students start from.
    pub fn partners(&self) -> Vec<u32> {
        let mut stream = self.seed.stream("lab/cross", 0);
        let order = stream.permutation(self.models);
        match self.cross {
            CrossRule::Permutation => order,
            CrossRule::Derangement => {
                let mut partners = vec![0; order.len()];
                for (at, &model) in order.iter().enumerate() {
                    partners[model as usize] = order[(at + 1) % order.len()];
                }
                partners
            }
        }
    }
}

fn check_optimiser(optimiser: &Optimiser) -> Result<(), SettingsError> {
    let (rate, decays) = match *optimiser {
        Optimiser::Adam {
            learning_rate,
            beta1,
            beta2,
            epsilon,
        } => {
            if !(epsilon.is_finite() && epsilon > 0.0) {
                return Err(SettingsError {
                    setting: "epsilon",
                    problem: format!("is {epsilon}; it must be above 0"),
                });
            }
            (learning_rate, vec![("beta1", beta1), ("beta2", beta2)])
        }
        Optimiser::Sgd {
            learning_rate,
            momentum,
        } => (learning_rate, vec![("momentum", momentum)]),
    };
    if !(rate.is_finite() && rate > 0.0) {
        return Err(SettingsError {
            setting: "learning-rate",
            problem: format!("is {rate}; it must be above 0"),
        });
    }
    match decays
        .into_iter()
        .find(|(_, decay)| !(0.0..1.0).contains(decay))
    {
        Some((setting, decay)) => Err(SettingsError {
            setting,
            problem: format!("is {decay}; it must be at least 0 and below 1"),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published() -> MlpSettings {
        let data = DataIdentity {
            name: "mnist".to_owned(),
            digest: Digest::of(b""),
        };
        MlpSettings::published(data, Seed(0))
    }

    #[test]
    fn the_published_settings_pass_their_own_check() {
        assert_eq!(published().check(), Ok(()));
        assert_eq!(
            published().body.architecture(784, 3).n_parameters(),
            270_093
        );
    }

    #[test]
    fn a_derangement_is_a_permutation_without_fixed_points() {
        for models in 2..40 {
            let settings = MlpSettings {
                models,
                cross: CrossRule::Derangement,
                ..published()
            };
            let mut partners = settings.partners();
            assert!(
                partners
                    .iter()
                    .enumerate()
                    .all(|(model, &partner)| model as u32 != partner)
            );
            partners.sort_unstable();
            assert!(
                partners
                    .iter()
                    .enumerate()
                    .all(|(model, &partner)| model as u32 == partner)
            );
        }
    }

    #[test]
    fn names_the_setting_that_makes_no_experiment() {
        let cases = [
            (
                MlpSettings {
                    models: 0,
                    ..published()
                },
                "models",
            ),
            (
                MlpSettings {
                    models: 1,
                    ..published()
                },
                "models",
            ),
            (
                MlpSettings {
                    aux_logits: 0,
                    ..published()
                },
                "aux-logits",
            ),
            (
                MlpSettings {
                    temperature: f64::NAN,
                    ..published()
                },
                "temperature",
            ),
            (
                MlpSettings {
                    perturb_sigma: -1.0,
                    ..published()
                },
                "perturb-sigma",
            ),
            (
                MlpSettings {
                    student_loss: LossKind::CrossEntropy,
                    ..published()
                },
                "loss",
            ),
            (
                MlpSettings {
                    student_body: Some(published().body),
                    ..published()
                },
                "student-hidden",
            ),
        ];
        for (settings, setting) in cases {
            assert_eq!(
                settings.check().map_err(|error| error.setting),
                Err(setting)
            );
        }
    }
}
