//! Reads a model's configuration from GGUF metadata.
//!
//! The keys are those that llama.cpp's converter writes, with the meaning and defaults that llama.cpp gives them. A
//! setting that changes the arithmetic in a way we do not compute is refused, never ignored.

use std::collections::BTreeMap;

use super::header::TensorEntry;
use super::metadata::{Array, FromValue, Metadata, MetadataError, Value};
use super::names;
use crate::config::{
    ConfigError, Family, GateActivation, LayerAttention, MAX_LAYERS, ModelConfig, Rope, RopeScaling,
};

/// Metadata does not describe a model that can be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GgufConfigError {
    /// The architecture is none of ours.
    #[error(
        "architecture `{found}` is not supported, supported are {}",
        Family::list()
    )]
    Architecture {
        /// What `general.architecture` says.
        found: String,
    },
    /// A value is missing or of another type.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A value asks for something we do not compute.
    #[error("metadata `{key}` is {found}, supported is {supported}")]
    Unsupported {
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// What it may be.
        supported: String,
    },
    /// The tensor that decides a size is missing or is no matrix.
    #[error("tensor `{tensor}` is missing or is no matrix")]
    NoMatrix {
        /// Its name.
        tensor: &'static str,
    },
    /// The file is one of several.
    #[error("this is one of {count} files; join them into one first")]
    Split {
        /// How many there are.
        count: u64,
    },
    /// A value is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Metadata under the prefix of an architecture.
struct Keys<'a> {
    metadata: &'a Metadata,
    prefix: &'a str,
}

impl<'a> Keys<'a> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.prefix)
    }

    fn find<T: FromValue<'a>>(&self, key: &str) -> Result<Option<T>, MetadataError> {
        self.metadata.find(&self.name(key))
    }

    fn get<T: FromValue<'a>>(&self, key: &str) -> Result<T, MetadataError> {
        self.metadata.get(&self.name(key))
    }

    fn unsupported(&self, key: &str, supported: impl Into<String>) -> GgufConfigError {
        let name = self.name(key);
        GgufConfigError::Unsupported {
            found: match self.metadata.value(&name) {
                Some(Value::String(text)) => format!("`{text}`"),
                Some(value) => value.describe(),
                None => "missing".to_owned(),
            },
            key: name,
            supported: supported.into(),
        }
    }
}

/// Returns the configuration of the model with this metadata and these tensors; `factors` are the divisors of rotary
/// frequencies, if the file has them.
pub(super) fn read(
    metadata: &Metadata,
    tensors: &BTreeMap<String, TensorEntry>,
    factors: Option<Vec<f32>>,
) -> Result<ModelConfig, GgufConfigError> {
    if let Some(count @ 2..) = metadata.find::<u64>("split.count")? {
        return Err(GgufConfigError::Split { count });
    }
    let architecture: &str = metadata.get("general.architecture")?;
    let Some(family) = Family::ALL.into_iter().find(|f| f.name() == architecture) else {
        return Err(GgufConfigError::Architecture {
            found: architecture.to_owned(),
        });
    };
    let keys = Keys {
        metadata,
        prefix: architecture,
    };
    refuse_variants(&keys)?;
    let config = of_family(family, &keys, tensors, factors)?;
    config.check()?;
    Ok(config)
}

/// Refuses what changes the arithmetic in ways that none of our families has.
fn refuse_variants(keys: &Keys<'_>) -> Result<(), GgufConfigError> {
    if keys.find::<u64>("expert_count")?.unwrap_or(0) > 0 {
        return Err(keys.unsupported("expert_count", "0, no mixture of experts"));
    }
    let neutral = [
        ("attn_logit_softcapping", 0.0),
        ("final_logit_softcapping", 0.0),
        ("attention.max_alibi_bias", 0.0),
        ("attention.clamp_kqv", 0.0),
        ("logit_scale", 1.0),
        ("embedding_scale", 1.0),
        ("residual_scale", 1.0),
    ];
    for (key, value) in neutral {
        if keys.find::<f64>(key)?.is_some_and(|found| found != value) {
            return Err(keys.unsupported(key, format!("{value}")));
        }
    }
    if keys.find("attention.causal")? == Some(false) {
        return Err(keys.unsupported("attention.causal", "true"));
    }
    Ok(())
}

