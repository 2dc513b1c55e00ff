//! The theorem holds on many cases, and the checker fails when the theorem it is told is wrong.

use undertone_core::Seed;
use undertone_mlp::reference::Selection;

use super::case::{COMBINATIONS, Case, CaseKind, StudentLogits, StudentLossKind, TeacherLossKind};
use super::check::{Claim, Measurement, Outcome, judge, measure, measure_with};
use super::loss::{Objective, StudentLoss, TeacherLoss};
use super::*;
use crate::control::Interrupted;
use crate::error::LabError;

fn settings(cases: u32) -> TheoremSettings {
    TheoremSettings {
        cases,
        ..TheoremSettings::default()
    }
}

fn result_of(cases: u32) -> TheoremResult {
    run(&settings(cases), &mut |_, _| Ok(())).expect("the default settings are valid")
}

/// Judges every case that holds with a positive inner product, after `change` has worked on its measurement.
fn judge_changed(
    kind: StudentLossKind,
    change: impl Fn(&Case, Measurement) -> Measurement,
) -> Vec<Vec<Claim>> {
    let settings = settings(48);
    let mut failed = Vec::new();
    for index in 0..settings.cases {
        let case = Case::draw(settings.seed, index);
        let measurement = measure(&case, &settings);
        if case.kind.student_loss == kind
            && judge(&measurement, settings.alpha).outcome == Outcome::Positive
        {
            failed.push(judge(&change(&case, measurement), settings.alpha).failed);
        }
    }
    assert!(failed.len() >= 10, "too few cases to say anything");
    failed
}

#[test]
fn every_combination_holds() {
    let TheoremResult { summary, cases, .. } = result_of(COMBINATIONS);
    let broken: Vec<_> = cases
        .iter()
        .filter(|case| !matches!(case.outcome, Outcome::Positive | Outcome::Zero))
        .collect();
    assert!(summary.all_hold, "{broken:?}");
    assert_eq!(summary.total.cases, COMBINATIONS);
    assert!(summary.total.positive > COMBINATIONS / 2);
    assert!(summary.total.with_order > COMBINATIONS / 3);
    let median = summary.total.median_order.expect("orders were observed");
    assert!((median - 1.0).abs() < 1e-3, "first order is {median}");
    assert_eq!(
        summary.groups.iter().map(|g| g.tally.cases).sum::<u32>(),
        COMBINATIONS
    );
}

#[test]
fn every_combination_comes_once() {
    let mut seen: Vec<CaseKind> = Vec::new();
    for index in 0..COMBINATIONS {
        let kind = CaseKind::of(index);
        assert!(!seen.contains(&kind), "{kind:?}");
        seen.push(kind);
    }
    assert_eq!(CaseKind::of(COMBINATIONS), seen[0]);
}

#[test]
fn different_initialisation_guarantees_nothing() {
    let contrast = result_of(COMBINATIONS).summary.contrast;
    assert_eq!(contrast.shows_no_guarantee, Some(true), "{contrast:?}");
    assert_eq!(contrast.cases + contrast.left_out, COMBINATIONS);
    // The leading term stays while ε shrinks to 1e-6.
    let share = contrast.median_leading_share.expect("there are cases");
    assert!((share - 1.0).abs() < 1e-4, "{share}");
}

#[test]
fn a_softmax_over_one_logit_gives_exactly_zero() {
    let cases = result_of(COMBINATIONS).cases;
    let mut n = 0;
    for case in cases.iter().filter(|case| {
        case.kind.student_loss == StudentLossKind::CrossEntropy
            && case.kind.student_logits == StudentLogits::SingleAuxiliary
    }) {
        assert_eq!(case.outcome, Outcome::Zero);
        assert!(case.points.iter().all(|p| p.inner_product == 0.0));
        assert_eq!(case.contrast.inner_product, 0.0);
        n += 1;
    }
    assert_eq!(n, COMBINATIONS / 6);
}

#[test]
fn a_linear_network_with_disjoint_losses_gives_zero() {
    let mut n = 0;
    for case in result_of(COMBINATIONS).cases {
        let is_disjoint = case
            .teacher_logits
            .is_some_and(|range| range.end <= case.student_logits.start);
        if case.architecture.hidden.is_empty() && is_disjoint {
            assert_eq!(case.outcome, Outcome::Zero, "case {}", case.index);
            n += 1;
        }
    }
    assert!(n > 0, "no such case was drawn");
}

