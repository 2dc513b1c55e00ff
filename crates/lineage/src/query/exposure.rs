//! Who learned from a model through data, and who wrote the rows of a dataset, with shares.
//!
//! A *data hop* is a model learning from another one's output: through a dataset it wrote, filtered and derived as often
//! as recorded, or by direct distillation. Starting from another's weights is no hop: a fine-tune of an exposed model is
//! as exposed as that is. Prompts and verdicts carry nothing here.
//!
//! Shares are intervals. A filter that kept `K` of `N` rows may have dropped those of one teacher first or last, so of
//! `r` rows between `max(0, r - (N - K))` and `min(r, K)` are left. What is not recorded leaves the share unknown.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::entity::{Entity, EntityId, EntityKind};
use crate::grade::Grade;
use crate::graph::{Graph, Node, NodeIndex};
use crate::ledger::LedgerError;
use crate::query::{Path, path_of};
use crate::relation::{Derivation, Edge, Relation, RelationKind};

/// How many learners are listed.
const MAX_LEARNERS: usize = 1000;
/// How many rows of text an answer has.
const MAX_LINES: usize = 60;

/// A share of rows, between two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    /// The least share that fits what is recorded, in 0..=1.
    pub least: f64,
    /// The greatest share that fits what is recorded, in 0..=1.
    pub most: f64,
    /// The rows the share is of.
    pub rows: u64,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (100.0 * self.least, 100.0 * self.most);
        match (most - least) < 0.05 {
            true => write!(f, "{least:.1} % of {} rows", self.rows),
            false => write!(f, "{least:.1} to {most:.1} % of {} rows", self.rows),
        }
    }
}

fn share_text(share: Option<Share>) -> String {
    share.map_or_else(|| "share unknown".to_owned(), |share| share.to_string())
}

/// How a model is exposed to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Exposure {
    /// It learned from output, its own or its base's.
    Data,
    /// It began as the model's weights and learned nothing of its output that is recorded.
    Weights,
}

/// A model that learned from another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Learner {
    /// Which.
    pub model: Node,
    /// How.
    pub by: Exposure,
    /// Over how many data hops, at least.
    pub hops: u32,
    /// In the last data hop of `path`: the share of the rows learned from that came from the model before.
    pub share: Option<Share>,
    /// The shortest way.
    pub path: Path,
}

/// The models that learned from one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Exposed {
    /// The teacher.
    pub teacher: Node,
    /// How many data hops were followed.
    pub max_hops: u32,
    /// Who learned, nearest first.
    pub learners: Vec<Learner>,
    /// Whether more learners exist than are listed.
    pub cut: bool,
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exposed {
            teacher, max_hops, ..
        } = self;
        writeln!(
            f,
            "{} models are recorded as exposed to {teacher} within {max_hops} data hops",
            self.learners.len()
        )?;
        for learner in self.learners.iter().take(MAX_LINES) {
            let how = match learner.by {
                Exposure::Data => format!("{} hops, {}", learner.hops, share_text(learner.share)),
                Exposure::Weights => "by weights".to_owned(),
            };
            writeln!(
                f,
                "  {}: {how}, weakest evidence {}",
                learner.model, learner.path.weakest
            )?;
        }
        if self.cut || self.learners.len() > MAX_LINES {
            writeln!(f, "cut: there are more")?;
        }
        writeln!(
            f,
            "a model that is not listed may have learned from it unrecorded"
        )
    }
}

/// A model that wrote rows of a dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Writer {
    /// The model.
    pub model: Node,
    /// Its share of the rows.
    pub share: Option<Share>,
    /// How its rows came here.
    pub path: Path,
}

/// Who wrote a dataset and who learned from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SharedData {
    /// The dataset.
    pub dataset: Node,
    /// How many rows it has, if recorded.
    pub rows: Option<u64>,
    /// Who wrote them.
    pub writers: Vec<Writer>,
    /// Rows that name no generator, if all shares are exact enough to say so.
    pub unnamed_rows: Option<u64>,
    /// The models that learned from it or from what was made of it.
    pub learners: Vec<Node>,
}

