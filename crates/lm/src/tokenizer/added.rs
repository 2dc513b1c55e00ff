//! Cuts tokens that are not made by merging out of a text.
//!
//! From left to right, the longest that fits, as the crate `tokenizers` does. Control tokens are found in either mode, so
//! that one left as text hides no other token inside it.

use std::collections::HashMap;

use super::SpecialTokens;
use super::trie::ByteTrie;
use super::vocabulary::{TokenKind, Vocabulary};

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fragment<'t> {
    /// A control or user-defined token.
    Token(u32),
    /// Text to be merged; not empty.
    Text(&'t str),
}

/// The control and user-defined tokens of a vocabulary.
#[derive(Debug)]
pub(super) struct AddedTokens {
    by_text: HashMap<String, u32>,
    trie: ByteTrie,
    starts: Box<[bool; 256]>,
    /// Ascending.
    control: Vec<u32>,
}

impl AddedTokens {
    /// Takes those of `tokens`, texts as they are looked for, that `vocabulary` says are cut out.
    pub(super) fn new<'a>(
        vocabulary: &Vocabulary,
        tokens: impl IntoIterator<Item = (&'a str, u32)>,
    ) -> Self {
        let mut by_text = HashMap::new();
        let mut starts = Box::new([false; 256]);
        let mut control = Vec::new();
        for (text, id) in tokens {
            let Some(&start) = text.as_bytes().first() else {
                continue;
            };
            if !vocabulary.is_cut_out(id) || by_text.contains_key(text) {
                continue;
            }
            by_text.insert(text.to_owned(), id);
            starts[usize::from(start)] = true;
            if vocabulary.kind(id) == TokenKind::Control {
                control.push(id);
            }
        }
        control.sort_unstable();
        let trie = ByteTrie::new(by_text.iter().map(|(text, &id)| (text.as_bytes(), id)));
        Self {
            by_text,
            trie,
            starts,
            control,
        }
    }

    /// Returns the token that is spelled `text`.
    pub(super) fn id_of(&self, text: &str) -> Option<u32> {
        self.by_text.get(text).copied()
    }

    /// Returns the parts of `text`, in order.
    pub(super) fn split<'t>(&self, text: &'t str, special: SpecialTokens) -> Vec<Fragment<'t>> {
        let bytes = text.as_bytes();
        let mut fragments = Vec::new();
        let mut text_start = 0;
        let mut at = 0;
        while at < bytes.len() {
            let found = if self.starts[usize::from(bytes[at])] {
                self.trie.longest_prefix(&bytes[at..])
            } else {
                None
            };
            let Some((length, id)) = found else {
                at += 1;
                continue;
            };
            let stays_text =
                special == SpecialTokens::AsText && self.control.binary_search(&id).is_ok();
            if !stays_text {
                if text_start < at {
                    fragments.push(Fragment::Text(&text[text_start..at]));
                }
                fragments.push(Fragment::Token(id));
                text_start = at + length;
            }
            at += length;
        }
        if text_start < bytes.len() {
            fragments.push(Fragment::Text(&text[text_start..]));
        }
        fragments
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Fragment::{Text, Token};

    fn added() -> AddedTokens {
        let tokens = [
            ("a", TokenKind::Text),
            ("<e>", TokenKind::Control),
            ("\n", TokenKind::Added),
            ("\n\n", TokenKind::Added),
            ("<unused>", TokenKind::Unused),
            ("<e><e>", TokenKind::Control),
        ];
        let mut vocabulary = Vocabulary::default();
        for (text, kind) in tokens {
            let pushed = vocabulary.push(text.as_bytes(), kind);
            pushed.expect("within all limits");
        }
        AddedTokens::new(
            &vocabulary,
            tokens.map(|(text, _)| text).into_iter().zip(0..),
        )
    }

    #[test]
    fn the_longest_token_wins_and_the_leftmost_before_it() {
        let split = added().split("é\n\n\nb<e><e><e>", SpecialTokens::Parse);
        let expected = [Text("é"), Token(3), Token(2), Text("b"), Token(5), Token(1)];
        assert_eq!(split, expected);
    }

    #[test]
    fn control_tokens_stay_text_when_asked_and_others_do_not() {
        let split = added().split("<e>\n<e", SpecialTokens::AsText);
        assert_eq!(split, [Text("<e>"), Token(2), Text("<e")]);
    }

    #[test]
    fn unused_tokens_and_nothing_are_not_cut_out() {
        let added = added();
        assert_eq!(added.split("", SpecialTokens::Parse), []);
        let split = added.split("<unused>", SpecialTokens::Parse);
        assert_eq!(split, [Text("<unused>")]);
    }
}
