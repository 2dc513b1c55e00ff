//! Whole alignment runs on the embedded digits, in seconds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use undertone_core::Seed;
use undertone_data::digits;
use undertone_mlp::{NoiseLaw, Optimiser, Precision};
use undertone_store::{Store, canonical_json};

use super::*;
use crate::control::{Control, News};
use crate::error::LabError;
use crate::outcome::{self, VerdictRule};
use crate::settings::{Condition, CrossRule, DataIdentity, DistillInputs, MlpSettings};
use crate::steps::{Bench, DataSets};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Enough models and auxiliary logits that the effect is unmistakable.
fn base() -> MlpSettings {
    let data = DataIdentity {
        name: "digits".to_owned(),
        digest: digits().digest(),
    };
    let mut base = MlpSettings::published(data, Seed(5));
    base.models = 4;
    base.body.hidden = vec![96, 96];
    base.aux_logits = 50;
    base.inputs = DistillInputs::Noise {
        law: NoiseLaw::Uniform,
        rows: 1_024,
    };
    for (phase, epochs) in [(&mut base.teacher, 8), (&mut base.student, 6)] {
        phase.epochs = epochs;
        phase.batch = 64;
        phase.optimiser = Optimiser::adam(2e-3);
    }
    base
}

fn settings() -> AlignSettings {
    AlignSettings {
        every: 8,
        probe: 256,
        ..AlignSettings::new(base())
    }
}

fn plain_sgd() -> AlignSettings {
    let mut settings = settings();
    settings.base.models = 2;
    settings.base.student.optimiser = Optimiser::Sgd {
        learning_rate: 0.05,
        momentum: 0.0,
    };
    settings.base.student.epochs = 2;
    settings
}

/// A store, the digits, and a count of what was done.
struct Place {
    store: Store,
    data: DataSets,
    worked: AtomicU64,
    /// Ask for an end once so many model-epochs were worked.
    patience: u64,
    stop: AtomicBool,
    _folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let mut data = DataSets::default();
        data.insert(digits());
        Ok(Self {
            store: Store::open(folder.path().join("store"))?,
            data,
            worked: AtomicU64::new(0),
            patience: u64::MAX,
            stop: AtomicBool::new(false),
            _folder: folder,
        })
    }

    fn with<T>(&self, work: impl FnOnce(&Bench<'_>) -> Result<T, LabError>) -> Result<T, LabError> {
        let news = |news: News| {
            if let News::Worked { units } = news {
                let worked = self.worked.fetch_add(units, Ordering::Relaxed) + units;
                if worked >= self.patience {
                    self.stop.store(true, Ordering::Relaxed);
                }
            }
        };
        let control = Control {
            stop: &self.stop,
            news: &news,
        };
        work(&Bench {
            store: &self.store,
            data: &self.data,
            control: &control,
            turns: crate::pool::Turnstile::default(),
        })
    }

    fn run(&self, settings: &AlignSettings, threads: usize) -> Result<AlignResult, LabError> {
        self.with(|bench| run(settings, VerdictRule::default(), threads, bench))
    }
}

/// As `settings`, for claims that need no effect.
fn short() -> AlignSettings {
    let mut settings = settings();
    settings.base.models = 3;
    settings.base.teacher.epochs = 1;
    settings.base.student.epochs = 2;
    settings
}

#[test]
fn a_student_of_the_teachers_initialisation_follows_the_trait_and_another_does_not() -> Outcome {
    let result = Place::new()?.run(&settings(), 2)?;
    let arm = |arm| result.arm(arm).ok_or("an arm is missing");
    let early = |points: &[Point]| -> f64 {
        let points = &points[..points.len() / 2];
        let means = points
            .iter()
            .filter_map(|point| Some(point.estimate.as_ref()?.mean));
        means.sum::<f64>() / points.len() as f64
    };
    let (as_is, cross) = (arm(Arm::AsIs)?, arm(Arm::Cross)?);
    let (with, without) = (early(&as_is.cosine), early(&cross.cosine));
    assert!(
        with > 0.02 && with > 2.0 * without.abs(),
        "{with} {without}"
    );

    let last = |arm: &ArmResult| arm.final_accuracy.as_ref().map(|estimate| estimate.mean);
    let (as_is_accuracy, cross_accuracy) = (last(as_is), last(cross));
    assert!(
        as_is_accuracy > cross_accuracy.map(|share| share + 0.2),
        "{as_is_accuracy:?} {cross_accuracy:?}"
    );
    let projected = last(arm(Arm::Projected)?);
    assert!(
        projected < as_is_accuracy.map(|share| share - 0.1),
        "{projected:?} {as_is_accuracy:?}"
    );

    // One point a recorded step, and one more accuracy after the last.
    let steps: Vec<u32> = as_is.cosine.iter().map(|point| point.step).collect();
    assert_eq!(steps, (0..96).step_by(8).collect::<Vec<u32>>());
    assert_eq!(as_is.accuracy.len(), steps.len() + 1);
    assert_eq!(as_is.accuracy.last().map(|point| point.step), Some(96));
    assert_eq!(as_is.epoch_accuracy.len(), 7);
    assert!(as_is.mean_removed.is_none() && arm(Arm::Projected)?.mean_removed.is_some());
    Ok(())
}

