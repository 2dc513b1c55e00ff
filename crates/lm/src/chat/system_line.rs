//! Finds the words that a template adds in the system's place.
//!
//! Some templates begin a conversation that has no system message with one of their own, or with today's date. It is found
//! from a rendered conversation of user, assistant, user, whose words are known. What stands before the first word is
//! the text's beginning token, maybe a system turn, and the head of a user's turn. What stands between the assistant's
//! words and the user's next ends in the same head: take it off the end. With `system` for `user` it ends in the head
//! of a system turn: take that off the beginning. What is left, nobody wrote.

use super::Message;

/// Whether a template puts words where a system message would stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SystemLine {
    /// It does not.
    Absent,
    /// It adds these, spaces around them left out.
    Added(String),
    /// It does not render a conversation of user, assistant and user, so that we cannot tell.
    Undetermined,
}

impl SystemLine {
    /// Returns what of this is in `text`, rendered from `messages`.
    pub(super) fn within(self, text: &str, messages: &[Message]) -> Self {
        match self {
            Self::Added(line) => {
                let count = |text: &str| text.matches(&line).count();
                let said: usize = messages.iter().map(|m| count(&m.content)).sum();
                if count(text) > said {
                    Self::Added(line)
                } else {
                    Self::Absent
                }
            }
            other => other,
        }
    }
}

/// Words that no template contains.
const WORDS: [&str; 3] = ["qzfirstxv", "qzsecondxv", "qzthirdxv"];

/// Returns the conversation to render.
pub(super) fn probe() -> [Message; 3] {
    let [first, second, third] = WORDS;
    [
        Message::new("user", first),
        Message::new("assistant", second),
        Message::new("user", third),
    ]
}

/// Returns what stands before the first word of the rendered [`probe`] and is neither `bos` nor the head of a turn.
pub(super) fn find(text: &str, bos: Option<&str>) -> SystemLine {
    let [first, second, third] = WORDS.map(|word| text.find(word));
    let (Some(first), Some(second), Some(third)) = (first, second, third) else {
        return SystemLine::Undetermined;
    };
    let Some(between) = text.get(second + WORDS[1].len()..third) else {
        return SystemLine::Undetermined;
    };
    let head = &text[..first];
    let head = bos.and_then(|bos| head.strip_prefix(bos)).unwrap_or(head);
    let line = without_common_end(head, between);
    let line = without_end_of(line, &between.replace("user", "system"));
    match line.trim() {
        "" => SystemLine::Absent,
        line => SystemLine::Added(line.to_owned()),
    }
}

/// Takes off the end of `text` what `other` ends in too.
fn without_common_end<'t>(text: &'t str, other: &str) -> &'t str {
    let same = text.chars().rev().zip(other.chars().rev());
    let common: usize = same
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a.len_utf8())
        .sum();
    &text[..text.len() - common]
}

/// Takes off the beginning of `text` the longest end of `other` that stands there.
fn without_end_of<'t>(text: &'t str, other: &str) -> &'t str {
    let mut ends = other.char_indices().map(|(at, _)| &other[at..]);
    ends.find_map(|end| text.strip_prefix(end)).unwrap_or(text)
}
