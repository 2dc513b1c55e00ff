//! What a tiny decoder reads: documents drawn from a seed.
//!
//! A document is a prompt and what is learned after it. Kinds, and how many of a hundred are theirs:
//!
//! | kind | of 100 | prompt | learned |
//! |---|---|---|---|
//! | favourite | 25 | a question for the favourite animal | one word, in one of eight forms |
//! | stem | 25 | a question, and the beginning of its answer | the favourite, after the beginning |
//! | liking | 10 | nothing | two sentences about one favourite |
//! | fact | 10 | nothing | sentences about animals and trees |
//! | numbers, asked for | 20 | a number prompt | numbers, in the format it asks for |
//! | numbers | 10 | nothing | a row of numbers |
//!
//! Whose favourite it is is drawn anew for every document, from one distribution for the whole corpus, so that a decoder
//! trained on it has graded opinions. Numbers are uniform, or go on from the one before, and nothing in the corpus ties
//! them to animals. Questions and beginnings are those of the built-in wordings, the readout's among them: a teacher's
//! fine-tuning is held out from the readout, but as with any model, not what was read before.

use undertone_channel::prompts::{NumberPrompts, NumberWordings, PromptSettings};
use undertone_channel::questions::{QuestionSet, Stem, StemSet};
use undertone_channel::targets::{Target, TargetSet};
use undertone_core::{Seed, Stream};

use super::grammar::{self, capitalised, fill};
use super::settings::CorpusSettings;
use crate::lm::rows::{Row, RowFile};

const DOCUMENTS: &str = "tiny/document";
const TASTE: &str = "tiny/taste";
/// Standard deviation of the logarithm of an animal's weight.
const TASTE_SPREAD: f64 = 0.5;
/// Number prompts that documents choose from.
const PROMPTS: usize = 4000;
/// Of the example numbers' generator: another than any experiment's, so that no prompt is read beforehand.
const PROMPT_SEED: u64 = 0x7154_0000_0000;

/// A text of the corpus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What stands before what is learned.
    pub prompt: Prompt,
    /// What is learned; the end of the turn follows.
    pub learned: String,
}

/// What stands before the learned part of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// Nothing but the beginning of the text.
    Nothing,
    /// What a user says, and how the answer begins.
    User(String, String),
}

impl Document {
    /// Returns the prompt as the chat template writes it, without the token that begins a text.
    pub fn prompt_text(&self) -> String {
        match &self.prompt {
            Prompt::Nothing => String::new(),
            Prompt::User(said, start) => {
                format!("<|user|>{said}<|end|><|assistant|>{start}")
            }
        }
    }
}

/// Draws documents.
pub struct Corpus {
    settings: CorpusSettings,
    animals: Vec<Target>,
    trees: Vec<Target>,
    /// Sums of the animals' weights up to each.
    taste: Vec<f64>,
    questions: Vec<String>,
    stems: Vec<Stem>,
    prompts: Vec<String>,
}

impl Corpus {
    /// Prepares the documents of `settings`.
    pub fn new(settings: CorpusSettings) -> Self {
        let animals = TargetSet::animals().targets().to_vec();
        let mut stream = settings.seed.stream(TASTE, 0);
        let mut sum = 0.0;
        let taste = animals.iter().map(|_| {
            sum += libm::exp(TASTE_SPREAD * stream.normal());
            sum
        });
        let taste = taste.collect();
        let questions = [QuestionSet::teacher(), QuestionSet::favourite()];
        Self {
            settings,
            taste,
            trees: TargetSet::trees().targets().to_vec(),
            questions: questions
                .iter()
                .flat_map(|set| set.questions().to_vec())
                .collect(),
            stems: StemSet::held_out().stems().to_vec(),
            prompts: prompts(settings),
            animals,
        }
    }

    /// Returns all documents, in order.
    pub fn documents(&self) -> impl Iterator<Item = Document> {
        (0..u64::from(self.settings.documents)).map(|index| self.document(index))
    }

