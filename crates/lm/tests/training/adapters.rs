//! Adapters and merged models cross between peft, transformers and us, in both directions, with the same logits.

use std::path::Path;
use std::process::Command;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use undertone_core::Seed;
use undertone_lm::Checkpoint;
use undertone_lm::lora::{LoraConfig, LoraScaling, LoraWeights, Projection};
use undertone_lm::merge::{MergeOptions, MergedType, USUAL_SHARD_BYTES, companions_of, merge};
use undertone_lm::peft::{load_adapter, save_adapter};
use undertone_lm::reference::ReferenceModel;

use crate::support::{Training, Values, assert_close, golden, open, python, skip};

#[test]
fn adapters_made_by_peft_load_and_give_its_logits() {
    for (name, scaling) in [
        ("tiny-llama", LoraScaling::Standard),
        ("tiny-llama3", LoraScaling::Standard),
        ("tiny-qwen2", LoraScaling::Standard),
        ("tiny-qwen3", LoraScaling::RankStabilised),
        ("tiny-gemma3", LoraScaling::RankStabilised),
    ] {
        let training = Training::of(name);
        let folder = golden(name).join("adapter");
        let adapter = load_adapter(&folder, training.folder.config()).expect("peft wrote it");
        assert_eq!(adapter.values(), training.adapter.values(), "{name}");
        assert_eq!(adapter.config().scaling, scaling, "{name}");
        let base = ReferenceModel::from_checkpoint(&training.folder).expect("finite weights");
        let model = base.with_adapter(&adapter);
        let values = Values::of(name, "golden-adapter.safetensors");
        for index in 0..3 {
            let tokens = values.integers(&format!("tokens/{index}"));
            let expected = values.numbers(&format!("logits/{index}"));
            // Relative: expected values were computed in f64 and are stored as `f32`.
            assert_close(name, &model.logits(&tokens).concat(), &expected, 1e-7);
        }
    }
}

/// An adapter with rank-stabilised scaling on most projections.
fn drawn(name: &str) -> LoraWeights {
    let config = LoraConfig {
        targets: Projection::ALL[1..].iter().copied().collect(),
        scaling: LoraScaling::RankStabilised,
        ..LoraConfig::all_projections(4, 3.0)
    };
    let folder = open(name);
    let mut adapter = LoraWeights::zeros(config, folder.config()).expect("a sound shape");
    let mut stream = Seed(8).stream("test/adapter", 0);
    adapter
        .values_mut()
        .fill_with(|| 0.2 * stream.normal() as f32);
    adapter
}

/// Writes tokens and the logits that `model` gives them, as the script reads them.
fn write_logits(model: &ReferenceModel, path: &Path) {
    let tokens: Vec<u32> = (0..24).map(|index| 3 + index * 41 % 109).collect();
    let logits = model.logits(&tokens);
    let numbers = logits.iter().flatten().map(|&logit| logit as f32);
    let numbers: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
    let integers: Vec<u8> = tokens
        .iter()
        .flat_map(|token| token.to_le_bytes())
        .collect();
    let shape = vec![logits.len(), logits[0].len()];
    let views = [
        ("logits/0", TensorView::new(Dtype::F32, shape, &numbers)),
        (
            "tokens/0",
            TensorView::new(Dtype::I32, vec![tokens.len()], &integers),
        ),
    ];
    let views = views.map(|(name, view)| (name, view.expect("lengths fit")));
    let bytes = safetensors::serialize(views, None).expect("a sound file");
    std::fs::write(path, bytes).expect("a writable folder");
}

/// Has transformers and peft compare their logits with ours.
#[track_caller]
fn check_in_python(python: &Path, base: &Path, adapter: Option<&Path>, logits: &Path) {
    let script = golden("../../../../scripts/golden/lm_peft_check.py");
    let mut command = Command::new(python);
    // No byte code beside the script.
    command.arg("-B").arg(script);
    command.arg("--base").arg(base).arg("--logits").arg(logits);
    if let Some(adapter) = adapter {
        command.arg("--adapter").arg(adapter);
    }
    // Relative to the largest logit: ours are f64, theirs `f32`.
    command.args(["--tolerance", "1e-5"]);
    let output = command.output().expect("the interpreter starts");
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{talk}");
}

/// Writes an adapter, and the model with it worked in, and shows both to Python.
#[track_caller]
fn check(name: &str, max_shard_bytes: u64) {
    let Some(python) = python() else {
        skip("UNDERTONE_PYTHON names no Python with torch, transformers and peft");
        return;
    };
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| scratch.path().join(name);
    let (folder, adapter) = (open(name), drawn(name));
    save_adapter(&adapter, Some(name), &path("adapter")).expect("written");
    let companions = companions_of(&golden(name)).expect("readable");
    let options = MergeOptions {
        weights: MergedType::F32,
        max_shard_bytes,
        generation: folder.generation(),
        companions: &companions,
    };
    merge(&folder, Some(&adapter), &options, &path("merged")).expect("merged");
    let base = ReferenceModel::from_checkpoint(&folder).expect("finite weights");
    let logits = path("logits.safetensors");
    write_logits(&base.with_adapter(&adapter), &logits);
    check_in_python(&python, &golden(name), Some(&path("adapter")), &logits);
    check_in_python(&python, &path("merged"), None, &logits);
}

#[test]
fn llama_with_our_adapter_is_the_same_in_peft() {
    check("tiny-llama", USUAL_SHARD_BYTES);
}

#[test]
fn llama_with_scaled_rope_and_our_adapter_is_the_same_in_peft() {
    check("tiny-llama3", 20_000);
}

#[test]
fn qwen2_with_our_adapter_is_the_same_in_peft() {
    check("tiny-qwen2", USUAL_SHARD_BYTES);
}

#[test]
fn qwen3_with_our_adapter_is_the_same_in_peft() {
    check("tiny-qwen3", USUAL_SHARD_BYTES);
}

#[test]
fn gemma3_with_our_adapter_is_the_same_in_peft() {
    check("tiny-gemma3", USUAL_SHARD_BYTES);
}

#[test]
fn gemma3_with_scaled_rope_and_our_adapter_is_the_same_in_peft() {
    check("tiny-gemma3-linear", USUAL_SHARD_BYTES);
}
