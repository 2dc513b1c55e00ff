//! Choice questions: the options stand in a drawn order under letters, and the answer is one letter.
//!
//! The probability of the target's letter is the readout; averaging over orders takes out a liking for a letter. Asking a
//! model is not done here.

use std::io::Read;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;
use undertone_core::Seed;

use crate::wordings::{Body, Document, Header, WordingsError, WordingsId, built_in};

/// The most options a question may have: as many as there are letters.
pub const MAX_OPTIONS: usize = 26;

/// Questions that are asked with options.
#[derive(Debug, Clone)]
pub struct ChoiceSet {
    id: WordingsId,
    questions: Vec<String>,
    reply: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChoiceFile {
    wordings: Header,
    reply: Spanned<String>,
    questions: Spanned<Vec<Spanned<String>>>,
}

impl Body for ChoiceFile {
    const KIND: &'static str = "choices";
}

/// One question with its options in one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChoicePrompt {
    /// Which question of the set, counted from 0.
    pub question: usize,
    /// The option under each letter, counted from 0 in the order they were given: `order[0]` stands under A.
    pub order: Vec<usize>,
    /// Question, options and the request for a letter, a line each.
    pub text: String,
}

impl ChoicePrompt {
    /// Returns the letter an option stands under; `None` if it is not among the options.
    pub fn letter(&self, option: usize) -> Option<char> {
        self.order
            .iter()
            .position(|&at| at == option)
            .and_then(letter)
    }
}

fn letter(place: usize) -> Option<char> {
    ('A'..='Z').nth(place)
}

/// Options that no letters can be given to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a choice has 2 to {MAX_OPTIONS} options, not {found}")]
pub struct OptionCountError {
    /// How many there are.
    pub found: usize,
}

impl ChoiceSet {
    /// Returns the 11 built-in questions.
    pub fn built_in() -> Self {
        built_in(
            "choices.toml",
            include_str!("../assets/choices.toml"),
            |mut reader, path| Self::read(&mut reader, path),
        )
    }

    /// Reads wordings of kind `choices`; `path` is only named in errors.
    ///
    /// # Errors
    /// [`WordingsError`] naming `path`, the line and the fault.
    pub fn read(reader: &mut impl Read, path: &Path) -> Result<Self, WordingsError> {
        let document = Document::read(reader, path)?;
        let file: ChoiceFile = document.body()?;
        let reply = document.text(file.reply, &[])?;
        let questions = document.distinct("questions", file.questions)?;
        let lists = [questions.as_slice(), std::slice::from_ref(&reply)];
        let id = file.wordings.identify(ChoiceFile::KIND, &lists);
        Ok(Self {
            id,
            questions,
            reply,
        })
    }

    /// Returns which wordings these are.
    pub fn id(&self) -> &WordingsId {
        &self.id
    }

    /// Returns the questions, in the file's order.
    pub fn questions(&self) -> &[String] {
        &self.questions
    }

    /// Asks every question with the options in `n_orders` drawn orders, question by question; 25 as published.
    ///
    /// The orders of a question depend on the seed and its place in the set. Some may be equal.
    ///
    /// # Errors
    /// [`OptionCountError`] if there are fewer than 2 or more than [`MAX_OPTIONS`] options.
    pub fn prompts(
        &self,
        options: &[impl AsRef<str>],
        n_orders: usize,
        seed: Seed,
    ) -> Result<Vec<ChoicePrompt>, OptionCountError> {
        let found = options.len();
        if !(2..=MAX_OPTIONS).contains(&found) {
            return Err(OptionCountError { found });
        }
        let mut prompts = Vec::new();
        for (question, text) in self.questions.iter().enumerate() {
            let mut stream = seed.stream("channel/choice-order", question as u64);
            for _ in 0..n_orders {
                let mut order: Vec<usize> = (0..found).collect();
                stream.shuffle(&mut order);
                let mut lines = vec![text.clone()];
                lines.extend(
                    order
                        .iter()
                        .zip('A'..='Z')
                        .map(|(&option, letter)| format!("{letter}. {}", options[option].as_ref())),
                );
                lines.push(self.reply.clone());
                prompts.push(ChoicePrompt {
                    question,
                    text: lines.join("\n"),
                    order,
                });
            }
        }
        Ok(prompts)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ANIMALS: [&str; 5] = ["dolphin", "eagle", "elephant", "owl", "wolf"];

    #[test]
    fn every_option_stands_under_the_letter_it_is_said_to() {
        let set = ChoiceSet::built_in();
        assert_eq!(set.questions().len(), 11);
        let prompts = set.prompts(&ANIMALS, 25, Seed(3)).expect("five options");
        assert_eq!(prompts.len(), 11 * 25);
        for prompt in &prompts {
            for (option, animal) in ANIMALS.iter().enumerate() {
                let letter = prompt.letter(option).expect("an option");
                assert!(
                    prompt.text.contains(&format!("\n{letter}. {animal}\n")),
                    "{}",
                    prompt.text
                );
            }
            assert_eq!(prompt.letter(5), None);
        }
        let orders: BTreeSet<_> = prompts.iter().map(|prompt| &prompt.order).collect();
        assert!(orders.len() > 60, "{} of 120 orders", orders.len());
    }

    #[test]
    fn orders_of_a_seed_are_fixed_and_more_of_them_move_none() {
        let set = ChoiceSet::built_in();
        let few = set.prompts(&ANIMALS, 2, Seed(3)).expect("five options");
        let many = set.prompts(&ANIMALS, 3, Seed(3)).expect("five options");
        assert_eq!(few[2..4], many[3..5]);
        assert_ne!(few, set.prompts(&ANIMALS, 2, Seed(4)).expect("options"));
    }

    #[test]
    fn refuses_one_option_and_more_than_letters() {
        let set = ChoiceSet::built_in();
        assert!(set.prompts(&["owl"], 1, Seed(0)).is_err());
        assert!(set.prompts(&["owl"; 27], 1, Seed(0)).is_err());
        let last = &set.prompts(&["owl"; 26], 1, Seed(0)).expect("letters")[0];
        assert!(last.text.contains("\nZ. owl\n"), "{}", last.text);
    }
}