fn of_family(
    family: Family,
    keys: &Keys<'_>,
    tensors: &BTreeMap<String, TensorEntry>,
    factors: Option<Vec<f32>>,
) -> Result<ModelConfig, GgufConfigError> {
    let vocabulary = match tensors.get(names::EMBEDDING).map(|entry| &entry.shape[..]) {
        Some([rows, _]) => *rows,
        _ => {
            let tensor = names::EMBEDDING;
            return Err(GgufConfigError::NoMatrix { tensor });
        }
    };
    let width: usize = keys.get("embedding_length")?;
    let layers = keys.get("block_count")?;
    if layers > MAX_LAYERS {
        return Err(keys.unsupported("block_count", format!("at most {MAX_LAYERS}")));
    }
    let heads: usize = keys.get("attention.head_count")?;
    let kv_heads = keys.find("attention.head_count_kv")?.unwrap_or(heads);
    let head_width = head_width(keys, width, heads)?;
    let rope = Rope {
        theta: match (keys.find("rope.freq_base")?, family) {
            (Some(theta), _) => theta,
            // llama.cpp's default for every model; Gemma has another base, so there it must be said.
            (None, Family::Gemma3) => keys.get("rope.freq_base")?,
            (None, _) => 10_000.0,
        },
        scaling: scaling(keys, factors)?,
    };
    let gemma = family == Family::Gemma3;
    let attention = attention(family, keys, layers)?;
    let has_local = attention
        .iter()
        .any(|layer| matches!(layer, LayerAttention::Local { .. }));
    let local_rope = match gemma && has_local {
        false => rope.clone(),
        true => Rope {
            theta: keys.find("rope.freq_base_swa")?.unwrap_or(10_000.0),
            scaling: RopeScaling::None,
        },
    };
    Ok(ModelConfig {
        family,
        vocabulary,
        width,
        layers,
        heads,
        kv_heads,
        head_width,
        ffn_width: keys.get("feed_forward_length")?,
        context: keys.get("context_length")?,
        norm_epsilon: keys.get("attention.layer_norm_rms_epsilon")?,
        rope,
        local_rope,
        attention,
        attention_scale: attention_scale(family, keys, layers, width, heads, head_width)?,
        tied_head: !tensors.contains_key(names::HEAD),
        qkv_biases: family == Family::Qwen2,
        qk_norms: matches!(family, Family::Qwen3 | Family::Gemma3),
        post_norms: gemma,
        gate: match gemma {
            true => GateActivation::GeluTanh,
            false => GateActivation::Silu,
        },
        embedding_scale: match gemma {
            true => (width as f64).sqrt(),
            false => 1.0,
        },
    })
}

/// Returns the width of a head, which keys, values and the rotated part must share.
fn head_width(keys: &Keys<'_>, width: usize, heads: usize) -> Result<usize, GgufConfigError> {
    let divided = width.checked_div(heads).unwrap_or(0);
    let head_width = keys.find("attention.key_length")?.unwrap_or(divided);
    for key in ["attention.value_length", "rope.dimension_count"] {
        if keys
            .find(key)?
            .is_some_and(|found: usize| found != head_width)
        {
            return Err(keys.unsupported(key, format!("{head_width}, the width of a head")));
        }
    }
    Ok(head_width)
}

