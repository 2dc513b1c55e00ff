//! What a `tokenizer_config.json` adds to a `tokenizer.json`: names of tokens, and chat templates.

use serde::Deserialize;
use serde_json::Value;

/// Names of tokens with a role, and chat templates. All are optional.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenizerConfig {
    /// Text of the beginning-of-text token.
    pub bos_token: Option<String>,
    /// Text of the end-of-text token.
    pub eos_token: Option<String>,
    /// Text of the padding token.
    pub pad_token: Option<String>,
    /// Text of the unknown token; chat templates may use it.
    pub unk_token: Option<String>,
    /// Whether texts begin with the bos token; if absent, the `tokenizer.json` says so.
    pub add_bos_token: Option<bool>,
    /// Chat templates by name; the one that is used unless another is asked for is called `default`.
    pub chat_templates: Vec<(String, String)>,
}

/// A `tokenizer_config.json` is not of the expected form.
#[derive(Debug, thiserror::Error)]
pub enum ReadTokenizerConfigError {
    /// The file is no JSON, or a field has another type.
    #[error("`tokenizer_config.json` is not of the expected form")]
    Json(#[from] serde_json::Error),
    /// A field is neither of the forms that it may have.
    #[error("`tokenizer_config.json`: `{field}` is not {expected}")]
    Field {
        /// The field.
        field: &'static str,
        /// The forms it may have.
        expected: &'static str,
    },
}

/// The fields that are read, as the file has them.
#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    bos_token: Value,
    #[serde(default)]
    eos_token: Value,
    #[serde(default)]
    pad_token: Value,
    #[serde(default)]
    unk_token: Value,
    add_bos_token: Option<bool>,
    #[serde(default)]
    chat_template: Value,
}

impl TokenizerConfig {
    /// Reads a `tokenizer_config.json`; fields that are not in [`TokenizerConfig`] are passed over.
    ///
    /// # Errors
    /// [`ReadTokenizerConfigError`] if a field has another form than transformers writes.
    pub fn from_json(json: &[u8]) -> Result<Self, ReadTokenizerConfigError> {
        let fields: Fields = serde_json::from_slice(json)?;
        Ok(Self {
            bos_token: token("bos_token", fields.bos_token)?,
            eos_token: token("eos_token", fields.eos_token)?,
            pad_token: token("pad_token", fields.pad_token)?,
            unk_token: token("unk_token", fields.unk_token)?,
            add_bos_token: fields.add_bos_token,
            chat_templates: templates(fields.chat_template)?,
        })
    }
}

/// Reads `"<s>"` or `{"content": "<s>", …}`.
fn token(field: &'static str, value: Value) -> Result<Option<String>, ReadTokenizerConfigError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Object(mut token) => match token.remove("content") {
            Some(Value::String(text)) => Ok(Some(text)),
            _ => Err(field_error(field)),
        },
        _ => Err(field_error(field)),
    }
}

fn field_error(field: &'static str) -> ReadTokenizerConfigError {
    ReadTokenizerConfigError::Field {
        field,
        expected: "a text or an object with a text `content`",
    }
}

/// Reads one template, or a list of `{"name": …, "template": …}`.
fn templates(value: Value) -> Result<Vec<(String, String)>, ReadTokenizerConfigError> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
        template: String,
    }
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(template) => Ok(vec![("default".to_owned(), template)]),
        Value::Array(_) => {
            let named: Vec<Named> = serde_json::from_value(value)?;
            Ok(named.into_iter().map(|t| (t.name, t.template)).collect())
        }
        _ => Err(ReadTokenizerConfigError::Field {
            field: "chat_template",
            expected: "a text or a list of named templates",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_tokens_and_templates_are_read() {
        let json = br#"{"bos_token": null, "eos_token": {"content": "<e>", "lstrip": false}, "pad_token": "<p>",
            "chat_template": [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}], "other": 1}"#;
        let config = TokenizerConfig::from_json(json).expect("a valid file");
        assert_eq!(config.bos_token, None);
        assert_eq!(config.eos_token.as_deref(), Some("<e>"));
        assert_eq!(config.pad_token.as_deref(), Some("<p>"));
        let templates = [("default", "a"), ("tool_use", "b")];
        assert_eq!(
            config.chat_templates,
            templates.map(|(name, text)| (name.to_owned(), text.to_owned()))
        );
        let one = TokenizerConfig::from_json(br#"{"chat_template": "c"}"#).expect("a valid file");
        assert_eq!(one.chat_templates, [("default".to_owned(), "c".to_owned())]);
    }

    #[test]
    fn other_forms_are_refused_by_name() {
        let error = TokenizerConfig::from_json(br#"{"eos_token": 3}"#).expect_err("a number");
        assert!(error.to_string().contains("`eos_token`"), "{error}");
        let error = TokenizerConfig::from_json(br#"{"chat_template": 3}"#).expect_err("a number");
        assert!(error.to_string().contains("`chat_template`"), "{error}");
    }
}
