//! The tables behind a graph, and the cache file they are kept in.
//!
//! Nodes are numbered in the order of their ids, edges sorted by their ends: the numbers do not depend on how records
//! are spread over segments. Everything a query walks over is here; details stay in the segments, at a [`Place`]. The
//! file is little-endian: magic, BLAKE3 of the rest, the tables. Whatever does not check is treated as absent.

use std::collections::HashMap;
use std::path::Path;

use undertone_core::Digest;

use crate::entity::{EntityId, EntityKind};
use crate::grade::Grade;
use crate::record::Record;
use crate::relation::RelationKind;

const MAGIC: &[u8; 8] = b"UTLINE01";
/// Stands for the kind of an entity that edges name and nobody describes.
const UNDESCRIBED: u8 = u8::MAX;

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The number of the segment in the tables.
    pub(crate) segment: u32,
    /// The first byte of the record.
    pub(crate) offset: u32,
    /// Its length without the newline.
    pub(crate) length: u32,
}

/// An edge, without its details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EdgeCell {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) kind: RelationKind,
    pub(crate) grade: Grade,
    pub(crate) place: Place,
    /// The first half of the record's digest.
    pub(crate) check: [u8; 16],
}

/// A description, without its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DescriptionCell {
    pub(crate) node: u32,
    pub(crate) grade: Grade,
    pub(crate) place: Place,
    pub(crate) check: [u8; 16],
}

/// Everything a graph is walked with.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// The segments covered, with their sizes.
    pub(crate) segments: Vec<(Digest, u64)>,
    /// The nodes, sorted.
    pub(crate) ids: Vec<EntityId>,
    /// What each node is; `None` if nobody describes it.
    pub(crate) kinds: Vec<Option<EntityKind>>,
    /// Sorted by node, the best evidence first.
    pub(crate) descriptions: Vec<DescriptionCell>,
    /// Sorted by from, to, kind.
    pub(crate) edges: Vec<EdgeCell>,
    /// Names of nodes, sorted.
    pub(crate) names: Vec<(String, u32)>,
}

/// Collects records into tables.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    tables: Tables,
    nodes: HashMap<EntityId, u32>,
}

impl From<Tables> for Builder {
    fn from(tables: Tables) -> Self {
        let nodes = (0..)
            .zip(&tables.ids)
            .map(|(node, id)| (*id, node))
            .collect();
        Builder { tables, nodes }
    }
}

impl Builder {
    /// Begins the next segment and returns its number.
    pub(crate) fn begin_segment(&mut self, digest: Digest, bytes: u64) -> u32 {
        self.tables.segments.push((digest, bytes));
        u32::try_from(self.tables.segments.len() - 1).expect("fewer than 2^32 segments")
    }

    pub(crate) fn add(&mut self, record: &Record, place: Place, digest: Digest) {
        let mut check = [0; 16];
        check.copy_from_slice(&digest.as_bytes()[..16]);
        match record {
            Record::Entity(description) => {
                let node = self.node(description.entity.id());
                self.tables.kinds[node as usize] = Some(description.entity.kind());
                self.tables.descriptions.push(DescriptionCell {
                    node,
                    grade: description.grade,
                    place,
                    check,
                });
                if let Some(name) = description.entity.name() {
                    self.tables.names.push((name, node));
                }
            }
            Record::Edge(edge) => {
                let (from, to) = (self.node(edge.from), self.node(edge.to));
                self.tables.edges.push(EdgeCell {
                    from,
                    to,
                    kind: edge.relation.kind(),
                    grade: edge.grade,
                    place,
                    check,
                });
            }
        }
    }

    fn node(&mut self, id: EntityId) -> u32 {
        let next = u32::try_from(self.tables.ids.len()).expect("fewer than 2^32 entities");
        *self.nodes.entry(id).or_insert_with(|| {
            self.tables.ids.push(id);
            self.tables.kinds.push(None);
            next
        })
    }

    /// Sorts everything and drops what was recorded twice.
    pub(crate) fn finish(self) -> Tables {
        let mut tables = self.tables;
        let mut order: Vec<u32> = (0..).take(tables.ids.len()).collect();
        order.sort_unstable_by_key(|node| tables.ids[*node as usize]);
        let mut moved = vec![0; order.len()];
        for (new, old) in (0..).zip(&order) {
            moved[*old as usize] = new;
        }
        tables.ids = order.iter().map(|old| tables.ids[*old as usize]).collect();
        tables.kinds = order
            .iter()
            .map(|old| tables.kinds[*old as usize])
            .collect();

        for edge in &mut tables.edges {
            edge.from = moved[edge.from as usize];
            edge.to = moved[edge.to as usize];
        }
        tables
            .edges
            .sort_unstable_by_key(|edge| (edge.from, edge.to, edge.kind, edge.check, edge.place));
        tables.edges.dedup_by_key(|edge| edge.check);

        for description in &mut tables.descriptions {
            description.node = moved[description.node as usize];
        }
        tables.descriptions.sort_unstable_by_key(|cell| {
            (
                cell.node,
                std::cmp::Reverse(cell.grade),
                cell.check,
                cell.place,
            )
        });
        tables.descriptions.dedup_by_key(|cell| cell.check);

        for (_, node) in &mut tables.names {
            *node = moved[*node as usize];
        }
        tables.names.sort_unstable();
        tables.names.dedup();
        tables
    }
}

