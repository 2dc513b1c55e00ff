//! Every function against scipy and statsmodels: `tests/golden.json`, written by `scripts/golden/stats.py`.
//!
//! Tolerances are relative to the size of the expected value, with an absolute floor. 1e-9 is what the reference's own
//! root finding and series leave; both sides compute in `f64`.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use undertone_stats::{
    Alternative, BootstrapRule, Interval, PermutationRule, PermutationTest, PowerRule,
    benjamini_hochberg, chi_square, hierarchical_bootstrap, mean_difference, mean_normal, mean_t,
    minimum_detectable_effect, noncentral_t_cdf, noncentral_t_sf, paired_t, required_n, sign_flip,
    t_test_power, tost, welch_t, wilson,
};

use crate::draws;

const RELATIVE: f64 = 1e-9;
const ABSOLUTE: f64 = 1e-13;

/// Returns the rows of one part of the file; an empty part would test nothing.
fn rows<T: DeserializeOwned>(part: &str) -> Vec<T> {
    let mut golden: serde_json::Value =
        serde_json::from_str(include_str!("../golden.json")).expect("the golden file is JSON");
    let rows: Vec<T> = serde_json::from_value(golden[part].take())
        .expect("the rows have the fields of the script");
    assert!(!rows.is_empty(), "{part}");
    rows
}

#[track_caller]
fn close_to(found: f64, expected: f64, relative: f64, absolute: f64, what: &str) {
    let allowed = absolute.max(relative * expected.abs());
    assert!(
        (found - expected).abs() <= allowed,
        "{what}: found {found}, expected {expected}, allowed {allowed}"
    );
}

#[track_caller]
fn close(found: f64, expected: f64, what: &str) {
    close_to(found, expected, RELATIVE, ABSOLUTE, what);
}

#[track_caller]
fn close_interval(found: Option<Interval>, lo: f64, hi: f64, what: &str) {
    let found = found.expect(what);
    close(found.lo, lo, what);
    close(found.hi, hi, what);
}

#[derive(Deserialize)]
struct MeanRow {
    sample: String,
    values: Vec<f64>,
    level: f64,
    mean: f64,
    sd: f64,
    lo: f64,
    hi: f64,
    published_lo: f64,
    published_hi: f64,
    published_sd: f64,
}

#[test]
fn means_are_scipys() {
    for row in rows::<MeanRow>("means") {
        let found = mean_t(&row.values, row.level).expect("finite values");
        close(found.mean, row.mean, &row.sample);
        close(found.sd.expect("several values"), row.sd, &row.sample);
        assert_eq!(found.n, row.values.len());
        close_interval(found.interval, row.lo, row.hi, &row.sample);
        let published = mean_normal(&row.values).expect("finite values");
        close(
            published.sd.expect("several values"),
            row.published_sd,
            &row.sample,
        );
        close_interval(
            published.interval,
            row.published_lo,
            row.published_hi,
            &row.sample,
        );
    }
}

#[derive(Deserialize)]
struct WilsonRow {
    successes: u64,
    trials: u64,
    level: f64,
    lo: f64,
    hi: f64,
}

#[test]
fn proportions_are_statsmodels() {
    for row in rows::<WilsonRow>("wilson") {
        let found = wilson(row.successes, row.trials, row.level).expect("a proportion");
        close_interval(
            found.interval,
            row.lo,
            row.hi,
            &format!("{} of {}", row.successes, row.trials),
        );
    }
}

#[derive(Deserialize)]
struct TTestRow {
    test: String,
    a: Vec<f64>,
    b: Vec<f64>,
    level: f64,
    statistic: f64,
    df: f64,
    p: f64,
    lo: f64,
    hi: f64,
}

#[test]
fn t_tests_are_scipys() {
    for row in rows::<TTestRow>("t_tests") {
        let test = if row.test == "paired" {
            paired_t
        } else {
            welch_t
        };
        let found = test(&row.a, &row.b, row.level).expect("samples that vary");
        let what = format!("{} {:?} {:?}", row.test, row.a, row.b);
        close(found.statistic, row.statistic, &what);
        close(found.df, row.df, &what);
        close(found.p, row.p, &what);
        close_interval(Some(found.interval), row.lo, row.hi, &what);
    }
}

