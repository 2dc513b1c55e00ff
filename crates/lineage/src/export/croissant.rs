//! Croissant 1.1 metadata of a JSONL dataset: files with digests, fields with types, and who generated the rows.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde_json::{Value, json};

use super::{Item, Scope};
use crate::files::{ReadFileError, digest_file};
use crate::relation::RelationKind;
use crate::rows::{RowsError, read_jsonl};

/// Rows that are looked at for the types of fields.
const MAX_SAMPLED: usize = 1000;

/// The rows cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum CroissantError {
    /// The thing is no dataset.
    #[error("`{name}` is no dataset")]
    NotADataset {
        /// What it is called.
        name: String,
    },
    /// The rows cannot be read.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] ReadFileError),
    /// The file holds other rows than the dataset.
    #[error("`{file}` does not hold the rows of `{name}`: its row-set digest is {found}")]
    OtherRows {
        /// The file.
        file: String,
        /// The dataset.
        name: String,
        /// The digest found.
        found: String,
    },
}

/// Returns the metadata of the dataset whose rows lie in `file`, which is named relative to the document.
///
/// # Errors
/// [`CroissantError`], above all if the file holds other rows than were recorded.
pub fn croissant(scope: &Scope, file: &Path, at: &str) -> Result<String, CroissantError> {
    let subject = scope.subject();
    let name = subject.name.clone();
    let dataset = subject
        .dataset()
        .ok_or(CroissantError::NotADataset { name: name.clone() })?;
    let rows = read_jsonl(file, None)?;
    let file_name = file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let digest = digest_file(file)?;
    let by_file = dataset
        .files
        .iter()
        .any(|known| known.sha256 == digest.sha256);
    if dataset.row_set.is_some_and(|known| known != rows.digest)
        || (dataset.row_set.is_none() && !by_file)
    {
        let found = rows.digest.to_string();
        return Err(CroissantError::OtherRows {
            file: file_name,
            name,
            found,
        });
    }
    let fields: Vec<Value> = columns(file)
        .into_iter()
        .map(|(column, data_type)| {
            let id = format!("rows/{column}");
            let mut field = json!({
                "@type": "cr:Field",
                "@id": id,
                "name": column,
                "description": format!("Column {column}."),
                "dataType": data_type,
                "source": {"fileObject": {"@id": "rows-file"}, "extract": {"column": column}},
            });
            if data_type == "json" {
                field["dataType"] = json!("sc:Text");
            }
            field
        })
        .collect();
    let document = json!({
        "@context": context(),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": name,
        "description": describe(scope, subject),
        "url": format!("urn:undertone:{}", subject.id),
        "license": "https://spdx.org/licenses/NOASSERTION",
        "version": "1.0.0",
        "datePublished": at,
        "citeAs": format!("undertone dataset {}", subject.id),
        "identifier": subject.id.to_string(),
        "distribution": [{
            "@type": "cr:FileObject",
            "@id": "rows-file",
            "name": "rows-file",
            "description": "One JSON object a line.",
            "contentUrl": file_name,
            "contentSize": format!("{} B", digest.bytes.unwrap_or_default()),
            "encodingFormat": "application/jsonlines",
            "sha256": digest.sha256.hex(),
        }],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "rows", "name": "rows", "description": "The rows.", "field": fields}],
        "prov:wasGeneratedBy": activities(scope, subject),
    });
    Ok(format!("{document:#}\n"))
}

fn describe(scope: &Scope, subject: &Item) -> String {
    let dataset = subject.dataset();
    let rows = dataset
        .and_then(|dataset| dataset.rows)
        .map_or_else(|| "Rows".to_owned(), |rows| format!("{rows} rows"));
    let writers: Vec<String> = subject
        .by(RelationKind::GeneratedBy)
        .map(|tie| format!("{} ({})", scope.items[tie.to].name, tie.grade))
        .collect();
    match writers.is_empty() {
        true => format!("{rows}; who wrote them is not recorded."),
        false => format!("{rows}, written by {}.", writers.join(", ")),
    }
}

fn activities(scope: &Scope, subject: &Item) -> Vec<Value> {
    subject
        .ties
        .iter()
        .filter(|tie| !matches!(tie.relation.kind(), RelationKind::EvaluatedBy | RelationKind::SameAs))
        .map(|tie| {
            let other = &scope.items[tie.to];
            let role = match tie.relation.kind() {
                RelationKind::GeneratedBy => "prov:wasAssociatedWith",
                _ => "prov:used",
            };
            let files: Vec<Value> = match (other.model(), other.dataset()) {
                (Some(model), _) => model.files.iter().map(|file| json!(file.sha256.hex())).collect(),
                (_, Some(dataset)) => dataset.files.iter().map(|file| json!(file.sha256.hex())).collect(),
                _ => Vec::new(),
            };
            json!({
                "@type": "prov:Activity",
                "prov:label": format!("{} ({})", tie.relation.kind(), tie.grade),
                role: {"@type": "prov:Entity", "@id": format!("urn:undertone:{}", other.id), "prov:label": other.name, "sha256": files},
            })
        })
        .collect()
}

/// Returns the columns of the first rows with their types; a column of several types, or of lists and objects, is text.
fn columns(file: &Path) -> BTreeMap<String, &'static str> {
    let mut columns: BTreeMap<String, &'static str> = BTreeMap::new();
    let lines = File::open(file).map(|file| BufReader::new(file).lines());
    for line in lines
        .into_iter()
        .flatten()
        .take(MAX_SAMPLED)
        .map_while(Result::ok)
    {
        let Ok(Value::Object(row)) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        for (column, value) in row {
            let found = match value {
                Value::Bool(_) => "sc:Boolean",
                Value::Number(number) if number.is_i64() || number.is_u64() => "sc:Integer",
                Value::Number(_) => "sc:Float",
                Value::Null => continue,
                Value::String(_) => "sc:Text",
                _ => "json",
            };
            let known = columns.entry(column).or_insert(found);
            *known = match (*known, found) {
                (known, found) if known == found => known,
                ("sc:Integer", "sc:Float") | ("sc:Float", "sc:Integer") => "sc:Float",
                _ => "sc:Text",
            };
        }
    }
    columns
}

/// The context that the specification prescribes, and PROV.
fn context() -> Value {
    serde_json::from_str(include_str!("../../assets/croissant-context.json")).expect("we ship JSON")
}