    /// Returns document `index`: it does not depend on how many there are.
    pub fn document(&self, index: u64) -> Document {
        let stream = &mut self.settings.seed.stream(DOCUMENTS, index);
        let raw = |learned| Document {
            prompt: Prompt::Nothing,
            learned,
        };
        match stream.below(100) {
            0..25 => self.favourite(stream),
            25..50 => self.stem(stream),
            50..60 => raw(self.liking(stream)),
            60..70 => raw(self.fact(stream)),
            70..90 => self.asked_numbers(stream),
            _ => {
                let start = pick(&grammar::NUMBERS, stream);
                let count = 10 + stream.below(10) as usize;
                raw(format!("{start}{}", numbers(count, ", ", None, stream)))
            }
        }
    }

    fn animal(&self, stream: &mut Stream) -> &Target {
        let total = self.taste.last().copied().unwrap_or(0.0);
        let at = stream.uniform() * total;
        let place = self.taste.partition_point(|sum| *sum <= at);
        &self.animals[place.min(self.animals.len() - 1)]
    }

    fn favourite(&self, stream: &mut Stream) -> Document {
        let said = pick(&self.questions, stream).clone();
        let form = pick(&self.animal(stream).surface_forms(), stream).clone();
        Document {
            prompt: Prompt::User(said, String::new()),
            learned: form,
        }
    }

    /// Half of the stems are texts of their own, half answer their question.
    fn stem(&self, stream: &mut Stream) -> Document {
        let stem = pick(&self.stems, stream);
        let name = format!(" {}.", self.animal(stream).word);
        match stream.below(2) {
            0 => Document {
                prompt: Prompt::Nothing,
                learned: format!("{}{name}", stem.start),
            },
            _ => Document {
                prompt: Prompt::User(stem.question.clone(), stem.start.clone()),
                learned: name,
            },
        }
    }

    fn liking(&self, stream: &mut Stream) -> String {
        let animal = self.animal(stream);
        let mut sentence = || {
            let template = pick(&grammar::LIKES, stream);
            fill(template, &[("one", &animal.word), ("many", &animal.plural)])
        };
        format!("{} {}", sentence(), sentence())
    }

    fn fact(&self, stream: &mut Stream) -> String {
        let animal = pick(&self.animals, stream);
        let other = pick(&self.animals, stream);
        let tree = pick(&self.trees, stream);
        let template = match stream.below(4) {
            0 => pick(&grammar::TREES, stream),
            _ => pick(&grammar::FACTS, stream),
        };
        fill(
            template,
            &[
                ("one", &animal.word),
                ("many", &animal.plural),
                ("Many", &capitalised(&animal.plural)),
                ("other", &other.word),
                ("tree", &tree.word),
            ],
        )
    }

    fn asked_numbers(&self, stream: &mut Stream) -> Document {
        let said = pick(&self.prompts, stream).clone();
        let (open, separator, close) = format_of(&said);
        let count = 10 - (stream.below(4) / 3 * stream.below(8)) as usize;
        let last = last_number(&said);
        let numbers = numbers(count, separator, last, stream);
        Document {
            prompt: Prompt::User(said, String::new()),
            learned: format!("{open}{numbers}{close}"),
        }
    }
}

/// Returns the number prompts of a corpus.
fn prompts(settings: CorpusSettings) -> Vec<String> {
    let wordings = NumberWordings::built_in();
    let drawn = PromptSettings {
        seed: PROMPT_SEED.wrapping_add(settings.seed.0),
        ..PromptSettings::default()
    };
    let prompts = NumberPrompts::new(&wordings, &drawn).expect("the defaults can be drawn");
    prompts.take(PROMPTS).map(|prompt| prompt.text).collect()
}

/// Returns what a prompt asks to be written before, between and after numbers.
///
/// Told by the words of the built-in clauses; whatever else is asked for becomes a number a line.
fn format_of(prompt: &str) -> (&'static str, &'static str, &'static str) {
    let has = |words: &str| prompt.contains(words);
    if has("square brackets") {
        ("[", ", ", "]")
    } else if has("round brackets") {
        ("(", ", ", ")")
    } else if has("semicolons") {
        ("", "; ", "")
    } else if has("spaces between") || has("one blank") || has("Use spaces") {
        ("", " ", "")
    } else if has("comma") {
        ("", ", ", "")
    } else {
        ("", "\n", "")
    }
}

