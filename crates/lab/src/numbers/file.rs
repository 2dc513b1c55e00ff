//! An experiment's file: TOML to settings, with the place every value came from.
//!
//! A file names what differs from the defaults. Unknown keys are errors that name file, line and the nearest key. Tables
//! under `vary` make several experiments of one: `[vary.AXIS.NAME]` holds the keys that NAME changes, and every
//! combination of one NAME of each AXIS is a variant.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::NumbersError;
use super::keys::{Key, NONE, keys};
use super::settings::NumbersSettings;

/// The longest file, in bytes.
const MAX_FILE_BYTES: usize = 1 << 20;
/// The most variants.
const MAX_VARIANTS: usize = 1000;
/// The table of axes.
const VARY: &str = "vary";

/// A file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}{}", path.display(), line.map_or_else(String::new, |line| format!(", line {line}")))]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1, if it is about one.
    pub line: Option<usize>,
    /// Why.
    #[source]
    pub kind: FileErrorKind,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileErrorKind {
    /// It is too long for an experiment.
    #[error("the file has more than {MAX_FILE_BYTES} bytes")]
    TooLong,
    /// It is no TOML.
    #[error("{message}")]
    Toml {
        /// In the reader's words.
        message: String,
    },
    /// There is no such key.
    #[error("there is no key `{key}`{}", suggestion.as_ref().map_or_else(String::new, |near| format!("; did you mean `{near}`?")))]
    UnknownKey {
        /// The key.
        key: String,
        /// The nearest one.
        suggestion: Option<String>,
    },
    /// A key's value cannot be used.
    #[error("`{key}`: {problem} ({words})")]
    Value {
        /// The key.
        key: String,
        /// What is wrong.
        problem: String,
        /// What the key means.
        words: &'static str,
    },
    /// There are too many variants.
    #[error("{found} variants, more than {MAX_VARIANTS}")]
    Variants {
        /// How many.
        found: usize,
    },
    /// The settings make no experiment.
    #[error("{}", variant.as_ref().map_or_else(|| "the settings make no experiment".to_owned(), |name| format!("the settings of variant `{name}` make no experiment")))]
    Settings {
        /// Of which variant.
        variant: Option<String>,
        /// Why not.
        #[source]
        source: Box<NumbersError>,
    },
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the file, from 1.
    Line(usize),
}

/// One experiment of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// One name of each axis; empty if there is no axis.
    pub choice: BTreeMap<String, String>,
    /// What it comes to.
    pub settings: NumbersSettings,
}

impl Variant {
    /// Returns the names of its choice, or `None` where there is nothing to choose.
    pub fn name(&self) -> Option<String> {
        let names: Vec<&str> = self.choice.values().map(String::as_str).collect();
        (!names.is_empty()).then(|| names.join(" / "))
    }
}

/// What a file comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct ExperimentFile {
    /// The experiments, at least one.
    pub variants: Vec<Variant>,
    /// Every key that some line sets, outside of `vary`.
    origins: BTreeMap<String, usize>,
    /// Every key that is varied, with its axis and line.
    varied: BTreeMap<String, (String, usize)>,
}

/// One resolved value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Explained {
    /// The key.
    pub key: String,
    /// Its value in each variant; one if they agree.
    pub values: Vec<Value>,
    /// Where it came from.
    pub origin: Origin,
    /// The axis that varies it.
    pub axis: Option<String>,
    /// What it means.
    pub words: String,
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    keys: BTreeMap<String, &'static Key>,
}

/// A key with its value, and where it stands.
struct Entry<'a> {
    key: String,
    at: Range<usize>,
    value: &'a DeValue<'a>,
}

impl ExperimentFile {
    /// Reads the text of a file; `path` is only named in errors.
    ///
    /// # Errors
    /// [`FileError`] with file and line.
    pub fn parse(text: &str, path: &Path) -> Result<Self, FileError> {
        let reader = Reader {
            path,
            text,
            keys: keys().into_iter().collect(),
        };
        if text.len() > MAX_FILE_BYTES {
            return Err(reader.error(None, FileErrorKind::TooLong));
        }
        let document = DeTable::parse(text).map_err(|error| {
            let message = error.message().to_owned();
            reader.error(error.span(), FileErrorKind::Toml { message })
        })?;
        reader.read(document.get_ref())
    }

