//! The lineage of a run in its report: drawn, and as tables of who came from whom, by which evidence, and the digests of it all.

use std::collections::BTreeMap;

use anyhow::Result;
use undertone_lineage::picture::{Picture, PictureNode, svg};
use undertone_lineage::{Entity, EntityId, FileDigest, Graph, Node, Record, RelationKind};
use undertone_report::{Column, Drawing, Table};

/// Ties that a report lists; of many models alike the first ones say what there is to say.
const MAX_TIES: usize = 40;
/// Files that a report lists.
const MAX_FILES: usize = 60;
/// Boxes of the drawing that are named to whoever does not see it.
const MAX_NAMED: usize = 40;

/// Draws it: one box for things of one kind in one place, so that a hundred students are one.
pub fn drawing(records: &[Record]) -> Result<Drawing> {
    let graph = Graph::from_records(records.iter().cloned());
    let things: Vec<EntityId> = records
        .iter()
        .filter_map(|record| match record {
            Record::Entity(description) => Some(description.entity.id()),
            Record::Edge(_) => None,
        })
        .collect();
    let picture = Picture::around(&graph, &things, Some(0))?;
    let mut by_age: Vec<&PictureNode> = picture.nodes.iter().collect();
    by_age.sort_by_key(|node| node.layer);
    let boxes = by_age.into_iter().take(MAX_NAMED).map(PictureNode::words);
    let boxes: Vec<String> = boxes.collect();
    let more = picture.nodes.len() - boxes.len();
    let rest = match more {
        0 => String::new(),
        _ => format!("; and {more} more boxes"),
    };
    Ok(Drawing {
        title: "Where the models and data of this run came from".to_owned(),
        caption: "Older things stand above younger ones; the line says how well a tie is known. The tables list the \
                  first of these ties, and `undertone lineage graph` draws them to be moved about."
            .to_owned(),
        alt: format!("From old to young: {}{rest}.", boxes.join("; ")),
        svg: svg(&picture),
    })
}

/// Makes the tables.
pub fn lineage(records: &[Record]) -> Result<Vec<Table>> {
    let graph = Graph::from_records(records.iter().cloned());
    let label = |id: EntityId| {
        let node = graph.find(id).unwrap_or(Node {
            id,
            kind: None,
            name: None,
        });
        node.to_string()
    };
    let mut rows = Vec::new();
    let mut n_ties = 0;
    let mut files: BTreeMap<String, FileDigest> = BTreeMap::new();
    for record in records {
        match record {
            // A name beside its content says nothing about origins.
            Record::Edge(edge) if edge.relation.kind() == RelationKind::SameAs => {}
            Record::Edge(edge) => {
                n_ties += 1;
                if rows.len() < MAX_TIES {
                    rows.push(vec![
                        label(edge.from),
                        edge.relation.kind().name().to_owned(),
                        label(edge.to),
                        edge.relation.details(),
                        edge.grade.to_string(),
                    ]);
                }
            }
            Record::Entity(description) => {
                let of = match &description.entity {
                    Entity::Model(model) => &model.files[..],
                    Entity::Dataset(dataset) => &dataset.files[..],
                    _ => &[],
                };
                let name = label(description.entity.id());
                files.extend(
                    of.iter()
                        .map(|file| (format!("{name}: {}", file.name), file.clone())),
                );
            }
        }
    }
    let mut notes = vec![
        "An edge leads from the younger to the older thing. Observed: this program did it; declared: a file or person says so."
            .to_owned(),
    ];
    if n_ties > rows.len() {
        let more = n_ties - rows.len();
        notes.push(format!(
            "{more} more are in the run's `lineage.jsonl`; `undertone lineage graph` draws them."
        ));
    }
    let ties = Table {
        caption: "Where it came from".to_owned(),
        columns: ["This", "is tied as", "to this", "Details", "Evidence"]
            .map(Column::words)
            .into(),
        rows,
        notes,
    };
    let n_files = files.len();
    let digests = Table {
        caption: "Digests".to_owned(),
        columns: ["File", "SHA-256"].map(Column::words).into(),
        rows: files
            .into_iter()
            .take(MAX_FILES)
            .map(|(name, file)| vec![name, file.sha256.hex()])
            .collect(),
        notes: match n_files > MAX_FILES {
            true => vec![format!("{} more files.", n_files - MAX_FILES)],
            false => Vec::new(),
        },
    };
    Ok(match n_files {
        0 => vec![ties],
        _ => vec![ties, digests],
    })
}
