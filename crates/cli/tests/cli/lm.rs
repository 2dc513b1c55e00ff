//! `undertone lm` on tiny models with random weights: every command, its files, and going on after an interruption.

mod chat;
mod errors;
mod recipe;
mod resume;
mod sample;
mod score;
mod sentencepiece;
mod train;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Place, TestResult};
use crate::tiny::SMALLEST;

/// Returns the folder of a tiny model.
fn model(name: &str) -> String {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lm/tests/golden");
    golden.join(name).display().to_string()
}

/// Returns the tiny llama.
pub fn llama() -> String {
    model("tiny-llama")
}

/// Returns commands that leave a run of every kind, in this order.
pub fn every_kind() -> [String; 5] {
    let llama = llama();
    [
        format!("lm sample {llama} --prompt ab -n 2 --max-tokens 4 -o rows.jsonl"),
        format!("lm score {llama} --rows rows.jsonl --top 2 --next 2 --hidden 1 -o scores.jsonl"),
        format!(
            "lm train {llama} --rows scores.jsonl --steps 2 --objective kl --eval scores.jsonl -o student"
        ),
        format!("lm merge {llama} --adapter student -o merged"),
        format!("{SMALLEST} -o base"),
    ]
}

impl Place {
    /// Writes a file of rows.
    fn write_rows(&self, name: &str, rows: &[Value]) -> TestResult<PathBuf> {
        let lines: Vec<String> = rows.iter().map(ToString::to_string).collect();
        let path = self.path().join(name);
        fs::write(&path, lines.join("\n"))?;
        Ok(path)
    }

    /// Reads a file of rows.
    fn read_rows(&self, name: &str) -> TestResult<Vec<Value>> {
        let text = fs::read_to_string(self.path().join(name))?;
        Ok(text
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?)
    }
}

/// Returns the numbers of a list.
fn numbers(list: &Value) -> Vec<f64> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_f64)
        .collect()
}

#[test]
fn info_says_the_same_of_a_folder_and_its_gguf_file() -> TestResult {
    let place = Place::new()?;
    let mut folder = place.json(0, &format!("lm info {}", llama()))?;
    let mut gguf = place.json(0, &format!("lm info {}", model("tiny-llama/model.gguf")))?;
    // GGUF keeps it as f32.
    let epsilon = |info: &mut Value| info["config"]["norm_epsilon"].take().as_f64();
    let (exact, rounded) = (epsilon(&mut folder), epsilon(&mut gguf));
    assert_eq!(
        exact.map(|value| value as f32),
        rounded.map(|value| value as f32)
    );
    assert_eq!(
        (&folder["format"], &gguf["format"]),
        (&"folder".into(), &"gguf".into())
    );
    for field in ["config", "parameters", "memory", "chat_templates"] {
        assert_eq!(folder[field], gguf[field], "{field}");
    }
    assert_eq!(folder["config"]["family"], "llama");
    assert_eq!(folder["stored_as"]["F32"], 21);
    assert_eq!(gguf["stored_as"]["F16"], 16);
    assert_eq!(folder["tokenizer"]["tokens"], 112);
    assert_ne!(folder["digest"], gguf["digest"]);
    let text = place.expect(0, &format!("lm info {}", llama()))?.stdout;
    for words in [
        "family    llama",
        "ends      ",
        "template  default: adds no system line",
        "sample-f32: ",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // Looking at a model makes no store.
    assert!(!place.store().exists());
    Ok(())
}

#[test]
fn every_command_has_help_with_an_example() -> TestResult {
    let place = Place::new()?;
    for command in ["info", "chat", "sample", "score", "train", "merge"] {
        let help = place.expect(0, &format!("lm {command} --help"))?.stdout;
        let (_, examples) = help.split_once("Example").ok_or("no example")?;
        assert!(
            examples.contains(&format!("undertone lm {command} ")),
            "{examples}"
        );
    }
    Ok(())
}
