//! Rebuilds a tokenizer from the metadata of a GGUF file.
//!
//! The file has the vocabulary and, by name, the rule for splitting text; what that rule is, is known here. Two sorts
//! are read: byte-level BPE (`gpt2` in the file) and SentencePiece with scores (`llama`). Text is encoded as the
//! model's own tokenizer does: for Qwen that includes Unicode normalisation (NFC), which llama.cpp leaves out.

mod save;

use std::collections::HashMap;

use tokenizers::SplitDelimiterBehavior;
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};

use crate::gguf::{Metadata, MetadataError};

use super::added::AddedTokens;
use super::error::{BuildTokenizerError, BuildTokenizerErrorKind as Kind, TokenizerSource};
use super::model::{Model, Rule};
use super::pieces::{PreTokenizer, SPACE_SYMBOL, SpacePrefix};
use super::vocabulary::{MAX_TOKENS, TokenKind, Vocabulary};
use super::{Roles, Tokenizer, alphabet};

/// Most merges of a vocabulary.
pub(super) const MAX_MERGES: usize = 1 << 22;

/// The tokenizer's part of a GGUF file's metadata, keys `tokenizer.ggml.…`.
#[derive(Debug, Clone, Default)]
pub struct GgufVocabulary<'a> {
    /// `model`: the algorithm.
    pub model: &'a str,
    /// `pre`: the name of the rule that splits text.
    pub pre: Option<&'a str>,
    /// `tokens`: their texts, as the algorithm writes them.
    pub tokens: &'a [String],
    /// `scores`: one a token.
    pub scores: Option<&'a [f32]>,
    /// `token_type`: one a token.
    pub token_types: Option<Vec<i64>>,
    /// `merges`: pairs of tokens with a space between, in order of rank.
    pub merges: &'a [String],
    /// `bos_token_id`.
    pub bos: Option<u32>,
    /// `eos_token_id`.
    pub eos: Option<u32>,
    /// `eot_token_id`: ends a turn.
    pub eot: Option<u32>,
    /// `eom_token_id`: ends a message.
    pub eom: Option<u32>,
    /// `padding_token_id`.
    pub pad: Option<u32>,
    /// `add_bos_token`; if absent, true for SentencePiece and Llama 3.
    pub add_bos: Option<bool>,
    /// `add_space_prefix`, for SentencePiece; true if absent.
    pub add_space_prefix: Option<bool>,
}

impl<'a> GgufVocabulary<'a> {
    /// Takes the tokenizer's part from a file's metadata.
    ///
    /// # Errors
    /// [`MetadataError`] if a value has another type than the format says, or the vocabulary is not there.
    pub fn read(metadata: &'a Metadata) -> Result<Self, MetadataError> {
        Ok(Self {
            model: metadata.get("tokenizer.ggml.model")?,
            pre: metadata.find("tokenizer.ggml.pre")?,
            tokens: metadata.get("tokenizer.ggml.tokens")?,
            scores: metadata.find("tokenizer.ggml.scores")?,
            token_types: metadata.find("tokenizer.ggml.token_type")?,
            merges: metadata.find("tokenizer.ggml.merges")?.unwrap_or_default(),
            bos: metadata.find("tokenizer.ggml.bos_token_id")?,
            eos: metadata.find("tokenizer.ggml.eos_token_id")?,
            eot: metadata.find("tokenizer.ggml.eot_token_id")?,
            eom: metadata.find("tokenizer.ggml.eom_token_id")?,
            pad: metadata.find("tokenizer.ggml.padding_token_id")?,
            add_bos: metadata.find("tokenizer.ggml.add_bos_token")?,
            add_space_prefix: metadata.find("tokenizer.ggml.add_space_prefix")?,
        })
    }
}

impl Tokenizer {
    /// Rebuilds the tokenizer of a GGUF file.
    ///
    /// # Errors
    /// [`BuildTokenizerError`] naming the part that is not supported, or the field that is wrong.
    pub fn from_gguf(file: &GgufVocabulary<'_>) -> Result<Self, BuildTokenizerError> {
        build(file).map_err(|kind| BuildTokenizerError {
            source_format: TokenizerSource::Gguf,
            kind,
        })
    }
}

