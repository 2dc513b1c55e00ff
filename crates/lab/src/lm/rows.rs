//! Files of rows: JSON Lines, one prompt a line, with whatever was found out about it.
//!
//! All commands read and write this one format. Sampling reads prompts and adds completions, scoring adds log-probabilities,
//! training reads both, so that the output of one is the input of the next. A field that is not known is an error; what is
//! the user's own goes under `meta` and is handed through.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Digest;
use undertone_lm::chat::{ChatTemplateError, Message};
use undertone_lm::examples::RowError;
use undertone_lm::sample::Finish;
use undertone_lm::tokenizer::EncodeError;

/// The longest line, in bytes.
pub const MAX_LINE_BYTES: u64 = 1 << 26;

/// One line of a file of rows. What is not known is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Number of the completion in its run: with the seed it names the random stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// The user's name for the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the user says, or with `--raw` the text to be continued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// A conversation, instead of `prompt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Message>>,
    /// The prompt as tokens, instead of `prompt` and `messages`; nothing is added to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<Vec<u32>>,
    /// What was answered, as text without control tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion: Option<String>,
    /// What was answered, as tokens; goes before `completion` where `vocabulary` is that of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<Vec<u32>>,
    /// Whose tokens these are: the beginning of the vocabulary's digest. Without it they are taken for the model's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<String>,
    /// Of every completion token, the natural logarithm of its probability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_probabilities: Option<Vec<f32>>,
    /// Sum of `log_probabilities`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<f64>,
    /// Why the completion ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<Finish>,
    /// The likeliest tokens at every completion position: what a student with soft labels learns from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<TopTokens>,
    /// The next token's distribution at the end of the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextToken>,
    /// The residual stream at the last token of prompt and completion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Vec<HiddenState>>,
    /// The user's own; handed through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<serde_json::Map<String, serde_json::Value>>,
}

/// The likeliest tokens at every position of a completion, the likeliest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopTokens {
    /// Tokens, one list a position, all of one length.
    pub ids: Vec<Vec<u32>>,
    /// Their log-probabilities under the whole distribution, in nats.
    pub log_probabilities: Vec<Vec<f32>>,
}

/// The distribution of one token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NextToken {
    /// The likeliest tokens, the likeliest first; left out where all are there, in the order of their ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<u32>>,
    /// What the tokens add to a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<Vec<String>>,
    /// Their log-probabilities, in nats.
    pub log_probabilities: Vec<f32>,
}

/// The residual stream after one block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HiddenState {
    /// Counted from 1; 0 is before the first block.
    pub layer: usize,
    /// The model's width of numbers, before any norm.
    pub values: Vec<f32>,
}

impl Row {
    /// Returns the row that asks `prompt`.
    pub fn of_prompt(prompt: impl Into<String>) -> Self {
        Self {
            prompt: Some(prompt.into()),
            ..Self::default()
        }
    }

    /// Returns the prompt and nothing that was found out about it.
    pub fn question(&self) -> Self {
        Self {
            id: self.id.clone(),
            prompt: self.prompt.clone(),
            messages: self.messages.clone(),
            prompt_tokens: self.prompt_tokens.clone(),
            meta: self.meta.clone(),
            ..Self::default()
        }
    }

    /// Returns the line that holds it, without its end.
    pub fn to_line(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts, finite numbers and lists have a JSON form")
    }
}

/// A file of rows could not be read, or a row not used.
#[derive(Debug, thiserror::Error)]
#[error("{}{}", path.display(), line.map_or_else(String::new, |line| format!(", line {line}")))]
pub struct RowsError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1, if it is about one.
    pub line: Option<u64>,
    /// Why.
    #[source]
    pub kind: RowsErrorKind,
}

