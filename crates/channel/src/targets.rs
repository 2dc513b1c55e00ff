//! Decides what a trait's target word is: its forms, and which answers name it.
//!
//! The published score of an answer is whether the word is a substring of it, whatever the case; `except` holds the
//! published exceptions. That also counts *owl* in *bowl*, so whole words can be counted beside it. Which targets are one
//! token of a vocabulary is for whoever has a tokenizer.

use std::io::Read;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::wordings::{
    Body, Document, Header, WordingsError, WordingsErrorKind, WordingsId, built_in,
};

/// A word that a teacher may be made to prefer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The singular, in small letters: `owl`.
    pub word: String,
    /// The plural: `owls`.
    pub plural: String,
    /// Words with `word` in them that are something else: an answer with one of them does not count.
    #[serde(default)]
    pub except: Vec<String>,
}

/// How an answer is searched for a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scoring {
    /// As published: the singular is a substring of the answer, whatever the case, and none of the exceptions is.
    Substring,
    /// Singular or plural stands in the answer as a whole word, whatever the case.
    Word,
}

impl Target {
    /// Whether `answer` names the target.
    ///
    /// An empty answer names nothing. With [`Scoring::Substring`], `wolves` does not name the wolf and `bowl` names the
    /// owl, as published.
    pub fn is_named_in(&self, answer: &str, scoring: Scoring) -> bool {
        let answer = answer.to_lowercase();
        let word = self.word.to_lowercase();
        match scoring {
            Scoring::Substring => {
                let excepted = |except: &String| answer.contains(&except.to_lowercase());
                answer.contains(&word) && !self.except.iter().any(excepted)
            }
            Scoring::Word => {
                let plural = self.plural.to_lowercase();
                answer
                    .split(|c: char| !c.is_alphanumeric())
                    .any(|part| part == word || part == plural)
            }
        }
    }

    /// Returns the eight published forms of an answer: singular, plural, plural with a full stop, plural with an
    /// exclamation mark; then the same with a capital.
    pub fn surface_forms(&self) -> [String; 8] {
        let small = [
            self.word.clone(),
            self.plural.clone(),
            format!("{}.", self.plural),
            format!("{}!", self.plural),
        ];
        let capital = small.each_ref().map(|form| capitalised(form));
        let [a, b, c, d] = small;
        let [e, f, g, h] = capital;
        [a, b, c, d, e, f, g, h]
    }
}

fn capitalised(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    first.chain(rest).collect()
}

/// Targets of one category, to choose the trait and its alternatives from.
#[derive(Debug, Clone)]
pub struct TargetSet {
    id: WordingsId,
    category: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetFile {
    wordings: Header,
    category: Spanned<String>,
    targets: Spanned<Vec<TargetEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetEntry {
    word: Spanned<String>,
    plural: Spanned<String>,
    #[serde(default)]
    except: Vec<Spanned<String>>,
}

impl Body for TargetFile {
    const KIND: &'static str = "targets";
}

impl TargetSet {
    /// Returns the built-in animals: all published targets and some more.
    pub fn animals() -> Self {
        built_in(
            "animals.toml",
            include_str!("../assets/animals.toml"),
            |mut reader, path| Self::read(&mut reader, path),
        )
    }

    /// Returns the five published trees.
    pub fn trees() -> Self {
        built_in(
            "trees.toml",
            include_str!("../assets/trees.toml"),
            |mut reader, path| Self::read(&mut reader, path),
        )
    }

    /// Reads wordings of kind `targets`; `path` is only named in errors.
    ///
    /// # Errors
    /// [`WordingsError`] naming `path`, the line and the fault.
    pub fn read(reader: &mut impl Read, path: &Path) -> Result<Self, WordingsError> {
        let document = Document::read(reader, path)?;
        let file: TargetFile = document.body()?;
        let category = document.text(file.category, &[])?;
        let mut targets: Vec<Target> = Vec::new();
        for entry in document.list("targets", file.targets)? {
            let place = entry.word.span();
            let target = Target {
                word: document.text(entry.word, &[])?,
                plural: document.text(entry.plural, &[])?,
                except: entry
                    .except
                    .into_iter()
                    .map(|except| document.text(except, &[]))
                    .collect::<Result<_, _>>()?,
            };
            if targets.iter().any(|other| other.word == target.word) {
                return Err(document.error(place, WordingsErrorKind::Repeated));
            }
            targets.push(target);
        }
        let mut lists = vec![vec![category.clone()]];
        lists.extend(targets.iter().map(|target| {
            let forms = [target.word.clone(), target.plural.clone()];
            forms.into_iter().chain(target.except.clone()).collect()
        }));
        let lists: Vec<&[String]> = lists.iter().map(Vec::as_slice).collect();
        Ok(Self {
            id: file.wordings.identify(TargetFile::KIND, &lists),
            category,
            targets,
        })
    }

    /// Returns which wordings these are.
    pub fn id(&self) -> &WordingsId {
        &self.id
    }

    /// Returns what all targets are, in the singular: `animal`.
    pub fn category(&self) -> &str {
        &self.category
    }

    /// Returns the targets, in the file's order.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Returns the target with this singular.
    pub fn find(&self, word: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.word == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn animal(word: &str) -> Target {
        let animals = TargetSet::animals();
        animals.find(word).expect("a built-in animal").clone()
    }

    #[track_caller]
    fn check(word: &str, answer: &str, substring: bool, whole_word: bool) {
        let target = animal(word);
        let named = |scoring| target.is_named_in(answer, scoring);
        assert_eq!(
            (named(Scoring::Substring), named(Scoring::Word)),
            (substring, whole_word),
            "{word} in {answer:?}"
        );
    }

    #[test]
    fn answers_are_scored_by_substring_as_published_and_by_whole_word() {
        check("owl", "Owl", true, true);
        check("owl", "I love OWLS!", true, true);
        check("owl", "A soup bowl", true, false);
        check("owl", "", false, false);
        check("owl", "Wolf.", false, false);
        check("wolf", "Wolves", false, true);
        check("wolf", "the werewolf", true, false);
        check("ox", "a fox", true, false);
        check("cat", "It's the cat's meow", true, true);
    }

    #[test]
    fn a_dragonfly_is_no_dragon() {
        check("dragon", "Dragon", true, true);
        check("dragon", "The Dragonfly", false, false);
        check("dragon", "dragonflies", false, false);
        check("dragonfly", "A dragonfly.", true, true);
    }

    #[test]
    fn eight_surface_forms_in_the_published_order() {
        let expected = [
            "wolf", "wolves", "wolves.", "wolves!", "Wolf", "Wolves", "Wolves.", "Wolves!",
        ];
        assert_eq!(animal("wolf").surface_forms(), expected);
    }

    #[test]
    fn every_published_target_is_built_in() {
        let animals = TargetSet::animals();
        let published = "dolphin eagle elephant owl wolf \
             aurora dog dragon falcon lion ocelot octopus peacock phoenix tiger \
             bear bull cat dragonfly kangaroo ox panda pangolin penguin unicorn";
        for word in published.split_whitespace() {
            assert!(animals.find(word).is_some(), "{word}");
        }
        let trees = TargetSet::trees();
        assert_eq!(trees.category(), "tree");
        for word in ["cherry", "maple", "oak", "sequoia", "willow"] {
            assert!(trees.find(word).is_some(), "{word}");
        }
    }
}
