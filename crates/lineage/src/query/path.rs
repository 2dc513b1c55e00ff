//! Paths between two things: each hop with all the evidence for it, each path with its weakest hop.
//!
//! A path follows influence, from the older thing to the younger one, through data as well as weights. All simple paths
//! are listed, shortest first, up to a cap on their number and on the work; the answer says when it was cut.

use std::collections::VecDeque;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::entity::EntityId;
use crate::grade::Grade;
use crate::graph::{Graph, Node, NodeIndex, clean};
use crate::ledger::LedgerError;
use crate::relation::Relation;

/// How many steps the search takes before it gives up on further paths.
const MAX_WORK: usize = 2_000_000;

/// One piece of evidence for a hop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HopEdge {
    /// What the edge says.
    pub relation: Relation,
    /// How well it is known.
    pub grade: Grade,
    /// Who says so.
    pub by: String,
    /// The step in which it came about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<EntityId>,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hop {
    /// The older end.
    pub older: Node,
    /// The younger end.
    pub younger: Node,
    /// Everything recorded between the two, the best evidence first.
    pub edges: Vec<HopEdge>,
    /// The best evidence for this hop.
    pub grade: Grade,
}

/// A way of influence, from older to younger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Path {
    /// Its hops.
    pub hops: Vec<Hop>,
    /// The weakest of the hops' evidence; `verified` for a path without hops.
    pub weakest: Grade,
}

impl Path {
    pub(crate) fn new(hops: Vec<Hop>) -> Self {
        let weakest = hops.iter().map(|hop| hop.grade).min();
        Path {
            hops,
            weakest: weakest.unwrap_or(Grade::Verified),
        }
    }

    /// Returns it on one line.
    pub fn one_line(&self) -> String {
        let mut text = match self.hops.first() {
            None => return "no hops".to_owned(),
            Some(first) => first.older.to_string(),
        };
        for hop in &self.hops {
            let relations: Vec<&str> = hop
                .edges
                .iter()
                .map(|edge| edge.relation.kind().name())
                .collect();
            let relation = relations.first().copied().unwrap_or("tied");
            text.push_str(&format!(" -> [{relation}, {}] {}", hop.grade, hop.younger));
        }
        text
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.hops.first() else {
            return writeln!(f, "  (no hops)");
        };
        writeln!(f, "  {}", first.older)?;
        for hop in &self.hops {
            for edge in &hop.edges {
                let details = edge.relation.details();
                let details = match details.is_empty() {
                    true => String::new(),
                    false => format!(" ({})", clean(&details)),
                };
                let kind = edge.relation.kind();
                writeln!(
                    f,
                    "    {kind}{details}: {}, {}",
                    edge.grade,
                    clean(&edge.by)
                )?;
            }
            writeln!(f, "  {}", hop.younger)?;
        }
        writeln!(f, "  weakest evidence: {}", self.weakest)
    }
}

/// The answer to "how did the one come to influence the other".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Why {
    /// The first thing.
    pub a: Node,
    /// The second thing.
    pub b: Node,
    /// Paths from the first to the second, shortest first.
    pub forward: Vec<Path>,
    /// Paths from the second to the first, shortest first.
    pub backward: Vec<Path>,
    /// Whether there may be more paths than are listed.
    pub cut: bool,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (from, to, paths) in [
            (&self.a, &self.b, &self.forward),
            (&self.b, &self.a, &self.backward),
        ] {
            for (n, path) in paths.iter().enumerate() {
                writeln!(f, "path {} of {}: from {from} to {to}", n + 1, paths.len())?;
                path.fmt(f)?;
            }
        }
        if self.forward.is_empty() && self.backward.is_empty() {
            writeln!(f, "no path between {} and {} is recorded", self.a, self.b)?;
            writeln!(
                f,
                "which does not mean that there is none; `common` asks for a shared initialisation"
            )?;
        }
        match self.cut {
            true => writeln!(f, "cut: there may be more paths than these"),
            false => Ok(()),
        }
    }
}

impl Graph {
    /// Lists the paths between two things in both directions, at most `cap` in each.
    ///
    /// # Errors
    /// If a record cannot be read back. Ids that are not here have no paths.
    pub fn why(&self, a: EntityId, b: EntityId, cap: usize) -> Result<Why, LedgerError> {
        let unknown = |id| Node {
            id,
            kind: None,
            name: None,
        };
        let mut why = Why {
            a: self.find(a).unwrap_or_else(|| unknown(a)),
            b: self.find(b).unwrap_or_else(|| unknown(b)),
            forward: Vec::new(),
            backward: Vec::new(),
            cut: false,
        };
        if let (Some(from), Some(to)) = (self.index(a), self.index(b)) {
            let forward = simple_paths(self, from, to, cap);
            let backward = simple_paths(self, to, from, cap);
            why.cut = forward.cut || backward.cut;
            why.forward = self.told(&forward.paths)?;
            why.backward = self.told(&backward.paths)?;
        }
        Ok(why)
    }

