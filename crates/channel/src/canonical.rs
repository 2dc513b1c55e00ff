//! Bytes for digests: texts and numbers written one after another so that no two sequences give the same bytes.
//!
//! Not a file format; nothing reads it back.

use undertone_core::Digest;

/// A sequence under construction.
pub(crate) struct Canonical(Vec<u8>);

impl Canonical {
    /// Starts a sequence; `kind` keeps digests of different things apart.
    pub(crate) fn new(kind: &str) -> Self {
        let mut sequence = Self(Vec::new());
        sequence.text(kind);
        sequence
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn texts<T: AsRef<str>>(&mut self, texts: &[T]) {
        self.number(texts.len() as u64);
        for text in texts {
            self.text(text.as_ref());
        }
    }

    pub(crate) fn digest(self) -> Digest {
        Digest::of(&self.0)
    }
}
