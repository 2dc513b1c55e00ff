//! What is compared with what, what a plan counts, and how numbers are read.

use undertone_data::{ImageSet, digits, source};
use undertone_mlp::Precision;
use undertone_stats::Outcome;

use super::*;
use crate::fixture::{Place, TestResult, identity, tiny};
use crate::settings::{Body, ClonedLogits, Cloning, DistillInputs, Renewal};
use Condition::{AllLogits, AuxOnly, CrossAllLogits, CrossAuxOnly, Reference, Teacher};

#[track_caller]
fn check_comparison(students: &[Condition], expected: (Condition, Condition)) {
    let settings = MlpSettings {
        students: students.to_vec(),
        ..tiny()
    };
    assert_eq!(comparison(&settings), expected, "{students:?}");
}

#[test]
fn a_student_is_compared_with_its_cross_model_partner_or_else_the_untrained_network() {
    check_comparison(&Condition::STUDENTS, (AuxOnly, CrossAuxOnly));
    check_comparison(&[AuxOnly, CrossAuxOnly], (AuxOnly, CrossAuxOnly));
    check_comparison(&[AuxOnly, AllLogits], (AuxOnly, Reference));
    check_comparison(&[AuxOnly], (AuxOnly, Reference));
    check_comparison(&[CrossAuxOnly], (CrossAuxOnly, Reference));
    check_comparison(&[AllLogits, CrossAllLogits], (AllLogits, CrossAllLogits));
    check_comparison(&[AllLogits], (AllLogits, Reference));
    check_comparison(&[CrossAllLogits], (CrossAllLogits, Reference));
    check_comparison(&[], (Teacher, Reference));
}

#[test]
fn a_cloned_student_is_compared_with_the_untrained_network_if_there_is_one() {
    let mut settings = tiny();
    settings.cloning = Some(Cloning {
        training: settings.student.clone(),
        inputs: settings.inputs.clone(),
        renewal: Renewal::EachEpoch,
        logits: ClonedLogits::AuxOnly,
    });
    assert_eq!(comparison(&settings), (CrossAuxOnly, Reference));
    settings.students = vec![AuxOnly, CrossAllLogits];
    assert_eq!(comparison(&settings), (CrossAllLogits, Reference));
    settings.students = vec![AuxOnly, AllLogits];
    assert_eq!(comparison(&settings), (AuxOnly, Reference));
}

#[test]
fn every_choice_of_students_reaches_a_verdict() -> TestResult {
    let place = Place::new()?;
    for cloned in [false, true] {
        for chosen in 1..16u8 {
            let mut settings = tiny();
            settings.models = 2;
            settings.teacher.epochs = 1;
            settings.student.epochs = 1;
            settings.students = (0..4)
                .filter(|bit| chosen & (1 << bit) != 0)
                .map(|bit| Condition::STUDENTS[bit])
                .collect();
            settings.cloning = cloned.then(|| Cloning {
                training: settings.student.clone(),
                inputs: settings.inputs.clone(),
                renewal: Renewal::EachEpoch,
                logits: ClonedLogits::AuxOnly,
            });
            let (results, _) =
                place.with(|bench| run(&[settings.clone()], VerdictRule::default(), 2, bench))?;
            let result = &results[0];
            assert!(
                settings.students.contains(&result.treatment),
                "{:?}",
                settings.students
            );
            assert_eq!(
                result.verdict.effect.as_ref().map(|effect| effect.n),
                Some(2)
            );
        }
    }
    Ok(())
}

#[test]
fn a_rule_that_cannot_decide_is_refused_before_the_work() {
    assert!(VerdictRule::default().check().is_ok());
    for (level, delta) in [
        (1.5, 0.02),
        (f64::NAN, 0.02),
        (0.4, 0.02),
        (0.95, 0.0),
        (0.95, -1.0),
        (0.95, f64::NAN),
    ] {
        let refused = VerdictRule { level, delta }.check();
        assert!(
            matches!(refused, Err(LabError::Verdict(_))),
            "{level} {delta}"
        );
    }
}

#[test]
fn a_plan_counts_a_shared_step_once_and_is_what_the_work_does() -> TestResult {
    let place = Place::new()?;
    let longer = |epochs: u32| {
        let mut settings = tiny();
        settings.student.epochs = epochs;
        settings
    };
    let sweep = [longer(1), longer(2)];
    let (planned, _) = place.with(|bench| plan(&sweep, bench))?;
    // 3 teachers of 2 epochs, shared; 3 models of 4 students of 1 and of 2 epochs, which depend on them.
    assert_eq!(planned.cells, 6);
    assert_eq!(planned.total.missing.len(), 3);
    assert_eq!(planned.total.unplanned, 6);
    assert_eq!(planned.total.units, 3 * 2 + 3 * 4 * (1 + 2));
    assert_eq!(planned.total.reused, 0);

    let (_, stored) = place.with(|bench| run(&sweep, VerdictRule::default(), 2, bench))?;
    assert_eq!(stored, 9);
    let (planned, _) = place.with(|bench| plan(&[longer(2), longer(3)], bench))?;
    assert_eq!(
        (planned.total.missing.len(), planned.total.unplanned),
        (3, 0)
    );
    assert_eq!(planned.total.units, 3 * 4 * 3);
    Ok(())
}

