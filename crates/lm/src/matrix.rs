//! Matrices of activations: row-major, rows padded to whole lanes.

use undertone_simd::LANE;
#[cfg(test)]
use undertone_simd::to_bf16;

/// Bytes of a cache line: buffers start at one.
const ALIGN: usize = 64;

/// Words on cache lines.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([u32; LANE]);

const _: () = assert!(size_of::<Line>() == ALIGN);

/// A growable buffer of 32-bit words, aligned to cache lines, zero where never written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Words {
    lines: Vec<Line>,
}

#[expect(unsafe_code, reason = "lines seen as words")]
impl Words {
    /// Makes a buffer of `words` zeros.
    pub fn zeros(words: usize) -> Self {
        Self {
            lines: vec![Line([0; LANE]); words.div_ceil(LANE)],
        }
    }

    /// Makes room for `words` words; allocates only if it has to grow.
    pub fn reserve(&mut self, words: usize) {
        let lines = words.div_ceil(LANE);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line([0; LANE]));
        }
    }

    /// Returns the number of words.
    pub fn len(&self) -> usize {
        self.lines.len() * LANE
    }

    /// Returns all words.
    pub fn as_words(&self) -> &[u32] {
        // SAFETY: a line is LANE initialised words, one after the other.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len()) }
    }

    /// Returns all words as numbers.
    pub fn as_floats(&self) -> &[f32] {
        // SAFETY: as `as_words`; every bit pattern is an `f32`.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.len()) }
    }

    /// Returns all words as numbers, for writing.
    pub fn as_floats_mut(&mut self) -> &mut [f32] {
        // SAFETY: as `as_floats`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), self.len()) }
    }

    /// Returns the word at `at`.
    pub fn get(&self, at: usize) -> u32 {
        self.lines[at / LANE].0[at % LANE]
    }

    /// Sets the word at `at`.
    pub fn set(&mut self, at: usize, word: u32) {
        self.lines[at / LANE].0[at % LANE] = word;
    }

    pub fn as_ptr(&self) -> *const f32 {
        self.lines.as_ptr().cast()
    }

    pub fn as_mut_ptr(&mut self) -> *mut f32 {
        self.lines.as_mut_ptr().cast()
    }
}

/// A matrix of `f32`, row-major; a row begins at a cache line and is padded to whole lanes.
///
/// Padding is zero when the matrix is made, and every kernel leaves it finite.
#[derive(Debug, Clone, Default)]
pub(crate) struct Matrix {
    words: Words,
    pub rows: usize,
    pub columns: usize,
    /// Words from one row to the next.
    pub stride: usize,
}

#[expect(
    unsafe_code,
    reason = "words of the buffer seen as f32; every bit pattern is a value of both"
)]
impl Matrix {
    /// Makes a matrix of zeros.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        let mut matrix = Self::default();
        matrix.reshape(rows, columns);
        matrix
    }

    /// Sets the size; what was inside becomes arbitrary (but finite) numbers. Allocates only if it has to grow.
    pub fn reshape(&mut self, rows: usize, columns: usize) {
        self.rows = rows;
        self.columns = columns;
        self.stride = columns.next_multiple_of(LANE);
        self.words.reserve(rows * self.stride);
    }

    /// Sets the size and every value to zero.
    pub fn reset(&mut self, rows: usize, columns: usize) {
        self.reshape(rows, columns);
        self.padded_mut().fill(0.0);
    }

    pub fn as_ptr(&self) -> *const f32 {
        self.words.as_ptr()
    }

    pub fn as_mut_ptr(&mut self) -> *mut f32 {
        self.words.as_mut_ptr()
    }

    /// Returns the values of `row`.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.padded()[row * self.stride..][..self.columns]
    }

    /// Returns the values of `row` for writing.
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        let (stride, columns) = (self.stride, self.columns);
        &mut self.padded_mut()[row * stride..][..columns]
    }

    /// Returns all rows with their padding.
    pub fn padded(&self) -> &[f32] {
        // SAFETY: `reshape` reserved rows × stride initialised words.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.rows * self.stride) }
    }

    /// Returns all rows with their padding for writing.
    pub fn padded_mut(&mut self) -> &mut [f32] {
        // SAFETY: as `padded`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), self.rows * self.stride) }
    }
}

/// The left operand of a product: rows of words, each an `f32` or a pair of neighbouring bf16.
#[derive(Debug, Clone, Default)]
pub(crate) struct Operand {
    words: Words,
    pub rows: usize,
    /// Numbers in a row.
    pub columns: usize,
    /// Words from one row to the next.
    pub stride: usize,
    /// Whether a word is a pair of bf16.
    pub pairs: bool,
}

impl Operand {
    /// Sets size and format; allocates only if it has to grow.
    pub fn reshape(&mut self, rows: usize, columns: usize, pairs: bool) {
        let padded = columns.next_multiple_of(LANE);
        self.rows = rows;
        self.columns = columns;
        self.pairs = pairs;
        self.stride = if pairs { padded / 2 } else { padded };
        self.words.reserve(rows * self.stride);
    }

    pub fn as_ptr(&self) -> *const f32 {
        self.words.as_ptr()
    }

    pub fn as_mut_ptr(&mut self) -> *mut f32 {
        self.words.as_mut_ptr()
    }
}

impl Operand {
    /// Takes the values of `x`, rounded to bf16 where words are pairs.
    #[cfg(test)]
    pub fn load(&mut self, x: &Matrix, pairs: bool) {
        self.reshape(x.rows, x.columns, pairs);
        let (to_stride, from_stride) = (self.stride, x.stride);
        for row in 0..x.rows {
            let from = &x.padded()[row * from_stride..][..from_stride];
            let to = row * to_stride;
            if pairs {
                for (k, pair) in from.chunks_exact(2).enumerate() {
                    let word = u32::from(to_bf16(pair[0])) | u32::from(to_bf16(pair[1])) << 16;
                    self.words.set(to + k, word);
                }
            } else {
                for (k, value) in from.iter().enumerate() {
                    self.words.set(to + k, value.to_bits());
                }
            }
        }
    }

    /// Writes the numbers the operand stands for to `out`.
    pub fn write_to(&self, out: &mut Matrix) {
        out.reshape(self.rows, self.columns);
        let stride = out.stride;
        for (row, to) in out.padded_mut().chunks_exact_mut(stride).enumerate() {
            let from = &self.words.as_words()[row * self.stride..][..self.stride];
            if self.pairs {
                for (to, word) in to.as_chunks_mut::<2>().0.iter_mut().zip(from) {
                    *to = [
                        f32::from_bits(word << 16),
                        f32::from_bits(word & 0xffff_0000),
                    ];
                }
            } else {
                for (to, word) in to.iter_mut().zip(from) {
                    *to = f32::from_bits(*word);
                }
            }
        }
    }
}
