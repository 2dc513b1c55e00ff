//! A part of the graph to be looked at: chosen, summarised, and drawn as text for other programs or as SVG and HTML.
//!
//! Many models made alike are one box with a count: things that no tie tells apart are drawn once (`summary`). What is still
//! too much is cut at the things nearest to where one began, and the picture says so. Layers are generations, oldest
//! first (`layout`). Everything written is treated as hostile.

mod html;
mod layout;
mod summary;
mod svg;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::entity::{EntityId, EntityKind};
use crate::grade::Grade;
use crate::graph::{Graph, Node};
use crate::ledger::LedgerError;
use crate::relation::RelationKind;

pub use html::html;
pub use svg::svg;
pub use text::{dot, mermaid};

/// The most boxes of a picture.
pub const MAX_BOXES: usize = 400;
/// The most things that are looked at.
const MAX_THINGS: usize = 200_000;

/// A box: one thing, or several that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PictureNode {
    /// The thing, the first of several by id.
    pub node: Node,
    /// How many things it stands for.
    pub count: usize,
    /// Its generation, the oldest is 0.
    pub layer: usize,
    /// Whether it is what the picture was asked of.
    pub is_root: bool,
}

impl PictureNode {
    /// Returns what stands in the box: name, number of things alike, kind.
    pub fn words(&self) -> String {
        let (name, what) = label(self);
        format!("{name} ({what})")
    }
}

/// An arrow, from the older to the younger box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PictureEdge {
    /// The older end: a place in the list of nodes.
    pub older: usize,
    /// The younger end.
    pub younger: usize,
    /// What it says.
    pub relation: RelationKind,
    /// The weakest evidence among the ties it stands for.
    pub grade: Grade,
    /// How many ties it stands for.
    pub count: usize,
}

/// A part of the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Picture {
    /// The boxes, nearest to what was asked of first.
    pub nodes: Vec<PictureNode>,
    /// The arrows.
    pub edges: Vec<PictureEdge>,
    /// How many things there are in the part of the graph.
    pub things: usize,
    /// How many things no box stands for, because there would be too many boxes.
    pub left_out: usize,
}

impl Picture {
    /// Chooses what is within `hops` of `roots` in both directions, and summarises it.
    ///
    /// # Errors
    /// If a record cannot be read back.
    pub fn around(
        graph: &Graph,
        roots: &[EntityId],
        hops: Option<u32>,
    ) -> Result<Picture, LedgerError> {
        let roots: BTreeSet<usize> = roots.iter().filter_map(|id| graph.index(*id)).collect();
        let distance = chosen(graph, &roots, hops);
        let mut ties = Vec::new();
        for younger in distance.keys() {
            for (edge, older) in graph.older(*younger) {
                let cell = graph.cell(edge);
                // A name beside its content adds a box and says nothing.
                if cell.kind != RelationKind::SameAs && distance.contains_key(&older) {
                    ties.push((older, *younger, cell.kind, cell.grade));
                }
            }
        }
        let tied: BTreeSet<usize> = ties.iter().flat_map(|tie| [tie.0, tie.1]).collect();
        let is_shown =
            |node: &usize| tied.contains(node) || (roots.contains(node) && roots.len() == 1);
        let shown: BTreeMap<usize, u32> = distance
            .into_iter()
            .filter(|(node, _)| is_shown(node))
            .collect();
        let single_root = (roots.len() == 1)
            .then(|| roots.iter().next().copied())
            .flatten();
        let groups = summary::groups(graph, &shown, &ties, single_root);
        Ok(assemble(graph, &shown, &ties, &groups, single_root))
    }
}