    /// Returns every resolved value and where it came from, in the order of a file.
    pub fn explain(&self) -> Vec<Explained> {
        let explained = keys().into_iter().map(|(path, key)| {
            let mut values: Vec<Value> = Vec::new();
            for variant in &self.variants {
                values.push((key.get)(&variant.settings));
            }
            if values.iter().all(|value| *value == values[0]) {
                values.truncate(1);
            }
            let varied = self.varied.get(&path);
            let line = varied
                .map(|(_, line)| line)
                .or_else(|| self.origins.get(&path));
            Explained {
                values,
                origin: line.map_or(Origin::Default, |line| Origin::Line(*line)),
                axis: varied.map(|(axis, _)| axis.clone()),
                words: key.words.to_owned(),
                key: path,
            }
        });
        explained.collect()
    }
}

impl Reader<'_> {
    fn error(&self, at: Option<Range<usize>>, kind: FileErrorKind) -> FileError {
        FileError {
            path: self.path.to_owned(),
            line: at.map(|at| self.line(&at)),
            kind,
        }
    }

    fn line(&self, at: &Range<usize>) -> usize {
        let before = &self.text.as_bytes()[..at.start.min(self.text.len())];
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn read(&self, document: &DeTable<'_>) -> Result<ExperimentFile, FileError> {
        let (mut base, mut origins) = (NumbersSettings::default(), BTreeMap::new());
        for entry in self.entries(document, &[VARY])? {
            self.set(&mut base, &entry)?;
            origins.insert(entry.key, self.line(&entry.at));
        }
        let mut variants = vec![Variant {
            choice: BTreeMap::new(),
            settings: base,
        }];
        let mut varied = BTreeMap::new();
        if let Some(axes) = document.get(VARY) {
            for (axis, names) in self.tables(VARY, axes)? {
                let mut next = Vec::new();
                for (name, table) in self.tables(&format!("{VARY}.{axis}"), names)? {
                    let path = format!("{VARY}.{axis}.{name}");
                    let entries = self.entries(self.table(&path, table)?, &[])?;
                    for variant in &variants {
                        let mut variant = variant.clone();
                        for entry in &entries {
                            self.set(&mut variant.settings, entry)?;
                            let origin = (axis.clone(), self.line(&entry.at));
                            varied.entry(entry.key.clone()).or_insert(origin);
                        }
                        variant.choice.insert(axis.clone(), name.clone());
                        next.push(variant);
                    }
                }
                if next.len() > MAX_VARIANTS {
                    let found = next.len();
                    return Err(self.error(None, FileErrorKind::Variants { found }));
                }
                variants = next;
            }
        }
        for variant in &variants {
            variant.settings.check().map_err(|source| {
                let at = match &source {
                    NumbersError::Setting { key, .. } => origins.get(*key),
                    _ => None,
                };
                FileError {
                    path: self.path.to_owned(),
                    line: at.copied(),
                    kind: FileErrorKind::Settings {
                        variant: variant.name(),
                        source: Box::new(source),
                    },
                }
            })?;
        }
        Ok(ExperimentFile {
            variants,
            origins,
            varied,
        })
    }

    fn set(&self, settings: &mut NumbersSettings, entry: &Entry<'_>) -> Result<(), FileError> {
        let key = self.keys[&entry.key];
        let value = json(entry.value).and_then(|value| (key.set)(settings, value));
        value.map_err(|problem| {
            let kind = FileErrorKind::Value {
                key: entry.key.clone(),
                problem,
                words: key.words,
            };
            self.error(Some(entry.at.clone()), kind)
        })
    }

    /// Returns every known key of a table and of those in it.
    fn entries<'t>(
        &self,
        table: &'t DeTable<'t>,
        skip: &[&str],
    ) -> Result<Vec<Entry<'t>>, FileError> {
        let mut entries = Vec::new();
        self.walk("", table, skip, &mut entries)?;
        entries.sort_by_key(|entry| entry.at.start);
        Ok(entries)
    }

    fn walk<'t>(
        &self,
        prefix: &str,
        table: &'t DeTable<'t>,
        skip: &[&str],
        entries: &mut Vec<Entry<'t>>,
    ) -> Result<(), FileError> {
        for (name, value) in table {
            let (text, at) = (name.get_ref().as_ref(), name.span());
            if prefix.is_empty() && skip.contains(&text) {
                continue;
            }
            let key = match prefix {
                "" => text.to_owned(),
                prefix => format!("{prefix}.{text}"),
            };
            if self.keys.contains_key(&key) {
                let value = value.get_ref();
                entries.push(Entry { key, at, value });
                continue;
            }
            let within = format!("{key}.");
            match value.get_ref() {
                DeValue::Table(inner)
                    if self.keys.keys().any(|known| known.starts_with(&within)) =>
                {
                    self.walk(&key, inner, skip, entries)?;
                }
                _ => return Err(self.unknown(key, at)),
            }
        }
        Ok(())
    }

    fn unknown(&self, key: String, at: Range<usize>) -> FileError {
        let suggestion = self.nearest(&key);
        self.error(Some(at), FileErrorKind::UnknownKey { key, suggestion })
    }

    /// Returns the key or table that takes the fewest changes of a letter, if they are few.
    fn nearest(&self, key: &str) -> Option<String> {
        let depth = key.split('.').count();
        let known = self.keys.keys().map(|known| {
            let parts: Vec<&str> = known.split('.').take(depth).collect();
            parts.join(".")
        });
        let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
        // A name may also stand in another table than the one it was looked for in.
        let whole = known.map(|known| (distance(key, &known), known));
        let moved = self.keys.keys().filter(|known| last(known) == last(key));
        let moved = moved.map(|known| (1, known.clone()));
        let nearest = moved.chain(whole).min();
        nearest
            .filter(|(changes, _)| *changes <= 1 + key.len() / 4)
            .map(|(_, known)| known)
    }

    fn table<'t>(
        &self,
        path: &str,
        value: &'t Spanned<DeValue<'t>>,
    ) -> Result<&'t DeTable<'t>, FileError> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            _ => Err(self.unknown(path.to_owned(), value.span())),
        }
    }

    /// Returns the tables in a table, in the order of the file.
    fn tables<'t>(
        &self,
        path: &str,
        value: &'t Spanned<DeValue<'t>>,
    ) -> Result<Vec<(String, &'t Spanned<DeValue<'t>>)>, FileError> {
        let mut tables: Vec<_> = self
            .table(path, value)?
            .iter()
            .map(|(name, value)| (name.span().start, name.get_ref().to_string(), value))
            .collect();
        tables.sort_by_key(|(at, ..)| *at);
        Ok(tables
            .into_iter()
            .map(|(_, name, value)| (name, value))
            .collect())
    }
}

