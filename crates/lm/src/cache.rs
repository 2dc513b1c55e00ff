//! Keys and values of the tokens a sequence has already passed through the model.
//!
//! Kept as the attention kernel reads them: keys as panels of 16 positions, one lane of 16 positions for each feature;
//! values row by row, padded to whole lanes. Places that were never filled hold zeros, and nothing reads them for a result.

use std::ops::Range;

use undertone_simd::LANE;

use crate::config::ModelConfig;
use crate::matrix::{Matrix, Words};

/// Keys and values of one sequence in one layer.
#[derive(Debug, Clone, Default)]
pub(crate) struct LayerKv {
    /// By key head.
    heads: Vec<HeadKv>,
    head_width: usize,
    len: usize,
}

/// Keys and values of one head.
#[derive(Debug, Clone, Default)]
struct HeadKv {
    /// `[position / 16][feature][position % 16]`
    keys: Words,
    /// `[position][feature]`, rows padded to whole lanes.
    values: Words,
}

impl LayerKv {
    /// Makes an empty cache.
    pub fn new(kv_heads: usize, head_width: usize) -> Self {
        Self {
            heads: vec![HeadKv::default(); kv_heads],
            head_width,
            len: 0,
        }
    }

    /// Returns the number of positions.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the number of key heads.
    pub fn kv_heads(&self) -> usize {
        self.heads.len()
    }

    /// Returns the width of a head.
    pub fn head_width(&self) -> usize {
        self.head_width
    }

    /// Returns the words from one value to the next.
    pub fn value_stride(&self) -> usize {
        self.head_width.next_multiple_of(LANE)
    }

    /// Returns a head's keys: `[panel][feature][16 positions]`, whole panels.
    pub fn keys(&self, head: usize) -> &[f32] {
        let panels = self.len.div_ceil(LANE);
        &self.heads[head].keys.as_floats()[..panels * LANE * self.head_width]
    }

    /// Returns a head's values: `[position][value_stride]`.
    pub fn values(&self, head: usize) -> &[f32] {
        &self.heads[head].values.as_floats()[..self.len * self.value_stride()]
    }

    /// Appends rows `rows` of `k` and `v`. Takes amortised constant time a position.
    ///
    /// # Shapes
    /// - `k` (already turned), `v`: `[R, kv_heads · head_width]`
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn append(&mut self, k: &Matrix, v: &Matrix, rows: Range<usize>) {
        let (width, stride, first) = (self.head_width, self.value_stride(), self.len);
        let columns = self.heads.len() * width;
        assert!(k.columns == columns && v.columns == columns, "all heads");
        let len = first + rows.len();
        for (head, kv) in self.heads.iter_mut().enumerate() {
            let part = head * width..(head + 1) * width;
            kv.keys.reserve(len.div_ceil(LANE) * LANE * width);
            kv.values.reserve(len * stride);
            let (keys, values) = (kv.keys.as_floats_mut(), kv.values.as_floats_mut());
            for (row, position) in rows.clone().zip(first..) {
                let panel = &mut keys[position / LANE * LANE * width..][..LANE * width];
                let key = &k.row(row)[part.clone()];
                for (lane, &key) in panel.as_chunks_mut::<LANE>().0.iter_mut().zip(key) {
                    lane[position % LANE] = key;
                }
                values[position * stride..][..width].copy_from_slice(&v.row(row)[part.clone()]);
            }
        }
        self.len = len;
    }

    /// Forgets all but the first `len` positions; keeps the memory.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Becomes a copy of the first `len` positions of `other`; keeps its memory.
    ///
    /// # Panics
    /// If `other` has fewer, or is of another shape.
    pub fn copy_from(&mut self, other: &Self, len: usize) {
        assert!(len <= other.len, "positions of the other cache");
        assert!(
            self.heads.len() == other.heads.len() && self.head_width == other.head_width,
            "caches of one model"
        );
        let keys = len.div_ceil(LANE) * LANE * self.head_width;
        let values = len * self.value_stride();
        for (to, from) in self.heads.iter_mut().zip(&other.heads) {
            copy(&mut to.keys, &from.keys, keys);
            copy(&mut to.values, &from.values, values);
        }
        self.len = len;
    }
}

