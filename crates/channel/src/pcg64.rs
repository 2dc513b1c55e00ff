//! NumPy's `default_rng(seed)` and its `integers`: the one place where recorded draws do not come from a [`Stream`].
//!
//! Number prompts are published as draws of this generator, so prompts of a seed are the same here and there. Three parts:
//! a seed becomes 256 bits (NumPy's `SeedSequence`), those start PCG64 (128-bit linear congruential state, output XSL-RR),
//! and its words become integers below a bound (Lemire's method). Nothing else of NumPy is here, and nothing else in this
//! project should draw from it.
//!
//! [`Stream`]: undertone_core::Stream

/// The multiplier of the 128-bit linear congruential generator.
const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

/// Words of the pool a seed is spread over.
const POOL_WORDS: usize = 4;

/// NumPy's default generator, at some place of its sequence.
#[derive(Debug, Clone)]
pub struct Pcg64 {
    state: u128,
    /// Odd: it selects the sequence.
    increment: u128,
    /// The upper half of the last word of which only the lower half was used.
    half: Option<u32>,
}

impl Pcg64 {
    /// Returns what `numpy.random.default_rng(seed)` starts with.
    pub fn new(seed: u64) -> Self {
        let [a, b, c, d] = seed_words(seed);
        let wide = |high: u64, low: u64| u128::from(high) << 64 | u128::from(low);
        let mut generator = Self {
            state: 0,
            increment: wide(c, d) << 1 | 1,
            half: None,
        };
        generator.step();
        generator.state = generator.state.wrapping_add(wide(a, b));
        generator.step();
        generator
    }

    fn step(&mut self) {
        self.state = self
            .state
            .wrapping_mul(MULTIPLIER)
            .wrapping_add(self.increment);
    }

    /// Returns the next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.step();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        folded.rotate_right((self.state >> 122) as u32)
    }

    /// Returns the next 32 random bits: the lower half of a word, and at the next call its upper half.
    ///
    /// Whole words drawn in between by [`Self::next_u64`] leave the waiting half where it is, as in NumPy.
    pub fn next_u32(&mut self) -> u32 {
        if let Some(half) = self.half.take() {
            return half;
        }
        let word = self.next_u64();
        self.half = Some((word >> 32) as u32);
        word as u32
    }

    /// Returns an integer drawn uniformly from `low..high`, as `Generator.integers(low, high)` of dtype `int64` does.
    ///
    /// A range of one value draws nothing. Ranges below 2^32 values use half words, wider ones whole words.
    ///
    /// # Panics
    /// If the range is empty: there is nothing to draw from.
    pub fn integers(&mut self, low: u64, high: u64) -> u64 {
        assert!(low < high, "a draw from an empty range does not exist");
        // The largest offset; 0 means that there is nothing to choose.
        let last = high - 1 - low;
        match u32::try_from(last) {
            Ok(0) => low,
            Ok(u32::MAX) => low + u64::from(self.next_u32()),
            Ok(last) => low + u64::from(self.below_u32(last + 1)),
            Err(_) => low + self.below_u64(last + 1),
        }
    }

    fn below_u32(&mut self, bound: u32) -> u32 {
        loop {
            let product = u64::from(self.next_u32()) * u64::from(bound);
            let low = product as u32;
            // `bound.wrapping_neg() % bound` is 2^32 mod bound: the part of the range that would be counted twice.
            if low >= bound || low >= bound.wrapping_neg() % bound {
                return (product >> 32) as u32;
            }
        }
    }

    fn below_u64(&mut self, bound: u64) -> u64 {
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            let low = product as u64;
            if low >= bound || low >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }
}

/// Returns the four words that `SeedSequence(seed).generate_state(4, uint64)` gives.
///
/// # Source
/// M. E. O'Neill's `seed_seq` alternative ("randutils"), with the constants NumPy documents as stable.
fn seed_words(seed: u64) -> [u64; POOL_WORDS] {
    // 1. The seed's words, then zeros, hashed into the pool.
    let mut hash = Hash::new(0x43b0_d7e5, 0x931e_8875);
    let entropy = [seed as u32, (seed >> 32) as u32, 0, 0];
    let mut pool = entropy.map(|word| hash.mix(word));
    // 2. Every word is mixed into every other one.
    for from in 0..POOL_WORDS {
        for to in (0..POOL_WORDS).filter(|&to| to != from) {
            let hashed = hash.mix(pool[from]);
            let mixed = 0xca01_f9dd_u32
                .wrapping_mul(pool[to])
                .wrapping_sub(0x4973_f715_u32.wrapping_mul(hashed));
            pool[to] = mixed ^ mixed >> 16;
        }
    }
    // 3. The pool, gone through twice under another hash, is the output, lower half first.
    let mut hash = Hash::new(0x8b51_f9dd, 0x58f3_8ded);
    std::array::from_fn(|at| {
        let low = hash.mix(pool[2 * at % POOL_WORDS]);
        let high = hash.mix(pool[(2 * at + 1) % POOL_WORDS]);
        u64::from(high) << 32 | u64::from(low)
    })
}

/// A multiplicative hash whose constant moves on with every word.
struct Hash {
    constant: u32,
    multiplier: u32,
}

impl Hash {
    fn new(constant: u32, multiplier: u32) -> Self {
        Self {
            constant,
            multiplier,
        }
    }

    fn mix(&mut self, word: u32) -> u32 {
        let word = word ^ self.constant;
        self.constant = self.constant.wrapping_mul(self.multiplier);
        let word = word.wrapping_mul(self.constant);
        word ^ word >> 16
    }
}

#[cfg(test)]
mod tests;
