//! `lm info`: what a model is.

use anyhow::Result;
use undertone_core::exit;
use undertone_lab::lm::info::{ModelInfo, NamedToken, info};
use undertone_lab::lm::memory::bytes_text;
use undertone_lm::config::LayerAttention;

use super::open;
use crate::args::LmInfoArgs;
use crate::context::Context;

/// Prints what the files say.
pub fn run(context: &Context, args: &LmInfoArgs) -> Result<u8> {
    let LmInfoArgs { model, adapter } = args;
    let subject = open::subject(context, &model.model, adapter.as_deref())?;
    let info = info(&subject, context.threads);
    context.print(&info, || Ok(text(&info)))?;
    Ok(exit::DONE)
}

fn text(info: &ModelInfo) -> String {
    let mut lines: Vec<(&str, String)> = vec![
        ("model", info.name.clone()),
        ("path", format!("{} ({})", info.path, info.format)),
        ("digest", info.digest.to_string()),
    ];
    lines.extend(info.files.iter().map(|file| {
        (
            "file",
            format!(
                "{}, {} bytes, sha256 {}",
                file.name, file.bytes, file.sha256
            ),
        )
    }));
    let config = &info.config;
    let stored: Vec<String> = info
        .stored_as
        .iter()
        .map(|(name, n)| format!("{n} {name}"))
        .collect();
    let local = config
        .attention
        .iter()
        .filter(|of| **of != LayerAttention::Global)
        .count();
    let local = match local {
        0 => String::new(),
        n => format!(", {n} of them local"),
    };
    lines.extend([
        ("family", config.family.name().to_owned()),
        (
            "weights",
            format!("{} in tensors {}", info.parameters, stored.join(", ")),
        ),
        ("layers", format!("{}{local}", config.layers)),
        (
            "widths",
            format!(
                "{} (feed-forward {}), {} heads of {}, {} for keys and values",
                config.width, config.ffn_width, config.heads, config.head_width, config.kv_heads
            ),
        ),
        ("context", format!("{} tokens", config.context)),
        (
            "head",
            if config.tied_head {
                "the embedding"
            } else {
                "its own"
            }
            .to_owned(),
        ),
    ]);
    lines.extend(tokenizer(info));
    for template in &info.chat_templates {
        let adds = match (&template.adds_system_line, &template.problem) {
            (Some(line), _) => format!("adds the system line {line:?}"),
            (None, Some(problem)) => problem.clone(),
            (None, None) => "adds no system line".to_owned(),
        };
        lines.push(("template", format!("{}: {adds}", template.name)));
    }
    if info.chat_templates.is_empty() {
        lines.push(("template", "none; prompts need --raw".to_owned()));
    }
    if let Some(adapter) = &info.adapter {
        let targets: Vec<&str> = adapter.config.targets.iter().map(|t| t.name()).collect();
        lines.push((
            "adapter",
            format!(
                "{}: rank {}, alpha {}, {}, {} weights, digest {}",
                adapter.name,
                adapter.config.rank,
                adapter.config.alpha,
                targets.join(" "),
                adapter.parameters,
                adapter.digest
            ),
        ));
    }
    for (work, memory) in &info.memory {
        lines.push(("memory", format!("{work}: {}", bytes_text(memory.total))));
    }
    lines.push((
        "",
        "sampling: 64 rows of 512 tokens; adapters: rank 8; training rows: 512 tokens".to_owned(),
    ));
    let lines: Vec<String> = lines
        .into_iter()
        .map(|(name, value)| format!("{name:<9} {value}"))
        .collect();
    lines.join("\n")
}

fn tokenizer(info: &ModelInfo) -> Vec<(&'static str, String)> {
    let tokenizer = &info.tokenizer;
    let one = |token: &Option<NamedToken>| token.as_ref().map_or_else(|| "none".to_owned(), named);
    let ends: Vec<String> = tokenizer.ends.iter().map(named).collect();
    let adds = match tokenizer.adds_bos {
        true => " (begins plain texts)",
        false => "",
    };
    vec![
        (
            "tokens",
            format!("{}, digest {}", tokenizer.tokens, tokenizer.digest),
        ),
        ("begins", format!("{}{adds}", one(&tokenizer.bos))),
        ("ends", ends.join(", ")),
        ("pads", one(&tokenizer.pad)),
    ]
}

fn named(token: &NamedToken) -> String {
    format!("{} {:?}", token.id, token.text)
}
