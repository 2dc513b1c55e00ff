//! Everything something came from, or that came from it, within some hops.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::entity::EntityId;
use crate::grade::Grade;
use crate::graph::{Graph, Node, NodeIndex};

/// How many lines of an answer are written as text; JSON has all of it.
const MAX_LINES: usize = 200;

/// Something that was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reached {
    /// What.
    pub node: Node,
    /// In how many hops, at least.
    pub hops: u32,
    /// The weakest evidence on the best of the shortest ways there.
    pub weakest: Grade,
}

/// What something came from, or what came from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reach {
    /// Where the walk began.
    pub start: Node,
    /// What was reached, nearest first, then by id.
    pub reached: Vec<Reached>,
    /// Whether there is more beyond the hops asked for.
    pub cut: bool,
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} recorded", self.start, self.reached.len())?;
        for reached in self.reached.iter().take(MAX_LINES) {
            let Reached {
                node,
                hops,
                weakest,
            } = reached;
            writeln!(f, "  {hops:>3}  {weakest:<11}  {node}")?;
        }
        if self.reached.len() > MAX_LINES {
            writeln!(f, "  and {} more", self.reached.len() - MAX_LINES)?;
        }
        match self.cut {
            true => writeln!(f, "cut: there is more beyond these hops"),
            false => Ok(()),
        }
    }
}

impl Graph {
    /// Returns what `id` came from, within `max_hops`. `None` if it is not here.
    pub fn ancestors(&self, id: EntityId, max_hops: Option<u32>) -> Option<Reach> {
        let start = self.index(id)?;
        Some(walk(self, start, max_hops, |node| self.older(node)))
    }

    /// Returns what came from `id`, within `max_hops`. `None` if it is not here.
    pub fn descendants(&self, id: EntityId, max_hops: Option<u32>) -> Option<Reach> {
        let start = self.index(id)?;
        Some(walk(self, start, max_hops, |node| self.younger(node)))
    }
}

fn walk<I: Iterator<Item = (usize, NodeIndex)>>(
    graph: &Graph,
    start: NodeIndex,
    max_hops: Option<u32>,
    neighbours: impl Fn(NodeIndex) -> I,
) -> Reach {
    // The weakest evidence on the way to each node, once it was reached.
    let mut weakest: Vec<Option<(u32, Grade)>> = vec![None; graph.n_entities()];
    weakest[start] = Some((0, Grade::Verified));
    let mut frontier = vec![start];
    let mut reached = Vec::new();
    let mut hops = 0;
    while !frontier.is_empty() && max_hops.is_none_or(|max| hops < max) {
        hops += 1;
        let mut next = Vec::new();
        for node in &frontier {
            let (_, so_far) = weakest[*node].expect("nodes of the frontier were reached");
            for (edge, end) in neighbours(*node) {
                let grade = so_far.min(graph.cell(edge).grade);
                match &mut weakest[end] {
                    Some((at, known)) if *at == hops => *known = grade.max(*known),
                    Some(_) => {}
                    unseen => {
                        *unseen = Some((hops, grade));
                        next.push(end);
                    }
                }
            }
        }
        next.sort_unstable();
        reached.extend(next.iter().map(|node| Reached {
            node: graph.node(*node),
            hops,
            weakest: weakest[*node].expect("it was just reached").1,
        }));
        frontier = next;
    }
    let is_new = |(_, end): (usize, NodeIndex)| weakest[end].is_none();
    let cut = frontier.iter().any(|node| neighbours(*node).any(is_new));
    Reach {
        start: graph.node(start),
        reached,
        cut,
    }
}