/// What a GGUF file calls the sort of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

fn build(file: &GgufVocabulary<'_>) -> Result<Tokenizer, Kind> {
    let limits = [
        ("tokens", file.tokens.len(), MAX_TOKENS),
        ("merges", file.merges.len(), MAX_MERGES),
    ];
    for (what, n, limit) in limits {
        if n > limit {
            return Err(Kind::TooMany { what, n, limit });
        }
    }
    if file.tokens.is_empty() {
        return Err(Kind::Missing {
            field: "tokenizer.ggml.tokens",
        });
    }
    let types = types(file)?;
    match file.model {
        "gpt2" => byte_level(file, &types),
        "llama" => sentence_piece(file, &types),
        model => Err(Kind::Unsupported {
            part: "tokenizer model",
            found: model.to_owned(),
            supported: "`gpt2` (byte-level BPE) and `llama` (SentencePiece)",
        }),
    }
}

fn types(file: &GgufVocabulary<'_>) -> Result<Vec<Type>, Kind> {
    let field = "tokenizer.ggml.token_type";
    let Some(types) = &file.token_types else {
        let guess = |token: &String| match byte_token(token) {
            Some(_) if file.model == "llama" => Type::Byte,
            _ => Type::Normal,
        };
        return Ok(file.tokens.iter().map(guess).collect());
    };
    check_length(field, types.len(), file)?;
    let read = |(index, &value): (usize, &i64)| match value {
        1 => Ok(Type::Normal),
        2 => Ok(Type::Unknown),
        3 => Ok(Type::Control),
        4 => Ok(Type::UserDefined),
        5 => Ok(Type::Unused),
        6 => Ok(Type::Byte),
        _ => Err(Kind::Element {
            field,
            index,
            found: value.to_string(),
            expected: "1 to 6",
        }),
    };
    types.iter().enumerate().map(read).collect()
}

fn check_length(field: &'static str, n: usize, file: &GgufVocabulary<'_>) -> Result<(), Kind> {
    let tokens = file.tokens.len();
    if n == tokens {
        Ok(())
    } else {
        Err(Kind::Length { field, n, tokens })
    }
}

fn roles(file: &GgufVocabulary<'_>, add_bos: bool) -> Roles {
    Roles {
        bos: file.bos,
        eos: file.eos,
        pad: file.pad,
        ends: file.eot.into_iter().chain(file.eom).collect(),
        add_bos: file.add_bos.unwrap_or(add_bos),
    }
}

fn byte_level(file: &GgufVocabulary<'_>, types: &[Type]) -> Result<Tokenizer, Kind> {
    let style = Style::named(file.pre)?;
    let mut vocabulary = Vocabulary::default();
    let mut by_text = HashMap::with_capacity(file.tokens.len());
    for ((token, ty), id) in file.tokens.iter().zip(types).zip(0..) {
        let kind = kind(*ty);
        let bytes = match kind {
            // A token outside the alphabet is out of merging's reach, but a model may still know it.
            TokenKind::Text => alphabet::bytes_of(token),
            _ => None,
        };
        vocabulary.push(bytes.as_deref().unwrap_or(token.as_bytes()), kind)?;
        by_text.entry(token.as_str()).or_insert(id);
    }
    let merges = file
        .merges
        .iter()
        .map(|merge| split_merge(merge).ok_or(merge))
        .enumerate()
        .map(|(index, merge)| {
            merge.map_err(|merge| Kind::Element {
                field: "tokenizer.ggml.merges",
                index,
                found: merge.clone(),
                expected: "two tokens with a space between",
            })
        });
    let model = Model {
        characters: characters(&by_text, &vocabulary),
        bytes: Box::new([None; 256]),
        byte_level: true,
        whole: match style {
            Style::Llama3 => texts(&by_text, &vocabulary),
            Style::Qwen2 | Style::SmolLm => HashMap::new(),
        },
        rule: pairs(merges, &by_text, &vocabulary)?,
    };
    let pieces = style.pieces()?;
    let roles = roles(file, style == Style::Llama3);
    let added = added(file, &vocabulary);
    Tokenizer::assemble(vocabulary, added, pieces, model, roles)
}

