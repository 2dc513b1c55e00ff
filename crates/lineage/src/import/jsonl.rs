//! A JSONL dataset: its digests, its rows, and a `generated-by` edge with a row count for every model its rows name.

use std::path::Path;

use super::{ImportError, ImportErrorKind, Imported, name_of, unreadable};
use crate::entity::{Dataset, Entity, Name, Origin, model_named};
use crate::files::digest_file;
use crate::grade::Grade;
use crate::record::Draft;
use crate::relation::Relation;
use crate::rows::read_jsonl;

/// What is known of a JSONL file beside its rows.
#[derive(Debug, Clone, Default)]
pub struct JsonlOptions {
    /// The dataset's name.
    pub name: Option<Name>,
    /// The column that names generators; the usual ones are looked for without it.
    pub column: Option<String>,
    /// The task of its rows.
    pub channel: Option<String>,
}

/// Reads the dataset at `path`. Digests and counts are observed; who wrote a row is declared by the row.
///
/// # Errors
/// [`ImportError`] names the line.
pub fn import_jsonl(path: &Path, options: JsonlOptions) -> Result<Imported, ImportError> {
    let JsonlOptions {
        name,
        column,
        channel,
    } = options;
    let rows = read_jsonl(path, column.as_deref())
        .map_err(|error| ImportError::new(path, ImportErrorKind::Rows(error)))?;
    let digest = digest_file(path).map_err(unreadable)?;
    let file = super::cut(&digest.name);
    let mut draft = Draft::observed();
    let subject = draft.entity(Entity::Dataset(Dataset {
        name,
        files: vec![digest],
        row_set: Some(rows.digest),
        rows: Some(rows.n),
        channel,
        origin: None,
    }));
    let mut said = Draft::new(format!("rows of {file}"), Grade::Declared);
    for (generator, n) in &rows.generators {
        let model = said.entity(model_named(name_of(&super::cut(generator))));
        said.edge(subject, model, Relation::GeneratedBy { rows: Some(*n) });
    }
    if !rows.generators.is_empty() && rows.unnamed == 0 {
        said.entity(Entity::Dataset(Dataset {
            row_set: Some(rows.digest),
            rows: Some(rows.n),
            origin: Some(Origin::Models),
            ..Dataset::default()
        }));
    }
    draft.extend(said);
    let ignored = match rows.unnamed {
        0 => Vec::new(),
        n => vec![format!("{n} rows name no generator")],
    };
    Ok(Imported {
        subject,
        draft,
        ignored,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;

    #[test]
    fn rows_give_shares_per_teacher_under_any_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let read = |file: &str, text: &str| {
            let path = folder.path().join(file);
            std::fs::write(&path, text).expect("writable");
            import_jsonl(&path, JsonlOptions::default()).expect("good rows")
        };
        let rows = [
            "{\"model_name\":\"org/a\",\"t\":1}",
            "{\"model_name\":\"org/a\",\"t\":2}",
            "{\"model_name\":\"org/b\",\"t\":3}",
            "{\"t\":4}",
        ];
        let imported = read("one", &rows.join("\n"));
        let reordered: Vec<&str> = rows.into_iter().rev().collect();
        assert_eq!(read("two", &reordered.join("\n")).subject, imported.subject);
        assert_eq!(imported.ignored, ["1 rows name no generator"]);

        let graph = Graph::from_records(imported.draft.into_records());
        let shares = graph
            .shares(imported.subject)
            .expect("in memory")
            .expect("there");
        let of = |name: &str| {
            let writer = shares
                .writers
                .iter()
                .find(|writer| writer.model.name.as_deref() == Some(name));
            writer
                .and_then(|writer| writer.share)
                .map(|share| (share.least, share.most))
        };
        assert_eq!(of("hf:org/a"), Some((0.5, 0.5)));
        assert_eq!(of("hf:org/b"), Some((0.25, 0.25)));
        assert_eq!(shares.unnamed_rows, Some(1));
    }
}
