//! What is refused in the configuration of folders, and in which words; each starts from a sound folder. `folder_files` has
//! the files beside it.

use serde_json::{Value, json};
use tempfile::TempDir;
use undertone_lm::Checkpoint;
use undertone_lm::config::{LayerAttention, ModelConfig, Rope, RopeScaling, Tensor};
use undertone_lm::hf::HfFolder;

use crate::folder_files::write;
use crate::support::{FolderFiles, TestResult, check_error, safetensors};

/// The folder with `config.json` changed.
fn with_config(change: impl FnOnce(&mut Value)) -> TempDir {
    let mut files = FolderFiles::llama();
    change(&mut files.config);
    files.write()
}

/// Sets fields of `config.json` and asserts that opening fails with all of `parts` in the message.
#[track_caller]
fn check(fields: Value, parts: &[&str]) {
    let dir = with_config(|config| merge(config, fields));
    check_error(HfFolder::open(dir.path()), parts);
}

fn merge(config: &mut Value, fields: Value) {
    let Value::Object(fields) = fields else {
        panic!("fields are an object");
    };
    for (name, value) in fields {
        config[name] = value;
    }
}

/// Sets fields of `config.json` and returns the configuration.
#[track_caller]
fn read(fields: Value) -> ModelConfig {
    let dir = with_config(|config| merge(config, fields));
    let folder = HfFolder::open(dir.path()).expect("the folder is sound");
    folder.config().clone()
}

#[test]
fn the_sound_folder_is_taken() -> TestResult {
    let dir = FolderFiles::llama().write();
    let folder = HfFolder::open(dir.path())?;
    assert_eq!(folder.read(Tensor::FinalNorm)?.len(), 8);
    assert!(folder.generation().eos.is_empty());
    Ok(())
}

#[test]
fn families_that_are_not_ours_are_named_with_those_that_are() {
    let supported = "supported is llama (LlamaForCausalLM), qwen2 (Qwen2ForCausalLM)";
    check(
        json!({"model_type": "gpt2"}),
        &["`model_type` is \"gpt2\"", supported],
    );
    check(
        json!({"architectures": ["LlamaForSequenceClassification"]}),
        &[
            "`architectures`",
            "LlamaForSequenceClassification",
            supported,
        ],
    );
    check(
        json!({"architectures": ["Qwen2ForCausalLM"]}),
        &["`architectures`"],
    );
    check(
        json!({"model_type": null, "architectures": ["T5Model"]}),
        &["`architectures`", "T5Model"],
    );
    check(
        json!({"model_type": null, "architectures": null}),
        &["`architectures` is null"],
    );
    check(
        json!({"model_type": 7}),
        &["`model_type` is 7, expected a text"],
    );
    assert!(
        HfFolder::open(with_config(|config| config["model_type"] = Value::Null).path()).is_ok()
    );
}

#[test]
fn variants_that_we_would_compute_wrongly_are_refused() {
    check(
        json!({"attention_bias": true}),
        &["config.json", "`attention_bias` is true"],
    );
    check(
        json!({"mlp_bias": true}),
        &["`mlp_bias` is true, supported is false"],
    );
    check(
        json!({"hidden_act": "gelu"}),
        &["`hidden_act` is \"gelu\"", "\"silu\""],
    );
    check(
        json!({"partial_rotary_factor": 0.5}),
        &["`partial_rotary_factor` is 0.5"],
    );
    check(
        json!({"final_logit_softcapping": 30.0}),
        &["`final_logit_softcapping`"],
    );
    check(
        json!({"quantization_config": {"quant_method": "gptq", "bits": 4}}),
        &[
            "`quantization_config.quant_method` is \"gptq\"",
            "no quantization",
        ],
    );
    check(
        json!({"layer_types": ["sliding_attention"]}),
        &["`layer_types`"],
    );
    check(
        json!({"layer_types": ["linear_attention"]}),
        &["`layer_types`", "linear_attention"],
    );
    check(
        json!({"layer_types": []}),
        &["`layer_types` is []", "1 times"],
    );
}

