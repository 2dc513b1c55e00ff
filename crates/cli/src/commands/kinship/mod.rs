//! `kinship`: do two models share a base, by their weights or by what they say?

mod behaviour;
mod calibrate;
mod decoders;
mod near;

use anyhow::{Context as _, Result};
use serde_json::json;
use undertone_core::exit;
use undertone_lineage::entity::model_named;
use undertone_lineage::kinship::{KinModel, KinshipOutcome, KinshipRule, judge};
use undertone_lineage::{Draft, Entity, EntityId, Grade, Ledger, Model, Name, Relation, Verdict};

use crate::args::KinshipArgs;
use crate::commands::lineage::Place;
use crate::context::Context;
use crate::failure::Usage;

/// Compares two models; the answer is the exit code.
pub fn run(context: &Context, args: &KinshipArgs) -> Result<u8> {
    let mut rule = KinshipRule::default();
    rule.alpha = args.alpha.unwrap_or(rule.alpha);
    rule.permutations = args.permutations.unwrap_or(rule.permutations);
    let is_level = rule.alpha > 0.0 && rule.alpha < 1.0;
    if !is_level || !(99..=1_000_000).contains(&rule.permutations) {
        let problem = "--alpha is between 0 and 1, --permutations between 99 and 1000000";
        return Err(Usage(problem.to_owned()).into());
    }
    if let Some(path) = &args.calibrate {
        return match args.decoders {
            true => decoders::run(context, &rule, args.pairs, path),
            false => calibrate::run(context, &rule, args.pairs, path),
        };
    }
    let (first, second) = args
        .first
        .as_deref()
        .zip(args.second.as_deref())
        .context("clap demands both")?;
    if args.behaviour {
        return behaviour::run(context, args, first, second);
    }
    let (a, b) = (open(context, first)?, open(context, second)?);
    let kinship = judge(&a, &b, &rule)?;
    let recorded = match args.record {
        true => Some(record(
            context,
            first,
            second,
            kinship.verdict(first, second),
        )?),
        false => None,
    };
    let code = match kinship.outcome {
        KinshipOutcome::Inconclusive => exit::INCONCLUSIVE,
        _ => exit::DONE,
    };
    let value = json!({"first": first, "second": second, "kinship": kinship, "recorded": recorded, "exit_code": code});
    context.print(&value, || Ok(kinship.to_string()))?;
    Ok(code)
}

/// Opens a model: a thing of the lineage if there is one with weights in the store, else what the engine opens.
fn open(context: &Context, text: &str) -> Result<KinModel> {
    Ok(match stored(context, text)? {
        Some((bytes, _)) => KinModel::from_bytes(&bytes, std::path::Path::new(text))?,
        None => KinModel::open(text, &context.data_dir)?,
    })
}

/// Returns the weights that a thing of the lineage has in the store, with what is known of it.
fn stored(context: &Context, text: &str) -> Result<Option<(Vec<u8>, Model)>> {
    if !std::path::Path::new(text).exists()
        && context.root.join("store.json").exists()
        && let Ok(place) = Place::open(context)
        && let Ok(id) = place.resolve(text)
    {
        for description in place.graph.descriptions_of(id)? {
            let Entity::Model(model) = description.entity else {
                continue;
            };
            let digest = model.files.first().and_then(|file| file.blake3);
            if let Some(digest) = digest.filter(|digest| place.store.contains(digest)) {
                return Ok(Some((place.store.get(&digest)?, model)));
            }
        }
    }
    Ok(None)
}

/// Writes the verdict into the lineage; things that are not there yet are declared by their names.
fn record(context: &Context, first: &str, second: &str, verdict: Verdict) -> Result<EntityId> {
    let store = context.store()?;
    let ledger = Ledger::of_store(store.root());
    let graph = ledger.graph()?;
    let mut draft = Draft::observed();
    draft.graded(Grade::Fingerprint);
    let verdict = draft.entity(Entity::Verdict(verdict));
    for text in [first, second] {
        let id = match graph.resolve(text) {
            Ok(id) => id,
            Err(_) => {
                let last = std::path::Path::new(text)
                    .file_name()
                    .map(|name| name.to_string_lossy());
                draft.entity(model_named(Name::new(
                    "local",
                    last.as_deref().unwrap_or(text),
                )))
            }
        };
        draft.edge(id, verdict, Relation::EvaluatedBy {});
    }
    ledger.append(draft.into_records())?;
    Ok(verdict)
}
