//! Draws one random instance of the theorem's setting.
//!
//! The five kinds below are not drawn but walked through, so that [`COMBINATIONS`] cases in a row hold each combination
//! once; everything else (widths, depth, biases, parameters, inputs, labels, weights) is random. Every part has a named
//! stream of its own, indexed by the case.

use std::fmt;
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::{Seed, Stream};
use undertone_mlp::reference::{Network, Selection};
use undertone_mlp::{Activation, Architecture, Biases};

use super::check::KINK_MARGIN;
use super::loss::{Objective, StudentLoss, TeacherLoss};

/// How the student's outputs are compared with the teacher's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StudentLossKind {
    /// Squared error with random non-negative weights, some of them 0.
    SquaredError,
    /// Softmax cross-entropy with the teacher's softmax as the target.
    CrossEntropy,
}

impl fmt::Display for StudentLossKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SquaredError => "squared error",
            Self::CrossEntropy => "cross-entropy",
        })
    }
}

/// Which logits the student imitates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StudentLogits {
    /// Class and auxiliary logits.
    All,
    /// Two to four auxiliary logits.
    Auxiliary,
    /// The only auxiliary logit. Under cross-entropy, a softmax over one logit is constant: the inner product is 0.
    SingleAuxiliary,
}

/// The family of the teacher's loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TeacherLossKind {
    /// Cross-entropy on random labels.
    CrossEntropy,
    /// Squared error to random targets.
    SquaredError,
    /// A random linear functional of the logits, squashed by `s / √(1 + s²)`.
    Squashed,
    /// Half the squared distance of the parameters to a random point.
    Parameters,
}

/// The distribution D of the student's inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InputKind {
    /// Uniform on [-1, 1).
    Uniform,
    /// Standard normal.
    Gaussian,
    /// Two normal clusters with random centres and a third of the spread.
    Mixture,
    /// Two points, each with a random share of the mass.
    TwoPoints,
}

/// The walked-through part of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseKind {
    /// The hidden activation.
    pub activation: Activation,
    /// The student's loss.
    pub student_loss: StudentLossKind,
    /// The logits the student's loss sees.
    pub student_logits: StudentLogits,
    /// The teacher's loss.
    pub teacher_loss: TeacherLossKind,
    /// The student's inputs.
    pub inputs: InputKind,
}

/// Number of combinations in [`CaseKind`].
pub const COMBINATIONS: u32 = 3 * 2 * 3 * 4 * 4;

/// Coprime to [`COMBINATIONS`], so that even a few cases differ in every kind.
const STRIDE: u64 = 115;

impl CaseKind {
    /// Returns the kinds of case `index`; they repeat after [`COMBINATIONS`] cases.
    pub fn of(index: u32) -> Self {
        let mut rest = (u64::from(index) * STRIDE % u64::from(COMBINATIONS)) as usize;
        let mut digit = |base: usize| {
            let value = rest % base;
            rest /= base;
            value
        };
        Self {
            activation: [Activation::Relu, Activation::Gelu, Activation::Sigmoid][digit(3)],
            student_loss: [StudentLossKind::SquaredError, StudentLossKind::CrossEntropy][digit(2)],
            student_logits: [
                StudentLogits::All,
                StudentLogits::Auxiliary,
                StudentLogits::SingleAuxiliary,
            ][digit(3)],
            teacher_loss: [
                TeacherLossKind::CrossEntropy,
                TeacherLossKind::SquaredError,
                TeacherLossKind::Squashed,
                TeacherLossKind::Parameters,
            ][digit(4)],
            inputs: [
                InputKind::Uniform,
                InputKind::Gaussian,
                InputKind::Mixture,
                InputKind::TwoPoints,
            ][digit(4)],
        }
    }
}