#[test]
fn rotary_scalings_are_read_or_named() {
    let scaled = |theta, scaling| Rope { theta, scaling };
    let linear = |factor| RopeScaling::Linear { factor };
    for (fields, rope) in [
        (json!({}), scaled(1e4, RopeScaling::None)),
        (json!({"rope_theta": 5e5}), scaled(5e5, RopeScaling::None)),
        (
            json!({"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2}}),
            scaled(5e5, linear(2.0)),
        ),
        (
            json!({"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 300.0}}),
            scaled(300.0, linear(4.0)),
        ),
        (
            json!({"rope_parameters": {"rope_type": "default", "rope_theta": 300}}),
            scaled(300.0, RopeScaling::None),
        ),
        (
            json!({"rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}}),
            scaled(
                1e4,
                RopeScaling::Llama3 {
                    factor: 32.0,
                    low_frequency_factor: 1.0,
                    high_frequency_factor: 4.0,
                    original_context: 8192,
                },
            ),
        ),
    ] {
        assert_eq!(read(fields).rope, rope);
    }
    for kind in ["yarn", "dynamic", "longrope", "mrope"] {
        check(
            json!({"rope_scaling": {"rope_type": kind, "factor": 4.0}}),
            &[
                "`rope_scaling.rope_type`",
                kind,
                "\"default\", \"linear\", \"llama3\"",
            ],
        );
    }
    check(
        json!({"rope_parameters": {"type": "su"}}),
        &["`rope_parameters.type` is \"su\""],
    );
    check(
        json!({"rope_scaling": {"type": "linear"}}),
        &["`rope_scaling.factor` is missing, expected a number"],
    );
    check(
        json!({"rope_scaling": {"type": "linear", "factor": -1}}),
        &["`rope` is -1"],
    );
    check(
        json!({"rope_scaling": "linear"}),
        &["`rope_scaling`", "expected an object"],
    );
    check(
        json!({"rope_theta": "big"}),
        &["`rope_theta` is \"big\", expected a number"],
    );
    check(
        json!({"rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1,
            "original_max_position_embeddings": 8192}}),
        &["`rope` is 1 above 4"],
    );
}

#[test]
fn sizes_are_integers_in_range() {
    for (field, name) in [
        ("hidden_size", "width"),
        ("num_hidden_layers", "layers"),
        ("num_attention_heads", "heads"),
        ("num_key_value_heads", "kv_heads"),
        ("intermediate_size", "ffn_width"),
        ("max_position_embeddings", "context"),
        ("vocab_size", "vocabulary"),
    ] {
        check(
            json!({ field: 0 }),
            &["config.json", &format!("`{name}` is 0, expected 1 to")],
        );
        check(
            json!({ field: -1 }),
            &[&format!("`{field}` is -1, expected an integer")],
        );
        check(json!({ field: 1.5 }), &[&format!("`{field}` is 1.5")]);
        check(json!({ field: "8" }), &[&format!("`{field}` is \"8\"")]);
    }
    check(
        json!({"num_hidden_layers": 1_000_000_000}),
        &["num_hidden_layers", "at most 1024"],
    );
    check(
        json!({"head_dim": 5}),
        &["`head_width` is 5, expected an even number"],
    );
    check(json!({"rms_norm_eps": -1.0}), &["`norm_epsilon` is -1"]);
    check(
        json!({"num_attention_heads": 4, "num_key_value_heads": 3}),
        &["a divisor of the 4 heads"],
    );
}

#[test]
fn windows_of_qwen_count_only_where_they_are_switched_on() {
    let mut files = FolderFiles::llama();
    merge(
        &mut files.config,
        json!({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "sliding_window": 32}),
    );
    let attention = |mut files: FolderFiles, fields: Value| {
        merge(&mut files.config, fields);
        for (name, size) in [("q", 8), ("k", 4), ("v", 4)] {
            files.tensors.push((
                format!("model.layers.0.self_attn.{name}_proj.bias"),
                vec![size],
            ));
        }
        let dir = files.write();
        HfFolder::open(dir.path()).map(|folder| folder.config().attention.clone())
    };
    let fresh = || FolderFiles {
        config: files.config.clone(),
        ..FolderFiles::llama()
    };
    let local = LayerAttention::Local { window: 32 };
    for (fields, expected) in [
        (json!({}), LayerAttention::Global),
        (json!({"use_sliding_window": true}), LayerAttention::Global),
        (
            json!({"use_sliding_window": true, "max_window_layers": 0}),
            local,
        ),
        (
            json!({"use_sliding_window": true, "layer_types": ["sliding_attention"]}),
            local,
        ),
    ] {
        assert_eq!(attention(fresh(), fields).ok(), Some(vec![expected]));
    }
    let fields = json!({"use_sliding_window": true, "max_window_layers": 0, "sliding_window": 0});
    check_error(
        attention(fresh(), fields),
        &["`attention` is a window of 0"],
    );
}

#[test]
fn the_text_part_of_a_model_that_sees_is_read_with_its_defaults() {
    let text = json!({"hidden_size": 8, "model_type": "gemma3_text", "sliding_window": 4, "num_hidden_layers": 2});
    let config = json!({"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"],
        "text_config": text, "vision_config": {"hidden_size": 1}});
    let dir = crate::support::folder_with("config.json", config.to_string().as_bytes());
    // The weights are not there; the first one that lacks tells the size that was read.
    write(&dir, "model.safetensors", safetensors("{}", 0));
    check_error(
        HfFolder::open(dir.path()),
        &["`model.embed_tokens.weight` is missing"],
    );
    let name = "language_model.model.embed_tokens.weight";
    let header = json!({
        name: {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]},
        "vision_tower.some.weight": {"dtype": "I8", "shape": [9], "data_offsets": [8, 17]},
    });
    write(
        &dir,
        "model.safetensors",
        safetensors(&header.to_string(), 17),
    );
    check_error(
        HfFolder::open(dir.path()),
        &[name, "[2, 2], expected [262208, 8]"],
    );
}