#[test]
fn a_squared_error_curvature_without_its_factor_two_is_caught() {
    let halved = |loss: &StudentLoss, z: &[f64]| -> Vec<f64> {
        loss.mixed_derivative(z).iter().map(|m| m / 2.0).collect()
    };
    for failed in judge_changed(StudentLossKind::SquaredError, |case, _| {
        measure_with(case, &settings(1), halved)
    }) {
        assert!(failed.contains(&Claim::Limit), "{failed:?}");
    }
}

#[test]
fn a_cross_entropy_curvature_off_by_a_thousandth_is_caught() {
    let inflated = |loss: &StudentLoss, z: &[f64]| -> Vec<f64> {
        loss.mixed_derivative(z).iter().map(|m| m * 1.001).collect()
    };
    for failed in judge_changed(StudentLossKind::CrossEntropy, |case, _| {
        measure_with(case, &settings(1), inflated)
    }) {
        assert!(failed.contains(&Claim::Limit), "{failed:?}");
    }
}

#[test]
fn a_cross_entropy_curvature_without_its_null_space_is_caught() {
    // diag(σ) alone: not even the right null space.
    let diagonal = |_: &StudentLoss, z: &[f64]| -> Vec<f64> {
        let sigma = undertone_mlp::reference::loss::softmax(z);
        StudentLoss::SquaredError(sigma.iter().map(|s| s / 2.0).collect()).mixed_derivative(z)
    };
    for failed in judge_changed(StudentLossKind::CrossEntropy, |case, _| {
        measure_with(case, &settings(1), diagonal)
    }) {
        assert!(failed.contains(&Claim::Limit), "{failed:?}");
    }
}

#[test]
fn a_student_that_ascends_is_caught() {
    for kind in [StudentLossKind::SquaredError, StudentLossKind::CrossEntropy] {
        let failed = judge_changed(kind, |_, mut measurement| {
            for point in &mut measurement.points {
                point.inner_product = -point.inner_product;
                point.ratio = -point.ratio;
                point.error = (point.ratio - measurement.predicted).abs();
                point.loss_change = -point.loss_change;
            }
            measurement
        });
        for failed in failed {
            for claim in [Claim::Sign, Claim::Limit, Claim::LossDecrease] {
                assert!(failed.contains(&claim), "{claim:?} not in {failed:?}");
            }
        }
    }
}

#[test]
fn convergence_slower_than_first_order_is_caught() {
    // The error of a ratio that tends to its limit as √ε: the extrapolation, made for a first-order term, misses too.
    for failed in judge_changed(StudentLossKind::SquaredError, |_, mut measurement| {
        for point in &mut measurement.points {
            point.ratio = measurement.predicted * (1.0 + point.epsilon.sqrt());
            point.error = (point.ratio - measurement.predicted).abs();
        }
        measurement
    }) {
        assert!(failed.contains(&Claim::Order), "{failed:?}");
    }
}

#[test]
fn rounding_and_kinks_leave_a_case_unresolved() {
    let settings = settings(1);
    let case = (0..)
        .map(|index| Case::draw(settings.seed, index))
        .find(|case| judge(&measure(case, &settings), 0.1).outcome == Outcome::Positive)
        .expect("the range has no end");
    let judge_with = |change: fn(&mut check::Point)| {
        let mut measurement = measure(&case, &settings);
        measurement.points.iter_mut().for_each(change);
        judge(&measurement, settings.alpha)
    };
    for verdict in [
        judge_with(|p| p.ratio_past_kink = true),
        judge_with(|p| p.loss_past_kink = true),
        judge_with(|p| p.loss_rounding = 1.0),
        // Twice below: neither zero nor resolved.
        judge_with(|p| p.rounding = p.ratio.abs() / 2.0),
    ] {
        assert_eq!(verdict.outcome, Outcome::Unresolved);
        assert!(verdict.failed.is_empty());
    }
}

#[test]
fn m_is_minus_the_mixed_second_derivative() {
    // Central differences of ∂L_S/∂z in y, at y = z; 1e-9 is 100 times their error.
    let z = [0.3, -1.2, 0.8];
    let selection = Selection::new(3, 0..3);
    let h = 1e-5;
    for loss in [
        StudentLoss::SquaredError(vec![0.5, 0.0, 1.5]),
        StudentLoss::CrossEntropy,
    ] {
        let m = loss.mixed_derivative(&z);
        for j in 0..3 {
            let slope_at = |step: f64| {
                let mut y = z;
                y[j] += step;
                loss.logit_gradient(&selection, &z, &y)
            };
            let (ahead, behind) = (slope_at(h), slope_at(-h));
            for i in 0..3 {
                let expected = -(ahead[i] - behind[i]) / (2.0 * h);
                let got = m[i * 3 + j];
                assert!(
                    (got - expected).abs() < 1e-9,
                    "{loss:?} {i} {j}: {got} {expected}"
                );
            }
        }
    }
}

