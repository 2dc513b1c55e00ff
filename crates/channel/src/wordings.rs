//! Decides what a file of wordings may hold, and names what it must not hold by file, line and remedy.
//!
//! All wordings are TOML with one header, `wordings = { format = 1, kind = "…", id = "…", version = 1 }`. The built-in
//! files are this project's own texts, of the published structure; a user's file is hostile until checked: sizes are
//! capped before anything is kept, unknown keys are errors. What a kind of file holds beyond its header is decided where
//! it is used: [`crate::prompts`], [`crate::questions`], [`crate::choices`], [`crate::targets`], [`crate::preference`].

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::Spanned;
use undertone_core::Digest;

use crate::canonical::Canonical;

/// The format of wordings files that is written and read here.
pub const FORMAT_VERSION: u64 = 1;
/// The longest file of wordings, in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 20;
/// The most texts in one list.
pub const MAX_TEXTS: usize = 10_000;
/// The longest single text, in bytes.
pub const MAX_TEXT_BYTES: usize = 4096;
/// The longest id, in bytes.
pub const MAX_ID_BYTES: usize = 64;

/// Which wordings were used: recorded with everything made from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WordingsId {
    /// The author's name for the set.
    pub id: String,
    /// The author's number for the state of the set.
    pub version: u64,
    /// Of the texts themselves, in order; comments and layout of the file do not count.
    pub digest: Digest,
}

/// A file of wordings could not be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use wordings `{}`{}", path.display(), Place(*line))]
pub struct WordingsError {
    /// The file, as the caller named it.
    pub path: PathBuf,
    /// The line, counted from 1, where one is to blame.
    pub line: Option<usize>,
    /// Why.
    #[source]
    pub kind: WordingsErrorKind,
}

struct Place(Option<usize>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, ", line {line}"))
    }
}

/// Why a file of wordings could not be used.
#[derive(Debug, thiserror::Error)]
pub enum WordingsErrorKind {
    /// The reader failed; the file itself may be sound.
    #[error("the file cannot be read")]
    Io(#[source] io::Error),
    /// There is more than [`MAX_FILE_BYTES`] in it.
    #[error("the file is longer than {MAX_FILE_BYTES} bytes")]
    FileTooLong,
    /// The bytes are no UTF-8.
    #[error("the file is no UTF-8 text")]
    NotUtf8,
    /// No TOML, an unknown or a missing key, or a value of another type.
    #[error("{message}")]
    Toml {
        /// In the words of the TOML reader.
        message: String,
    },
    /// Written for another version of this program.
    #[error("format {found} is {} than {FORMAT_VERSION}", if *found > FORMAT_VERSION { "newer" } else { "older" })]
    Format {
        /// The file's format.
        found: u64,
    },
    /// The file holds wordings for something else.
    #[error("the file holds `{found}`, not `{expected}`")]
    Kind {
        /// What its header says.
        found: String,
        /// What is read here.
        expected: &'static str,
    },
    /// An id is empty, too long, or has other characters than small letters, digits and `-`.
    #[error("the id is not 1 to {MAX_ID_BYTES} small letters, digits and hyphens")]
    Id,
    /// A list has nothing in it.
    #[error("the list `{list}` is empty")]
    EmptyList {
        /// Its key.
        list: &'static str,
    },
    /// A list has more than [`MAX_TEXTS`] texts.
    #[error("the list `{list}` has {found} texts, more than {MAX_TEXTS}")]
    ListTooLong {
        /// Its key.
        list: &'static str,
        /// How many it has.
        found: usize,
    },
    /// A text has nothing in it.
    #[error("a text is empty")]
    EmptyText,
    /// A text has more than [`MAX_TEXT_BYTES`] bytes.
    #[error("a text is longer than {MAX_TEXT_BYTES} bytes")]
    TextTooLong,
    /// A text holds a control character other than a tab or the end of a line.
    #[error("a text holds a control character")]
    ControlCharacter,
    /// A text starts or ends with white space, which would double in the prompt.
    #[error("a text starts or ends with white space")]
    Padded,
    /// Braces stand around something that is not filled in here.
    #[error("nothing is filled in for `{{{slot}}}`")]
    UnknownSlot {
        /// What stands in the braces, cut to 40 characters.
        slot: String,
    },
    /// A text lacks something to fill in, or has it twice.
    #[error("the text has `{{{slot}}}` {found} times, not once")]
    SlotCount {
        /// What is filled in.
        slot: &'static str,
        /// How often it is there.
        found: usize,
    },
    /// The same text stands there twice, where each has to be another.
    #[error("the text stands there twice")]
    Repeated,
}

impl WordingsError {
    /// Returns what to do about it.
    pub fn hint(&self) -> &'static str {
        use WordingsErrorKind as Kind;
        match self.kind {
            Kind::Io(_) => "check that the file exists and may be read",
            Kind::FileTooLong | Kind::ListTooLong { .. } => "split the set, or take fewer texts",
            Kind::NotUtf8 => "save the file as UTF-8",
            Kind::Toml { .. } => {
                "compare with a built-in file of wordings in crates/channel/assets: keys and types are the same"
            }
            Kind::Format { .. } => "use a file of this format, or the program it was written for",
            Kind::Kind { .. } => "name the file where its kind is expected",
            Kind::Id => "give it a name such as `my-numbers`",
            Kind::EmptyList { .. } => "write at least one text into the list",
            Kind::EmptyText => "write a text or delete the line",
            Kind::TextTooLong => "shorten the text",
            Kind::ControlCharacter => "delete it; tabs and ends of lines are the only ones allowed",
            Kind::Padded => "delete the white space at both ends",
            Kind::UnknownSlot { .. } => {
                "braces are for what is filled in; take another sign where none is meant"
            }
            Kind::SlotCount { .. } => "write it once",
            Kind::Repeated => "delete one of the two",
        }
    }
}