/// Why a file of rows could not be read, or a row not used.
#[derive(Debug, thiserror::Error)]
pub enum RowsErrorKind {
    /// The file cannot be read.
    #[error("it cannot be read")]
    Io(#[source] io::Error),
    /// There are no rows.
    #[error("there is no row")]
    NoRows,
    /// A line is too long.
    #[error("it has more than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: u64,
    },
    /// A line is JSON of another kind.
    #[error("a line is an object, `{{...}}`, this one begins with `{found}`")]
    NotAnObject {
        /// Its first character.
        found: char,
    },
    /// A line is no text.
    #[error("it is not UTF-8 from byte {at} on; save the file as UTF-8")]
    NotUtf8 {
        /// Where, from 1.
        at: usize,
    },
    /// The file begins with a mark that JSON does not have.
    #[error("it begins with a byte order mark; save the file as UTF-8 without one")]
    ByteOrderMark,
    /// A line is no row.
    #[error("{}", json_words(.0))]
    Json(serde_json::Error),
    /// Not exactly one prompt.
    #[error("a row has one of `prompt`, `messages` and `prompt_tokens`, this one has {found}")]
    Prompts {
        /// How many it has.
        found: usize,
    },
    /// A conversation cannot be a plain text.
    #[error("`messages` needs the chat template that `--raw` leaves out; give `prompt` instead")]
    RawMessages,
    /// There is nothing to render a prompt with.
    #[error("the model has no chat template; `--raw` takes prompts as plain text")]
    NoTemplate,
    /// Two system messages.
    #[error("the conversation has a system message of its own, and `--system` gives another")]
    TwoSystems,
    /// The chat template refuses the prompt.
    #[error(transparent)]
    Template(#[from] ChatTemplateError),
    /// A text cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// There is nothing to score or learn.
    #[error("there is no `completion` and no `completion_tokens`")]
    NoCompletion,
    /// Tokens of another vocabulary, and no text.
    #[error(
        "its tokens are those of vocabulary {found}, the model's is {expected}, and there is no text to encode anew"
    )]
    OtherVocabulary {
        /// As the row says.
        found: String,
        /// The model's.
        expected: String,
    },
    /// Soft labels that belong to other tokens.
    #[error(
        "`top` speaks of other tokens than the model's: score the rows again with a teacher that shares its vocabulary"
    )]
    OtherTop,
    /// Soft labels without an even shape.
    #[error("`top` has lists of different lengths")]
    UnevenTop,
    /// Soft labels are asked for.
    #[error(
        "there is no `top`, which the objective learns from; `undertone lm score --top K` adds it, or name a `--teacher`"
    )]
    NoTop,
    /// The row cannot be trained on.
    #[error(transparent)]
    Training(#[from] RowError),
    /// Prompt and completion are too long, or a token unknown.
    #[error("{0}")]
    Unusable(String),
}

/// Every row is one line of its file: only the column is news.
fn json_words(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", ", column ")
}

/// Rows and where they came from.
#[derive(Debug, Clone, PartialEq)]
pub struct RowFile {
    /// The file's path as given, for messages.
    pub path: PathBuf,
    /// The rows.
    pub rows: Vec<Row>,
    /// The line of each.
    lines: Vec<u64>,
    /// BLAKE3 of the file.
    pub digest: Digest,
}

impl RowFile {
    /// Reads a file; empty lines are passed over.
    ///
    /// # Errors
    /// [`RowsError`] with file and line.
    pub fn read(path: &Path) -> Result<Self, RowsError> {
        let error = |line, kind| RowsError {
            path: path.to_owned(),
            line,
            kind,
        };
        let io = |source| error(None, RowsErrorKind::Io(source));
        let mut reader = BufReader::new(File::open(path).map_err(io)?);
        let (mut bytes, mut rows, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        for line in 1.. {
            let start = bytes.len();
            let mut limited = (&mut reader).take(MAX_LINE_BYTES + 1);
            if limited.read_until(b'\n', &mut bytes).map_err(io)? == 0 {
                break;
            }
            let content = &bytes[start..];
            if content.len() as u64 > MAX_LINE_BYTES {
                let limit = MAX_LINE_BYTES;
                return Err(error(Some(line), RowsErrorKind::TooLong { limit }));
            }
            if content.trim_ascii().is_empty() {
                continue;
            }
            rows.push(parse_line(content).map_err(|kind| error(Some(line), kind))?);
            lines.push(line);
        }
        if rows.is_empty() {
            return Err(error(None, RowsErrorKind::NoRows));
        }
        Ok(Self {
            path: path.to_owned(),
            rows,
            lines,
            digest: Digest::of(&bytes),
        })
    }

    /// Makes a file of one row that stands nowhere but on the command line, in the flag `flag`.
    pub fn of_row(flag: &str, row: Row) -> Self {
        let digest = Digest::of(&row.to_line());
        Self {
            path: PathBuf::from(flag),
            rows: vec![row],
            lines: vec![1],
            digest,
        }
    }

    /// Makes a file of rows that stand in no file, called `name` in messages.
    pub fn made(name: &str, rows: Vec<Row>) -> Self {
        let mut bytes = Vec::new();
        for row in &rows {
            bytes.extend_from_slice(&row.to_line());
            bytes.push(b'\n');
        }
        Self {
            path: PathBuf::from(name),
            lines: (1..=rows.len() as u64).collect(),
            rows,
            digest: Digest::of(&bytes),
        }
    }

    /// Says what is wrong with row `index`.
    pub fn error(&self, index: usize, kind: impl Into<RowsErrorKind>) -> RowsError {
        RowsError {
            path: self.path.clone(),
            line: self.lines.get(index).copied(),
            kind: kind.into(),
        }
    }

    /// Does `work` with every row; an error gets file and line.
    pub(crate) fn each<T>(
        &self,
        mut work: impl FnMut(&Row) -> Result<T, RowsErrorKind>,
    ) -> Result<Vec<T>, RowsError> {
        let with_index = self.rows.iter().enumerate();
        with_index
            .map(|(index, row)| work(row).map_err(|kind| self.error(index, kind)))
            .collect()
    }
}

/// Reads one line, which is not empty.
fn parse_line(line: &[u8]) -> Result<Row, RowsErrorKind> {
    const MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];
    if MARKS.iter().any(|mark| line.starts_with(mark)) {
        return Err(RowsErrorKind::ByteOrderMark);
    }
    let text = std::str::from_utf8(line).map_err(|error| RowsErrorKind::NotUtf8 {
        at: error.valid_up_to() + 1,
    })?;
    // A list would be read too, as the fields in their order.
    match text.trim_start().chars().next() {
        Some('[') => Err(RowsErrorKind::NotAnObject { found: '[' }),
        _ => serde_json::from_str(text).map_err(RowsErrorKind::Json),
    }
}