/// Returns what is within some hops, each with its distance. From one thing the walk goes to older things of older ones and
/// younger of younger ones; siblings are not followed.
fn chosen(graph: &Graph, roots: &BTreeSet<usize>, hops: Option<u32>) -> BTreeMap<usize, u32> {
    let mut distance: BTreeMap<usize, u32> = roots.iter().map(|node| (*node, 0)).collect();
    for is_older in [true, false] {
        let mut frontier: Vec<usize> = roots.iter().copied().collect();
        let mut seen: BTreeSet<usize> = roots.clone();
        let mut at = 0;
        while !frontier.is_empty() && hops.is_none_or(|hops| at < hops) {
            at += 1;
            let mut next = Vec::new();
            for node in frontier {
                let ends: Vec<usize> = match is_older {
                    true => graph.older(node).map(|(_, end)| end).collect(),
                    false => graph.younger(node).map(|(_, end)| end).collect(),
                };
                for end in ends {
                    if distance.len() < MAX_THINGS && seen.insert(end) {
                        distance.entry(end).or_insert(at);
                        next.push(end);
                    }
                }
            }
            frontier = next;
        }
    }
    distance
}

type Tie = (usize, usize, RelationKind, Grade);

fn assemble(
    graph: &Graph,
    shown: &BTreeMap<usize, u32>,
    ties: &[Tie],
    groups: &BTreeMap<usize, usize>,
    single_root: Option<usize>,
) -> Picture {
    // The members of each group; the first one stands for all.
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (node, group) in groups {
        members.entry(*group).or_default().push(*node);
    }
    let mut order: Vec<(u32, usize, usize)> = members
        .iter()
        .map(|(group, nodes)| {
            let nearest = nodes.iter().map(|node| shown[node]).min().unwrap_or(0);
            (nearest, nodes[0], *group)
        })
        .collect();
    order.sort_unstable();
    let left_out: usize = order
        .iter()
        .skip(MAX_BOXES)
        .map(|(_, _, group)| members[group].len())
        .sum();
    order.truncate(MAX_BOXES);
    let place: BTreeMap<usize, usize> = order
        .iter()
        .enumerate()
        .map(|(at, (_, _, group))| (*group, at))
        .collect();
    let mut arrows: BTreeMap<(usize, usize, RelationKind), (Grade, usize)> = BTreeMap::new();
    for (older, younger, relation, grade) in ties {
        let (older, younger) = (place.get(&groups[older]), place.get(&groups[younger]));
        let (Some(older), Some(younger)) = (older, younger) else {
            continue;
        };
        if older != younger {
            let arrow = arrows
                .entry((*older, *younger, *relation))
                .or_insert((*grade, 0));
            arrow.0 = arrow.0.min(*grade);
            arrow.1 += 1;
        }
    }
    let edges: Vec<PictureEdge> = arrows
        .into_iter()
        .map(|((older, younger, relation), (grade, count))| PictureEdge {
            older,
            younger,
            relation,
            grade,
            count,
        })
        .collect();
    let layers = layout::layers(order.len(), &edges);
    let nodes: Vec<PictureNode> = order
        .iter()
        .zip(layers)
        .map(|((_, first, group), layer)| PictureNode {
            node: named(graph, *first),
            count: members[group].len(),
            layer,
            is_root: single_root == Some(*first),
        })
        .collect();
    Picture {
        things: shown.len(),
        nodes,
        edges,
        left_out,
    }
}

/// Returns a node under the friendliest of its names: that of a run, then that of a person, then its own.
fn named(graph: &Graph, node: usize) -> Node {
    let own = graph.node(node);
    let mut names: Vec<String> = crate::query::unified(graph, node)
        .into_iter()
        .filter_map(|alias| graph.node(alias).name)
        .collect();
    names.sort_by_key(|name| {
        let rank = match name.split_once(':').map(|(authority, _)| authority) {
            Some("undertone-step" | "undertone-init" | "undertone-noise") => 2,
            Some("undertone") => 0,
            _ => 1,
        };
        (rank, name.clone())
    });
    Node {
        name: names.into_iter().next().or(own.name.clone()),
        ..own
    }
}

/// Returns the two lines of a box: what it is called and what it is.
fn label(node: &PictureNode) -> (String, String) {
    let kind = node.node.kind.map_or("undescribed", EntityKind::name);
    let short = node.node.id.short();
    let name = node.node.name.as_deref().map(crate::graph::shortened);
    let name = name.unwrap_or_else(|| short.clone());
    let name = name.strip_prefix("undertone:").unwrap_or(&name).to_owned();
    let first = match node.count {
        1 => name,
        n => format!("{name} and {} alike", n - 1),
    };
    (first, format!("{kind} {short}"))
}
