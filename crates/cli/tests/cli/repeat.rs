//! Repeating a command costs nothing, and a changed setting costs only what depends on it.

use std::fs;

use serde_json::Value;

use crate::support::{Place, TINY, TINY_RUN, TestResult};

fn plan(place: &Place, line: &str) -> TestResult<(u64, u64, u64)> {
    let plan = place.json(0, &format!("{line} --dry-run"))?;
    let number = |name: &str| plan[name].as_u64().ok_or(format!("{name} in {plan}"));
    Ok((
        number("steps_to_compute")?,
        number("steps_reused")?,
        number("model_epochs")?,
    ))
}

#[test]
fn repeating_returns_the_finished_result_and_says_so() -> TestResult {
    let place = Place::new()?;
    let first = place.expect(0, &format!("{TINY_RUN} --json"))?;
    let manifest = place.run_folder("mnist-")?.join("manifest.json");
    let before = (place.lasting()?, fs::read(&manifest)?);
    let again = place.expect(0, &format!("{TINY_RUN} --json --threads 1"))?;
    assert!(
        again.stderr.contains("nothing is computed again"),
        "{}",
        again.stderr
    );
    assert_eq!(first.stdout, again.stdout);
    assert!(
        before == (place.lasting()?, fs::read(&manifest)?),
        "repeating wrote something"
    );
    Ok(())
}

#[test]
fn changed_student_epochs_reuse_the_teachers_and_why_names_the_field() -> TestResult {
    let place = Place::new()?;
    let changed = format!("{TINY} --student-epochs 5");
    // 4 teachers of 4 epochs, 4 models of 4 students each of 5 epochs.
    assert_eq!(plan(&place, &changed)?, (8, 0, 4 * 4 + 4 * 4 * 5));
    place.expect(0, TINY_RUN)?;
    assert_eq!(plan(&place, TINY_RUN)?, (0, 8, 0));
    assert_eq!(plan(&place, &changed)?, (4, 4, 4 * 4 * 5));
    let why = place
        .expect(0, &format!("{changed} --why --dry-run"))?
        .stderr;
    assert!(
        why.contains("4 steps are taken from the store, 4 are not"),
        "{why}"
    );
    let reason = "mlp/students of model 3: `params.training.epochs` was 4 and is now 5";
    assert!(why.contains(reason), "{why}");
    assert!(!why.contains("mlp/teacher"), "{why}");
    place.expect(0, &changed)?;
    assert_eq!(
        (
            place.steps("mlp/teacher")?.len(),
            place.steps("mlp/students")?.len()
        ),
        (4, 8)
    );
    Ok(())
}

#[test]
fn why_says_so_when_nothing_like_it_was_computed() -> TestResult {
    let place = Place::new()?;
    let why = place
        .expect(0, &format!("{TINY_RUN} --why --dry-run"))?
        .stderr;
    assert!(why.contains("nothing like it was computed before"), "{why}");
    assert!(why.contains("4 steps depend on outputs of these"), "{why}");
    Ok(())
}

#[test]
fn a_dry_run_of_the_optimiser_sweep_counts_the_search() -> TestResult {
    let place = Place::new()?;
    let line = "ablate --sweep optimiser --values adam,sgd --data digits --models 2 --hidden 8 --teacher-epochs 1 \
                --student-epochs 1 --batch 128 --input-rows 100";
    let (to_compute, ..) = plan(&place, line)?;
    place.expect(0, line)?;
    let (mut computed, steps) = (0, fs::read_dir(place.store().join("steps"))?);
    for shard in steps {
        computed += fs::read_dir(shard?.path())?.count() as u64;
    }
    assert_eq!(to_compute, computed);
    let (left, reused, epochs) = plan(&place, line)?;
    assert_eq!((left, epochs), (0, 0));
    assert!(reused >= computed);
    Ok(())
}

#[test]
fn a_dry_run_leaves_no_run_and_computes_nothing() -> TestResult {
    let place = Place::new()?;
    place.expect(0, &format!("{TINY_RUN} --dry-run"))?;
    assert!(place.run_folder("").is_err(), "a run was recorded");
    assert!(place.steps("mlp/teacher")?.is_empty());
    Ok(())
}

#[test]
fn a_sweep_over_student_epochs_trains_each_teacher_once() -> TestResult {
    let place = Place::new()?;
    let line = format!(
        "{} --sweep student-epochs --values 1,2,3",
        TINY.replace("mnist", "ablate")
    );
    // A teacher that two values share is planned once; the students of each value depend on it.
    assert_eq!(
        plan(&place, &line)?,
        (4 + 3 * 4, 0, 4 * 4 + 4 * 4 * (1 + 2 + 3))
    );
    let result = place.json(0, &line)?;
    assert_eq!(
        (
            place.steps("mlp/teacher")?.len(),
            place.steps("mlp/students")?.len()
        ),
        (4, 12)
    );
    let points = result["result"]["points"].as_array().ok_or("points")?;
    let teacher = |point: &Value| point["result"]["conditions"][1]["per_model"].clone();
    assert_eq!(points.len(), 3);
    assert_eq!(teacher(&points[0]), teacher(&points[2]));
    assert_eq!(plan(&place, &line)?.0, 0);
    Ok(())
}

#[test]
fn align_shares_teachers_with_the_experiment_and_says_why() -> TestResult {
    let place = Place::new()?;
    place.expect(0, TINY_RUN)?;
    let align = format!(
        "{} --student-epochs 1 --every 8 --learning-rate 0.0003",
        TINY.replace("mnist", "align")
    );
    assert_eq!(plan(&place, &align)?, (4, 4, 4 * 4));
    let why = place.expect(0, &format!("{align} --why --dry-run"))?.stderr;
    assert!(
        why.contains("4 steps are taken from the store, 4 are not"),
        "{why}"
    );
    place.expect(0, &align)?;
    assert_eq!(plan(&place, &align)?, (0, 8, 0));
    Ok(())
}