    fn told(&self, paths: &[Vec<NodeIndex>]) -> Result<Vec<Path>, LedgerError> {
        paths.iter().map(|nodes| path_of(self, nodes)).collect()
    }
}

/// Returns the path along `nodes`, oldest first.
pub(crate) fn path_of(graph: &Graph, nodes: &[NodeIndex]) -> Result<Path, LedgerError> {
    let hops = nodes.windows(2).map(|pair| hop(graph, pair[0], pair[1]));
    hops.collect::<Result<_, _>>().map(Path::new)
}

/// Returns everything recorded between two neighbours.
pub(crate) fn hop(graph: &Graph, older: NodeIndex, younger: NodeIndex) -> Result<Hop, LedgerError> {
    let mut edges = Vec::new();
    for (edge, end) in graph.older(younger) {
        if end == older {
            let edge = graph.edge(edge)?;
            edges.push(HopEdge {
                relation: edge.relation,
                grade: edge.grade,
                by: edge.by,
                step: edge.step,
            });
        }
    }
    edges.sort_by_key(|edge| (std::cmp::Reverse(edge.grade), edge.relation.kind()));
    let grade = edges.iter().map(|edge| edge.grade).max();
    Ok(Hop {
        older: graph.node(older),
        younger: graph.node(younger),
        edges,
        grade: grade.unwrap_or(Grade::Unknown),
    })
}

struct Found {
    paths: Vec<Vec<NodeIndex>>,
    cut: bool,
}

/// Lists simple paths of influence by length; within a length by the ids on the way.
fn simple_paths(graph: &Graph, from: NodeIndex, to: NodeIndex, cap: usize) -> Found {
    let mut found = Found {
        paths: Vec::new(),
        cut: false,
    };
    let remaining = distances_to(graph, to);
    if from == to || remaining[from].is_none() {
        return found;
    }
    let mut search = Search {
        graph,
        to,
        remaining,
        on_path: vec![false; graph.n_entities()],
        path: Vec::new(),
        work: 0,
        cap,
        found: &mut found,
        is_deeper: true,
    };
    let mut length = search.remaining[from].unwrap_or_default();
    // A length at which nothing was pruned for being too short has no longer paths behind it.
    while std::mem::take(&mut search.is_deeper) && !search.found.cut {
        search.visit(from, length);
        length += 1;
    }
    found
}

struct Search<'a> {
    graph: &'a Graph,
    to: NodeIndex,
    remaining: Vec<Option<u32>>,
    on_path: Vec<bool>,
    path: Vec<NodeIndex>,
    work: usize,
    cap: usize,
    found: &'a mut Found,
    is_deeper: bool,
}

impl Search<'_> {
    /// Finds all paths of exactly `length` more hops; an own stack, because hostile chains are long.
    fn visit(&mut self, from: NodeIndex, length: u32) {
        let mut stack = vec![self.enter(from, length)];
        while let Some((left, next)) = stack.last_mut() {
            let left = *left;
            match next.pop() {
                None => {
                    stack.pop();
                    let node = self.path.pop().expect("one node for each frame");
                    self.on_path[node] = false;
                }
                Some(node) => {
                    if self.work > MAX_WORK {
                        self.found.cut = true;
                    }
                    if node == self.to && left == 1 {
                        if self.found.paths.len() == self.cap {
                            self.found.cut = true;
                        } else {
                            let mut path = self.path.clone();
                            path.push(node);
                            self.found.paths.push(path);
                        }
                    } else {
                        stack.push(self.enter(node, left - 1));
                    }
                }
            }
            if self.found.cut {
                for node in self.path.drain(..) {
                    self.on_path[node] = false;
                }
                return;
            }
        }
    }

    /// Puts `node` on the path and returns its continuations that can reach the end in the hops left, last first.
    fn enter(&mut self, node: NodeIndex, left: u32) -> (u32, Vec<NodeIndex>) {
        self.on_path[node] = true;
        self.path.push(node);
        let mut next = Vec::new();
        for (_, younger) in self.graph.younger(node) {
            self.work += 1;
            let Some(remaining) = self.remaining[younger] else {
                continue;
            };
            if self.on_path[younger] {
                continue;
            }
            if remaining + 1 > left {
                self.is_deeper = true;
            } else if younger != self.to || left == 1 {
                next.push(younger);
            }
        }
        next.sort_unstable_by(|a, b| b.cmp(a));
        next.dedup();
        (left, next)
    }
}

/// Returns the least number of hops from each node to `to`; `None` where there is no way.
fn distances_to(graph: &Graph, to: NodeIndex) -> Vec<Option<u32>> {
    let mut distances = vec![None; graph.n_entities()];
    distances[to] = Some(0);
    let mut queue = VecDeque::from([(to, 0)]);
    while let Some((node, distance)) = queue.pop_front() {
        for (_, older) in graph.older(node) {
            if distances[older].is_none() {
                distances[older] = Some(distance + 1);
                queue.push_back((older, distance + 1));
            }
        }
    }
    distances
}
