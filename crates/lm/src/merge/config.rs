//! Writes `config.json` and `generation_config.json` so that transformers 4 and 5 read the same model out of them.
//!
//! transformers 4's spelling, which 5 understands too. What a family's code does without asking must be what our
//! configuration says; where it is not, there is no such model.

use serde_json::{Map, Value, json};

use super::{MergeOptions, MergedType};
use crate::config::{Family, GateActivation, LayerAttention, ModelConfig, Rope, RopeScaling};
use crate::generation::GenerationDefaults;
use crate::reference::rope_frequency;

/// A model is none that transformers has.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("in a {} model of transformers, `{field}` is {expected}", family.name())]
pub struct UnwritableError {
    /// The family.
    pub family: Family,
    /// The field of [`ModelConfig`].
    pub field: &'static str,
    /// What transformers' model has.
    pub expected: &'static str,
}

/// Returns the content of `config.json`.
pub(super) fn config_json(
    model: &ModelConfig,
    options: &MergeOptions<'_>,
) -> Result<Vec<u8>, UnwritableError> {
    check(model)?;
    let rope_scaling = rope_scaling(model)?;
    let (architecture, model_type) = match model.family {
        Family::Llama => ("LlamaForCausalLM", "llama"),
        Family::Qwen2 => ("Qwen2ForCausalLM", "qwen2"),
        Family::Qwen3 => ("Qwen3ForCausalLM", "qwen3"),
        Family::Gemma3 => ("Gemma3ForCausalLM", "gemma3_text"),
    };
    let (activation, function) = match model.gate {
        GateActivation::Silu => ("hidden_act", "silu"),
        GateActivation::GeluTanh => ("hidden_activation", "gelu_pytorch_tanh"),
    };
    let mut fields = json!({
        "architectures": [architecture],
        "model_type": model_type,
        "vocab_size": model.vocabulary,
        "hidden_size": model.width,
        "intermediate_size": model.ffn_width,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.head_width,
        "max_position_embeddings": model.context,
        "rms_norm_eps": model.norm_epsilon,
        "rope_theta": model.rope.theta,
        "rope_scaling": rope_scaling,
        "tie_word_embeddings": model.tied_head,
        "attention_bias": false,
        "attention_dropout": 0.0,
        "torch_dtype": match options.weights {
            MergedType::F32 => "float32",
            MergedType::Bf16 => "bfloat16",
        },
    });
    let fields = fields.as_object_mut().expect("it was written as one");
    fields.insert(activation.to_owned(), function.into());
    match model.family {
        Family::Llama => {
            fields.insert("mlp_bias".to_owned(), false.into());
        }
        // Qwen2's biases are not a setting.
        Family::Qwen2 => {
            fields.remove("attention_bias");
            fields.insert("use_sliding_window".to_owned(), false.into());
        }
        Family::Qwen3 => {
            fields.insert("use_sliding_window".to_owned(), false.into());
        }
        Family::Gemma3 => fields.extend(gemma_fields(model)),
    }
    fields.extend(special_tokens(options.generation));
    Ok(pretty(fields))
}

/// Returns the content of `generation_config.json`.
pub(super) fn generation_json(generation: &GenerationDefaults) -> Vec<u8> {
    let mut fields = special_tokens(generation);
    let settings = [
        ("do_sample", json!(generation.sample)),
        ("temperature", json!(generation.temperature)),
        ("top_k", json!(generation.top_k)),
        ("top_p", json!(generation.top_p)),
        ("min_p", json!(generation.min_p)),
    ];
    for (field, value) in settings {
        if !value.is_null() {
            fields.insert(field.to_owned(), value);
        }
    }
    pretty(&fields)
}

/// The ids of special tokens: null where there is none, so that no family's default steps in.
fn special_tokens(generation: &GenerationDefaults) -> Map<String, Value> {
    let eos = match generation.eos[..] {
        [] => Value::Null,
        [one] => json!(one),
        ref several => json!(several),
    };
    [
        ("bos_token_id".to_owned(), json!(generation.bos)),
        ("eos_token_id".to_owned(), eos),
        ("pad_token_id".to_owned(), json!(generation.pad)),
    ]
    .into_iter()
    .collect()
}

fn gemma_fields(model: &ModelConfig) -> Map<String, Value> {
    let layer_types: Vec<&str> = model
        .attention
        .iter()
        .map(|attention| match attention {
            LayerAttention::Global => "full_attention",
            LayerAttention::Local { .. } => "sliding_attention",
        })
        .collect();
    let fields = json!({
        "attn_logit_softcapping": null,
        "final_logit_softcapping": null,
        "layer_types": layer_types,
        "query_pre_attn_scalar": inverse_square(model.attention_scale),
        "rope_local_base_freq": model.local_rope.theta,
        "sliding_window": windows(model).next().unwrap_or(4096),
    });
    match fields {
        Value::Object(fields) => fields,
        _ => unreachable!("it was written as one"),
    }
}

