//! Reads a Hugging Face `tokenizer.json`.
//!
//! Of the many parts such a file may be put together from, those are read that Llama, Qwen, Gemma and SmolLM use:
//! byte-level BPE behind regular expressions, and BPE over SentencePiece's characters with bytes to fall back on.
//! Anything else is refused by name.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::Value;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::{NormalizedString, Normalizer};

use super::added::AddedTokens;
use super::error::{BuildTokenizerError, BuildTokenizerErrorKind as Kind, TokenizerSource};
use super::gguf::{MAX_MERGES, byte_token, characters, pairs, texts};
use super::model::Model;
use super::pieces::{PreTokenizer, SPACE_SYMBOL, SpacePrefix};
use super::vocabulary::{MAX_TOKENS, TokenKind, Vocabulary};
use super::{Roles, Tokenizer, TokenizerConfig, alphabet};

/// Longest `tokenizer.json`, in bytes.
pub const MAX_JSON_BYTES: usize = 1 << 28;

#[derive(Deserialize)]
struct File {
    model: Bpe,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
}

/// The model's type alone: other models' vocabularies have other forms.
#[derive(Deserialize)]
struct Header {
    model: ModelType,
}

#[derive(Deserialize)]
struct ModelType {
    #[serde(rename = "type")]
    name: Option<String>,
}

#[derive(Deserialize)]
struct Bpe {
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
    dropout: Option<f64>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
    #[serde(default)]
    special: bool,
}

/// A pair of tokens: `"a b"`, or `["a", "b"]` in newer files.
struct Merge(String, String);

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pair;
        impl<'de> Visitor<'de> for Pair {
            type Value = Merge;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("two tokens, in an array or with one space between")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Merge, E> {
                match text.split_once(' ') {
                    Some((left, right)) if !right.contains(' ') => {
                        Ok(Merge(left.to_owned(), right.to_owned()))
                    }
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Merge, A::Error> {
                let (left, right) = (seq.next_element()?, seq.next_element()?);
                let end: Option<String> = seq.next_element()?;
                match (left, right, end) {
                    (Some(left), Some(right), None) => Ok(Merge(left, right)),
                    _ => Err(A::Error::custom("a merge has two tokens")),
                }
            }
        }
        deserializer.deserialize_any(Pair)
    }
}

impl Tokenizer {
    /// Reads a `tokenizer.json`; `config` says which tokens begin and end a text.
    ///
    /// # Errors
    /// [`BuildTokenizerError`] naming the part that is not supported, or the field that is wrong.
    pub fn from_json(json: &[u8], config: &TokenizerConfig) -> Result<Self, BuildTokenizerError> {
        build(json, config).map_err(|kind| BuildTokenizerError {
            source_format: TokenizerSource::Json,
            kind,
        })
    }
}

fn build(json: &[u8], config: &TokenizerConfig) -> Result<Tokenizer, Kind> {
    if json.len() > MAX_JSON_BYTES {
        return Err(Kind::TooMany {
            what: "bytes",
            n: json.len(),
            limit: MAX_JSON_BYTES,
        });
    }
    let header: Header = serde_json::from_slice(json).map_err(Kind::Json)?;
    if let Some(found) = header.model.name.filter(|name| name != "BPE") {
        return Err(unsupported("model", found, "BPE"));
    }
    let file: File = serde_json::from_slice(json).map_err(Kind::Json)?;
    refuse_model_options(&file.model)?;
    let byte_level = type_of(&file.decoder) == "ByteLevel";
    let pieces = if byte_level {
        byte_level_pieces(&file)?
    } else {
        space_pieces(&file)?
    };
    check_added_tokens(&file, &pieces)?;
    let vocabulary = vocabulary(&file, byte_level)?;
    let by_text: HashMap<&str, u32> = file
        .model
        .vocab
        .iter()
        .map(|(text, &id)| (text.as_str(), id))
        .collect();
    let merges = &file.model.merges;
    if merges.len() > MAX_MERGES {
        return Err(Kind::TooMany {
            what: "merges",
            n: merges.len(),
            limit: MAX_MERGES,
        });
    }
    let merges = merges.iter().map(|merge| Ok((&*merge.0, &*merge.1)));
    let model = Model {
        characters: characters(&by_text, &vocabulary),
        bytes: byte_tokens(&by_text),
        byte_level,
        whole: if file.model.ignore_merges {
            texts(&by_text, &vocabulary)
        } else {
            HashMap::new()
        },
        rule: pairs(merges, &by_text, &vocabulary)?,
    };
    let roles = roles(&file, config)?;
    let added = file.added_tokens.iter().map(|a| (a.content.as_str(), a.id));
    let added = AddedTokens::new(&vocabulary, added);
    Tokenizer::assemble(vocabulary, added, pieces, model, roles)
}

fn unsupported(part: &'static str, found: impl Into<String>, supported: &'static str) -> Kind {
    Kind::Unsupported {
        part,
        found: found.into(),
        supported,
    }
}

