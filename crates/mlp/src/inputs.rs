//! Where a batch's input rows come from: stored bytes, noise made again on demand, or plain numbers.

use undertone_core::Seed;
use undertone_simd::Plain;

use super::InstructionSet;
use super::kernel::pack;
use super::lane::{LANE, Lane, Panels};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The distribution of noise images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NoiseLaw {
    /// Uniform on (-1, 1): the midpoints of 65,536 equal steps, so every draw is exact in `f32`.
    Uniform,
    /// Standard normal.
    Gaussian,
}

/// The rows a batch is gathered from.
#[derive(Debug, Clone, Copy)]
pub enum Inputs<'a> {
    /// Stored images, mapped from 0..=`max` to [-1, 1].
    Bytes {
        /// `[n, features]`, row-major.
        pixels: &'a [u8],
        /// Values in a row.
        features: usize,
        /// The byte that becomes 1; larger ones, which no dataset holds, become 1 too.
        max: u8,
    },
    /// Noise: row `r` is always the same, and no row is stored.
    Noise {
        /// The run's seed.
        seed: Seed,
        /// Which tensor of noise: the published experiment draws one per model.
        index: u64,
        /// Values in a row.
        features: usize,
        /// The distribution.
        law: NoiseLaw,
    },
    /// Plain numbers.
    Dense {
        /// `[n, features]`, row-major.
        values: &'a [f32],
        /// Values in a row.
        features: usize,
    },
}

/// Returns 2 / `max`, rounded so that `max` times it is not less than 2.
fn byte_factor(max: u8) -> f32 {
    let max = f32::from(max);
    let nearest = 2.0 / max;
    if nearest * max >= 2.0 {
        nearest
    } else {
        // For 41, 55 and some more; where the next is too large, `pack::bytes` cuts the value off at 1.
        nearest.next_up()
    }
}

/// The stream noise is drawn from.
const NOISE: &str = "mlp/noise";
/// Words of a ChaCha block: rows start on one.
const BLOCK_WORDS: u64 = 16;

impl Inputs<'_> {
    /// Returns the number of values in a row.
    pub fn features(&self) -> usize {
        match *self {
            Self::Bytes { features, .. }
            | Self::Noise { features, .. }
            | Self::Dense { features, .. } => features,
        }
    }

    /// Writes the given rows into panels sized for them.
    ///
    /// # Panics
    /// If a row lies outside the stored data.
    pub(crate) fn write(
        &self,
        set: InstructionSet,
        rows: &[u32],
        panels: &mut Panels,
        scratch: &mut Vec<u8>,
    ) {
        let stride = panels.stride;
        let lanes = &mut panels.lanes[..];
        match *self {
            Self::Bytes {
                pixels,
                features,
                max,
            } => {
                let factor = byte_factor(max);
                undertone_simd::run(
                    set,
                    Plain(|| pack::bytes(pixels, features, rows, factor, lanes, stride)),
                );
            }
            Self::Noise {
                seed,
                index,
                features,
                law: NoiseLaw::Uniform,
            } => {
                let row_words = (features as u64).div_ceil(2).next_multiple_of(BLOCK_WORDS);
                scratch.resize(features.next_multiple_of(2) * 2, 0);
                let mut stream = seed.stream(NOISE, index);
                for (at, &row) in rows.iter().enumerate() {
                    stream.seek_words(u64::from(row) * row_words);
                    stream.fill_bytes(scratch);
                    let words = &scratch[..];
                    undertone_simd::run(
                        set,
                        Plain(|| pack::words(words, features, at, lanes, stride)),
                    );
                }
            }
            Self::Noise {
                seed,
                index,
                features,
                law: NoiseLaw::Gaussian,
            } => {
                // The ziggurat takes two words a draw, three times in a hundred some more; twice that is room enough.
                let row_words = (4 * features as u64 + 256).next_multiple_of(BLOCK_WORDS);
                let mut stream = seed.stream(NOISE, index);
                for (at, &row) in rows.iter().enumerate() {
                    stream.seek_words(u64::from(row) * row_words);
                    for panel in 0..features.div_ceil(LANE) {
                        let live = (features - panel * LANE).min(LANE);
                        let lane = &mut lanes[panel * stride + at];
                        *lane = Lane::default();
                        lane.0[..live].fill_with(|| stream.normal() as f32);
                    }
                }
            }
            Self::Dense { values, features } => {
                for (at, &row) in rows.iter().enumerate() {
                    pack::dense(
                        &values[row as usize * features..][..features],
                        at,
                        lanes,
                        stride,
                    );
                }
            }
        }
    }
}
