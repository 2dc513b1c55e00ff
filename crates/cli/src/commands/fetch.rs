//! `fetch`: gets a data set, questions or a model and checks every byte of it.

use anyhow::Result;
use serde_json::json;
use undertone_core::exit;
use undertone_data::fetch::{FetchEvent, FetchOptions, fetch};
use undertone_data::hub::{self, HubEvent, HubOptions, HubRepo};
use undertone_data::{Item, Model};

use crate::args::FetchArgs;
use crate::context::Context;
use crate::failure::Usage;

/// Fetches what the name names.
pub fn run(context: &Context, args: &FetchArgs) -> Result<u8> {
    if args.name.starts_with(HubRepo::PREFIX) {
        return from_hub(context, &args.name);
    }
    let item: Item = args
        .name
        .parse()
        .map_err(|error| Usage(format!("{error}")))?;
    let options = FetchOptions {
        offline: context.offline,
        ..FetchOptions::default()
    };
    let mut last_percent = 0;
    let fetched = fetch(item, &context.data_dir, &options, &mut |event| {
        if let Some(line) = line(&event, &mut last_percent) {
            context.say(line);
        }
    })?;
    let files: Vec<_> = fetched
        .files
        .iter()
        .map(|file| json!({"path": file.path, "bytes": file.bytes, "sha256": file.sha256}))
        .collect();
    let kind = match item {
        Item::Dataset(_) => "dataset",
        Item::Benchmark(_) => "benchmark",
        Item::Model(_) => "model",
    };
    let value = json!({
        kind: item.name(),
        "folder": fetched.folder,
        "delivered_by": fetched.delivered_by,
        "files": files,
    });
    context.print(&value, || {
        Ok(format!(
            "{item} is in {}, every sha256 is as pinned",
            fetched.folder.display()
        ))
    })?;
    let next = match item {
        Item::Dataset(dataset) => format!("undertone mnist --data {dataset}"),
        Item::Benchmark(benchmark) => {
            format!("`readouts.capability = \"{benchmark}\"` in a file of `undertone new numbers`")
        }
        Item::Model(Model::SmolLm2Instruct) => format!("undertone lm info {item}"),
    };
    context.say(format!("next: {next}"));
    Ok(exit::DONE)
}

/// Downloads a repository of the hub into its cache.
fn from_hub(context: &Context, name: &str) -> Result<u8> {
    let repo: HubRepo = name.parse().map_err(|error| Usage(format!("{error}")))?;
    let options = HubOptions {
        offline: context.offline,
        ..HubOptions::default()
    };
    let folder = hub::fetch(&repo, &options, &mut |event| {
        context.say(match event {
            HubEvent::Present { file } => format!("there already: {file}"),
            HubEvent::Download { file } => format!("downloading {file}"),
            HubEvent::Landed { file } => format!("checked: {file}"),
        });
    })?;
    context.print(&json!({ "model": name, "folder": folder }), || {
        Ok(format!("{repo} is in {}", folder.display()))
    })?;
    context.say(format!("next: undertone lm info {repo}"));
    Ok(exit::DONE)
}

fn line(event: &FetchEvent<'_>, last_percent: &mut u64) -> Option<String> {
    Some(match event {
        FetchEvent::Present { path } => format!("there already: {}", path.display()),
        FetchEvent::Replacing { error } => format!("replacing: {error}"),
        FetchEvent::Waiting { lock } => format!(
            "another process is fetching (lock {}); waiting",
            lock.display()
        ),
        FetchEvent::Trying { source } => format!("trying {source}"),
        FetchEvent::Download { url, resumed_bytes } => {
            *last_percent = 0;
            let from = if *resumed_bytes > 0 {
                format!(" from byte {resumed_bytes}")
            } else {
                String::new()
            };
            format!("downloading {url}{from}")
        }
        FetchEvent::Progress {
            bytes,
            total_bytes: Some(total @ 1..),
            ..
        } => {
            let percent = bytes * 100 / total;
            if percent < *last_percent + 10 {
                return None;
            }
            *last_percent = percent;
            format!("  {percent} % of {total} bytes")
        }
        FetchEvent::Progress { .. } => return None,
        FetchEvent::Landed { path, bytes, .. } => {
            format!("checked: {} ({bytes} bytes)", path.display())
        }
        FetchEvent::SourceFailed { error } => format!("failed: {}", error.chain()),
    })
}