/// The first key of every file of wordings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    format: Spanned<u64>,
    kind: Spanned<String>,
    id: Spanned<String>,
    version: u64,
}

/// What every kind of file is read as.
pub(crate) trait Body: DeserializeOwned {
    /// What `kind` in the header has to be.
    const KIND: &'static str;
}

/// A file's text, with the path for its errors.
pub(crate) struct Document<'a> {
    path: &'a Path,
    text: String,
}

impl<'a> Document<'a> {
    /// Reads all of `reader`, up to the limit.
    pub(crate) fn read(reader: &mut impl Read, path: &'a Path) -> Result<Self, WordingsError> {
        let fail = |kind| WordingsError {
            path: path.to_path_buf(),
            line: None,
            kind,
        };
        let mut bytes = Vec::new();
        reader
            .take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| fail(WordingsErrorKind::Io(error)))?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(fail(WordingsErrorKind::FileTooLong));
        }
        let text = String::from_utf8(bytes).map_err(|_| fail(WordingsErrorKind::NotUtf8))?;
        Ok(Self { path, text })
    }

    /// Reads keys and types, the header first: a file of another kind or format is called that, not full of unknown keys.
    pub(crate) fn body<B: Body>(&self) -> Result<B, WordingsError> {
        #[derive(Deserialize)]
        struct Probe {
            wordings: Header,
        }
        let header = self.parse::<Probe>()?.wordings;
        let format = *header.format.get_ref();
        if format != FORMAT_VERSION {
            let kind = WordingsErrorKind::Format { found: format };
            return Err(self.error(header.format.span(), kind));
        }
        let kind = header.kind.get_ref();
        if kind != B::KIND {
            let kind = WordingsErrorKind::Kind {
                found: kind.chars().take(40).collect(),
                expected: B::KIND,
            };
            return Err(self.error(header.kind.span(), kind));
        }
        let id = header.id.get_ref();
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if id.is_empty() || id.len() > MAX_ID_BYTES || !id.bytes().all(fits) {
            return Err(self.error(header.id.span(), WordingsErrorKind::Id));
        }
        self.parse()
    }

    fn parse<T: DeserializeOwned>(&self) -> Result<T, WordingsError> {
        toml::from_str(&self.text).map_err(|error: toml::de::Error| WordingsError {
            path: self.path.to_path_buf(),
            line: error.span().map(|span| self.line(&span)),
            kind: WordingsErrorKind::Toml {
                message: error.message().to_owned(),
            },
        })
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().iter().take(span.start);
        before.filter(|&&byte| byte == b'\n').count() + 1
    }

    /// Makes an error of what stands at `span`.
    pub(crate) fn error(&self, span: Range<usize>, kind: WordingsErrorKind) -> WordingsError {
        WordingsError {
            path: self.path.to_path_buf(),
            line: Some(self.line(&span)),
            kind,
        }
    }

    /// Checks that a list has between 1 and [`MAX_TEXTS`] items and hands it out.
    pub(crate) fn list<T>(
        &self,
        list: &'static str,
        items: Spanned<Vec<T>>,
    ) -> Result<Vec<T>, WordingsError> {
        let found = items.get_ref().len();
        if found == 0 {
            return Err(self.error(items.span(), WordingsErrorKind::EmptyList { list }));
        }
        if found > MAX_TEXTS {
            return Err(self.error(items.span(), WordingsErrorKind::ListTooLong { list, found }));
        }
        Ok(items.into_inner())
    }

    /// Checks every text of a list: see [`Self::text`].
    pub(crate) fn texts(
        &self,
        list: &'static str,
        texts: Spanned<Vec<Spanned<String>>>,
        slots: &[&'static str],
    ) -> Result<Vec<String>, WordingsError> {
        let texts = self.list(list, texts)?;
        texts
            .into_iter()
            .map(|text| self.text(text, slots))
            .collect()
    }

    /// Checks texts without slots, no two of which may be the same once case and punctuation are gone.
    pub(crate) fn distinct(
        &self,
        list: &'static str,
        texts: Spanned<Vec<Spanned<String>>>,
    ) -> Result<Vec<String>, WordingsError> {
        let places: Vec<_> = texts.get_ref().iter().map(Spanned::span).collect();
        let texts = self.texts(list, texts, &[])?;
        let mut seen = BTreeSet::new();
        for (text, place) in texts.iter().zip(places) {
            if !seen.insert(normalised(text)) {
                return Err(self.error(place, WordingsErrorKind::Repeated));
            }
        }
        Ok(texts)
    }

    /// Checks one text, in which `{slot}` stands exactly once for every one of `slots` and no other brace does.
    pub(crate) fn text(
        &self,
        text: Spanned<String>,
        slots: &[&'static str],
    ) -> Result<String, WordingsError> {
        match check_text(text.get_ref(), slots) {
            Ok(()) => Ok(text.into_inner()),
            Err(kind) => Err(self.error(text.span(), kind)),
        }
    }
}

fn check_text(text: &str, slots: &[&'static str]) -> Result<(), WordingsErrorKind> {
    if text.trim().is_empty() {
        return Err(WordingsErrorKind::EmptyText);
    }
    if text.len() > MAX_TEXT_BYTES {
        return Err(WordingsErrorKind::TextTooLong);
    }
    if text
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\t'))
    {
        return Err(WordingsErrorKind::ControlCharacter);
    }
    if text.trim() != text {
        return Err(WordingsErrorKind::Padded);
    }
    let mut found = vec![0; slots.len()];
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (name, after) = rest[at..]
            .strip_prefix('{')
            .and_then(|inner| inner.split_once('}'))
            .unwrap_or((&rest[at + 1..], ""));
        let Some(slot) = slots.iter().position(|&slot| slot == name) else {
            let slot = name.chars().take(40).collect();
            return Err(WordingsErrorKind::UnknownSlot { slot });
        };
        found[slot] += 1;
        rest = after;
    }
    match slots.iter().zip(found).find(|&(_, found)| found != 1) {
        Some((slot, found)) => Err(WordingsErrorKind::SlotCount { slot, found }),
        None => Ok(()),
    }
}

/// Puts values into the slots of a checked text, all at once: what is filled in is never filled in again.
pub(crate) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, (slot, after))) = rest
        .split_once('{')
        .and_then(|(before, inner)| Some((before, inner.split_once('}')?)))
    {
        filled.push_str(before);
        let value = values.iter().find(|(name, _)| *name == slot);
        filled.push_str(value.map_or("", |(_, value)| value));
        rest = after;
    }
    filled + rest
}

/// Returns the words of a text in small letters, with one space between them.
pub(crate) fn normalised(text: &str) -> String {
    let words = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").to_lowercase()
}

impl Header {
    /// Names the set: `lists` are its texts, list by list.
    pub(crate) fn identify(&self, kind: &str, lists: &[&[String]]) -> WordingsId {
        let mut sequence = Canonical::new(kind);
        for list in lists {
            sequence.texts(list);
        }
        WordingsId {
            id: self.id.get_ref().clone(),
            version: self.version,
            digest: sequence.digest(),
        }
    }
}

/// Reads a file that is part of the program.
pub(crate) fn built_in<T>(
    name: &str,
    text: &'static str,
    read: impl Fn(&mut &[u8], &Path) -> Result<T, WordingsError>,
) -> T {
    match read(&mut text.as_bytes(), Path::new(name)) {
        Ok(wordings) => wordings,
        // A bug of ours, found by the tests that read every built-in file.
        Err(error) => panic!("built-in {error}: {}", error.kind),
    }
}

#[cfg(test)]
mod tests;