#[derive(Deserialize)]
struct EquivalenceRow {
    values: Vec<f64>,
    delta: f64,
    alpha: f64,
    p: f64,
    p_lower: f64,
    p_upper: f64,
    lo: f64,
    hi: f64,
}

#[test]
fn equivalence_is_statsmodels() {
    for row in rows::<EquivalenceRow>("equivalence") {
        let found = tost(&row.values, row.delta, row.alpha).expect("values that vary");
        let what = format!("{:?} within {}", row.values, row.delta);
        close(found.p, row.p, &what);
        close(found.p_lower, row.p_lower, &what);
        close(found.p_upper, row.p_upper, &what);
        close_interval(Some(found.interval), row.lo, row.hi, &what);
        let inside = -row.delta < found.interval.lo && found.interval.hi < row.delta;
        assert_eq!(
            found.equivalent, inside,
            "{what}: two tests and the interval disagree"
        );
    }
}

#[derive(Deserialize)]
struct AdjustedRow {
    p: Vec<f64>,
    adjusted: Vec<f64>,
}

#[test]
fn adjusted_p_values_are_scipys() {
    for row in rows::<AdjustedRow>("adjusted") {
        let found = benjamini_hochberg(&row.p).expect("p-values");
        assert_eq!(found.len(), row.adjusted.len());
        for (found, expected) in found.iter().zip(&row.adjusted) {
            // Relative alone: an adjusted 3e-300 is not 0.
            close_to(*found, *expected, RELATIVE, 0.0, &format!("{:?}", row.p));
        }
    }
}

#[derive(Deserialize)]
struct Tails {
    relabellings: u64,
    two_sided: f64,
    greater: f64,
    less: f64,
}

impl Tails {
    /// Checks the exact test, and Monte Carlo against it within five standard errors.
    fn check(&self, what: &str, test: impl Fn(&PermutationRule) -> PermutationTest) {
        let sides = [
            (Alternative::TwoSided, self.two_sided),
            (Alternative::Greater, self.greater),
            (Alternative::Less, self.less),
        ];
        for (alternative, p) in sides {
            let exact = test(&PermutationRule {
                alternative,
                ..PermutationRule::default()
            });
            close(exact.p, p, what);
            assert!(exact.exact);
            assert_eq!(exact.relabellings, self.relabellings, "{what}");
            let draws = 20_000;
            let drawn = test(&PermutationRule {
                alternative,
                most_exact: 0,
                draws,
            });
            assert!(!drawn.exact);
            let allowed = 5.0 * (p * (1.0 - p) / f64::from(draws)).sqrt() + 1.0 / f64::from(draws);
            close_to(drawn.p, p, 0.0, allowed, what);
        }
    }
}

#[derive(Deserialize)]
struct SignFlipRow {
    values: Vec<f64>,
    #[serde(flatten)]
    tails: Tails,
}

#[test]
fn sign_flips_are_scipys() {
    for row in rows::<SignFlipRow>("sign_flips") {
        row.tails.check(&format!("{:?}", row.values), |rule| {
            sign_flip(&row.values, rule, &mut draws(5)).expect("finite values")
        });
    }
}

#[derive(Deserialize)]
struct ExchangeRow {
    a: Vec<f64>,
    b: Vec<f64>,
    #[serde(flatten)]
    tails: Tails,
}

#[test]
fn exchanges_are_scipys() {
    for row in rows::<ExchangeRow>("exchanges") {
        row.tails
            .check(&format!("{:?} {:?}", row.a, row.b), |rule| {
                mean_difference(&row.a, &row.b, rule, &mut draws(6)).expect("finite values")
            });
    }
}

#[derive(Deserialize)]
struct BootstrapRow {
    seeds: Vec<Vec<f64>>,
    seed: u64,
    draws: u32,
    level: f64,
    lo: f64,
    hi: f64,
    mean: f64,
    scipy: Option<[f64; 2]>,
}

#[test]
fn bootstrap_is_the_definition_and_scipys() {
    for row in rows::<BootstrapRow>("bootstrap") {
        let rule = BootstrapRule {
            level: row.level,
            draws: row.draws,
        };
        let found =
            hierarchical_bootstrap(&row.seeds, &rule, &mut draws(row.seed)).expect("finite values");
        close(found.mean, row.mean, "mean of means");
        assert_eq!(found.n, row.seeds.len());
        close_interval(found.interval, row.lo, row.hi, "the same draws");
        if let Some([lo, hi]) = row.scipy {
            let found = found.interval.expect("several seeds");
            // Another generator and 2,000 draws of means with a standard error near 0.02.
            close_to(found.lo, lo, 0.0, 0.005, "scipy");
            close_to(found.hi, hi, 0.0, 0.005, "scipy");
        }
    }
}