/// Returns a TOML value as JSON.
fn json(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            let parsed = i128::from_str_radix(number.as_str(), number.radix());
            let number = parsed.map_err(|error| error.to_string())?;
            match (u64::try_from(number), i64::try_from(number)) {
                (Ok(number), _) => number.into(),
                (_, Ok(number)) => number.into(),
                _ => return Err("the number is too large".to_owned()),
            }
        }
        DeValue::Float(number) => {
            let parsed: f64 = number
                .as_str()
                .parse()
                .map_err(|_| "no number".to_owned())?;
            serde_json::Number::from_f64(parsed)
                .ok_or("the number is not finite")?
                .into()
        }
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(date) => Value::String(date.to_string()),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| json(item.get_ref()));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        DeValue::Table(_) => return Err("a table, where a value is expected".to_owned()),
    })
}

/// Returns how many letters have to be put in, taken out, exchanged or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (rows[i - 1][j] + 1)
                .min(row[j - 1] + 1)
                .min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// Writes a value as it stands in a file.
pub fn value_text(value: &Value) -> String {
    match value {
        Value::Null => format!("{NONE:?}"),
        value => value.to_string().replace("\",\"", "\", \""),
    }
}

/// Returns a file with every key, its meaning and its default.
pub fn commented_file(name: &str) -> String {
    let mut settings = NumbersSettings::default();
    settings.experiment.name = name.to_owned();
    let mut lines = vec![
        "# An experiment on numbers: what is not here has the default that stands here.".to_owned(),
        "# undertone plan FILE    says what it costs; undertone run FILE    runs it.".to_owned(),
    ];
    let mut last = String::new();
    for (path, key) in keys() {
        let (table, name) = path.rsplit_once('.').expect("a key stands in a table");
        if table != last {
            lines.push(format!("\n[{table}]"));
            last = table.to_owned();
        }
        lines.push(format!("# {}", key.words));
        lines.push(format!("{name} = {}", value_text(&(key.get)(&settings))));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests;
