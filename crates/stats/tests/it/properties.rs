//! What must hold for any data.

use proptest::collection::vec;
use proptest::prelude::*;
use undertone_stats::{
    Alternative, BootstrapRule, Interval, PermutationRule, PowerRule, Rule, benjamini_hochberg,
    decide, hierarchical_bootstrap, mean_difference, mean_normal, mean_t,
    minimum_detectable_effect, paired_t, required_n, sign_flip, t_test_power, tost, welch_t,
    wilson,
};

use crate::draws;

fn sample() -> impl Strategy<Value = Vec<f64>> {
    vec(-10.0..10.0_f64, 2..12)
}

fn pairs() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    vec((-10.0..10.0_f64, -10.0..10.0_f64), 2..12).prop_map(|pairs| pairs.into_iter().unzip())
}

fn shuffled(values: &[f64], seed: u64) -> Vec<f64> {
    let mut below = draws(seed);
    let mut values = values.to_vec();
    for at in (1..values.len()).rev() {
        values.swap(at, below(at as u64 + 1) as usize);
    }
    values
}

fn within(inner: Interval, outer: Interval) -> bool {
    outer.lo <= inner.lo && inner.hi <= outer.hi
}

/// Equal up to rounding: values below 10 in size.
fn same(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(1.0)
}

