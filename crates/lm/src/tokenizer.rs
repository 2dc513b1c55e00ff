//! Text to token ids and back.
//!
//! A [`Tokenizer`] comes from a Hugging Face `tokenizer.json` ([`Tokenizer::from_json`]) or from the metadata of a GGUF
//! file ([`Tokenizer::from_gguf`]). Both readers (`json`, `gguf`) fill in the same parts, and encoding is the same code
//! for both:
//!
//! ```text
//! text --added--> tokens and text between them --pieces--> pieces --model--> ids
//! ```
//!
//! `added` cuts out special and user-defined tokens, `pieces` normalises and pre-tokenises (regular expressions of the
//! crate `tokenizers`, or SentencePiece's spaces), `model` merges the characters of a piece. Nothing is added to what the
//! text says: whoever wants a beginning-of-text token asks [`Tokenizer::bos_to_add`].
//!
//! Token ids are those of the file; [`Tokenizer::token_bytes`] says what each adds to the text, which is all that
//! decoding and [`crate::grammar`] look at. Chat templates are in [`crate::chat`].

mod added;
mod alphabet;
mod config;
mod error;
mod gguf;
mod json;
mod model;
mod pieces;
mod stream;
mod trie;
mod vocabulary;
mod words;

pub use config::{ReadTokenizerConfigError, TokenizerConfig};
pub use error::{BuildTokenizerError, BuildTokenizerErrorKind, EncodeError, TokenizerSource};
pub use gguf::GgufVocabulary;
pub use json::MAX_JSON_BYTES;
pub use stream::StreamDecoder;
pub(crate) use trie::ByteTrie;
pub use vocabulary::TokenKind;
pub use words::{WordVocabulary, words_of};

use added::{AddedTokens, Fragment};
use model::{Model, Scratch};
use pieces::PreTokenizer;
use vocabulary::Vocabulary;

/// Longest text encoded in one call, in bytes.
pub const MAX_TEXT_BYTES: usize = 1 << 26;

/// What [`Tokenizer::encode`] makes of text that spells a control token, such as `<|im_end|>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialTokens {
    /// The token: for rendered chat templates.
    Parse,
    /// The characters: for text from outside, which must not be able to end a turn.
    AsText,
}

/// A vocabulary and the rules that turn text into its ids.
pub struct Tokenizer {
    vocabulary: Vocabulary,
    added: AddedTokens,
    pieces: PreTokenizer,
    model: Model,
    roles: Roles,
}

/// The tokens with a role, as the file names them.
#[derive(Debug, Clone, Default)]
struct Roles {
    bos: Option<u32>,
    eos: Option<u32>,
    pad: Option<u32>,
    /// Sorted, without repeats; holds `eos`.
    ends: Vec<u32>,
    add_bos: bool,
}

impl Tokenizer {
    /// Returns the number of ids: the largest id plus one.
    ///
    /// A model's embedding may have more rows; ids beyond are no tokens.
    pub fn len(&self) -> usize {
        self.vocabulary.len()
    }

