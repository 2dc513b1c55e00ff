//! The rule about files: what the store has of the thing judged, and of what is behind it, is what was recorded.

use std::path::Path;

use super::walk::Behind;
use super::{Finding, GateOutcome};
use crate::entity::{Entity, FileDigest};
use crate::files::digest_file;
use crate::graph::{Graph, NodeIndex};
use crate::ledger::LedgerError;
use crate::query::unified;

/// Data hops behind which files are looked at.
const HOPS: u32 = 1;

/// Returns how many files were looked at, and those that differ.
pub(super) fn files_hold(
    graph: &Graph,
    target: NodeIndex,
    root: &Path,
) -> Result<(usize, Vec<Finding>), LedgerError> {
    let behind = Behind::new(graph, target, HOPS);
    let (mut checked, mut findings) = (0, Vec::new());
    for node in behind.found.keys().copied() {
        for file in files_of(graph, node)? {
            let Some(digest) = file.blake3 else {
                continue;
            };
            let hex = digest.hex();
            let name = format!("objects/{}/{hex}", &hex[..2]);
            let path = root.join(&name);
            if !path.exists() {
                continue;
            }
            checked += 1;
            let message = match digest_file(&path) {
                Ok(found) if found.sha256 == file.sha256 => continue,
                Ok(found) => format!(
                    "`{name}` of {} was changed: its SHA-256 should be {} and is {}",
                    graph.node(node),
                    file.sha256,
                    found.sha256
                ),
                Err(error) => format!("`{name}` of {}: {}", graph.node(node), error.source),
            };
            findings.push(Finding {
                outcome: GateOutcome::Tampered,
                message,
                at: graph.node(node),
                path: behind.way(node)?,
            });
        }
    }
    Ok((checked, findings))
}

fn files_of(graph: &Graph, node: NodeIndex) -> Result<Vec<FileDigest>, LedgerError> {
    let mut files = Vec::new();
    for alias in unified(graph, node) {
        for description in graph.descriptions(alias)? {
            match description.entity {
                Entity::Model(model) => files.extend(model.files),
                Entity::Dataset(dataset) => files.extend(dataset.files),
                _ => {}
            }
        }
    }
    files.sort();
    files.dedup_by_key(|file| file.sha256);
    Ok(files)
}