/// Returns the `type` of a part, "null" for none.
fn type_of(part: &Value) -> &str {
    match part {
        Value::Null => "null",
        part => part["type"].as_str().unwrap_or("?"),
    }
}

/// Returns the parts of a sequence, in order; of a single part, itself; of none, nothing.
fn steps<'v>(part: &'v Value, list: &str) -> Vec<&'v Value> {
    match (type_of(part), &part[list]) {
        ("null", _) => Vec::new(),
        ("Sequence", Value::Array(steps)) => steps.iter().collect(),
        _ => vec![part],
    }
}

fn refuse_model_options(model: &Bpe) -> Result<(), Kind> {
    if model.dropout.is_some_and(|dropout| dropout != 0.0) {
        return Err(unsupported("dropout", "not 0", "0"));
    }
    for affix in [&model.continuing_subword_prefix, &model.end_of_word_suffix] {
        if let Some(affix) = affix.as_ref().filter(|affix| !affix.is_empty()) {
            return Err(unsupported("affix of subwords", affix, "none"));
        }
    }
    Ok(())
}

fn byte_level_pieces(file: &File) -> Result<PreTokenizer, Kind> {
    let supported = "NFC";
    for step in steps(&file.normalizer, "normalizers") {
        if type_of(step) != "NFC" {
            return Err(unsupported("normalizer", type_of(step), supported));
        }
    }
    let supported = "Split, Digits and ByteLevel, with ByteLevel last";
    let splitters = steps(&file.pre_tokenizer, "pretokenizers");
    let known = splitters
        .iter()
        .all(|step| matches!(type_of(step), "Split" | "Digits" | "ByteLevel"));
    let last = splitters.last().map_or("null", |step| type_of(step));
    if !known || last != "ByteLevel" {
        let found: Vec<&str> = splitters.iter().map(|step| type_of(step)).collect();
        return Err(unsupported("pre-tokenizer", found.join(", "), supported));
    }
    let normalizer: Option<Box<NormalizerWrapper>> =
        serde_json::from_value(file.normalizer.clone()).map_err(|source| Kind::Part {
            part: "normalizer",
            source,
        })?;
    let splitter =
        serde_json::from_value(file.pre_tokenizer.clone()).map_err(|source| Kind::Part {
            part: "pre-tokenizer",
            source,
        })?;
    Ok(PreTokenizer::ByteLevel {
        normalizer,
        splitter: Box::new(splitter),
    })
}

/// Reads the several ways in which files say that spaces are written as [`SPACE_SYMBOL`].
fn space_pieces(file: &File) -> Result<PreTokenizer, Kind> {
    let symbol = SPACE_SYMBOL.to_string();
    let decoders = ["Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"];
    for step in steps(&file.decoder, "decoders") {
        if !decoders.contains(&type_of(step)) {
            let supported = "ByteLevel, or Replace, ByteFallback, Fuse, Strip and Metaspace";
            return Err(unsupported("decoder", type_of(step), supported));
        }
    }
    if !file.model.byte_fallback {
        return Err(unsupported(
            "BPE without bytes",
            "byte_fallback: false",
            "true",
        ));
    }
    let mut replaced = false;
    let mut prefix = SpacePrefix::Never;
    for step in steps(&file.normalizer, "normalizers") {
        match type_of(step) {
            "Prepend" if step["prepend"] == *symbol => prefix = SpacePrefix::Always,
            "Replace" if step["pattern"]["String"] == " " && step["content"] == *symbol => {
                replaced = true;
            }
            _ => {
                let supported = "Prepend and Replace, of spaces by `▁`";
                return Err(unsupported("normalizer", step.to_string(), supported));
            }
        }
    }
    for step in steps(&file.pre_tokenizer, "pretokenizers") {
        match type_of(step) {
            // Splits at spaces, of which the normalizer left none.
            "Split" if step["pattern"]["String"] == " " && replaced => {}
            "Metaspace" if step["replacement"] == *symbol && step["split"] == false => {
                prefix = match step["prepend_scheme"].as_str() {
                    Some("never") => SpacePrefix::Never,
                    Some("first") => SpacePrefix::FirstWhereNone,
                    None if step["add_prefix_space"] == false => SpacePrefix::Never,
                    Some("always") | None => SpacePrefix::WhereNone,
                    Some(_) => {
                        return Err(unsupported(
                            "prepend_scheme",
                            step["prepend_scheme"].to_string(),
                            "never, first and always",
                        ));
                    }
                };
                replaced = true;
            }
            _ => {
                let supported = "Split at spaces, and Metaspace without split";
                return Err(unsupported("pre-tokenizer", step.to_string(), supported));
            }
        }
    }
    if replaced {
        Ok(PreTokenizer::Spaces(prefix))
    } else {
        let supported = "one that writes spaces as `▁`";
        Err(unsupported(
            "normalizer",
            type_of(&file.normalizer),
            supported,
        ))
    }
}

