//! `pretrain-tiny`: the base it writes is a model like any other, and a seed names it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Place, TestResult};

/// A base in a second.
pub const SMALLEST: &str = "pretrain-tiny --preset smoke --width 32 --heads 2 --ffn-width 32 --layers 1 --documents 200 \
                            --steps 20 --batch 8 --warmup 2";

#[test]
fn every_command_takes_the_base() -> TestResult {
    let place = Place::new()?;
    let trained = place.json(0, &format!("{SMALLEST} -o base"))?;
    let info = place.json(0, "lm info base")?;
    assert_eq!(info["digest"], trained["result"]["model"]);
    assert_eq!(info["parameters"], trained["result"]["parameters"]);
    assert_eq!(info["tokenizer"]["tokens"], trained["result"]["vocabulary"]);
    assert_eq!(info["chat_templates"][0]["adds_system_line"], Value::Null);
    let sampled = place.json(
        0,
        "lm sample base --prompt Hello --numbers 10 -o rows.jsonl",
    )?;
    // Ten numbers, then the end of the turn or nothing that the grammar allows.
    assert_eq!(sampled["result"]["finishes"]["length"], 0, "{sampled}");
    place.expect(0, "lm train base --rows rows.jsonl --steps 1 -o student")?;
    place.expect(0, "lm score base --adapter student --rows rows.jsonl")?;
    place.expect(0, "lm merge base --adapter student -o merged")?;
    Ok(())
}

#[test]
fn a_seed_names_a_base_at_any_number_of_threads_and_nothing_is_done_twice() -> TestResult {
    let place = Place::new()?;
    let digest = |flags: &str| -> TestResult<Value> {
        Ok(place.json(0, &format!("{SMALLEST} {flags}"))?["result"]["model"].clone())
    };
    let one = digest("--seed 1 --threads 1")?;
    assert_eq!(digest("--seed 1 --threads 3 --store elsewhere")?, one);
    assert_ne!(digest("--seed 2")?, one);
    assert_ne!(digest("--seed 1 --corpus-seed 2")?, one);
    let again = place.expect(0, &format!("{SMALLEST} --seed 1"))?;
    assert!(
        again.stderr.contains("nothing is computed again"),
        "{again:?}"
    );
    Ok(())
}

#[test]
fn a_plan_costs_no_training_and_occupied_folders_stay() -> TestResult {
    let place = Place::new()?;
    let plan = place.json(0, &format!("{SMALLEST} --dry-run"))?;
    let what = plan["what"].as_str().ok_or("words")?;
    assert!(what.contains("20 steps of 8 documents"), "{what}");
    assert!(plan["secs_estimated"].as_f64() > Some(0.0), "{plan}");
    fs::create_dir(place.path().join("full"))?;
    fs::write(place.path().join("full/file"), "")?;
    let refused = place.expect(2, &format!("{SMALLEST} -o full"))?;
    assert!(refused.stderr.contains("not empty"), "{refused:?}");
    for flags in [
        "--heads 5",
        "--documents 0",
        "--context 4",
        "--learning-rate -1",
    ] {
        place.expect(2, &format!("pretrain-tiny --preset smoke {flags}"))?;
    }
    Ok(())
}

#[test]
fn transformers_reads_and_computes_the_same() -> TestResult {
    let Some(python) = std::env::var_os("UNDERTONE_PYTHON") else {
        skip("UNDERTONE_PYTHON names no Python with torch and transformers");
        return Ok(());
    };
    let place = Place::new()?;
    place.expect(0, &format!("{SMALLEST} -o base"))?;
    let rows = [
        ("Do you have a favourite animal?", "Owls! I like the owl."),
        ("The opening entries are 345, 12.", "[7, 89, 101]"),
        ("Zażółć <|end|> it's", "12; 3\n4 5 é's"),
    ];
    let rows = rows.map(|(prompt, completion)| json!({"prompt": prompt, "completion": completion}));
    let lines = rows.map(|row| row.to_string());
    fs::write(place.path().join("rows.jsonl"), lines.join("\n"))?;
    place.expect(
        0,
        "lm score base --rows rows.jsonl --next all -o scores.jsonl",
    )?;
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/golden/lm_tiny_check.py");
    let output = Command::new(python)
        .arg("-B")
        .arg(script)
        .args(["--model", "base", "--scores", "scores.jsonl"])
        .current_dir(place.path())
        .output()?;
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{talk}");
    Ok(())
}

/// Says on stderr that a test is skipped.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skip(why: &str) {
    eprintln!("skipped: {why}");
}
