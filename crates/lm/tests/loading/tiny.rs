//! The tiny models: their configuration, and the same weights from both formats.

use std::collections::BTreeSet;

use undertone_lm::Checkpoint;
use undertone_lm::config::{
    Family, GateActivation, LayerAttention, ModelConfig, Part, Rope, RopeScaling, Tensor,
};
use undertone_lm::generation::GenerationDefaults;
use undertone_lm::gguf::{Gguf, ValueType};
use undertone_lm::hf::HfFolder;

use crate::support::{TestResult, golden};

const BOTH_FORMATS: [&str; 5] = [
    "tiny-llama",
    "tiny-llama3",
    "tiny-qwen2",
    "tiny-qwen3",
    "tiny-gemma3",
];

fn folder(name: &str) -> Result<HfFolder, Box<dyn std::error::Error>> {
    Ok(HfFolder::open(&golden(name))?)
}

fn gguf(name: &str) -> Result<Gguf, Box<dyn std::error::Error>> {
    Ok(Gguf::open(&golden(name).join("model.gguf"))?)
}

/// The configuration with its rotary scaling as divisors, in which form GGUF has it, in f64.
fn without_scaling(config: &ModelConfig) -> ModelConfig {
    let mut config = config.clone();
    config.rope.scaling = RopeScaling::None;
    config.local_rope.scaling = RopeScaling::None;
    // Written as f32 by GGUF, and read from decimal digits by JSON.
    config.norm_epsilon = f64::from(config.norm_epsilon as f32);
    config
}

#[test]
fn both_formats_of_a_model_give_the_same_configuration_and_tensors() -> TestResult {
    for name in BOTH_FORMATS {
        let (folder, gguf) = (folder(name)?, gguf(name)?);
        assert_eq!(
            without_scaling(folder.config()),
            without_scaling(gguf.config()),
            "{name}"
        );
        for tensor in folder.config().tensors() {
            let (a, b) = (folder.read(tensor)?, gguf.read(tensor)?);
            let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert!(
                bits(&a) == bits(&b),
                "{name}: {}",
                gguf.file_name_of(tensor)
            );
            let distinct: BTreeSet<u32> = bits(&a).into_iter().collect();
            assert!(
                distinct.len() > a.len() / 4,
                "{name}: {tensor:?} is not random"
            );
        }
    }
    Ok(())
}

#[test]
fn rows_are_those_of_the_whole_tensor() -> TestResult {
    for name in BOTH_FORMATS {
        let (folder, gguf) = (folder(name)?, gguf(name)?);
        let checkpoints: [&dyn Checkpoint; 2] = [&folder, &gguf];
        for checkpoint in checkpoints {
            for tensor in checkpoint.config().tensors() {
                let (n_rows, columns) = checkpoint.config().shape(tensor);
                let whole = checkpoint.read(tensor)?;
                for rows in [0..0, 0..1, n_rows / 3..n_rows / 2 + 1, n_rows - 1..n_rows] {
                    let mut out = vec![f32::NAN; rows.len() * columns];
                    checkpoint.read_rows(tensor, rows.clone(), &mut out)?;
                    assert_eq!(out, whole[rows.start * columns..rows.end * columns]);
                }
            }
        }
    }
    Ok(())
}

fn plain(theta: f64) -> Rope {
    Rope {
        theta,
        scaling: RopeScaling::None,
    }
}

fn llama() -> ModelConfig {
    ModelConfig {
        family: Family::Llama,
        vocabulary: 112,
        width: 32,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_width: 8,
        ffn_width: 64,
        context: 256,
        norm_epsilon: 1e-5,
        rope: plain(10_000.0),
        local_rope: plain(10_000.0),
        attention: vec![LayerAttention::Global; 2],
        attention_scale: 1.0 / 8f64.sqrt(),
        tied_head: false,
        qkv_biases: false,
        qk_norms: false,
        post_norms: false,
        gate: GateActivation::Silu,
        embedding_scale: 1.0,
    }
}

#[test]
fn configurations_say_what_the_models_were_made_with() -> TestResult {
    assert_eq!(*folder("tiny-llama")?.config(), llama());

    let scaled = Rope {
        theta: 100.0,
        scaling: RopeScaling::Llama3 {
            factor: 8.0,
            low_frequency_factor: 1.0,
            high_frequency_factor: 4.0,
            original_context: 64,
        },
    };
    let llama3 = ModelConfig {
        kv_heads: 1,
        ffn_width: 48,
        context: 512,
        rope: scaled.clone(),
        local_rope: scaled,
        tied_head: true,
        ..llama()
    };
    assert_eq!(*folder("tiny-llama3")?.config(), llama3);

    let qwen2 = ModelConfig {
        family: Family::Qwen2,
        layers: 3,
        ffn_width: 48,
        norm_epsilon: 1e-6,
        rope: plain(1e6),
        local_rope: plain(1e6),
        attention: vec![LayerAttention::Global; 3],
        tied_head: true,
        qkv_biases: true,
        ..llama()
    };
    assert_eq!(*folder("tiny-qwen2")?.config(), qwen2);

    let qwen3 = ModelConfig {
        family: Family::Qwen3,
        layers: 2,
        head_width: 12,
        attention: vec![LayerAttention::Global; 2],
        attention_scale: 1.0 / 12f64.sqrt(),
        tied_head: false,
        qkv_biases: false,
        qk_norms: true,
        ..qwen2
    };
    assert_eq!(*folder("tiny-qwen3")?.config(), qwen3);

    let local = LayerAttention::Local { window: 5 };
    let mut attention = vec![local; 7];
    attention[5] = LayerAttention::Global;
    let gemma3 = ModelConfig {
        family: Family::Gemma3,
        width: 24,
        layers: 7,
        heads: 2,
        kv_heads: 1,
        head_width: 8,
        ffn_width: 32,
        context: 512,
        local_rope: plain(10_000.0),
        attention,
        attention_scale: 1.0 / 8f64.sqrt(),
        tied_head: true,
        post_norms: true,
        gate: GateActivation::GeluTanh,
        embedding_scale: 24f64.sqrt(),
        ..qwen3
    };
    assert_eq!(*folder("tiny-gemma3")?.config(), gemma3);

    let linear = ModelConfig {
        layers: 4,
        rope: Rope {
            theta: 1000.0,
            scaling: RopeScaling::Linear { factor: 8.0 },
        },
        local_rope: plain(100.0),
        attention: vec![local, LayerAttention::Global, local, LayerAttention::Global],
        attention_scale: 1.0 / 12f64.sqrt(),
        ..gemma3
    };
    assert_eq!(*folder("tiny-gemma3-linear")?.config(), linear);
    Ok(())
}

