//! What peft calls the matrices of an adapter.

use crate::lora::Projection;

/// What stands before `layers.`: the first is what we write; the others are what peft writes for a base that was loaded
/// without its head, or inside a model of text and images.
const PREFIXES: [&str; 4] = [
    "base_model.model.model.",
    "base_model.model.",
    "base_model.model.model.language_model.",
    "base_model.model.language_model.model.",
];

/// One of an adapter's two matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    A,
    B,
}

impl Side {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::A => "lora_A",
            Self::B => "lora_B",
        }
    }
}

/// A matrix of an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AdapterTensor {
    pub layer: usize,
    pub projection: Projection,
    pub side: Side,
}

impl AdapterTensor {
    /// Returns the name we write.
    pub(super) fn name(self) -> String {
        format!("{}{}", PREFIXES[0], self.tail())
    }

    /// Understands a name, or returns `None`.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let tails = PREFIXES
            .iter()
            .filter_map(|prefix| name.strip_prefix(prefix));
        tails.filter_map(Self::parse_tail).next()
    }

    fn parse_tail(tail: &str) -> Option<Self> {
        let parts: Vec<&str> = tail.split('.').collect();
        let &["layers", layer, _, projection, side, "weight"] = &parts[..] else {
            return None;
        };
        let tensor = Self {
            layer: layer.parse().ok()?,
            projection: Projection::ALL
                .into_iter()
                .find(|candidate| candidate.name() == projection)?,
            side: [Side::A, Side::B]
                .into_iter()
                .find(|candidate| candidate.name() == side)?,
        };
        // The module, and spellings of a number such as `+1` and `01`.
        (tensor.tail() == tail).then_some(tensor)
    }

    fn tail(self) -> String {
        format!("{}.{}.weight", self.module(), self.side.name())
    }

    fn module(self) -> String {
        let Self {
            layer, projection, ..
        } = self;
        format!(
            "layers.{layer}.{}.{}",
            projection.module(),
            projection.name()
        )
    }

    /// Whether a list of `target_modules` names the module: each entry is a module's whole name or its end.
    pub(super) fn is_named_by(self, listed: &[String]) -> bool {
        let name = format!("model.{}", self.module());
        listed.iter().any(|entry| {
            let before = name.strip_suffix(entry.as_str());
            before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_pefts_and_parse_back() {
        let tensor = AdapterTensor {
            layer: 12,
            projection: Projection::Down,
            side: Side::B,
        };
        let name = "base_model.model.model.layers.12.mlp.down_proj.lora_B.weight";
        assert_eq!(tensor.name(), name);
        assert_eq!(AdapterTensor::parse(name), Some(tensor));
        for inside in [
            "base_model.model.layers.12.mlp.down_proj.lora_B.weight",
            "base_model.model.model.language_model.layers.12.mlp.down_proj.lora_B.weight",
        ] {
            assert_eq!(AdapterTensor::parse(inside), Some(tensor));
        }
    }

    #[test]
    fn other_names_are_not_understood() {
        for name in [
            "",
            "base_model.model.lm_head.lora_A.weight",
            "base_model.model.model.layers.0.mlp.q_proj.lora_A.weight",
            "base_model.model.model.layers.+0.self_attn.q_proj.lora_A.weight",
            "base_model.model.model.layers.00.self_attn.q_proj.lora_A.weight",
            "base_model.model.model.layers.99999999999999999999.self_attn.q_proj.lora_A.weight",
            "base_model.model.model.layers.0.self_attn.q_proj.lora_A.bias",
            "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector",
            "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight.more",
            "model.layers.0.self_attn.q_proj.lora_A.weight",
        ] {
            assert_eq!(AdapterTensor::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_target_is_the_end_of_a_modules_name() {
        let tensor = AdapterTensor {
            layer: 1,
            projection: Projection::Query,
            side: Side::A,
        };
        let named = |entry: &str| tensor.is_named_by(&[entry.to_owned()]);
        assert!(named("q_proj") && named("self_attn.q_proj"));
        assert!(named("layers.1.self_attn.q_proj") && named("model.layers.1.self_attn.q_proj"));
        assert!(!named("proj") && !named("k_proj") && !named("layers.0.self_attn.q_proj"));
        assert!(!named(""));
    }
}
