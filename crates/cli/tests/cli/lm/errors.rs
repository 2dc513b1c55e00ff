//! Errors name the file, the line and what can be done, before any work begins.

use std::fs;

use serde_json::json;

use super::{llama, model};
use crate::support::{Place, TestResult};

/// Checks that `line` ends with `code` and says all of `words`.
#[track_caller]
fn check(place: &Place, code: i32, line: &str, words: &[&str]) -> TestResult {
    let ran = place.expect(code, line)?;
    for words in words {
        assert!(
            ran.stderr.contains(words),
            "`{line}` does not say `{words}`: {}",
            ran.stderr
        );
    }
    Ok(())
}

#[test]
fn models_that_are_not_there_are_named_with_the_command_that_gets_them() -> TestResult {
    let place = Place::new()?;
    check(
        &place,
        2,
        "lm info smollm2-135m-instruct",
        &["undertone fetch smollm2-135m-instruct"],
    )?;
    check(
        &place,
        2,
        "lm info no/such/model",
        &["no/such/model", "is not there"],
    )?;
    check(&place, 2, "lm info hf:nobody", &["hf:OWNER/NAME"])?;
    fs::write(place.path().join("broken.gguf"), b"GGUF and nothing else")?;
    check(&place, 2, "lm info broken.gguf", &["broken.gguf"])?;
    check(
        &place,
        2,
        &format!("lm info {} --adapter nowhere", llama()),
        &["nowhere", "adapter_config.json"],
    )
}

#[test]
fn rows_are_refused_with_file_and_line() -> TestResult {
    let place = Place::new()?;
    let line = format!("lm sample {} --prompts rows.jsonl", llama());
    check(&place, 2, &line, &["rows.jsonl", "cannot be read"])?;
    for (rows, words) in [
        ("", "there is no row"),
        ("{\"prompt\": \"a\"}\n{\"promt\": \"b\"}", "line 2"),
        (
            "{\"prompt\": \"a\"}\n{\"promt\": \"b\"}",
            "unknown field `promt`",
        ),
        ("\n{\"id\": \"1\"}", "line 2"),
        (
            "{\"prompt\": \"a\", \"prompt_tokens\": [1]}",
            "this one has 2",
        ),
        ("{\"prompt_tokens\": []}", "no tokens"),
        ("{\"prompt_tokens\": [112]}", "beyond the model's 112"),
    ] {
        fs::write(place.path().join("rows.jsonl"), rows)?;
        check(&place, 2, &line, &["rows.jsonl", words])?;
    }
    place.write_rows("rows.jsonl", &[json!({"prompt": "a".repeat(400)})])?;
    check(&place, 2, &line, &["line 1", "context of 256"])?;
    place.write_rows(
        "rows.jsonl",
        &[json!({"messages": [{"role": "system", "content": "s"}]})],
    )?;
    check(
        &place,
        2,
        &format!("{line} --system other"),
        &["system message of its own"],
    )?;
    check(
        &place,
        2,
        &format!("{line} --raw"),
        &["chat template", "`prompt`"],
    )?;
    place.write_rows("rows.jsonl", &[json!({"prompt": "a"})])?;
    check(
        &place,
        2,
        &format!("lm train {} --rows rows.jsonl", llama()),
        &["line 1", "`completion`"],
    )?;
    assert!(place.run_folder("lm-").is_err(), "a run was begun");
    Ok(())
}

#[test]
fn settings_that_cannot_be_used_are_named() -> TestResult {
    let place = Place::new()?;
    let sample = format!("lm sample {} --prompt a", llama());
    for (flags, words) in [
        ("--temperature -1", "temperature"),
        ("--top-p 2", "top_p"),
        ("--max-tokens 0", "--max-tokens"),
        ("-n 0", "--n"),
        ("-n 4000000000", "at most 1000000"),
        ("-n 4000000000 --dry-run", "at most 1000000"),
        ("--batch 0", "--batch"),
        ("--stop abcdefgh", "--stop"),
        ("--grammar (", "--grammar"),
        ("--numbers 0", "--numbers"),
        ("--template none", "`none`"),
        ("--date today", "`today`"),
        ("--raw --system x", "--raw"),
    ] {
        // A value that begins with a dash needs an equals sign.
        let flags = flags.replace("--temperature -1", "--temperature=-1");
        check(&place, 2, &format!("{sample} {flags}"), &[words])?;
    }
    place.write_rows("rows.jsonl", &[json!({"prompt": "a", "completion": "b"})])?;
    let train = format!("lm train {} --rows rows.jsonl", llama());
    for (flags, words) in [
        ("--batch 0", "--batch"),
        ("--rank 0", "rank"),
        ("--targets q,x", "`x` is no projection"),
        ("--momentum 0.9", "--optimiser sgd"),
        ("--base-kl x", "--base-kl"),
        ("--eval rows.jsonl --eval-at 99", "--eval-at"),
        ("--full --rank 3", "--full"),
        ("--learning-rate nan", "--learning-rate"),
    ] {
        check(&place, 2, &format!("{train} {flags}"), &[words])?;
    }
    let teacher = format!("{train} --teacher {}", llama());
    check(&place, 2, &teacher, &["--teacher", "--objective kl"])?;
    check(
        &place,
        2,
        &format!("lm score {} --prompt a --hidden 3", llama()),
        &["--hidden", "layer 3"],
    )?;
    check(
        &place,
        2,
        &format!("lm score {} --prompt a --next none", llama()),
        &["--next"],
    )
}

#[test]
fn tokens_of_another_vocabulary_are_not_taken_for_the_models() -> TestResult {
    let place = Place::new()?;
    let foreign =
        json!({"prompt": "a", "completion_tokens": [5], "vocabulary": "0123456789abcdef"});
    place.write_rows("rows.jsonl", &[foreign])?;
    let line = format!("lm score {} --rows rows.jsonl", llama());
    check(&place, 2, &line, &["vocabulary 0123456789abcdef", "line 1"])?;
    let with_text = json!({"prompt": "a", "completion": "b", "completion_tokens": [5, 6, 7], "vocabulary": "0123456789abcdef"});
    place.write_rows("rows.jsonl", &[with_text])?;
    let scored = place.json(0, &line)?;
    assert_eq!(
        scored["rows"][0]["completion_tokens"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    Ok(())
}

#[test]
fn a_model_without_a_template_asks_for_raw_prompts() -> TestResult {
    let place = Place::new()?;
    let folder = place.path().join("plain");
    fs::create_dir(&folder)?;
    for entry in fs::read_dir(model("tiny-llama"))? {
        let entry = entry?;
        let name = entry.file_name();
        if name != "tokenizer_config.json" && entry.file_type()?.is_file() {
            fs::copy(entry.path(), folder.join(name))?;
        }
    }
    check(
        &place,
        2,
        "lm sample plain --prompt a",
        &["no chat template", "--raw"],
    )?;
    place.expect(0, "lm sample plain --prompt a --raw --max-tokens 2")?;
    Ok(())
}
