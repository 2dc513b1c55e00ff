//! The rule about signatures: what is behind the thing judged was made by runs that somebody trusted signed, and nothing
//! under the signature was changed since.
//!
//! Runs are found by the names they gave. A thing counts as signed if the records under the signature of one of these runs
//! describe it: a name alone, which anybody can write into a ledger, vouches for nothing. Things that nothing older is recorded of were not made
//! by a run, so no run can sign them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::walk::{Behind, kind_of};
use super::{Finding, GateOutcome};
use crate::entity::{Entity, EntityId, EntityKind, Name};
use crate::envelope::{PublicKey, RUN_LINEAGE, envelope_path, verify_run};
use crate::files::read_bounded;
use crate::graph::{Graph, NodeIndex, clean};
use crate::ledger::{LedgerError, read_records_file};
use crate::query::unified;
use crate::record::Record;
use crate::relation::RelationKind;

/// The authority of names that runs give.
const RUN: &str = "undertone";
/// The longest lineage of a run that is read.
const MAX_BYTES: u64 = 1 << 30;

/// What is known of a run's signature.
enum Signed {
    /// It holds, and the signed records describe these things.
    Holds(BTreeSet<EntityId>),
    /// There is none by a trusted key.
    Missing,
    /// It does not hold, and why.
    Broken(String),
}

/// Returns how many things were looked at, and those that no trusted signature covers.
pub(super) fn signatures_hold(
    graph: &Graph,
    behind: &Behind<'_>,
    keys: &[PathBuf],
    allow_unknown: bool,
    root: &Path,
) -> Result<(usize, Vec<Finding>), LedgerError> {
    let (mut trusted, mut findings) = (Vec::new(), Vec::new());
    for path in keys {
        match PublicKey::read(path) {
            Ok(key) => trusted.push(key),
            // Never passed over: with it other signatures would have been looked for.
            Err(error) => {
                let Some(at) = behind.found.keys().next().copied() else {
                    continue;
                };
                findings.push(Finding {
                    outcome: GateOutcome::Unknown,
                    message: format!(
                        "`{}` is no public key that can be read: {error}",
                        path.display()
                    ),
                    at: graph.node(at),
                    path: None,
                });
            }
        }
    }
    let made: Vec<NodeIndex> = behind
        .found
        .keys()
        .copied()
        .filter(|node| is_made(graph, *node))
        .collect();
    let mut runs: BTreeMap<String, Signed> = BTreeMap::new();
    let mut named_by = Vec::new();
    for node in &made {
        let names = runs_of(graph, *node)?;
        for run in &names {
            if !runs.contains_key(run) {
                runs.insert(run.clone(), signature(root, run, &trusted));
            }
        }
        named_by.push(names);
    }
    for (node, names) in made.iter().zip(&named_by) {
        let ids: Vec<EntityId> = unified(graph, *node)
            .into_iter()
            .map(|node| graph.id(node))
            .collect();
        let is_covered = runs.values().any(|signed| match signed {
            Signed::Holds(described) => ids.iter().any(|id| described.contains(id)),
            _ => false,
        });
        let broken = names.iter().find_map(|run| match &runs[run] {
            Signed::Broken(why) => Some(why.clone()),
            _ => None,
        });
        let (outcome, message) = match (broken, is_covered) {
            (Some(why), _) => (GateOutcome::Tampered, why),
            (None, true) => continue,
            (None, false) if allow_unknown => continue,
            (None, false) => {
                let node = graph.node(*node);
                let message = format!("{node} is under no signature of a trusted key");
                (GateOutcome::Unknown, message)
            }
        };
        findings.push(Finding {
            outcome,
            message,
            at: graph.node(*node),
            path: behind.way(*node)?,
        });
    }
    Ok((made.len(), findings))
}

/// Checks a run's signatures by trusted keys.
fn signature(root: &Path, run: &str, trusted: &[PublicKey]) -> Signed {
    let shown = clean(run);
    let envelopes = trusted.iter().map(|key| envelope_path(root, run, key));
    let signed: Vec<PathBuf> = envelopes.filter(|path| path.exists()).collect();
    if signed.is_empty() {
        return Signed::Missing;
    }
    for path in signed {
        match verify_run(root, &path, trusted) {
            Ok(check) if check.run.as_deref() != Some(run) => {
                return Signed::Broken(format!(
                    "`{}` is the signature of another run",
                    path.display()
                ));
            }
            Ok(check) => {
                if let Some(first) = check.differences.first() {
                    let n = check.differences.len();
                    return Signed::Broken(format!(
                        "run `{shown}` is not as it was signed, {n} differences: {first}"
                    ));
                }
            }
            Err(error) => {
                let why = &error.kind;
                return Signed::Broken(format!(
                    "the signature of run `{shown}` does not hold: {why}"
                ));
            }
        }
    }
    let path = root.join("runs").join(run).join(RUN_LINEAGE);
    let records = read_bounded(&path, MAX_BYTES)
        .map_err(|error| error.to_string())
        .and_then(|bytes| read_records_file(&path, &bytes).map_err(|error| error.to_string()));
    match records {
        Ok(records) => Signed::Holds(
            records
                .into_iter()
                .filter_map(|record| match record {
                    Record::Entity(description) => Some(description.entity.id()),
                    Record::Edge(_) => None,
                })
                .collect(),
        ),
        Err(error) => Signed::Broken(format!(
            "the lineage of run `{shown}` cannot be read: {error}"
        )),
    }
}

/// Says whether a thing is a model or dataset that something older is recorded of, but for its names.
fn is_made(graph: &Graph, node: NodeIndex) -> bool {
    let kind = kind_of(graph, node);
    matches!(kind, Some(EntityKind::Model | EntityKind::Dataset))
        && unified(graph, node).into_iter().any(|alias| {
            graph
                .older(alias)
                .any(|(edge, _)| graph.cell(edge).kind != RelationKind::SameAs)
        })
}

/// Returns the runs that named a thing.
fn runs_of(graph: &Graph, node: NodeIndex) -> Result<Vec<String>, LedgerError> {
    let mut runs = BTreeSet::new();
    for alias in unified(graph, node) {
        for description in graph.descriptions(alias)? {
            let name: Option<Name> = match description.entity {
                Entity::Model(model) => model.name,
                Entity::Dataset(dataset) => dataset.name,
                _ => None,
            };
            let run = name.filter(|name| name.authority == RUN).and_then(|name| {
                let (run, _) = name.name.split_once('/')?;
                Some(run.to_owned())
            });
            // A name becomes a path below.
            let is_plain = |run: &String| {
                run.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            };
            runs.extend(run.filter(is_plain));
        }
    }
    Ok(runs.into_iter().collect())
}
