//! What the tests share: tiny models, rows, golden files.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use undertone_core::Seed;
use undertone_lm::adapter::Adapter;
use undertone_lm::hf::HfFolder;
use undertone_lm::model::{LoadOptions, Model};
use undertone_lm::peft::load_adapter;
use undertone_lm::score::{Score, ScoreRow, ScoreSettings, Scorer};
use undertone_simd::{InstructionSet, Precision};

/// One tiny model of every family, and two of llama and gemma3.
pub const MODELS: [&str; 6] = [
    "tiny-llama",
    "tiny-llama3",
    "tiny-qwen2",
    "tiny-qwen3",
    "tiny-gemma3",
    "tiny-gemma3-linear",
];

/// The sets this processor has.
pub fn sets() -> Vec<InstructionSet> {
    let all = [
        InstructionSet::Portable,
        InstructionSet::Avx2,
        InstructionSet::Avx512,
        InstructionSet::EmulatedBf16,
        InstructionSet::Avx512Bf16,
    ];
    all.into_iter().filter(|set| set.is_available()).collect()
}

/// The folder of a tiny model.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// A tiny model's weights.
pub fn open(name: &str) -> HfFolder {
    HfFolder::open(&folder(name)).expect("a tiny model opens")
}

/// A tiny model, for `set`.
pub fn load(name: &str, set: InstructionSet) -> Model {
    let precision = if set.pairs() {
        Precision::Bf16
    } else {
        Precision::F32
    };
    Model::load_with(&open(name), LoadOptions::inference(precision), set).expect("finite weights")
}

/// The adapter that peft made for a tiny model.
pub fn adapter(name: &str, model: &Model) -> Adapter {
    let weights = load_adapter(&folder(name).join("adapter"), model.config());
    Adapter::pack(&weights.expect("peft wrote it"), model).expect("made for it")
}

/// Scores rows without adapter.
pub fn scores(model: &Model, settings: &ScoreSettings, rows: &[ScoreRow]) -> Vec<Score> {
    let scorer = Scorer {
        model,
        adapter: None,
        settings,
    };
    scorer.scores(rows).expect("sound rows")
}

/// A row of which everything is wanted, at every position.
pub fn everything(tokens: &[u32]) -> ScoreRow {
    ScoreRow {
        prompt: tokens[..1].to_vec(),
        completion: tokens[1..].to_vec(),
        distributions: (0..tokens.len()).collect(),
        hidden: (0..tokens.len()).collect(),
    }
}

/// `n` tokens below `vocabulary`, drawn from stream `index`.
pub fn draw(vocabulary: usize, n: usize, index: u64) -> Vec<u32> {
    let mut stream = Seed(3).stream("lm/test", index);
    (0..n)
        .map(|_| stream.below(vocabulary as u64) as u32)
        .collect()
}

/// A sequence of golden values: tokens, logits `[T, V]`, hidden states `[layers, T, width]`.
pub struct Sequence {
    pub tokens: Vec<u32>,
    pub logits: Vec<f32>,
    pub hidden: Vec<f32>,
}

/// The sequences transformers was run on.
pub fn golden(name: &str) -> Vec<Sequence> {
    let path = folder(name).join("golden-forward.safetensors");
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes).expect("a script wrote it");
    let words = |name: String| -> Option<Vec<[u8; 4]>> {
        Some(file.tensor(&name).ok()?.data().as_chunks().0.to_vec())
    };
    let floats = |name: String| {
        let words = words(name).expect("every sequence has all values");
        words.into_iter().map(f32::from_le_bytes).collect()
    };
    let sequence = |index: usize| {
        let tokens = words(format!("tokens/{index}"))?;
        Some(Sequence {
            tokens: tokens.into_iter().map(u32::from_le_bytes).collect(),
            logits: floats(format!("logits/{index}")),
            hidden: floats(format!("hidden/{index}")),
        })
    };
    (0..).map_while(sequence).collect()
}

/// Returns log softmax.
pub fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let wide: Vec<f64> = logits.iter().copied().map(f64::from).collect();
    undertone_lm::loss::log_softmax(&wide)
}

/// Returns the largest difference, relative to the largest expected value.
#[track_caller]
pub fn worst<'a>(found: &[f32], expected: impl IntoIterator<Item = &'a f64>) -> f64 {
    let expected: Vec<f64> = expected.into_iter().copied().collect();
    assert_eq!(found.len(), expected.len(), "as many values");
    let largest = expected
        .iter()
        .fold(0.0f64, |most, value| most.max(value.abs()));
    let differences = found
        .iter()
        .zip(&expected)
        .map(|(a, b)| (f64::from(*a) - b).abs());
    let most = differences.fold(0.0f64, |most, d| if d <= most { most } else { d });
    most / largest
}
