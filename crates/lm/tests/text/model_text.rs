//! Tokenizer and templates opened with a model, from either format.

use std::fs;
use std::path::Path;

use undertone_lm::chat::{Message, RenderOptions};
use undertone_lm::gguf::Gguf;
use undertone_lm::hf::HfFolder;
use undertone_lm::source::ModelFiles;
use undertone_lm::text::{ModelText, OpenTextError};
use undertone_lm::tokenizer::SpecialTokens;

use crate::support::{TestResult, golden_path};

fn of_folder(path: &Path) -> Result<ModelText, Box<dyn std::error::Error>> {
    Ok(ModelText::open(&ModelFiles::Folder(HfFolder::open(path)?))?)
}

/// Copies the tiny llama, to be changed.
fn copy() -> Result<tempfile::TempDir, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    for entry in fs::read_dir(golden_path("tiny-llama"))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            continue;
        }
        fs::copy(entry.path(), folder.path().join(entry.file_name()))?;
    }
    Ok(folder)
}

#[test]
fn both_formats_of_a_tiny_model_say_the_same_about_text() -> TestResult {
    let folder = of_folder(&golden_path("tiny-llama"))?;
    let gguf = Gguf::open(&golden_path("tiny-llama/model.gguf"))?;
    let gguf = ModelText::open(&ModelFiles::Gguf(gguf))?;
    for text in ["", "The owl", "1 22 333", "a<|im_end|>\nb"] {
        let ids = folder.tokenizer.encode(text, SpecialTokens::Parse);
        let other = gguf.tokenizer.encode(text, SpecialTokens::Parse);
        assert_eq!(ids.ok(), other.ok(), "{text}");
    }
    assert_eq!(folder.tokenizer.eos(), gguf.tokenizer.eos());
    // The folder's `generation_config.json` names one more.
    assert_eq!(gguf.tokenizer.end_tokens(), [2]);
    assert_eq!(folder.tokenizer.end_tokens(), [0, 2]);
    assert_eq!(folder.templates, gguf.templates);
    assert_eq!(folder.template_tokens.bos, gguf.template_tokens.bos);
    let messages = [Message::new("user", "Hi")];
    let rendered = folder
        .chat_template(None)?
        .render(&messages, &RenderOptions::default())?;
    assert!(rendered.text.contains("Hi"), "{}", rendered.text);
    Ok(())
}

#[test]
fn template_files_go_before_the_configuration() -> TestResult {
    let folder = copy()?;
    fs::write(folder.path().join("chat_template.jinja"), "from the file")?;
    fs::create_dir(folder.path().join("additional_chat_templates"))?;
    fs::write(
        folder.path().join("additional_chat_templates/rag.jinja"),
        "the other",
    )?;
    let text = of_folder(folder.path())?;
    let expected = [("default", "from the file"), ("rag", "the other")];
    let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
    assert_eq!(text.templates, expected);
    assert_eq!(text.chat_template(Some("rag"))?.source(), "the other");
    assert!(text.chat_template(Some("tools")).is_err());
    Ok(())
}

#[test]
fn missing_and_oversized_files_are_named() -> TestResult {
    let folder = copy()?;
    fs::write(
        folder.path().join("chat_template.jinja"),
        "x".repeat(1 << 18),
    )?;
    let files = ModelFiles::Folder(HfFolder::open(folder.path())?);
    let error = ModelText::open(&files);
    assert!(
        matches!(error, Err(OpenTextError::TooLong { .. })),
        "{error:?}"
    );
    fs::remove_file(folder.path().join("tokenizer.json"))?;
    let error = ModelText::open(&files).err().ok_or("no tokenizer.json")?;
    assert!(
        error.to_string().contains("tokenizer.json` is not there"),
        "{error}"
    );
    Ok(())
}
