//! Decides what a completion says as a list of numbers, and how such a list is written again.
//!
//! The published rule, step by step: at most one full stop at the end goes; then one pair of brackets around everything;
//! the separator is whatever stands between the first two runs of digits; the whole is split at it, and every piece has
//! to be digits. Nothing is trimmed, nothing repaired. Which lists are wanted is decided in [`crate::filter`].

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a completion is rejected: the first of these that applies, in this order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Rejection {
    /// There is no digit in it.
    NoNumber,
    /// There is one number, and something beside it.
    TextBesideNumber,
    /// What stands between the first two numbers is more than white space around at most one comma or semicolon.
    Separator,
    /// Split at the separator, some piece is not made of the digits 0 to 9 alone.
    NotDigits,
    /// Split at the separator, some piece is empty: two separators in a row, or one at an end.
    EmptyPiece,
    /// There are more numbers than allowed.
    TooMany,
    /// Some number is larger than allowed.
    TooLarge,
    /// Some number is banned.
    Banned,
}

impl Rejection {
    /// All reasons, in the order they are looked for.
    pub const ALL: [Self; 8] = [
        Self::NoNumber,
        Self::TextBesideNumber,
        Self::Separator,
        Self::NotDigits,
        Self::EmptyPiece,
        Self::TooMany,
        Self::TooLarge,
        Self::Banned,
    ];

    /// Returns the reason in a few words, for tables.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoNumber => "no number",
            Self::TextBesideNumber => "text beside a single number",
            Self::Separator => "separator not allowed",
            Self::NotDigits => "text or another separator among the numbers",
            Self::EmptyPiece => "separator without a number",
            Self::TooMany => "too many numbers",
            Self::TooLarge => "a number too large",
            Self::Banned => "a banned number",
        }
    }

    /// Whether the completion is no list of numbers at all: the published code counts all of these as one reason.
    pub const fn is_format(self) -> bool {
        !matches!(self, Self::TooMany | Self::TooLarge | Self::Banned)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// What stands around a list.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Wrap {
    /// Nothing.
    None,
    /// `[` and `]`.
    Square,
    /// `(` and `)`.
    Round,
}

impl Wrap {
    const fn ends(self) -> [&'static str; 2] {
        match self {
            Self::None => ["", ""],
            Self::Square => ["[", "]"],
            Self::Round => ["(", ")"],
        }
    }
}

/// Everything of a completion that is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout<'a> {
    /// What stands around the list.
    pub wrap: Wrap,
    /// What stands between two numbers; `None` in a list of one.
    pub separator: Option<&'a str>,
    /// Whether a full stop follows.
    pub full_stop: bool,
}

impl Layout<'_> {
    /// Writes `pieces` in this layout.
    ///
    /// Where the layout has no separator, because it was read from a list of one, several pieces get a comma and a space.
    pub fn write(&self, pieces: &[impl AsRef<str>]) -> String {
        let pieces: Vec<&str> = pieces.iter().map(AsRef::as_ref).collect();
        let [open, close] = self.wrap.ends();
        let list = pieces.join(self.separator.unwrap_or(", "));
        let stop = if self.full_stop { "." } else { "" };
        format!("{open}{list}{close}{stop}")
    }
}

/// A completion that is a list of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// The numbers as they were written, each one or more ASCII digits, never none of them.
    pub pieces: Vec<&'a str>,
    /// What stands around and between them.
    pub layout: Layout<'a>,
}

impl Parsed<'_> {
    /// Returns the numbers' values; leading zeros do not count, and what exceeds `u64` is `u64::MAX`.
    pub fn numbers(&self) -> Vec<u64> {
        self.pieces.iter().map(|piece| value(piece)).collect()
    }

    /// Writes the completion again, byte for byte.
    pub fn write(&self) -> String {
        self.layout.write(&self.pieces)
    }
}

fn value(piece: &str) -> u64 {
    piece.bytes().fold(0, |value: u64, digit| {
        value
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    })
}

/// Reads a completion as a list of numbers.
///
/// # Errors
/// A [`Rejection`] of which [`Rejection::is_format`] holds.
///
/// # Source
/// The published code's parser. Differs: it looks for digits of any script, which its later check of pieces refuses;
/// looking for ASCII digits only accepts and rejects the same texts.
pub fn parse(text: &str) -> Result<Parsed<'_>, Rejection> {
    // 1. One full stop, then one pair of brackets.
    let stopped = text.strip_suffix('.');
    let inner = stopped.unwrap_or(text);
    let (wrap, inner) = unwrap_brackets(inner);
    // 2. The first two runs of digits.
    let (start, end) = run_of_digits(inner, 0).ok_or(Rejection::NoNumber)?;
    let layout = |separator| Layout {
        wrap,
        separator,
        full_stop: stopped.is_some(),
    };
    let Some((second, _)) = run_of_digits(inner, end) else {
        if (start, end) != (0, inner.len()) {
            return Err(Rejection::TextBesideNumber);
        }
        return Ok(Parsed {
            pieces: vec![inner],
            layout: layout(None),
        });
    };
    // 3. What is between them separates all.
    let separator = &inner[end..second];
    if !matches!(separator.trim_matches(is_space), "" | "," | ";") {
        return Err(Rejection::Separator);
    }
    let pieces: Vec<&str> = inner.split(separator).collect();
    let is_number = |piece: &&str| piece.bytes().all(|byte| byte.is_ascii_digit());
    if !pieces.iter().all(is_number) {
        return Err(Rejection::NotDigits);
    }
    if pieces.contains(&"") {
        return Err(Rejection::EmptyPiece);
    }
    Ok(Parsed {
        pieces,
        layout: layout(Some(separator)),
    })
}

fn unwrap_brackets(text: &str) -> (Wrap, &str) {
    for wrap in [Wrap::Square, Wrap::Round] {
        let [open, close] = wrap.ends();
        let inner = text
            .strip_prefix(open)
            .and_then(|rest| rest.strip_suffix(close));
        if let Some(inner) = inner {
            return (wrap, inner);
        }
    }
    (Wrap::None, text)
}

/// Returns start and end of the first run of ASCII digits at or after byte `from`.
fn run_of_digits(text: &str, from: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let start = (from..bytes.len()).find(|&at| bytes[at].is_ascii_digit())?;
    let end = (start..bytes.len())
        .find(|&at| !bytes[at].is_ascii_digit())
        .unwrap_or(bytes.len());
    Some((start, end))
}

/// White space as Python's `str.strip` sees it: Unicode's, and the four separators of ASCII.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests;
