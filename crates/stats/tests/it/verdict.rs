//! The cases of the verdict, and what is undefined.

use undertone_stats::{
    BootstrapRule, Outcome, PermutationRule, PowerRule, Rule, Verdict, VerdictError,
    benjamini_hochberg, decide, hierarchical_bootstrap, mean_difference, mean_normal, mean_t,
    minimum_detectable_effect, noncentral_t_cdf, paired_t, required_n, sign_flip, t_test_power,
    tost, welch_t, wilson,
};

use crate::draws;

const RULE: Rule = Rule {
    level: 0.95,
    delta: 0.02,
};

fn verdict(treatment: &[f64], control: &[f64]) -> Verdict {
    decide(treatment, control, &RULE).expect("finite pairs")
}

#[track_caller]
fn check(differences: &[f64], expected: Outcome, reason: &str) -> Verdict {
    let control = vec![0.0; differences.len()];
    let found = verdict(differences, &control);
    assert_eq!(found.outcome, expected, "{}", found.reason);
    assert!(found.reason.contains(reason), "{}", found.reason);
    assert!(
        found.rule.contains(&format!("n = {}", differences.len())),
        "{}",
        found.rule
    );
    let json = serde_json::to_string(&found).expect("a verdict is plain data");
    assert_eq!(
        serde_json::from_str::<Verdict>(&json).expect("what was written"),
        found
    );
    found
}

#[test]
fn a_clear_rise_is_transfer() {
    let found = check(
        &[0.4, 0.45, 0.42, 0.38],
        Outcome::Transfer,
        "wholly above 0",
    );
    assert!(found.equivalence_p.is_some_and(|p| p > 0.99));
    assert_eq!(found.effect.map(|effect| effect.n), Some(4));
}

#[test]
fn a_confined_difference_is_no_transfer() {
    let found = check(
        &[0.001, -0.002, 0.003, -0.001],
        Outcome::NoTransfer,
        "inside (-0.02, 0.02)",
    );
    assert!(found.equivalence_p.is_some_and(|p| p < 0.05));
}

#[test]
fn a_real_difference_within_the_margin_is_no_transfer() {
    check(
        &[0.004, 0.005, 0.006, 0.005],
        Outcome::NoTransfer,
        "too small to count",
    );
}

#[test]
fn a_wide_interval_is_inconclusive_and_says_how_many_seeds_decide() {
    let found = check(&[0.3, -0.2, 0.1, -0.1], Outcome::Inconclusive, "contains 0");
    let n = found.required_n.expect("differences vary");
    assert!(
        n > 100 && found.reason.contains(&format!("takes {n}.")),
        "{}",
        found.reason
    );
    assert!(
        found
            .minimum_detectable_effect
            .is_some_and(|effect| effect > 0.02)
    );
}

#[test]
fn a_fall_is_inconclusive() {
    check(
        &[-0.4, -0.45, -0.42, -0.38],
        Outcome::Inconclusive,
        "away from the trait",
    );
    check(&[-0.5; 3], Outcome::Inconclusive, "away from the trait");
}

#[test]
fn fewer_than_two_seeds_never_decide() {
    let one = check(&[0.9], Outcome::Inconclusive, "single seed");
    assert!(
        one.effect
            .is_some_and(|effect| effect.interval.is_none() && effect.sd.is_none())
    );
    assert_eq!(
        (
            one.equivalence_p,
            one.minimum_detectable_effect,
            one.required_n
        ),
        (None, None, None)
    );
    let none = check(&[], Outcome::Inconclusive, "no training seed");
    assert!(none.effect.is_none());
}

#[test]
fn equal_differences_are_compared_with_the_margin() {
    let zero = check(&[0.0; 3], Outcome::NoTransfer, "equal in each of 3 seeds");
    assert_eq!(
        (
            zero.equivalence_p,
            zero.minimum_detectable_effect,
            zero.required_n
        ),
        (None, None, None)
    );
    // With alpha = 0.05: 2^-5 is small enough for no transfer, 2^(1-6) for transfer, one seed fewer is not.
    check(&[0.01; 5], Outcome::NoTransfer, "smaller than 0.02");
    check(&[-0.01; 5], Outcome::NoTransfer, "smaller than 0.02");
    check(&[0.01; 4], Outcome::Inconclusive, "too few");
    check(&[0.02; 6], Outcome::Transfer, "above 0");
    check(&[0.5; 5], Outcome::Inconclusive, "too few");
    check(&[-0.5; 9], Outcome::Inconclusive, "away from the trait");
}

#[test]
fn rounding_of_the_subtraction_is_no_spread() {
    let found = verdict(
        &[0.3, 0.4, 0.9, 0.3, 0.4, 0.9],
        &[0.1, 0.2, 0.7, 0.1, 0.2, 0.7],
    );
    assert!(found.reason.contains("no interval"), "{}", found.reason);
    assert_eq!(found.outcome, Outcome::Transfer);
}

#[test]
fn outcomes_read_as_people_write_them() {
    assert_eq!(Outcome::Transfer.text(0.02), "transfer");
    assert_eq!(Outcome::NoTransfer.text(0.02), "no transfer (within 0.02)");
    assert_eq!(Outcome::Inconclusive.text(0.02), "inconclusive");
    assert_eq!(
        serde_json::to_string(&Outcome::NoTransfer).expect("a word"),
        "\"no-transfer\""
    );
}