/// Reads the rows that a step wrote.
///
/// # Errors
/// If a line is no row: a damaged artefact.
pub fn parse_lines(bytes: &[u8]) -> Result<Vec<Row>, serde_json::Error> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(serde_json::from_slice)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: impl AsRef<[u8]>) -> Result<RowFile, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, content).expect("writable");
        RowFile::read(&path).map_err(|error| {
            let name = error
                .to_string()
                .replace(&folder.path().display().to_string(), "");
            format!("{name}: {}", error.kind)
        })
    }

    #[test]
    fn rows_are_read_in_order_and_empty_lines_passed_over() {
        let file = read("{\"prompt\": \"a\", \"meta\": {\"x\": 1}}\n\n  \n{\"id\": \"2\", \"prompt_tokens\": [1, 2]}").expect("two rows");
        assert_eq!(file.rows.len(), 2);
        assert_eq!(file.rows[0].prompt.as_deref(), Some("a"));
        assert_eq!(file.rows[1].prompt_tokens, Some(vec![1, 2]));
        assert_eq!(file.error(1, RowsErrorKind::NoCompletion).line, Some(4));
    }

    #[test]
    fn errors_name_file_line_and_column() {
        let error =
            read("{\"prompt\": \"a\"}\n{\"promt\": \"b\"}\n").expect_err("a misspelt field");
        assert!(
            error.starts_with("/rows.jsonl, line 2: unknown field `promt`"),
            "{error}"
        );
        assert!(error.contains(", column 8"), "{error}");
        let error = read("\n\n").expect_err("no rows");
        assert_eq!(error, "/rows.jsonl: there is no row");
        let error = read("{\"prompt\": 3}").expect_err("another type");
        assert!(
            error.starts_with("/rows.jsonl, line 1: invalid type: integer"),
            "{error}"
        );
    }

    #[test]
    fn lists_marks_and_other_encodings_are_told_apart() {
        for (content, words) in [
            (&b"[0,\"id1\",\"hello\"]"[..], "a line is an object"),
            (b" [ ]", "a line is an object"),
            (b"\xef\xbb\xbf{\"prompt\": \"a\"}", "byte order mark"),
            (b"\xff\xfe{\0\"\0", "byte order mark"),
            (b"{\"prompt\": \"\xe4\"}", "not UTF-8 from byte 13 on"),
        ] {
            let error = read(content).expect_err("no row");
            assert!(error.starts_with("/rows.jsonl, line 1: "), "{error}");
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_nothing_empty_is_written() {
        let row = Row {
            row: Some(3),
            completion_tokens: Some(vec![1]),
            log_probabilities: Some(vec![-0.1]),
            finish: Some(Finish::Stop),
            ..Row::of_prompt("a \"b\"\n")
        };
        let line = row.to_line();
        let text = String::from_utf8_lossy(&line).into_owned();
        let expected = "{\"row\":3,\"prompt\":\"a \\\"b\\\"\\n\",\"completion_tokens\":[1],\"log_probabilities\":[-0.1],\
                        \"finish\":\"stop\"}";
        assert_eq!(text, expected);
        assert_eq!(
            parse_lines(&[&line[..], b"\n"].concat()).expect("our own"),
            std::slice::from_ref(&row)
        );
        assert_eq!(row.question(), Row::of_prompt("a \"b\"\n"));
    }
}
