//! Killed at any moment, a repeated command ends with the same bytes.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use super::llama;
use crate::support::{Place, TestResult, assert_same};

/// Longest wait for something that should happen soon.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs `line`, kills it as soon as its unfinished step's file `name` grows, `kills` times; then lets it finish.
fn killed(place: &Place, line: &str, name: &str, kills: u32) -> TestResult<u32> {
    let mut n = 0;
    for _ in 0..kills {
        let before = place.partial(name);
        let mut child = place.command(line).spawn()?;
        let started = Instant::now();
        while place.partial(name) <= before && child.try_wait()?.is_none() {
            assert!(started.elapsed() < PATIENCE, "nothing happens");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill()?;
        if child.wait()?.code().is_none() {
            n += 1;
        }
    }
    place.expect(0, line)?;
    Ok(n)
}

#[test]
fn sampled_rows_are_kept_one_by_one() -> TestResult {
    let (left_alone, place) = (Place::new()?, Place::new()?);
    let line = format!(
        "lm sample {} --prompts prompts.jsonl -n 200 --max-tokens 60 --batch 8 -o rows.jsonl",
        llama()
    );
    for place in [&left_alone, &place] {
        place.write_rows(
            "prompts.jsonl",
            &[json!({"prompt": "ab"}), json!({"prompt": "c"})],
        )?;
    }
    left_alone.expect(0, &line)?;
    let kills = killed(&place, &line, "rows", 3)?;
    assert!(kills > 0, "it was never caught in the middle");
    let rows = |place: &Place| fs::read(place.path().join("rows.jsonl"));
    assert!(rows(&left_alone)? == rows(&place)?, "other rows");
    assert_same(&left_alone.lasting()?, &place.lasting()?);
    assert_eq!(fs::read_dir(place.store().join("partial"))?.count(), 0);
    Ok(())
}

#[test]
fn scored_rows_are_kept_one_by_one() -> TestResult {
    let (left_alone, place) = (Place::new()?, Place::new()?);
    let line = format!(
        "lm score {} --rows rows.jsonl --top 20 --next all --hidden 0,1,2 -o scores.jsonl",
        llama()
    );
    let rows: Vec<_> = (0..1500)
        .map(|i| json!({"prompt": format!("p{i}"), "completion": "abc".repeat(1 + i % 20)}))
        .collect();
    for place in [&left_alone, &place] {
        place.write_rows("rows.jsonl", &rows)?;
    }
    left_alone.expect(0, &line)?;
    let kills = killed(&place, &line, "rows", 3)?;
    assert!(kills > 0, "it was never caught in the middle");
    let scores = |place: &Place| fs::read(place.path().join("scores.jsonl"));
    assert!(scores(&left_alone)? == scores(&place)?, "other scores");
    assert_same(&left_alone.lasting()?, &place.lasting()?);
    assert_eq!(fs::read_dir(place.store().join("partial"))?.count(), 0);
    Ok(())
}

#[test]
fn training_goes_on_from_its_last_state_to_the_same_bits() -> TestResult {
    let (left_alone, place) = (Place::new()?, Place::new()?);
    let line = format!(
        "lm train {} --rows rows.jsonl --steps 150 --batch 2 --eval rows.jsonl --eval-at 0,75,150 --keep-every 0 -o student",
        llama()
    );
    let rows: Vec<_> = (0..5)
        .map(|i| json!({"prompt": format!("p{i}"), "completion": "abc"}))
        .collect();
    for place in [&left_alone, &place] {
        place.write_rows("rows.jsonl", &rows)?;
    }
    left_alone.expect(0, &line)?;
    let mut kills = 0;
    // The state is replaced, not appended to: wait for the first only.
    let mut child = place.command(&line).spawn()?;
    let started = Instant::now();
    while place.partial("state") == 0 && child.try_wait()?.is_none() {
        assert!(started.elapsed() < PATIENCE, "nothing happens");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill()?;
    kills += u32::from(child.wait()?.code().is_none());
    for millis in [150, 400] {
        let mut child = place.command(&line).spawn()?;
        std::thread::sleep(Duration::from_millis(millis));
        child.kill()?;
        kills += u32::from(child.wait()?.code().is_none());
    }
    assert!(kills > 0, "it was never caught in the middle");
    place.expect(0, &line)?;
    let adapter = |place: &Place| fs::read(place.path().join("student/adapter_model.safetensors"));
    assert!(adapter(&left_alone)? == adapter(&place)?, "another adapter");
    assert_same(&left_alone.lasting()?, &place.lasting()?);
    Ok(())
}

#[test]
fn threads_change_no_bit_of_training() -> TestResult {
    let place = Place::new()?;
    let rows: Vec<_> = (0..20)
        .map(|i| json!({"prompt": "p".repeat(i + 1), "completion": "q".repeat(21 - i)}))
        .collect();
    place.write_rows("rows.jsonl", &rows)?;
    let line = format!(
        "lm train {} --rows rows.jsonl --steps 4 --batch 20",
        llama()
    );
    let mut adapters = Vec::new();
    for (name, flags) in [("a", "--threads 1"), ("b", "--threads 4 --kept-memory 0")] {
        place.expect(0, &format!("{line} {flags} --store {name}.store -o {name}"))?;
        adapters.push(fs::read(
            place.path().join(name).join("adapter_model.safetensors"),
        )?);
    }
    assert!(adapters[0] == adapters[1], "threads change the adapter");
    Ok(())
}
