//! Reads questions of HellaSwag's form: a scene, endings of it, and which of them is right; one JSON object a line.
//!
//! `ctx` is the scene, `endings` are the endings, and `label` (a number or a text of one, as in the published files) or
//! `expected_index` is the place of the right one, from 0. Other fields are not looked at; blank lines are skipped.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// The longest line, in bytes, its end included.
pub const MAX_LINE_BYTES: u64 = 1 << 16;
/// The longest file, in bytes: five times the published validation split.
pub const MAX_FILE_BYTES: u64 = 64 << 20;
/// The most endings of a question.
pub const MAX_ENDINGS: usize = 26;

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndingQuestion {
    /// The scene, not empty.
    pub scene: String,
    /// Its endings, two or more, none empty.
    pub endings: Vec<String>,
    /// The place of the right one.
    pub right: usize,
}

/// A file of questions could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read questions `{}`{}", path.display(), line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct ReadEndingsError {
    /// The file, as the caller named it.
    pub path: PathBuf,
    /// The line, counted from 1, if it is about one.
    pub line: Option<u64>,
    /// Why.
    #[source]
    pub kind: ReadEndingsErrorKind,
}

/// Why a file of questions could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadEndingsErrorKind {
    /// The reader failed.
    #[error("the file cannot be read")]
    Io(#[source] io::Error),
    /// There is no question.
    #[error("there is no question in it")]
    Empty,
    /// The file is too long.
    #[error("the file has more than {MAX_FILE_BYTES} bytes")]
    FileTooLong,
    /// The line is too long.
    #[error("more than {MAX_LINE_BYTES} bytes")]
    TooLong,
    /// The line is no such object.
    #[error("not a question: an object with `ctx`, `endings` and `label` or `expected_index`")]
    Json(#[source] serde_json::Error),
    /// No scene, too few endings, too many, or an empty one.
    #[error("a question has a scene and 2 to {MAX_ENDINGS} endings, none empty")]
    Endings,
    /// There is not one right ending.
    #[error("`label` or `expected_index` is the place of the right ending, from 0 to {last}")]
    Right {
        /// The place of the last ending.
        last: usize,
    },
}

#[derive(Deserialize)]
struct Line {
    ctx: String,
    endings: Vec<String>,
    /// A number or a text of one.
    #[serde(alias = "expected_index")]
    label: Value,
}

impl Line {
    fn question(self) -> Result<EndingQuestion, ReadEndingsErrorKind> {
        let n = self.endings.len();
        if self.ctx.is_empty()
            || !(2..=MAX_ENDINGS).contains(&n)
            || self.endings.iter().any(String::is_empty)
        {
            return Err(ReadEndingsErrorKind::Endings);
        }
        let right = match &self.label {
            Value::Number(place) => place.as_u64().and_then(|place| usize::try_from(place).ok()),
            Value::String(place) => place.parse().ok(),
            _ => None,
        };
        match right.filter(|right| *right < n) {
            Some(right) => Ok(EndingQuestion {
                scene: self.ctx,
                endings: self.endings,
                right,
            }),
            None => Err(ReadEndingsErrorKind::Right { last: n - 1 }),
        }
    }
}

/// Reads all questions; `path` is only named in errors.
///
/// # Errors
/// [`ReadEndingsError`] names the line.
pub fn read_endings(
    mut reader: impl BufRead,
    path: &Path,
) -> Result<Vec<EndingQuestion>, ReadEndingsError> {
    let error = |line, kind| ReadEndingsError {
        path: path.to_owned(),
        line,
        kind,
    };
    let (mut questions, mut text, mut read) = (Vec::new(), Vec::new(), 0);
    for line in 1.. {
        let here = |kind| error(Some(line), kind);
        text.clear();
        let n = (&mut reader)
            .take(MAX_LINE_BYTES + 1)
            .read_until(b'\n', &mut text)
            .map_err(|source| here(ReadEndingsErrorKind::Io(source)))?;
        if n == 0 {
            break;
        }
        if n as u64 > MAX_LINE_BYTES {
            return Err(here(ReadEndingsErrorKind::TooLong));
        }
        read += n as u64;
        if read > MAX_FILE_BYTES {
            return Err(here(ReadEndingsErrorKind::FileTooLong));
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        let parsed: Line = serde_json::from_slice(&text)
            .map_err(|source| here(ReadEndingsErrorKind::Json(source)))?;
        questions.push(parsed.question().map_err(here)?);
    }
    match questions.is_empty() {
        true => Err(error(None, ReadEndingsErrorKind::Empty)),
        false => Ok(questions),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8]) -> Result<Vec<EndingQuestion>, ReadEndingsError> {
        read_endings(text, Path::new("q.jsonl"))
    }

    #[test]
    fn the_published_form_and_the_packaged_one_are_read() {
        let text = br#"{"ind": 4, "ctx": "A man", "endings": ["sits", "flies"], "label": "1", "split": "val"}

{"ctx": "A cat", "endings": ["purrs", "barks"], "label": 0}
{"ctx": "A dog", "endings": ["purrs", "barks"], "expected_index": 1}"#;
        let questions = read(text).expect("three questions");
        let right: Vec<(&str, &str)> = questions
            .iter()
            .map(|question| (&*question.scene, &*question.endings[question.right]))
            .collect();
        assert_eq!(
            right,
            [("A man", "flies"), ("A cat", "purrs"), ("A dog", "barks")]
        );
    }

    #[test]
    fn what_is_no_question_is_named_by_its_line() {
        let good = r#"{"ctx": "a", "endings": ["a", "b"], "label": 0}"#;
        let cases = [
            ("", "cannot read questions `q.jsonl`"),
            ("[]", "not a question"),
            (r#"{"ctx": "a", "endings": ["a", "b"]}"#, "not a question"),
            (
                r#"{"ctx": "a", "endings": ["a"], "label": 0}"#,
                "2 to 26 endings",
            ),
            (
                r#"{"ctx": "", "endings": ["a", "b"], "label": 0}"#,
                "has a scene",
            ),
            (
                r#"{"ctx": "a", "endings": ["a", ""], "label": 0}"#,
                "2 to 26 endings",
            ),
            (
                r#"{"ctx": "a", "endings": ["a", "b"], "label": 2}"#,
                "from 0 to 1",
            ),
            (
                r#"{"ctx": "a", "endings": ["a", "b"], "label": "-1"}"#,
                "from 0 to 1",
            ),
        ];
        for (bad, expected) in cases {
            let text = match bad {
                "" => String::new(),
                bad => format!("{good}\n{bad}\n"),
            };
            let error = read(text.as_bytes()).expect_err(bad);
            assert_eq!(error.line, (!bad.is_empty()).then_some(2));
            assert!(
                format!("{error}: {}", error.kind).contains(expected),
                "{error:?}"
            );
        }
        let long = vec![b' '; MAX_LINE_BYTES as usize + 1];
        let error = read(&long).expect_err("a long line");
        assert!(matches!(error.kind, ReadEndingsErrorKind::TooLong));
    }

    proptest! {
        #[test]
        fn bytes_never_panic_and_what_is_read_has_its_right_ending(
            text in prop::collection::vec(any::<u8>(), 0..200),
            right in "[0-9\"-]{0,3}",
        ) {
            let line = format!(r#"{{"ctx": "a", "endings": ["b", "c"], "label": {right}}}"#);
            for text in [&text[..], line.as_bytes()] {
                if let Ok(questions) = read(text) {
                    prop_assert!(questions.iter().all(|question| question.right < question.endings.len()));
                }
            }
        }
    }
}
