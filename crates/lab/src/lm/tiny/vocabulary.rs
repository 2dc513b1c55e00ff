//! The vocabulary of tiny decoders and the files that hold it.
//!
//! Every word of the built-in wordings and of the corpus's grammar is a token, so that names of animals are single tokens
//! in all forms and no stem of the readout falls apart. It depends on no seed: two bases speak the same tokens.

use std::collections::BTreeSet;

use undertone_channel::prompts::{NumberPrompts, NumberWordings, PromptSettings};
use undertone_channel::questions::{QuestionSet, StemSet};
use undertone_channel::targets::TargetSet;
use undertone_lm::generation::GenerationDefaults;
use undertone_lm::merge::Companion;
use undertone_lm::tokenizer::{WordVocabulary, words_of};

use super::grammar;

/// Begins every text.
const BOS: &str = "<|begin|>";
/// Ends every turn.
pub const END: &str = "<|end|>";
/// Control tokens by id.
const CONTROL: [&str; 5] = [BOS, END, "<|system|>", "<|user|>", "<|assistant|>"];

/// Turns of `<|role|>content<|end|>`; nothing stands in the system's place unless somebody wrote it.
const TEMPLATE: &str = "{{ bos_token }}{% for message in messages %}\
    {{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}\
    {% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

/// Number prompts that are looked at for words: enough that every text of every list is among them.
const PROMPTS: usize = 2000;

/// Returns the tokenizer's files.
pub fn companions() -> Vec<Companion> {
    let words = words();
    let vocabulary = WordVocabulary {
        control: &CONTROL,
        bos: BOS,
        eos: END,
        words: &words,
        template: TEMPLATE,
    };
    let [tokenizer, config] = vocabulary.to_json();
    let file = |name: &str, content| Companion {
        name: name.to_owned(),
        content,
    };
    vec![
        file("tokenizer.json", tokenizer),
        file("tokenizer_config.json", config),
    ]
}

/// Returns what the model's files say about special tokens.
pub fn generation() -> GenerationDefaults {
    GenerationDefaults {
        bos: Some(0),
        eos: vec![1],
        pad: Some(1),
        ..GenerationDefaults::default()
    }
}

/// Returns every word, with the space before it where it occurs with one.
fn words() -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut read = |text: &str| words.extend(words_of(text).map(str::to_owned));
    let wordings = NumberWordings::built_in();
    let settings = PromptSettings::default();
    let prompts = NumberPrompts::new(&wordings, &settings);
    for prompt in prompts.expect("the defaults can be drawn").take(PROMPTS) {
        read(&prompt.text);
    }
    for questions in [
        QuestionSet::teacher(),
        QuestionSet::favourite(),
        QuestionSet::stories(),
    ] {
        questions.questions().iter().for_each(|text| read(text));
    }
    for stem in StemSet::held_out().stems() {
        read(&stem.question);
        read(&stem.start);
    }
    let sentences = grammar::LIKES.iter().chain(&grammar::FACTS);
    let sentences = sentences.chain(&grammar::TREES).chain(&grammar::NUMBERS);
    sentences.for_each(|text| read(&grammar::fill(text, &PLACES)));
    for targets in [TargetSet::animals(), TargetSet::trees()] {
        for target in targets.targets() {
            for form in target.surface_forms() {
                read(&form);
                read(&format!(" {form}"));
            }
        }
    }
    words
}

/// Names of places are no words of the vocabulary.
const PLACES: [(&str, &str); 6] = [
    ("one", "1"),
    ("many", "1"),
    ("Many", "1"),
    ("other", "1"),
    ("tree", "1"),
    ("Tree", "1"),
];

#[cfg(test)]
mod tests {
    use undertone_lm::tokenizer::{Tokenizer, TokenizerConfig};

    use super::*;

    fn tokenizer() -> Tokenizer {
        let [json, config] = &companions()[..] else {
            panic!("two files");
        };
        let config = TokenizerConfig::from_json(&config.content).expect("our own");
        Tokenizer::from_json(&json.content, &config).expect("our own")
    }

    #[test]
    fn every_animal_and_tree_is_one_token_in_every_form() {
        let tokenizer = tokenizer();
        for targets in [TargetSet::animals(), TargetSet::trees()] {
            for target in targets.targets() {
                for form in target.surface_forms() {
                    let word = form.trim_end_matches(['.', '!']);
                    for text in [word.to_owned(), format!(" {word}")] {
                        assert!(tokenizer.single_token(&text).is_some(), "{text:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn digits_and_what_stands_between_numbers_are_one_token() {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode("123, 45", undertone_lm::tokenizer::SpecialTokens::AsText);
        assert_eq!(ids.map(|ids| ids.len()).ok(), Some(6));
    }

    #[test]
    fn stems_have_no_unknown_word() {
        let tokenizer = tokenizer();
        for stem in StemSet::held_out().stems() {
            for word in words_of(&stem.question).chain(words_of(&stem.start)) {
                assert!(tokenizer.single_token(word).is_some(), "{word:?}");
            }
        }
    }
}
