//! `kinship`: do two models share a base, by their weights or by what they say?

mod behaviour;
mod calibrate;
mod decoders;
mod near;

use std::path::Path;

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
    let known = Known::open(context)?;
    let open = |text: &str| -> Result<KinModel> {
        Ok(match known.weights(text)? {
            Some((bytes, _)) => KinModel::from_bytes(&bytes, Path::new(text))?,
            None => KinModel::open(text, &context.data_dir)?,
        })
    };
    let (a, b) = (open(first)?, open(second)?);
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

/// The things of the lineage, if the store has one; a model that is none of them is what the engine opens.
struct Known(Option<Place>);

impl Known {
    /// Opens the lineage once for all names of a command line.
    fn open(context: &Context) -> Result<Self> {
        let is_there = context.root.join("store.json").exists();
        Ok(Self(is_there.then(|| Place::open(context)).transpose()?))
    }

    /// Returns the weights that a thing has in the store, with what is known of it; a file goes before a name.
    fn weights(&self, text: &str) -> Result<Option<(Vec<u8>, Model)>> {
        let Some(place) = self.0.as_ref().filter(|_| !Path::new(text).exists()) else {
            return Ok(None);
        };
        let Ok(id) = place.resolve(text) else {
            return Ok(None);
        };
        for description in place.graph.descriptions_of(id)? {
            let Entity::Model(model) = description.entity else {
                continue;
            };
            let digest = model.files.first().and_then(|file| file.blake3);
            if let Some(digest) = digest.filter(|digest| place.store.contains(digest)) {
                return Ok(Some((place.store.get(&digest)?, model)));
            }
        }
        Ok(None)
    }
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
                let last = Path::new(text)
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
