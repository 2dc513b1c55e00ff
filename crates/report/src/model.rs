//! What a report says, apart from its figures: the question, the verdicts, the tables and the recipe.
//!
//! Plain data with a JSON form and a JSON Schema. All sentences are written by the caller; nothing here knows an
//! experiment. Figures are in [`crate::figure`], the rules a report must keep in [`crate::check`].

use crate::figure::Figure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything one report shows, in reading order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Heading of the page.
    pub title: String,
    /// One line under the title: dataset, number of models, preset.
    pub subtitle: String,
    /// What was asked, in words a reader outside the field understands.
    pub question: String,
    /// The answers, most important first.
    pub verdicts: Vec<VerdictLine>,
    /// Figures in reading order; their ids are unique.
    pub figures: Vec<Figure>,
    /// Tables in reading order.
    pub tables: Vec<Table>,
    /// Finished drawings, shown after the tables.
    pub drawings: Vec<Drawing>,
    /// What was left out and why, one sentence each. Empty means that nothing was recorded as left out.
    pub left_out: Vec<String>,
    /// How to repeat all of it.
    pub recipe: Recipe,
    /// Remarks that belong to no figure, one paragraph each.
    pub notes: Vec<String>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerdictLine {
    /// The answer in one sentence that a newspaper could print and be correct.
    pub sentence: String,
    /// The answer as a category.
    pub outcome: Outcome,
    /// Estimate, interval, n, method and decision rule.
    pub detail: String,
}

/// The category of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The trait passed through the channel.
    Transfer,
    /// The effect is smaller than the stated margin.
    NoTransfer,
    /// The data decide neither way.
    Inconclusive,
    /// The line states a finding that is not about transfer.
    None,
}

impl Outcome {
    /// Returns the words people read for this outcome; `None` where there is nothing to say.
    pub fn words(self) -> Option<&'static str> {
        match self {
            Outcome::Transfer => Some("Transfer"),
            Outcome::NoTransfer => Some("No transfer (within delta)"),
            Outcome::Inconclusive => Some("Inconclusive"),
            Outcome::None => None,
        }
    }
}

/// A drawing that somebody else made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drawing {
    /// Heading.
    pub title: String,
    /// The sentence under the drawing.
    pub caption: String,
    /// The same content for someone who cannot see it.
    pub alt: String,
    /// One SVG document. It is shown as an image: nothing in it can style the page or be run.
    pub svg: String,
}

/// A table of finished strings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// What the table shows.
    pub caption: String,
    /// The columns; the first one names the row.
    pub columns: Vec<Column>,
    /// The cells, one per column in every row. An empty cell is shown as a dash: it means "not defined".
    pub rows: Vec<Vec<String>>,
    /// Remarks under the table: definitions of intervals, n, abbreviations.
    pub notes: Vec<String>,
}

/// One column of a [`Table`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Heading of the column, with its unit.
    pub name: String,
    /// On which side its cells line up.
    pub align: Align,
}

impl Column {
    /// Makes a column of words, which lines up on the left.
    pub fn words(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            align: Align::Left,
        }
    }

    /// Makes a column of numbers, which lines up on the right.
    pub fn number(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            align: Align::Right,
        }
    }
}

/// The side on which the cells of a column line up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// What someone else needs to get the same numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Command lines, in the order in which to run them.
    pub commands: Vec<String>,
    /// Name and value of whatever fixes the result: seed, digests, version, CPU.
    pub facts: Vec<(String, String)>,
}
