//! Merged folders read back: by our own reader, and as JSON. That transformers reads them too: `tests/training`.

use std::collections::BTreeMap;

use undertone_core::Seed;

use super::*;
use crate::config::{Family, LayerAttention, ModelConfig, Rope, RopeScaling, Tensor};
use crate::fixture::{Memory, every_family, tiny};
use crate::hf::HfFolder;
use crate::lora::LoraConfig;
use crate::reference::{ReferenceModel, rope_frequency};

fn generation() -> GenerationDefaults {
    GenerationDefaults {
        bos: Some(1),
        eos: vec![2, 3],
        temperature: Some(0.5),
        ..GenerationDefaults::default()
    }
}

fn options(generation: &GenerationDefaults) -> MergeOptions<'_> {
    MergeOptions {
        weights: MergedType::F32,
        max_shard_bytes: USUAL_SHARD_BYTES,
        generation,
        companions: &[],
    }
}

fn adapter(model: &ModelConfig) -> LoraWeights {
    let config = LoraConfig::all_projections(2, 3.0);
    let mut adapter = LoraWeights::initial(config, model, Seed(1)).expect("a sound shape");
    let mut stream = Seed(1).stream("test/b", 0);
    adapter
        .values_mut()
        .fill_with(|| 0.2 * stream.normal() as f32);
    adapter
}

/// Merges into a folder that lives as long as the guard.
fn merged(
    checkpoint: &dyn Checkpoint,
    adapter: Option<&LoraWeights>,
    options: &MergeOptions<'_>,
) -> (tempfile::TempDir, HfFolder) {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let folder = scratch.path().join("merged");
    merge(checkpoint, adapter, options, &folder).expect("merged");
    let opened = HfFolder::open(&folder).expect("our own reader reads it");
    (scratch, opened)
}

fn files(folder: &HfFolder) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder.path())
        .expect("the folder is there")
        .map(|entry| {
            let path = entry.expect("it can be listed").path();
            let name = path
                .file_name()
                .expect("files have names")
                .to_string_lossy();
            (name.into_owned(), fs::read(&path).expect("readable"))
        })
        .collect()
}

/// What transformers needs not know: its reader gives the same ropes to both kinds of layers where there is one kind.
fn assert_same_model(found: &ModelConfig, expected: &ModelConfig) {
    let mut found = found.clone();
    // Relative: read back through a whole number and a root.
    for (found, expected) in [
        (&mut found.attention_scale, expected.attention_scale),
        (&mut found.embedding_scale, expected.embedding_scale),
    ] {
        assert!((*found / expected - 1.0).abs() < 0.004, "{found}");
        *found = expected;
    }
    assert_eq!(&found, expected);
}

#[test]
fn every_family_reads_back_as_it_was() {
    let generation = generation();
    for config in every_family() {
        let memory = Memory::random(config.clone(), 3);
        let (_scratch, folder) = merged(&memory, None, &options(&generation));
        assert_same_model(folder.config(), &config);
        for tensor in config.tensors() {
            let (found, expected) = (folder.read(tensor), memory.read(tensor));
            let (found, expected) = (found.expect("finite"), expected.expect("finite"));
            for (found, expected) in found.iter().zip(&expected) {
                // Absolute: Gemma's norms lose a bit as 1 is taken off and put back.
                assert!((found - expected).abs() <= 1.2e-7, "{tensor:?}");
            }
            if config.family != Family::Gemma3 {
                assert_eq!(found, expected, "{tensor:?}");
            }
        }
        assert_eq!(folder.generation(), &generation);
    }
}

