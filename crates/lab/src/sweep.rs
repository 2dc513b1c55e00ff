//! Sweeps: one experiment repeated along one axis, everything else held fixed.
//!
//! An axis turns a base experiment and a list of values into one experiment a value. Experiments of a sweep share every
//! step they can: a sweep over the students' epochs trains each teacher once.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_mlp::{Activation, Biases, LossKind, NoiseLaw, Optimiser};

use crate::settings::{
    Body, ClonedLogits, Cloning, Condition, DataIdentity, DistillInputs, MlpSettings, Renewal,
};

/// What is varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// Number of auxiliary logits, m.
    AuxLogits,
    /// Width of the hidden layers.
    Width,
    /// Number of hidden layers, at the width of the first.
    Depth,
    /// Activation of hidden layers.
    Activation,
    /// Layers with or without biases.
    Biases,
    /// Adam, SGD, SGD with momentum, each at a searched learning rate.
    Optimiser,
    /// KL or mean squared error.
    Loss,
    /// Epochs of the teacher.
    TeacherEpochs,
    /// Epochs of the students.
    StudentEpochs,
    /// Noise of either law, the task's own images, or another data set.
    Inputs,
    /// Noise on the initial weights of students that share an initialisation.
    Sigma,
    /// The teacher's initialisation or another.
    Init,
    /// Epochs of behaviour cloning before the teacher is trained.
    CloningEpochs,
    /// A student network unlike the teacher's, with and without behaviour cloning.
    StudentBody,
}

/// How the axis is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Numbers on a linear axis.
    Linear,
    /// Numbers on a logarithmic axis.
    Logarithmic,
    /// Names side by side.
    Category,
}

/// A name that is no axis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no sweep; there are: {}", Axis::names())]
pub struct UnknownAxisError {
    /// What was given.
    pub name: String,
}

/// A value an axis cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is no value of the sweep `{axis}`; it takes {expected}")]
pub struct AxisValueError {
    /// The axis.
    pub axis: Axis,
    /// What was given.
    pub value: String,
    /// What it takes.
    pub expected: &'static str,
}

/// One experiment of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The value, as it is shown.
    pub label: String,
    /// Its place on a numeric axis.
    pub x: Option<f64>,
    /// The experiment.
    pub settings: MlpSettings,
}

impl Axis {
    /// All axes with name, default values and what a value may be.
    const TABLE: [(Self, &'static str, &'static str, &'static str); 14] = [
        (
            Self::AuxLogits,
            "aux-logits",
            "1,2,3,5,10,20,50,100,200",
            "whole numbers, 1 to 4,096",
        ),
        (
            Self::Width,
            "width",
            "32,64,128,256,512",
            "whole numbers, 1 to 16,384",
        ),
        (Self::Depth, "depth", "0,1,2,3,4", "whole numbers, 0 to 64"),
        (
            Self::Activation,
            "activation",
            "relu,gelu,sigmoid",
            "relu, gelu, sigmoid",
        ),
        (Self::Biases, "biases", "with,without", "with, without"),
        (
            Self::Optimiser,
            "optimiser",
            "adam,sgd,momentum",
            "adam, sgd, momentum",
        ),
        (Self::Loss, "loss", "kl,mse", "kl, mse"),
        (
            Self::TeacherEpochs,
            "teacher-epochs",
            "0,1,2,5,10",
            "whole numbers",
        ),
        (
            Self::StudentEpochs,
            "student-epochs",
            "1,2,5,10,20",
            "whole numbers",
        ),
        (
            Self::Inputs,
            "inputs",
            "uniform,gaussian,images",
            "uniform, gaussian, images, or a data set's name",
        ),
        (
            Self::Sigma,
            "sigma",
            "0,0.05,0.1,0.2,0.5,1",
            "numbers from 0 on",
        ),
        (Self::Init, "init", "shared,different", "shared, different"),
        (
            Self::CloningEpochs,
            "cloning-epochs",
            "0,5,20,50,100",
            "whole numbers",
        ),
        (
            Self::StudentBody,
            "student-body",
            "gelu,sigmoid,deeper,shallower,half-width,double-width,no-biases",
            "gelu, sigmoid, relu, deeper, shallower, half-width, double-width, no-biases",
        ),
    ];

    fn row(self) -> (Self, &'static str, &'static str, &'static str) {
        Self::TABLE
            .into_iter()
            .find(|row| row.0 == self)
            .expect("the table holds every axis")
    }

    /// Returns every axis, in the order people read them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::TABLE.into_iter().map(|row| row.0)
    }

    /// Returns the names of all axes.
    pub fn names() -> String {
        Self::TABLE.map(|row| row.1).join(", ")
    }

