//! What transformers computes is what we compute: greedy texts, GGUF files, and the real SmolLM2 where it is.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde::Deserialize;
use undertone_core::Seed;
use undertone_lm::checkpoint::Checkpoint;
use undertone_lm::gguf::Gguf;
use undertone_lm::model::{LoadOptions, Model};
use undertone_lm::sample::{Prompt, SampleSettings, Sampler, Sampling};
use undertone_lm::score::{ScoreRow, ScoreSettings};
use undertone_simd::{InstructionSet, Precision};

use crate::support::{MODELS, everything, folder, load, log_softmax, scores, sets, worst};

/// Relative to the largest value, in f32: what the engine promises.
const F32: f64 = 1e-4;

/// Continues every prompt greedily.
fn greedy(model: &Model, prompts: &[&[u32]], max_tokens: usize) -> Vec<Vec<u32>> {
    let sampling = Sampling::GREEDY;
    let settings = SampleSettings {
        sampling,
        stop_tokens: Vec::new(),
        max_tokens,
    };
    let sampler = Sampler {
        model,
        adapter: None,
        grammar: None,
        settings: &settings,
        seed: Seed(0),
        batch: prompts.len(),
    };
    let prompts: Vec<Prompt> = (0..)
        .zip(prompts)
        .map(|(row, tokens)| Prompt {
            row,
            tokens: tokens.to_vec(),
        })
        .collect();
    let mut completions = Vec::new();
    let taken = sampler.run(&prompts, &mut |completion| {
        completions.push(completion.tokens);
        Ok(())
    });
    taken.expect("sound prompts");
    completions
}

/// A tiny model's `golden-forward.safetensors`.
struct Golden(Vec<u8>);

impl Golden {
    fn of(name: &str) -> Self {
        let path = folder(name).join("golden-forward.safetensors");
        Self(std::fs::read(path).expect("a script wrote it"))
    }

    /// The 4-byte words of `tensor`.
    fn words<T>(&self, tensor: &str, word: impl Fn([u8; 4]) -> T) -> Vec<T> {
        let file = SafeTensors::deserialize(&self.0).expect("a script wrote it");
        let view = file
            .tensor(tensor)
            .unwrap_or_else(|error| panic!("{tensor}: {error}"));
        view.data()
            .as_chunks()
            .0
            .iter()
            .map(|bytes| word(*bytes))
            .collect()
    }

    /// The tokens and, under `prefix`, the log-probabilities after each, of the three sequences.
    fn sequences(&self, prefix: &str, vocabulary: usize) -> Vec<(Vec<u32>, Vec<f64>)> {
        let sequence = |index| {
            let tokens = self.words(&format!("tokens/{index}"), u32::from_le_bytes);
            let logits = self.words(&format!("{prefix}logits/{index}"), f32::from_le_bytes);
            let rows = logits.chunks_exact(vocabulary).flat_map(log_softmax);
            (tokens, rows.collect())
        };
        (0..3).map(sequence).collect()
    }
}

#[test]
fn greedy_texts_of_tiny_models_are_those_of_transformers() {
    for name in MODELS {
        let golden = Golden::of(name);
        let tokens =
            |kind: &str, index| golden.words(&format!("{kind}/{index}"), u32::from_le_bytes);
        let prompts: Vec<Vec<u32>> = (0..3).map(|index| tokens("tokens", index)).collect();
        let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        let expected: Vec<Vec<u32>> = (0..3).map(|index| tokens("greedy", index)).collect();
        // Two tokens can be closer to each other than bf16 tells apart.
        for set in sets().into_iter().filter(|set| !set.pairs()) {
            let found = greedy(&load(name, set), &prompts, expected[0].len());
            assert_eq!(found, expected, "{name}, {set:?}");
        }
    }
}

