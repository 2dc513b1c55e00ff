//! Permutation tests: how often a relabelling of the data gives a statistic as extreme as the data did.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sums::{Moments, mean};

/// Statistics this close, relative to the size of the data, are ties: sums in another order differ by rounding.
const TIE: f64 = 1e-12;

/// Which values of the statistic are extreme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Alternative {
    /// Those as far from 0 as the observed one, on either side.
    #[default]
    TwoSided,
    /// Those as large as the observed one.
    Greater,
    /// Those as small as the observed one.
    Less,
}

/// How a permutation test is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PermutationRule {
    /// Which values are extreme.
    pub alternative: Alternative,
    /// The most relabellings that are enumerated.
    pub most_exact: u64,
    /// Random relabellings drawn where there are more.
    pub draws: u32,
}

impl Default for PermutationRule {
    /// Two-sided, enumerated up to 2²⁰ relabellings, else 99,999 draws.
    fn default() -> Self {
        Self {
            alternative: Alternative::TwoSided,
            most_exact: 1 << 20,
            draws: 99_999,
        }
    }
}

/// What a permutation test found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PermutationTest {
    /// The observed mean (difference).
    pub statistic: f64,
    /// The p-value, in (0, 1].
    pub p: f64,
    /// Which values counted as extreme.
    pub alternative: Alternative,
    /// Whether every relabelling was enumerated.
    pub exact: bool,
    /// How many relabellings were looked at.
    pub relabellings: u64,
    /// Which test, in words.
    pub method: String,
}

/// Tests whether paired `differences` are symmetric around 0, by flipping their signs.
///
/// The statistic is the mean. Up to `most_exact` of the 2ⁿ sign patterns are all enumerated and p is the share that is as
/// extreme as the data (which count themselves); otherwise m random patterns give p = (1 + b) / (1 + m), where b of them
/// are as extreme. Assumes independent differences (one per training seed), symmetric around 0 under the null. `below`
/// draws uniformly below its argument.
///
/// `None` if there are no differences, one is not finite, or patterns must be drawn and `draws` is 0. Cost: n times the
/// number of patterns.
pub fn sign_flip(
    differences: &[f64],
    rule: &PermutationRule,
    below: &mut dyn FnMut(u64) -> u64,
) -> Option<PermutationTest> {
    let statistic = mean(differences)?;
    let n = differences.len();
    let scale = differences
        .iter()
        .fold(0.0_f64, |scale, value| scale.max(value.abs()));
    let mut counter = Counter::new(statistic, scale, rule);
    let patterns = u32::try_from(n).ok().and_then(|n| 1_u64.checked_shl(n));
    let signed = |value: f64, minus: bool| if minus { -value } else { value };
    match patterns.filter(|&patterns| patterns <= rule.most_exact) {
        Some(patterns) => {
            for pattern in 0..patterns {
                let flipped = differences
                    .iter()
                    .enumerate()
                    .map(|(i, &d)| signed(d, pattern >> i & 1 == 1));
                counter.count(flipped.map(|value| value / n as f64).sum());
            }
            counter.exact("sign-flip permutation test of the mean, exact")
        }
        None => {
            for _ in 0..rule.draws {
                let flipped = differences.iter().map(|&d| signed(d, below(2) == 1));
                counter.count(flipped.map(|value| value / n as f64).sum());
            }
            counter.drawn("sign-flip permutation test of the mean, Monte Carlo")
        }
    }
}