/// Refuses tokens that are found otherwise than letter by letter.
fn check_added_tokens(file: &File, pieces: &PreTokenizer) -> Result<(), Kind> {
    for added in &file.added_tokens {
        let flags = [
            ("single_word", added.single_word),
            ("lstrip", added.lstrip),
            ("rstrip", added.rstrip),
            (
                "normalized",
                added.normalized && is_changed(&added.content, pieces),
            ),
        ];
        if let Some(&(flag, _)) = flags.iter().find(|(_, set)| *set) {
            return Err(Kind::AddedToken {
                token: added.content.clone(),
                flag,
            });
        }
    }
    Ok(())
}

/// Whether the normalizer would change a token's text, so that it would be found in other text than it spells.
fn is_changed(content: &str, pieces: &PreTokenizer) -> bool {
    match pieces {
        PreTokenizer::Spaces(SpacePrefix::Always) => true,
        PreTokenizer::Spaces(_) => content.contains(' '),
        PreTokenizer::ByteLevel { normalizer, .. } => {
            normalizer.as_ref().is_some_and(|normalizer| {
                let mut text = NormalizedString::from(content);
                normalizer.normalize(&mut text).is_err() || text.get() != content
            })
        }
    }
}

fn vocabulary(file: &File, byte_level: bool) -> Result<Vocabulary, Kind> {
    let model = file.model.vocab.iter().map(|(text, &id)| (text, id, None));
    let added = file.added_tokens.iter().map(|added| {
        let kind = if added.special {
            TokenKind::Control
        } else {
            TokenKind::Added
        };
        (&added.content, added.id, Some(kind))
    });
    let mut tokens: Vec<Option<(&str, Option<TokenKind>)>> = Vec::new();
    for (text, id, kind) in model.chain(added) {
        let index = id as usize;
        if index >= MAX_TOKENS {
            return Err(Kind::TooMany {
                what: "tokens",
                n: index + 1,
                limit: MAX_TOKENS,
            });
        }
        if index >= tokens.len() {
            tokens.resize(index + 1, None);
        }
        if let Some((first, _)) = tokens[index].filter(|(first, _)| first != text) {
            return Err(Kind::DuplicateId {
                id,
                first: first.to_owned(),
                second: text.clone(),
            });
        }
        tokens[index] = Some((text, kind));
    }
    if tokens.is_empty() {
        return Err(Kind::Missing { field: "vocab" });
    }
    let mut vocabulary = Vocabulary::default();
    for token in tokens {
        let Some((text, added)) = token else {
            vocabulary.push(b"", TokenKind::Unused)?;
            continue;
        };
        let kind = added.unwrap_or(TokenKind::Text);
        if byte_level {
            let bytes = match added {
                None => alphabet::bytes_of(text),
                Some(_) => None,
            };
            vocabulary.push(bytes.as_deref().unwrap_or(text.as_bytes()), kind)?;
        } else if let (None, Some(byte)) = (added, byte_token(text)) {
            vocabulary.push(&[byte], kind)?;
        } else {
            vocabulary.push(text.replace(SPACE_SYMBOL, " ").as_bytes(), kind)?;
        }
    }
    Ok(vocabulary)
}

/// Returns the tokens that stand for single bytes, as `<0x0A>`.
fn byte_tokens(by_text: &HashMap<&str, u32>) -> Box<[Option<u32>; 256]> {
    let mut bytes = Box::new([None; 256]);
    for byte in 0..=255_u8 {
        bytes[usize::from(byte)] = by_text.get(&*format!("<0x{byte:02X}>")).copied();
    }
    bytes
}

fn roles(file: &File, config: &TokenizerConfig) -> Result<Roles, Kind> {
    let find = |token: &str| {
        let added = file.added_tokens.iter().find(|a| a.content == token);
        let model = || file.model.vocab.get(token).copied();
        added.map(|added| added.id).or_else(model)
    };
    let named = |field, token: &Option<String>| match token {
        None => Ok(None),
        Some(token) => find(token).map(Some).ok_or_else(|| Kind::UnknownToken {
            field,
            token: token.clone(),
        }),
    };
    let put_first = token_put_first(&file.post_processor);
    Ok(Roles {
        bos: named("bos_token", &config.bos_token)?.or(put_first),
        eos: named("eos_token", &config.eos_token)?,
        // Training libraries name padding tokens that no file has; nothing here needs one.
        pad: config.pad_token.as_deref().and_then(find),
        ends: Vec::new(),
        add_bos: config.add_bos_token.unwrap_or(put_first.is_some()),
    })
}

/// Returns the token that a post-processor puts before a text.
fn token_put_first(post_processor: &Value) -> Option<u32> {
    steps(post_processor, "processors")
        .into_iter()
        .filter(|step| type_of(step) == "TemplateProcessing")
        .find_map(|step| {
            let name = step["single"][0]["SpecialToken"]["id"].as_str()?;
            let id = step["special_tokens"][name]["ids"][0].as_u64()?;
            u32::try_from(id).ok()
        })
}
