//! `lm score`: what sampling found likely, scoring finds as likely.

use serde_json::json;

use super::{llama, numbers};
use crate::support::{Place, TestResult};

#[test]
fn scores_of_sampled_rows_are_what_sampling_said() -> TestResult {
    let place = Place::new()?;
    place.write_rows(
        "prompts.jsonl",
        &[json!({"prompt": "ab"}), json!({"prompt": "c d"})],
    )?;
    let llama = llama();
    place.expect(
        0,
        &format!("lm sample {llama} --prompts prompts.jsonl -n 3 --max-tokens 9 -o rows.jsonl"),
    )?;
    place.expect(
        0,
        &format!("lm score {llama} --rows rows.jsonl --top 5 -o scores.jsonl"),
    )?;
    let (sampled, scored) = (
        place.read_rows("rows.jsonl")?,
        place.read_rows("scores.jsonl")?,
    );
    assert_eq!(sampled.len(), scored.len());
    for (before, after) in sampled.iter().zip(&scored) {
        for field in [
            "row",
            "prompt",
            "completion",
            "completion_tokens",
            "finish",
            "vocabulary",
        ] {
            assert_eq!(before[field], after[field], "{field}");
        }
        let [before, after_values] = [before, after].map(|row| numbers(&row["log_probabilities"]));
        assert_eq!(before.len(), after_values.len());
        for (a, b) in before.iter().zip(&after_values) {
            // Absolute: one pass over all tokens against one token at a time, in f32.
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
        let top = after["top"]["ids"].as_array().ok_or("top")?;
        assert_eq!(top.len(), after_values.len());
        assert!(
            top.iter()
                .all(|ids| ids.as_array().is_some_and(|ids| ids.len() == 5))
        );
    }
    Ok(())
}

#[test]
fn the_next_token_has_a_distribution_that_sums_to_one() -> TestResult {
    let place = Place::new()?;
    let line = format!("lm score {} --prompt ab", llama());
    let all = place.json(0, &format!("{line} --next all"))?;
    let all = numbers(&all["rows"][0]["next"]["log_probabilities"]);
    assert_eq!(all.len(), 112);
    let sum: f64 = all.iter().map(|value| value.exp()).sum();
    // Absolute: 112 rounded logarithms.
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    let top = place.json(0, &format!("{line} --next 3"))?;
    let next = &top["rows"][0]["next"];
    let best = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    assert_eq!(numbers(&next["log_probabilities"])[0], best);
    assert_eq!(next["texts"].as_array().map(Vec::len), Some(3));
    Ok(())
}

#[test]
fn typed_rows_ends_and_hidden_states() -> TestResult {
    let place = Place::new()?;
    let line = format!("lm score {} --prompt ab --completion cd", llama());
    let [open, ended] = ["", " --end"].map(|flag| place.json(0, &format!("{line}{flag}")));
    let tokens = |printed: &serde_json::Value| {
        printed["rows"][0]["completion_tokens"]
            .as_array()
            .map(Vec::len)
    };
    let (open, ended) = (open?, ended?);
    assert_eq!(tokens(&open).map(|n| n + 1), tokens(&ended));
    assert_eq!(
        ended["rows"][0]["completion_tokens"]
            .as_array()
            .and_then(|t| t.last().cloned()),
        Some(2.into())
    );
    let hidden = place.json(0, &format!("lm score {} --prompt ab --hidden 0,2", llama()))?;
    let states = hidden["rows"][0]["hidden"]
        .as_array()
        .ok_or("hidden states")?;
    assert_eq!(
        states
            .iter()
            .map(|state| numbers(&state["values"]).len())
            .collect::<Vec<_>>(),
        [32, 32]
    );
    assert_eq!(
        (&states[0]["layer"], &states[1]["layer"]),
        (&0.into(), &2.into())
    );
    Ok(())
}