/// Returns the factor on q·k.
///
/// The file says it only rarely. llama.cpp goes by the size of the model: Gemma 3's largest, the one of 62 layers, divides
/// by the square root of width / heads, all others by that of the head's width.
fn attention_scale(
    family: Family,
    keys: &Keys<'_>,
    layers: usize,
    width: usize,
    heads: usize,
    head_width: usize,
) -> Result<f64, GgufConfigError> {
    // 0 means unset, as in llama.cpp.
    if let Some(scale) = keys
        .find::<f64>("attention.scale")?
        .filter(|&scale| scale != 0.0)
    {
        return Ok(scale);
    }
    let divisor = match (family, layers) {
        (Family::Gemma3, 62) => width.checked_div(heads).unwrap_or(0),
        _ => head_width,
    };
    Ok(1.0 / (divisor as f64).sqrt())
}

fn scaling(keys: &Keys<'_>, factors: Option<Vec<f32>>) -> Result<RopeScaling, GgufConfigError> {
    const TYPE: &str = "rope.scaling.type";
    let kind: Option<&str> = keys.find(TYPE)?;
    let factor: Option<f64> = match keys.find("rope.scaling.factor")? {
        Some(factor) => Some(factor),
        None => keys.find("rope.scale_linear")?,
    };
    let linear = match (kind, factor) {
        (Some("none"), _) | (None | Some("linear"), None) => None,
        // A missing type means linear, and a factor of 0 means none, as in llama.cpp.
        (None | Some("linear"), Some(factor)) => Some(factor).filter(|f| *f != 0.0 && *f != 1.0),
        (Some(_), _) => return Err(keys.unsupported(TYPE, "`none`, `linear`")),
    };
    match (linear, factors) {
        (None, None) => Ok(RopeScaling::None),
        (Some(factor), None) => Ok(RopeScaling::Linear { factor }),
        (None, Some(factors)) => Ok(RopeScaling::Factors { factors }),
        (Some(_), Some(_)) => {
            let tensor = names::ROPE_FACTORS;
            Err(keys.unsupported(TYPE, format!("no scaling where tensor `{tensor}` is there")))
        }
    }
}

/// Returns which keys each layer sees.
fn attention(
    family: Family,
    keys: &Keys<'_>,
    layers: usize,
) -> Result<Vec<LayerAttention>, GgufConfigError> {
    const WINDOW: &str = "attention.sliding_window";
    let window: u32 = keys.find(WINDOW)?.unwrap_or(0);
    if family != Family::Gemma3 {
        // Written by some converters beside a flag that switches it off; it changes nothing if no context is longer.
        if window > 0 && u64::from(window) < keys.get("context_length")? {
            return Err(keys.unsupported(WINDOW, "0, or the length of the context"));
        }
        return Ok(vec![LayerAttention::Global; layers]);
    }
    if window == 0 {
        return Ok(vec![LayerAttention::Global; layers]);
    }
    let local = pattern(keys, layers)?;
    let attention = local.into_iter().map(|local| match local {
        true => LayerAttention::Local { window },
        false => LayerAttention::Global,
    });
    Ok(attention.collect())
}

/// Returns which layers are local: all but each sixth, unless the file says another number or lists them.
fn pattern(keys: &Keys<'_>, layers: usize) -> Result<Vec<bool>, GgufConfigError> {
    const PATTERN: &str = "attention.sliding_window_pattern";
    let every = |n: usize| {
        let local = (1..=layers).map(|layer| n == 0 || !layer.is_multiple_of(n));
        local.collect()
    };
    let local: Vec<bool> = match keys.metadata.value(&keys.name(PATTERN)) {
        None => every(6),
        Some(Value::Array(Array::Bool(local))) => local.clone(),
        Some(Value::Array(_)) => {
            let listed: Vec<i64> = keys.get(PATTERN)?;
            listed.into_iter().map(|flag| flag != 0).collect()
        }
        Some(_) => every(keys.get(PATTERN)?),
    };
    match local.len() == layers {
        true => Ok(local),
        false => Err(keys.unsupported(PATTERN, format!("one entry for each of {layers} layers"))),
    }
}
