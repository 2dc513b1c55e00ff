//! What GGUF files say of their models: what is read of it, what is refused, and in which words.

use undertone_lm::Checkpoint;
use undertone_lm::config::{LayerAttention, Part, RopeScaling, Tensor};
use undertone_lm::gguf::OpenGgufError;

use crate::gguf::{check, open_bytes, opened};
use crate::support::{
    GgufFile, TestResult, Value, array_value, check_error, f32_value, text_value, u32_value,
};

#[test]
fn architectures_that_are_not_ours_are_named_with_those_that_are() {
    check(
        |file| file.set("general.architecture", text_value("phi3")),
        &["`phi3` is not supported", "llama, qwen2, qwen3, gemma3"],
    );
    check(
        |file| file.remove("general.architecture"),
        &["`general.architecture` is missing"],
    );
}

#[test]
fn missing_and_mistyped_keys_are_named() {
    for key in [
        "llama.embedding_length",
        "llama.block_count",
        "llama.feed_forward_length",
        "llama.context_length",
        "llama.attention.head_count",
        "llama.attention.layer_norm_rms_epsilon",
    ] {
        check(|file| file.remove(key), &[key, "is missing"]);
        check(
            |file| file.set(key, text_value("x")),
            &[key, "is a text of 1 bytes"],
        );
    }
    let heads = array_value(4, 1, &2u32.to_le_bytes());
    check(
        |file| file.set("llama.attention.head_count", heads),
        &[
            "llama.attention.head_count",
            "an array of 1 u32, expected an integer",
        ],
    );
}

#[test]
fn sizes_are_in_range() {
    let set = |key: &'static str, value| move |file: &mut GgufFile| file.set(key, u32_value(value));
    check(
        set("llama.block_count", 0),
        &["`layers` is 0, expected 1 to 1024"],
    );
    check(
        set("llama.block_count", u32::MAX),
        &["llama.block_count", "at most 1024"],
    );
    check(set("llama.embedding_length", 0), &["`width` is 0"]);
    check(
        set("llama.embedding_length", 1 << 30),
        &["`width` is 1073741824"],
    );
    check(set("llama.attention.head_count", 0), &["`heads` is 0"]);
    check(
        set("llama.attention.head_count_kv", 0),
        &["`kv_heads` is 0, expected 1 to 2"],
    );
    check(
        set("llama.attention.head_count", 3),
        &["attn_q.weight", "[8, 8], expected [6, 8]"],
    );
    check(set("llama.feed_forward_length", 0), &["`ffn_width` is 0"]);
    check(set("llama.context_length", 0), &["`context` is 0"]);
    check(
        set("llama.attention.key_length", 5),
        &["`head_width` is 5, expected an even number"],
    );
    let float =
        |key: &'static str, value| move |file: &mut GgufFile| file.set(key, f32_value(value));
    let epsilon = "llama.attention.layer_norm_rms_epsilon";
    check(float(epsilon, -1.0), &["`norm_epsilon` is -1"]);
    check(float(epsilon, f32::NAN), &["`norm_epsilon` is NaN"]);
    check(float("llama.rope.freq_base", 0.0), &["`rope` is 0"]);
    check(
        float("llama.rope.freq_base", f32::INFINITY),
        &["`rope` is inf"],
    );
}

#[test]
fn variants_that_we_would_compute_wrongly_are_refused() {
    let set = |key: &'static str, value: Value| move |file: &mut GgufFile| file.set(key, value);
    check(
        set("llama.expert_count", u32_value(8)),
        &["llama.expert_count", "u32 8"],
    );
    check(
        set("llama.rope.dimension_count", u32_value(2)),
        &["rope.dimension_count", "4"],
    );
    check(
        set("llama.attention.value_length", u32_value(8)),
        &["attention.value_length"],
    );
    check(
        set("llama.rope.scaling.type", text_value("yarn")),
        &["rope.scaling.type", "`yarn`"],
    );
    check(
        set("llama.final_logit_softcapping", f32_value(30.0)),
        &["softcapping", "f32 30"],
    );
    check(
        set("llama.attention.sliding_window", u32_value(16)),
        &["sliding_window", "u32 16"],
    );
    check(set("split.count", u32_value(3)), &["one of 3 files"]);
    check(
        |file| file.add_tensor("blk.0.attn_q.bias", &[8]),
        &["`blk.0.attn_q.bias` has no place in a llama model"],
    );
    check(
        |file| file.add_tensor("blk.1.attn_q.weight", &[8, 8]),
        &["`blk.1.attn_q.weight` has no place"],
    );
}

