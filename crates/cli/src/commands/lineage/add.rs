//! `lineage add`: what people declare. Digests of files they point at are observed; all else is their word.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use undertone_core::exit;
use undertone_lineage::entity::{dataset_named, model_named};
use undertone_lineage::files::digest_file;
use undertone_lineage::rows::read_jsonl;
use undertone_lineage::{
    Dataset, Derivation, Draft, Entity, EntityId, FileDigest, Grade, Graph, Ledger, Model, Name,
    Origin, Relation, ResolveError, Step,
};

use crate::args::{AddCommand, AddDatasetArgs, AddModelArgs, AddStepArgs, OriginName};
use crate::context::Context;
use crate::failure::Usage;

/// Declares one thing with its ties.
pub fn run(context: &Context, what: &AddCommand) -> Result<u8> {
    let store = context.store()?;
    let ledger = Ledger::of_store(store.root());
    let graph = ledger.graph()?;
    let (id, draft) = match what {
        AddCommand::Model(args) => model(&graph, args)?,
        AddCommand::Dataset(args) => dataset(&graph, args)?,
        AddCommand::Step(args) => step(&graph, args)?,
    };
    ledger.append(draft.into_records())?;
    let graph = ledger.graph()?;
    let node = graph.find(id).context("it was just added")?;
    context.print(&json!({"added": node}), || Ok(format!("declared {node}")))?;
    Ok(exit::DONE)
}

/// Returns the thing of a name: what is there, or a new one of which only the name is known.
fn other(
    graph: &Graph,
    draft: &mut Draft,
    text: &str,
    named: fn(Name) -> Entity,
) -> Result<EntityId> {
    match graph.resolve(text) {
        Ok(id) => Ok(id),
        Err(error @ ResolveError::Ambiguous { .. }) => Err(error.into()),
        Err(ResolveError::Nothing { .. }) => Ok(draft.entity(named(name(text)))),
    }
}

fn name(text: &str) -> Name {
    match text.parse() {
        Ok(name) => name,
        Err(never) => match never {},
    }
}

/// Splits `WHAT[=DETAIL]`; names have no `=`.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once('=') {
        Some((what, detail)) => (what, Some(detail)),
        None => (text, None),
    }
}

fn counted(text: &str) -> Result<(&str, Option<u64>)> {
    let (what, count) = split(text);
    let count = count.map(|count| {
        count
            .parse()
            .map_err(|_| Usage(format!("`{text}`: rows are a whole number")))
    });
    Ok((what, count.transpose()?))
}

fn digests(files: &[PathBuf]) -> Result<Vec<FileDigest>> {
    files
        .iter()
        .map(|path| {
            digest_file(path).map_err(|error| {
                let why = error.source.to_string();
                Usage(format!("--file {}: {why}", path.display())).into()
            })
        })
        .collect()
}

fn model(graph: &Graph, args: &AddModelArgs) -> Result<(EntityId, Draft)> {
    let AddModelArgs {
        name: named,
        files,
        initialised_from,
        how,
        trained_on,
        distilled_from,
        initialisation,
        architecture,
        adapter,
        dtype,
        quantisation,
        engine,
        said,
    } = args;
    let mut draft = Draft::new(&said.by, Grade::Declared);
    let id = draft.entity(Entity::Model(Model {
        name: Some(name(named)),
        files: digests(files)?,
        initialisation: initialisation.clone(),
        architecture: architecture.clone(),
        adapter: adapter.clone(),
        dtype: dtype.clone(),
        quantisation: quantisation.clone(),
        engine: engine.clone(),
        ..Model::default()
    }));
    for base in initialised_from {
        let base = other(graph, &mut draft, base, model_named)?;
        draft.edge(id, base, Relation::InitialisedFrom { how: how.clone() });
    }
    for text in trained_on {
        let (dataset, rows) = counted(text)?;
        let dataset = other(graph, &mut draft, dataset, dataset_named)?;
        draft.edge(id, dataset, Relation::TrainedOn { rows });
    }
    for teacher in distilled_from {
        let teacher = other(graph, &mut draft, teacher, model_named)?;
        draft.edge(id, teacher, Relation::DistilledFrom {});
    }
    Ok((id, draft))
}

