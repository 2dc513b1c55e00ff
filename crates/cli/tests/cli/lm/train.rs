//! `lm train` and `lm merge`: what is learned, what is written, and what other commands make of it.

use std::fs;

use serde_json::{Value, json};

use super::{llama, model, numbers};
use crate::support::{Place, TestResult};

/// Rows that any model can learn.
fn lessons() -> Vec<Value> {
    (0..10)
        .map(|i| json!({"prompt": format!("p{i}"), "completion": "abab"}))
        .collect()
}

#[test]
fn an_adapter_learns_its_rows_and_scores_say_so() -> TestResult {
    let place = Place::new()?;
    place.write_rows("rows.jsonl", &lessons())?;
    let llama = llama();
    let line = format!(
        "lm train {llama} --rows rows.jsonl --epochs 6 --batch 4 --learning-rate 0.02 --eval rows.jsonl --eval-at 0,9,18 \
         -o student --log log.json"
    );
    let ran = place.expect(0, &line)?;
    assert!(ran.stdout.contains("after 18 steps: loss"), "{ran:?}");
    let log: Value = serde_json::from_slice(&fs::read(place.path().join("log.json"))?)?;
    assert_eq!(log["steps"].as_array().map(Vec::len), Some(18));
    let losses: Vec<f64> = log["evaluations"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|at| at["loss"].as_f64())
        .collect();
    assert_eq!(losses.len(), 3);
    assert!(losses[2] < losses[0] - 0.5, "{losses:?}");

    let mean = |adapter: &str| -> TestResult<f64> {
        let scored = place.json(
            0,
            &format!("lm score {llama} --rows rows.jsonl --end {adapter}"),
        )?;
        Ok(scored["result"]["mean_log_probability"]
            .as_f64()
            .ok_or("a mean")?)
    };
    // Absolute: the same model in f32, once with room for gradients.
    assert!((mean("")? + losses[0]).abs() < 1e-4);
    assert!((mean("--adapter student")? + losses[2]).abs() < 1e-4);
    let info = place.json(0, &format!("lm info {llama} --adapter student"))?;
    assert_eq!(info["adapter"]["config"]["rank"], 8);
    Ok(())
}

#[test]
fn a_merged_model_is_its_base_with_the_adapter() -> TestResult {
    let place = Place::new()?;
    place.write_rows("rows.jsonl", &lessons())?;
    let llama = llama();
    place.expect(
        0,
        &format!("lm train {llama} --rows rows.jsonl --steps 4 --learning-rate 0.05 -o student"),
    )?;
    let merge = format!("lm merge {llama} --adapter student -o merged");
    place.expect(0, &merge)?;
    let scores = |model: &str| -> TestResult<Vec<f64>> {
        let scored = place.json(0, &format!("lm score {model} --rows rows.jsonl"))?;
        Ok(numbers(&json!(
            scored["rows"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|row| &row["sum"])
                .collect::<Vec<_>>()
        )))
    };
    let (with, merged) = (
        scores(&format!("{llama} --adapter student"))?,
        scores("merged")?,
    );
    assert_eq!(with.len(), 10);
    for (a, b) in with.iter().zip(&merged) {
        // Absolute: five tokens in f32, the adapter added before or after the product.
        assert!((a - b).abs() < 1e-3, "{a} {b}");
    }
    // Again: it is there. Into another folder: the same bytes. Into a folder with other things: refused.
    place.expect(0, &merge)?;
    place.expect(0, &format!("lm merge {llama} --adapter student -o again"))?;
    let bytes = |folder: &str| fs::read(place.path().join(folder).join("model.safetensors"));
    assert_eq!(bytes("merged")?, bytes("again")?);
    let ran = place.expect(2, &format!("lm merge {llama} --adapter student -o student"))?;
    assert!(
        ran.stderr.contains("not empty and holds something else"),
        "{ran:?}"
    );
    Ok(())
}

