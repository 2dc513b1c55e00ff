//! The grammar against brute force: every token tried in every state, matches judged by a regular-expression engine.

use proptest::prelude::*;
use regex_automata::dfa::{Automaton as _, dense};
use regex_automata::{Anchored, Input, MatchKind};

use super::*;

/// Patterns over `ab,0-9` with the features that matter: choices, repeats, shared prefixes, dead ends.
const PATTERNS: [&str; 9] = [
    "(?:0|[1-9][0-9]?)(?:,(?:0|[1-9][0-9]?)){2}",
    "a|ab|abb",
    "(?:ab)*",
    "",
    "(?:a|b){3}",
    "a+b?,?",
    "[ab]{2,4}0",
    "(?:aa|aab)(?:b|ba)*",
    "[^a]b",
];

/// Whether all of `text` matches, and how it may go on is of no interest.
struct Judge(dense::DFA<Vec<u32>>);

impl Judge {
    fn new(pattern: &str) -> Self {
        let whole = dense::Builder::new()
            .configure(dense::Config::new().match_kind(MatchKind::All))
            .build(&format!("^(?:{pattern})$"));
        Self(whole.expect("a valid pattern"))
    }

    fn matches(&self, text: &[u8]) -> bool {
        let input = Input::new(text).anchored(Anchored::Yes);
        let found = self.0.try_search_fwd(&input);
        found.expect("no byte that it gives up at").is_some()
    }
}

/// Whether some sequence of at most `depth` tokens after `text` gives a match.
fn can_match(judge: &Judge, tokens: &[Vec<u8>], text: &mut Vec<u8>, depth: usize) -> bool {
    if judge.matches(text) {
        return true;
    }
    depth > 0
        && tokens.iter().any(|token| {
            let length = text.len();
            text.extend_from_slice(token);
            let matches = can_match(judge, tokens, text, depth - 1);
            text.truncate(length);
            matches
        })
}

fn grammar(
    pattern: &str,
    tokens: &[Vec<u8>],
    ends: &[u32],
) -> Result<TokenGrammar, CompileGrammarError> {
    let tokens: Vec<(u32, &[u8])> = (0..)
        .zip(tokens)
        .map(|(id, t)| (id, t.as_slice()))
        .collect();
    TokenGrammar::from_tokens(pattern, &tokens, ends)
}

