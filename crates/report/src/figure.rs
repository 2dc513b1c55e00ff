//! What a figure shows: bars, curves or a sweep over one axis.
//!
//! Values only. Colours, sizes and tick marks are decided in [`crate::svg`]; one figure gives the same picture on the
//! page, as a file and (bars) in the terminal. An undefined value is `None` and never 0.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::short_number;

/// One figure with the words that belong to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// Name for links and file names: lower-case ASCII letters, digits and `-`, unique in a report.
    pub id: String,
    /// Heading.
    pub title: String,
    /// The sentence under the figure: what to see, n, what the intervals are.
    pub caption: String,
    /// The same content for someone who cannot see the drawing.
    pub alt: String,
    /// Meaning of the intervals, e.g. `95 % t interval over 25 models`; shown in the key.
    pub interval_label: Option<String>,
    /// Meaning of one small point, e.g. `one model`; shown in the key.
    pub point_label: Option<String>,
    /// Meaning of the diamonds, e.g. `published value`; shown in the key.
    pub reference_label: Option<String>,
    /// The values.
    pub kind: FigureKind,
}

/// The three forms of figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FigureKind {
    /// One horizontal bar per condition.
    Bars(Bars),
    /// Lines over a numeric axis such as the epoch.
    Curves(Curves),
    /// Estimates over the values of one swept setting.
    Sweep(Sweep),
}

/// A closed interval around an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Lower end.
    pub lo: f64,
    /// Upper end, at least `lo`.
    pub hi: f64,
}

/// The part something plays in an experiment; decides its colour in every figure of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The untrained starting point.
    Baseline,
    /// The model whose trait may pass.
    Teacher,
    /// The arm in which transfer is expected.
    Treatment,
    /// A named control arm.
    Control,
    /// None of these; gets the next free colour.
    #[default]
    Other,
}

/// What the values of a figure are seen against.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// The value of pure guessing.
    Chance(f64),
    /// The values are changes, and 0 is none.
    NoChange,
}

impl Baseline {
    pub(crate) fn value(self) -> f64 {
        match self {
            Baseline::Chance(value) => value,
            Baseline::NoChange => 0.0,
        }
    }

    pub(crate) fn words(self) -> String {
        match self {
            Baseline::Chance(value) => format!("chance {}", short_number(value)),
            Baseline::NoChange => "no change".to_owned(),
        }
    }
}

/// Horizontal bars with intervals and single points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bars {
    /// Name and unit of the value axis.
    pub y_label: String,
    /// The axis covers at least this range; values outside extend it, nothing is cut off.
    pub y_range: Option<Interval>,
    /// What values are seen against, drawn as a dashed line.
    pub baseline: Option<Baseline>,
    /// The bars from top to bottom.
    pub bars: Vec<Bar>,
}

/// One bar.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bar {
    /// Name of the condition.
    pub label: String,
    /// Heading above this bar and its neighbours with the same heading.
    pub group: Option<String>,
    /// Decides the colour.
    pub role: Role,
    /// The estimate; `None` is drawn as missing.
    pub estimate: Option<f64>,
    /// Interval around the estimate.
    pub interval: Option<Interval>,
    /// Number of models (or other units) behind the estimate.
    pub n: Option<u64>,
    /// One value per model, drawn small.
    pub points: Vec<f64>,
    /// A value to compare with, e.g. the published one.
    pub reference: Option<f64>,
}

/// Lines over a numeric axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Curves {
    /// Name and unit of the horizontal axis.
    pub x_label: String,
    /// Name and unit of the vertical axis.
    pub y_label: String,
    /// The vertical axis covers at least this range.
    pub y_range: Option<Interval>,
    /// What values are seen against, drawn as a dashed line.
    pub baseline: Option<Baseline>,
    /// The lines.
    pub series: Vec<Series>,
}

/// One line of [`Curves`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// Name of the line.
    pub label: String,
    /// Decides the colour.
    pub role: Role,
    /// Points in increasing order of `x`.
    pub points: Vec<SeriesPoint>,
}

/// One point of a [`Series`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeriesPoint {
    /// Position.
    pub x: f64,
    /// The estimate; `None` leaves a gap in the line.
    pub y: Option<f64>,
    /// Interval, drawn as a band.
    pub interval: Option<Interval>,
}

/// Estimates over the values of one swept setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Name and unit of the swept setting.
    pub x_label: String,
    /// How positions are laid out.
    pub x_scale: XScale,
    /// Name and unit of the value axis.
    pub y_label: String,
    /// The value axis covers at least this range.
    pub y_range: Option<Interval>,
    /// What values are seen against, drawn as a dashed line.
    pub baseline: Option<Baseline>,
    /// One series per condition.
    pub series: Vec<SweepSeries>,
}

/// How the values of a swept setting are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum XScale {
    /// Numbers on a linear axis.
    Linear,
    /// Positive numbers on a logarithmic axis.
    Log,
    /// Names, drawn as one block of rows each, in order of first appearance.
    Category,
}

/// One condition of a [`Sweep`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepSeries {
    /// Name of the condition.
    pub label: String,
    /// Decides the colour.
    pub role: Role,
    /// Points; on a numeric axis in increasing order of `x`.
    pub points: Vec<SweepPoint>,
}

/// One value of the swept setting, measured under one condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepPoint {
    /// The swept value: a number on linear and logarithmic axes, a name on a category axis.
    pub x: X,
    /// The estimate; `None` is drawn as missing.
    pub estimate: Option<f64>,
    /// Interval around the estimate.
    pub interval: Option<Interval>,
    /// Number of models (or other units) behind the estimate.
    pub n: Option<u64>,
    /// One value per model, drawn small.
    pub points: Vec<f64>,
    /// A value to compare with, e.g. the published one.
    pub reference: Option<f64>,
}

/// A value of a swept setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum X {
    /// For [`XScale::Linear`] and [`XScale::Log`].
    Number(f64),
    /// For [`XScale::Category`].
    Name(String),
}