/// One instance of the theorem's setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The walked-through part.
    pub kind: CaseKind,
    /// The network at θ⁰.
    pub start: Network,
    /// The same architecture with other parameters, for the contrast.
    pub other_start: Network,
    /// The support of D, `[B, inputs]`, every row with mass 1/B.
    pub inputs: Vec<f64>,
    /// The logits L_S sees.
    pub student_selection: Selection,
    /// L_S.
    pub student_loss: StudentLoss,
    /// L_T before scaling.
    pub teacher_loss: TeacherLoss,
    /// How many draws were thrown away because a ReLU sat within [`KINK_MARGIN`] of its kink.
    pub redraws: u32,
}

impl Case {
    /// Draws case `index`.
    pub fn draw(seed: Seed, index: u32) -> Self {
        let kind = CaseKind::of(index);
        let mut streams = Streams::open(seed, index);
        let mut redraws = 0;
        loop {
            let case = Self::draw_once(kind, &mut streams, redraws);
            if case.is_clear_of_kinks() {
                return case;
            }
            redraws += 1;
        }
    }

    /// Returns the logits L_T sees; `None` if it looks at none.
    pub fn teacher_logits(&self) -> Option<Range<usize>> {
        match &self.teacher_loss {
            TeacherLoss::OnLogits { selection, .. } => Some(selection.range.clone()),
            TeacherLoss::OnParameters { .. } => None,
        }
    }

    fn draw_once(kind: CaseKind, streams: &mut Streams, redraws: u32) -> Self {
        let classes = between(&mut streams.shape, 2, 5);
        let auxiliary = match kind.student_logits {
            StudentLogits::SingleAuxiliary => 1,
            StudentLogits::All | StudentLogits::Auxiliary => between(&mut streams.shape, 2, 4),
        };
        let architecture = draw_architecture(kind, classes + auxiliary, &mut streams.shape);
        let start = draw_network(&architecture, &mut streams.start);
        let outputs = architecture.outputs;
        let student_selection = match kind.student_logits {
            StudentLogits::All => Selection::new(outputs, 0..outputs),
            _ => Selection::new(outputs, classes..outputs),
        };
        Self {
            kind,
            inputs: draw_inputs(kind.inputs, architecture.inputs, &mut streams.inputs),
            student_loss: draw_student_loss(
                kind.student_loss,
                student_selection.range.len(),
                &mut streams.student_loss,
            ),
            teacher_loss: draw_teacher_loss(
                kind.teacher_loss,
                &architecture,
                classes,
                &mut streams.teacher_loss,
            ),
            student_selection,
            other_start: draw_network(&architecture, &mut streams.other_start),
            start,
            redraws,
        }
    }

    fn is_clear_of_kinks(&self) -> bool {
        self.kind.activation != Activation::Relu
            || [self.inputs.as_slice(), self.teacher_loss.inputs()]
                .iter()
                .flat_map(|x| self.start.hidden_pre_activations(x))
                .flatten()
                .all(|z| z.abs() > KINK_MARGIN)
    }
}

/// The named streams of one case.
struct Streams {
    shape: Stream,
    start: Stream,
    other_start: Stream,
    inputs: Stream,
    student_loss: Stream,
    teacher_loss: Stream,
}

impl Streams {
    fn open(seed: Seed, index: u32) -> Self {
        let open = |purpose: &str| seed.stream(purpose, u64::from(index));
        Self {
            shape: open("theorem/shape"),
            start: open("theorem/start"),
            other_start: open("theorem/other-start"),
            inputs: open("theorem/inputs"),
            student_loss: open("theorem/student-loss"),
            teacher_loss: open("theorem/teacher-loss"),
        }
    }
}

/// Draws an integer from `low..=high`.
fn between(stream: &mut Stream, low: u64, high: u64) -> usize {
    (low + stream.below(high - low + 1)) as usize
}

fn normals(stream: &mut Stream, n: usize) -> Vec<f64> {
    (0..n).map(|_| stream.normal()).collect()
}

