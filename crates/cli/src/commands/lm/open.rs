//! Flags to models, files and settings.

use std::path::Path;

use anyhow::Result;
use undertone_lab::LabError;
use undertone_lab::lm::merge::writes_tokenizer;
use undertone_lab::lm::speech::PromptForm;
use undertone_lab::lm::{LmError, Named, Prompting, RowFile, Subject};
use undertone_lm::sample::Sampling;

use crate::args::{PromptingArgs, SamplingArgs};
use crate::context::Context;

/// Opens a model and the adapter in a folder.
pub fn subject(context: &Context, model: &str, adapter: Option<&Path>) -> Result<Subject> {
    Ok(Subject::open(model, adapter, &context.data_dir)?)
}

/// Reads a file of rows.
pub fn rows(path: &Path) -> Result<RowFile> {
    Ok(RowFile::read(path)
        .map_err(LmError::Rows)
        .map_err(LabError::from)?)
}

/// Names a file of rows by its path and content.
pub fn named(file: &RowFile) -> Named {
    Named {
        name: file.path.display().to_string(),
        digest: file.digest,
    }
}

/// Returns how prompts become texts.
pub fn prompting(args: &PromptingArgs) -> Prompting {
    let PromptingArgs {
        raw,
        system,
        template,
        date,
    } = args.clone();
    Prompting {
        form: match raw {
            true => PromptForm::Raw,
            false => PromptForm::Chat,
        },
        system,
        template,
        date,
    }
}

/// Returns how tokens are drawn.
pub fn sampling(args: &SamplingArgs) -> Sampling {
    let SamplingArgs {
        temperature,
        greedy,
        top_k,
        top_p,
        min_p,
        threshold,
        max_tokens: _,
        stop: _,
        seed: _,
    } = args;
    Sampling {
        temperature: if *greedy { 0.0 } else { *temperature },
        top_k: *top_k,
        top_p: *top_p,
        min_p: *min_p,
        threshold: *threshold,
    }
}

/// Says, before a model is written to `folder`, that its tokenizer will be missing there.
pub fn tell_missing_tokenizer(context: &Context, subject: &Subject, folder: &Path) -> Result<()> {
    if !writes_tokenizer(subject)? {
        let folder = folder.display();
        context.say(format!(
            "a GGUF file with a SentencePiece vocabulary gives no tokenizer.json: `{folder}` opens once that of the original \
             repository is copied into it"
        ));
    }
    Ok(())
}

/// Says what nobody wrote and the model reads nevertheless.
pub fn tell_system_line(context: &Context, line: Option<&str>) {
    if let Some(line) = line {
        context.say(format!("the chat template adds a system line: {line:?}"));
    }
}
