//! Choices against the definitions of temperature, top-k, top-p, min-p and threshold on small vocabularies.

use undertone_core::Seed;

use super::*;

const LOGITS: [f32; 6] = [1.0, 3.0, 2.0, 3.0, -1.0, f32::NEG_INFINITY];

fn counts(sampling: Sampling, allowed: Option<&[u32]>, n: usize) -> [usize; 6] {
    let mut stream = Seed(3).stream("lm/test-choice", 0);
    let mut work = ChoiceWorkspace::default();
    let mut counts = [0; 6];
    for _ in 0..n {
        let choice = choose(
            InstructionSet::best(),
            &sampling,
            &LOGITS,
            allowed,
            &mut stream,
            &mut work,
        );
        counts[choice.token as usize] += 1;
    }
    counts
}

fn probabilities(temperature: f64, kept: &[usize]) -> [f64; 6] {
    let mut p = [0.0; 6];
    for &i in kept {
        p[i] = (f64::from(LOGITS[i]) / temperature).exp();
    }
    let total: f64 = p.iter().sum();
    p.map(|p| p / total)
}

/// Compares frequencies with probabilities by chi-square at 5 degrees of freedom, p = 1e-4.
#[track_caller]
fn check(sampling: Sampling, allowed: Option<&[u32]>, kept: &[usize]) {
    let n = 20_000;
    let counts = counts(sampling, allowed, n);
    let expected = probabilities(sampling.temperature, kept);
    let mut chi = 0.0;
    for (count, p) in counts.into_iter().zip(expected) {
        if p == 0.0 {
            assert_eq!(count, 0, "{sampling:?}");
        } else {
            chi += (count as f64 - n as f64 * p).powi(2) / (n as f64 * p);
        }
    }
    assert!(chi < 25.7, "{sampling:?}: {counts:?}, chi-square {chi}");
}

#[test]
fn temperature_shapes_the_distribution() {
    let at = |temperature| Sampling {
        temperature,
        ..Sampling::default()
    };
    check(at(1.0), None, &[0, 1, 2, 3, 4]);
    check(at(2.5), None, &[0, 1, 2, 3, 4]);
    check(at(0.5), None, &[0, 1, 2, 3, 4]);
}

#[test]
fn greedy_takes_the_first_of_equals() {
    assert_eq!(counts(Sampling::GREEDY, None, 10), [0, 10, 0, 0, 0, 0]);
    assert_eq!(
        counts(Sampling::GREEDY, Some(&[0, 3, 4]), 10),
        [0, 0, 0, 10, 0, 0]
    );
}

#[test]
fn filters_keep_what_they_say() {
    let base = Sampling::default();
    check(
        Sampling {
            top_k: Some(2),
            ..base
        },
        None,
        &[1, 3],
    );
    check(
        Sampling {
            top_k: Some(1),
            ..base
        },
        None,
        &[1],
    );
    check(
        Sampling {
            top_k: Some(99),
            ..base
        },
        None,
        &[0, 1, 2, 3, 4],
    );
    // p is .40, .40, .15, .05, .007.
    check(
        Sampling {
            top_p: Some(0.79),
            ..base
        },
        None,
        &[1, 3],
    );
    check(
        Sampling {
            top_p: Some(0.9),
            ..base
        },
        None,
        &[1, 2, 3],
    );
    check(
        Sampling {
            top_p: Some(1.0),
            ..base
        },
        None,
        &[0, 1, 2, 3, 4],
    );
    check(
        Sampling {
            top_p: Some(1e-9),
            ..base
        },
        None,
        &[1],
    );
    check(
        Sampling {
            min_p: Some(0.3),
            ..base
        },
        None,
        &[1, 2, 3],
    );
    check(
        Sampling {
            min_p: Some(1.0),
            ..base
        },
        None,
        &[1, 3],
    );
    check(
        Sampling {
            threshold: Some(0.1),
            ..base
        },
        None,
        &[1, 2, 3],
    );
    check(
        Sampling {
            threshold: Some(0.9),
            ..base
        },
        None,
        &[1],
    );
    check(
        Sampling {
            top_k: Some(3),
            top_p: Some(0.8),
            ..base
        },
        None,
        &[1, 3],
    );
}

#[test]
fn only_allowed_tokens_are_drawn() {
    check(Sampling::default(), Some(&[0, 2, 4]), &[0, 2, 4]);
    assert_eq!(
        counts(Sampling::default(), Some(&[5]), 3),
        [0, 0, 0, 0, 0, 3]
    );
}

#[test]
fn log_probabilities_are_of_the_allowed_tokens_without_temperature() {
    let mut stream = Seed(1).stream("lm/test-choice", 1);
    let mut work = ChoiceWorkspace::default();
    let sampling = Sampling {
        temperature: 3.0,
        top_k: Some(1),
        ..Sampling::default()
    };
    let mut choice = |allowed| {
        choose(
            InstructionSet::best(),
            &sampling,
            &LOGITS,
            allowed,
            &mut stream,
            &mut work,
        )
    };
    let all = probabilities(1.0, &[0, 1, 2, 3, 4])[1].ln();
    assert!((f64::from(choice(None).log_probability) - all).abs() < 1e-6);
    let two = probabilities(1.0, &[0, 2])[2].ln();
    assert!((f64::from(choice(Some(&[0, 2])).log_probability) - two).abs() < 1e-6);
}

#[test]
fn large_vocabularies_are_drawn_from_evenly() {
    let logits = vec![0.25; 5_000];
    let mut stream = Seed(4).stream("lm/test-choice", 2);
    let mut work = ChoiceWorkspace::default();
    let n = 50_000;
    let low = (0..n)
        .filter(|_| {
            let set = InstructionSet::best();
            choose(
                set,
                &Sampling::default(),
                &logits,
                None,
                &mut stream,
                &mut work,
            )
            .token
                < 1_250
        })
        .count();
    // Five standard deviations of a binomial with p = 1/4.
    assert!((low as f64 - 12_500.0).abs() < 5.0 * (50_000.0f64 * 0.1875).sqrt());
}

#[test]
fn settings_out_of_range_are_named() {
    let base = Sampling::default();
    for (sampling, name) in [
        (
            Sampling {
                temperature: -1.0,
                ..base
            },
            "temperature",
        ),
        (
            Sampling {
                temperature: f64::NAN,
                ..base
            },
            "temperature",
        ),
        (
            Sampling {
                top_k: Some(0),
                ..base
            },
            "top_k",
        ),
        (
            Sampling {
                top_p: Some(0.0),
                ..base
            },
            "top_p",
        ),
        (
            Sampling {
                min_p: Some(1.5),
                ..base
            },
            "min_p",
        ),
        (
            Sampling {
                threshold: Some(f64::NAN),
                ..base
            },
            "threshold",
        ),
    ] {
        assert_eq!(sampling.check().map_err(|error| error.name), Err(name));
    }
    assert_eq!(Sampling::GREEDY.check(), Ok(()));
}
