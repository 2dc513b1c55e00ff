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
        ("--learning-rate -1", "--learning-rate is -1"),
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
    copied(&place, "tiny-llama", &["tokenizer_config.json"])?;
    check(
        &place,
        2,
        "lm sample plain --prompt a",
        &["no chat template", "--raw"],
    )?;
    place.expect(0, "lm sample plain --prompt a --raw --max-tokens 2")?;
    Ok(())
}

#[test]
fn files_that_are_there_are_not_replaced_and_the_work_does_not_begin() -> TestResult {
    let place = Place::new()?;
    let rows = [json!({"prompt": "a", "completion": "b"})];
    let path = place.write_rows("rows.jsonl", &rows)?;
    let before = fs::read(&path)?;
    fs::create_dir(place.path().join("folder"))?;
    let llama = llama();
    let lines = [
        format!("lm sample {llama} --prompts rows.jsonl -n 2 -o"),
        format!("lm score {llama} --rows rows.jsonl -o"),
        format!("lm train {llama} --rows rows.jsonl --steps 1 --log"),
    ];
    for line in &lines {
        for (file, words) in [
            ("rows.jsonl", "is there already and holds something else"),
            ("folder", "`folder` is a folder"),
            ("no/folder.jsonl", "there is no folder `no`"),
        ] {
            check(&place, 2, &format!("{line} {file}"), &[words, file])?;
        }
    }
    let train = format!("lm train {llama} --rows rows.jsonl --steps 1");
    for (flags, words) in [
        ("-o out --log out/log.json", "--log lies in the folder"),
        ("-o rows.jsonl/out", "`rows.jsonl`, above"),
        ("-o ..", "does not end in a name"),
        ("-o rows.jsonl", "not empty and holds something else"),
    ] {
        check(&place, 2, &format!("{train} {flags}"), &[words])?;
    }
    let merge = format!("lm merge {llama} -o");
    fs::write(place.path().join("folder/mine"), b"mine")?;
    for (folder, words) in [
        ("folder", "not empty and holds something else"),
        ("rows.jsonl", "not empty and holds something else"),
        ("rows.jsonl/merged", "`rows.jsonl`, above"),
    ] {
        check(&place, 2, &format!("{merge} {folder}"), &[words])?;
    }
    assert_eq!(fs::read(&path)?, before);
    assert!(place.run_folder("lm-").is_err(), "a run was begun");
    // Once the step is in the store its own bytes may be there, and no others.
    for line in &lines {
        let line = format!("{line} out.json");
        place.expect(0, &line)?;
        place.expect(0, &line)?;
        let out = place.path().join("out.json");
        fs::write(&out, b"mine")?;
        check(&place, 2, &line, &["out.json", "holds something else"])?;
        assert_eq!(fs::read(&out)?, b"mine");
        fs::remove_file(&out)?;
    }
    Ok(())
}

#[test]
fn a_prompt_is_asked_for_by_both_its_names() -> TestResult {
    let place = Place::new()?;
    let sample = format!("lm sample {}", llama());
    check(&place, 2, &sample, &["--prompts <FILE>", "--prompt <TEXT>"])?;
    let score = format!("lm score {}", llama());
    check(&place, 2, &score, &["--rows <FILE>", "--prompt <TEXT>"])
}

#[test]
fn a_missing_file_of_rows_is_told_without_the_schema_of_a_line() -> TestResult {
    let place = Place::new()?;
    let line = format!("lm sample {} --prompts rows.jsonl", llama());
    let ran = place.expect(2, &line)?;
    assert!(!ran.stderr.contains("schema"), "{ran:?}");
    fs::write(place.path().join("rows.jsonl"), b"[0,\"id1\",\"hello\"]")?;
    check(&place, 2, &line, &["a line is an object", "schema lm-row"])?;
    fs::write(place.path().join("rows.jsonl"), b"\xef\xbb\xbf{}")?;
    check(&place, 2, &line, &["byte order mark"])
}

/// Copies a tiny model without the files in `without`.
fn copied(place: &Place, name: &str, without: &[&str]) -> TestResult<std::path::PathBuf> {
    let folder = place.path().join("plain");
    fs::create_dir(&folder)?;
    for entry in fs::read_dir(model(name))? {
        let entry = entry?;
        let name = entry.file_name();
        let is_left_out = without.iter().any(|without| name == *without);
        if !is_left_out && entry.file_type()?.is_file() {
            fs::copy(entry.path(), folder.join(name))?;
        }
    }
    Ok(folder)
}

#[test]
fn a_missing_tokenizer_is_the_callers_to_bring() -> TestResult {
    let place = Place::new()?;
    copied(&place, "tiny-llama", &["tokenizer.json"])?;
    let words = ["plain/tokenizer.json` is not there", "copy it from"];
    check(&place, 2, "lm sample plain --prompt a", &words)
}

#[test]
fn a_weight_that_is_no_number_is_told_with_its_file() -> TestResult {
    let place = Place::new()?;
    let folder = copied(&place, "tiny-llama", &[])?;
    let weights = folder.join("model.safetensors");
    let mut bytes = fs::read(&weights)?;
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&weights, bytes)?;
    let words = ["plain/model.safetensors`", "is not a finite number"];
    check(&place, 2, "lm sample plain --prompt a", &words)
}