#[test]
fn results_do_not_depend_on_threads_or_on_what_the_store_holds() -> TestResult {
    let results = |threads: usize, before: &[MlpSettings]| -> TestResult<Vec<ExperimentResult>> {
        let place = Place::new()?;
        place.with(|bench| run(before, VerdictRule::default(), 1, bench))?;
        Ok(place
            .with(|bench| run(&[tiny()], VerdictRule::default(), threads, bench))?
            .0)
    };
    let mut longer = tiny();
    longer.student.epochs = 3;
    let alone = results(1, &[])?;
    assert_eq!(alone, results(3, &[])?);
    assert_eq!(alone, results(2, &[longer])?);
    Ok(())
}

#[test]
fn reads_the_reference_before_and_the_teacher_after_its_training() -> TestResult {
    let (results, _) =
        Place::new()?.with(|bench| run(&[tiny()], VerdictRule::default(), 1, bench))?;
    let result = &results[0];
    let of = |condition| result.condition(condition).ok_or("missing");
    assert_eq!(result.conditions.len(), 6);
    assert_eq!(of(Reference)?.curve.len(), 1);
    assert_eq!(of(Teacher)?.curve.len(), 3);
    assert_eq!(of(Teacher)?.curve[0], of(Reference)?.curve[0]);
    assert_eq!(of(Teacher)?.curve[2], of(Teacher)?.accuracy);
    assert!(result.conditions.iter().all(|c| c.published.is_none()));
    Ok(())
}

#[test]
fn says_what_was_left_out() -> TestResult {
    let mut settings = tiny();
    settings.cross = crate::settings::CrossRule::Permutation;
    settings.students = vec![AuxOnly, CrossAuxOnly];
    // A seed whose permutation lets a model meet itself.
    let meets = |s: &MlpSettings| {
        s.partners()
            .iter()
            .zip(0..)
            .filter(|&(&p, m)| p == m)
            .count()
    };
    while meets(&settings) == 0 {
        settings.seed.0 += 1;
    }
    let n = meets(&settings);
    let pairs = settings.models as usize - n;
    let (results, _) =
        Place::new()?.with(|bench| run(&[settings], VerdictRule::default(), 1, bench))?;
    let judged = results[0]
        .verdict
        .effect
        .as_ref()
        .map_or(0, |effect| effect.n);
    assert_eq!(judged, pairs, "a student is no control of itself");
    let all = results[0].condition(CrossAuxOnly).ok_or("missing")?;
    assert_eq!(all.per_model.len(), 3, "the condition is as published");
    let notes = results[0].left_out.join("\n");
    assert!(
        notes.contains("“student, all logits” was not run"),
        "{notes}"
    );
    assert!(
        notes.contains(&format!("{n} of 3 cross-model students share")),
        "{notes}"
    );
    Ok(())
}

#[test]
fn students_that_all_share_their_teachers_weights_decide_nothing() -> TestResult {
    let mut settings = tiny();
    settings.models = 2;
    settings.cross = crate::settings::CrossRule::Permutation;
    settings.students = vec![AuxOnly, CrossAuxOnly];
    while settings.partners() != [0, 1] {
        settings.seed.0 += 1;
    }
    let (results, _) =
        Place::new()?.with(|bench| run(&[settings], VerdictRule::default(), 1, bench))?;
    assert_eq!(results[0].verdict.outcome, Outcome::Inconclusive);
    assert_eq!(results[0].verdict.effect, None);
    Ok(())
}

#[test]
fn a_student_network_of_its_own_and_cloning_run_to_a_verdict() -> TestResult {
    let mut settings = tiny();
    settings.students = vec![CrossAuxOnly];
    settings.student_body = Some(Body {
        hidden: vec![9, 7],
        ..settings.body.clone()
    });
    settings.cloning = Some(Cloning {
        training: settings.student.clone(),
        inputs: DistillInputs::Images {
            data: settings.data.clone(),
        },
        renewal: Renewal::Fixed,
        logits: ClonedLogits::AuxOnly,
    });
    let (results, stored) =
        Place::new()?.with(|bench| run(&[settings], VerdictRule::default(), 2, bench))?;
    assert_eq!(stored, 9);
    assert!(results[0].cloning_loss.is_some());
    Ok(())
}

#[test]
fn a_folder_of_idx_files_is_data_like_any_other() -> TestResult {
    let folder = tempfile::tempdir()?;
    let digits = digits();
    let brighter = |set: &ImageSet| {
        let pixels = set.pixels().iter().map(|pixel| pixel * 15).collect();
        ImageSet::new(set.rows(), set.cols(), 255, pixels, set.labels().to_vec())
    };
    source::write_folder(
        folder.path(),
        &brighter(digits.train())?,
        &brighter(digits.test())?,
    )?;
    let path = folder.path().to_string_lossy().into_owned();
    let data = undertone_data::open(&path.parse()?, folder.path())?;
    let mut place = Place::new()?;
    let settings = MlpSettings {
        data: identity(&data),
        precision: Precision::F32,
        ..tiny()
    };
    place.data.insert(data);
    let (results, _) = place.with(|bench| run(&[settings], VerdictRule::default(), 2, bench))?;
    assert_eq!(results[0].settings.data.name, path);
    assert_eq!(results[0].conditions[1].per_model.len(), 3);
    Ok(())
}

#[test]
fn data_that_nobody_loaded_is_an_error() -> TestResult {
    let mut settings = tiny();
    settings.data.digest = undertone_core::Digest::of(b"elsewhere");
    let failed = Place::new()?.with(|bench| plan(&[settings], bench));
    assert!(matches!(failed, Err(LabError::DataNotLoaded { .. })));
    Ok(())
}
