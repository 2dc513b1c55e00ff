//! The rule about signatures: runs that made what is behind the thing judged are signed by somebody who is trusted, and
//! nothing under the signature was changed since.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::walk::Behind;
use super::{Finding, GateOutcome};
use crate::entity::{Entity, Name};
use crate::envelope::{PublicKey, envelope_path, verify_run};
use crate::graph::{Graph, NodeIndex, clean};
use crate::ledger::LedgerError;
use crate::query::unified;

/// The authority of names that runs give.
const RUN: &str = "undertone";

/// Returns how many runs were looked at, and those that are not signed or not as they were.
pub(super) fn signatures_hold(
    graph: &Graph,
    behind: &Behind<'_>,
    keys: &[PathBuf],
    allow_unknown: bool,
    root: &Path,
) -> Result<(usize, Vec<Finding>), LedgerError> {
    let (mut trusted, mut unread) = (Vec::new(), Vec::new());
    for path in keys {
        match PublicKey::read(path) {
            Ok(key) => trusted.push(key),
            Err(error) => unread.push(format!(
                "`{}` is no key that can be read: {error}",
                path.display()
            )),
        }
    }
    let mut runs: BTreeMap<String, NodeIndex> = BTreeMap::new();
    for node in behind.found.keys().copied() {
        for run in runs_of(graph, node)? {
            runs.entry(run).or_insert(node);
        }
    }
    let mut findings = Vec::new();
    for (run, node) in &runs {
        let envelopes = trusted.iter().map(|key| envelope_path(root, run, key));
        let signed: Vec<PathBuf> = envelopes.filter(|path| path.exists()).collect();
        let mut find = |outcome, message| -> Result<(), LedgerError> {
            findings.push(Finding {
                outcome,
                message,
                at: graph.node(*node),
                path: behind.way(*node)?,
            });
            Ok(())
        };
        let shown = clean(run);
        if signed.is_empty() {
            if !allow_unknown {
                let reason = match unread.is_empty() {
                    true => String::new(),
                    false => format!("; {}", unread.join("; ")),
                };
                let message = format!("run `{shown}` has no signature of a trusted key{reason}");
                find(GateOutcome::Unknown, message)?;
            }
            continue;
        }
        for path in signed {
            match verify_run(root, &path, &trusted) {
                Ok(check) => {
                    // The envelope of another run under this one's name would list other files.
                    if check.run.as_deref() != Some(run) {
                        let message =
                            format!("`{}` is the signature of another run", path.display());
                        find(GateOutcome::Tampered, message)?;
                    }
                    if let Some(first) = check.differences.first() {
                        let n = check.differences.len();
                        let message = format!(
                            "run `{shown}` is not as it was signed, {n} differences: {first}"
                        );
                        find(GateOutcome::Tampered, message)?;
                    }
                }
                Err(error) => find(
                    GateOutcome::Tampered,
                    format!(
                        "the signature of run `{shown}` does not hold: {error}: {}",
                        error.kind
                    ),
                )?,
            }
        }
    }
    Ok((runs.len(), findings))
}

/// Returns the runs that named a thing.
fn runs_of(graph: &Graph, node: NodeIndex) -> Result<Vec<String>, LedgerError> {
    let mut runs = Vec::new();
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
            runs.extend(run);
        }
    }
    Ok(runs)
}
