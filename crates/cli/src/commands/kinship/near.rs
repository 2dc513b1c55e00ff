//! What a calibration says of behaviour: how often pairs of a kind are nearer than strangers.
//!
//! Strangers of a pair's first model are the second models of the next pairs that began independently.

use anyhow::Result;
use serde::Serialize;
use undertone_lab::behaviour::{Behaviour, Nearness};
use undertone_stats::wilson;

use super::calibrate::LEVEL;

/// Strangers that a pair's nearness is ranked among: the fewest with a p-value of .05.
const STRANGERS: usize = 19;

/// What one kind of pairs gave by behaviour.
#[derive(Debug, Serialize)]
pub(super) struct ByBehaviour {
    name: String,
    is_kin: bool,
    pairs: usize,
    /// Pairs with p <= `LEVEL`.
    significant: usize,
    /// Their share, with its 95 % Wilson interval; absent where too few strangers allow no such p.
    significant_share: Option<[f64; 3]>,
    mean_distance: f64,
}

/// Returns how many strangers there are among `pairs` pairs.
pub(super) fn n_strangers(pairs: usize) -> usize {
    STRANGERS.min(pairs.saturating_sub(1))
}

/// Ranks the distance of the models of a pair among those of its first to the strangers of pair number `pair`.
pub(super) fn nearness(
    (first, second): (&Behaviour, &Behaviour),
    seconds: &[Behaviour],
    pair: usize,
) -> Result<Nearness> {
    let n = seconds.len();
    let strangers = (1..=n_strangers(n)).map(|step| first.distance(&seconds[(pair + step) % n]));
    Ok(Nearness::new(
        first.distance(second)?,
        strangers.collect::<Result<_, _>>()?,
    ))
}

/// Counts, of pairs that began independently, those that are nearer than strangers.
pub(super) fn independent(firsts: &[Behaviour], seconds: &[Behaviour]) -> Result<ByBehaviour> {
    let pairs = firsts.iter().zip(seconds).enumerate();
    let near = pairs.map(|(pair, models)| nearness(models, seconds, pair));
    let near: Vec<Nearness> = near.collect::<Result<_>>()?;
    Ok(by_behaviour("independent", false, &near))
}

/// Counts the pairs of a kind that are nearer than strangers.
pub(super) fn by_behaviour(name: &str, is_kin: bool, near: &[Nearness]) -> ByBehaviour {
    let is_near = |near: &&Nearness| near.p_value.is_some_and(|p| p <= LEVEL);
    let significant = near.iter().filter(is_near).count();
    let n = near.len();
    // Among few strangers no rank is that small.
    let can_be = near
        .iter()
        .all(|near| 1.0 / (1.0 + near.unrelated.len() as f64) <= LEVEL);
    let interval = wilson(significant as u64, n as u64, 0.95)
        .and_then(|share| share.interval)
        .filter(|_| can_be);
    let sum: f64 = near.iter().map(|near| near.distance).sum();
    ByBehaviour {
        name: name.to_owned(),
        is_kin,
        pairs: n,
        significant,
        significant_share: interval
            .map(|interval| [significant as f64 / n as f64, interval.lo, interval.hi]),
        mean_distance: sum / n.max(1) as f64,
    }
}

/// Returns the groups as a table for the terminal.
pub(super) fn behaviour_table(groups: &[ByBehaviour]) -> String {
    let mut text = format!(
        "\n\nby behaviour\n{:<46} {:>5} {:>6} {:>22} {:>8}\n",
        "pairs", "n", "p<=.05", "share [95 %]", "distance"
    );
    for group in groups {
        let share = group
            .significant_share
            .map_or_else(String::new, |[share, lo, hi]| {
                format!("{share:.3} [{lo:.3}, {hi:.3}]")
            });
        text.push_str(&format!(
            "{:<46} {:>5} {:>6} {share:>22} {:>8.4}\n",
            group.name, group.pairs, group.significant, group.mean_distance
        ));
    }
    text
}
