//! What safetensors files call the tensors of our families.

use crate::config::{Family, Part, Tensor};

/// How a folder's names begin. The same model is saved under several prefixes: alone, with its head, and as the text part
/// of a model that sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    body: &'static str,
    head: &'static str,
}

impl Prefix {
    const ALL: [Self; 4] = [
        Self::new("model.", ""),
        Self::new("language_model.model.", "language_model."),
        Self::new("model.language_model.", ""),
        Self::new("", ""),
    ];

    const fn new(body: &'static str, head: &'static str) -> Self {
        Self { body, head }
    }

    /// Returns the prefix under which an embedding is there; the usual one if none is.
    pub(crate) fn find(is_there: impl Fn(&str) -> bool) -> Self {
        let found = Self::ALL
            .into_iter()
            .find(|prefix| is_there(&prefix.name(Family::Llama, Tensor::Embedding)));
        found.unwrap_or(Self::ALL[0])
    }

    /// Returns the name of `tensor`.
    pub(crate) fn name(self, family: Family, tensor: Tensor) -> String {
        let Self { body, head } = self;
        match tensor {
            Tensor::Embedding => format!("{body}embed_tokens.weight"),
            Tensor::FinalNorm => format!("{body}norm.weight"),
            Tensor::Head => format!("{head}lm_head.weight"),
            Tensor::Layer(layer, part) => {
                format!("{body}layers.{layer}.{}", part_name(family, part))
            }
        }
    }
}

fn part_name(family: Family, part: Part) -> &'static str {
    match part {
        Part::AttentionNorm => "input_layernorm.weight",
        Part::Query => "self_attn.q_proj.weight",
        Part::Key => "self_attn.k_proj.weight",
        Part::Value => "self_attn.v_proj.weight",
        Part::QueryBias => "self_attn.q_proj.bias",
        Part::KeyBias => "self_attn.k_proj.bias",
        Part::ValueBias => "self_attn.v_proj.bias",
        Part::QueryNorm => "self_attn.q_norm.weight",
        Part::KeyNorm => "self_attn.k_norm.weight",
        Part::Output => "self_attn.o_proj.weight",
        Part::PostAttentionNorm => "post_attention_layernorm.weight",
        // Gemma has a norm after attention; the other families call the one before the feed-forward block so.
        Part::FfnNorm => match family {
            Family::Gemma3 => "pre_feedforward_layernorm.weight",
            Family::Llama | Family::Qwen2 | Family::Qwen3 => "post_attention_layernorm.weight",
        },
        Part::Gate => "mlp.gate_proj.weight",
        Part::Up => "mlp.up_proj.weight",
        Part::Down => "mlp.down_proj.weight",
        Part::PostFfnNorm => "post_feedforward_layernorm.weight",
    }
}

/// Whether a file may hold `tensor` although we have no use for it: the parts of a model that see, and tables that are
/// computed anyway.
pub(crate) fn is_ignored(family: Family, tensor: &str) -> bool {
    const SEEING: [&str; 4] = [
        "vision_tower.",
        "multi_modal_projector.",
        "model.vision_tower.",
        "model.multi_modal_projector.",
    ];
    let sees = family == Family::Gemma3 && SEEING.iter().any(|part| tensor.starts_with(part));
    sees || tensor.ends_with(".rotary_emb.inv_freq")
}

/// Whether the file stores `tensor` less 1: norms, which are Gemma's only vectors.
pub(crate) fn is_shifted(family: Family, tensor: Tensor) -> bool {
    family == Family::Gemma3 && tensor.is_vector()
}