fn draw_architecture(kind: CaseKind, outputs: usize, stream: &mut Stream) -> Architecture {
    let depth = between(stream, 0, 3);
    Architecture {
        inputs: between(stream, 2, 6),
        hidden: (0..depth).map(|_| between(stream, 3, 8)).collect(),
        outputs,
        activation: kind.activation,
        biases: [Biases::With, Biases::Without][between(stream, 0, 1)],
    }
}

/// Draws weights from N(0, 2 / fan-in) and biases from N(0, 1): θ⁰ may be anything, so biases are not left at 0.
fn draw_network(architecture: &Architecture, stream: &mut Stream) -> Network {
    let mut values = Vec::with_capacity(architecture.n_parameters());
    for layer in architecture.layers() {
        let scale = (2.0 / layer.inputs as f64).sqrt();
        let n_weights = layer.inputs * layer.outputs;
        values.extend((0..n_weights).map(|_| scale * stream.normal()));
        if layer.biases_at.is_some() {
            values.extend(normals(stream, layer.outputs));
        }
    }
    Network::new(architecture.clone(), values)
}

fn draw_inputs(kind: InputKind, width: usize, stream: &mut Stream) -> Vec<f64> {
    let rows = between(stream, 4, 16);
    match kind {
        InputKind::Uniform => (0..rows * width)
            .map(|_| 2.0 * stream.uniform() - 1.0)
            .collect(),
        InputKind::Gaussian => normals(stream, rows * width),
        InputKind::Mixture => {
            let centres = [normals(stream, width), normals(stream, width)];
            (0..rows)
                .flat_map(|_| {
                    let centre = &centres[between(stream, 0, 1)];
                    let row = centre.iter().map(|c| c + stream.normal() / 3.0);
                    row.collect::<Vec<_>>()
                })
                .collect()
        }
        InputKind::TwoPoints => {
            let points = [normals(stream, width), normals(stream, width)];
            (0..rows)
                .flat_map(|_| points[between(stream, 0, 1)].clone())
                .collect()
        }
    }
}

/// Draws L_S. One weight in four is 0 ("non-negative" is all the theorem asks), but never the first: a loss that sees
/// nothing would hold for no reason.
fn draw_student_loss(kind: StudentLossKind, k: usize, stream: &mut Stream) -> StudentLoss {
    match kind {
        StudentLossKind::CrossEntropy => StudentLoss::CrossEntropy,
        StudentLossKind::SquaredError => StudentLoss::SquaredError(
            (0..k)
                .map(|index| {
                    let is_zero = stream.below(4) == 0 && index > 0;
                    let weight = 0.25 + stream.uniform();
                    if is_zero { 0.0 } else { weight }
                })
                .collect(),
        ),
    }
}

/// Draws L_T on inputs of its own, seeing the class logits only or all of them with equal chance.
fn draw_teacher_loss(
    kind: TeacherLossKind,
    architecture: &Architecture,
    classes: usize,
    stream: &mut Stream,
) -> TeacherLoss {
    let outputs = architecture.outputs;
    let range = [0..classes, 0..outputs][between(stream, 0, 1)].clone();
    let k = range.len();
    let rows = between(stream, 3, 12);
    let inputs = normals(stream, rows * architecture.inputs);
    let objective = match kind {
        TeacherLossKind::Parameters => {
            return TeacherLoss::OnParameters {
                centre: normals(stream, architecture.n_parameters()),
            };
        }
        TeacherLossKind::CrossEntropy => Objective::Labels(
            (0..rows)
                .map(|_| between(stream, 0, k as u64 - 1))
                .collect(),
        ),
        TeacherLossKind::SquaredError => Objective::Targets(normals(stream, rows * outputs)),
        TeacherLossKind::Squashed => Objective::Squashed(normals(stream, k)),
    };
    TeacherLoss::OnLogits {
        inputs,
        selection: Selection::new(outputs, range),
        objective,
    }
}
