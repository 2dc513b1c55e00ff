//! What the rules look at: models and data behind the one that is judged, each with the way from there.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::entity::{Entity, EntityKind, Origin, Verdict};
use crate::grade::Grade;
use crate::graph::{Graph, NodeIndex};
use crate::ledger::LedgerError;
use crate::query::{Path, path_of, unified, walk_older};
use crate::relation::RelationKind;

/// Everything within some data hops behind a thing.
pub(super) struct Behind<'a> {
    graph: &'a Graph,
    /// One node for each thing under all its names, with the way from it to the thing judged.
    pub(super) found: BTreeMap<NodeIndex, Vec<NodeIndex>>,
}

impl<'a> Behind<'a> {
    pub(super) fn new(graph: &'a Graph, target: NodeIndex, hops: u32) -> Self {
        let ways = walk_older(graph, target, hops);
        let mut found: BTreeMap<NodeIndex, Vec<NodeIndex>> = BTreeMap::new();
        for (node, way) in ways {
            let first = first_of(graph, node);
            match found.get(&first) {
                Some(known) if known.len() <= way.len() => {}
                _ => {
                    found.insert(first, way);
                }
            }
        }
        Behind { graph, found }
    }

    /// Returns the things of a kind, by their first node.
    pub(super) fn of(&self, kind: EntityKind) -> Vec<NodeIndex> {
        let nodes = self.found.keys().copied();
        nodes
            .filter(|node| kind_of(self.graph, *node) == Some(kind))
            .collect()
    }

    /// Returns the way from a thing to the one judged.
    pub(super) fn way(&self, node: NodeIndex) -> Result<Option<Path>, LedgerError> {
        match self.found.get(&node) {
            None => Ok(None),
            Some(way) if way.len() < 2 => Ok(None),
            Some(way) => path_of(self.graph, way).map(Some),
        }
    }
}

/// Returns the one node that stands for a thing under all its names: that with content, or the least.
pub(super) fn first_of(graph: &Graph, node: NodeIndex) -> NodeIndex {
    let all = unified(graph, node);
    let has_no_name_of = |node: &NodeIndex| {
        !graph
            .out_edges(*node)
            .any(|edge| graph.cell(edge).kind == RelationKind::SameAs)
    };
    let content = all.iter().copied().find(has_no_name_of);
    content.or(all.first().copied()).unwrap_or(node)
}

/// Returns what a thing is, under any of its names.
pub(super) fn kind_of(graph: &Graph, node: NodeIndex) -> Option<EntityKind> {
    unified(graph, node)
        .into_iter()
        .find_map(|node| graph.kind(node))
}

/// Returns a thing's edges of one kind to older things: under all its names, with the edge.
pub(super) fn older_by(
    graph: &Graph,
    node: NodeIndex,
    kind: RelationKind,
) -> Vec<(usize, NodeIndex)> {
    let mut edges = Vec::new();
    for alias in unified(graph, node) {
        for edge in graph.out_edges(alias) {
            let cell = graph.cell(edge);
            if cell.kind == kind {
                edges.push((edge, cell.to as usize));
            }
        }
    }
    edges
}

/// Returns the weights a model began as, itself first: its own and its ancestors' by `initialised-from`.
pub(super) fn weight_line(graph: &Graph, model: NodeIndex) -> BTreeMap<NodeIndex, Vec<NodeIndex>> {
    let start = first_of(graph, model);
    let mut found = BTreeMap::from([(start, vec![start])]);
    let mut open = vec![start];
    while let Some(node) = open.pop() {
        let way = found[&node].clone();
        for (_, base) in older_by(graph, node, RelationKind::InitialisedFrom) {
            let base_first = first_of(graph, base);
            if let Entry::Vacant(unseen) = found.entry(base_first) {
                let mut longer = vec![base];
                longer.extend(&way);
                unseen.insert(longer);
                open.push(base_first);
            }
        }
    }
    found
}

/// Returns the verdicts on a thing, with the evidence that it was judged.
pub(super) fn verdicts(
    graph: &Graph,
    node: NodeIndex,
) -> Result<Vec<(Verdict, Grade)>, LedgerError> {
    let mut verdicts = Vec::new();
    let mut seen = BTreeSet::new();
    for alias in unified(graph, node) {
        for edge in graph.out_edges(alias) {
            let cell = *graph.cell(edge);
            if cell.kind != RelationKind::EvaluatedBy || !seen.insert(cell.to) {
                continue;
            }
            for description in graph.descriptions(cell.to as usize)? {
                if let Entity::Verdict(verdict) = description.entity {
                    verdicts.push((verdict, cell.grade.min(description.grade)));
                }
            }
        }
    }
    Ok(verdicts)
}

/// Returns who is said to have written a dataset, by the best evidence, if it is people or a program.
pub(super) fn origin(
    graph: &Graph,
    node: NodeIndex,
) -> Result<Option<(Origin, Grade)>, LedgerError> {
    let mut best: Option<(Origin, Grade)> = None;
    for alias in unified(graph, node) {
        for description in graph.descriptions(alias)? {
            if let Entity::Dataset(dataset) = description.entity
                && let Some(origin) = dataset.origin
                && description.grade > Grade::Unknown
                && best.is_none_or(|(_, grade)| description.grade > grade)
            {
                best = Some((origin, description.grade));
            }
        }
    }
    Ok(best)
}