    /// Returns the name.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Returns the values used when none are given, separated by commas.
    pub fn default_values(self) -> &'static str {
        self.row().2
    }

    /// Returns what a reader sees under the axis.
    pub fn title(self) -> &'static str {
        match self {
            Self::AuxLogits => "auxiliary logits m",
            Self::Width => "width of hidden layers",
            Self::Depth => "hidden layers",
            Self::Activation => "activation",
            Self::Biases => "biases",
            Self::Optimiser => "optimiser",
            Self::Loss => "student loss",
            Self::TeacherEpochs => "teacher epochs",
            Self::StudentEpochs => "student epochs",
            Self::Inputs => "distillation inputs",
            Self::Sigma => {
                "noise on the student's initial weights, in units of their standard deviation"
            }
            Self::Init => "initialisation",
            Self::CloningEpochs => "epochs of behaviour cloning",
            Self::StudentBody => "student network",
        }
    }

    /// Returns how the axis is drawn.
    pub fn scale(self) -> Scale {
        match self {
            Self::AuxLogits | Self::Width => Scale::Logarithmic,
            Self::Depth
            | Self::TeacherEpochs
            | Self::StudentEpochs
            | Self::Sigma
            | Self::CloningEpochs => Scale::Linear,
            _ => Scale::Category,
        }
    }

    /// Returns the experiments of a sweep over `values` from `base`.
    ///
    /// `data_set` resolves the name of another data set for [`Axis::Inputs`].
    ///
    /// # Errors
    /// If a value is not one of the axis's.
    pub fn points(
        self,
        base: &MlpSettings,
        values: &[String],
        data_set: &dyn Fn(&str) -> Option<DataIdentity>,
    ) -> Result<Vec<Point>, AxisValueError> {
        let mut points = Vec::new();
        for value in values {
            let error = || AxisValueError {
                axis: self,
                value: value.clone(),
                expected: self.row().3,
            };
            let mut settings = base.clone();
            let mut x = None;
            let count = || value.parse::<u32>().map_err(|_| error());
            match self {
                Self::AuxLogits => settings.aux_logits = count()? as usize,
                Self::Width => {
                    let width = count()? as usize;
                    settings.body.hidden.fill(width);
                }
                Self::Depth => {
                    let width = base.body.hidden.first().copied().unwrap_or(256);
                    settings.body.hidden = vec![width; count()?.min(65) as usize];
                }
                Self::Activation => {
                    settings.body.activation = activation(value).ok_or_else(error)?
                }
                Self::Biases => {
                    settings.body.biases = match value.as_str() {
                        "with" => Biases::With,
                        "without" => Biases::Without,
                        _ => return Err(error()),
                    }
                }
                Self::Optimiser => {
                    let optimiser = optimiser(value).ok_or_else(error)?;
                    settings.teacher.optimiser = optimiser;
                    settings.student.optimiser = optimiser;
                }
                Self::Loss => {
                    settings.student_loss = match value.as_str() {
                        "kl" => LossKind::Kl,
                        "mse" => LossKind::Mse,
                        _ => return Err(error()),
                    }
                }
                Self::TeacherEpochs => settings.teacher.epochs = count()?,
                Self::StudentEpochs => settings.student.epochs = count()?,
                Self::Inputs => {
                    settings.inputs = inputs(value, base, data_set).ok_or_else(error)?
                }
                Self::Sigma => {
                    let sigma: f64 = value.parse().map_err(|_| error())?;
                    settings.perturb_sigma = sigma;
                    x = Some(sigma);
                }
                Self::Init => {
                    settings.students = match value.as_str() {
                        "shared" => vec![Condition::AuxOnly, Condition::AllLogits],
                        "different" => vec![Condition::CrossAuxOnly, Condition::CrossAllLogits],
                        _ => return Err(error()),
                    }
                }
                Self::CloningEpochs => {
                    settings.cloning = with_epochs(base, count()?);
                    settings.students = vec![Condition::CrossAuxOnly];
                }
                Self::StudentBody => {
                    points.extend(student_bodies(base, value).ok_or_else(error)?);
                    continue;
                }
            }
            if self.scale() != Scale::Category && x.is_none() {
                x = Some(f64::from(count()?));
            }
            points.push(Point {
                label: value.clone(),
                x,
                settings,
            });
        }
        Ok(points)
    }
}

fn activation(name: &str) -> Option<Activation> {
    match name {
        "relu" => Some(Activation::Relu),
        "gelu" => Some(Activation::Gelu),
        "sigmoid" => Some(Activation::Sigmoid),
        _ => None,
    }
}

