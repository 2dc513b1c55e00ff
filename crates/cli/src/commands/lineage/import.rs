//! `lineage import` and `lineage merge`: what others wrote down.

use std::path::Path;

use anyhow::Result;
use serde_json::json;
use undertone_core::exit;
use undertone_lineage::envelope::{OmsPublicKey, PublicKey};
use undertone_lineage::import::{
    CardKind, Imported, JsonlOptions, import_card, import_cyclonedx, import_gguf, import_jsonl,
    import_oms, import_safetensors, import_statement,
};
use undertone_lineage::{Ledger, Name};

use crate::args::{ImportArgs, ImportFormat, MergeArgs};
use crate::context::Context;
use crate::failure::Usage;

/// Reads a file into the ledger.
pub fn run(context: &Context, args: &ImportArgs) -> Result<u8> {
    let store = context.store()?;
    let ledger = Ledger::of_store(store.root());
    let imported = read(&ledger, args)?;
    let n = imported.draft.records().len();
    let subject = imported.subject;
    ledger.append(imported.draft.into_records())?;
    let node = ledger.graph()?.find(subject);
    let value = json!({"subject": node, "records": n, "ignored": imported.ignored});
    context.print(&value, || {
        let about = node.map_or_else(|| subject.to_string(), |node| node.to_string());
        let mut text = format!("{n} records about {about}");
        for ignored in &imported.ignored {
            text.push_str(&format!("\nleft out: {ignored}"));
        }
        Ok(text)
    })?;
    Ok(exit::DONE)
}

fn read(ledger: &Ledger, args: &ImportArgs) -> Result<Imported> {
    let path = &args.file;
    let name: Option<Name> = match args.name.as_deref().map(str::parse) {
        Some(Ok(name)) => Some(name),
        _ => None,
    };
    let format = match args.format {
        ImportFormat::Auto => guess(path)?,
        format => format,
    };
    Ok(match format {
        ImportFormat::ModelCard | ImportFormat::DatasetCard => {
            let name = name.ok_or_else(|| {
                Usage("a card does not say whose it is: give --name OWNER/NAME".to_owned())
            })?;
            let known = ledger.graph()?.resolve(&name.to_string()).ok();
            let kind = match format {
                ImportFormat::ModelCard => CardKind::Model,
                _ => CardKind::Dataset,
            };
            import_card(path, kind, &name, known)?
        }
        ImportFormat::Safetensors => import_safetensors(path, name)?,
        ImportFormat::Gguf => import_gguf(path, name)?,
        ImportFormat::Cyclonedx => import_cyclonedx(path)?,
        ImportFormat::Jsonl => import_jsonl(
            path,
            JsonlOptions {
                name,
                column: args.column.clone(),
                channel: None,
            },
        )?,
        ImportFormat::Oms => {
            let keys = args.keys.iter().map(|path| OmsPublicKey::read(path));
            import_oms(path, name, &keys.collect::<Result<Vec<_>, _>>()?)?
        }
        ImportFormat::Intoto | ImportFormat::Auto => {
            let keys = args.keys.iter().map(|path| PublicKey::read(path));
            import_statement(path, &keys.collect::<Result<Vec<_>, _>>()?)?
        }
    })
}

/// Tells what a file is by its name, and JSON by its fields.
fn guess(path: &Path) -> Result<ImportFormat> {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let ends = |ending: &str| name.ends_with(ending);
    Ok(if ends(".safetensors") {
        ImportFormat::Safetensors
    } else if ends(".gguf") {
        ImportFormat::Gguf
    } else if ends(".jsonl") {
        ImportFormat::Jsonl
    } else if ends(".sig") {
        ImportFormat::Oms
    } else if ends(".md") {
        ImportFormat::ModelCard
    } else if ends(".cdx.json") || ends("bom.json") {
        ImportFormat::Cyclonedx
    } else if ends(".json") {
        ImportFormat::Intoto
    } else {
        return Err(Usage(format!(
            "`{}`: say with --format what it is",
            path.display()
        ))
        .into());
    })
}

/// Takes over another store's records.
pub fn merge(context: &Context, args: &MergeArgs) -> Result<u8> {
    if !args.other.join("lineage").is_dir() {
        let other = args.other.display();
        return Err(Usage(format!("`{other}` is no store with a lineage")).into());
    }
    let store = context.store()?;
    let merged = Ledger::of_store(store.root()).merge(&Ledger::of_store(&args.other))?;
    let (new, known) = (merged.new_segments, merged.known_segments);
    context.print(
        &json!({"new_segments": new, "known_segments": known}),
        || Ok(format!("{new} segments taken over, {known} were here")),
    )?;
    Ok(exit::DONE)
}
