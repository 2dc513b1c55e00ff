//! Reads a model's configuration from `config.json`.
//!
//! A field that is missing has the default of transformers' configuration class, since files leave out what equals it. A
//! setting that changes the arithmetic in a way we do not compute is refused, never ignored.

use serde_json::{Map, Value};

use super::json::{FieldError, Object};
use super::rope;
use crate::config::{ConfigError, Family, GateActivation, LayerAttention, MAX_LAYERS, ModelConfig};

/// `config.json` does not describe a model that can be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FolderConfigError {
    /// The model is of no family of ours.
    #[error("field `{field}` is {found}, supported is {}", supported_models())]
    Architecture {
        /// The field that says so.
        field: String,
        /// What it says.
        found: String,
    },
    /// A field is missing or of another type.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A field asks for something we do not compute.
    #[error("field `{field}` is {found}, supported is {supported}")]
    Unsupported {
        /// The field, with those around it.
        field: String,
        /// Its value.
        found: String,
        /// What it may be.
        supported: String,
    },
    /// A value is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// The `model_type`s we load, the class each is saved as, and its family.
const MODELS: [(&str, &str, Family); 5] = [
    ("llama", "LlamaForCausalLM", Family::Llama),
    ("qwen2", "Qwen2ForCausalLM", Family::Qwen2),
    ("qwen3", "Qwen3ForCausalLM", Family::Qwen3),
    ("gemma3_text", "Gemma3ForCausalLM", Family::Gemma3),
    ("gemma3", "Gemma3ForConditionalGeneration", Family::Gemma3),
];

fn supported_models() -> String {
    MODELS
        .map(|(model_type, class, _)| format!("{model_type} ({class})"))
        .join(", ")
}

impl Object<'_> {
    pub(super) fn unsupported(
        &self,
        field: &str,
        supported: impl Into<String>,
    ) -> FolderConfigError {
        let FieldError { field, found, .. } = self.error(field, "");
        FolderConfigError::Unsupported {
            field,
            found,
            supported: supported.into(),
        }
    }
}

/// Returns the configuration in `file`; where it is that of a model that sees, of its text part.
pub(super) fn read(file: &Map<String, Value>) -> Result<ModelConfig, FolderConfigError> {
    let whole = Object::new(file, "");
    let family = family(whole)?;
    if let Some(quantization) = whole.map("quantization_config")? {
        let quantization = Object::new(quantization, "quantization_config.");
        return Err(quantization.unsupported("quant_method", "no quantization: F32, F16, BF16"));
    }
    let text = match (family, whole.map("text_config")?) {
        (Family::Gemma3, Some(text)) => Object::new(text, "text_config."),
        _ => whole,
    };
    let config = of_family(family, text, whole)?;
    config.check()?;
    Ok(config)
}

fn family(config: Object<'_>) -> Result<Family, FolderConfigError> {
    let classes = config.texts("architectures")?.unwrap_or_default();
    let by_class = |class: &str| MODELS.into_iter().find(|(_, known, _)| *known == class);
    let refuse = |field: &str| {
        let FieldError { field, found, .. } = config.error(field, "");
        FolderConfigError::Architecture { field, found }
    };
    let found = match config.text("model_type")? {
        Some(found) => MODELS.into_iter().find(|(known, _, _)| *known == found),
        None => classes.first().and_then(|class| by_class(class)),
    };
    let (_, _, family) = found.ok_or_else(|| match config.value("model_type") {
        Some(_) => refuse("model_type"),
        None => refuse("architectures"),
    })?;
    // The same body under another head, such as a classifier's, is another model.
    let is_ours = |class: &&str| by_class(class).is_some_and(|(_, _, of)| of == family);
    match classes.iter().all(is_ours) {
        true => Ok(family),
        false => Err(refuse("architectures")),
    }
}

/// What transformers' configuration class of a family has where the file says nothing.
struct Defaults {
    vocabulary: usize,
    width: usize,
    ffn_width: usize,
    layers: usize,
    heads: usize,
    /// `None`: as many as `heads`.
    kv_heads: Option<usize>,
    /// `None`: `width / heads`.
    head_width: Option<usize>,
    context: usize,
    tied_head: bool,
}

fn defaults(family: Family) -> Defaults {
    let qwen = Defaults {
        vocabulary: 151_936,
        width: 4096,
        ffn_width: 22_016,
        layers: 32,
        heads: 32,
        kv_heads: Some(32),
        head_width: None,
        context: 32_768,
        tied_head: false,
    };
    match family {
        Family::Llama => Defaults {
            vocabulary: 32_000,
            ffn_width: 11_008,
            kv_heads: None,
            context: 2048,
            ..qwen
        },
        Family::Qwen2 => qwen,
        Family::Qwen3 => Defaults {
            head_width: Some(128),
            ..qwen
        },
        Family::Gemma3 => Defaults {
            vocabulary: 262_208,
            width: 2304,
            ffn_width: 9216,
            layers: 26,
            heads: 8,
            kv_heads: Some(4),
            head_width: Some(256),
            context: 131_072,
            tied_head: true,
        },
    }
}