#[derive(Deserialize)]
struct NoncentralRow {
    t: f64,
    df: f64,
    delta: f64,
    cdf: f64,
    sf: f64,
}

#[test]
fn noncentral_t_is_scipys() {
    for row in rows::<NoncentralRow>("noncentral") {
        let what = format!("t {} df {} delta {}", row.t, row.df, row.delta);
        // Absolute: far in its tails scipy's own series loses relative precision.
        close_to(
            noncentral_t_cdf(row.t, row.df, row.delta).expect(&what),
            row.cdf,
            0.0,
            1e-10,
            &what,
        );
        close_to(
            noncentral_t_sf(row.t, row.df, row.delta).expect(&what),
            row.sf,
            0.0,
            1e-10,
            &what,
        );
    }
}

#[derive(Deserialize)]
struct PowerRow {
    n: usize,
    alpha: f64,
    power: f64,
    effect: f64,
    at_half: f64,
}

#[test]
fn power_and_detectable_effects_are_statsmodels() {
    for row in rows::<PowerRow>("power") {
        let what = format!("n {} alpha {} power {}", row.n, row.alpha, row.power);
        close(
            t_test_power(0.5, row.n, row.alpha).expect(&what),
            row.at_half,
            &what,
        );
        let rule = PowerRule {
            alpha: row.alpha,
            power: row.power,
        };
        // The effect scales with the standard deviation.
        close(
            minimum_detectable_effect(row.n, 0.25, &rule).expect(&what),
            0.25 * row.effect,
            &what,
        );
    }
}

#[derive(Deserialize)]
struct SizeRow {
    effect: f64,
    alpha: f64,
    power: f64,
    n: usize,
}

#[test]
fn required_sizes_are_statsmodels() {
    for row in rows::<SizeRow>("sizes") {
        let rule = PowerRule {
            alpha: row.alpha,
            power: row.power,
        };
        assert_eq!(
            required_n(0.1 * row.effect, 0.1, &rule),
            Some(row.n),
            "effect {}",
            row.effect
        );
        assert_eq!(
            required_n(-row.effect, 1.0, &rule),
            Some(row.n),
            "effect -{}",
            row.effect
        );
    }
}

#[derive(Deserialize)]
struct TableRow {
    table: Vec<Vec<u64>>,
    statistic: f64,
    df: usize,
    p: f64,
    cramers_v: f64,
    smallest_expected: f64,
}

#[test]
fn chi_square_tests_are_scipys() {
    for row in rows::<TableRow>("tables") {
        let found = chi_square(&row.table).expect("two samples of several categories");
        let what = format!("{:?}", row.table);
        close(found.statistic, row.statistic, &what);
        assert_eq!(found.df, row.df, "{what}");
        // Relative far out too: no absolute floor would notice a wrong tail of 1e-80.
        close_to(found.p, row.p, RELATIVE, 1e-300, &what);
        close_to(found.cramers_v, row.cramers_v, RELATIVE, 1e-12, &what);
        close(found.smallest_expected, row.smallest_expected, &what);
    }
}

#[test]
fn chi_square_leaves_empty_rows_and_columns_out() {
    let full = chi_square(&[vec![10, 20, 30], vec![6, 9, 17]]);
    let padded = chi_square(&[vec![10, 0, 20, 30], vec![0; 4], vec![6, 0, 9, 17]]);
    assert!(full.is_some());
    assert_eq!(full, padded);
}

#[test]
fn chi_square_is_undefined_without_two_samples_of_two_categories() {
    for table in [
        vec![],
        vec![vec![3, 4]],
        vec![vec![3, 0], vec![4, 0]],
        vec![vec![3, 4], vec![0, 0]],
        vec![vec![3, 4], vec![5]],
        vec![vec![u64::MAX, 1], vec![1, 1]],
    ] {
        assert_eq!(chi_square(&table), None, "{table:?}");
    }
}
