//! Writes a tokenizer of whole words as the files that Hugging Face's libraries read.
//!
//! For models that are trained from scratch on texts of a few hundred words. A vocabulary is control tokens, all 256
//! bytes, and the words it is given; a piece of text that is a word of it is one token, every other piece is its bytes.
//! Nothing is learned and nothing is merged: `tokenizer.json` is a BPE without merges that takes known pieces whole.
//!
//! A piece is a word with the space before it, a digit, a separator of numbers (`, ` or `; ` before a digit), or one
//! character of anything else. Numbers are therefore written digit by digit, with one token between two of them.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::alphabet;

/// Where texts are cut. Every character is in exactly one piece.
const PIECES: &str = "[,;] (?=[0-9])| ?[A-Za-z']+|[0-9]|[^A-Za-z0-9']";
/// What stands between numbers, as one token.
const SEPARATORS: [&str; 2] = [", ", "; "];

/// A vocabulary to be written.
#[derive(Debug, Clone)]
pub struct WordVocabulary<'a> {
    /// Control tokens, by id from 0.
    pub control: &'a [&'a str],
    /// The control token that every text begins with.
    pub bos: &'a str,
    /// The control token that ends a turn.
    pub eos: &'a str,
    /// Words, with the space before them where one belongs to them.
    pub words: &'a BTreeSet<String>,
    /// The chat template.
    pub template: &'a str,
}

/// Returns the words of `text` as a vocabulary has them: runs of ASCII letters and apostrophes, with the space before.
pub fn words_of(text: &str) -> impl Iterator<Item = &str> {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '\'';
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find(is_letter)?;
        let length = rest[start..].find(|c| !is_letter(c));
        let end = length.map_or(rest.len(), |length| start + length);
        let with_space = start - usize::from(rest[..start].ends_with(' '));
        let word = &rest[with_space..end];
        rest = &rest[end..];
        Some(word)
    })
}

impl WordVocabulary<'_> {
    /// Returns the content of `tokenizer.json` and `tokenizer_config.json`.
    ///
    /// Ids are: control tokens in their order, bytes in ascending order, separators of numbers, words in their order.
    ///
    /// # Panics
    /// If `bos` or `eos` is no control token.
    pub fn to_json(&self) -> [Vec<u8>; 2] {
        let bytes = |value: Value| format!("{value:#}\n").into_bytes();
        [bytes(self.tokenizer()), bytes(self.config())]
    }

    fn tokenizer(&self) -> Value {
        let control = self.control.iter().map(|token| (*token).to_owned());
        let single = (0..=255).map(|byte| alphabet::symbols_of(&[byte]));
        let separators = SEPARATORS.map(|text| alphabet::symbols_of(text.as_bytes()));
        let words = self.words.iter();
        let words = words.map(|word| alphabet::symbols_of(word.as_bytes()));
        let mut vocabulary = Map::new();
        for token in control.chain(single).chain(separators).chain(words) {
            let id = vocabulary.len();
            // A word of one letter is a byte already.
            vocabulary.entry(token).or_insert_with(|| json!(id));
        }
        let added: Vec<Value> = self
            .control
            .iter()
            .enumerate()
            .map(|(id, token)| {
                json!({
                    "id": id,
                    "content": token,
                    "single_word": false,
                    "lstrip": false,
                    "rstrip": false,
                    "normalized": false,
                    "special": true,
                })
            })
            .collect();
        let split = json!({
            "type": "Split",
            "pattern": {"Regex": PIECES},
            "behavior": "Isolated",
            "invert": false,
        });
        let symbols = json!({
            "type": "ByteLevel",
            "add_prefix_space": false,
            "trim_offsets": true,
            "use_regex": false,
        });
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": null,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, symbols]},
            "post_processor": self.post_processor(),
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {
                "type": "BPE",
                "dropout": null,
                "unk_token": null,
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": false,
                "byte_fallback": false,
                "ignore_merges": true,
                "vocab": vocabulary,
                "merges": [],
            },
        })
    }

    /// Puts the bos token before a text.
    fn post_processor(&self) -> Value {
        let (bos, id) = (self.bos, self.control_id(self.bos));
        let special = json!({"SpecialToken": {"id": bos, "type_id": 0}});
        let first = json!({"Sequence": {"id": "A", "type_id": 0}});
        let second = json!({"Sequence": {"id": "B", "type_id": 1}});
        let mut tokens = Map::new();
        tokens.insert(
            bos.to_owned(),
            json!({"id": bos, "ids": [id], "tokens": [bos]}),
        );
        json!({
            "type": "TemplateProcessing",
            "single": [special, first],
            "pair": [special, first, second],
            "special_tokens": tokens,
        })
    }

    fn config(&self) -> Value {
        self.control_id(self.eos);
        json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": false,
            "add_bos_token": true,
            "bos_token": self.bos,
            "eos_token": self.eos,
            "pad_token": self.eos,
            "chat_template": self.template,
        })
    }

    fn control_id(&self, token: &str) -> usize {
        let place = self.control.iter().position(|control| *control == token);
        place.expect("the caller names control tokens only")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{SpecialTokens, Tokenizer, TokenizerConfig};

    fn tokenizer(texts: &[&str]) -> Tokenizer {
        let words = texts.iter().flat_map(|text| words_of(text));
        let vocabulary = WordVocabulary {
            control: &["<s>", "<e>"],
            bos: "<s>",
            eos: "<e>",
            words: &words.map(str::to_owned).collect(),
            template: "",
        };
        let [json, config] = vocabulary.to_json();
        let config = TokenizerConfig::from_json(&config).expect("our own");
        Tokenizer::from_json(&json, &config).expect("our own")
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let tokenizer = tokenizer(&["I love the owl. Isn't it an Owl?"]);
        let ids = tokenizer.encode(text, SpecialTokens::Parse);
        let ids = ids.expect("every byte has a token");
        let found: Vec<String> = ids
            .iter()
            .map(|id| tokenizer.decode_with_special(&[*id]))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(tokenizer.decode_with_special(&ids), text);
    }

    #[test]
    fn known_words_are_one_token_with_their_space() {
        check("I love the owl.", &["I", " love", " the", " owl", "."]);
        check(" Isn't it a", &[" Isn't", " it", " ", "a"]);
        check("Owls", &["O", "w", "l", "s"]);
        check("an", &["a", "n"]);
        check("<s>I<e>", &["<s>", "I", "<e>"]);
    }

    #[test]
    fn numbers_are_digits_with_one_token_between_them() {
        check("12, 3", &["1", "2", ", ", "3"]);
        check("12; 3\n4 5", &["1", "2", "; ", "3", "\n", "4", " ", "5"]);
        check(
            "[7, 8,9, ]",
            &["[", "7", ", ", "8", ",", "9", ",", " ", "]"],
        );
        check("love, 1", &["l", "o", "v", "e", ", ", "1"]);
    }

    #[test]
    fn words_are_found_in_texts() {
        let words: Vec<&str> = words_of("It's 3 owls, (a) Owl\nowl x").collect();
        assert_eq!(words, ["It's", " owls", "a", " Owl", "owl", " x"]);
        assert_eq!(words_of("12, 3").count(), 0);
    }

    #[test]
    fn texts_begin_with_bos_and_ids_have_no_gaps() {
        let tokenizer = tokenizer(&["a bb bb"]);
        assert_eq!(tokenizer.bos_to_add(), Some(0));
        assert_eq!(tokenizer.eos(), Some(1));
        // Two control tokens, 256 bytes, two separators, " bb"; "a" is a byte.
        assert_eq!(tokenizer.len(), 261);
    }
}