#[test]
fn teacher_gradients_match_finite_differences() {
    let mut seen = Vec::new();
    // ReLU cases are drawn clear of kinks by 1e-4, far more than the step of 1e-6 moves them here.
    for index in 0..24 {
        let case = Case::draw(Seed(5), index);
        let gradient = case.teacher_loss.gradient(&case.start);
        let h = 1e-6;
        for (entry, got) in gradient.iter().enumerate() {
            let at = |step: f64| {
                let mut moved = case.start.clone();
                moved.values[entry] += step;
                case.teacher_loss.value(&moved)
            };
            let expected = (at(h) - at(-h)) / (2.0 * h);
            // Rounding: 1e-16 times a loss of up to 30, over 2e-6.
            assert!(
                (got - expected).abs() < 1e-7 * (1.0 + expected.abs()),
                "case {index}, entry {entry}: {got} {expected}"
            );
        }
        let family = match &case.teacher_loss {
            TeacherLoss::OnParameters { .. } => TeacherLossKind::Parameters,
            TeacherLoss::OnLogits { objective, .. } => match objective {
                Objective::Labels(_) => TeacherLossKind::CrossEntropy,
                Objective::Targets(_) => TeacherLossKind::SquaredError,
                Objective::Squashed(_) => TeacherLossKind::Squashed,
            },
        };
        assert_eq!(family, case.kind.teacher_loss);
        if !seen.contains(&family) {
            seen.push(family);
        }
    }
    assert_eq!(seen.len(), 4);
}

#[test]
fn a_case_depends_on_seed_and_index_only() {
    let few = result_of(5);
    let more = result_of(9);
    assert_eq!(few.cases[..], more.cases[..5]);
    assert_ne!(Case::draw(Seed(0), 3), Case::draw(Seed(1), 3));
}

#[test]
fn progress_counts_every_case() {
    let mut seen = Vec::new();
    run(&settings(3), &mut |done, total| {
        seen.push((done, total));
        Ok(())
    })
    .expect("valid settings");
    assert_eq!(seen, [(1, 3), (2, 3), (3, 3)]);
}

#[test]
fn an_end_asked_for_comes_after_the_case_in_hand() {
    let mut seen = 0;
    let asked = run(&settings(3), &mut |done, _| {
        seen = done;
        if done < 2 { Ok(()) } else { Err(Interrupted) }
    });
    assert!(matches!(asked, Err(LabError::Interrupted(_))), "{asked:?}");
    assert_eq!(seen, 2);
}

#[test]
fn results_survive_json() -> Result<(), serde_json::Error> {
    let result = result_of(3);
    let text = serde_json::to_string(&result)?;
    assert_eq!(serde_json::from_str::<TheoremResult>(&text)?, result);
    Ok(())
}

#[test]
fn settings_fill_in_defaults_and_refuse_unknown_fields() -> Result<(), serde_json::Error> {
    let settings: TheoremSettings = serde_json::from_str(r#"{"cases": 7}"#)?;
    assert_eq!((settings.cases, settings.alpha), (7, 0.1));
    let unknown = serde_json::from_str::<TheoremSettings>(r#"{"case": 7}"#);
    assert!(unknown.is_err_and(|error| error.to_string().contains("unknown field")));
    Ok(())
}

#[track_caller]
fn check_refused(change: impl Fn(&mut TheoremSettings), expected: &str) {
    let mut settings = settings(1);
    change(&mut settings);
    let error = run(&settings, &mut |_, _| Ok(())).expect_err("the settings make no sense");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn settings_without_sense_are_refused() {
    check_refused(|s| s.cases = 0, "`cases` is 0: at least 1 is needed");
    check_refused(
        |s| s.epsilons = vec![1e-2, 1e-3, 1e-4, 1e-5],
        "`epsilons` has 2 entries of 1e-4 or less: at least 3 are needed to see convergence",
    );
    check_refused(
        |s| s.epsilons[1] = 1e-2,
        "`epsilons[1]` is 0.01, not less than the entry before it, 0.01",
    );
    check_refused(
        |s| s.epsilons[8] = 1e-9,
        "`epsilons[8]` is 0.000000001: it must lie between 1e-7 and 1",
    );
    check_refused(
        |s| s.epsilons[0] = f64::NAN,
        "`epsilons[0]` is NaN: it must lie between 1e-7 and 1",
    );
    check_refused(
        |s| s.alpha = 0.0,
        "`alpha` is 0: it must be a positive, finite number",
    );
}
