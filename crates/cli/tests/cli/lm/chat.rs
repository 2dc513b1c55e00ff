//! `lm chat`, from a pipe.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::json;

use super::{llama, model};
use crate::support::{Place, Ran, TestResult};

fn say(place: &Place, line: &str, words: &str) -> TestResult<Ran> {
    let mut command = place.command(line);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    child
        .stdin
        .take()
        .ok_or("a pipe")?
        .write_all(words.as_bytes())?;
    Ran::of(child.wait_with_output()?)
}

#[test]
fn several_voices_answer_every_line_side_by_side() -> TestResult {
    let place = Place::new()?;
    place.write_rows("rows.jsonl", &[json!({"prompt": "a", "completion": "b"})])?;
    place.expect(
        0,
        &format!(
            "lm train {} --rows rows.jsonl --steps 1 -o student",
            llama()
        ),
    )?;
    let line = format!(
        "lm chat {} --adapter student --with {} --max-tokens 4 --seed 5",
        llama(),
        model("tiny-qwen2")
    );
    let ran = say(&place, &format!("{line} --json"), "hi\n\nso\n/new\nhi\n")?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let printed = ran.object()?;
    let turns = printed["turns"].as_array().ok_or("turns")?;
    assert_eq!(
        turns
            .iter()
            .map(|turn| turn["user"].as_str().unwrap_or_default())
            .collect::<Vec<_>>(),
        ["hi", "so", "hi"]
    );
    for turn in turns {
        let voices: Vec<_> = turn["answers"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|a| a["voice"].clone())
            .collect();
        assert_eq!(
            voices,
            [json!("base"), json!("student"), json!(model("tiny-qwen2"))]
        );
    }
    let ran = say(&place, &line, "hi\n")?;
    assert!(
        ran.stdout.contains("base: ") && ran.stdout.contains("student: "),
        "{ran:?}"
    );
    // Nothing is recorded but the training.
    assert!(place.run_folder("lm-chat").is_err());
    Ok(())
}
