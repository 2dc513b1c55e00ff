//! Questions with an answer in words or JSON. Unknown is said, and is no failure unless an answer was demanded.

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::json;
use undertone_core::exit;
use undertone_lineage::EntityId;
use undertone_lineage::query::{Reach, Shared};

use super::Place;
use crate::args::{CommonArgs, ExposedArgs, ReachArgs, ThingArgs, WhyArgs, YesNo};
use crate::context::Context;

/// What is missing can only be missing if the ledger changed between two looks.
const RESOLVED: &str = "the thing was just found";

/// Shows one thing, or lists those of a run.
pub fn show(context: &Context, args: &ThingArgs) -> Result<u8> {
    let place = Place::open(context)?;
    if let Some(run) = place.run(&args.id) {
        let mut things: Vec<EntityId> = place.things(&args.id)?;
        things.sort_unstable();
        things.dedup();
        let nodes: Vec<_> = things
            .iter()
            .filter_map(|id| place.graph.find(*id))
            .collect();
        let value = json!({"run": run.id(), "things": nodes});
        context.print(&value, || {
            let mut lines: Vec<String> = nodes.iter().map(|node| format!("  {node}")).collect();
            lines.sort();
            let head = format!("{}: {} things are recorded", run.id(), lines.len());
            Ok(format!("{head}\n{}", lines.join("\n")))
        })?;
        return Ok(exit::DONE);
    }
    let shown = place.graph.show(place.resolve(&args.id)?)?;
    answer(context, &shown.context(RESOLVED)?)
}

/// Lists what something came from.
pub fn ancestors(context: &Context, args: &ReachArgs) -> Result<u8> {
    reach(context, args, |place, id| {
        place.graph.ancestors(id, args.hops)
    })
}

/// Lists what came from something.
pub fn descendants(context: &Context, args: &ReachArgs) -> Result<u8> {
    reach(context, args, |place, id| {
        place.graph.descendants(id, args.hops)
    })
}

fn reach(
    context: &Context,
    args: &ReachArgs,
    walk: impl FnOnce(&Place, EntityId) -> Option<Reach>,
) -> Result<u8> {
    let place = Place::open(context)?;
    let id = place.resolve(&args.id)?;
    answer(context, &walk(&place, id).context(RESOLVED)?)
}

/// Lists paths between two things.
pub fn why(context: &Context, args: &WhyArgs) -> Result<u8> {
    let place = Place::open(context)?;
    let (first, second) = (place.resolve(&args.first)?, place.resolve(&args.second)?);
    let why = place.graph.why(first, second, args.paths)?;
    answer(context, &why)?;
    let is_unknown = why.forward.is_empty() && why.backward.is_empty();
    Ok(match args.expect && is_unknown {
        true => exit::INCONCLUSIVE,
        false => exit::DONE,
    })
}

/// Lists who learned from a model.
pub fn exposed(context: &Context, args: &ExposedArgs) -> Result<u8> {
    let place = Place::open(context)?;
    let exposed = place.graph.exposed(place.resolve(&args.id)?, args.hops)?;
    answer(context, &exposed.context(RESOLVED)?)
}

/// Says who wrote a dataset.
pub fn shares(context: &Context, args: &ThingArgs) -> Result<u8> {
    let place = Place::open(context)?;
    let shares = place.graph.shares(place.resolve(&args.id)?)?;
    answer(context, &shares.context(RESOLVED)?)
}

/// Says whether two models share an initialisation.
pub fn common(context: &Context, args: &CommonArgs) -> Result<u8> {
    let place = Place::open(context)?;
    let (first, second) = (place.resolve(&args.first)?, place.resolve(&args.second)?);
    let common = place.graph.common(first, second)?;
    answer(context, &common)?;
    Ok(match (args.expect, common.shared) {
        (None, _) => exit::DONE,
        (Some(_), Shared::Unknown) => exit::INCONCLUSIVE,
        (Some(YesNo::Yes), Shared::Yes) | (Some(YesNo::No), Shared::No) => exit::DONE,
        (Some(_), _) => exit::CHECK_FAILED,
    })
}

fn answer(context: &Context, answer: &(impl Serialize + ToString)) -> Result<u8> {
    context.print(answer, || Ok(answer.to_string()))?;
    Ok(exit::DONE)
}
