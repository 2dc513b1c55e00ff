//! Grammars over the golden vocabularies: masks against brute force, texts against a regular-expression engine.

use std::collections::HashSet;

use regex_automata::dfa::{Automaton, dense};
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use undertone_lm::grammar::{TokenGrammar, numbers_pattern};
use undertone_lm::tokenizer::{TokenKind, Tokenizer};

use crate::golden::{GGUF_STYLES, Golden};
use crate::support::TestResult;

/// Numbers below a bound from a linear congruential generator.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % bound as u64) as usize
    }
}

/// Tells whether a text is the beginning of a match, by looking ahead for one from where it leads.
struct Judge(dense::DFA<Vec<u32>>);

impl Judge {
    fn new(pattern: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let config = dense::Config::new().match_kind(MatchKind::All);
        Ok(Self(
            dense::Builder::new().configure(config).build(pattern)?,
        ))
    }

    /// Returns whether `text` is the beginning of a match, and whether it is a match.
    fn look_at(&self, text: &[u8]) -> Result<(bool, bool), Box<dyn std::error::Error>> {
        let mut state = self
            .0
            .start_state(&start::Config::new().anchored(Anchored::Yes))?;
        for &byte in text {
            state = self.0.next_state(state, byte);
        }
        let is_match = |state| self.0.is_match_state(self.0.next_eoi_state(state));
        let (mut seen, mut waiting) = (HashSet::from([state]), vec![state]);
        while let Some(ahead) = waiting.pop() {
            if is_match(ahead) {
                return Ok((true, is_match(state)));
            }
            let next = (0..=255).map(|byte| self.0.next_state(ahead, byte));
            waiting.extend(next.filter(|&next| seen.insert(next)));
        }
        Ok((false, false))
    }
}

fn check_against_brute_force(
    style: &str,
    tokenizer: &Tokenizer,
    pattern: &str,
    seed: u64,
) -> TestResult {
    let grammar = TokenGrammar::new(pattern, tokenizer)?;
    let judge = Judge::new(pattern)?;
    let mut draws = Draws(seed);
    let (mut state, mut text) = (grammar.start(), Vec::new());
    loop {
        let (_, is_match) = judge.look_at(&text)?;
        assert_eq!(grammar.is_match(state), is_match);
        let mut expected = Vec::new();
        for id in 0..tokenizer.len() as u32 {
            let bytes = tokenizer.token_bytes(id);
            let is_text = matches!(tokenizer.kind(id), TokenKind::Text | TokenKind::Added);
            let fits = judge.look_at(&[&text[..], bytes].concat())?.0;
            let is_end = tokenizer.end_tokens().contains(&id);
            if is_end && is_match || !is_end && is_text && !bytes.is_empty() && fits {
                expected.push(id);
            }
        }
        assert_eq!(grammar.allowed(state), expected, "{style}: {pattern}");
        let id = expected[draws.below(expected.len())];
        state = grammar.next(state, id).ok_or("an allowed token")?;
        if tokenizer.end_tokens().contains(&id) {
            return Ok(());
        }
        text.extend_from_slice(tokenizer.token_bytes(id));
    }
}

#[test]
fn masks_are_those_of_brute_force_on_every_style() -> TestResult {
    let patterns = [
        numbers_pattern(10..=10, 3, ", "),
        numbers_pattern(1..=4, 2, ","),
        "(?:yes|no|maybe)[.!]?".to_owned(),
        "[A-Z][a-z]{0,9}(?: [a-z]{1,9}){1,3}\\.".to_owned(),
        "\"[é😀ü ]{1,4}\"".to_owned(),
    ];
    for style in GGUF_STYLES {
        let tokenizer = Golden::read(style)?.gguf_tokenizer()?;
        for pattern in &patterns {
            for seed in 0..3 {
                check_against_brute_force(style, &tokenizer, pattern, seed)?;
            }
        }
    }
    Ok(())
}