fn added(file: &GgufVocabulary<'_>, vocabulary: &Vocabulary) -> AddedTokens {
    AddedTokens::new(vocabulary, file.tokens.iter().map(String::as_str).zip(0..))
}

fn kind(ty: Type) -> TokenKind {
    match ty {
        Type::Normal | Type::Byte => TokenKind::Text,
        Type::Unknown | Type::Control => TokenKind::Control,
        Type::UserDefined => TokenKind::Added,
        Type::Unused => TokenKind::Unused,
    }
}

/// Splits at the first space that is not the first character: a token may begin with one.
fn split_merge(merge: &str) -> Option<(&str, &str)> {
    let first = merge.chars().next()?.len_utf8();
    let space = first + merge[first..].find(' ')?;
    let (left, right) = (&merge[..space], &merge[space + 1..]);
    (!right.is_empty()).then_some((left, right))
}

/// Returns the tokens of one character that merging may begin with.
pub(super) fn characters(
    by_text: &HashMap<&str, u32>,
    vocabulary: &Vocabulary,
) -> HashMap<char, u32> {
    let one = |(&text, &id): (&&str, &u32)| {
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(c), None) if may_come_from_text(id, vocabulary) => Some((c, id)),
            _ => None,
        }
    };
    by_text.iter().filter_map(one).collect()
}

/// Returns all tokens that may come from ordinary text.
pub(super) fn texts(by_text: &HashMap<&str, u32>, vocabulary: &Vocabulary) -> HashMap<String, u32> {
    let reachable = by_text
        .iter()
        .filter(|&(_, &id)| may_come_from_text(id, vocabulary));
    reachable
        .map(|(&text, &id)| (text.to_owned(), id))
        .collect()
}

fn may_come_from_text(id: u32, vocabulary: &Vocabulary) -> bool {
    matches!(vocabulary.kind(id), TokenKind::Text | TokenKind::Added)
}

/// Returns the merges by the ids they join. Those that would make a control token of ordinary text are left out.
pub(super) fn pairs<'m>(
    merges: impl Iterator<Item = Result<(&'m str, &'m str), Kind>>,
    by_text: &HashMap<&str, u32>,
    vocabulary: &Vocabulary,
) -> Result<Rule, Kind> {
    let id_of = |index, text: &str| {
        by_text.get(text).copied().ok_or_else(|| Kind::Merge {
            index,
            token: text.to_owned(),
        })
    };
    let mut pairs = HashMap::new();
    let mut merged = String::new();
    for (index, merge) in merges.enumerate() {
        let (left, right) = merge?;
        merged.clear();
        merged.push_str(left);
        merged.push_str(right);
        let (left, right) = (id_of(index, left)?, id_of(index, right)?);
        let id = id_of(index, &merged)?;
        if may_come_from_text(id, vocabulary) {
            // A pair that comes twice ranks by its last place, as in the crate `tokenizers`.
            pairs.insert((left, right), (index as u32, id));
        }
    }
    Ok(Rule::Pairs(pairs))
}

/// How a family of byte-level tokenizers splits text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Llama3,
    Qwen2,
    SmolLm,
}

impl Style {
    fn named(pre: Option<&str>) -> Result<Self, Kind> {
        match pre {
            Some("llama-bpe" | "llama3" | "llama-v3") => Ok(Self::Llama3),
            Some("qwen2") => Ok(Self::Qwen2),
            Some("smollm") => Ok(Self::SmolLm),
            Some(pre) => Err(Kind::Unsupported {
                part: "pre-tokenizer",
                found: pre.to_owned(),
                supported: "`llama-bpe`, `llama3`, `llama-v3`, `qwen2` and `smollm`",
            }),
            None => Err(Kind::Missing {
                field: "tokenizer.ggml.pre",
            }),
        }
    }

    fn pieces(self) -> Result<PreTokenizer, Kind> {
        let steps = match self {
            Self::Llama3 => vec![split_words(r"\p{N}{1,3}")?, byte_symbols(false)],
            Self::Qwen2 => vec![split_words(r"\p{N}")?, byte_symbols(false)],
            Self::SmolLm => vec![Digits::new(true).into(), byte_symbols(true)],
        };
        Ok(PreTokenizer::ByteLevel {
            normalizer: (self == Self::Qwen2).then(|| Box::new(NFC.into())),
            splitter: Box::new(Sequence::new(steps).into()),
        })
    }
}