    /// Whether there are no tokens; never, for a tokenizer that was built.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the ids of `text`, without any that the text does not spell.
    ///
    /// User-defined tokens (added, but not special) are found in either mode.
    ///
    /// # Errors
    /// [`EncodeError`] if the text is longer than [`MAX_TEXT_BYTES`], or holds a byte that the vocabulary has no token
    /// for: nothing is dropped.
    pub fn encode(&self, text: &str, special: SpecialTokens) -> Result<Vec<u32>, EncodeError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(EncodeError::TooLong {
                bytes: text.len(),
                limit: MAX_TEXT_BYTES,
            });
        }
        let mut ids = Vec::with_capacity(text.len() / 3);
        let mut scratch = Scratch::default();
        let mut first = true;
        for fragment in self.added.split(text, special) {
            match fragment {
                Fragment::Token(id) => ids.push(id),
                Fragment::Text(text) => self.pieces.for_each(text, first, |piece| {
                    self.model.encode(piece, &mut scratch, &mut ids)
                })?,
            }
            first = false;
        }
        Ok(ids)
    }

    /// Returns the text of `ids`, control tokens left out.
    ///
    /// Bytes that are no UTF-8 become U+FFFD, one for each maximal broken sequence. Where the tokenizer puts a space in
    /// front of a text, the first space is left out again. Ids beyond the vocabulary add nothing.
    pub fn decode(&self, ids: &[u32]) -> String {
        let shown = ids.iter().filter(|&&id| !self.is_special(id));
        let bytes: Vec<u8> = shown
            .flat_map(|&id| self.token_bytes(id))
            .copied()
            .collect();
        let text = bytes.strip_prefix(self.leading_space()).unwrap_or(&bytes);
        String::from_utf8_lossy(text).into_owned()
    }

    /// Returns the text of `ids` with control tokens spelled out, and no space left out.
    pub fn decode_with_special(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids
            .iter()
            .flat_map(|&id| self.token_bytes(id))
            .copied()
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns a decoder for ids that arrive one at a time.
    pub fn stream(&self) -> StreamDecoder<'_> {
        StreamDecoder::new(self)
    }

    /// Returns exactly the bytes that token `id` adds to a text; for a control token, those that spell it.
    ///
    /// Not always UTF-8: a character may be spread over tokens. Empty for ids beyond the vocabulary and for gaps in it.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.vocabulary.bytes(id)
    }

    /// Returns what sort of token `id` is; [`TokenKind::Unused`] beyond the vocabulary.
    pub fn kind(&self, id: u32) -> TokenKind {
        self.vocabulary.kind(id)
    }

    /// Whether `id` is a control token: never part of a text that a person reads.
    pub fn is_special(&self, id: u32) -> bool {
        self.kind(id) == TokenKind::Control
    }

    /// Returns the beginning-of-text token, if there is one.
    pub fn bos(&self) -> Option<u32> {
        self.roles.bos
    }

    /// Returns the end token that the file names first.
    pub fn eos(&self) -> Option<u32> {
        self.roles.eos
    }

    /// Returns the padding token, if there is one.
    pub fn pad(&self) -> Option<u32> {
        self.roles.pad
    }

    /// Returns every token that ends a text or a turn, in ascending order; sampling stops at any of them.
    pub fn end_tokens(&self) -> &[u32] {
        &self.roles.ends
    }

    /// Returns the token to put before a plain text, if the model was trained with one there.
    ///
    /// Chat templates write theirs themselves.
    pub fn bos_to_add(&self) -> Option<u32> {
        self.roles.bos.filter(|_| self.roles.add_bos)
    }

    /// Returns the control or user-defined token that is spelled `text`.
    pub fn special_token(&self, text: &str) -> Option<u32> {
        self.added.id_of(text)
    }

    /// Returns the one token that `text` encodes to as plain text; `None` if it takes more, or none.
    pub fn single_token(&self, text: &str) -> Option<u32> {
        match self.encode(text, SpecialTokens::AsText).as_deref() {
            Ok([id]) => Some(*id),
            _ => None,
        }
    }

    /// Adds end tokens that are named elsewhere, as in a `generation_config.json`.
    ///
    /// # Errors
    /// [`BuildTokenizerErrorKind::UnknownId`] if an id is beyond the vocabulary.
    pub fn with_end_tokens(mut self, ids: &[u32]) -> Result<Self, BuildTokenizerError> {
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= self.len()) {
            let kind = BuildTokenizerErrorKind::UnknownId {
                field: "eos_token_id",
                id,
                tokens: self.len(),
            };
            return Err(BuildTokenizerError {
                source_format: TokenizerSource::GenerationConfig,
                kind,
            });
        }
        self.roles.ends.extend_from_slice(ids);
        self.roles.ends.sort_unstable();
        self.roles.ends.dedup();
        Ok(self)
    }

    /// Puts the parts together, which a reader took from a file.
    fn assemble(
        vocabulary: Vocabulary,
        added: AddedTokens,
        pieces: PreTokenizer,
        model: Model,
        mut roles: Roles,
    ) -> Result<Self, BuildTokenizerErrorKind> {
        let tokens = vocabulary.len();
        let named = [
            ("bos token", roles.bos),
            ("eos token", roles.eos),
            ("padding token", roles.pad),
        ];
        let ends = roles.ends.iter().map(|&id| ("end token", Some(id)));
        for (field, id) in named.into_iter().chain(ends) {
            if let Some(id) = id.filter(|&id| id as usize >= tokens) {
                return Err(BuildTokenizerErrorKind::UnknownId { field, id, tokens });
            }
        }
        roles.ends.extend(roles.eos);
        roles.ends.sort_unstable();
        roles.ends.dedup();
        Ok(Self {
            vocabulary,
            added,
            pieces,
            model,
            roles,
        })
    }

    /// Returns what decoding leaves out at the start of a text: a space or nothing.
    fn leading_space(&self) -> &'static [u8] {
        if self.pieces.adds_space() { b" " } else { b"" }
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("tokens", &self.len())
            .field("bos", &self.roles.bos)
            .field("ends", &self.roles.ends)
            .finish_non_exhaustive()
    }
}