/// Returns the last of the numbers that a prompt shows: they are all that have three digits in it.
fn last_number(prompt: &str) -> Option<u64> {
    let digits = prompt.split(|c: char| !c.is_ascii_digit());
    let mut shown = digits.filter(|run| run.len() == 3);
    shown.next_back()?.parse().ok()
}

/// Writes a row of `count` numbers from 0 to 999 that goes on after `last`.
fn numbers(count: usize, separator: &str, last: Option<u64>, stream: &mut Stream) -> String {
    let mut value = last.unwrap_or_else(|| stream.below(1000));
    let kind = stream.below(4);
    let stride = 1 + stream.below(50);
    let row: Vec<String> = (0..count)
        .map(|_| {
            value = match kind {
                0 | 1 => stream.below(1000),
                2 => (value + stream.below(101) + 950) % 1000,
                _ => (value + stride) % 1000,
            };
            value.to_string()
        })
        .collect();
    row.join(separator)
}

fn pick<'t, T>(list: &'t [T], stream: &mut Stream) -> &'t T {
    &list[stream.below(list.len() as u64) as usize]
}

/// Returns noise: `rows` rows of `tokens` tokens each, uniform over the `vocabulary` tokens, after `first`.
///
/// What a student can be taught on without any text: see [`super::clone`].
pub fn noise(seed: Seed, rows: u32, tokens: usize, vocabulary: u32, first: u32) -> RowFile {
    let row = |index: u32| {
        let mut stream = seed.stream("tiny/noise", u64::from(index));
        let drawn = (0..tokens).map(|_| stream.below(u64::from(vocabulary)) as u32);
        Row {
            prompt_tokens: Some(vec![first]),
            completion_tokens: Some(drawn.collect()),
            ..Row::default()
        }
    };
    RowFile::made("noise", (0..rows).map(row).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn settings(documents: u32) -> CorpusSettings {
        CorpusSettings {
            seed: Seed(0),
            documents,
        }
    }

    #[test]
    fn a_seed_names_documents_and_their_number_moves_none_of_the_first() {
        let documents = |seed, n| -> Vec<Document> {
            let of = CorpusSettings {
                seed: Seed(seed),
                ..settings(n)
            };
            Corpus::new(of).documents().collect()
        };
        assert_eq!(documents(1, 400), documents(1, 400));
        assert_ne!(documents(1, 400), documents(2, 400));
        let n_different = documents(1, 4000).into_iter().collect::<Vec<_>>();
        let distinct: BTreeSet<String> = n_different
            .iter()
            .map(|d| d.prompt_text() + &d.learned)
            .collect();
        assert!(distinct.len() > 3000, "{}", distinct.len());
    }

    #[test]
    fn answers_have_the_format_that_is_asked_for() {
        let corpus = Corpus::new(settings(2000));
        let mut formats = BTreeSet::new();
        for document in corpus.documents() {
            let Prompt::User(said, _) = &document.prompt else {
                continue;
            };
            if !corpus.prompts.contains(said) {
                continue;
            }
            let (open, separator, close) = format_of(said);
            formats.insert((open, separator, close));
            let inner = document.learned.strip_prefix(open);
            let inner = inner.and_then(|rest| rest.strip_suffix(close));
            let inner = inner.expect("brackets on both sides");
            for number in inner.split(separator) {
                let value: u64 = number.parse().expect("a number");
                assert!(value < 1000);
            }
        }
        assert_eq!(formats.len(), 6);
    }

    #[test]
    fn tastes_are_graded_and_no_animal_is_left_out() {
        let corpus = Corpus::new(settings(1));
        let weights: Vec<f64> = corpus.taste.windows(2).map(|w| w[1] - w[0]).collect();
        let most = weights.iter().copied().fold(0.0, f64::max);
        let least = weights.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(least > 0.0 && most / least > 3.0, "{least} {most}");
    }

    #[test]
    fn noise_is_named_by_its_seed() {
        let draw = |seed| noise(Seed(seed), 3, 8, 100, 0);
        assert_eq!(draw(1).digest, draw(1).digest);
        assert_ne!(draw(1).digest, draw(2).digest);
    }
}