/// The step that writes bytes as symbols; with GPT-2's way of splitting before, or without.
fn byte_symbols(split: bool) -> PreTokenizerWrapper {
    ByteLevel::new(false, true, split).into()
}

/// Splits words off with at most one other character before, numbers as `numbers` says, signs, and runs of spaces.
fn split_words(numbers: &str) -> Result<PreTokenizerWrapper, Kind> {
    let contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
    let words = r"[^\r\n\p{L}\p{N}]?\p{L}+";
    let signs = r" ?[^\s\p{L}\p{N}]+[\r\n]*";
    let spaces = r"\s*[\r\n]+|\s+(?!\S)|\s+";
    let pattern = format!("{contractions}|{words}|{numbers}|{signs}|{spaces}");
    let split = Split::new(
        SplitPattern::Regex(pattern),
        SplitDelimiterBehavior::Isolated,
        false,
    );
    Ok(split.expect("a valid pattern").into())
}

fn sentence_piece(file: &GgufVocabulary<'_>, types: &[Type]) -> Result<Tokenizer, Kind> {
    let field = "tokenizer.ggml.scores";
    let scores = file.scores.ok_or(Kind::Missing { field })?;
    check_length(field, scores.len(), file)?;
    let ranks = ranks(scores)?;
    let mut vocabulary = Vocabulary::default();
    let mut bytes = Box::new([None; 256]);
    let mut pieces = HashMap::with_capacity(file.tokens.len());
    for (((token, ty), rank), id) in file.tokens.iter().zip(types).zip(ranks).zip(0..) {
        if *ty == Type::Byte {
            let byte = byte_token(token).ok_or_else(|| Kind::Element {
                field: "tokenizer.ggml.tokens",
                index: id as usize,
                found: token.clone(),
                expected: "a byte as `<0x0A>`",
            })?;
            vocabulary.push(&[byte], TokenKind::Text)?;
            bytes[usize::from(byte)].get_or_insert(id);
            continue;
        }
        let kind = kind(*ty);
        vocabulary.push(token.replace(SPACE_SYMBOL, " ").as_bytes(), kind)?;
        if may_come_from_text(id, &vocabulary) {
            let text = token.replace(' ', SPACE_SYMBOL.encode_utf8(&mut [0; 4]));
            pieces.entry(text).or_insert((rank, id));
        }
    }
    let by_text: HashMap<&str, u32> = pieces
        .iter()
        .map(|(text, &(_, id))| (text.as_str(), id))
        .collect();
    let model = Model {
        characters: characters(&by_text, &vocabulary),
        bytes,
        byte_level: false,
        whole: HashMap::new(),
        rule: Rule::Pieces(pieces),
    };
    let prefix = match file.add_space_prefix {
        Some(false) => SpacePrefix::Never,
        Some(true) | None => SpacePrefix::Always,
    };
    let roles = roles(file, true);
    let added = added(file, &vocabulary);
    Tokenizer::assemble(
        vocabulary,
        added,
        PreTokenizer::Spaces(prefix),
        model,
        roles,
    )
}

/// Returns the byte of a token written `<0x0A>`.
pub(super) fn byte_token(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_hex = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| u8::from_str_radix(digits, 16).ok())?
}

/// Returns the place of every score among all, the highest first; equal scores share a place.
fn ranks(scores: &[f32]) -> Result<Vec<u32>, Kind> {
    if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
        return Err(Kind::Element {
            field: "tokenizer.ggml.scores",
            index,
            found: scores[index].to_string(),
            expected: "a finite number",
        });
    }
    let mut sorted: Vec<f32> = scores.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    // Not by bits: 0 and -0 are equal scores.
    sorted.dedup_by(|a, b| a == b);
    let rank = |score: &f32| sorted.partition_point(|other| other > score) as u32;
    Ok(scores.iter().map(rank).collect())
}