impl fmt::Display for SharedData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self
            .rows
            .map_or("unknown".to_owned(), |rows| rows.to_string());
        writeln!(f, "{}: rows {rows}", self.dataset)?;
        if self.writers.is_empty() {
            writeln!(f, "who wrote them is unknown")?;
        }
        for writer in self.writers.iter().take(MAX_LINES) {
            let share = share_text(writer.share);
            let weakest = writer.path.weakest;
            writeln!(
                f,
                "  written by {}: {share}, weakest evidence {weakest}",
                writer.model
            )?;
        }
        if let Some(unnamed @ 1..) = self.unnamed_rows {
            writeln!(f, "  {unnamed} rows name no generator")?;
        }
        for learner in self.learners.iter().take(MAX_LINES) {
            writeln!(f, "  learned from by {learner}")?;
        }
        match self.learners.is_empty() {
            true => writeln!(f, "no model is recorded to have learned from it"),
            false => Ok(()),
        }
    }
}

impl Graph {
    /// Returns the models that learned from `teacher` within `max_hops` data hops. `None` if it is not here.
    ///
    /// # Errors
    /// If a record cannot be read back.
    pub fn exposed(
        &self,
        teacher: EntityId,
        max_hops: u32,
    ) -> Result<Option<Exposed>, LedgerError> {
        let Some(start) = self.index(teacher) else {
            return Ok(None);
        };
        let walk = walk(self, start, max_hops, |node| self.younger(node));
        let selves = crate::query::unified(self, start);
        let mut found: Vec<(u32, NodeIndex)> = Vec::new();
        for node in 0..self.n_entities() {
            if let Some(hops) = walk.hops[node]
                && self.kind(node) != Some(EntityKind::Dataset)
                && !selves.contains(&node)
                && !self.is_name_of(node, |content| walk.hops[content] == Some(hops))
            {
                found.push((hops, node));
            }
        }
        found.sort_unstable();
        let mut learners = Vec::new();
        for (hops, node) in found.iter().take(MAX_LEARNERS) {
            let mut nodes = walk.way_to(*node);
            nodes.reverse();
            learners.push(Learner {
                model: self.node(*node),
                by: match hops {
                    0 => Exposure::Weights,
                    _ => Exposure::Data,
                },
                hops: *hops,
                share: self.share_along(&nodes)?,
                path: path_of(self, &nodes)?,
            });
        }
        Ok(Some(Exposed {
            teacher: self.node(start),
            max_hops,
            learners,
            cut: found.len() > MAX_LEARNERS,
        }))
    }

    /// Returns who wrote a dataset's rows, and who learned from it. `None` if it is not here.
    ///
    /// # Errors
    /// If a record cannot be read back.
    pub fn shares(&self, dataset: EntityId) -> Result<Option<SharedData>, LedgerError> {
        let Some(start) = self.index(dataset) else {
            return Ok(None);
        };
        let upstream = walk(self, start, 0, |node| self.older(node));
        let wrote = |node: NodeIndex| {
            upstream.before[node]
                .is_some_and(|(edge, _)| self.cell(edge).kind == RelationKind::GeneratedBy)
        };
        let mut writers = Vec::new();
        for node in 0..self.n_entities() {
            let counts = wrote(node) && self.kind(node) != Some(EntityKind::Step);
            // A name and its content are one writer, whoever recorded which.
            if counts && !self.is_name_of(node, wrote) {
                let nodes = upstream.way_to(node);
                writers.push(Writer {
                    model: self.node(node),
                    share: self.share_along(&nodes)?,
                    path: path_of(self, &nodes)?,
                });
            }
        }
        let downstream = walk(self, start, 1, |node| self.younger(node));
        let learners = (0..self.n_entities())
            .filter(|node| {
                downstream.before[*node]
                    .is_some_and(|(edge, _)| self.cell(edge).kind == RelationKind::TrainedOn)
            })
            .take(MAX_LEARNERS)
            .map(|node| self.node(node))
            .collect();
        let rows = self.rows_of(start)?;
        let named: Option<f64> = writers
            .iter()
            .map(|writer| {
                let share = writer.share?;
                (share.least == share.most).then_some(share.least)
            })
            .sum();
        let unnamed_rows = match (rows, named) {
            (Some(rows), Some(named)) if !writers.is_empty() => {
                Some(((1.0 - named).max(0.0) * rows as f64).round() as u64)
            }
            _ => None,
        };
        Ok(Some(SharedData {
            dataset: self.node(start),
            rows,
            writers,
            unnamed_rows,
            learners,
        }))
    }

    /// Says whether `node` is a name of content that `holds`.
    fn is_name_of(&self, node: NodeIndex, holds: impl Fn(NodeIndex) -> bool) -> bool {
        self.out_edges(node).any(|edge| {
            let cell = self.cell(edge);
            cell.kind == RelationKind::SameAs && holds(cell.to as usize)
        })
    }

