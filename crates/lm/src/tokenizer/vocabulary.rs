//! The tokens by id: what bytes each adds, and what sort it is.

use super::error::BuildTokenizerErrorKind;

/// Most tokens of a vocabulary.
pub(super) const MAX_TOKENS: usize = 1 << 21;

/// Most bytes of a token.
pub(super) const MAX_TOKEN_BYTES: usize = 1 << 12;

/// Most bytes of all tokens together.
const MAX_TOTAL_BYTES: usize = 1 << 27;

/// What sort of token an id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Ordinary: made by merging, or a byte.
    Text,
    /// Added by whoever trained the model, and part of ordinary text: found whole before anything is merged.
    Added,
    /// Marks turns, beginnings and ends; never part of a text that a person reads.
    Control,
    /// Not in use, or no token at all.
    Unused,
}

/// Bytes and kind of every token.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    kinds: Vec<TokenKind>,
}

impl Vocabulary {
    /// Adds the token with the next id.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        kind: TokenKind,
    ) -> Result<(), BuildTokenizerErrorKind> {
        let too_many = |what, n, limit| Err(BuildTokenizerErrorKind::TooMany { what, n, limit });
        if self.len() == MAX_TOKENS {
            return too_many("tokens", self.len() + 1, MAX_TOKENS);
        }
        if bytes.len() > MAX_TOKEN_BYTES {
            return too_many("bytes of a token", bytes.len(), MAX_TOKEN_BYTES);
        }
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > MAX_TOTAL_BYTES {
            return too_many("bytes of all tokens", self.bytes.len(), MAX_TOTAL_BYTES);
        }
        self.ends.push(self.bytes.len() as u32);
        self.kinds.push(kind);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    pub(super) fn bytes(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let Some(&end) = self.ends.get(id) else {
            return &[];
        };
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.bytes[start as usize..end as usize]
    }

    pub(super) fn kind(&self, id: u32) -> TokenKind {
        let kind = self.kinds.get(id as usize);
        kind.copied().unwrap_or(TokenKind::Unused)
    }

    /// Whether token `id` is found whole before anything is merged.
    pub(super) fn is_cut_out(&self, id: u32) -> bool {
        matches!(self.kind(id), TokenKind::Added | TokenKind::Control)
    }
}
