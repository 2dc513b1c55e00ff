//! One thing, with everything said about it and its direct ties.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::entity::EntityId;
use crate::graph::{Graph, Node, clean};
use crate::ledger::LedgerError;
use crate::query::HopEdge;
use crate::record::Description;

/// How many ties of each side are read; the answer says how many there are.
const MAX_TIES: usize = 1000;
/// How many of them are written as text.
const MAX_LINES: usize = 40;

/// A direct tie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tie {
    /// The other end.
    pub node: Node,
    /// What is said of it.
    pub edge: HopEdge,
}

/// Everything said about one thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// The thing.
    pub node: Node,
    /// Its descriptions, the best evidence first.
    pub descriptions: Vec<Description>,
    /// What it came from: the first thousand ties.
    pub older: Vec<Tie>,
    /// How many ties there are to what it came from.
    pub n_older: usize,
    /// What came from it: the first thousand ties.
    pub younger: Vec<Tie>,
    /// How many ties there are to what came from it.
    pub n_younger: usize,
}

impl Graph {
    /// Returns everything said about `id`; `None` if it is not here.
    ///
    /// # Errors
    /// If a record cannot be read back.
    pub fn show(&self, id: EntityId) -> Result<Option<Shown>, LedgerError> {
        let Some(node) = self.index(id) else {
            return Ok(None);
        };
        let tie = |(edge, end): (usize, usize)| -> Result<Tie, LedgerError> {
            let edge = self.edge(edge)?;
            Ok(Tie {
                node: self.node(end),
                edge: HopEdge {
                    relation: edge.relation,
                    grade: edge.grade,
                    by: edge.by,
                    step: edge.step,
                },
            })
        };
        Ok(Some(Shown {
            node: self.node(node),
            descriptions: self.descriptions(node)?,
            older: self
                .older(node)
                .take(MAX_TIES)
                .map(tie)
                .collect::<Result<_, _>>()?,
            n_older: self.older(node).count(),
            younger: self
                .younger(node)
                .take(MAX_TIES)
                .map(tie)
                .collect::<Result<_, _>>()?,
            n_younger: self.younger(node).count(),
        }))
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.node)?;
        writeln!(f, "id {}", self.node.id)?;
        if self.descriptions.is_empty() {
            writeln!(f, "nobody describes it: edges name it, and that is all")?;
        }
        for description in &self.descriptions {
            let by = clean(&description.by);
            writeln!(f, "described by {by} ({})", description.grade)?;
            let value = serde_json::to_value(&description.entity).unwrap_or_default();
            if let Some(fields) = value.as_object().and_then(|kinds| kinds.values().next()) {
                fields_of(f, fields)?;
            }
        }
        ties(f, "came from", &self.older, self.n_older)?;
        ties(f, "led to", &self.younger, self.n_younger)
    }
}

fn fields_of(f: &mut fmt::Formatter<'_>, fields: &Value) -> fmt::Result {
    for (name, value) in fields.as_object().into_iter().flatten() {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        writeln!(f, "  {name}: {}", clean(&text))?;
    }
    Ok(())
}

fn ties(f: &mut fmt::Formatter<'_>, what: &str, ties: &[Tie], n: usize) -> fmt::Result {
    if n == 0 {
        return writeln!(f, "{what}: nothing is recorded");
    }
    writeln!(f, "{what}:")?;
    for Tie { node, edge } in ties.iter().take(MAX_LINES) {
        let details = clean(&edge.relation.details());
        let details = match details.is_empty() {
            true => details,
            false => format!(" [{details}]"),
        };
        let (kind, grade, by) = (edge.relation.kind(), edge.grade, clean(&edge.by));
        writeln!(f, "  {kind}{details}  {node}  ({grade}, {by})")?;
    }
    match n > MAX_LINES {
        true => writeln!(f, "  and {} more", n - ties.len().min(MAX_LINES)),
        false => Ok(()),
    }
}