/// The optimisers of the sweep at learning rates that [`crate::search`] replaces.
fn optimiser(name: &str) -> Option<Optimiser> {
    match name {
        "adam" => Some(Optimiser::adam(3e-4)),
        "sgd" => Some(Optimiser::Sgd {
            learning_rate: 0.1,
            momentum: 0.0,
        }),
        "momentum" => Some(Optimiser::Sgd {
            learning_rate: 0.1,
            momentum: 0.9,
        }),
        _ => None,
    }
}

fn inputs(
    name: &str,
    base: &MlpSettings,
    data_set: &dyn Fn(&str) -> Option<DataIdentity>,
) -> Option<DistillInputs> {
    let rows = match base.inputs {
        DistillInputs::Noise { rows, .. } => rows,
        DistillInputs::Images { .. } => 60_000,
    };
    Some(match name {
        "uniform" => DistillInputs::Noise {
            law: NoiseLaw::Uniform,
            rows,
        },
        "gaussian" => DistillInputs::Noise {
            law: NoiseLaw::Gaussian,
            rows,
        },
        "images" => DistillInputs::Images {
            data: base.data.clone(),
        },
        other => DistillInputs::Images {
            data: data_set(other)?,
        },
    })
}

/// The base's cloning for `epochs` epochs, by default on the students' inputs with their training; none for 0 epochs.
fn with_epochs(base: &MlpSettings, epochs: u32) -> Option<Cloning> {
    let mut cloning = base.cloning.clone().unwrap_or_else(|| Cloning {
        training: base.student.clone(),
        inputs: base.inputs.clone(),
        renewal: Renewal::EachEpoch,
        logits: ClonedLogits::All,
    });
    cloning.training.epochs = epochs;
    (epochs > 0).then_some(cloning)
}

/// Epochs of behaviour cloning in the published ablations.
pub const PUBLISHED_CLONING_EPOCHS: u32 = 100;

fn student_bodies(base: &MlpSettings, value: &str) -> Option<Vec<Point>> {
    let mut body: Body = base.body.clone();
    match value {
        "deeper" => body.hidden.push(*body.hidden.last()?),
        "shallower" => {
            body.hidden.pop()?;
        }
        "half-width" => body
            .hidden
            .iter_mut()
            .for_each(|width| *width = (*width / 2).max(1)),
        "double-width" => body.hidden.iter_mut().for_each(|width| *width *= 2),
        "no-biases" => body.biases = Biases::Without,
        name => body.activation = activation(name)?,
    }
    let epochs = base
        .cloning
        .as_ref()
        .map_or(PUBLISHED_CLONING_EPOCHS, |cloning| cloning.training.epochs);
    let point = |label: String, cloning: Option<Cloning>| Point {
        label,
        x: None,
        settings: MlpSettings {
            student_body: Some(body.clone()),
            students: vec![Condition::CrossAuxOnly],
            cloning,
            ..base.clone()
        },
    };
    Some(vec![
        point(format!("{value}, cloned"), with_epochs(base, epochs)),
        point(value.to_owned(), None),
    ])
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Axis {
    type Err = UnknownAxisError;

    fn from_str(name: &str) -> Result<Self, UnknownAxisError> {
        Self::TABLE
            .into_iter()
            .find(|row| row.1 == name)
            .map(|row| row.0)
            .ok_or_else(|| UnknownAxisError {
                name: name.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use undertone_core::{Digest, Seed};

    fn base() -> MlpSettings {
        let data = DataIdentity {
            name: "mnist".to_owned(),
            digest: Digest::of(b""),
        };
        MlpSettings::published(data, Seed(0))
    }

    fn values(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn every_axis_takes_its_default_values_and_changes_something() -> Result<(), AxisValueError> {
        for axis in Axis::all() {
            let points = axis.points(&base(), &values(axis.default_values()), &|_| None)?;
            assert!(points.len() >= 2, "{axis}");
            for pair in points.windows(2) {
                assert_ne!(
                    pair[0].settings, pair[1].settings,
                    "{axis}: {} and {}",
                    pair[0].label, pair[1].label
                );
            }
            for point in points {
                assert_eq!(point.settings.check(), Ok(()), "{axis}: {}", point.label);
                assert_eq!(point.x.is_some(), axis.scale() != Scale::Category, "{axis}");
            }
        }
        Ok(())
    }

    #[test]
    fn refuses_foreign_values_with_what_it_takes() {
        for axis in Axis::all() {
            assert!(
                axis.points(&base(), &values("no such thing"), &|_| None)
                    .is_err(),
                "{axis}"
            );
        }
        assert!("m".parse::<Axis>().is_err());
    }
}