/// Returns the whole number n whose 1 / √n is the attention scale, or the nearest.
fn inverse_square(scale: f64) -> u64 {
    (1.0 / (scale * scale)).round() as u64
}

fn windows(model: &ModelConfig) -> impl Iterator<Item = u32> {
    model
        .attention
        .iter()
        .filter_map(|attention| match attention {
            LayerAttention::Global => None,
            LayerAttention::Local { window } => Some(*window),
        })
}

fn rope_scaling(model: &ModelConfig) -> Result<Value, UnwritableError> {
    let recovered;
    let scaling = match &model.rope.scaling {
        RopeScaling::Factors { factors } => {
            recovered = llama3_rule(model, factors).ok_or(UnwritableError {
                family: model.family,
                field: "rope",
                expected: "scaled by Llama 3's rule, if each frequency has a factor of its own",
            })?;
            &recovered
        }
        scaling => scaling,
    };
    Ok(match scaling {
        RopeScaling::None | RopeScaling::Factors { .. } => Value::Null,
        RopeScaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
        RopeScaling::Llama3 {
            factor,
            low_frequency_factor,
            high_frequency_factor,
            original_context,
        } => json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low_frequency_factor,
            "high_freq_factor": high_frequency_factor,
            "original_max_position_embeddings": original_context,
        }),
    })
}

/// Returns the rule that gives `factors`: GGUF files hold what it comes to, transformers its constants.
///
/// Every published model has 1 and 4 as its frequency factors and a power of two as its original context.
fn llama3_rule(model: &ModelConfig, factors: &[f32]) -> Option<RopeScaling> {
    let rope = |scaling| Rope {
        theta: model.rope.theta,
        scaling,
    };
    let plain = rope(RopeScaling::None);
    let factor = factors.iter().copied().fold(1.0, f32::max);
    let rules = (5..=20).map(|power| RopeScaling::Llama3 {
        factor: f64::from(factor),
        low_frequency_factor: 1.0,
        high_frequency_factor: 4.0,
        original_context: 1 << power,
    });
    let mut rules = rules.map(rope);
    let fits = |rule: &Rope| {
        factors.iter().enumerate().all(|(pair, &found)| {
            let frequency = |rope| rope_frequency(rope, model.head_width, pair);
            let implied = frequency(&plain) / frequency(rule);
            (implied / f64::from(found) - 1.0).abs() < 1e-5
        })
    };
    rules.find(fits).map(|rule| rule.scaling)
}

/// Checks what a family's code in transformers does without asking.
fn check(model: &ModelConfig) -> Result<(), UnwritableError> {
    let family = model.family;
    let gemma = family == Family::Gemma3;
    let require = |holds: bool, field, expected| match holds {
        true => Ok(()),
        false => Err(UnwritableError {
            family,
            field,
            expected,
        }),
    };
    let heads = matches!(family, Family::Qwen3 | Family::Gemma3);
    require(
        model.qkv_biases == (family == Family::Qwen2),
        "qkv_biases",
        "true for qwen2 and false elsewhere",
    )?;
    require(
        model.qk_norms == heads,
        "qk_norms",
        "true for qwen3 and gemma3 and false elsewhere",
    )?;
    require(
        model.post_norms == gemma,
        "post_norms",
        "true for gemma3 and false elsewhere",
    )?;
    let gate = match gemma {
        true => GateActivation::GeluTanh,
        false => GateActivation::Silu,
    };
    require(
        model.gate == gate,
        "gate",
        "gelu-tanh for gemma3 and silu elsewhere",
    )?;
    let near = |a: f64, b: f64, tolerance: f64| (a / b - 1.0).abs() < tolerance;
    if gemma {
        // transformers rounds the factor to the type of the weights, as some readers do: by up to 2^-9.
        require(
            near(model.embedding_scale, (model.width as f64).sqrt(), 0.004),
            "embedding_scale",
            "the root of the width",
        )?;
        let root = (inverse_square(model.attention_scale) as f64).sqrt();
        require(
            near(model.attention_scale, 1.0 / root, 1e-6),
            "attention_scale",
            "one over the root of a whole number",
        )?;
        let window = windows(model).next();
        require(
            windows(model).all(|other| Some(other) == window),
            "attention",
            "local with one window",
        )?;
        require(
            model.local_rope.scaling == RopeScaling::None,
            "local_rope",
            "without scaling",
        )
    } else {
        require(model.embedding_scale == 1.0, "embedding_scale", "1")?;
        let root = (model.head_width as f64).sqrt();
        require(
            near(model.attention_scale, 1.0 / root, 1e-6),
            "attention_scale",
            "one over the root of the head's width",
        )?;
        require(windows(model).next().is_none(), "attention", "global")
    }
}

fn pretty(fields: &Map<String, Value>) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(fields).expect("JSON values have a JSON form");
    bytes.push(b'\n');
    bytes
}