#[test]
fn the_rule_is_stated_in_words() {
    assert_eq!(
        verdict(&[0.4, 0.5], &[0.1, 0.1]).rule,
        "Treatment minus control, paired by training seed, n = 2. No transfer if the 90 % t interval of the mean \
         difference lies inside (-0.02, 0.02) (two one-sided tests at 5 %); otherwise transfer if the 95 % t interval \
         lies wholly above 0; otherwise inconclusive. Fewer than 2 seeds never decide."
    );
}

#[test]
fn unusable_input_is_an_error_that_names_it() {
    let message = |treatment: &[f64], control: &[f64], rule| {
        decide(treatment, control, &rule)
            .expect_err("unusable input")
            .to_string()
    };
    assert!(message(&[1.0, 2.0], &[1.0], RULE).contains("2 values and control 1"));
    assert!(message(&[1.0, 2.0], &[1.0, f64::INFINITY], RULE).contains("control at position 1"));
    assert!(matches!(
        decide(&[f64::NAN], &[1.0], &RULE),
        Err(VerdictError::NotFinite {
            arm: "treatment",
            index: 0,
            ..
        })
    ));
    assert!(message(&[f64::MAX], &[-f64::MAX], RULE).contains("difference"));
    assert_eq!(
        decide(&[1e300, -1e300], &[0.0; 2], &RULE),
        Err(VerdictError::Overflow)
    );
    for level in [0.0, 0.5, 1.0, f64::NAN] {
        assert!(message(&[1.0], &[1.0], Rule { level, delta: 0.02 }).contains("level"));
    }
    for delta in [0.0, -0.1, f64::INFINITY, f64::NAN] {
        assert!(message(&[1.0], &[1.0], Rule { level: 0.95, delta }).contains("margin"));
    }
}

#[test]
fn unknown_fields_are_refused() {
    assert!(serde_json::from_str::<Rule>(r#"{"level": 0.95, "delta": 0.02, "sides": 1}"#).is_err());
}

#[test]
fn what_is_undefined_is_none() {
    let alone = mean_t(&[0.7], 0.95).expect("one value has a mean");
    assert_eq!(
        (alone.mean, alone.interval, alone.sd, alone.n),
        (0.7, None, None, 1)
    );
    assert!(mean_t(&[], 0.95).is_none() && mean_normal(&[]).is_none());
    assert!(mean_t(&[1.0, f64::NAN], 0.95).is_none());
    assert!(mean_t(&[1.0, 2.0], 1.0).is_none());
    assert!(mean_normal(&[0.7]).is_some_and(|estimate| estimate.interval.is_none()));
    assert!(wilson(0, 0, 0.95).is_none() && wilson(3, 2, 0.95).is_none());
    // Equal values have a mean, but neither interval nor statistic.
    let equal = mean_t(&[0.1; 4], 0.95).expect("four values");
    assert_eq!((equal.sd, equal.interval), (Some(0.0), None));
    assert!(paired_t(&[1.0, 2.0], &[0.0, 1.0], 0.95).is_none());
    assert!(
        paired_t(&[1.0, 2.0], &[0.0], 0.95).is_none() && paired_t(&[1.0], &[0.0], 0.95).is_none()
    );
    assert!(
        welch_t(&[1.0, 1.0], &[2.0, 2.0], 0.95).is_none()
            && welch_t(&[1.0], &[2.0, 3.0], 0.95).is_none()
    );
    assert!(tost(&[1.0; 3], 0.1, 0.05).is_none() && tost(&[1.0, 2.0], 0.0, 0.05).is_none());
    assert!(benjamini_hochberg(&[0.5, 1.1]).is_none() && benjamini_hochberg(&[f64::NAN]).is_none());
    let rule = PermutationRule {
        most_exact: 0,
        draws: 0,
        ..PermutationRule::default()
    };
    assert!(
        sign_flip(&[1.0], &rule, &mut draws(0)).is_none()
            && sign_flip(&[], &rule, &mut draws(0)).is_none()
    );
    assert!(mean_difference(&[1.0], &[], &PermutationRule::default(), &mut draws(0)).is_none());
    let bootstrap = BootstrapRule::default();
    assert!(hierarchical_bootstrap(&[], &bootstrap, &mut draws(0)).is_none());
    assert!(hierarchical_bootstrap(&[vec![1.0], vec![]], &bootstrap, &mut draws(0)).is_none());
    let one = hierarchical_bootstrap(&[vec![1.0, 2.0]], &bootstrap, &mut draws(0))
        .expect("one seed has a mean");
    assert!(one.interval.is_none() && one.sd.is_none());
    let power = PowerRule {
        alpha: 0.05,
        power: 0.8,
    };
    assert!(
        minimum_detectable_effect(1, 1.0, &power).is_none()
            && minimum_detectable_effect(5, 0.0, &power).is_none()
    );
    assert!(required_n(0.0, 1.0, &power).is_none() && required_n(1e-9, 1.0, &power).is_none());
    assert!(t_test_power(0.5, 1, 0.05).is_none() && noncentral_t_cdf(f64::NAN, 3.0, 0.0).is_none());
}

#[test]
fn power_ends_for_any_size_of_effect() {
    assert_eq!(t_test_power(1e300, 2, 0.05), Some(1.0));
    assert_eq!(
        required_n(
            1e200,
            1.0,
            &PowerRule {
                alpha: 0.05,
                power: 0.8
            }
        ),
        Some(2)
    );
}