fn copy(to: &mut Words, from: &Words, words: usize) {
    to.reserve(words);
    to.as_floats_mut()[..words].copy_from_slice(&from.as_floats()[..words]);
}

/// Keys and values of one sequence in all layers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cache {
    pub layers: Vec<LayerKv>,
}

impl Cache {
    /// Makes an empty cache for a model.
    pub fn new(config: &ModelConfig) -> Self {
        Self {
            layers: vec![LayerKv::new(config.kv_heads, config.head_width); config.layers],
        }
    }

    /// Returns the number of positions that passed all layers.
    pub fn len(&self) -> usize {
        self.layers.last().map_or(0, LayerKv::len)
    }

    /// Becomes a copy of the first `len` positions of `other`; keeps its memory.
    ///
    /// # Panics
    /// If `other` has fewer, or is another model's.
    pub fn copy_from(&mut self, other: &Self, len: usize) {
        assert_eq!(self.layers.len(), other.layers.len(), "caches of one model");
        for (to, from) in self.layers.iter_mut().zip(&other.layers) {
            to.copy_from(from, len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KV_HEADS: usize = 3;
    const WIDTH: usize = 6;

    /// Row r, column c holds 100 r + c, keys positive and values negative.
    fn rows(n: usize) -> (Matrix, Matrix) {
        let mut k = Matrix::zeros(n, KV_HEADS * WIDTH);
        let mut v = k.clone();
        for row in 0..n {
            for column in 0..KV_HEADS * WIDTH {
                let value = (100 * row + column + 1) as f32;
                k.row_mut(row)[column] = value;
                v.row_mut(row)[column] = -value;
            }
        }
        (k, v)
    }

    /// Checks that position p holds row `row_of(p)`.
    #[track_caller]
    fn check(cache: &LayerKv, len: usize, row_of: impl Fn(usize) -> usize) {
        assert_eq!(cache.len(), len);
        for head in 0..KV_HEADS {
            for position in 0..len {
                for feature in 0..WIDTH {
                    let value = (100 * row_of(position) + head * WIDTH + feature + 1) as f32;
                    let panel = position / LANE * WIDTH + feature;
                    assert_eq!(cache.keys(head)[panel * LANE + position % LANE], value);
                    assert_eq!(cache.values(head)[position * LANE + feature], -value);
                }
            }
        }
    }

    #[test]
    fn positions_stand_in_panels_however_they_are_appended() {
        let (k, v) = rows(41);
        let mut at_once = LayerKv::new(KV_HEADS, WIDTH);
        at_once.append(&k, &v, 1..41);
        check(&at_once, 40, |position| position + 1);
        let mut one_by_one = LayerKv::new(KV_HEADS, WIDTH);
        for row in 1..41 {
            one_by_one.append(&k, &v, row..row + 1);
        }
        check(&one_by_one, 40, |position| position + 1);
    }

    #[test]
    fn a_shorter_cache_goes_on_from_where_it_was_cut() {
        let (k, v) = rows(41);
        let mut cache = LayerKv::new(KV_HEADS, WIDTH);
        cache.append(&k, &v, 0..41);
        cache.truncate(50);
        check(&cache, 41, |position| position);
        cache.truncate(19);
        cache.append(&k, &v, 30..35);
        check(&cache, 24, |position| {
            if position < 19 {
                position
            } else {
                position + 11
            }
        });
    }

    #[test]
    fn a_copy_of_a_prefix_is_independent_of_its_source() {
        let (k, v) = rows(41);
        let mut source = LayerKv::new(KV_HEADS, WIDTH);
        source.append(&k, &v, 0..41);
        let mut copy = LayerKv::new(KV_HEADS, WIDTH);
        copy.append(&k, &v, 3..9);
        copy.copy_from(&source, 21);
        source.truncate(0);
        source.append(&k, &v, 5..35);
        check(&copy, 21, |position| position);
        copy.append(&k, &v, 0..3);
        check(&copy, 24, |position| position % 21);
    }
}
