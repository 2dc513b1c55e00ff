//! The lineage of a run as tables of its report: who came from whom, by which evidence, and the digests of it all.

use std::collections::BTreeMap;

use anyhow::Result;
use undertone_lineage::{Entity, EntityId, FileDigest, Graph, Node, Record};
use undertone_report::{Column, Table};

/// Ties that a report lists; of many models alike the first ones say what there is to say.
const MAX_TIES: usize = 40;
/// Files that a report lists.
const MAX_FILES: usize = 60;

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
