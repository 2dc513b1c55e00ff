//! The front matter of a card as a bounded tree of texts, lists and maps.
//!
//! Works on the events of a YAML parser, so that aliases cannot blow up: they are refused. Depth and the number of nodes
//! are bounded. Scalars stay texts: `no`, `1.0` and `null` are what somebody typed.

use saphyr_parser::{Event, Parser};

const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 100_000;

/// A value of the front matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Yaml {
    Text(String),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

/// What is wrong, and in which line from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct YamlError {
    pub(crate) line: usize,
    pub(crate) problem: String,
}

impl Yaml {
    /// Returns the value of a key of a map.
    pub(crate) fn get(&self, name: &str) -> Option<&Yaml> {
        match self {
            Yaml::Map(entries) => entries
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// Returns a text, or the texts of a list; `None` if there is anything else in it.
    pub(crate) fn texts(&self) -> Option<Vec<&str>> {
        match self {
            Yaml::Text(text) => Some(vec![text]),
            Yaml::List(items) => items
                .iter()
                .map(|item| match item {
                    Yaml::Text(text) => Some(text.as_str()),
                    _ => None,
                })
                .collect(),
            Yaml::Map(_) => None,
        }
    }
}

enum Open {
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>, Option<String>),
}

/// Reads the first document of `text`.
pub(crate) fn parse(text: &str) -> Result<Yaml, YamlError> {
    let mut open: Vec<Open> = Vec::new();
    let mut n_nodes = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| YamlError {
            line: error.marker().line(),
            problem: error.info().to_owned(),
        })?;
        let fail = |problem: &str| {
            Err(YamlError {
                line: span.start.line(),
                problem: problem.to_owned(),
            })
        };
        n_nodes += 1;
        if n_nodes > MAX_NODES {
            return fail("more entries than a card may have");
        }
        let finished = match event {
            Event::Scalar(text, ..) => Yaml::Text(text.into_owned()),
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                if open.len() > MAX_DEPTH {
                    return fail("nested too deep");
                }
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(Vec::new(), None));
                if open.len() > MAX_DEPTH {
                    return fail("nested too deep");
                }
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items)) => Yaml::List(items),
                Some(Open::Map(entries, None)) => Yaml::Map(entries),
                _ => return fail("an end without a beginning"),
            },
            Event::Alias(_) => return fail("aliases are not read: write the value out"),
            Event::DocumentEnd | Event::StreamEnd => break,
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => continue,
        };
        match open.last_mut() {
            None => return Ok(finished),
            Some(Open::List(items)) => items.push(finished),
            Some(Open::Map(entries, key @ None)) => match finished {
                Yaml::Text(text) if entries.iter().any(|(known, _)| *known == text) => {
                    return fail("the same key twice");
                }
                Yaml::Text(text) => *key = Some(text),
                _ => return fail("a key that is not a text"),
            },
            Some(Open::Map(entries, key)) => {
                let key = key.take().expect("the arm above takes maps without a key");
                entries.push((key, finished));
            }
        }
    }
    match open.is_empty() {
        true => Ok(Yaml::Map(Vec::new())),
        false => Err(YamlError {
            line: 1,
            problem: "it ends in the middle".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> Yaml {
        Yaml::Text(text.to_owned())
    }

    #[test]
    fn reads_the_forms_cards_use() {
        let yaml = "license: apache-2.0\nbase_model:\n- a/b\n- \"c/d\"\ndatasets: [x/y, 'z']\nn: 1.0\nfolded: >-\n  one\n  two\n";
        let read = parse(yaml).expect("the YAML is good");
        assert_eq!(
            read.get("base_model"),
            Some(&Yaml::List(vec![text("a/b"), text("c/d")]))
        );
        assert_eq!(
            read.get("datasets"),
            Some(&Yaml::List(vec![text("x/y"), text("z")]))
        );
        assert_eq!(read.get("n"), Some(&text("1.0")));
        assert_eq!(read.get("folded"), Some(&text("one two")));
    }

    #[test]
    fn refuses_aliases_double_keys_and_depth() {
        assert!(parse("a: &x [1]\nb: *x\n").is_err());
        assert!(parse("a: 1\na: 2\n").is_err());
        assert!(parse(&format!("a: {}1{}", "[".repeat(50), "]".repeat(50))).is_err());
        assert!(parse(&"[".repeat(50_000)).is_err());
    }

    #[test]
    fn errors_name_the_line() {
        let error = parse("a: 1\nb: [\nc: }\n").expect_err("broken");
        assert!(error.line >= 2, "{error:?}");
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_read_or_refused(text in "\\PC{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn yaml_like_text_is_read_or_refused(text in "[-a-c:\\[\\]{}&*!|>'\"#,? \n\t%@`0-9]{0,120}") {
            let _ = parse(&text);
        }
    }
}