fn dataset(graph: &Graph, args: &AddDatasetArgs) -> Result<(EntityId, Draft)> {
    let AddDatasetArgs {
        name: named,
        files,
        rows,
        channel,
        origin,
        generated_by,
        filtered_from,
        kept,
        dropped,
        derived_from,
        prompted_with,
        said,
    } = args;
    let mut draft = Draft::new(&said.by, Grade::Declared);
    let mut dataset = Dataset {
        name: Some(name(named)),
        files: digests(files)?,
        rows: *rows,
        channel: channel.clone(),
        origin: origin.map(|origin| match origin {
            OriginName::Models => Origin::Models,
            OriginName::People => Origin::People,
            OriginName::Program => Origin::Program,
        }),
        ..Dataset::default()
    };
    if let [file] = &files[..]
        && file.extension().is_some_and(|ending| ending == "jsonl")
    {
        let read = read_jsonl(file, None)?;
        dataset.row_set = Some(read.digest);
        dataset.rows = dataset.rows.or(Some(read.n));
    }
    let id = draft.entity(Entity::Dataset(dataset));
    for text in generated_by {
        let (model, rows) = counted(text)?;
        let model = other(graph, &mut draft, model, model_named)?;
        draft.edge(id, model, Relation::GeneratedBy { rows });
    }
    if let Some(source) = filtered_from {
        let source = other(graph, &mut draft, source, dataset_named)?;
        let dropped = drops(dropped)?;
        let kept = *kept;
        draft.edge(id, source, Relation::FilteredFrom { kept, dropped });
    }
    for text in derived_from {
        let (source, how) = split(text);
        let how = match how {
            Some("mask") => Derivation::Mask,
            Some("paraphrase") => Derivation::Paraphrase,
            Some("subset") => Derivation::Subset,
            Some("mixture") => Derivation::Mixture,
            Some(word) => Derivation::Other(word.to_owned()),
            None => Derivation::Other("unsaid".to_owned()),
        };
        let source = other(graph, &mut draft, source, dataset_named)?;
        draft.edge(id, source, Relation::DerivedFrom { how, rows: None });
    }
    for prompts in prompted_with {
        let prompts = other(graph, &mut draft, prompts, dataset_named)?;
        draft.edge(id, prompts, Relation::PromptedWith { prompt: None });
    }
    Ok((id, draft))
}

/// Returns the drops by reason; `None` if nothing was said of them.
fn drops(texts: &[String]) -> Result<Option<BTreeMap<String, u64>>> {
    let mut drops = BTreeMap::new();
    for text in texts {
        let (reason, count) = counted(text)?;
        let count = count.ok_or_else(|| Usage(format!("`--dropped {text}`: REASON=N is meant")))?;
        if count > 0 {
            drops.insert(reason.to_owned(), count);
        }
    }
    Ok((!texts.is_empty()).then_some(drops))
}

fn step(graph: &Graph, args: &AddStepArgs) -> Result<(EntityId, Draft)> {
    let AddStepArgs {
        kind,
        code,
        key,
        settings,
        seeds,
        made,
        said,
    } = args;
    let mut draft = Draft::new(&said.by, Grade::Declared);
    let settings = match settings {
        None => Value::Null,
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Usage(format!("--settings {}: {error}", path.display())))?;
            serde_json::from_str(&text)
                .map_err(|error| Usage(format!("--settings {}: {error}", path.display())))?
        }
    };
    let id = draft.entity(Entity::Step(Step {
        kind: kind.clone(),
        code: code.clone(),
        key: key.clone(),
        settings,
        seeds: seeds.clone(),
        started_at: None,
        ended_at: None,
    }));
    for text in made {
        let made = graph.resolve(text)?;
        draft.edge(made, id, Relation::GeneratedBy { rows: None });
    }
    Ok((id, draft))
}