#[test]
fn merging_gives_the_adapted_models_logits() {
    let generation = generation();
    for config in every_family() {
        let memory = Memory::random(config.clone(), 3);
        let adapter = adapter(&config);
        let (_scratch, folder) = merged(&memory, Some(&adapter), &options(&generation));
        let reference = |checkpoint: &dyn Checkpoint| {
            ReferenceModel::from_checkpoint(checkpoint).expect("finite weights")
        };
        let tokens = [3, 1, 18, 4, 4];
        let adapted = reference(&memory).with_adapter(&adapter).logits(&tokens);
        let written = reference(&folder);
        for (found, expected) in written.logits(&tokens).iter().zip(&adapted) {
            for (found, expected) in found.iter().zip(expected) {
                // Absolute: merged weights are rounded to f32, logits are of order 5.
                assert!((found - expected).abs() < 2e-5, "{found} for {expected}");
            }
        }
        // And the change is no small one.
        let base = reference(&memory).logits(&tokens);
        let change = (base[4][0] - adapted[4][0]).abs();
        assert!(change > 1e-2, "{change}");
    }
}

#[test]
fn shards_hold_what_one_file_holds() {
    let generation = generation();
    let memory = Memory::random(tiny(), 3);
    let (_first, whole) = merged(&memory, None, &options(&generation));
    let small = MergeOptions {
        max_shard_bytes: 3000,
        ..options(&generation)
    };
    let (_second, sharded) = merged(&memory, None, &small);
    for tensor in tiny().tensors() {
        assert_eq!(whole.read(tensor), sharded.read(tensor));
    }
    let files = files(&sharded);
    let shards: Vec<&String> = files
        .keys()
        .filter(|name| name.ends_with(".safetensors"))
        .collect();
    assert!(shards.len() > 2, "{shards:?}");
    assert_eq!(
        shards[0],
        &format!("model-00001-of-{:05}.safetensors", shards.len())
    );
    let index: serde_json::Value =
        serde_json::from_slice(&files["model.safetensors.index.json"]).expect("JSON");
    assert_eq!(index["metadata"]["total_size"], 4 * tiny().parameters());
}

#[test]
fn bf16_is_rounded_to_nearest_even() {
    let generation = generation();
    let memory = Memory::random(tiny(), 3);
    let halved = MergeOptions {
        weights: MergedType::Bf16,
        ..options(&generation)
    };
    let (_scratch, folder) = merged(&memory, None, &halved);
    for tensor in tiny().tensors() {
        let expected: Vec<f32> = memory
            .read(tensor)
            .expect("finite")
            .into_iter()
            .map(|value| half::bf16::from_f32(value).to_f32())
            .collect();
        assert_eq!(folder.read(tensor).expect("finite"), expected);
    }
    let config: serde_json::Value =
        serde_json::from_slice(&files(&folder)["config.json"]).expect("JSON");
    assert_eq!(config["torch_dtype"], "bfloat16");
}

#[test]
fn the_same_merge_gives_the_same_bytes() {
    let generation = generation();
    let memory = Memory::random(tiny(), 3);
    let adapter = adapter(&tiny());
    let (_first, one) = merged(&memory, Some(&adapter), &options(&generation));
    let (_second, other) = merged(&memory, Some(&adapter), &options(&generation));
    assert_eq!(files(&one), files(&other));
}

#[test]
fn factors_of_a_gguf_file_become_the_rule_they_come_from() {
    let [llama, ..] = every_family();
    let plain = tiny();
    let factors = (0..2)
        .map(|pair| {
            let at = |config: &ModelConfig| {
                let rope = Rope {
                    theta: 100.0,
                    scaling: config.rope.scaling.clone(),
                };
                rope_frequency(&rope, 4, pair)
            };
            (at(&plain) / at(&llama)) as f32
        })
        .collect();
    let mut by_factors = llama.clone();
    by_factors.rope.scaling = RopeScaling::Factors { factors };
    by_factors.local_rope = by_factors.rope.clone();
    let generation = generation();
    let memory = Memory::random(by_factors.clone(), 3);
    let (_scratch, folder) = merged(&memory, None, &options(&generation));
    for pair in 0..2 {
        let found = rope_frequency(&folder.config().rope, 4, pair);
        let expected = rope_frequency(&llama.rope, 4, pair);
        assert!((found / expected - 1.0).abs() < 1e-5);
    }
    by_factors.rope.scaling = RopeScaling::Factors {
        factors: vec![3.0, 1.5],
    };
    refused(&by_factors, "rope");
}

