//! `lm chat`, from a pipe.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use serde_json::json;

use super::{llama, model};
use crate::interrupt::interrupt;
use crate::support::{Place, Ran, TestResult};

fn say(place: &Place, line: &str, words: impl AsRef<[u8]>) -> TestResult<Ran> {
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
        .write_all(words.as_ref())?;
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

#[test]
fn a_full_context_is_told_and_new_goes_on() -> TestResult {
    let place = Place::new()?;
    let line = format!("lm chat {} --max-tokens 4", llama());
    let long = "a".repeat(300);
    let ran = say(&place, &line, format!("hi\n{long}\n/new\nhi\n"))?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("do not fit into"), "{ran:?}");
    assert!(ran.stderr.contains("/new begins anew"), "{ran:?}");
    let ran = say(
        &place,
        &format!("{line} --json"),
        format!("hi\n{long}\nhi\n"),
    )?;
    let answers = |turn: usize| ran.object().map(|o| o["turns"][turn]["answers"].clone());
    assert_eq!(answers(1)?, json!([]));
    assert_eq!(answers(2)?.as_array().map(Vec::len), Some(1));
    Ok(())
}

#[test]
fn a_line_that_is_not_utf_8_is_left_out() -> TestResult {
    let place = Place::new()?;
    let line = format!("lm chat {} --max-tokens 4 --json", llama());
    let ran = say(&place, &line, b"a\xe4b\nhi\n")?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("not UTF-8"), "{ran:?}");
    let turns = ran.object()?["turns"].clone();
    assert_eq!(turns.as_array().map(Vec::len), Some(1));
    assert_eq!(turns[0]["user"], "hi");
    Ok(())
}

#[test]
fn ctrl_c_where_nobody_looks_for_it_says_interrupted() -> TestResult {
    let place = Place::new()?;
    let mut command = place.command(&format!("lm chat {} --max-tokens 4", llama()));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().ok_or("a pipe")?;
    stdin.write_all(b"hi\n")?;
    // Once it has answered, it waits for the next line.
    let mut answer = [0; 1];
    child
        .stdout
        .as_mut()
        .ok_or("a pipe")?
        .read_exact(&mut answer)?;
    interrupt(&child)?;
    let ran = Ran::of(child.wait_with_output()?)?;
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.stderr.contains("error: interrupted"), "{ran:?}");
    drop(stdin);
    Ok(())
}
