//! How one entity came from another: the edges, each with its evidence and who says so.
//!
//! An edge reads as a sentence from the younger to the older thing: *student* trained-on *dataset*. The one exception
//! is `evaluated-by`, from what was judged to the younger verdict; `same-as` has no older end.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Digest;

use crate::entity::EntityId;
use crate::grade::Grade;

/// How a dataset was made of another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Derivation {
    /// Parts of rows were masked.
    Mask,
    /// Rows were rephrased; by whom is a `generated-by` edge.
    Paraphrase,
    /// Some of the rows, by no property of theirs.
    Subset,
    /// Rows of several datasets together.
    Mixture,
    /// Anything else, in a word.
    Other(String),
}

/// What an edge says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Relation {
    /// A model (or a step) wrote rows of this dataset, or a step made this model.
    GeneratedBy {
        /// How many of the rows it wrote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rows: Option<u64>,
    },
    /// The dataset's rows, or the teacher's behaviour, came of a prompt.
    PromptedWith {
        /// The BLAKE3 digest of the prompt's UTF-8 text. The text is an object of the store, or was never kept: it can be
        /// removed without changing this record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prompt: Option<Digest>,
    },
    /// A filter kept these rows of another dataset.
    FilteredFrom {
        /// How many rows it kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kept: Option<u64>,
        /// How many rows it dropped, by reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dropped: Option<BTreeMap<String, u64>>,
    },
    /// The dataset was made of another one without a filter's judgement.
    DerivedFrom {
        /// How.
        how: Derivation,
        /// How many rows of this dataset came from there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rows: Option<u64>,
    },
    /// The model learned from the dataset.
    TrainedOn {
        /// How many rows of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rows: Option<u64>,
    },
    /// The model's weights began as another's.
    InitialisedFrom {
        /// How they were changed: `finetune`, `adapter`, `merge`, `quantized`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        how: Option<String>,
    },
    /// The model was fitted to another's outputs.
    DistilledFrom {},
    /// A verdict judges this.
    EvaluatedBy {},
    /// Two descriptions of one thing: a name and its content.
    SameAs {},
}

/// A relation without its details, as the index and queries know it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum RelationKind {
    /// [`Relation::GeneratedBy`].
    GeneratedBy,
    /// [`Relation::PromptedWith`].
    PromptedWith,
    /// [`Relation::FilteredFrom`].
    FilteredFrom,
    /// [`Relation::DerivedFrom`].
    DerivedFrom,
    /// [`Relation::TrainedOn`].
    TrainedOn,
    /// [`Relation::InitialisedFrom`].
    InitialisedFrom,
    /// [`Relation::DistilledFrom`].
    DistilledFrom,
    /// [`Relation::EvaluatedBy`].
    EvaluatedBy,
    /// [`Relation::SameAs`].
    SameAs,
}

/// Which end of an edge is the older thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Older {
    To,
    From,
    Both,
}

impl RelationKind {
    /// Every kind, in the order of their numbers in the index.
    pub const ALL: [RelationKind; 9] = [
        RelationKind::GeneratedBy,
        RelationKind::PromptedWith,
        RelationKind::FilteredFrom,
        RelationKind::DerivedFrom,
        RelationKind::TrainedOn,
        RelationKind::InitialisedFrom,
        RelationKind::DistilledFrom,
        RelationKind::EvaluatedBy,
        RelationKind::SameAs,
    ];

    /// Returns the words for it.
    pub const fn name(self) -> &'static str {
        match self {
            RelationKind::GeneratedBy => "generated-by",
            RelationKind::PromptedWith => "prompted-with",
            RelationKind::FilteredFrom => "filtered-from",
            RelationKind::DerivedFrom => "derived-from",
            RelationKind::TrainedOn => "trained-on",
            RelationKind::InitialisedFrom => "initialised-from",
            RelationKind::DistilledFrom => "distilled-from",
            RelationKind::EvaluatedBy => "evaluated-by",
            RelationKind::SameAs => "same-as",
        }
    }

    pub(crate) fn older(self) -> Older {
        match self {
            RelationKind::EvaluatedBy => Older::From,
            RelationKind::SameAs => Older::Both,
            _ => Older::To,
        }
    }
}

impl fmt::Display for RelationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Relation {
    /// Returns it without its details.
    pub fn kind(&self) -> RelationKind {
        match self {
            Relation::GeneratedBy { .. } => RelationKind::GeneratedBy,
            Relation::PromptedWith { .. } => RelationKind::PromptedWith,
            Relation::FilteredFrom { .. } => RelationKind::FilteredFrom,
            Relation::DerivedFrom { .. } => RelationKind::DerivedFrom,
            Relation::TrainedOn { .. } => RelationKind::TrainedOn,
            Relation::InitialisedFrom { .. } => RelationKind::InitialisedFrom,
            Relation::DistilledFrom {} => RelationKind::DistilledFrom,
            Relation::EvaluatedBy {} => RelationKind::EvaluatedBy,
            Relation::SameAs {} => RelationKind::SameAs,
        }
    }

    /// Returns its details in a few words; empty if there are none.
    pub fn details(&self) -> String {
        let rows =
            |rows: &Option<u64>| rows.map_or_else(String::new, |rows| format!("{rows} rows"));
        match self {
            Relation::GeneratedBy { rows: n } | Relation::TrainedOn { rows: n } => rows(n),
            Relation::PromptedWith {
                prompt: Some(digest),
            } => {
                format!("prompt {}", &digest.hex()[..12])
            }
            Relation::FilteredFrom { kept, dropped } => {
                let kept = kept.map(|kept| format!("{kept} kept"));
                let dropped = dropped.as_ref().map(|dropped| {
                    let reasons: Vec<String> = dropped
                        .iter()
                        .map(|(why, n)| format!("{n} {why}"))
                        .collect();
                    let total = dropped.values().fold(0u64, |sum, n| sum.saturating_add(*n));
                    match reasons.is_empty() {
                        true => "0 dropped".to_owned(),
                        false => format!("{total} dropped: {}", reasons.join(", ")),
                    }
                });
                let parts: Vec<String> = kept.into_iter().chain(dropped).collect();
                parts.join(", ")
            }
            Relation::DerivedFrom { how, rows: n } => {
                let how = match how {
                    Derivation::Mask => "mask",
                    Derivation::Paraphrase => "paraphrase",
                    Derivation::Subset => "subset",
                    Derivation::Mixture => "mixture",
                    Derivation::Other(word) => word,
                };
                [how.to_owned(), rows(n)]
                    .into_iter()
                    .filter(|part| !part.is_empty())
                    .collect::<Vec<_>>()
                    .join(", ")
            }
            Relation::InitialisedFrom { how: Some(how) } => how.clone(),
            _ => String::new(),
        }
    }
}

/// An edge of the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// The younger end; for `evaluated-by`, what is judged.
    pub from: EntityId,
    /// The older end; for `evaluated-by`, the verdict.
    pub to: EntityId,
    /// What it says.
    pub relation: Relation,
    /// How well it is known.
    pub grade: Grade,
    /// Who says so: a program with its version, a card, a person.
    pub by: String,
    /// The step in which it came about, if it is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<EntityId>,
}