#[track_caller]
fn refused(config: &ModelConfig, field: &str) {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let folder = scratch.path().join("merged");
    let memory = Memory::random(config.clone(), 3);
    let generation = generation();
    match merge(&memory, None, &options(&generation), &folder) {
        Err(MergeError::Unwritable(error)) => assert_eq!(error.field, field),
        other => panic!("{other:?}"),
    }
    assert!(!folder.exists());
}

#[test]
fn models_that_transformers_does_not_have_are_refused() {
    let [llama, _, _, gemma3] = every_family();
    let with = |config: &ModelConfig, change: fn(&mut ModelConfig)| {
        let mut config = config.clone();
        change(&mut config);
        config
    };
    refused(&with(&llama, |c| c.qkv_biases = true), "qkv_biases");
    refused(&with(&llama, |c| c.qk_norms = true), "qk_norms");
    refused(&with(&llama, |c| c.post_norms = true), "post_norms");
    refused(
        &with(&llama, |c| c.attention_scale = 0.3),
        "attention_scale",
    );
    refused(
        &with(&llama, |c| c.embedding_scale = 2.0),
        "embedding_scale",
    );
    let local = LayerAttention::Local { window: 2 };
    let windowed = ModelConfig {
        attention: vec![local; 2],
        ..llama.clone()
    };
    refused(&windowed, "attention");
    let two_windows = ModelConfig {
        attention: vec![local, LayerAttention::Local { window: 3 }],
        ..gemma3.clone()
    };
    refused(&two_windows, "attention");
    refused(
        &with(&gemma3, |c| c.embedding_scale = 1.0),
        "embedding_scale",
    );
    let scaled = |c: &mut ModelConfig| c.local_rope.scaling = RopeScaling::Linear { factor: 2.0 };
    refused(&with(&gemma3, scaled), "local_rope");
}

#[test]
fn companions_are_copied_and_cannot_stand_in_the_way() {
    let generation = generation();
    let memory = Memory::random(tiny(), 3);
    let companion = |name: &str| Companion {
        name: name.to_owned(),
        content: b"{}".to_vec(),
    };
    let both = [
        companion("tokenizer.json"),
        companion("generation_config.json"),
    ];
    let with = MergeOptions {
        companions: &both,
        ..options(&generation)
    };
    let (_scratch, folder) = merged(&memory, None, &with);
    let files = files(&folder);
    assert_eq!(files["tokenizer.json"], b"{}");
    assert_eq!(files["generation_config.json"], b"{}");
    let found = companions_of(folder.path()).expect("readable");
    let names: Vec<&str> = found.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["generation_config.json", "tokenizer.json"]);
    for name in ["config.json", "model.safetensors", "../up", "", "a/b"] {
        let wrong = [companion(name)];
        let with = MergeOptions {
            companions: &wrong,
            ..options(&generation)
        };
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let folder = scratch.path().join("merged");
        let result = merge(&memory, None, &with, &folder);
        assert!(
            matches!(result, Err(MergeError::CompanionName { .. })),
            "{name}"
        );
        assert!(!folder.exists());
    }
}

#[test]
fn sums_too_large_for_their_type_and_wrong_adapters_are_errors() {
    let generation = generation();
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let folder = scratch.path().join("merged");
    let mut memory = Memory::random(tiny(), 3);
    memory.set(Tensor::Head, 7, f32::MAX);
    let halved = MergeOptions {
        weights: MergedType::Bf16,
        ..options(&generation)
    };
    match merge(&memory, None, &halved, &folder) {
        Err(MergeError::Overflow { tensor, index }) => {
            assert_eq!((tensor.as_str(), index), ("lm_head.weight", 7));
        }
        other => panic!("{other:?}"),
    }
    let mut deeper = tiny();
    deeper.layers = 3;
    let result = merge(&memory, Some(&adapter(&deeper)), &halved, &folder);
    assert!(matches!(result, Err(MergeError::WrongModel(_))));
    assert!(
        fs::read_dir(scratch.path())
            .expect("there")
            .next()
            .is_none()
    );
}