proptest! {
    #[test]
    fn intervals_are_nested_over_levels(
        (a, b) in pairs(), one in 0.01..0.999_f64, other in 0.01..0.999_f64, successes in 0_u64..30,
    ) {
        let (low, high) = (one.min(other), one.max(other));
        let at = |level| -> Vec<Option<Interval>> {
            let rule = BootstrapRule { level, draws: 50 };
            vec![
                mean_t(&a, level).and_then(|estimate| estimate.interval),
                paired_t(&a, &b, level).map(|test| test.interval),
                welch_t(&a, &b, level).map(|test| test.interval),
                wilson(successes, 30, level).and_then(|estimate| estimate.interval),
                hierarchical_bootstrap(&[a.clone(), b.clone()], &rule, &mut draws(3)).and_then(|e| e.interval),
            ]
        };
        for (inner, outer) in at(low).into_iter().zip(at(high)) {
            let (inner, outer) = (inner.expect("data that vary"), outer.expect("data that vary"));
            prop_assert!(within(inner, outer), "{inner:?} {outer:?}");
        }
    }

    #[test]
    fn an_interval_contains_its_estimate(values in sample(), level in 0.01..0.999_f64) {
        for estimate in [mean_t(&values, level), mean_normal(&values)] {
            let estimate = estimate.expect("finite values");
            prop_assert!(estimate.interval.expect("two values or more").contains(estimate.mean));
        }
    }

    #[test]
    fn order_changes_nothing((a, b) in pairs(), seed: u64) {
        let (a2, b2) = (shuffled(&a, seed), shuffled(&b, seed));
        prop_assert_eq!(mean_t(&a, 0.95), mean_t(&a2, 0.95));
        prop_assert_eq!(mean_normal(&a), mean_normal(&a2));
        prop_assert_eq!(paired_t(&a, &b, 0.95), paired_t(&a2, &b2, 0.95));
        prop_assert_eq!(welch_t(&a, &b, 0.95), welch_t(&a2, &b, 0.95));
        prop_assert_eq!(tost(&a, 0.5, 0.05), tost(&a2, 0.5, 0.05));
        let rule = Rule { level: 0.95, delta: 0.5 };
        prop_assert_eq!(decide(&a, &b, &rule), decide(&a2, &b2, &rule));
    }

    #[test]
    fn swapping_samples_mirrors_the_result((a, b) in pairs()) {
        for test in [paired_t, welch_t] {
            let (one, other) = (test(&a, &b, 0.9).expect("data vary"), test(&b, &a, 0.9).expect("data vary"));
            prop_assert!(same(one.statistic, -other.statistic));
            prop_assert!(same(one.p, other.p));
            prop_assert!(same(one.interval.lo, -other.interval.hi));
        }
        let negative: Vec<f64> = a.iter().map(|value| -value).collect();
        let (one, other) = (tost(&a, 0.5, 0.05).expect("vary"), tost(&negative, 0.5, 0.05).expect("vary"));
        prop_assert!(same(one.p, other.p));
        prop_assert!(same(one.p_lower, other.p_upper));
        let side = |alternative| PermutationRule { alternative, ..PermutationRule::default() };
        let p = |values: &[f64], alternative| {
            sign_flip(values, &side(alternative), &mut draws(0)).map(|test| test.p)
        };
        prop_assert_eq!(p(&a, Alternative::Greater), p(&negative, Alternative::Less));
        prop_assert_eq!(p(&a, Alternative::TwoSided), p(&negative, Alternative::TwoSided));
    }

    #[test]
    fn shares_mirror(successes in 0_u64..50) {
        let (one, other) = (wilson(successes, 50, 0.95), wilson(50 - successes, 50, 0.95));
        let (one, other) = (one.and_then(|e| e.interval), other.and_then(|e| e.interval));
        let (one, other) = (one.expect("a proportion"), other.expect("a proportion"));
        prop_assert!(same(one.lo, 1.0 - other.hi));
        prop_assert!(one.lo >= 0.0 && one.hi <= 1.0);
    }

    #[test]
    fn p_values_are_probabilities((a, b) in pairs(), seed: u64, most_exact in 0_u64..3000) {
        for alternative in [Alternative::TwoSided, Alternative::Greater, Alternative::Less] {
            let rule = PermutationRule { alternative, most_exact, draws: 99 };
            for test in [
                sign_flip(&a, &rule, &mut draws(seed)),
                mean_difference(&a[..a.len().min(5)], &b[..b.len().min(5)], &rule, &mut draws(seed)),
            ] {
                let p = test.expect("finite values").p;
                prop_assert!(p > 0.0 && p <= 1.0, "{p}");
            }
        }
        for test in [paired_t(&a, &b, 0.95), welch_t(&a, &b, 0.95)] {
            let p = test.expect("data vary").p;
            prop_assert!(p > 0.0 && p <= 1.0, "{p}");
        }
    }

    #[test]
    fn resamples_stay_inside_the_data(seeds in vec(vec(-10.0..10.0_f64, 1..6), 2..6), seed: u64) {
        let rule = BootstrapRule { level: 0.99, draws: 100 };
        let found = hierarchical_bootstrap(&seeds, &rule, &mut draws(seed)).and_then(|e| e.interval);
        let found = found.expect("two seeds or more");
        let all = || seeds.iter().flatten().copied();
        let (lo, hi) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
        // A mean of equal values may differ from them in the last bits.
        prop_assert!(found.lo >= lo - 1e-12 && found.hi <= hi + 1e-12 && found.lo <= found.hi);
    }

    #[test]
    fn adjusting_keeps_order_and_never_lowers(p in vec(0.0..=1.0_f64, 0..20)) {
        let adjusted = benjamini_hochberg(&p).expect("p-values");
        for i in 0..p.len() {
            prop_assert!(p[i] <= adjusted[i] && adjusted[i] <= 1.0);
            for j in 0..p.len() {
                prop_assert!(p[i] > p[j] || adjusted[i] <= adjusted[j]);
            }
        }
    }

    #[test]
    fn power_and_its_inverses_agree(n in 2_usize..60, sd in 0.01..5.0_f64, power in 0.2..0.95_f64) {
        let rule = PowerRule { alpha: 0.05, power };
        let effect = minimum_detectable_effect(n, sd, &rule).expect("a rule");
        let reached = t_test_power(effect / sd, n, 0.05).expect("a rule");
        prop_assert!((reached - power).abs() < 1e-9, "{reached} {power}");
        // A hair more, so that rounding cannot ask for one more value; never fewer are enough.
        prop_assert_eq!(required_n(effect * (1.0 + 1e-9), sd, &rule), Some(n));
    }
}
