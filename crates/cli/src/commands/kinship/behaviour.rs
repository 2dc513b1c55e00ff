//! `kinship --behaviour`: is one model nearer to another, in what it says, than models that are unrelated to it?

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use serde_json::json;
use undertone_core::{Digest, exit};
use undertone_lab::behaviour::{Behaviour, MAX_WIDTH, Nearness};
use undertone_lab::lm::tiny::{TinyName, TinyShelf};
use undertone_lab::lm::train::Means;
use undertone_lab::lm::{LmBench, Subject};
use undertone_lab::{Control, weights_file};
use undertone_lineage::Verdict;
use undertone_lineage::kinship::read_network;
use undertone_mlp::{Activation, Weights};

use super::Known;
use crate::args::KinshipArgs;
use crate::commands::lm::start_threads;
use crate::context::Context;
use crate::failure::Usage;
use crate::origins::activation_of;

/// The level without `--alpha`.
const LEVEL: f64 = 0.05;
/// The activation of networks that do not say theirs.
const ASSUMED: &str = "ReLU";
/// The question of its verdicts: `lineage common` asks of weights, and a clone behaves like its original.
const QUESTION: &str = "kinship-by-behaviour";

/// A network of ours.
struct Network {
    digest: Digest,
    weights: Weights,
    /// Whether it is known what its units compute.
    knows_activation: bool,
}

/// Reads a network of ours, by its name in the lineage or from a file; `None` if it is something else.
fn network(known: &Known, name: &str) -> Result<Option<Network>> {
    let path = Path::new(name);
    let (bytes, architecture) = match known.weights(name)? {
        Some((bytes, model)) => (bytes, model.architecture),
        None if path
            .extension()
            .is_some_and(|ending| ending == "safetensors") =>
        {
            (read_network(path)?, None)
        }
        None => return Ok(None),
    };
    let activation = architecture.as_deref().and_then(activation_of);
    let Some(weights) = weights_file::decode_any(&bytes, activation.unwrap_or(Activation::Relu))
    else {
        return Ok(None);
    };
    let widest = weights
        .architecture
        .inputs
        .max(weights.architecture.outputs);
    if widest > MAX_WIDTH {
        let problem =
            format!("{name} has a layer of {widest} units, at most {MAX_WIDTH} are asked");
        return Err(Usage(problem).into());
    }
    Ok(Some(Network {
        digest: Digest::of(&bytes),
        weights,
        knows_activation: activation.is_some(),
    }))
}

/// Compares and says; the answer is the exit code.
pub fn run(context: &Context, args: &KinshipArgs, first: &str, second: &str) -> Result<u8> {
    let level = args.alpha.unwrap_or(LEVEL);
    start_threads(context)?;
    let store = context.store()?;
    let control = Control::silent(&context.stop);
    let means = Means {
        threads: context.threads,
        kept_bytes: 1 << 30,
        keep_now: &|| false,
    };
    let bench = LmBench {
        store: &store,
        control: &control,
    };
    let tiny = TinyShelf::new(bench, means);
    let lineage = Known::open(context)?;
    let assumed = Cell::new(false);
    let read = |name: &str| -> Result<(Digest, Behaviour)> {
        if let Some(network) = network(&lineage, name)? {
            if !network.knows_activation {
                context.say(format!(
                    "{name} does not say its activation: read as {ASSUMED}"
                ));
                assumed.set(true);
            }
            let behaviour = Behaviour::of_network(name, &network.weights);
            return Ok((network.digest, behaviour));
        }
        let subject = match TinyName::parse(name) {
            Some(known) => tiny.subject(known, name)?,
            None => Subject::open(name, None, &context.data_dir)?,
        };
        Ok((subject.digest, Behaviour::of(&subject)?))
    };
    let ((first_digest, a), (_, b)) = (read(first)?, read(second)?);
    let distance = |b: &Behaviour| a.distance(b).map_err(|error| Usage(error.to_string()));
    let to_second = distance(&b)?;
    let (mut unrelated, mut strangers) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for name in &args.unrelated {
        context.say(format!("reading {name}"));
        let (digest, stranger) = read(name)?;
        // The same model twice would make a rank of nothing.
        if digest == first_digest || !seen.insert(digest) {
            let problem = format!("--unrelated {name}: the same model was given before");
            return Err(Usage(problem).into());
        }
        strangers.push(format!("{name} ({})", &digest.hex()[..12]));
        unrelated.push(distance(&stranger)?);
    }
    let nearness = Nearness::new(to_second, unrelated);
    let is_kin = nearness.p_value.is_some_and(|p| p <= level);
    let least = 1.0 / (1.0 + nearness.unrelated.len() as f64);
    let reason = match nearness.p_value {
        None => "without models that are known to be unrelated nothing can be said; give some with --unrelated".to_owned(),
        Some(p) if is_kin => format!(
            "nearer than {} unrelated models, p = {p:.3}: they share a base, or one was trained to behave like the other",
            nearness.unrelated.len()
        ),
        Some(p) if least > level => format!(
            "p = {p:.3}; with {} unrelated models it cannot fall below {least:.3}, and {level} is asked",
            nearness.unrelated.len()
        ),
        Some(p) => format!(
            "p = {p:.3}: no nearer than strangers are; but a model may have gone far from its base, so that this is not `not kin`"
        ),
    };
    let outcome = if is_kin { "kin" } else { "inconclusive" };
    let recorded = match args.record {
        true => {
            let mut numbers = std::collections::BTreeMap::from([
                ("distance".to_owned(), nearness.distance),
                ("unrelated".to_owned(), nearness.unrelated.len() as f64),
            ]);
            numbers.extend(nearness.p_value.map(|p| ("p-value".to_owned(), p)));
            let mut method = format!("{reason}; strangers: {}", strangers.join(", "));
            if assumed.get() {
                method.push_str(&format!(
                    "; networks of unknown activation read as {ASSUMED}"
                ));
            }
            let verdict = Verdict {
                question: QUESTION.to_owned(),
                outcome: outcome.to_owned(),
                scope: Some(format!("{first} and {second}")),
                method: Some(method),
                numbers,
                reference: None,
            };
            Some(super::record(context, first, second, verdict)?)
        }
        false => None,
    };
    let code = if is_kin {
        exit::DONE
    } else {
        exit::INCONCLUSIVE
    };
    let value = json!({
        "first": first,
        "second": second,
        "outcome": outcome,
        "reason": reason,
        "level": level,
        "inputs": a.inputs(),
        "nearness": nearness,
        "recorded": recorded,
        "exit_code": code,
    });
    context.print(&value, || {
        let mut lines = vec![
            format!("{outcome}: {reason}"),
            format!(
                "  mean total variation of what they say to {} inputs: {:.4}",
                a.inputs(),
                nearness.distance
            ),
        ];
        let others = args.unrelated.iter().zip(&nearness.unrelated);
        lines.extend(others.map(|(name, distance)| format!("  {name}: {distance:.4}")));
        Ok(lines.join("\n"))
    })?;
    Ok(code)
}
