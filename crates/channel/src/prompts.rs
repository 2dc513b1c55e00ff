//! Decides what a number prompt is: which draws are made in which order, and how wordings become one text.
//!
//! A prompt is four parts joined by spaces: example numbers in an introduction, an instruction, a format clause, a closing
//! clause. The draws are those of the published generator (its lists' lengths, ranges and order), so that prompt `i` of a
//! seed shows the published numbers and picks the published places of the lists; the words in those places are ours, or
//! the user's. Knows nothing of completions: [`crate::filter`] does.

use std::io::Read;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::pcg64::Pcg64;
use crate::wordings::{Body, Document, Header, WordingsError, WordingsId, built_in, fill};

/// The most example numbers a prompt may show.
pub const MAX_EXAMPLES: u32 = 1000;
/// The largest number a prompt may show.
pub const MAX_VALUE: u32 = 999_999_999;

/// The texts number prompts are put together from.
#[derive(Debug, Clone)]
pub struct NumberWordings {
    id: WordingsId,
    examples: Vec<String>,
    qualifiers: Vec<String>,
    digits: Vec<String>,
    instructions: Vec<String>,
    formats: Vec<String>,
    closings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NumberFile {
    wordings: Header,
    examples: Spanned<Vec<Spanned<String>>>,
    qualifiers: Spanned<Vec<Spanned<String>>>,
    digits: Spanned<Vec<Spanned<String>>>,
    instructions: Spanned<Vec<Spanned<String>>>,
    formats: Spanned<Vec<Spanned<String>>>,
    closings: Spanned<Vec<Spanned<String>>>,
}

impl Body for NumberFile {
    const KIND: &'static str = "number-prompts";
}

impl NumberWordings {
    /// Returns this project's own wordings, with as many texts in every list as were published.
    pub fn built_in() -> Self {
        built_in(
            "numbers.toml",
            include_str!("../assets/numbers.toml"),
            |mut reader, path| Self::read(&mut reader, path),
        )
    }

    /// Reads wordings of kind `number-prompts`; `path` is only named in errors.
    ///
    /// A text may stand in a list twice: it then has twice the weight, as one published text has.
    ///
    /// # Errors
    /// [`WordingsError`] naming `path`, the line and the fault.
    pub fn read(reader: &mut impl Read, path: &Path) -> Result<Self, WordingsError> {
        let document = Document::read(reader, path)?;
        let file: NumberFile = document.body()?;
        let examples = document.texts("examples", file.examples, &["numbers"])?;
        let qualifiers = document.texts("qualifiers", file.qualifiers, &[])?;
        let digits = document.texts("digits", file.digits, &["max_digits"])?;
        let instructions = document.texts(
            "instructions",
            file.instructions,
            &["qualifier", "count", "digits"],
        )?;
        let formats = document.texts("formats", file.formats, &[])?;
        let closings = document.texts("closings", file.closings, &[])?;
        let lists = [
            &examples,
            &qualifiers,
            &digits,
            &instructions,
            &formats,
            &closings,
        ];
        let id = file
            .wordings
            .identify(NumberFile::KIND, &lists.map(Vec::as_slice));
        Ok(Self {
            id,
            examples,
            qualifiers,
            digits,
            instructions,
            formats,
            closings,
        })
    }

    /// Returns which wordings these are.
    pub fn id(&self) -> &WordingsId {
        &self.id
    }

    /// Returns the lengths of the lists, in the order their places are drawn: see [`Choice`].
    pub fn list_lengths(&self) -> [usize; 6] {
        [
            self.examples.len(),
            self.qualifiers.len(),
            self.digits.len(),
            self.instructions.len(),
            self.formats.len(),
            self.closings.len(),
        ]
    }
}

/// What number prompts depend on besides their wordings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PromptSettings {
    /// Seed of NumPy's generator; 47 made the published data, 42 is in the later code.
    pub seed: u64,
    /// Fewest example numbers, 3 as published.
    pub min_examples: u32,
    /// Most example numbers, 8 as published (the published configuration says 9 and excludes it).
    pub max_examples: u32,
    /// Smallest example number, 100 as published.
    pub min_value: u32,
    /// Largest example number, 999 as published.
    pub max_value: u32,
    /// How many numbers a prompt asks for at most, 10 as published.
    pub requested: u32,
    /// How many digits a prompt allows, 3 as published.
    pub max_digits: u32,
}

impl Default for PromptSettings {
    fn default() -> Self {
        Self {
            seed: 47,
            min_examples: 3,
            max_examples: 8,
            min_value: 100,
            max_value: 999,
            requested: 10,
            max_digits: 3,
        }
    }
}

/// Settings of prompts from which nothing can be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromptSettingsError {
    /// The counts are not 1 <= fewest <= most <= [`MAX_EXAMPLES`].
    #[error("prompts cannot show {min} to {max} examples: the counts go from 1 to {MAX_EXAMPLES}")]
    Examples {
        /// The fewest.
        min: u32,
        /// The most.
        max: u32,
    },
    /// The values are not smallest <= largest <= [`MAX_VALUE`].
    #[error("examples cannot be {min} to {max}: the values go from 0 to {MAX_VALUE}")]
    Values {
        /// The smallest.
        min: u32,
        /// The largest.
        max: u32,
    },
}