#[test]
fn tensors_are_there_with_their_shapes() {
    check(
        |file| file.tensor("blk.0.ffn_gate.weight").name = b"blk.0.ffn_gates.weight".to_vec(),
        &["tensor `blk.0.ffn_gate.weight` is missing"],
    );
    check(
        |file| file.tensor("blk.0.attn_k.weight").dimensions = vec![4, 8],
        &["`blk.0.attn_k.weight` has the shape [8, 4], expected [4, 8]"],
    );
    check(
        |file| file.tensor("token_embd.weight").dimensions = vec![40],
        &["`token_embd.weight` is missing or is no matrix"],
    );
    check(
        |file| file.tensor("blk.0.attn_norm.weight").dimensions = vec![8, 1],
        &["`blk.0.attn_norm.weight` has the shape [1, 8], expected [8]"],
    );
}

#[test]
fn a_head_of_its_own_is_read() -> TestResult {
    let gguf = opened(|file| file.add_tensor("output.weight", &[8, 5]));
    assert!(!gguf.config().tied_head);
    assert_eq!(gguf.read(Tensor::Head)?, gguf.read(Tensor::Embedding)?);
    Ok(())
}

#[test]
fn rotary_scaling_is_read_in_every_spelling() {
    let linear = |factor| RopeScaling::Linear { factor };
    let scaling = |change: &dyn Fn(&mut GgufFile)| {
        let gguf = opened(change);
        gguf.config().rope.scaling.clone()
    };
    let factor = "llama.rope.scaling.factor";
    let kind = "llama.rope.scaling.type";
    assert_eq!(
        scaling(&|file| file.set(factor, f32_value(4.0))),
        linear(4.0)
    );
    assert_eq!(
        scaling(&|file| file.set("llama.rope.scale_linear", f32_value(2.0))),
        linear(2.0)
    );
    assert_eq!(
        scaling(&|file| file.set(factor, f32_value(1.0))),
        RopeScaling::None
    );
    assert_eq!(
        scaling(&|file| file.set(kind, text_value("linear"))),
        RopeScaling::None
    );
    let none = scaling(&|file| {
        file.set(kind, text_value("none"));
        file.set(factor, f32_value(4.0));
    });
    assert_eq!(none, RopeScaling::None);
    let factors = scaling(&|file| {
        file.add_tensor("rope_freqs.weight", &[2]);
        let at = file.tensor("rope_freqs.weight").offset as usize;
        file.data[at..].copy_from_slice(&[1f32.to_le_bytes(), 8f32.to_le_bytes()].concat());
    });
    assert_eq!(
        factors,
        RopeScaling::Factors {
            factors: vec![1.0, 8.0]
        }
    );
    check(
        |file| file.add_tensor("rope_freqs.weight", &[3]),
        &["`rope` is 3 factors, expected one factor for each of the 2 pairs"],
    );
    // The first values of a test's tensor are negative.
    check(
        |file| file.add_tensor("rope_freqs.weight", &[2]),
        &["`rope` is -0.5"],
    );
}

