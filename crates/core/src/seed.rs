//! Decides where every recorded random number comes from.
//!
//! One generator, ChaCha with 8 rounds, and no generator state in files: a stream is named by (seed, purpose, index)
//! and can be made again anywhere. A draw added under one purpose moves no draw under another. Nothing here is secret
//! and nothing here is for cryptography.

use std::fmt;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The context of the BLAKE3 key derivation; changing it changes every recorded result.
const CONTEXT: &str = "undertone 2026-11 random stream v1";

/// The seed of a run, chosen by the user.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct Seed(pub u64);

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Seed {
    /// Opens the stream of `purpose` and `index` under this seed, at its first word.
    ///
    /// `purpose` is a fixed text in the code (`"mlp/init"`); `index` tells models, epochs or rows apart.
    pub fn stream(self, purpose: &str, index: u64) -> Stream {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&self.0.to_le_bytes());
        hasher.update(&index.to_le_bytes());
        hasher.update(purpose.as_bytes());
        Stream(ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()))
    }
}

/// One named sequence of random numbers.
#[derive(Debug, Clone)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// Returns the next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Returns the next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Fills `bytes` with random bits.
    pub fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// Moves to 32-bit word `position` of the stream, so that row `r` of a stored noise tensor can be drawn alone.
    pub fn seek_words(&mut self, position: u64) {
        self.0.set_word_pos(u128::from(position));
    }

    /// Returns a draw from the uniform distribution on [0, 1), a multiple of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Returns a draw from the standard normal distribution (ziggurat).
    pub fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    /// Returns an integer drawn uniformly from `0..bound`, without bias (Lemire 2019).
    ///
    /// # Panics
    /// If `bound` is 0: there is nothing to draw from.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a draw below 0 does not exist");
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            let low = product as u64;
            // `bound.wrapping_neg() % bound` is 2^64 mod bound: the part of the range that would be counted twice.
            if low >= bound || low >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }

    /// Shuffles `items` in place (Fisher-Yates, from the back).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// Returns a uniformly drawn permutation of `0..n`.
    pub fn permutation(&mut self, n: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }
}

#[cfg(test)]
mod tests;
