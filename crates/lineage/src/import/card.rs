//! Model and dataset cards of the Hugging Face hub: `base_model`, `base_model_relation`, `datasets`, `source_datasets`.
//!
//! Only the front matter is read. Everything it says is declared by the card's author. A card without `base_model` says
//! nothing about where the model began: that stays unknown.

use std::path::Path;

use super::yaml::{self, Yaml};
use super::{
    ImportError, ImportErrorKind, Imported, MAX_ITEMS, add_base, cut, hub_name, name_of,
    read_document,
};
use crate::entity::{EntityId, Name, dataset_named, model_named};
use crate::grade::Grade;
use crate::record::Draft;
use crate::relation::{Derivation, Relation};

/// Whose card it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardKind {
    /// A model's.
    Model,
    /// A dataset's.
    Dataset,
}

/// Reads the card at `path` of the thing called `name`; `known` is its content, if that is in the ledger already.
///
/// # Errors
/// [`ImportError`] names the line or field.
pub fn import_card(
    path: &Path,
    kind: CardKind,
    name: &Name,
    known: Option<EntityId>,
) -> Result<Imported, ImportError> {
    let bytes = read_document(path)?;
    read_card(&bytes, kind, name, known).map_err(|kind| ImportError::new(path, kind))
}

fn read_card(
    bytes: &[u8],
    kind: CardKind,
    name: &Name,
    known: Option<EntityId>,
) -> Result<Imported, ImportErrorKind> {
    let text = std::str::from_utf8(bytes).map_err(|_| ImportErrorKind::NotText)?;
    let front = front_matter(text)?;
    let yaml = yaml::parse(front).map_err(|error| ImportErrorKind::Yaml {
        // The front matter begins in the file's second line.
        line: error.line + 1,
        problem: error.problem,
    })?;
    let mut draft = Draft::new(format!("card of {name}"), Grade::Declared);
    let mut ignored = Vec::new();
    let named = match kind {
        CardKind::Model => model_named(name.clone()),
        CardKind::Dataset => dataset_named(name.clone()),
    };
    let subject = match known {
        None => draft.entity(named),
        Some(known) => {
            let named = draft.entity(named);
            draft.edge(named, known, Relation::SameAs {});
            known
        }
    };
    match kind {
        CardKind::Model => {
            let relation = list(&yaml, "base_model_relation")?;
            for base in list(&yaml, "base_model")? {
                let how = relation.first().map(|how| cut(how));
                add_base(&mut draft, subject, &cut(base), how.as_deref());
            }
            for dataset in list(&yaml, "datasets")? {
                let name = hub_name(dataset).unwrap_or_else(|| name_of(&cut(dataset)));
                let dataset = draft.entity(dataset_named(name));
                draft.edge(subject, dataset, Relation::TrainedOn { rows: None });
            }
        }
        CardKind::Dataset => {
            for source in list(&yaml, "source_datasets")? {
                // The hub's own words for where rows are from, mostly not names.
                let source = source.strip_prefix("extended|").unwrap_or(source);
                if !source.contains('/') || hub_name(source).is_none() {
                    ignored.push(format!("source_datasets: {}", cut(source)));
                    continue;
                }
                let source = draft.entity(dataset_named(name_of(source)));
                let how = Derivation::Other("source".to_owned());
                draft.edge(subject, source, Relation::DerivedFrom { how, rows: None });
            }
        }
    }
    Ok(Imported {
        subject,
        draft,
        ignored,
    })
}

fn front_matter(text: &str) -> Result<&str, ImportErrorKind> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let rest = text
        .strip_prefix("---\n")
        .or_else(|| text.strip_prefix("---\r\n"))
        .ok_or(ImportErrorKind::NoFrontMatter)?;
    let mut end = 0;
    for line in rest.split_inclusive('\n') {
        if matches!(line.trim_end(), "---" | "...") {
            return Ok(&rest[..end]);
        }
        end += line.len();
    }
    Err(ImportErrorKind::NoFrontMatter)
}

fn list<'a>(yaml: &'a Yaml, field: &str) -> Result<Vec<&'a str>, ImportErrorKind> {
    let fail = |problem: &str| ImportErrorKind::Field {
        field: field.to_owned(),
        problem: problem.to_owned(),
    };
    let Some(value) = yaml.get(field) else {
        return Ok(Vec::new());
    };
    let texts = value
        .texts()
        .ok_or_else(|| fail("should be a name or a list of names"))?;
    if texts.len() > MAX_ITEMS {
        return Err(fail("has more names than a card may have"));
    }
    let is_said = |text: &&str| !matches!(*text, "" | "~" | "null");
    Ok(texts.into_iter().filter(is_said).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::graph::Graph;
    use crate::query::Shared;

    fn name() -> Name {
        Name::new("hf", "me/student")
    }

    fn model(text: &str) -> Result<Imported, ImportErrorKind> {
        read_card(text.as_bytes(), CardKind::Model, &name(), None)
    }

    #[test]
    fn a_model_card_gives_bases_and_datasets() {
        let text = "---\nlicense: mit\nbase_model:\n  - org/base\nbase_model_relation: finetune\ndatasets: [org/numbers]\n---\n# Card\n";
        let imported = model(text).expect("the card is good");
        let graph = Graph::from_records(imported.draft.into_records());
        let student = graph.resolve("me/student").expect("it is there");
        let base = graph.resolve("hf:org/base").expect("it is there");
        assert_eq!(student, imported.subject);
        let common = graph.common(student, base).expect("in memory");
        assert_eq!(
            (common.shared, common.grade),
            (Shared::Yes, Grade::Declared)
        );
        let ancestors = graph.ancestors(student, None).expect("it is there");
        assert_eq!(ancestors.reached.len(), 2);
    }

    #[test]
    fn a_dataset_card_gives_sources_and_says_what_it_left_out() {
        let text = "---\nsource_datasets:\n- original\n- extended|org/data\n---\n";
        let imported = read_card(text.as_bytes(), CardKind::Dataset, &name(), None).expect("good");
        assert_eq!(imported.ignored, ["source_datasets: original"]);
        let graph = Graph::from_records(imported.draft.into_records());
        assert!(graph.resolve("org/data").is_ok());
    }

    #[test]
    fn broken_cards_are_refused_with_a_place() {
        for text in [
            "# no front matter",
            "---\na: 1\n",
            "---\nbase_model: {a: b}\n---\n",
            "---\na: [\n---\n",
        ] {
            assert!(model(text).is_err(), "{text}");
        }
        let error = model("---\nok: 1\nbad: [1\nx: }\n---\n").expect_err("broken");
        assert!(
            matches!(error, ImportErrorKind::Yaml { line: 3.., .. }),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn arbitrary_cards_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "(base_model|datasets|base_model_relation): ?[-a-z/\\[\\]{},\n &*]{0,40}\n") {
            let _ = read_card(&bytes, CardKind::Model, &name(), None);
            let _ = model(&format!("---\n{text}---\n"));
            let _ = read_card(format!("---\n{text}---\n").as_bytes(), CardKind::Dataset, &name(), None);
        }
    }
}
