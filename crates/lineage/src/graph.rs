//! The graph in memory: who is tied to whom, found by id or name, walked in both directions.
//!
//! Knows edges by their ends, kind and grade; what else a record says is read when it is asked for. Questions are in
//! `query`, files in `ledger`.

use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::entity::{EntityId, EntityKind};
use crate::grade::Grade;
use crate::ledger::{
    Builder, DescriptionCell, EdgeCell, LedgerError, LedgerErrorKind, Place, SegmentReader, Tables,
};
use crate::record::{Description, Record};
use crate::relation::{Edge, Older, RelationKind};

/// The number of an entity in one [`Graph`].
pub(crate) type NodeIndex = usize;

/// The shortest part of an id that is looked up.
const MIN_PREFIX: usize = 4;
/// How many candidates an ambiguous text lists.
const MAX_CANDIDATES: usize = 8;

/// An entity, as answers name it.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Node {
    /// Its id.
    pub id: EntityId,
    /// What it is; absent if edges name it and nothing describes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<EntityKind>,
    /// Its name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.map_or("undescribed", EntityKind::name);
        match &self.name {
            Some(name) => write!(f, "{} ({kind} {})", shortened(name), self.id.short()),
            None => write!(f, "{kind} {}", self.id.short()),
        }
    }
}

/// Returns `text` on one line, without control characters and not longer than a line: names come from strangers.
pub(crate) fn clean(text: &str) -> String {
    const MAX: usize = 120;
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut clean: String = text
        .chars()
        .take(MAX)
        .map(|c| if is_hidden(c) { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(MAX).is_some() {
        clean.push('…');
    }
    clean
}

/// Returns `text` for people: on one line, with long digests cut to their first digits.
pub(crate) fn shortened(text: &str) -> String {
    const KEPT: usize = 12;
    const LONG: usize = 32;
    let mut out = String::new();
    let mut digits = String::new();
    let end = |digits: &mut String, out: &mut String| {
        let kept = if digits.len() >= LONG {
            KEPT
        } else {
            digits.len()
        };
        out.push_str(&digits[..kept]);
        digits.clear();
    };
    for c in text.chars() {
        if !c.is_ascii_hexdigit() {
            end(&mut digits, &mut out);
            out.push(c);
        } else {
            digits.push(c);
        }
    }
    end(&mut digits, &mut out);
    clean(&out)
}

/// A text names no entity, or several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Nothing has such an id or name.
    #[error("nothing in the ledger has an id or name `{text}`")]
    Nothing {
        /// What was asked for.
        text: String,
    },
    /// Several things do.
    #[error("`{text}` may be {}", candidates.iter().map(Node::to_string).collect::<Vec<_>>().join(", "))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// Some of them.
        candidates: Vec<Node>,
    },
}

impl ResolveError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            ResolveError::Nothing { .. } => {
                "give an id, at least four digits of one, or a name; `lineage add` declares what is not recorded"
            }
            ResolveError::Ambiguous { .. } => "give more of the id, or the whole name",
        }
    }
}

#[derive(Debug)]
enum Details {
    Memory(Vec<Record>),
    Segments(SegmentReader),
}

/// Entities and edges, ready to be asked.
#[derive(Debug)]
pub struct Graph {
    tables: Tables,
    /// Edges of `from` node `n` are `out_start[n]..out_start[n + 1]`.
    out_start: Vec<u32>,
    /// Edges into node `n` are `in_edges[in_start[n]..in_start[n + 1]]`.
    in_start: Vec<u32>,
    in_edges: Vec<u32>,
    /// The name of each node: a place in the table of names.
    labels: Vec<Option<u32>>,
    details: Details,
}

impl Graph {
    /// Makes a graph of records that are in no ledger.
    pub fn from_records(records: impl IntoIterator<Item = Record>) -> Self {
        let records: Vec<Record> = records.into_iter().collect();
        let mut builder = Builder::default();
        for (number, record) in (0..).zip(&records) {
            let place = Place {
                segment: 0,
                offset: number,
                length: 0,
            };
            builder.add(record, place, record.id());
        }
        Self::new(builder.finish(), Details::Memory(records))
    }

    pub(crate) fn on_disk(tables: Tables, reader: SegmentReader) -> Self {
        Self::new(tables, Details::Segments(reader))
    }