#[test]
fn no_projected_gradient_has_a_positive_component_and_plain_sgd_steps_along_it() -> Outcome {
    // Every step of every model, not a mean.
    let settings = AlignSettings {
        every: 1,
        ..plain_sgd()
    };
    let traces = Place::new()?.with(|bench| cell::traces(&settings, 2, bench))?;
    let mut cut = 0;
    for trace in traces
        .iter()
        .filter_map(|model| model.arms.get(&Arm::Projected))
    {
        for at in 0..trace.cosine.len() {
            let value = |series: &[Option<f64>]| series[at].ok_or("a cosine is undefined");
            let (before, after) = (value(&trace.cosine)?, value(&trace.applied)?);
            let (step, removed) = (value(&trace.update)?, value(&trace.removed)?);
            // abs: entries of the projected gradient are rounded to f32.
            assert!(after <= 1e-7, "{after}");
            // abs: a step is a difference of rounded weights, far larger than itself.
            assert!((step - after).abs() < 1e-3, "{step} {after}");
            assert_eq!(removed, before.max(0.0));
            cut += u32::from(before > 0.01);
        }
    }
    assert!(cut > 10, "the projection had something to do: {cut}");
    Ok(())
}

#[test]
fn gives_the_same_bytes_on_one_thread_and_on_two() -> Outcome {
    let one = canonical_json(&Place::new()?.run(&short(), 1)?)?;
    let two = canonical_json(&Place::new()?.run(&short(), 2)?)?;
    assert_eq!(one, two);
    Ok(())
}

#[test]
fn continues_after_an_early_end_and_gives_the_same_bytes() -> Outcome {
    let settings = short();
    let units = |place: &Place| -> Outcome<u64> {
        Ok(place.with(|bench| plan(&settings, bench))?.total.units)
    };
    let undisturbed = Place::new()?;
    // One teacher epoch and two epochs of four arms for each of three models.
    assert_eq!(units(&undisturbed)?, 3 * (1 + 2 * 4));
    let expected = canonical_json(&undisturbed.run(&settings, 2)?)?;
    assert_eq!(undisturbed.worked.load(Ordering::Relaxed), 27);
    assert_eq!(units(&undisturbed)?, 0);

    // Ends inside the second model, after its teacher.
    let mut place = Place::new()?;
    place.patience = 9 + 1 + 4;
    assert!(matches!(
        place.run(&settings, 1),
        Err(LabError::Interrupted(_))
    ));
    assert_eq!(units(&place)?, 2 * 8 + 1);
    place.patience = u64::MAX;
    place.stop.store(false, Ordering::Relaxed);
    place.worked.store(0, Ordering::Relaxed);
    assert_eq!(canonical_json(&place.run(&settings, 1)?)?, expected);
    assert_eq!(place.worked.load(Ordering::Relaxed), 17);
    assert_eq!(canonical_json(&place.run(&settings, 1)?)?, expected);
    assert_eq!(
        place.worked.load(Ordering::Relaxed),
        17,
        "nothing is computed twice"
    );
    Ok(())
}

#[test]
fn the_untouched_arms_are_the_students_of_the_experiment() -> Outcome {
    let settings = short();
    let place = Place::new()?;
    let result = place.run(&settings, 2)?;
    let experiment = MlpSettings {
        students: vec![Condition::AuxOnly, Condition::CrossAuxOnly],
        ..settings.base
    };
    let results =
        place.with(|bench| outcome::run(&[experiment], VerdictRule::default(), 2, bench))?;
    for (arm, condition) in [
        (Arm::AsIs, Condition::AuxOnly),
        (Arm::Cross, Condition::CrossAuxOnly),
    ] {
        let arm = result.arm(arm).ok_or("an arm is missing")?;
        let student = results[0]
            .condition(condition)
            .ok_or("a condition is missing")?;
        assert_eq!(arm.per_model, student.per_model);
        assert_eq!(arm.epoch_accuracy, student.curve);
    }
    Ok(())
}

type Change = fn(&mut AlignSettings);

#[test]
fn names_the_setting_that_makes_no_run() {
    let with = |change: Change| {
        let mut settings = settings();
        change(&mut settings);
        settings.check(1437).map_err(|error| error.setting)
    };
    assert_eq!(with(|_| ()), Ok(()));
    let cases: [(Change, &str); 8] = [
        (|settings| settings.every = 0, "every"),
        (|settings| settings.probe = 0, "probe"),
        (|settings| settings.probe = 1438, "probe"),
        (|settings| settings.base.models = 1, "models"),
        (|settings| settings.base.student.epochs = 0, "epochs"),
        (
            |settings| settings.base.precision = Precision::Bf16,
            "precision",
        ),
        (
            |settings| settings.base.cross = CrossRule::Permutation,
            "cross",
        ),
        (
            |settings| settings.base.student_body = Some(settings.base.body.clone()),
            "student-hidden",
        ),
    ];
    for (change, setting) in cases {
        assert_eq!(with(change), Err(setting));
    }
}
