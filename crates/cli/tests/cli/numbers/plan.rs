//! What a plan counts is what is then done.

use std::fs;

use serde_json::Value;

use super::{small, with};
use crate::support::{Place, TestResult};

/// Counts the steps of an experiment that a store holds.
fn recorded(place: &Place) -> TestResult<u64> {
    let kinds = [
        "lm/train",
        "lm/sample",
        "lm/score",
        "numbers/read",
        "numbers/student",
    ];
    let mut recorded = 0;
    for kind in kinds {
        recorded += place.steps(kind)?.len() as u64;
    }
    Ok(recorded)
}

#[test]
fn a_plan_knows_what_is_there() -> TestResult {
    let place = with(&small(&[])?)?;
    let before = place.json(0, "plan owl.toml")?;
    let sum = |plan: &Value, of: &str| -> u64 {
        plan["lines"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|line| line[of].as_u64())
            .sum()
    };
    assert_eq!(sum(&before, "in_store"), 0);
    assert!(
        before["secs_estimated"]
            .as_f64()
            .is_some_and(|secs| secs > 0.0),
        "{before}"
    );
    let memory = |plan: &Value| plan["memory_bytes"].as_u64();
    place.expect(0, "run owl.toml --quiet")?;
    let after = place.json(0, "run owl.toml --dry-run")?;
    assert_eq!(memory(&after), Some(0), "nothing is left to do");
    assert_eq!(sum(&after, "in_store"), sum(&after, "steps"));
    assert_eq!(
        (sum(&after, "tokens"), sum(&after, "steps")),
        (0, sum(&before, "steps"))
    );
    assert_eq!(
        sum(&after, "steps"),
        recorded(&place)?,
        "a plan lists every step once"
    );
    Ok(())
}

#[test]
fn a_plan_needs_the_memory_of_its_largest_step() -> TestResult {
    let memory = |edit: &[(&str, &str)], threads: usize| -> TestResult<u64> {
        let place = with(&small(edit)?)?;
        let plan = format!("plan owl.toml --no-calibration --threads {threads}");
        let plan = place.json(0, &plan)?;
        Ok(plan["memory_bytes"].as_u64().ok_or("a number of bytes")?)
    };
    let one = memory(&[], 1)?;
    assert!(memory(&[], 2)? > one, "threads have memory of their own");
    // Training wide adapters is the largest step: without moments it needs less, and what teachers need is of no account.
    let rates = ["learning-rate = 3e-3", "learning-rate = 2e-3"];
    let of = |optimisers: [&str; 2]| {
        let students = format!(
            "{}\nrank = 256\noptimiser = \"{}\"",
            rates[0], optimisers[0]
        );
        let teachers = format!("{}\noptimiser = \"{}\"", rates[1], optimisers[1]);
        memory(&[(rates[0], &students), (rates[1], &teachers)], 1)
    };
    let wide = of(["adamw", "adamw"])?;
    assert!(wide > one);
    assert!(of(["sgd", "adamw"])? < wide);
    assert_eq!(of(["adamw", "sgd"])?, wide);
    Ok(())
}

#[test]
fn a_plan_lists_what_variants_share_once() -> TestResult {
    let place = with(&small(&[])?)?;
    let path = place.path().join("owl.toml");
    let vary = "\n[vary.labels.soft]\nstudent.labels = \"soft\"\n\n[vary.labels.hard]\nstudent.labels = \"hard\"\n\n\
                [vary.rate.low]\nstudent.training.learning-rate = 1e-5\n\n[vary.rate.high]\n\
                student.training.learning-rate = 1e-4\n";
    fs::write(&path, fs::read_to_string(&path)? + vary)?;
    let steps = |plan: &Value, what: &str| {
        let lines = plan["lines"].as_array().into_iter().flatten();
        let of = lines.filter(|line| what.is_empty() || line["what"] == what);
        of.filter_map(|line| line["steps"].as_u64()).sum::<u64>()
    };
    let before = place.json(0, "plan owl.toml --no-calibration")?;
    place.expect(0, "run owl.toml --quiet")?;
    assert_eq!(
        steps(&before, "train a teacher"),
        2,
        "four variants share the teachers of both targets: {before}"
    );
    assert_eq!(steps(&before, ""), recorded(&place)?, "{before}");
    Ok(())
}
