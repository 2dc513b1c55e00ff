//! Constrained decoding: which tokens may come next, so that the text matches a regular expression.
//!
//! A [`TokenGrammar`] walks the bytes of every token through the expression's automaton (`automaton`). It makes no
//! difference where tokens end: one may begin in the middle of a number and end behind the next comma. A token is
//! allowed if some tokens after it complete a match; what is allowed in a state is found out when first asked, then
//! kept.
//!
//! ```
//! # use undertone_lm::grammar::numbers_pattern;
//! assert_eq!(numbers_pattern(2..=2, 1, ", "), r"(?:[0-9])(?:\, (?:[0-9])){1}");
//! ```

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

mod automaton;
mod numbers;

pub use automaton::{CompileGrammarError, MAX_PATTERN_BYTES};
pub use numbers::numbers_pattern;

use crate::tokenizer::{ByteTrie, TokenKind, Tokenizer};
use automaton::Automaton;

/// A place in a grammar: what all texts with the same possible continuations have in common.
///
/// States of one grammar mean nothing to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrammarState(u32);

impl GrammarState {
    /// After an end token: nothing but more end tokens may follow.
    pub const END: Self = Self(u32::MAX);
}

/// A regular expression, as the tokens of one vocabulary can spell it.
#[derive(Debug)]
pub struct TokenGrammar {
    automaton: Automaton,
    tokens: ByteTrie,
    /// Bytes of the tokens that may be part of a match, one after the other.
    bytes: Vec<u8>,
    /// Where a token's bytes are, by id; nowhere for others.
    spans: Vec<Range<u32>>,
    /// Ascending.
    ends: Box<[u32]>,
    /// Whether tokens after a state can complete a match, by state.
    completes: Vec<bool>,
    /// By state; filled when asked for.
    allowed: Vec<OnceLock<Arc<[u32]>>>,
    /// The lists in `allowed`: many states share one.
    lists: Mutex<HashSet<Arc<[u32]>>>,
}

impl TokenGrammar {
    /// Compiles `pattern` for the tokens of `tokenizer`.
    ///
    /// The whole text has to match, as if the pattern stood between `^` and `$`. The syntax is that of the crate `regex`;
    /// note that `\d` is every Unicode digit and `.` no newline. Control tokens are never part of a match.
    ///
    /// # Errors
    /// [`CompileGrammarError`] if the pattern is no regular expression, is too large, or matches nothing that the tokens
    /// can spell.
    pub fn new(pattern: &str, tokenizer: &Tokenizer) -> Result<Self, CompileGrammarError> {
        let tokens: Vec<(u32, &[u8])> = (0..tokenizer.len() as u32)
            .filter(|&id| matches!(tokenizer.kind(id), TokenKind::Text | TokenKind::Added))
            .filter(|id| !tokenizer.end_tokens().contains(id))
            .map(|id| (id, tokenizer.token_bytes(id)))
            .collect();
        Self::from_tokens(pattern, &tokens, tokenizer.end_tokens())
    }

    /// Compiles `pattern` for `tokens`, ids and bytes, of which a text ends with any of `ends`, sorted.
    pub(crate) fn from_tokens(
        pattern: &str,
        tokens: &[(u32, &[u8])],
        ends: &[u32],
    ) -> Result<Self, CompileGrammarError> {
        let automaton = Automaton::new(pattern)?;
        let trie = ByteTrie::new(tokens.iter().map(|&(id, bytes)| (bytes, id)));
        let mut single_bytes = [false; 256];
        for (_, bytes) in tokens {
            if let [byte] = bytes {
                single_bytes[usize::from(*byte)] = true;
            }
        }
        // Where every byte is a token, what bytes can complete, tokens can.
        let completes = if automaton.uses_only(&single_bytes) {
            vec![true; automaton.len()]
        } else {
            automaton.completed_by(&trie)
        };
        if !completes[Automaton::START as usize] {
            return Err(CompileGrammarError::CannotBeSpelled);
        }
        let size = tokens.iter().map(|&(id, _)| id as usize + 1).max();
        let mut spans = vec![0..0; size.unwrap_or(0)];
        let mut bytes = Vec::new();
        for &(id, token) in tokens {
            let start = bytes.len() as u32;
            bytes.extend_from_slice(token);
            spans[id as usize] = start..bytes.len() as u32;
        }
        Ok(Self {
            allowed: (0..automaton.len()).map(|_| OnceLock::new()).collect(),
            automaton,
            tokens: trie,
            bytes,
            spans,
            completes,
            ends: ends.into(),
            lists: Mutex::default(),
        })
    }

    /// Returns the state before the first token.
    pub fn start(&self) -> GrammarState {
        GrammarState(Automaton::START)
    }

    /// Whether the text that led to `state` matches, so that it may end here.
    pub fn is_match(&self, state: GrammarState) -> bool {
        state == GrammarState::END || self.automaton.is_match(state.0)
    }

    /// Returns the tokens that may come next, in ascending order.
    ///
    /// End tokens are among them if and only if the text matches. Empty only where it matches, nothing can be added, and
    /// there are no end tokens. The first call for a state looks at the vocabulary, later ones cost nothing.
    ///
    /// # Panics
    /// If `state` is another grammar's.
    pub fn allowed(&self, state: GrammarState) -> &[u32] {
        if state == GrammarState::END {
            return &self.ends;
        }
        self.allowed[state.0 as usize].get_or_init(|| {
            let list = self.compute_allowed(state);
            let mut lists = self.lists.lock().expect("no panic while it is held");
            match lists.get(&*list) {
                Some(list) => Arc::clone(list),
                None => {
                    let list: Arc<[u32]> = list.into();
                    lists.insert(Arc::clone(&list));
                    list
                }
            }
        })
    }

    fn compute_allowed(&self, state: GrammarState) -> Vec<u32> {
        let mut ids = Vec::new();
        let step = |state, byte| self.automaton.step(state, byte);
        self.tokens.walk(state.0, step, |of_node, state| {
            if self.completes[state as usize] {
                ids.extend_from_slice(of_node);
            }
        });
        if self.is_match(state) {
            ids.extend_from_slice(&self.ends);
        }
        ids.sort_unstable();
        ids
    }

    /// Returns the state after `token`; `None` if it is not allowed.
    pub fn next(&self, state: GrammarState, token: u32) -> Option<GrammarState> {
        if self.ends.binary_search(&token).is_ok() {
            return self.is_match(state).then_some(GrammarState::END);
        }
        let span = self.spans.get(token as usize).filter(|s| !s.is_empty())?;
        if state == GrammarState::END {
            return None;
        }
        let bytes = &self.bytes[span.start as usize..span.end as usize];
        let step = |state, &byte| self.automaton.step(state, byte);
        let next = bytes.iter().try_fold(state.0, step)?;
        self.completes[next as usize].then_some(GrammarState(next))
    }
}

#[cfg(test)]
mod tests;
