//! Total variation between the answers of two arms, tested by exchanging them question by question.

use crate::permutation::{Alternative, PermutationRule, PermutationTest};

/// Ties are statistics this close: sums in another order differ by rounding.
const TIE: f64 = 1e-12;

/// Tests whether two arms answer alike: `first[q]` and `second[q]` are distributions over the same answers.
///
/// The statistic is the total variation, half the sum of |p - q|, between the two distributions averaged over questions.
/// It is positive even where the arms do not differ, so it has no interval here; instead, the two answers to every
/// question are exchanged at random. Up to `most_exact` of the 2ⁿ patterns are all enumerated, otherwise m random ones
/// give p = (1 + b) / (1 + m). Assumes that under the null the two answers to a question are exchangeable; one-sided, as
/// a distance is. `below` draws uniformly below its argument.
///
/// `None` without questions, if shapes differ, or if patterns must be drawn and `draws` is 0. Cost: questions times
/// answers times patterns.
pub fn paired_total_variation(
    first: &[Vec<f64>],
    second: &[Vec<f64>],
    rule: &PermutationRule,
    below: &mut dyn FnMut(u64) -> u64,
) -> Option<PermutationTest> {
    let (n, width) = (first.len(), first.first()?.len());
    let even = |side: &[Vec<f64>]| side.len() == n && side.iter().all(|row| row.len() == width);
    if !even(first) || !even(second) {
        return None;
    }
    let differences: Vec<Vec<f64>> = first
        .iter()
        .zip(second)
        .map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b) / n as f64).collect())
        .collect();
    let statistic = |minus: &mut dyn FnMut(usize) -> bool| -> f64 {
        let mut sums = vec![0.0; width];
        for (question, row) in differences.iter().enumerate() {
            let sign = if minus(question) { -1.0 } else { 1.0 };
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += sign * value;
            }
        }
        0.5 * sums.iter().map(|sum: &f64| sum.abs()).sum::<f64>()
    };
    let observed = statistic(&mut |_| false);
    if !observed.is_finite() {
        return None;
    }
    let patterns = u32::try_from(n).ok().and_then(|n| 1_u64.checked_shl(n));
    let exact = patterns.filter(|patterns| *patterns <= rule.most_exact);
    let relabellings = exact.unwrap_or(u64::from(rule.draws));
    if relabellings == 0 {
        return None;
    }
    let mut extreme = 0_u64;
    for pattern in 0..relabellings {
        let value = match exact {
            Some(_) => statistic(&mut |question| pattern >> question & 1 == 1),
            None => statistic(&mut |_| below(2) == 1),
        };
        extreme += u64::from(value >= observed - TIE);
    }
    let (p, method) = match exact {
        Some(_) => (extreme as f64 / relabellings as f64, "exact"),
        None => (
            (1 + extreme) as f64 / (1 + relabellings) as f64,
            "Monte Carlo",
        ),
    };
    Some(PermutationTest {
        statistic: observed,
        p,
        alternative: Alternative::Greater,
        exact: exact.is_some(),
        relabellings,
        method: format!(
            "permutation test of the total variation of mean answers, within questions, {method}"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(first: &[Vec<f64>], second: &[Vec<f64>]) -> Option<PermutationTest> {
        paired_total_variation(first, second, &PermutationRule::default(), &mut |_| 0)
    }

    #[test]
    fn arms_that_differ_alike_at_every_question_have_the_smallest_p() {
        let first = vec![vec![0.6, 0.4]; 6];
        let second = vec![vec![0.5, 0.5]; 6];
        let found = test(&first, &second).expect("six questions");
        // Absolute: one subtraction of tenths, averaged.
        assert!((found.statistic - 0.1).abs() < 1e-12);
        // Only no exchange and all exchanges are as far apart.
        assert_eq!(
            (found.p, found.relabellings, found.exact),
            (2.0 / 64.0, 64, true)
        );
    }

    #[test]
    fn equal_arms_have_p_1_and_uneven_ones_none() {
        let same = vec![vec![0.25, 0.75], vec![0.5, 0.5]];
        let found = test(&same, &same).expect("two questions");
        assert_eq!((found.statistic, found.p), (0.0, 1.0));
        assert_eq!(test(&[], &[]), None);
        assert_eq!(test(&same, &same[..1]), None);
        assert_eq!(test(&same, &[vec![1.0], vec![1.0]]), None);
    }

    #[test]
    fn many_questions_are_drawn() {
        let mut state = 7_u64;
        let mut below = |bound: u64| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 33) % bound
        };
        let rule = PermutationRule {
            draws: 99,
            ..PermutationRule::default()
        };
        let (first, second) = (vec![vec![0.9, 0.1]; 40], vec![vec![0.1, 0.9]; 40]);
        let found =
            paired_total_variation(&first, &second, &rule, &mut below).expect("40 questions");
        assert_eq!(
            (found.exact, found.relabellings, found.p),
            (false, 99, 0.01)
        );
    }
}
