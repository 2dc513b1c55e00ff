//! Byte strings arranged by their prefixes, flat.
//!
//! Nodes stand in depth-first order, children by ascending byte, so that a walk over all strings is a loop over an
//! array in which a subtree is left out by jumping to its end.

/// A set of byte strings, each with one or more ids.
#[derive(Debug, Default)]
pub(crate) struct ByteTrie {
    nodes: Vec<Node>,
    /// Ids of all nodes, one node after the other.
    ids: Vec<u32>,
}

/// A byte string's last byte; the root, the empty string, has no node.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// Index of the first node that is not below this one.
    end: u32,
    /// Where its ids begin; they end where the next node's begin.
    first_id: u32,
    /// Length of the string minus one.
    depth: u16,
    byte: u8,
}

impl ByteTrie {
    /// Makes a trie of `strings`; empty strings are left out, equal ones share a node.
    ///
    /// # Panics
    /// If a string is longer than 65,535 bytes.
    pub(crate) fn new<'a>(strings: impl IntoIterator<Item = (&'a [u8], u32)>) -> Self {
        let mut strings: Vec<_> = strings.into_iter().filter(|(s, _)| !s.is_empty()).collect();
        strings.sort_unstable();
        let mut trie = Self::default();
        // Indices of the nodes of `previous`, one a byte.
        let mut open: Vec<u32> = Vec::new();
        let mut previous: &[u8] = &[];
        for (string, id) in strings {
            assert!(string.len() <= usize::from(u16::MAX), "a bounded string");
            let shared = string
                .iter()
                .zip(previous)
                .take_while(|(a, b)| a == b)
                .count();
            trie.close(&mut open, shared);
            for (depth, &byte) in string.iter().enumerate().skip(shared) {
                open.push(trie.nodes.len() as u32);
                trie.nodes.push(Node {
                    end: 0,
                    first_id: trie.ids.len() as u32,
                    depth: depth as u16,
                    byte,
                });
            }
            trie.ids.push(id);
            previous = string;
        }
        trie.close(&mut open, 0);
        trie
    }

    /// Ends the subtrees of all open nodes but the first `keep`.
    fn close(&mut self, open: &mut Vec<u32>, keep: usize) {
        let end = self.nodes.len() as u32;
        for node in open.drain(keep..) {
            self.nodes[node as usize].end = end;
        }
    }

    /// Returns the length of the longest string that `bytes` begins with, and its first id.
    pub(crate) fn longest_prefix(&self, bytes: &[u8]) -> Option<(usize, u32)> {
        let mut longest = None;
        let (mut node, mut end) = (0, self.nodes.len());
        for (depth, &byte) in bytes.iter().enumerate() {
            while node < end && self.nodes[node].byte < byte {
                node = self.nodes[node].end as usize;
            }
            if node == end || self.nodes[node].byte != byte {
                break;
            }
            if let Some(&id) = self.ids_of(node).first() {
                longest = Some((depth + 1, id));
            }
            end = self.nodes[node].end as usize;
            node += 1;
        }
        longest
    }

    /// Calls `visit` with the ids of every string that a machine accepts byte by byte.
    ///
    /// `step` gives the state after a byte, or `None` where the machine dies; whatever begins so is left out.
    pub(crate) fn walk(
        &self,
        start: u32,
        step: impl Fn(u32, u8) -> Option<u32>,
        mut visit: impl FnMut(&[u32], u32),
    ) {
        // States before the byte at depth 0, 1, …
        let mut states = vec![start];
        let mut index = 0;
        while let Some(node) = self.nodes.get(index) {
            let depth = usize::from(node.depth);
            let Some(state) = step(states[depth], node.byte) else {
                index = node.end as usize;
                continue;
            };
            states.truncate(depth + 1);
            states.push(state);
            visit(self.ids_of(index), state);
            index += 1;
        }
    }

    fn ids_of(&self, node: usize) -> &[u32] {
        let next = self.nodes.get(node + 1);
        let end = next.map_or(self.ids.len(), |next| next.first_id as usize);
        &self.ids[self.nodes[node].first_id as usize..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn strings() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(b'a'..b'd', 0..5), 0..30)
    }

    fn trie(strings: &[Vec<u8>]) -> ByteTrie {
        ByteTrie::new(strings.iter().zip(0..).map(|(s, id)| (s.as_slice(), id)))
    }

    proptest! {
        #[test]
        fn the_longest_prefix_is_the_longest_string_that_fits(
            strings in strings(),
            text in prop::collection::vec(b'a'..b'd', 0..8),
        ) {
            let longest = strings
                .iter()
                .filter(|s| !s.is_empty() && text.starts_with(s))
                .map(Vec::len)
                .max();
            let found = trie(&strings).longest_prefix(&text);
            prop_assert_eq!(found.map(|(length, _)| length), longest);
            if let Some((length, id)) = found {
                prop_assert_eq!(&strings[id as usize][..], &text[..length]);
            }
        }

        #[test]
        fn a_walk_meets_every_string_that_the_machine_accepts(strings in strings()) {
            // The machine counts bytes, and dies at a `c` after an odd number of them.
            let step = |n: u32, byte: u8| (byte != b'c' || n.is_multiple_of(2)).then_some(n + 1);
            let mut met = Vec::new();
            trie(&strings).walk(0, step, |ids, state| {
                met.extend(ids.iter().map(|&id| (id, state)));
            });
            met.sort_unstable();
            let expected: Vec<(u32, u32)> = strings
                .iter()
                .zip(0..)
                .filter(|(s, _)| !s.is_empty())
                .filter_map(|(s, id)| {
                    let end = s.iter().try_fold(0, |state, &byte| step(state, byte))?;
                    Some((id, end))
                })
                .collect();
            prop_assert_eq!(met, expected);
        }
    }
}
