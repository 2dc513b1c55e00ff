//! Merges the characters of a piece into tokens.
//!
//! One algorithm, two rules. Beginning with single characters, the two neighbours whose merge ranks first become one; of
//! equal ranks the leftmost. Byte-pair encoding ranks pairs of tokens by their place in a list; SentencePiece ranks the
//! text that comes out by its score. Candidates wait in a heap, so that a piece of n characters takes n log n.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::alphabet;
use super::error::EncodeError;

/// What may be merged, and which merge comes first.
#[derive(Debug)]
pub(super) enum Rule {
    /// Pairs of ids, to rank and id of the merged token.
    Pairs(HashMap<(u32, u32), (u32, u32)>),
    /// Texts of tokens, to rank and id.
    Pieces(HashMap<String, (u32, u32)>),
}

/// The vocabulary as merging sees it.
#[derive(Debug)]
pub(super) struct Model {
    /// Tokens of one character.
    pub(super) characters: HashMap<char, u32>,
    /// Tokens for the bytes of characters that have none; unused if `byte_level`.
    pub(super) bytes: Box<[Option<u32>; 256]>,
    /// Whether characters are symbols of the byte-level alphabet.
    pub(super) byte_level: bool,
    /// Pieces that are tokens as they stand, whatever merging would give.
    pub(super) whole: HashMap<String, u32>,
    pub(super) rule: Rule,
}

/// Memory that pieces use one after the other.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    symbols: Vec<Symbol>,
    heap: BinaryHeap<Reverse<Candidate>>,
}

/// A stretch of the piece; empty once it was merged into the one before.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    /// [`NO_TOKEN`] where the text is not in the vocabulary.
    id: u32,
    start: u32,
    end: u32,
    /// Index of the neighbour, or [`NO_NEIGHBOUR`].
    previous: u32,
    next: u32,
}

/// Two neighbours that may be merged; ordered as merges are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u32,
    left: u32,
    right: u32,
    /// Where the merged text ends: neighbours only grow, so that an outdated candidate shows by it.
    end: u32,
    id: u32,
}

const NO_TOKEN: u32 = u32::MAX;
const NO_NEIGHBOUR: u32 = u32::MAX;

impl Model {
    /// Appends the tokens of `piece`.
    pub(super) fn encode(
        &self,
        piece: &str,
        scratch: &mut Scratch,
        ids: &mut Vec<u32>,
    ) -> Result<(), EncodeError> {
        if let Some(&id) = self.whole.get(piece) {
            ids.push(id);
            return Ok(());
        }
        self.begin(piece, scratch);
        self.merge(piece, scratch);
        // The first symbol is never merged into another.
        let mut index = 0;
        while let Some(symbol) = scratch.symbols.get(index as usize) {
            if symbol.id == NO_TOKEN {
                self.spell(&piece[symbol.start as usize..symbol.end as usize], ids)?;
            } else {
                ids.push(symbol.id);
            }
            index = symbol.next;
        }
        Ok(())
    }

    /// Makes a symbol of every character and a candidate of every two.
    fn begin(&self, piece: &str, scratch: &mut Scratch) {
        scratch.heap.clear();
        let symbols = &mut scratch.symbols;
        symbols.clear();
        symbols.extend(
            piece
                .char_indices()
                .zip(0..)
                .map(|((start, c), index)| Symbol {
                    id: self.characters.get(&c).copied().unwrap_or(NO_TOKEN),
                    start: start as u32,
                    end: (start + c.len_utf8()) as u32,
                    previous: if index == 0 { NO_NEIGHBOUR } else { index - 1 },
                    next: index + 1,
                }),
        );
        if let Some(last) = symbols.last_mut() {
            last.next = NO_NEIGHBOUR;
        }
        for left in 1..symbols.len() as u32 {
            self.propose(piece, scratch, left - 1, left);
        }
    }

    fn merge(&self, piece: &str, scratch: &mut Scratch) {
        while let Some(Reverse(best)) = scratch.heap.pop() {
            let left = scratch.symbols[best.left as usize];
            let right = scratch.symbols[best.right as usize];
            if left.next != best.right || right.end != best.end || left.start == left.end {
                continue;
            }
            scratch.symbols[best.left as usize] = Symbol {
                id: best.id,
                end: right.end,
                next: right.next,
                ..left
            };
            // Emptied, so that candidates with it at their left are seen to be outdated.
            scratch.symbols[best.right as usize].start = right.end;
            if let Some(next) = scratch.symbols.get_mut(right.next as usize) {
                next.previous = best.left;
                self.propose(piece, scratch, best.left, right.next);
            }
            if left.previous != NO_NEIGHBOUR {
                self.propose(piece, scratch, left.previous, best.left);
            }
        }
    }

