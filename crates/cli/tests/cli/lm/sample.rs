//! `lm sample`: rows in, rows out, the same bytes whatever the batch and the threads.

use std::fs;

use serde_json::json;

use super::{llama, model, numbers};
use crate::support::{Place, TestResult};

#[test]
fn completions_come_in_order_with_everything_that_was_drawn() -> TestResult {
    let place = Place::new()?;
    place.write_rows(
        "prompts.jsonl",
        &[
            json!({"prompt": "a", "id": "first", "meta": {"kind": 1}}),
            json!({"messages": [{"role": "user", "content": "b"}]}),
            json!({"prompt_tokens": [5, 6, 7]}),
        ],
    )?;
    let line = format!(
        "lm sample {} --prompts prompts.jsonl -n 3 --max-tokens 8 -o rows.jsonl",
        llama()
    );
    let ran = place.expect(0, &line)?;
    assert!(ran.stdout.starts_with("9 completions, "), "{ran:?}");
    let rows = place.read_rows("rows.jsonl")?;
    assert_eq!(rows.len(), 9);
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(row["row"], index);
        let tokens = row["completion_tokens"].as_array().ok_or("tokens")?;
        let log_probabilities = numbers(&row["log_probabilities"]);
        assert_eq!(tokens.len(), log_probabilities.len());
        assert!(log_probabilities.iter().all(|value| *value <= 0.0), "{row}");
        let sum: f64 = log_probabilities.iter().sum();
        // Absolute: the row's sum is of f32 values.
        assert!((row["sum"].as_f64().ok_or("a sum")? - sum).abs() < 1e-4);
        let finish = row["finish"].as_str().ok_or("a reason")?;
        assert_eq!(
            finish == "length",
            tokens.len() == 8 && !["2", "0"].contains(&tokens[7].to_string().as_str())
        );
    }
    assert_eq!(
        (&rows[2]["id"], &rows[2]["meta"]["kind"]),
        (&"first".into(), &1.into())
    );
    assert_eq!(rows[3]["messages"][0]["content"], "b");
    assert_eq!(rows[8]["prompt_tokens"], json!([5, 6, 7]));
    Ok(())
}

#[test]
fn batch_and_threads_change_no_byte_and_the_seed_does() -> TestResult {
    let place = Place::new()?;
    let prompts: Vec<_> = (0..12)
        .map(|i| json!({"prompt": "x".repeat(i + 1)}))
        .collect();
    place.write_rows("prompts.jsonl", &prompts)?;
    let line = format!(
        "lm sample {} --prompts prompts.jsonl --max-tokens 12",
        llama()
    );
    let mut files = Vec::new();
    for (name, flags) in [
        ("a", "--batch 64 --threads 2"),
        ("b", "--batch 1 --threads 1"),
        ("c", "--batch 5 --threads 3"),
        ("d", "--seed 1"),
    ] {
        // A store of its own: else the second would be taken from there.
        place.expect(
            0,
            &format!("{line} {flags} --store {name}.store -o {name}.jsonl"),
        )?;
        files.push(fs::read(place.path().join(format!("{name}.jsonl")))?);
    }
    assert_eq!(files[0], files[1]);
    assert_eq!(files[0], files[2]);
    assert_ne!(files[0], files[3]);
    Ok(())
}

#[test]
fn a_repeated_command_computes_nothing_and_writes_its_file_again() -> TestResult {
    let place = Place::new()?;
    let line = format!(
        "lm sample {} --prompt ab -n 4 --max-tokens 6 -o rows.jsonl",
        llama()
    );
    place.expect(0, &line)?;
    let first = fs::read(place.path().join("rows.jsonl"))?;
    fs::remove_file(place.path().join("rows.jsonl"))?;
    let ran = place.expect(0, &line)?;
    assert!(ran.stderr.contains("nothing is computed again"), "{ran:?}");
    assert_eq!(fs::read(place.path().join("rows.jsonl"))?, first);
    assert_eq!(place.steps("lm/sample")?.len(), 1);
    // Another way of asking for the same completions finds the step.
    place.write_rows("same.jsonl", &[json!({"prompt": "ab"})])?;
    assert!(!place.store().join("partial").join("x").exists());
    assert_eq!(fs::read_dir(place.store().join("partial"))?.count(), 0);
    Ok(())
}

#[test]
fn a_grammar_and_numbers_are_kept_to() -> TestResult {
    let place = Place::new()?;
    let line = format!("lm sample {} --prompt ab -n 5 --max-tokens 60", llama());
    let printed = place.json(0, &format!("{line} --numbers 4"))?;
    for row in printed["rows"].as_array().ok_or("rows")? {
        let text = row["completion"].as_str().ok_or("a text")?;
        let numbers: Vec<&str> = text.split(", ").collect();
        assert_eq!(numbers.len(), 4, "{text}");
        assert!(
            numbers
                .iter()
                .all(|n| n.parse::<u16>().is_ok_and(|n| n < 1000)),
            "{text}"
        );
    }
    let ran = place.expect(0, &format!("{line} --grammar ab|cd --quiet"))?;
    assert!(
        ran.stdout.lines().all(|line| ["ab", "cd"].contains(&line)),
        "{ran:?}"
    );
    Ok(())
}

#[test]
fn greedy_and_raw_prompts_need_no_template() -> TestResult {
    let place = Place::new()?;
    let line = format!("lm sample {} --prompt ab --max-tokens 5 --greedy", llama());
    let [chat, raw] = ["", " --raw"].map(|flag| place.json(0, &format!("{line}{flag}")));
    let (chat, raw) = (chat?, raw?);
    assert_eq!(raw["result"]["first_prompt"], "ab");
    let text = chat["result"]["first_prompt"].as_str().ok_or("a text")?;
    assert_eq!(
        text,
        "<|im_start|>user\nab<|im_end|>\n<|im_start|>assistant\n"
    );
    // Asked for by name: told even where talk is left out.
    let ran = place.expect(0, &format!("{line} --system be --show-prompt --quiet"))?;
    assert!(
        ran.stderr.contains("<|im_start|>system\nbe<|im_end|>"),
        "{ran:?}"
    );
    Ok(())
}

#[test]
fn a_dry_run_tells_tokens_time_and_memory_and_leaves_nothing() -> TestResult {
    let place = Place::new()?;
    let line = format!("lm sample {} --prompt ab -n 4 --max-tokens 6", llama());
    let plan = place.json(0, &format!("{line} --dry-run"))?;
    assert_eq!(plan["most_new_tokens"], 24);
    assert_eq!(plan["in_store"], false);
    assert!(plan["memory"]["total"].as_u64() > Some(1 << 20));
    assert!(plan["secs_estimated"].as_f64() > Some(0.0));
    assert!(place.steps("lm/sample")?.is_empty());
    place.expect(0, &line)?;
    assert_eq!(place.json(0, &format!("{line} --plan"))?["in_store"], true);
    Ok(())
}

#[test]
fn every_architecture_answers() -> TestResult {
    let place = Place::new()?;
    for name in ["tiny-llama3", "tiny-qwen2", "tiny-qwen3", "tiny-gemma3"] {
        let line = format!("lm sample {} --prompt a --raw --max-tokens 3", model(name));
        let printed = place.json(0, &line)?;
        assert!(
            printed["result"]["completion_tokens"].as_u64() >= Some(1),
            "{name}"
        );
    }
    Ok(())
}