    /// Returns how many rows a dataset is recorded to have, by the best evidence, under any of its names.
    pub(crate) fn rows_of(&self, node: NodeIndex) -> Result<Option<u64>, LedgerError> {
        let mut best: Option<(Grade, u64)> = None;
        for alias in crate::query::unified(self, node) {
            for description in self.descriptions(alias)? {
                if let Entity::Dataset(dataset) = &description.entity
                    && let Some(rows) = dataset.rows
                    && best.is_none_or(|(grade, _)| description.grade > grade)
                {
                    best = Some((description.grade, rows));
                }
            }
        }
        Ok(best.map(|(_, rows)| rows))
    }

    /// Returns the share of rows that the last model before the end of a path contributed to its end.
    ///
    /// The path is a model, datasets and, at most, the model that learned from the last of them.
    fn share_along(&self, nodes: &[NodeIndex]) -> Result<Option<Share>, LedgerError> {
        let wrote = nodes.windows(2).rposition(|pair| {
            self.best_edge(pair[0], pair[1], RelationKind::GeneratedBy)
                .is_some()
        });
        let Some(first) = wrote else {
            return Ok(None);
        };
        let Some(mut share) = self.share_written(nodes[first], nodes[first + 1])? else {
            return Ok(None);
        };
        for pair in nodes[first + 1..].windows(2) {
            share = match self.share_after(share, pair[0], pair[1])? {
                None => return Ok(None),
                Some((share, true)) => return Ok(Some(share.finish())),
                Some((share, false)) => share,
            };
        }
        Ok(Some(share.finish()))
    }

    fn share_written(
        &self,
        writer: NodeIndex,
        dataset: NodeIndex,
    ) -> Result<Option<Rows>, LedgerError> {
        let edge = self.read_best(writer, dataset, RelationKind::GeneratedBy)?;
        let Some(Relation::GeneratedBy {
            rows: Some(written),
        }) = edge.map(|edge| edge.relation)
        else {
            return Ok(None);
        };
        let total = self.rows_of(dataset)?.unwrap_or(written).max(written);
        Ok(Some(Rows {
            least: written,
            most: written,
            total,
        }))
    }

    /// Returns the rows left after one hop, and whether the hop was into a model, which ends the count.
    fn share_after(
        &self,
        rows: Rows,
        older: NodeIndex,
        younger: NodeIndex,
    ) -> Result<Option<(Rows, bool)>, LedgerError> {
        if self
            .best_edge(older, younger, RelationKind::SameAs)
            .is_some()
            || self
                .best_edge(younger, older, RelationKind::SameAs)
                .is_some()
        {
            return Ok(Some((rows, false)));
        }
        if let Some(edge) = self.read_best(older, younger, RelationKind::TrainedOn)? {
            let Relation::TrainedOn { rows: used } = edge.relation else {
                return Ok(None);
            };
            let used = used.unwrap_or(rows.total).min(rows.total);
            return Ok(Some((rows.keep(used, used), true)));
        }
        let total = self.rows_of(younger)?;
        if let Some(edge) = self.read_best(older, younger, RelationKind::FilteredFrom)? {
            let Relation::FilteredFrom { kept, .. } = edge.relation else {
                return Ok(None);
            };
            let Some(kept) = kept.or(total) else {
                return Ok(None);
            };
            return Ok(Some((rows.keep(kept, total.unwrap_or(kept)), false)));
        }
        if let Some(edge) = self.read_best(older, younger, RelationKind::DerivedFrom)? {
            let Relation::DerivedFrom { how, rows: taken } = edge.relation else {
                return Ok(None);
            };
            let taken = match how {
                Derivation::Mask | Derivation::Paraphrase => taken.or(Some(rows.total)),
                Derivation::Subset => taken.or(total),
                _ => taken,
            };
            let Some(taken) = taken else {
                return Ok(None);
            };
            return Ok(Some((rows.keep(taken, total.unwrap_or(taken)), false)));
        }
        // Any other hop, such as an initialisation, is not one of rows.
        Ok(None)
    }

    fn best_edge(&self, older: NodeIndex, younger: NodeIndex, kind: RelationKind) -> Option<usize> {
        self.out_edges(younger)
            .filter(|edge| {
                let cell = self.cell(*edge);
                cell.to as usize == older && cell.kind == kind
            })
            .max_by_key(|edge| (self.cell(*edge).grade, std::cmp::Reverse(*edge)))
    }