#[test]
fn gguf_holds_the_rule_of_llama_3_as_divisors() -> TestResult {
    let RopeScaling::Factors { factors } = gguf("tiny-llama3")?.config().rope.scaling.clone()
    else {
        panic!("the file has divisors");
    };
    // Wavelengths 2 pi 100^(i/4): 6.3, 19.9, 62.8, 198.7, against 64/4 and 64/1.
    assert_eq!(factors.len(), 4);
    let smooth = |wavelength: f64| {
        let share = (64.0 / wavelength - 1.0) / 3.0;
        1.0 / ((1.0 - share) / 8.0 + share)
    };
    let wavelength = |pair: i32| 2.0 * std::f64::consts::PI * 100f64.powf(f64::from(pair) / 4.0);
    let expected = [1.0, smooth(wavelength(1)), smooth(wavelength(2)), 8.0];
    for (found, expected) in factors.iter().zip(expected) {
        // Divisors are rounded to f32, and so were the frequencies they come from.
        assert!(
            (f64::from(*found) / expected - 1.0).abs() < 1e-5,
            "{factors:?}"
        );
    }
    Ok(())
}

#[test]
fn quantised_weights_are_near_the_plain_ones() -> TestResult {
    let plain = gguf("tiny-llama")?;
    let quantised = Gguf::open(&golden("tiny-llama").join("model-quantised.gguf"))?;
    assert_eq!(plain.config(), quantised.config());
    let mut types = BTreeSet::new();
    for tensor in plain.config().tensors() {
        let value_type = quantised.value_type(tensor);
        types.insert(value_type.name());
        let (a, b) = (plain.read(tensor)?, quantised.read(tensor)?);
        let largest = a.iter().fold(0f32, |largest, x| largest.max(x.abs()));
        // Half a step of the type, for blocks that span up to twice the largest value; rounding of the scales on top.
        let steps = match value_type {
            ValueType::Q4_0 => 16.0,
            ValueType::Q4_1 => 15.0,
            ValueType::Q5_0 => 32.0,
            ValueType::Q5_1 => 31.0,
            ValueType::Q8_0 => 254.0,
            _ => f32::INFINITY,
        };
        // Q4_0 and Q5_0 may clip the value opposite to the largest by a whole step.
        let limit = 2.1 * largest / steps;
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() <= limit, "{tensor:?} {value_type:?}: {a} {b}");
        }
    }
    let expected = ["F32", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"];
    assert_eq!(types.into_iter().collect::<Vec<_>>(), expected);
    Ok(())
}

#[test]
fn special_tokens_and_sampling_come_from_the_files() -> TestResult {
    let expected = GenerationDefaults {
        bos: Some(1),
        eos: vec![2, 0],
        pad: Some(0),
        sample: Some(true),
        temperature: Some(0.7),
        top_p: Some(0.9),
        ..GenerationDefaults::default()
    };
    assert_eq!(*folder("tiny-llama")?.generation(), expected);
    let expected = GenerationDefaults {
        bos: Some(1),
        eos: vec![2],
        pad: Some(0),
        ..GenerationDefaults::default()
    };
    assert_eq!(*gguf("tiny-llama")?.generation(), expected);
    Ok(())
}

#[test]
fn metadata_of_a_tokenizer_is_there_by_type() -> TestResult {
    let gguf = gguf("tiny-llama")?;
    let metadata = gguf.metadata();
    assert_eq!(metadata.get::<&str>("tokenizer.ggml.model")?, "gpt2");
    let tokens: &[String] = metadata.get("tokenizer.ggml.tokens")?;
    let types: Vec<i64> = metadata.get("tokenizer.ggml.token_type")?;
    assert_eq!((tokens.len(), types.len()), (112, 112));
    assert_eq!((&*tokens[1], types[1]), ("<|im_start|>", 3));
    assert_eq!(
        metadata.get::<bool>("tokenizer.ggml.add_bos_token"),
        Ok(false)
    );
    assert_eq!(metadata.find::<&[f32]>("tokenizer.ggml.scores"), Ok(None));
    Ok(())
}

#[test]
fn files_of_a_folder_have_digests_and_their_tensors_names() -> TestResult {
    let folder = folder("tiny-llama3")?;
    let names: Vec<String> = folder.digests().into_iter().map(|file| file.name).collect();
    let expected = [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ];
    assert_eq!(names, expected);
    let name = folder.file_name_of(Tensor::Layer(1, Part::Gate));
    assert_eq!(name, "model.layers.1.mlp.gate_proj.weight");
    Ok(())
}