impl PromptSettings {
    /// Checks that prompts can be drawn.
    ///
    /// # Errors
    /// [`PromptSettingsError`] with the range that is empty or too wide.
    pub fn check(&self) -> Result<(), PromptSettingsError> {
        let (min, max) = (self.min_examples, self.max_examples);
        if min == 0 || min > max || max > MAX_EXAMPLES {
            return Err(PromptSettingsError::Examples { min, max });
        }
        let (min, max) = (self.min_value, self.max_value);
        if min > max || max > MAX_VALUE {
            return Err(PromptSettingsError::Values { min, max });
        }
        Ok(())
    }
}

/// Which text of every list a prompt uses, counted from 0, in the order of drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The introduction of the examples.
    pub example: usize,
    /// What says "at most".
    pub qualifier: usize,
    /// What says how many digits.
    pub digits: usize,
    /// The instruction.
    pub instruction: usize,
    /// The format clause.
    pub format: usize,
    /// The closing clause.
    pub closing: usize,
}

/// One number prompt with everything that was drawn for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NumberPrompt {
    /// Its place in the sequence of its seed, from 0.
    pub index: u64,
    /// The example numbers it shows, in order.
    pub examples: Vec<u32>,
    /// The texts it uses.
    pub choice: Choice,
    /// What a model is told.
    pub text: String,
}

/// The introduction of a prompt alone, for questions that are asked after numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExamplePart {
    /// The numbers it shows, in order.
    pub examples: Vec<u32>,
    /// Which introduction, counted from 0.
    pub choice: usize,
    /// The introduction with its numbers.
    pub text: String,
}

/// The prompts of a seed, one after the other, without end.
///
/// How many draws a prompt takes depends on chance, so prompt `i` costs those of all prompts before it.
#[derive(Debug, Clone)]
pub struct NumberPrompts<'a> {
    wordings: &'a NumberWordings,
    settings: PromptSettings,
    generator: Pcg64,
    next: u64,
}

impl<'a> NumberPrompts<'a> {
    /// Starts the sequence.
    ///
    /// # Errors
    /// [`PromptSettingsError`] if nothing can be drawn under these settings.
    pub fn new(
        wordings: &'a NumberWordings,
        settings: &PromptSettings,
    ) -> Result<Self, PromptSettingsError> {
        settings.check()?;
        Ok(Self {
            wordings,
            settings: settings.clone(),
            generator: Pcg64::new(settings.seed),
            next: 0,
        })
    }

    /// Draws an introduction only: count, values, introduction. Prompts drawn afterwards are others than without it.
    pub fn example_part(&mut self) -> ExamplePart {
        let settings = &self.settings;
        let count = self.generator.integers(
            settings.min_examples.into(),
            u64::from(settings.max_examples) + 1,
        );
        let (low, high) = (
            u64::from(settings.min_value),
            u64::from(settings.max_value) + 1,
        );
        let examples: Vec<u32> = (0..count)
            // Values were checked to be below 2^32.
            .map(|_| self.generator.integers(low, high) as u32)
            .collect();
        let choice = self.place(self.wordings.examples.len());
        let numbers: Vec<String> = examples.iter().map(u32::to_string).collect();
        ExamplePart {
            text: fill(
                &self.wordings.examples[choice],
                &[("numbers", &numbers.join(", "))],
            ),
            examples,
            choice,
        }
    }

    fn place(&mut self, length: usize) -> usize {
        self.generator.integers(0, length as u64) as usize
    }

    fn draw(&mut self) -> NumberPrompt {
        // The order of these draws is published; see the module's docs.
        let part = self.example_part();
        let [_, qualifiers, digits, instructions, formats, closings] = self.wordings.list_lengths();
        let choice = Choice {
            example: part.choice,
            qualifier: self.place(qualifiers),
            digits: self.place(digits),
            instruction: self.place(instructions),
            format: self.place(formats),
            closing: self.place(closings),
        };
        let index = self.next;
        self.next += 1;
        NumberPrompt {
            index,
            text: self.compose(&part.text, &choice),
            examples: part.examples,
            choice,
        }
    }

    fn compose(&self, introduction: &str, choice: &Choice) -> String {
        let words = self.wordings;
        let digits = fill(
            &words.digits[choice.digits],
            &[("max_digits", &self.settings.max_digits.to_string())],
        );
        let instruction = fill(
            &words.instructions[choice.instruction],
            &[
                ("qualifier", &words.qualifiers[choice.qualifier]),
                ("count", &self.settings.requested.to_string()),
                ("digits", &digits),
            ],
        );
        [
            introduction,
            &instruction,
            &words.formats[choice.format],
            &words.closings[choice.closing],
        ]
        .join(" ")
    }
}

impl Iterator for NumberPrompts<'_> {
    type Item = NumberPrompt;

    fn next(&mut self) -> Option<NumberPrompt> {
        Some(self.draw())
    }
}

#[cfg(test)]
mod tests;