    /// Adds the merge of two neighbours to the heap, if there is one.
    fn propose(&self, piece: &str, scratch: &mut Scratch, left: u32, right: u32) {
        let (a, b) = (
            scratch.symbols[left as usize],
            scratch.symbols[right as usize],
        );
        let found = match &self.rule {
            Rule::Pairs(pairs) => pairs.get(&(a.id, b.id)),
            Rule::Pieces(pieces) => pieces.get(&piece[a.start as usize..b.end as usize]),
        };
        if let Some(&(rank, id)) = found {
            scratch.heap.push(Reverse(Candidate {
                rank,
                left,
                right,
                end: b.end,
                id,
            }));
        }
    }

    /// Appends the byte tokens of a text that is no token.
    fn spell(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), EncodeError> {
        if self.byte_level {
            let byte = text.chars().find_map(alphabet::byte_of).unwrap_or(b'?');
            return Err(EncodeError::NoToken { byte });
        }
        for &byte in text.as_bytes() {
            let id = self.bytes[usize::from(byte)].ok_or(EncodeError::NoToken { byte })?;
            ids.push(id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition: look for the best pair, merge it, look again.
    fn merged_slowly(pairs: &HashMap<(u32, u32), (u32, u32)>, ids: &[u32]) -> Vec<u32> {
        let mut ids = ids.to_vec();
        loop {
            let best = ids
                .windows(2)
                .enumerate()
                .filter_map(|(at, pair)| {
                    let &(rank, id) = pairs.get(&(pair[0], pair[1]))?;
                    Some((rank, at, id))
                })
                .min();
            let Some((_, at, id)) = best else {
                return ids;
            };
            ids.splice(at..at + 2, [id]);
        }
    }

    /// A model over `abc` with the merges that `choices` make of earlier tokens, and the tokens' texts.
    fn model(choices: &[(usize, usize)]) -> (Model, Vec<String>) {
        let mut texts: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        let mut pairs = HashMap::new();
        for (&(left, right), rank) in choices.iter().zip(0..) {
            let (left, right) = (left % texts.len(), right % texts.len());
            let text = format!("{}{}", texts[left], texts[right]);
            let id = texts.iter().position(|t| *t == text).unwrap_or_else(|| {
                texts.push(text);
                texts.len() - 1
            });
            pairs
                .entry((left as u32, right as u32))
                .or_insert((rank, id as u32));
        }
        let model = Model {
            characters: [('a', 0), ('b', 1), ('c', 2)].into(),
            bytes: Box::new([None; 256]),
            byte_level: false,
            whole: HashMap::new(),
            rule: Rule::Pairs(pairs),
        };
        (model, texts)
    }

    fn encode(model: &Model, piece: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        let encoded = model.encode(piece, &mut Scratch::default(), &mut ids);
        encoded.expect("characters the model has");
        ids
    }

    proptest! {
        #[test]
        fn the_heap_merges_as_the_definition_does(
            choices in prop::collection::vec((0..99_usize, 0..99_usize), 0..12),
            piece in "[abc]{0,20}",
        ) {
            let (model, texts) = model(&choices);
            let characters: Vec<u32> = piece.bytes().map(|b| u32::from(b - b'a')).collect();
            let Rule::Pairs(pairs) = &model.rule else { unreachable!("a model of pairs") };
            let ids = encode(&model, &piece);
            prop_assert_eq!(&ids, &merged_slowly(pairs, &characters));
            let text: String = ids.iter().map(|&id| texts[id as usize].as_str()).collect();
            prop_assert_eq!(text, piece);
        }
    }

    #[test]
    fn the_best_score_wins_then_the_leftmost() {
        let pieces = [("a", 9), ("aa", 1), ("aaa", 0)];
        let model = Model {
            characters: [('a', 0)].into(),
            bytes: Box::new([None; 256]),
            byte_level: false,
            whole: HashMap::new(),
            rule: Rule::Pieces(
                pieces
                    .iter()
                    .zip(0..)
                    .map(|(&(text, rank), id)| (text.to_owned(), (rank, id)))
                    .collect(),
            ),
        };
        assert_eq!(encode(&model, "aaaa"), [2, 0]);
        assert_eq!(encode(&model, "aaaaaa"), [2, 2]);
    }

    #[test]
    fn characters_without_a_token_are_spelled_in_bytes_or_refused() {
        let mut bytes = Box::new([None; 256]);
        bytes[0xc3] = Some(7);
        bytes[0xa9] = Some(8);
        let mut model = Model {
            bytes,
            ..model(&[]).0
        };
        assert_eq!(encode(&model, "aéb"), [0, 7, 8, 1]);
        let mut ids = Vec::new();
        let error = model.encode("è", &mut Scratch::default(), &mut ids);
        assert!(matches!(error, Err(EncodeError::NoToken { byte: 0xa8 })));
        model.byte_level = true;
        let error = model.encode("Ġ", &mut Scratch::default(), &mut ids);
        assert!(matches!(error, Err(EncodeError::NoToken { byte: b' ' })));
    }
}
