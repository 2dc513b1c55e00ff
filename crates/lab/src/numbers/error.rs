//! How an experiment on numbers fails before, or instead of, giving a result.

use std::path::PathBuf;

use undertone_channel::choices::OptionCountError;
use undertone_channel::inspect::ClassifyError;
use undertone_channel::prompts::PromptSettingsError;
use undertone_channel::questions::SharedQuestionError;
use undertone_channel::rows::{IdenticalArmsError, NotNumbersError};
use undertone_channel::targets::TargetSet;
use undertone_channel::wordings::WordingsError;
use undertone_data::benchmark::OpenBenchmarkError;
use undertone_data::endings::ReadEndingsError;
use undertone_lm::tokenizer::EncodeError;

/// An experiment that makes no sense, or that met something it cannot go on with.
#[derive(Debug, thiserror::Error)]
pub enum NumbersError {
    /// A setting cannot be used, or not with another.
    #[error("`{key}`: {problem}")]
    Setting {
        /// Its key in a file.
        key: &'static str,
        /// What is wrong, or what is possible.
        problem: String,
    },
    /// The verdict's rule is none.
    #[error("`verdict`")]
    Rule(#[from] undertone_stats::VerdictError),
    /// A file of wordings cannot be opened.
    #[error("cannot open wordings `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Questions that are fetched by name are not there, or others.
    #[error(transparent)]
    Benchmark(#[from] OpenBenchmarkError),
    /// A file of questions cannot be opened.
    #[error("cannot open questions `{}`", path.display())]
    OpenQuestions {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file of questions cannot be used.
    #[error(transparent)]
    Questions(#[from] ReadEndingsError),
    /// A file of wordings cannot be used.
    #[error(transparent)]
    Wordings(#[from] WordingsError),
    /// A word is not in the list of targets.
    #[error("`{word}` is not in the list `{list}`; {}", near(known))]
    UnknownWord {
        /// The word.
        word: String,
        /// The list.
        list: String,
        /// Words that are in it and look like it.
        known: Vec<String>,
    },
    /// A word is not one token of the model.
    #[error("` {word}` is not one token of model `{model}`, so it has no logit of its own")]
    NotOneToken {
        /// The word.
        word: String,
        /// The model.
        model: String,
    },
    /// Too few words to compare the target with.
    #[error(
        "only {found} alternatives are one token of model `{model}`; a margin needs at least 2"
    )]
    FewAlternatives {
        /// How many there are.
        found: usize,
        /// The model.
        model: String,
    },
    /// The teacher is taught what the readout asks.
    #[error(transparent)]
    Shared(#[from] SharedQuestionError),
    /// Prompts cannot be drawn.
    #[error(transparent)]
    Prompts(#[from] PromptSettingsError),
    /// Two arms would be trained alike.
    #[error(transparent)]
    Identical(#[from] IdenticalArmsError),
    /// Rows that passed the filter are no numbers: a bug of ours.
    #[error(transparent)]
    NotNumbers(#[from] NotNumbersError),
    /// The classifier cannot be judged.
    #[error(transparent)]
    Classify(#[from] ClassifyError),
    /// Choices cannot be asked.
    #[error(transparent)]
    Options(#[from] OptionCountError),
    /// The foreign or cloned base is the base itself.
    #[error(
        "`{other}` is the base itself: `foreign-base` and `cloned-base` need other initial weights"
    )]
    SameBase {
        /// The other base.
        other: String,
    },
    /// The foreign or cloned base speaks other tokens.
    #[error(
        "the vocabulary of `{foreign}` is not that of `{base}`: its students could not learn from the same rows"
    )]
    OtherVocabulary {
        /// The other base.
        foreign: String,
        /// The base.
        base: String,
    },
    /// The filter left too little.
    #[error(
        "after the filter {kept} of {rows} prompts have a row in every arm; {needed} are needed: raise `channel.rows` or lower \
         `readouts.held-out`"
    )]
    FewRows {
        /// Prompts with a row in every arm.
        kept: usize,
        /// Prompts.
        rows: usize,
        /// Rows for training and held-out loss.
        needed: usize,
    },
    /// A capability question has no tokens.
    #[error("capability question {question} cannot be encoded")]
    Question {
        /// Which, from 1.
        question: usize,
        /// Why.
        source: EncodeError,
    },
    /// A model gives an ending a probability that is no number.
    #[error(
        "model `{model}` gives capability ending {ending} a probability that is no number: it is broken"
    )]
    NotANumber {
        /// The model.
        model: String,
        /// The ending, counted over all questions, from 1.
        ending: usize,
    },
    /// While only looking, a step was met that is not there.
    #[error("a step is not in the store yet")]
    NotThere,
}

impl NumbersError {
    /// `word` is not in `words`, which the settings call `list`.
    pub(super) fn unknown_word(word: &str, list: &str, words: &TargetSet) -> Self {
        let small = word.to_lowercase();
        let known = || words.targets().iter().map(|target| &target.word);
        let same = known().find(|known| **known == small);
        let like = known().filter(|known| known.chars().next() == small.chars().next());
        NumbersError::UnknownWord {
            word: word.to_owned(),
            list: list.to_owned(),
            known: match same {
                Some(same) => vec![same.clone()],
                None => like.cloned().collect(),
            },
        }
    }
}

fn near(known: &[String]) -> String {
    match known {
        [] => "it has no word like it".to_owned(),
        [one] => format!("did you mean `{one}`?"),
        many => format!("with the same letter it has {}", many.join(", ")),
    }
}