const END: u32 = 100;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_token_is_allowed_if_and_only_if_a_match_is_still_in_reach(
        pattern in prop::sample::select(&PATTERNS),
        tokens in prop::collection::vec("[ab,0-9]{1,3}".prop_map(String::into_bytes), 1..6),
        choices in prop::collection::vec(0..99_usize, 0..6),
    ) {
        let judge = Judge::new(pattern);
        // No pattern of the list needs more tokens than this from anywhere.
        let depth = 6;
        let grammar = match grammar(pattern, &tokens, &[END]) {
            Ok(grammar) => grammar,
            Err(CompileGrammarError::CannotBeSpelled) => {
                prop_assert!(!can_match(&judge, &tokens, &mut Vec::new(), depth));
                return Ok(());
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        let (mut state, mut text) = (grammar.start(), Vec::new());
        for choice in choices {
            prop_assert_eq!(grammar.is_match(state), judge.matches(&text));
            let mut expected = Vec::new();
            for (id, token) in (0..).zip(&tokens) {
                let length = text.len();
                text.extend_from_slice(token);
                if can_match(&judge, &tokens, &mut text, depth) {
                    expected.push(id);
                }
                text.truncate(length);
            }
            expected.extend(judge.matches(&text).then_some(END));
            prop_assert_eq!(grammar.allowed(state), &expected[..]);
            for id in (0..tokens.len() as u32).chain([END]) {
                prop_assert_eq!(grammar.next(state, id).is_some(), expected.contains(&id));
            }
            let text_tokens: Vec<u32> = expected.into_iter().filter(|&id| id != END).collect();
            if text_tokens.is_empty() {
                break;
            }
            let id = text_tokens[choice % text_tokens.len()];
            text.extend_from_slice(&tokens[id as usize]);
            state = grammar.next(state, id).expect("an allowed token");
        }
    }

    #[test]
    fn whatever_the_masks_produce_matches(
        pattern in prop::sample::select(&PATTERNS),
        choices in prop::collection::vec(0..99_usize, 40),
    ) {
        let mut tokens: Vec<Vec<u8>> = (0..=127).map(|byte| vec![byte]).collect();
        tokens.extend(["ab", "b,", ",1", "12,", "aab", "0,0"].map(|t| t.as_bytes().to_vec()));
        let end = tokens.len() as u32;
        let grammar = grammar(pattern, &tokens, &[end]).expect("every byte is a token");
        let (mut state, mut text) = (grammar.start(), Vec::new());
        for choice in choices {
            let allowed = grammar.allowed(state);
            prop_assert!(!allowed.is_empty());
            let id = allowed[choice % allowed.len()];
            if id == end {
                prop_assert!(Judge::new(pattern).matches(&text));
                return Ok(());
            }
            text.extend_from_slice(&tokens[id as usize]);
            state = grammar.next(state, id).expect("an allowed token");
        }
    }
}

#[test]
fn a_token_may_straddle_parts_of_the_pattern() {
    let tokens = ["1", "2", ",", "2,3", "1,", "3", ",,"].map(|t| t.as_bytes().to_vec());
    let grammar = grammar("[0-9]{2},[0-9]", &tokens, &[END]).expect("it can be spelled");
    let start = grammar.start();
    assert_eq!(grammar.allowed(start), [0, 1, 5]);
    let after_digit = grammar.next(start, 0).expect("a digit is allowed");
    assert_eq!(grammar.allowed(after_digit), [0, 1, 3, 4, 5]);
    let done = grammar.next(after_digit, 3).expect("`2,3` is allowed");
    assert!(grammar.is_match(done));
    assert_eq!(grammar.allowed(done), [END]);
    assert_eq!(grammar.next(done, END), Some(GrammarState::END));
    assert_eq!(grammar.allowed(GrammarState::END), [END]);
    assert_eq!(grammar.next(GrammarState::END, 0), None);
}

#[test]
fn a_token_that_leads_to_what_no_token_completes_is_not_allowed() {
    // After `a`, only a `b` would do, and there is none.
    let tokens = ["a", "c"].map(|t| t.as_bytes().to_vec());
    let grammar = grammar("ab|ac|c", &tokens, &[]).expect("`ac` and `c` can be spelled");
    assert_eq!(grammar.allowed(grammar.start()), [0, 1]);
    let done = grammar.next(grammar.start(), 1).expect("`c` is allowed");
    assert!(grammar.allowed(done).is_empty());
    let none = super::tests::grammar("b|ad", &tokens, &[]);
    assert!(matches!(none, Err(CompileGrammarError::CannotBeSpelled)));
}

#[test]
fn characters_of_several_bytes_may_be_spread_over_tokens() {
    let tokens = vec![vec![0xc3], vec![0xa9], vec![0xa8], vec![b'e']];
    let grammar = grammar("é|e", &tokens, &[]).expect("both can be spelled");
    assert_eq!(grammar.allowed(grammar.start()), [0, 3]);
    let half = grammar.next(grammar.start(), 0).expect("half of an é");
    assert_eq!(grammar.allowed(half), [1]);
    assert!(!grammar.is_match(half));
}

#[test]
fn patterns_of_no_use_are_refused() {
    let tokens = [b"a".to_vec()];
    let of = |pattern: &str| super::tests::grammar(pattern, &tokens, &[]);
    assert!(matches!(of("("), Err(CompileGrammarError::Pattern(_))));
    let huge = of("[ab]*a[ab]{40}");
    assert!(matches!(huge, Err(CompileGrammarError::Pattern(_))));
    assert!(matches!(
        of("(?:(?:a{1000}){1000}){1000}"),
        Err(CompileGrammarError::Pattern(_))
    ));
    assert!(matches!(
        of("[^\\x00-\\x{10ffff}]"),
        Err(CompileGrammarError::MatchesNothing)
    ));
    let long = "a".repeat(MAX_PATTERN_BYTES + 1);
    assert!(matches!(
        of(&long),
        Err(CompileGrammarError::TooLong { .. })
    ));
    assert!(of(&"(".repeat(MAX_PATTERN_BYTES)).is_err());
}

#[test]
fn states_with_the_same_tokens_share_a_list() {
    let tokens = [b"a".to_vec(), b"b".to_vec()];
    let grammar = grammar("[ab]{0,100}", &tokens, &[END]).expect("it can be spelled");
    let mut state = grammar.start();
    for _ in 0..100 {
        assert_eq!(grammar.allowed(state), [0, 1, END]);
        state = grammar.next(state, 1).expect("`b` is allowed");
    }
    assert_eq!(grammar.allowed(state), [END]);
    assert_eq!(grammar.lists.lock().expect("not poisoned").len(), 2);
}

#[test]
fn number_lists_have_no_leading_zeros_and_the_right_length() {
    let ten = numbers_pattern(10..=10, 3, ", ");
    let judge = Judge::new(&ten);
    assert!(judge.matches(b"0, 1, 22, 333, 999, 100, 5, 6, 7, 80"));
    for wrong in [
        "0, 1, 22, 333, 999, 100, 5, 6, 7",
        "0, 1, 22, 333, 999, 100, 5, 6, 7, 8, 9",
        "0, 01, 22, 333, 999, 100, 5, 6, 7, 8",
        "0, 1000, 22, 333, 999, 100, 5, 6, 7, 8",
        "0,1,22,333,999,100,5,6,7,8",
        "",
    ] {
        assert!(!judge.matches(wrong.as_bytes()), "{wrong}");
    }
    let judge = Judge::new(&numbers_pattern(1..=3, 2, "*+"));
    assert!(judge.matches(b"7") && judge.matches(b"7*+10*+99"));
    assert!(!judge.matches(b"7**10") && !judge.matches(b"1*+2*+3*+4"));
}