#[test]
fn a_student_learns_soft_labels_stored_and_live() -> TestResult {
    let place = Place::new()?;
    place.write_rows("rows.jsonl", &lessons())?;
    let llama = llama();
    place.expect(
        0,
        &format!(
            "lm train {llama} --rows rows.jsonl --steps 6 --learning-rate 0.05 --seed 3 -o teacher"
        ),
    )?;
    place.expect(
        0,
        &format!("lm score {llama} --adapter teacher --rows rows.jsonl --top 8 -o labels.jsonl"),
    )?;
    let kl = |flags: &str| -> TestResult<Vec<f64>> {
        let trained = place.json(
            0,
            &format!("lm train {llama} --objective kl --steps 12 --learning-rate 0.02 {flags}"),
        )?;
        let steps = trained["result"]["log"]["steps"]
            .as_array()
            .ok_or("steps")?;
        Ok(steps
            .iter()
            .filter_map(|step| step["loss"].as_f64())
            .collect())
    };
    for flags in [
        "--rows labels.jsonl".to_owned(),
        format!("--rows rows.jsonl --teacher {llama} --teacher-adapter teacher"),
        "--rows labels.jsonl --base-kl 0.1:0:6".to_owned(),
    ] {
        let losses = kl(&flags)?;
        assert!(losses[11] < losses[0], "{flags}: {losses:?}");
    }
    let ran = place.expect(
        2,
        &format!("lm train {llama} --rows rows.jsonl --objective kl --steps 1"),
    )?;
    assert!(
        ran.stderr.contains("rows.jsonl, line 1") && ran.stderr.contains("--top"),
        "{ran:?}"
    );
    Ok(())
}

#[test]
fn every_weight_can_be_trained_and_is_a_model_then() -> TestResult {
    let place = Place::new()?;
    place.write_rows("rows.jsonl", &lessons())?;
    let line = format!(
        "lm train {} --full --rows rows.jsonl --steps 5 --learning-rate 0.01 -o tuned",
        llama()
    );
    let trained = place.json(0, &line)?;
    assert_eq!(
        trained["result"]["parameters"],
        place.json(0, "lm info tuned")?["parameters"]
    );
    let mean = |model: &str| -> TestResult<f64> {
        let scored = place.json(0, &format!("lm score {model} --rows rows.jsonl"))?;
        Ok(scored["result"]["mean_log_probability"]
            .as_f64()
            .ok_or("a mean")?)
    };
    assert!(mean("tuned")? > mean(&llama())?);
    let ran = place.expect(0, &line)?;
    assert!(ran.stdout.contains("was there already"), "{ran:?}");
    Ok(())
}

#[test]
fn training_goes_on_from_an_adapter() -> TestResult {
    let place = Place::new()?;
    place.write_rows("rows.jsonl", &lessons())?;
    let line = format!(
        "lm train {} --rows rows.jsonl --steps 3 --schedule constant --learning-rate 0.02",
        model("tiny-qwen2")
    );
    let first = place.json(
        0,
        &format!("{line} --rank 4 --alpha 4 --targets q,v --rslora -o one"),
    )?;
    let second = place.json(0, &format!("{line} --adapter one -o two"))?;
    let loss =
        |trained: &Value, step: usize| trained["result"]["log"]["steps"][step]["loss"].as_f64();
    assert!(loss(&second, 2) < loss(&first, 0), "{second}");
    assert_eq!(second["result"]["settings"]["trained"]["lora"]["rank"], 4);
    Ok(())
}

#[test]
fn what_was_trained_before_is_there_at_once_and_other_folders_stay() -> TestResult {
    let place = Place::new()?;
    place.write_rows("rows.jsonl", &lessons())?;
    let line = format!(
        "lm train {} --rows rows.jsonl --steps 2 -o student",
        llama()
    );
    place.expect(0, &line)?;
    let ran = place.expect(0, &line)?;
    assert!(ran.stderr.contains("nothing is computed again"), "{ran:?}");
    assert!(ran.stdout.contains("student was there already"), "{ran:?}");
    // Other training into the same folder is refused before it begins.
    let ran = place.expect(2, &line.replace("--steps 2", "--steps 3"))?;
    assert!(ran.stderr.contains("holds something else"), "{ran:?}");
    assert_eq!(place.steps("lm/train")?.len(), 1);
    let plan = place.json(
        0,
        &line.replace("--steps 2 -o student", "--steps 5 --dry-run"),
    )?;
    assert!(plan["secs_estimated"].as_f64() > Some(0.0), "{plan}");
    Ok(())
}