    fn new(tables: Tables, details: Details) -> Self {
        let n = tables.ids.len();
        let out_start = starts(n, tables.edges.iter().map(|edge| edge.from));
        let in_start = starts(n, tables.edges.iter().map(|edge| edge.to));
        let mut next = in_start.clone();
        let mut in_edges = vec![0; tables.edges.len()];
        for (number, edge) in (0..).zip(&tables.edges) {
            let at = &mut next[edge.to as usize];
            in_edges[*at as usize] = number;
            *at += 1;
        }
        let mut labels = vec![None; n];
        for (at, (_, node)) in (0..).zip(&tables.names) {
            labels[*node as usize].get_or_insert(at);
        }
        // What only the program has a name for is called as its run calls it.
        for edge in &tables.edges {
            let own = labels[edge.to as usize].map(|at| tables.names[at as usize].0.as_str());
            let is_ours = own.is_none_or(|name| name.starts_with("undertone-"));
            if edge.kind == RelationKind::SameAs && edge.grade > Grade::Unknown && is_ours {
                let alias = labels[edge.from as usize];
                labels[edge.to as usize] = alias.or(labels[edge.to as usize]);
            }
        }
        Graph {
            tables,
            out_start,
            in_start,
            in_edges,
            labels,
            details,
        }
    }

    /// Returns how many entities there are.
    pub fn n_entities(&self) -> usize {
        self.tables.ids.len()
    }

    /// Returns how many edges there are.
    pub fn n_edges(&self) -> usize {
        self.tables.edges.len()
    }

    /// Returns every entity of a kind, by id.
    pub fn entities(&self, kind: EntityKind) -> impl Iterator<Item = Node> {
        (0..self.n_entities())
            .filter(move |node| self.kind(*node) == Some(kind))
            .map(|node| self.node(node))
    }

    /// Returns the entity named `id`, if it is here.
    pub fn find(&self, id: EntityId) -> Option<Node> {
        self.index(id).map(|node| self.node(node))
    }

    /// Returns the descriptions of an entity, the best evidence first.
    ///
    /// # Errors
    /// If a record cannot be read back.
    pub fn descriptions_of(&self, id: EntityId) -> Result<Vec<Description>, LedgerError> {
        match self.index(id) {
            Some(node) => self.descriptions(node),
            None => Ok(Vec::new()),
        }
    }

    /// Finds the entity a person means: an id, the beginning of one, or a name with or without authority and revision.
    ///
    /// Of a name and the content it stands for, the content is returned.
    ///
    /// # Errors
    /// [`ResolveError`] if there is none, or several that are not the same thing.
    pub fn resolve(&self, text: &str) -> Result<EntityId, ResolveError> {
        let mut candidates = self.by_id(text);
        if candidates.is_empty() {
            candidates = self.by_name(text);
        }
        candidates.sort_unstable();
        candidates.dedup();
        let stands_for_other = |node: &NodeIndex| {
            self.out_edges(*node).any(|edge| {
                self.cell(edge).kind == RelationKind::SameAs
                    && candidates.contains(&(self.cell(edge).to as usize))
            })
        };
        let contents: Vec<NodeIndex> = candidates
            .iter()
            .copied()
            .filter(|node| !stands_for_other(node))
            .collect();
        match contents[..] {
            [node] => Ok(self.id(self.content_of(node))),
            [] => Err(ResolveError::Nothing {
                text: text.to_owned(),
            }),
            _ => Err(ResolveError::Ambiguous {
                text: text.to_owned(),
                candidates: contents
                    .iter()
                    .take(MAX_CANDIDATES)
                    .map(|node| self.node(*node))
                    .collect(),
            }),
        }
    }

    /// Follows a name to the one thing it stands for; a name of several things is left as it is.
    fn content_of(&self, name: NodeIndex) -> NodeIndex {
        let mut contents: Vec<NodeIndex> = self
            .out_edges(name)
            .map(|edge| self.cell(edge))
            .filter(|cell| cell.kind == RelationKind::SameAs && cell.grade > Grade::Unknown)
            .map(|cell| cell.to as usize)
            .collect();
        contents.dedup();
        match contents[..] {
            [content] => content,
            _ => name,
        }
    }

    fn by_id(&self, text: &str) -> Vec<NodeIndex> {
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if !(MIN_PREFIX..=64).contains(&text.len()) || !text.bytes().all(is_hex) {
            return Vec::new();
        }
        let mut low = [0u8; 32];
        for (at, digit) in text.bytes().enumerate() {
            let value = (digit as char)
                .to_digit(16)
                .expect("only hexadecimal digits") as u8;
            low[at / 2] |= if at % 2 == 0 { value << 4 } else { value };
        }
        let low = EntityId(undertone_core::Digest::from_bytes(low));
        let start = self.tables.ids.partition_point(|id| *id < low);
        (start..self.n_entities())
            .take_while(|node| self.id(*node).0.hex().starts_with(text))
            .take(MAX_CANDIDATES)
            .collect()
    }

