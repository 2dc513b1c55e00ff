//! Cuts text between added tokens into the pieces inside which merges happen.

use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{
    Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _,
};

use super::error::EncodeError;

/// The character that SentencePiece writes spaces as.
pub(super) const SPACE_SYMBOL: char = '▁';

/// Text to pieces.
pub(super) enum PreTokenizer {
    /// Regular expressions, then every byte as a symbol of its alphabet.
    ByteLevel {
        normalizer: Option<Box<NormalizerWrapper>>,
        splitter: Box<PreTokenizerWrapper>,
    },
    /// One piece, spaces written as [`SPACE_SYMBOL`].
    Spaces(SpacePrefix),
}

/// Where SentencePiece puts a space that the text does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpacePrefix {
    /// Nowhere.
    Never,
    /// Before the text and after every added token.
    Always,
    /// As `Always`, unless there is a space.
    WhereNone,
    /// Before the text alone, unless it begins with a space or an added token.
    FirstWhereNone,
}

impl PreTokenizer {
    /// Whether a space may be put in front of a text.
    pub(super) fn adds_space(&self) -> bool {
        matches!(self, Self::Spaces(prefix) if *prefix != SpacePrefix::Never)
    }

    /// Calls `encode` with the pieces of `text`, in order; `first` if nothing stands before it.
    pub(super) fn for_each(
        &self,
        text: &str,
        first: bool,
        mut encode: impl FnMut(&str) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        match self {
            Self::Spaces(prefix) => encode(&with_space_symbols(text, *prefix, first)),
            Self::ByteLevel {
                normalizer,
                splitter,
            } => {
                let mut pieces = PreTokenizedString::from(text);
                if let Some(normalizer) = normalizer {
                    let normalized = pieces.normalize(|text| normalizer.normalize(text));
                    normalized.map_err(EncodeError::Split)?;
                }
                let split = splitter.pre_tokenize(&mut pieces);
                split.map_err(EncodeError::Split)?;
                pieces
                    .get_splits(OffsetReferential::Normalized, OffsetType::None)
                    .into_iter()
                    .try_for_each(|(piece, _, _)| encode(piece))
            }
        }
    }
}

fn with_space_symbols(text: &str, prefix: SpacePrefix, first: bool) -> String {
    let has_space = text.starts_with([' ', SPACE_SYMBOL]);
    let add = match prefix {
        SpacePrefix::Never => false,
        SpacePrefix::Always => true,
        SpacePrefix::WhereNone => !has_space,
        SpacePrefix::FirstWhereNone => first && !has_space,
    };
    let text = text
        .chars()
        .map(|c| if c == ' ' { SPACE_SYMBOL } else { c });
    add.then_some(SPACE_SYMBOL)
        .into_iter()
        .chain(text)
        .collect()
}