/// Tests whether two independent samples come from one distribution, by exchanging their values.
///
/// The statistic is mean(`values`) - mean(`others`). Enumeration, Monte Carlo, `below`, p and `None` as in [`sign_flip`],
/// over the ways to choose which of all values form the first sample. Assumes that under the null all values are
/// exchangeable: not if values share a seed or a question. With samples of unequal size the two-sided test counts
/// statistics by their distance from 0.
pub fn mean_difference(
    values: &[f64],
    others: &[f64],
    rule: &PermutationRule,
    below: &mut dyn FnMut(u64) -> u64,
) -> Option<PermutationTest> {
    let statistic = Moments::of(values)?.mean - Moments::of(others)?.mean;
    let mut pool: Vec<f64> = values.iter().chain(others).copied().collect();
    // A common shift changes no difference of means; without it large values would hide ties.
    let centre = mean(&pool)?;
    pool.iter_mut().for_each(|value| *value -= centre);
    let scale = pool
        .iter()
        .fold(0.0_f64, |scale, value| scale.max(value.abs()));
    let mut counter = Counter::new(statistic, scale, rule);
    let (k, rest) = (values.len(), others.len());
    let difference = |first: f64, second: f64| first / k as f64 - second / rest as f64;
    match choices(pool.len(), k).filter(|&choices| choices <= rule.most_exact) {
        Some(_) => {
            let mut chosen: Vec<bool> = (0..pool.len()).map(|at| at >= rest).collect();
            loop {
                let side = |first: bool| -> f64 {
                    pool.iter()
                        .zip(&chosen)
                        .filter(|&(_, &chosen)| chosen == first)
                        .map(|(value, _)| value)
                        .sum()
                };
                counter.count(difference(side(true), side(false)));
                if !next_choice(&mut chosen) {
                    break;
                }
            }
            counter.exact("permutation test of the difference of means, exact")
        }
        None => {
            for _ in 0..rule.draws {
                for at in 0..k {
                    let other = at + below((pool.len() - at) as u64) as usize;
                    pool.swap(at, other);
                }
                counter.count(difference(pool[..k].iter().sum(), pool[k..].iter().sum()));
            }
            counter.drawn("permutation test of the difference of means, Monte Carlo")
        }
    }
}

/// Returns the number of ways to choose `k` of `n`; `None` if it passes 64 bits.
fn choices(n: usize, k: usize) -> Option<u64> {
    let k = k.min(n - k) as u64;
    (0..k).try_fold(1_u64, |ways, i| {
        Some(ways.checked_mul(n as u64 - i)? / (i + 1))
    })
}

/// Moves on to the next arrangement in lexicographic order; `false` after the last.
fn next_choice(chosen: &mut [bool]) -> bool {
    let Some(rise) = chosen.windows(2).rposition(|pair| !pair[0] && pair[1]) else {
        return false;
    };
    chosen.swap(rise, rise + 1);
    chosen[rise + 2..].reverse();
    true
}

/// Counts statistics as extreme as the observed one.
struct Counter {
    statistic: f64,
    threshold: f64,
    alternative: Alternative,
    extreme: u64,
    all: u64,
}

impl Counter {
    fn new(statistic: f64, scale: f64, rule: &PermutationRule) -> Self {
        let tie = TIE * scale;
        let threshold = match rule.alternative {
            Alternative::TwoSided => statistic.abs() - tie,
            Alternative::Greater => statistic - tie,
            Alternative::Less => statistic + tie,
        };
        Self {
            statistic,
            threshold,
            alternative: rule.alternative,
            extreme: 0,
            all: 0,
        }
    }

    fn count(&mut self, statistic: f64) {
        let extreme = match self.alternative {
            Alternative::TwoSided => statistic.abs() >= self.threshold,
            Alternative::Greater => statistic >= self.threshold,
            Alternative::Less => statistic <= self.threshold,
        };
        self.extreme += u64::from(extreme);
        self.all += 1;
    }

    fn exact(self, method: &str) -> Option<PermutationTest> {
        let p = self.extreme as f64 / self.all as f64;
        Some(self.found(p, true, method))
    }

    fn drawn(self, method: &str) -> Option<PermutationTest> {
        let p = (self.extreme + 1) as f64 / (self.all + 1) as f64;
        (self.all > 0).then(|| self.found(p, false, method))
    }

    fn found(self, p: f64, exact: bool, method: &str) -> PermutationTest {
        PermutationTest {
            statistic: self.statistic,
            p,
            alternative: self.alternative,
            exact,
            relabellings: self.all,
            method: method.to_owned(),
        }
    }
}