/// Reads the cache; `None` if it is not there, damaged or of another version.
pub(crate) fn read(path: &Path) -> Option<Tables> {
    decode(&std::fs::read(path).ok()?)
}

/// Returns the cache file of `tables`.
pub(crate) fn encode(tables: &Tables) -> Vec<u8> {
    let capacity = 64 + tables.edges.len() * 38 + tables.ids.len() * 96;
    let mut out = Vec::with_capacity(capacity);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[0; 32]);
    put_length(&mut out, tables.segments.len());
    for (digest, bytes) in &tables.segments {
        out.extend_from_slice(digest.as_bytes());
        out.extend_from_slice(&bytes.to_le_bytes());
    }
    put_length(&mut out, tables.ids.len());
    for (id, kind) in tables.ids.iter().zip(&tables.kinds) {
        out.extend_from_slice(id.0.as_bytes());
        out.push(kind.map_or(UNDESCRIBED, |kind| kind as u8));
    }
    put_length(&mut out, tables.descriptions.len());
    for cell in &tables.descriptions {
        out.extend_from_slice(&cell.node.to_le_bytes());
        out.push(cell.grade as u8);
        put_place(&mut out, cell.place, &cell.check);
    }
    put_length(&mut out, tables.edges.len());
    for edge in &tables.edges {
        out.extend_from_slice(&edge.from.to_le_bytes());
        out.extend_from_slice(&edge.to.to_le_bytes());
        out.push(edge.kind as u8);
        out.push(edge.grade as u8);
        put_place(&mut out, edge.place, &edge.check);
    }
    put_length(&mut out, tables.names.len());
    for (name, node) in &tables.names {
        put_length(&mut out, name.len());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&node.to_le_bytes());
    }
    let digest = blake3::hash(&out[40..]);
    out[8..40].copy_from_slice(digest.as_bytes());
    out
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).expect("tables have fewer than 2^32 rows");
    out.extend_from_slice(&length.to_le_bytes());
}

fn put_place(out: &mut Vec<u8>, place: Place, check: &[u8; 16]) {
    for number in [place.segment, place.offset, place.length] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(check);
}

/// Reads tables back, checking every number that is used as an index later.
pub(crate) fn decode(bytes: &[u8]) -> Option<Tables> {
    let (header, payload) = bytes.split_at_checked(40)?;
    if header[..8] != MAGIC[..] || header[8..] != blake3::hash(payload).as_bytes()[..] {
        return None;
    }
    let mut cursor = Cursor { rest: payload };
    let mut tables = Tables::default();
    let n_segments = cursor.rows(40)?;
    for _ in 0..n_segments {
        let digest = Digest::from_bytes(cursor.array()?);
        tables
            .segments
            .push((digest, u64::from_le_bytes(cursor.array()?)));
    }
    let n_nodes = cursor.rows(33)?;
    tables.ids.reserve_exact(n_nodes);
    tables.kinds.reserve_exact(n_nodes);
    for _ in 0..n_nodes {
        tables
            .ids
            .push(EntityId(Digest::from_bytes(cursor.array()?)));
        tables.kinds.push(match cursor.byte()? {
            UNDESCRIBED => None,
            kind => Some(*EntityKind::ALL.get(kind as usize)?),
        });
    }
    let node = |number: u32| ((number as usize) < n_nodes).then_some(number);
    let n_descriptions = cursor.rows(33)?;
    tables.descriptions.reserve_exact(n_descriptions);
    for _ in 0..n_descriptions {
        let node = node(cursor.number()?)?;
        let grade = *Grade::ALL.get(cursor.byte()? as usize)?;
        let (place, check) = cursor.place(n_segments)?;
        tables.descriptions.push(DescriptionCell {
            node,
            grade,
            place,
            check,
        });
    }
    let n_edges = cursor.rows(38)?;
    tables.edges.reserve_exact(n_edges);
    for _ in 0..n_edges {
        let (from, to) = (node(cursor.number()?)?, node(cursor.number()?)?);
        let kind = *RelationKind::ALL.get(cursor.byte()? as usize)?;
        let grade = *Grade::ALL.get(cursor.byte()? as usize)?;
        let (place, check) = cursor.place(n_segments)?;
        tables.edges.push(EdgeCell {
            from,
            to,
            kind,
            grade,
            place,
            check,
        });
    }
    let n_names = cursor.rows(8)?;
    tables.names.reserve_exact(n_names);
    for _ in 0..n_names {
        let length = cursor.number()? as usize;
        let name = std::str::from_utf8(cursor.take(length)?).ok()?;
        tables
            .names
            .push((name.to_owned(), node(cursor.number()?)?));
    }
    let sorted = tables.ids.is_sorted_by(|a, b| a < b)
        && tables.edges.is_sorted_by_key(|edge| (edge.from, edge.to))
        && tables.descriptions.is_sorted_by_key(|cell| cell.node)
        && tables.names.is_sorted();
    (sorted && cursor.rest.is_empty()).then_some(tables)
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Reads a count of rows of at least `row_bytes` each; never more than the rest can hold.
    fn rows(&mut self, row_bytes: usize) -> Option<usize> {
        let count = self.number()? as usize;
        (count <= self.rest.len() / row_bytes).then_some(count)
    }

    fn place(&mut self, n_segments: usize) -> Option<(Place, [u8; 16])> {
        let place = Place {
            segment: self.number()?,
            offset: self.number()?,
            length: self.number()?,
        };
        ((place.segment as usize) < n_segments).then_some(())?;
        Some((place, self.array()?))
    }
}
