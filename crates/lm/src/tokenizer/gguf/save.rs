//! Writes the tokenizer of a GGUF file as the files that Hugging Face's libraries read.
//!
//! Byte-level vocabularies only: of a SentencePiece vocabulary a GGUF file has the scores and not the merges.

use serde_json::{Map, Value, json};

use super::{GgufVocabulary, Style, kind, roles, types};
use crate::tokenizer::error::{
    BuildTokenizerError, BuildTokenizerErrorKind as Kind, TokenizerSource,
};
use crate::tokenizer::pieces::PreTokenizer;
use crate::tokenizer::vocabulary::TokenKind;

impl GgufVocabulary<'_> {
    /// Returns the content of `tokenizer.json` and `tokenizer_config.json`; `None` if the file has no merges.
    ///
    /// `templates` are the chat templates by name. What is written encodes every text to the same ids.
    ///
    /// # Errors
    /// [`BuildTokenizerError`] as for [`Tokenizer::from_gguf`](crate::tokenizer::Tokenizer::from_gguf).
    pub fn to_json(
        &self,
        templates: &[(String, String)],
    ) -> Result<Option<[Vec<u8>; 2]>, BuildTokenizerError> {
        if self.model != "gpt2" {
            return Ok(None);
        }
        let tokenizer = tokenizer_json(self).map_err(|kind| BuildTokenizerError {
            source_format: TokenizerSource::Gguf,
            kind,
        })?;
        let bytes = |value: Value| format!("{value:#}\n").into_bytes();
        Ok(Some([bytes(tokenizer), bytes(self.config_json(templates))]))
    }

    fn config_json(&self, templates: &[(String, String)]) -> Value {
        let text = |id: Option<u32>| {
            let text = self.tokens.get(id? as usize)?;
            Some(Value::from(text.as_str()))
        };
        let mut config = Map::from_iter([
            (
                "tokenizer_class".to_owned(),
                json!("PreTrainedTokenizerFast"),
            ),
            ("clean_up_tokenization_spaces".to_owned(), json!(false)),
            ("add_bos_token".to_owned(), json!(self.adds_bos())),
        ]);
        for (name, id) in [
            ("bos_token", self.bos),
            ("eos_token", self.eos),
            ("pad_token", self.pad),
        ] {
            if let Some(text) = text(id) {
                config.insert(name.to_owned(), text);
            }
        }
        let template = match templates {
            [] => None,
            [(name, template)] if name == "default" => Some(json!(template)),
            all => {
                let named = all
                    .iter()
                    .map(|(name, text)| json!({"name": name, "template": text}));
                Some(named.collect())
            }
        };
        config.extend(template.map(|template| ("chat_template".to_owned(), template)));
        Value::Object(config)
    }

    fn adds_bos(&self) -> bool {
        let by_style = Style::named(self.pre).is_ok_and(|style| style == Style::Llama3);
        self.bos.is_some() && roles(self, by_style).add_bos
    }
}

fn tokenizer_json(file: &GgufVocabulary<'_>) -> Result<Value, Kind> {
    let style = Style::named(file.pre)?;
    let types = types(file)?;
    let PreTokenizer::ByteLevel {
        normalizer,
        splitter,
    } = style.pieces()?
    else {
        unreachable!("every style writes bytes as symbols")
    };
    let part = |part| move |source| Kind::Part { part, source };
    let mut vocabulary = Map::new();
    let mut added = Vec::new();
    for ((id, token), ty) in file.tokens.iter().enumerate().zip(types) {
        // Of equal texts the first is the one that texts are encoded to.
        if vocabulary.contains_key(token) {
            continue;
        }
        vocabulary.insert(token.clone(), json!(id));
        let kind = kind(ty);
        if matches!(kind, TokenKind::Control | TokenKind::Added) {
            added.push(json!({
                "id": id,
                "content": token,
                "single_word": false,
                "lstrip": false,
                "rstrip": false,
                "normalized": false,
                "special": kind == TokenKind::Control,
            }));
        }
    }
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": serde_json::to_value(normalizer).map_err(part("normalizer"))?,
        "pre_tokenizer": serde_json::to_value(splitter).map_err(part("pre-tokenizer"))?,
        "post_processor": post_processor(file),
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": style == Style::Llama3,
            "vocab": vocabulary,
            "merges": file.merges,
        },
    }))
}

/// Puts the bos token before a text, where the model was trained with one there.
fn post_processor(file: &GgufVocabulary<'_>) -> Value {
    let bos = file.bos.filter(|_| file.adds_bos());
    let Some((id, token)) = bos.and_then(|id| Some((id, file.tokens.get(id as usize)?))) else {
        return Value::Null;
    };
    let special = json!({"SpecialToken": {"id": token, "type_id": 0}});
    let sequence = |name: &str, type_id: u32| json!({"Sequence": {"id": name, "type_id": type_id}});
    let second = json!({"SpecialToken": {"id": token, "type_id": 1}});
    let mut tokens = Map::new();
    tokens.insert(
        token.clone(),
        json!({"id": token, "ids": [id], "tokens": [token]}),
    );
    json!({
        "type": "TemplateProcessing",
        "single": [special, sequence("A", 0)],
        "pair": [special, sequence("A", 0), second, sequence("B", 1)],
        "special_tokens": tokens,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::chat::gguf_chat_templates;
    use crate::gguf::Gguf;
    use crate::tokenizer::{GgufVocabulary, SpecialTokens, Tokenizer, TokenizerConfig};

    #[test]
    fn what_is_written_encodes_as_the_file_does() {
        for name in ["tiny-llama", "tiny-llama3", "tiny-qwen2"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/golden")
                .join(name);
            let gguf = Gguf::open(&path.join("model.gguf")).expect("a golden file");
            let vocabulary = GgufVocabulary::read(gguf.metadata()).expect("it has a vocabulary");
            let templates = gguf_chat_templates(gguf.metadata()).expect("texts");
            let written = vocabulary.to_json(&templates).expect("a known style");
            let [tokenizer, config] = written.expect("a byte-level vocabulary");
            let config = TokenizerConfig::from_json(&config).expect("our own");
            assert_eq!(config.chat_templates, templates, "{name}");
            let ours = Tokenizer::from_json(&tokenizer, &config).expect("our own");
            let files = Tokenizer::from_gguf(&vocabulary).expect("a known style");
            assert_eq!(ours.len(), files.len(), "{name}");
            assert_eq!(
                (ours.bos_to_add(), ours.eos()),
                (files.bos_to_add(), files.eos()),
                "{name}"
            );
            for text in [
                "",
                "The owl, 123 4567.",
                "a<|im_end|>\nb",
                "  é\t中文 's",
                "\r\n\r\n x",
            ] {
                for special in [SpecialTokens::Parse, SpecialTokens::AsText] {
                    let [ours, files] = [&ours, &files].map(|t| t.encode(text, special).ok());
                    assert_eq!(ours, files, "{name}: {text:?}");
                }
            }
        }
    }
}