    pub(crate) fn read_best(
        &self,
        older: NodeIndex,
        younger: NodeIndex,
        kind: RelationKind,
    ) -> Result<Option<Edge>, LedgerError> {
        self.best_edge(older, younger, kind)
            .map(|edge| self.edge(edge))
            .transpose()
    }
}

/// Rows of one origin within a dataset.
#[derive(Debug, Clone, Copy)]
struct Rows {
    least: u64,
    most: u64,
    total: u64,
}

impl Rows {
    /// Returns what is left when `kept` rows go into a dataset of `total`.
    fn keep(self, kept: u64, total: u64) -> Rows {
        let lost = self.total.saturating_sub(kept);
        Rows {
            least: self.least.saturating_sub(lost).min(kept),
            most: self.most.min(kept),
            total: total.max(kept),
        }
    }

    fn finish(self) -> Share {
        let of = |rows: u64| match self.total {
            0 => 0.0,
            total => rows as f64 / total as f64,
        };
        Share {
            least: of(self.least),
            most: of(self.most),
            rows: self.total,
        }
    }
}

/// Where influence through data and weights goes, and over how many data hops.
pub(crate) struct Walk {
    /// Data hops to each node that was reached.
    pub(crate) hops: Vec<Option<u32>>,
    /// The edge and the node each was reached from.
    pub(crate) before: Vec<Option<(usize, NodeIndex)>>,
}

impl Walk {
    /// Returns the nodes from `node` back to the start.
    pub(crate) fn way_to(&self, node: NodeIndex) -> Vec<NodeIndex> {
        let mut nodes = vec![node];
        let mut at = node;
        while let Some((_, before)) = self.before[at] {
            nodes.push(before);
            at = before;
        }
        nodes
    }
}

/// Returns what is behind `start` within `max_hops` data hops, each with the nodes from there to `start`.
pub(crate) fn walk_older(
    graph: &Graph,
    start: NodeIndex,
    max_hops: u32,
) -> Vec<(NodeIndex, Vec<NodeIndex>)> {
    let walk = walk(graph, start, max_hops, |node| graph.older(node));
    (0..graph.n_entities())
        .filter(|node| walk.hops[*node].is_some())
        .map(|node| (node, walk.way_to(node)))
        .collect()
}

/// Returns how many data hops an edge is; `None` if it carries no influence of data or weights.
fn data_hops(kind: RelationKind) -> Option<u32> {
    match kind {
        RelationKind::TrainedOn | RelationKind::DistilledFrom => Some(1),
        RelationKind::GeneratedBy
        | RelationKind::FilteredFrom
        | RelationKind::DerivedFrom
        | RelationKind::InitialisedFrom
        | RelationKind::SameAs => Some(0),
        RelationKind::PromptedWith | RelationKind::EvaluatedBy => None,
    }
}

/// Walks from `start`: over the fewest data hops, and of those ways over the fewest edges.
fn walk<I: Iterator<Item = (usize, NodeIndex)>>(
    graph: &Graph,
    start: NodeIndex,
    max_hops: u32,
    neighbours: impl Fn(NodeIndex) -> I,
) -> Walk {
    let mut walk = Walk {
        hops: vec![None; graph.n_entities()],
        before: vec![None; graph.n_entities()],
    };
    let mut n_edges = vec![u32::MAX; graph.n_entities()];
    walk.hops[start] = Some(0);
    n_edges[start] = 0;
    let mut queue = BinaryHeap::from([Reverse((0, 0, start))]);
    while let Some(Reverse((hops, edges, node))) = queue.pop() {
        if (walk.hops[node], n_edges[node]) != (Some(hops), edges) {
            continue;
        }
        for (edge, end) in neighbours(node) {
            let Some(more) = data_hops(graph.cell(edge).kind) else {
                continue;
            };
            let reached = (hops + more, edges + 1);
            let known = walk.hops[end].map(|known| (known, n_edges[end]));
            if reached.0 > max_hops || known.is_some_and(|known| known <= reached) {
                continue;
            }
            walk.hops[end] = Some(reached.0);
            n_edges[end] = reached.1;
            walk.before[end] = Some((edge, node));
            queue.push(Reverse((reached.0, reached.1, end)));
        }
    }
    walk
}
