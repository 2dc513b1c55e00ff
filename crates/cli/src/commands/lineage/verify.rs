//! `lineage verify`: does what is recorded still hold? Offline; names every file that differs, the first one first.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;
use undertone_core::exit;
use undertone_lineage::EntityKind;
use undertone_lineage::envelope::{
    OMS_FILE, OmsPublicKey, PublicKey, RunCheck, envelope_path, verify_model, verify_run,
};
use undertone_lineage::verify::{StoreCheck, verify_store};

use crate::args::VerifyArgs;
use crate::context::Context;
use crate::failure::Usage;

/// Checks a signed run or model, or the ledger with all objects it names.
pub fn run(context: &Context, args: &VerifyArgs) -> Result<u8> {
    let Some(what) = &args.what else {
        return ledger(context);
    };
    if args.keys.is_empty() {
        let problem = "whose signature? give the trusted public key with --key";
        return Err(Usage(problem.to_owned()).into());
    }
    match Path::new(what).is_dir() {
        true => model(context, args, Path::new(what)),
        false => signed(context, args, what),
    }
}

fn model(context: &Context, args: &VerifyArgs, folder: &Path) -> Result<u8> {
    let signature = args.signature.clone();
    let signature = signature.unwrap_or_else(|| folder.join(OMS_FILE));
    let mut outcome = None;
    for path in &args.keys {
        let key = OmsPublicKey::read(path)?;
        match verify_model(folder, &signature, &key) {
            // Another of the keys may have made it.
            Err(error) if error.is_tampered() => outcome = outcome.or(Some(Err(error))),
            other => {
                outcome = Some(other);
                break;
            }
        }
    }
    let check = outcome.context("there is at least one key")??;
    let code = match check.differences.is_empty() {
        true => exit::DONE,
        false => exit::TAMPERED,
    };
    let value = json!({"signature": signature, "check": check, "exit_code": code});
    context.print(&value, || {
        let mut lines = vec![format!("{}: {} files", check.model, check.files)];
        match check.differences.is_empty() {
            true => lines.push("all hold".to_owned()),
            false => lines.extend(
                check
                    .differences
                    .iter()
                    .map(|difference| format!("  {difference}")),
            ),
        }
        Ok(lines.join("\n"))
    })?;
    Ok(code)
}

fn signed(context: &Context, args: &VerifyArgs, run: &str) -> Result<u8> {
    let root = &context.root;
    let keys = args.keys.iter().map(|path| PublicKey::read(path));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let envelope = match &args.signature {
        Some(path) => path.clone(),
        None => envelope_of(context, run, &keys)?,
    };
    let check: RunCheck = verify_run(root, &envelope, &keys)?;
    let code = check.exit_code();
    let value = json!({"envelope": envelope, "check": check, "exit_code": code});
    context.print(&value, || Ok(check.to_string()))?;
    Ok(code)
}

/// Finds the envelope of a run by one of the keys; the run itself may be damaged, so only its name is looked at.
fn envelope_of(context: &Context, run: &str, keys: &[PublicKey]) -> Result<PathBuf> {
    let folder = context.root.join("lineage").join("signatures");
    let mut found = Vec::new();
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((signed, _)) = name.split_once('.') else {
            continue;
        };
        let is_meant = signed.starts_with(run)
            || signed
                .rsplit_once('-')
                .is_some_and(|(_, hex)| hex.starts_with(run));
        let is_ours = keys
            .iter()
            .any(|key| envelope_path(&context.root, signed, key) == entry.path());
        if is_meant && is_ours {
            found.push(entry.path());
        }
    }
    found.sort();
    match &found[..] {
        [one] => Ok(one.clone()),
        [] => Err(Usage(format!(
            "no signature of `{run}` by that key in `{}`; `undertone lineage sign` makes one",
            folder.display()
        ))
        .into()),
        _ => Err(Usage(format!("`{run}` begins the names of several signed runs")).into()),
    }
}

fn ledger(context: &Context) -> Result<u8> {
    let StoreCheck {
        graph,
        segments,
        runs,
        problems,
    } = verify_store(&context.existing_store()?)?;
    let code = match problems.is_empty() {
        true => exit::DONE,
        false => exit::TAMPERED,
    };
    let count = |kind| graph.entities(kind).count();
    let (models, datasets) = (count(EntityKind::Model), count(EntityKind::Dataset));
    let (steps, verdicts) = (count(EntityKind::Step), count(EntityKind::Verdict));
    let edges = graph.n_edges();
    let value = json!({
        "segments": segments,
        "runs": runs,
        "models": models,
        "datasets": datasets,
        "steps": steps,
        "verdicts": verdicts,
        "edges": edges,
        "problems": problems,
        "exit_code": code,
    });
    context.print(&value, || {
        let mut lines = vec![format!(
            "{runs} runs, {segments} segments: {models} models, {datasets} datasets, {steps} steps, {verdicts} verdicts, \
             {edges} ties"
        )];
        match problems.is_empty() {
            true => lines.push("all hold".to_owned()),
            false => lines.extend(problems.iter().map(|problem| format!("  {problem}"))),
        }
        Ok(lines.join("\n"))
    })?;
    Ok(code)
}