fn of_family(
    family: Family,
    config: Object<'_>,
    whole: Object<'_>,
) -> Result<ModelConfig, FolderConfigError> {
    refuse_variants(config)?;
    let defaults = defaults(family);
    let size = |field, default| Ok::<_, FieldError>(config.size(field)?.unwrap_or(default));
    let width = size("hidden_size", defaults.width)?;
    let heads = size("num_attention_heads", defaults.heads)?;
    let layers = size("num_hidden_layers", defaults.layers)?;
    if layers > MAX_LAYERS {
        return Err(config.unsupported("num_hidden_layers", format!("at most {MAX_LAYERS}")));
    }
    // An explicit null means as many as there are heads, for every family.
    let kv_heads = match (
        config.size("num_key_value_heads")?,
        config.has("num_key_value_heads"),
    ) {
        (Some(kv_heads), _) => kv_heads,
        (None, true) => heads,
        (None, false) => defaults.kv_heads.unwrap_or(heads),
    };
    let head_width = match config.size("head_dim")?.or(defaults.head_width) {
        Some(head_width) => head_width,
        None => width.checked_div(heads).unwrap_or(0),
    };
    let gemma = family == Family::Gemma3;
    let (rope, local_rope) = rope::read(family, config)?;
    let attention = attention(family, config, layers)?;
    let has_local = attention
        .iter()
        .any(|layer| matches!(layer, LayerAttention::Local { .. }));
    let divisor = match gemma {
        true => config.number("query_pre_attn_scalar")?.unwrap_or(256.0),
        false => head_width as f64,
    };
    // Saved beside the text part by models that see.
    let tied_head = match config.truth("tie_word_embeddings")? {
        Some(tied_head) => tied_head,
        None => whole
            .truth("tie_word_embeddings")?
            .unwrap_or(defaults.tied_head),
    };
    Ok(ModelConfig {
        family,
        vocabulary: size("vocab_size", defaults.vocabulary)?,
        width,
        layers,
        heads,
        kv_heads,
        head_width,
        ffn_width: size("intermediate_size", defaults.ffn_width)?,
        context: size("max_position_embeddings", defaults.context)?,
        norm_epsilon: config.number("rms_norm_eps")?.unwrap_or(1e-6),
        local_rope: match has_local {
            true => local_rope,
            false => rope.clone(),
        },
        rope,
        attention,
        attention_scale: 1.0 / divisor.sqrt(),
        tied_head,
        qkv_biases: family == Family::Qwen2,
        qk_norms: matches!(family, Family::Qwen3 | Family::Gemma3),
        post_norms: gemma,
        gate: gate(family, config)?,
        embedding_scale: match gemma {
            true => (width as f64).sqrt(),
            false => 1.0,
        },
    })
}

/// Refuses what changes the arithmetic in ways that none of our families has.
fn refuse_variants(config: Object<'_>) -> Result<(), FolderConfigError> {
    for field in ["attention_bias", "mlp_bias", "use_bidirectional_attention"] {
        if config.truth(field)? == Some(true) {
            return Err(config.unsupported(field, "false"));
        }
    }
    for field in ["attn_logit_softcapping", "final_logit_softcapping"] {
        if config.value(field).is_some() {
            return Err(config.unsupported(field, "null"));
        }
    }
    Ok(())
}

fn gate(family: Family, config: Object<'_>) -> Result<GateActivation, FolderConfigError> {
    let (field, name, gate) = match family {
        Family::Gemma3 => (
            "hidden_activation",
            "gelu_pytorch_tanh",
            GateActivation::GeluTanh,
        ),
        Family::Llama | Family::Qwen2 | Family::Qwen3 => {
            ("hidden_act", "silu", GateActivation::Silu)
        }
    };
    match config.text(field)? {
        None => Ok(gate),
        Some(found) if found == name => Ok(gate),
        Some(_) => Err(config.unsupported(field, format!("\"{name}\""))),
    }
}

/// Returns which keys each layer sees.
fn attention(
    family: Family,
    config: Object<'_>,
    layers: usize,
) -> Result<Vec<LayerAttention>, FolderConfigError> {
    let window = match family {
        Family::Llama => None,
        Family::Qwen2 | Family::Qwen3 => match config.truth("use_sliding_window")? {
            Some(true) if config.has("sliding_window") => config.u32("sliding_window")?,
            Some(true) => Some(4096),
            _ => None,
        },
        Family::Gemma3 => match config.has("sliding_window") {
            true => config.u32("sliding_window")?,
            false => Some(4096),
        },
    };
    let local = local_layers(family, config, layers, window)?;
    let layer = |local| match (local, window) {
        (false, _) => Ok(LayerAttention::Global),
        (true, Some(window)) => Ok(LayerAttention::Local { window }),
        (true, None) => {
            Err(config.unsupported("layer_types", "\"full_attention\" only, without a window"))
        }
    };
    local.into_iter().map(layer).collect()
}

/// Returns which layers are local.
fn local_layers(
    family: Family,
    config: Object<'_>,
    layers: usize,
    window: Option<u32>,
) -> Result<Vec<bool>, FolderConfigError> {
    if let Some(types) = config.texts("layer_types")? {
        let expected = format!("{layers} times \"full_attention\" or \"sliding_attention\"");
        let unsupported = || config.unsupported("layer_types", expected.clone());
        if types.len() != layers {
            return Err(unsupported());
        }
        let local = types.into_iter().map(|kind| match kind {
            "full_attention" => Ok(false),
            "sliding_attention" => Ok(true),
            _ => Err(unsupported()),
        });
        return local.collect();
    }
    let first = match (family, window) {
        (Family::Llama, _) | (_, None) => return Ok(vec![false; layers]),
        (Family::Gemma3, Some(_)) => {
            let every = match config.size("sliding_window_pattern")? {
                Some(0) => return Err(config.unsupported("sliding_window_pattern", "1 or more")),
                every => every.unwrap_or(6),
            };
            return Ok((1..=layers)
                .map(|layer| !layer.is_multiple_of(every))
                .collect());
        }
        (Family::Qwen2 | Family::Qwen3, Some(_)) => config.size("max_window_layers")?.unwrap_or(28),
    };
    Ok((0..layers).map(|layer| layer >= first).collect())
}