#[test]
fn gguf_files_give_the_logits_of_transformers() {
    let mut files = Vec::new();
    for name in MODELS {
        files.push((name, "model.gguf", ""));
        files.push((name, "model-quantised.gguf", "quantised/"));
    }
    files.retain(|(name, file, _)| folder(name).join(file).is_file());
    assert_eq!(
        files.len(),
        6,
        "all but one have a GGUF file, and one has two"
    );
    for (name, file, prefix) in files {
        let gguf = Gguf::open(&folder(name).join(file)).expect("a script wrote it");
        let vocabulary = gguf.config().vocabulary;
        let options = LoadOptions::inference(Precision::F32);
        let model = Model::load(&gguf, options).expect("finite weights");
        let sequences = Golden::of(name).sequences(prefix, vocabulary);
        let rows: Vec<ScoreRow> = sequences
            .iter()
            .map(|(tokens, _)| everything(tokens))
            .collect();
        let found = scores(&model, &ScoreSettings::default(), &rows);
        for (found, (tokens, expected)) in found.iter().zip(&sequences) {
            let error = worst(&found.distributions.concat(), expected);
            assert!(
                error < F32,
                "{name}/{file}, {} tokens: {error:e}",
                tokens.len()
            );
        }
    }
}

/// `smollm2.json`: what transformers makes of the same GGUF file.
#[derive(Deserialize)]
struct SmolLm2 {
    greedy: Vec<Continued>,
    scored: Vec<Scored>,
}

#[derive(Deserialize)]
struct Continued {
    tokens: Vec<u32>,
    continuation: Vec<u32>,
    next_top_20: Vec<(u32, f64)>,
}

#[derive(Deserialize)]
struct Scored {
    tokens: Vec<u32>,
    log_probs: Vec<f64>,
}

#[expect(
    clippy::print_stderr,
    reason = "a test that did not look must say so where people see it"
)]
fn smollm2() -> Option<PathBuf> {
    let data = PathBuf::from(std::env::var_os("UNDERTONE_DATA").unwrap_or_default());
    let path = data.join("smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
    let is_there = path.is_file();
    if !is_there {
        eprintln!("not checked: UNDERTONE_DATA has no smollm2-135m-instruct");
    }
    is_there.then_some(path)
}

#[test]
fn the_real_smollm2_writes_and_scores_what_transformers_does() {
    let Some(path) = smollm2() else { return };
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/smollm2.json");
    let golden = std::fs::read(golden).expect("a script wrote it");
    let golden: SmolLm2 = serde_json::from_slice(&golden).expect("a script wrote it");
    let gguf = Gguf::open(&path).expect("the file is sound");
    let options = LoadOptions::inference(Precision::F32);
    let model = Model::load_with(&gguf, options, InstructionSet::best()).expect("finite weights");

    let rows = golden.scored.iter().map(|case| ScoreRow {
        prompt: case.tokens[..1].to_vec(),
        completion: case.tokens[1..].to_vec(),
        ..ScoreRow::default()
    });
    let found = scores(&model, &ScoreSettings::default(), &rows.collect::<Vec<_>>());
    for (found, case) in found.iter().zip(&golden.scored) {
        let error = worst(&found.log_probabilities, &case.log_probs);
        assert!(error < F32, "log-probabilities: {error:e}");
    }

    let rows = golden.greedy.iter().map(|case| ScoreRow {
        prompt: case.tokens.clone(),
        distributions: vec![case.tokens.len() - 1],
        ..ScoreRow::default()
    });
    let found = scores(&model, &ScoreSettings::default(), &rows.collect::<Vec<_>>());
    for (found, case) in found.iter().zip(&golden.greedy) {
        let (ids, expected): (Vec<u32>, Vec<f64>) = case.next_top_20.iter().copied().unzip();
        let found: Vec<f32> = ids
            .iter()
            .map(|&id| found.distributions[0][id as usize])
            .collect();
        let error = worst(&found, &expected);
        assert!(error < F32, "next token: {error:e}");
    }

    let prompts: Vec<&[u32]> = golden
        .greedy
        .iter()
        .map(|case| case.tokens.as_slice())
        .collect();
    let texts = greedy(&model, &prompts, golden.greedy[0].continuation.len());
    for (found, case) in texts.iter().zip(&golden.greedy) {
        assert_eq!(*found, case.continuation);
    }
}
