//! The command under "To repeat it" is the same run.

use std::process::{Command, Stdio};

use serde_json::json;

use super::llama;
use crate::support::{Place, Ran, TestResult};

/// Runs `line`, then the recipe that `show` gives for the run, which must be found finished.
#[track_caller]
fn check(place: &Place, command: &str, line: &str) -> TestResult {
    place.expect(0, line)?;
    let shown = place.expect(0, &format!("show {command}"))?.stdout;
    let (_, rest) = shown.split_once("To repeat it\n").ok_or("no recipe")?;
    let recipe = rest.lines().next().ok_or("a command")?.trim().to_owned();
    let arguments = recipe
        .strip_prefix("undertone ")
        .ok_or("the program's name")?;
    // A shell, as quotes are part of the recipe.
    let ran = Ran::of(
        Command::new("sh")
            .args(["-c", &format!("\"$PROGRAM\" {arguments}")])
            .env("PROGRAM", env!("CARGO_BIN_EXE_undertone"))
            .env_remove("UNDERTONE_STORE")
            .env_remove("UNDERTONE_DATA")
            .current_dir(place.path())
            .stdin(Stdio::null())
            .output()?,
    )?;
    assert_eq!(ran.code, Some(0), "`{recipe}`: {}", ran.stderr);
    assert!(
        ran.stderr.contains("nothing is computed again"),
        "`{recipe}` is another run"
    );
    Ok(())
}

#[test]
fn of_every_command_with_every_setting_changed() -> TestResult {
    let place = Place::new()?;
    let rows = [
        json!({"prompt": "a b", "completion": "cd"}),
        json!({"prompt": "c", "completion": "d"}),
    ];
    place.write_rows("rows.jsonl", &rows)?;
    let llama = llama();
    check(
        &place,
        "lm-train",
        &format!(
            "lm train {llama} --rows rows.jsonl --no-end --system be --rank 3 --alpha 5 --targets q,up --rslora --epochs 2 \
         --batch 1 --optimiser sgd --momentum 0.5 --learning-rate 0.01 --schedule cosine --warmup 1 --clip 0 --seed 9 \
         --eval rows.jsonl --eval-at 1,2 --base-kl 0.5:0.1:3 -o student"
        ),
    )?;
    let adapter = "--adapter student --raw";
    check(
        &place,
        "lm-sample",
        &format!(
            "lm sample {llama} {adapter} --prompts rows.jsonl -n 2 --seed 4 --temperature 0.7 --top-k 9 --top-p 0.9 --min-p 0.01 \
         --threshold 0.001 --max-tokens 7 --stop a --grammar [ab]*"
        ),
    )?;
    check(
        &place,
        "lm-score",
        &format!(
            "lm score {llama} {adapter} --rows rows.jsonl --end --top 3 --next all --hidden 0,1"
        ),
    )?;
    check(
        &place,
        "lm-merge",
        &format!("lm merge {llama} --adapter student --weights bf16 -o merged"),
    )?;
    check(
        &place,
        "pretrain-tiny",
        "pretrain-tiny --seed 3 --width 32 --heads 4 --ffn-width 48 --layers 1 --context 256 --corpus-seed 5 \
         --documents 90 --steps 3 --batch 5 --learning-rate 0.004 --warmup 1 --weight-decay 0.1 -o base",
    )
}

#[test]
fn of_prompts_that_were_typed() -> TestResult {
    let place = Place::new()?;
    check(
        &place,
        "lm-sample",
        &format!(
            "lm sample {} --prompt it's --greedy --max-tokens 2",
            llama()
        ),
    )?;
    check(
        &place,
        "lm-score",
        &format!(
            "lm score {} --prompt $HOME --completion * --next 2",
            llama()
        ),
    )
}
