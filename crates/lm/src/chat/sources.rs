//! Where templates come from: lists of them by name.
//!
//! A `tokenizer_config.json` gives [`TokenizerConfig::chat_templates`](crate::tokenizer::TokenizerConfig), a GGUF file
//! [`gguf_chat_templates`], a `chat_template.jinja` one called `default`.

use crate::gguf::{Metadata, MetadataError};

const DEFAULT: &str = "default";
const GGUF_KEY: &str = "tokenizer.chat_template";

/// A model has no template of the name asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the model has no chat template `{name}`; it has {}", list(.available))]
pub struct SelectTemplateError {
    /// The name.
    pub name: String,
    /// The names that there are.
    pub available: Vec<String>,
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// Returns the templates of a GGUF file by name.
///
/// # Errors
/// [`MetadataError`] if one is no text.
pub fn gguf_chat_templates(metadata: &Metadata) -> Result<Vec<(String, String)>, MetadataError> {
    let names = metadata.iter().filter_map(|(key, _)| {
        let name = key.strip_prefix(GGUF_KEY)?;
        match name.strip_prefix('.') {
            Some(name) => Some((key, name)),
            None => name.is_empty().then_some((key, DEFAULT)),
        }
    });
    names
        .map(|(key, name)| Ok((name.to_owned(), metadata.get::<&str>(key)?.to_owned())))
        .collect()
}

/// Returns the template called `name`, or `default` if none is named.
///
/// # Errors
/// [`SelectTemplateError`] with the names that there are.
pub fn select_template<'a>(
    templates: &'a [(String, String)],
    name: Option<&str>,
) -> Result<&'a str, SelectTemplateError> {
    let name = name.unwrap_or(DEFAULT);
    let found = templates.iter().find(|(candidate, _)| candidate == name);
    found
        .map(|(_, template)| template.as_str())
        .ok_or_else(|| SelectTemplateError {
            name: name.to_owned(),
            available: templates.iter().map(|(name, _)| name.clone()).collect(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_found_by_name_or_the_names_are_listed() {
        let templates = [("default", "a"), ("tool_use", "b")]
            .map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(select_template(&templates, None), Ok("a"));
        assert_eq!(select_template(&templates, Some("tool_use")), Ok("b"));
        let error = select_template(&templates, Some("rag")).expect_err("no such template");
        let expected = "the model has no chat template `rag`; it has `default`, `tool_use`";
        assert_eq!(error.to_string(), expected);
        let error = select_template(&[], None).expect_err("no template");
        assert_eq!(
            error.to_string(),
            "the model has no chat template `default`; it has none"
        );
    }
}
