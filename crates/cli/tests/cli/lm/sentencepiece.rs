//! A GGUF file with a SentencePiece vocabulary: what is written from it lacks a tokenizer, and the commands say so.

use std::fs;

use serde_json::json;

use super::model;
use crate::support::{Place, TestResult};

/// A text as GGUF has it: length, bytes.
fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

/// Makes the vocabulary of a GGUF file one of SentencePiece, with a score for every token.
fn with_scores(gguf: &[u8]) -> TestResult<Vec<u8>> {
    let after = |name: &str| -> TestResult<usize> {
        let key = text(name);
        let at = gguf.windows(key.len()).position(|window| *window == key);
        Ok(at.ok_or("the key is there")? + key.len())
    };
    // Behind a list's key: its type, that of its elements, their number.
    let n = after("tokenizer.ggml.tokens")? + 8;
    let n = u64::from_le_bytes(gguf[n..n + 8].try_into()?);
    let (string, list, float) = (8u32, 9u32, 6u32);
    let word = u32::to_le_bytes;
    let scores = [
        &text("tokenizer.ggml.scores")[..],
        &word(list),
        &word(float),
        &n.to_le_bytes(),
        &vec![0; 4 * n as usize],
    ]
    .concat();
    // Tensors begin at multiples of 32 bytes: a last pair keeps them there. The other name is longer by one.
    let mut padding = Vec::new();
    for length in 0..32 {
        let pair = [
            &text("test.padding")[..],
            &word(string),
            &text(&" ".repeat(length)),
        ]
        .concat();
        if (1 + scores.len() + pair.len()).is_multiple_of(32) {
            padding = pair;
        }
    }
    let kind = after("tokenizer.ggml.model")? + 4;
    let pairs = u64::from_le_bytes(gguf[16..24].try_into()?) + 2;
    Ok([
        &gguf[..16],
        &pairs.to_le_bytes(),
        &scores,
        &padding,
        &gguf[24..kind],
        &text("llama"),
        &gguf[kind + text("gpt2").len()..],
    ]
    .concat())
}

#[test]
fn a_folder_without_tokenizer_is_announced_before_it_is_written() -> TestResult {
    let place = Place::new()?;
    let gguf = fs::read(model("tiny-llama/model.gguf"))?;
    fs::write(place.path().join("pieces.gguf"), with_scores(&gguf)?)?;
    let row = json!({"prompt_tokens": [70, 71], "completion_tokens": [72]});
    place.write_rows("rows.jsonl", &[row])?;
    for line in [
        "lm merge pieces.gguf -o merged",
        "lm train pieces.gguf --rows rows.jsonl --raw --steps 1 --full -o trained",
    ] {
        let ran = place.expect(0, line)?;
        assert!(
            ran.stderr
                .contains("SentencePiece vocabulary gives no tokenizer.json"),
            "{ran:?}"
        );
    }
    for folder in ["merged", "trained"] {
        let ran = place.expect(2, &format!("lm info {folder}"))?;
        let words = format!("{folder}/tokenizer.json` is not there");
        assert!(ran.stderr.contains(&words), "{ran:?}");
        // With the tokenizer of the original it opens.
        let to = place.path().join(folder).join("tokenizer.json");
        fs::copy(model("tiny-llama/tokenizer.json"), to)?;
        place.expect(0, &format!("lm info {folder}"))?;
    }
    Ok(())
}
