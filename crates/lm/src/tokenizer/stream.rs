//! Decodes tokens as they arrive.

use super::Tokenizer;

/// Turns ids into text one at a time, holding bytes back while a character is incomplete.
///
/// All texts given, one after the other, are what [`Tokenizer::decode`] gives for all ids at once.
#[derive(Debug, Clone)]
pub struct StreamDecoder<'t> {
    tokenizer: &'t Tokenizer,
    /// What may still be left out at the start of the text.
    leading: &'static [u8],
    /// The beginning of a character: at most 3 bytes.
    pending: Vec<u8>,
}

impl<'t> StreamDecoder<'t> {
    pub(super) fn new(tokenizer: &'t Tokenizer) -> Self {
        Self {
            tokenizer,
            leading: tokenizer.leading_space(),
            pending: Vec::new(),
        }
    }

    /// Returns the text that `id` completes; control tokens give none.
    pub fn push(&mut self, id: u32) -> String {
        if self.tokenizer.is_special(id) {
            return String::new();
        }
        let mut bytes = self.tokenizer.token_bytes(id);
        if !bytes.is_empty() {
            bytes = bytes.strip_prefix(self.leading).unwrap_or(bytes);
            self.leading = b"";
        }
        self.pending.extend_from_slice(bytes);
        let mut text = String::new();
        let mut incomplete = 0;
        let mut chunks = self.pending.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            if chunks.peek().is_none() && could_go_on(chunk.invalid()) {
                incomplete = chunk.invalid().len();
            } else if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.pending.drain(..self.pending.len() - incomplete);
        text
    }

    /// Returns what is left when no more tokens come: nothing, or one U+FFFD for a broken character.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}

/// Whether bytes that are no UTF-8 may become so by more bytes.
fn could_go_on(invalid: &[u8]) -> bool {
    std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none())
}
