//! The golden files of tokenizers.

use serde::Deserialize;
use undertone_lm::tokenizer::{GgufVocabulary, Tokenizer, TokenizerConfig};

use crate::support::golden_path;

/// Styles with a GGUF form.
pub const GGUF_STYLES: [&str; 5] = ["llama3", "qwen2", "smollm", "gemma", "llama2"];

/// All styles.
pub const STYLES: [&str; 6] = ["llama3", "qwen2", "smollm", "gemma", "llama2", "metaspace"];

/// A golden file; the real model's has cases alone.
#[derive(Deserialize)]
pub struct Golden {
    pub tokenizer_json: Option<serde_json::Value>,
    pub gguf: Option<Arrays>,
    pub roles: Option<Roles>,
    pub cases: Vec<Case>,
}

/// The arrays of a GGUF file.
#[derive(Deserialize, Clone)]
pub struct Arrays {
    pub model: String,
    pub pre: Option<String>,
    pub tokens: Vec<String>,
    pub scores: Option<Vec<f32>>,
    pub token_types: Vec<i64>,
    pub merges: Vec<String>,
    pub add_space_prefix: Option<bool>,
}

/// Ids of tokens with a role.
#[derive(Deserialize, Clone, Copy)]
pub struct Roles {
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub eot: Option<u32>,
    pub pad: Option<u32>,
}

/// A text and its ids.
#[derive(Deserialize)]
pub struct Case {
    pub text: String,
    /// By the crate `tokenizers`.
    pub json: Option<Ids>,
    /// By llama.cpp.
    pub gguf: Option<Ids>,
    /// By `sentencepiece`, where it disagrees with llama.cpp.
    pub sentencepiece: Option<Vec<u32>>,
    /// Whether Unicode normalisation changes the text.
    #[serde(default)]
    pub nfc_changes_it: bool,
}

#[derive(Deserialize)]
pub struct Ids {
    /// Special tokens parsed.
    pub parse: Vec<u32>,
    /// Special tokens as text.
    pub plain: Vec<u32>,
    /// The text of `parse`, without special tokens.
    pub decoded: Option<String>,
}

impl Golden {
    pub fn read(style: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let text = std::fs::read(golden_path(&format!("tokenizers/{style}.json")))?;
        Ok(serde_json::from_slice(&text)?)
    }

    pub fn arrays(&self) -> &Arrays {
        self.gguf.as_ref().expect("a style with a GGUF form")
    }

    pub fn roles(&self) -> Roles {
        self.roles.expect("a style")
    }

    /// Returns the `tokenizer.json`.
    pub fn json(&self) -> Vec<u8> {
        let json = self.tokenizer_json.as_ref().expect("a style");
        json.to_string().into_bytes()
    }

    /// Returns the tokenizer that the `tokenizer.json` gives.
    pub fn json_tokenizer(&self) -> Result<Tokenizer, Box<dyn std::error::Error>> {
        let name = |id: Option<u32>| {
            let added = self.tokenizer_json.as_ref()?["added_tokens"].as_array()?;
            let token = added.iter().find(|a| a["id"].as_u64() == id.map(u64::from));
            Some(token?["content"].as_str()?.to_owned())
        };
        let roles = self.roles();
        let config = TokenizerConfig {
            bos_token: name(roles.bos),
            eos_token: name(roles.eos),
            pad_token: name(roles.pad),
            ..TokenizerConfig::default()
        };
        Ok(Tokenizer::from_json(&self.json(), &config)?)
    }

    /// Returns the tokenizer rebuilt from the GGUF arrays.
    pub fn gguf_tokenizer(&self) -> Result<Tokenizer, Box<dyn std::error::Error>> {
        Ok(Tokenizer::from_gguf(
            &self.arrays().vocabulary(self.roles()),
        )?)
    }

    /// Returns what either reader makes of the style.
    pub fn both(&self) -> Result<Vec<Tokenizer>, Box<dyn std::error::Error>> {
        let mut both = vec![self.json_tokenizer()?];
        if self.gguf.is_some() {
            both.push(self.gguf_tokenizer()?);
        }
        Ok(both)
    }
}

impl Arrays {
    pub fn vocabulary(&self, roles: Roles) -> GgufVocabulary<'_> {
        GgufVocabulary {
            model: &self.model,
            pre: self.pre.as_deref(),
            tokens: &self.tokens,
            scores: self.scores.as_deref(),
            token_types: Some(self.token_types.clone()),
            merges: &self.merges,
            bos: roles.bos,
            eos: roles.eos,
            eot: roles.eot,
            pad: roles.pad,
            add_space_prefix: self.add_space_prefix,
            ..GgufVocabulary::default()
        }
    }
}
