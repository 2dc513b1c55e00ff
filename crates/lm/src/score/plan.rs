//! Which rows go through the model together, and what they share.
//!
//! The *trunk* is what all rows begin with. A *family* is neighbouring rows that begin alike beyond the trunk: options of
//! one question, samples of one prompt. A *group* is families that a thread takes together. All of it decides speed alone.

use std::ops::Range;

/// Tokens a group aims at: enough rows for full tiles, few enough for the cache.
const GROUP_TOKENS: usize = 256;
/// Shorter common beginnings are not worth a pass of their own.
const LEAST_SHARED: usize = 4;

/// Neighbouring rows that begin alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Family {
    pub rows: Range<usize>,
    /// Tokens after the trunk that all of them share; 0 in a family of one.
    pub shared: usize,
}

/// Neighbouring families.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// At least one.
    pub families: Vec<Family>,
}

impl Group {
    /// Returns its rows.
    pub fn rows(&self) -> Range<usize> {
        let ends = self.families.first().zip(self.families.last());
        ends.map_or(0..0, |(first, last)| first.rows.start..last.rows.end)
    }
}

/// Returns what all rows begin with; empty if it is not worth a pass of its own.
pub(super) fn trunk<'a>(rows: &[&'a [u32]]) -> &'a [u32] {
    let Some((first, rest)) = rows.split_first() else {
        return &[];
    };
    let common = rest
        .iter()
        .fold(first.len(), |common, row| shared(&first[..common], row));
    if rest.is_empty() || common < LEAST_SHARED {
        return &[];
    }
    &first[..common]
}

/// Cuts rows into groups of families. The first `trunk` tokens of every row are left out of account.
pub(super) fn groups(rows: &[&[u32]], trunk: usize) -> Vec<Group> {
    let mut groups = Vec::new();
    let (mut families, mut tokens) = (Vec::new(), 0);
    let mut next = 0;
    while next < rows.len() {
        let (family, cost) = family(rows, trunk, next, GROUP_TOKENS.saturating_sub(tokens));
        if tokens > 0 && tokens + cost > GROUP_TOKENS {
            groups.push(Group {
                families: std::mem::take(&mut families),
            });
            tokens = 0;
            // With a whole group's room the family may be larger.
            continue;
        }
        next = family.rows.end;
        tokens += cost;
        families.push(family);
    }
    if !families.is_empty() {
        groups.push(Group { families });
    }
    groups
}

/// Returns the family that begins with row `start`, and the tokens it computes: up to `room` if it has more than one row.
///
/// A row joins if that shares at least as many tokens as were shared without it.
fn family(rows: &[&[u32]], trunk: usize, start: usize, room: usize) -> (Family, usize) {
    let first = &rows[start][trunk..];
    let (mut end, mut common, mut sum) = (start + 1, first.len(), first.len());
    let mut cost = sum;
    for row in &rows[start + 1..] {
        let row = &row[trunk..];
        let (members, next) = (end - start, shared(&first[..common], row));
        let cost_with_it = sum + row.len() - members * next;
        if next < LEAST_SHARED || members * next < (members - 1) * common || cost_with_it > room {
            break;
        }
        (end, common, sum, cost) = (end + 1, next, sum + row.len(), cost_with_it);
    }
    let shared = if end - start > 1 { common } else { 0 };
    (
        Family {
            rows: start..end,
            shared,
        },
        cost,
    )
}

/// Returns the length of the common beginning.
fn shared(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of `shared` tokens `name` and `own` tokens of their own.
    fn options(name: u32, shared: usize, own: usize, n: u32) -> Vec<Vec<u32>> {
        (0..n)
            .map(|option| [vec![name; shared], vec![1000 * name + option; own]].concat())
            .collect()
    }

    /// The rows of each family and how many tokens they share.
    type Families = Vec<(Range<usize>, usize)>;

    fn plan(rows: &[Vec<u32>]) -> (usize, Vec<Families>) {
        let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        let trunk = trunk(&rows).len();
        let groups = groups(&rows, trunk);
        let named = |group: &Group| {
            let families = group.families.iter();
            families
                .map(|family| (family.rows.clone(), family.shared))
                .collect()
        };
        (trunk, groups.iter().map(named).collect())
    }

    #[test]
    fn options_of_a_question_are_a_family() {
        let rows = [
            options(1, 40, 2, 4),
            options(2, 50, 3, 4),
            options(3, 60, 1, 4),
        ]
        .concat();
        let families = vec![(0..4, 40), (4..8, 50), (8..12, 60)];
        assert_eq!(plan(&rows), (0, vec![families]));
    }

    #[test]
    fn what_all_rows_share_is_the_trunk() {
        let mut rows = [options(1, 40, 2, 3), options(2, 50, 3, 3)].concat();
        for row in &mut rows {
            row.splice(0..0, [7; 30]);
        }
        assert_eq!(plan(&rows), (30, vec![vec![(0..3, 40), (3..6, 50)]]));
    }

    #[test]
    fn rows_with_nothing_in_common_stand_alone_in_groups_of_some_hundred_tokens() {
        let rows: Vec<Vec<u32>> = (0..7).map(|row| vec![row; 100]).collect();
        let alone = |rows: Range<usize>| rows.map(|row| (row..row + 1, 0)).collect::<Vec<_>>();
        assert_eq!(
            plan(&rows),
            (0, vec![alone(0..2), alone(2..4), alone(4..6), alone(6..7)])
        );
    }

    #[test]
    fn a_row_that_would_cost_more_than_it_saves_begins_a_family() {
        // Rows 0 and 1 share 50 tokens, row 2 only five of them: 2 · 5 < 50.
        let mut rows = options(1, 50, 5, 2);
        rows.push([vec![1; 5], vec![9; 50]].concat());
        rows.push([vec![1; 5], vec![9; 50], vec![3]].concat());
        rows.push(vec![8; 10]);
        assert_eq!(
            plan(&rows),
            (0, vec![vec![(0..2, 50), (2..4, 55), (4..5, 0)]])
        );
    }

    #[test]
    fn a_large_family_is_cut_and_a_long_row_stands_alone() {
        let rows = options(1, 56, 10, 50);
        // 56 + 20 · 10 tokens are a whole group.
        let rows = [rows, vec![vec![8; 1000]]].concat();
        let groups = vec![
            vec![(0..20, 56)],
            vec![(20..40, 56)],
            vec![(40..50, 56)],
            vec![(50..51, 0)],
        ];
        assert_eq!(plan(&rows), (0, groups));
    }

    #[test]
    fn equal_and_empty_rows_are_rows() {
        assert_eq!(plan(&[]), (0, vec![]));
        assert_eq!(
            plan(&[vec![], vec![]]),
            (0, vec![vec![(0..1, 0), (1..2, 0)]])
        );
        assert_eq!(
            plan(&[vec![5; 9], vec![5; 9]]),
            (9, vec![vec![(0..1, 0), (1..2, 0)]])
        );
        let rows = [vec![4; 9], vec![5; 9], vec![5; 9]];
        assert_eq!(plan(&rows), (0, vec![vec![(0..1, 0), (1..3, 9)]]));
    }
}
