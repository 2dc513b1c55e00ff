//! The hierarchical bootstrap: an interval for data with questions nested in training seeds.

use crate::distribution::is_level;
use crate::estimate::{Estimate, Interval};
use crate::sums::{Moments, mean};

/// How a bootstrap is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BootstrapRule {
    /// Confidence level, strictly between 0 and 1.
    pub level: f64,
    /// Number of resamples, at least 1.
    pub draws: u32,
}

impl Default for BootstrapRule {
    /// Level 0.95, 10,000 resamples.
    fn default() -> Self {
        Self {
            level: 0.95,
            draws: 10_000,
        }
    }
}

/// Returns the mean over seeds of the mean over questions, with a percentile interval that resamples both levels.
///
/// `seeds[s][q]` is the value of question q under seed s; seeds may have different numbers of questions and weigh the same.
/// Each resample draws as many seeds as there are, with replacement, and inside every drawn seed as many questions as it
/// has, with replacement. The interval's ends are the (1 - level) / 2 and 1 - (1 - level) / 2 quantiles of the resampled
/// means, interpolated linearly between order statistics. Two-sided. Assumes independent seeds, and questions independent
/// within a seed; few seeds (under ten or so) make the interval too narrow. `below` draws uniformly below its argument.
///
/// The standard deviation is the one of the seeds' means with divisor n - 1, and n is the number of seeds.
///
/// `None` if there are no seeds, a seed has no questions or a value that is not finite, `level` is not strictly between 0
/// and 1, or `draws` is 0. The interval is absent for one seed, whose resamples know nothing of other seeds. Cost: `draws`
/// times the number of values.
pub fn hierarchical_bootstrap(
    seeds: &[Vec<f64>],
    rule: &BootstrapRule,
    below: &mut dyn FnMut(u64) -> u64,
) -> Option<Estimate> {
    let means = seeds
        .iter()
        .map(|questions| mean(questions))
        .collect::<Option<Vec<f64>>>()?;
    let moments = Moments::of(&means).filter(|_| is_level(rule.level) && rule.draws > 0)?;
    let interval = (moments.n >= 2).then(|| percentile_interval(seeds, rule, below));
    Some(Estimate {
        mean: moments.mean,
        interval,
        sd: moments.sd(),
        n: moments.n,
        method: format!(
            "percentile interval of {} hierarchical bootstrap resamples: training seeds, then questions inside",
            rule.draws
        ),
    })
}

fn percentile_interval(
    seeds: &[Vec<f64>],
    rule: &BootstrapRule,
    below: &mut dyn FnMut(u64) -> u64,
) -> Interval {
    let mut draw = |values: usize| below(values as u64) as usize;
    let mut resamples: Vec<f64> = (0..rule.draws)
        .map(|_| {
            let total: f64 = (0..seeds.len())
                .map(|_| {
                    let questions = &seeds[draw(seeds.len())];
                    let total: f64 = (0..questions.len())
                        .map(|_| questions[draw(questions.len())])
                        .sum();
                    total / questions.len() as f64
                })
                .sum();
            total / seeds.len() as f64
        })
        .collect();
    resamples.sort_by(f64::total_cmp);
    let tail = 0.5 * (1.0 - rule.level);
    Interval {
        lo: quantile(&resamples, tail),
        hi: quantile(&resamples, 1.0 - tail),
        level: rule.level,
    }
}

/// Returns the `p` quantile of a sorted, non-empty sample, interpolated linearly at position p (n - 1).
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let position = p * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (position - below as f64) * (sorted[above] - sorted[below])
}