#[test]
fn values_that_are_not_finite_are_named_when_they_are_read() -> TestResult {
    let mut file = GgufFile::llama();
    let at = file.tensor("blk.0.ffn_up.weight").offset as usize + 4 * 21;
    file.data[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let gguf = open_bytes(&file.bytes())?;
    let up = Tensor::Layer(0, Part::Up);
    let expected = [
        "tensor `blk.0.ffn_up.weight` of `",
        ".gguf`: value 21 is not a finite number",
    ];
    check_error(gguf.read(up), &expected);
    let mut out = [0.0; 8];
    check_error(gguf.read_rows(up, 2..3, &mut out), &expected);
    assert!(gguf.read_rows(up, 1..2, &mut out).is_ok());
    Ok(())
}

/// The file as Gemma 3, whose heads are norms' width and whose blocks have norms after them.
fn gemma(layers: u32) -> GgufFile {
    let mut file = GgufFile::llama();
    for (key, _) in &mut file.pairs {
        let renamed = String::from_utf8_lossy(key).replace("llama.", "gemma3.");
        *key = renamed.into_bytes();
    }
    file.set("general.architecture", text_value("gemma3"));
    file.set("gemma3.rope.freq_base", f32_value(1e6));
    file.set("gemma3.attention.key_length", u32_value(4));
    file.set("gemma3.attention.sliding_window", u32_value(16));
    file.set("gemma3.block_count", u32_value(layers));
    let block: Vec<(String, Vec<u64>)> = file.tensors[2..]
        .iter()
        .map(|tensor| {
            (
                String::from_utf8_lossy(&tensor.name).into_owned(),
                tensor.dimensions.clone(),
            )
        })
        .collect();
    for layer in 0..layers {
        let here = |name: &str| name.replace("blk.0.", &format!("blk.{layer}."));
        if layer > 0 {
            for (name, dimensions) in &block {
                file.add_tensor(&here(name), dimensions);
            }
        }
        for (name, size) in [
            ("attn_q_norm", 4),
            ("attn_k_norm", 4),
            ("post_attention_norm", 8),
            ("post_ffw_norm", 8),
        ] {
            file.add_tensor(&here(&format!("blk.0.{name}.weight")), &[size]);
        }
    }
    file
}

#[test]
fn local_layers_of_gemma_follow_the_pattern_of_the_file() -> TestResult {
    let local = |file: &GgufFile| {
        let config = open_bytes(&file.bytes())?.config().clone();
        let is_local =
            |layer: &LayerAttention| matches!(layer, LayerAttention::Local { window: 16 });
        let local: Vec<bool> = config.attention.iter().map(is_local).collect();
        Ok::<_, OpenGgufError>((local, config.rope.theta, config.local_rope.theta))
    };
    let pattern = "gemma3.attention.sliding_window_pattern";
    let mut file = gemma(3);
    assert_eq!(local(&file)?, (vec![true; 3], 1e6, 1e4));
    file.set(pattern, u32_value(2));
    assert_eq!(local(&file)?, (vec![true, false, true], 1e6, 1e4));
    file.set(pattern, array_value(7, 3, &[0, 1, 0]));
    file.set("gemma3.rope.freq_base_swa", f32_value(500.0));
    assert_eq!(local(&file)?, (vec![false, true, false], 1e6, 500.0));
    file.set(pattern, array_value(7, 2, &[0, 1]));
    check_error(local(&file), &[pattern, "one entry for each of 3 layers"]);
    file.set(pattern, u32_value(1));
    assert_eq!(local(&file)?, (vec![false; 3], 1e6, 1e6));
    file.remove("gemma3.attention.sliding_window");
    assert_eq!(local(&file)?, (vec![false; 3], 1e6, 1e6));
    file.remove("gemma3.rope.freq_base");
    check_error(local(&file), &["`gemma3.rope.freq_base` is missing"]);
    Ok(())
}

#[test]
fn the_largest_gemma_has_a_scale_of_its_own() -> TestResult {
    let scale = |file: &GgufFile| {
        Ok::<_, OpenGgufError>(open_bytes(&file.bytes())?.config().attention_scale)
    };
    let mut largest = gemma(62);
    largest.set("gemma3.attention.head_count", u32_value(2));
    assert_eq!(scale(&largest)?, 0.5);
    let mut file = gemma(1);
    assert_eq!(scale(&file)?, 0.5);
    file.set("gemma3.attention.scale", f32_value(0.25));
    assert_eq!(scale(&file)?, 0.25);
    Ok(())
}
