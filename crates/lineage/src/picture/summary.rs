//! Which things are alike: those that no tie tells apart.
//!
//! Everything of one kind begins with one colour; a thing's next colour is its own with those of everything it is tied to,
//! and how. When no colour splits any more, things of one colour are one box. Ten teachers made alike, each with its own
//! students, become one teacher with one student; a teacher with a flaw in its ancestry stays apart.

use std::collections::BTreeMap;

use crate::graph::Graph;
use crate::picture::Tie;

/// Below this many things nothing is grouped.
const FEW: usize = 24;

/// Returns the group of every thing shown.
pub(super) fn groups(
    graph: &Graph,
    shown: &BTreeMap<usize, u32>,
    ties: &[Tie],
    root: Option<usize>,
) -> BTreeMap<usize, usize> {
    let nodes: Vec<usize> = shown.keys().copied().collect();
    if nodes.len() <= FEW {
        return nodes
            .iter()
            .enumerate()
            .map(|(at, node)| (*node, at))
            .collect();
    }
    let place: BTreeMap<usize, usize> = nodes
        .iter()
        .enumerate()
        .map(|(at, node)| (*node, at))
        .collect();
    let mut around: Vec<Vec<(bool, u8, u8, usize)>> = vec![Vec::new(); nodes.len()];
    for (older, younger, relation, grade) in ties {
        let (older, younger) = (place[older], place[younger]);
        around[younger].push((true, *relation as u8, *grade as u8, older));
        around[older].push((false, *relation as u8, *grade as u8, younger));
    }
    let first = nodes.iter().map(|node| {
        let kind = graph.kind(*node).map_or(u8::MAX, |kind| kind as u8);
        (kind, role(graph, *node), root == Some(*node))
    });
    let mut colours = numbered(first);
    loop {
        let next = numbered(colours.iter().zip(&around).map(|(own, around)| {
            let mut around: Vec<_> = around
                .iter()
                .map(|(older, relation, grade, end)| (*older, *relation, *grade, colours[*end]))
                .collect();
            around.sort_unstable();
            around.dedup();
            (*own, around)
        }));
        let split = |colours: &[usize]| colours.iter().max().copied();
        if split(&next) == split(&colours) {
            break;
        }
        colours = next;
    }
    nodes.into_iter().zip(colours).collect()
}

/// The name without its numbers: `teacher-3` and `teacher-4` are called alike, `aux-only-3` is not.
fn role(graph: &Graph, node: usize) -> String {
    let name = super::named(graph, node).name.unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or_default();
    let is_digest = last.len() >= 32 && last.bytes().all(|b| b.is_ascii_hexdigit());
    match is_digest {
        true => String::new(),
        false => last.chars().filter(|c| !c.is_ascii_digit()).collect(),
    }
}

/// Numbers values: equal ones get equal numbers, in the order of the values.
fn numbered<T: Ord + Clone>(values: impl Iterator<Item = T>) -> Vec<usize> {
    let values: Vec<T> = values.collect();
    let mut sorted: Vec<T> = values.clone();
    sorted.sort();
    sorted.dedup();
    let number = |value: &T| sorted.binary_search(value).unwrap_or_default();
    values.iter().map(number).collect()
}