    fn by_name(&self, text: &str) -> Vec<NodeIndex> {
        let exact = self.names_where(|name| name == text);
        if !exact.is_empty() {
            return exact;
        }
        self.names_where(|name| {
            let bare = name.split_once(':').map_or(name, |(_, bare)| bare);
            let unrevised =
                |name: &str| name.rsplit_once('@').is_some_and(|(name, _)| name == text);
            bare == text || unrevised(name) || unrevised(bare)
        })
    }

    fn names_where(&self, holds: impl Fn(&str) -> bool) -> Vec<NodeIndex> {
        let names = self.tables.names.iter();
        names
            .filter(|(name, _)| holds(name))
            .map(|(_, node)| *node as usize)
            .collect()
    }

    pub(crate) fn index(&self, id: EntityId) -> Option<NodeIndex> {
        self.tables.ids.binary_search(&id).ok()
    }

    pub(crate) fn id(&self, node: NodeIndex) -> EntityId {
        self.tables.ids[node]
    }

    pub(crate) fn kind(&self, node: NodeIndex) -> Option<EntityKind> {
        self.tables.kinds[node]
    }

    pub(crate) fn node(&self, node: NodeIndex) -> Node {
        let name = self.labels[node].map(|at| self.tables.names[at as usize].0.clone());
        Node {
            id: self.id(node),
            kind: self.kind(node),
            name,
        }
    }

    pub(crate) fn cell(&self, edge: usize) -> &EdgeCell {
        &self.tables.edges[edge]
    }

    pub(crate) fn out_edges(&self, node: NodeIndex) -> impl Iterator<Item = usize> + use<> {
        self.out_start[node] as usize..self.out_start[node + 1] as usize
    }

    pub(crate) fn in_edges(&self, node: NodeIndex) -> impl Iterator<Item = usize> + '_ {
        let range = self.in_start[node] as usize..self.in_start[node + 1] as usize;
        self.in_edges[range].iter().map(|edge| *edge as usize)
    }

    /// Returns the edges to what `node` came from, each with its other end. A `same-as` edge leads both ways.
    pub(crate) fn older(&self, node: NodeIndex) -> impl Iterator<Item = (usize, NodeIndex)> + '_ {
        self.neighbours(node, Older::To, Older::From)
    }

    /// Returns the edges to what came from `node`, each with its other end. A `same-as` edge leads both ways.
    pub(crate) fn younger(&self, node: NodeIndex) -> impl Iterator<Item = (usize, NodeIndex)> + '_ {
        self.neighbours(node, Older::From, Older::To)
    }

    fn neighbours(
        &self,
        node: NodeIndex,
        along: Older,
        against: Older,
    ) -> impl Iterator<Item = (usize, NodeIndex)> + '_ {
        let leads = move |edge: usize, way: Older| {
            let older = self.cell(edge).kind.older();
            older == way || older == Older::Both
        };
        let out = self
            .out_edges(node)
            .filter(move |edge| leads(*edge, along))
            .map(|edge| (edge, self.cell(edge).to as usize));
        let into = self
            .in_edges(node)
            .filter(move |edge| leads(*edge, against))
            .map(|edge| (edge, self.cell(edge).from as usize));
        out.chain(into)
    }

    pub(crate) fn descriptions(&self, node: NodeIndex) -> Result<Vec<Description>, LedgerError> {
        let cells = &self.tables.descriptions;
        let start = cells.partition_point(|cell| (cell.node as usize) < node);
        let mut found = Vec::new();
        for cell in cells[start..]
            .iter()
            .take_while(|cell| cell.node as usize == node)
        {
            let DescriptionCell { place, check, .. } = cell;
            if let Record::Entity(description) = self.record(*place, check)? {
                found.push(description);
            }
        }
        Ok(found)
    }

    pub(crate) fn edge(&self, edge: usize) -> Result<Edge, LedgerError> {
        let cell = self.cell(edge);
        match self.record(cell.place, &cell.check)? {
            Record::Edge(edge) => Ok(edge),
            // Only an index that somebody made up calls a description an edge.
            Record::Entity(_) => {
                let (offset, length) = (cell.place.offset.into(), cell.place.length.into());
                let kind = LedgerErrorKind::Displaced { offset, length };
                Err(LedgerError::new(
                    "read an edge of",
                    Path::new("lineage"),
                    kind,
                ))
            }
        }
    }

    fn record(&self, place: Place, check: &[u8; 16]) -> Result<Record, LedgerError> {
        match &self.details {
            Details::Memory(records) => Ok(records[place.offset as usize].clone()),
            Details::Segments(reader) => reader.record(place, check),
        }
    }
}

/// Returns where each node's edges begin, and the end.
fn starts(n: usize, ends: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut starts = vec![0; n + 1];
    for end in ends {
        starts[end as usize + 1] += 1;
    }
    for node in 0..n {
        starts[node + 1] += starts[node];
    }
    starts
}
