//! A deterministic automaton over bytes, in which every state can still reach a match.

use std::collections::{HashMap, VecDeque};

use regex_automata::dfa::{Automaton as _, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::{primitives::StateID, start, syntax};
use regex_automata::{Anchored, MatchKind};

use crate::tokenizer::ByteTrie;

/// Longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 1 << 16;

/// Most memory of the automaton, and of making it.
const MAX_AUTOMATON_BYTES: usize = 1 << 26;

/// A pattern is of no use as a grammar.
#[derive(Debug, thiserror::Error)]
pub enum CompileGrammarError {
    /// The pattern is too long.
    #[error("the pattern has {bytes} bytes, at most {limit} are compiled")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The pattern is no regular expression, or its automaton is too large.
    #[error("the pattern cannot be compiled")]
    Pattern(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No text matches.
    #[error("no text matches the pattern")]
    MatchesNothing,
    /// Texts match, but the vocabulary cannot spell one.
    #[error("no text that the vocabulary can spell matches the pattern")]
    CannotBeSpelled,
}

/// States are numbered as they are met from the start, breadth first.
#[derive(Debug)]
pub(super) struct Automaton {
    /// Class of every byte; bytes of one class do the same everywhere.
    classes: Box<[u8; 256]>,
    n_classes: usize,
    /// `[state, class]`, the state after it or [`DEAD`].
    transitions: Vec<u32>,
    is_match: Vec<bool>,
}

const DEAD: u32 = u32::MAX;

impl Automaton {
    pub(super) const START: u32 = 0;

    pub(super) fn new(pattern: &str) -> Result<Self, CompileGrammarError> {
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(CompileGrammarError::TooLong {
                bytes: pattern.len(),
                limit: MAX_PATTERN_BYTES,
            });
        }
        let dfa = compile(pattern).map_err(|e| CompileGrammarError::Pattern(e.into()))?;
        let start = dfa
            .start_state(&start::Config::new().anchored(Anchored::Yes))
            .map_err(|e| CompileGrammarError::Pattern(e.into()))?;
        let mut automaton = Self::explored(&dfa, start);
        let completes = automaton.completing(|of, from, found| of.successors(from, found));
        if !completes[Self::START as usize] {
            return Err(CompileGrammarError::MatchesNothing);
        }
        automaton.remove_states(&completes);
        Ok(automaton)
    }

    /// Copies the states that can be reached.
    fn explored(dfa: &dense::DFA<Vec<u32>>, start: StateID) -> Self {
        let classes = dfa.byte_classes();
        let representatives: Vec<u8> = classes
            .representatives(0..=255)
            .filter_map(|unit| unit.as_u8())
            .collect();
        let mut class_of = Box::new([0; 256]);
        for byte in 0..=255_u8 {
            class_of[usize::from(byte)] = classes.get(byte);
        }
        let mut automaton = Self {
            classes: class_of,
            n_classes: representatives.len(),
            transitions: Vec::new(),
            is_match: Vec::new(),
        };
        let mut numbers = HashMap::from([(start, Self::START)]);
        let mut waiting = VecDeque::from([start]);
        while let Some(state) = waiting.pop_front() {
            // A state tells of a match one step late: at the end of the text.
            let end = dfa.next_eoi_state(state);
            automaton.is_match.push(dfa.is_match_state(end));
            for &byte in &representatives {
                let next = dfa.next_state(state, byte);
                if dfa.is_dead_state(next) || dfa.is_quit_state(next) {
                    automaton.transitions.push(DEAD);
                    continue;
                }
                let n_states = numbers.len() as u32;
                let number = *numbers.entry(next).or_insert_with(|| {
                    waiting.push_back(next);
                    n_states
                });
                automaton.transitions.push(number);
            }
        }
        automaton
    }

    pub(super) fn len(&self) -> usize {
        self.is_match.len()
    }

    pub(super) fn is_match(&self, state: u32) -> bool {
        self.is_match[state as usize]
    }

    /// Returns the state after `byte`; `None` if no match can be reached from it.
    pub(super) fn step(&self, state: u32, byte: u8) -> Option<u32> {
        let class = usize::from(self.classes[usize::from(byte)]);
        let next = self.transitions[state as usize * self.n_classes + class];
        (next != DEAD).then_some(next)
    }

    /// Whether every byte that leads anywhere is among `bytes`.
    pub(super) fn uses_only(&self, bytes: &[bool; 256]) -> bool {
        let mut used = vec![false; self.n_classes];
        for row in self.transitions.chunks_exact(self.n_classes) {
            for (used, &next) in used.iter_mut().zip(row) {
                *used |= next != DEAD;
            }
        }
        (0..=255_u8).all(|byte| {
            bytes[usize::from(byte)] || !used[usize::from(self.classes[usize::from(byte)])]
        })
    }

    /// Returns for every state whether whole tokens from it can reach a match.
    ///
    /// Costs a walk over the vocabulary for every state.
    pub(super) fn completed_by(&self, tokens: &ByteTrie) -> Vec<bool> {
        self.completing(|of, from, found| {
            tokens.walk(
                from,
                |state, byte| of.step(state, byte),
                |ids, state| {
                    if !ids.is_empty() {
                        found.push(state);
                    }
                },
            );
        })
    }

    /// Adds the states one byte away from `from` to `found`.
    fn successors(&self, from: u32, found: &mut Vec<u32>) {
        let row = from as usize * self.n_classes;
        let row = &self.transitions[row..row + self.n_classes];
        found.extend(row.iter().filter(|&&next| next != DEAD));
    }

    /// Returns for every state whether a match can be reached by the steps that `successors` gives.
    fn completing(&self, successors: impl Fn(&Self, u32, &mut Vec<u32>)) -> Vec<bool> {
        let mut before: Vec<Vec<u32>> = vec![Vec::new(); self.len()];
        let mut next = Vec::new();
        for state in 0..self.len() as u32 {
            next.clear();
            successors(self, state, &mut next);
            next.sort_unstable();
            next.dedup();
            for &next in &next {
                before[next as usize].push(state);
            }
        }
        let mut completes = self.is_match.clone();
        let mut waiting: Vec<u32> = (0..self.len() as u32)
            .filter(|&s| self.is_match(s))
            .collect();
        while let Some(state) = waiting.pop() {
            for &state in &before[state as usize] {
                if !std::mem::replace(&mut completes[state as usize], true) {
                    waiting.push(state);
                }
            }
        }
        completes
    }

    /// Takes out all states but those to `keep`, the start among them.
    fn remove_states(&mut self, keep: &[bool]) {
        let mut numbers = Vec::with_capacity(keep.len());
        let mut n_kept = 0;
        for &keep in keep {
            numbers.push(if keep { n_kept } else { DEAD });
            n_kept += u32::from(keep);
        }
        let rows = self.transitions.chunks_exact(self.n_classes).zip(keep);
        self.transitions = rows
            .filter(|(_, keep)| **keep)
            .flat_map(|(row, _)| row)
            .map(|&next| numbers.get(next as usize).copied().unwrap_or(DEAD))
            .collect();
        let mut kept = keep.iter();
        self.is_match.retain(|_| *kept.next().expect("one a state"));
    }
}

fn compile(pattern: &str) -> Result<dense::DFA<Vec<u32>>, Box<dense::BuildError>> {
    dense::Builder::new()
        .configure(
            dense::Config::new()
                .match_kind(MatchKind::All)
                .start_kind(regex_automata::dfa::StartKind::Anchored)
                .dfa_size_limit(Some(MAX_AUTOMATON_BYTES))
                .determinize_size_limit(Some(MAX_AUTOMATON_BYTES)),
        )
        .thompson(thompson::Config::new().nfa_size_limit(Some(MAX_AUTOMATON_BYTES)))
        .syntax(syntax::Config::new())
        .build(pattern)
        .map_err(Box::new)
}
