//! Reads and writes `adapter_config.json`.
//!
//! peft adds settings with every version. Those that we know to change nothing are listed; the few that we follow are
//! parsed; any other is refused by name unless it is off: null, false, or empty.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::lora::{LoraConfig, LoraScaling, Projection};

/// Settings of any value that do not change what an adapter computes once its weights are there.
const WITHOUT_EFFECT: [&str; 16] = [
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_dropout",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "task_type",
];

/// Ways of drawing A and B that leave the base as it is. Others (PiSSA, OLoRA, CorDA, LoftQ) change its weights.
const PLAIN_STARTS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// An adapter's configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AdapterConfigError {
    /// The file is no JSON object.
    #[error("it is not a JSON object")]
    Json(#[source] serde_json::Error),
    /// A setting is missing or of another kind.
    #[error("`{field}` is {found}, expected {expected}")]
    Field {
        /// Its name.
        field: &'static str,
        /// Its value as JSON, cut to 80 characters; `null` if it is missing.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A setting asks for arithmetic that is not ours.
    #[error("`{field}` is {found}, which is not supported")]
    Unsupported {
        /// Its name.
        field: String,
        /// Its value as JSON, cut to 80 characters.
        found: String,
    },
}

/// What `target_modules` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Targets {
    /// Names or ends of names of modules.
    Listed(Vec<String>),
    /// A pattern, or `all-linear`. It is not evaluated: which modules have tensors says the same.
    Pattern,
}

/// A parsed configuration, whose targets are known once the tensors are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AdapterConfig {
    rank: usize,
    alpha: f64,
    scaling: LoraScaling,
    pub targets: Targets,
}

impl AdapterConfig {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, AdapterConfigError> {
        let fields: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(AdapterConfigError::Json)?;
        refuse_other_kinds(&fields)?;
        let rank = required(&fields, "r", "a whole number above 0", |value| {
            value.as_u64().and_then(|rank| usize::try_from(rank).ok())
        })?;
        let alpha = required(&fields, "lora_alpha", "a number", Value::as_f64)?;
        let targets = "a text or a list of texts";
        let targets = required(&fields, "target_modules", targets, parse_targets)?;
        let stabilised = match fields.get("use_rslora") {
            None | Some(Value::Null) => false,
            Some(_) => required(&fields, "use_rslora", "true or false", Value::as_bool)?,
        };
        Ok(Self {
            rank,
            alpha,
            scaling: if stabilised {
                LoraScaling::RankStabilised
            } else {
                LoraScaling::Standard
            },
            targets,
        })
    }

    pub(super) fn with_targets(self, targets: BTreeSet<Projection>) -> LoraConfig {
        LoraConfig {
            rank: self.rank,
            alpha: self.alpha,
            targets,
            scaling: self.scaling,
        }
    }
}

fn required<T>(
    fields: &Map<String, Value>,
    field: &'static str,
    expected: &'static str,
    parse: impl Fn(&Value) -> Option<T>,
) -> Result<T, AdapterConfigError> {
    let value = fields.get(field).unwrap_or(&Value::Null);
    parse(value).ok_or_else(|| AdapterConfigError::Field {
        field,
        found: shown(value),
        expected,
    })
}

fn parse_targets(value: &Value) -> Option<Targets> {
    match value {
        Value::String(_) => Some(Targets::Pattern),
        Value::Array(entries) => entries
            .iter()
            .map(|entry| entry.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .map(Targets::Listed),
        _ => None,
    }
}

/// Ends at the first setting that makes the adapter something other than plain LoRA.
fn refuse_other_kinds(fields: &Map<String, Value>) -> Result<(), AdapterConfigError> {
    required(fields, "peft_type", "\"LORA\"", |value| {
        (value == "LORA").then_some(())
    })?;
    for (field, value) in fields {
        let followed = match field.as_str() {
            "peft_type" | "r" | "lora_alpha" | "target_modules" | "use_rslora" => true,
            "bias" => value == "none",
            "init_lora_weights" => match value {
                Value::String(start) => PLAIN_STARTS.contains(&start.as_str()),
                value => value.is_boolean(),
            },
            other => WITHOUT_EFFECT.contains(&other),
        };
        if !followed && !is_off(value) {
            return Err(AdapterConfigError::Unsupported {
                field: field.chars().take(80).collect(),
                found: shown(value),
            });
        }
    }
    Ok(())
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(entries) => entries.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn shown(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}

/// The settings we write, in alphabetical order as peft writes them.
#[derive(Serialize)]
struct Written<'a> {
    alpha_pattern: Map<String, Value>,
    base_model_name_or_path: Option<&'a str>,
    bias: &'static str,
    fan_in_fan_out: bool,
    inference_mode: bool,
    init_lora_weights: bool,
    lora_alpha: Value,
    lora_dropout: f64,
    modules_to_save: Option<Vec<String>>,
    peft_type: &'static str,
    r: usize,
    rank_pattern: Map<String, Value>,
    target_modules: Vec<&'static str>,
    task_type: &'static str,
    use_dora: bool,
    use_rslora: bool,
}

pub(super) fn to_json(config: &LoraConfig, base: Option<&str>) -> Vec<u8> {
    let whole = config.alpha.fract() == 0.0 && config.alpha.abs() < 1e15;
    let written = Written {
        alpha_pattern: Map::new(),
        base_model_name_or_path: base,
        bias: "none",
        fan_in_fan_out: false,
        inference_mode: true,
        init_lora_weights: true,
        // peft means a whole number, and takes others.
        lora_alpha: if whole {
            Value::from(config.alpha as i64)
        } else {
            Value::from(config.alpha)
        },
        lora_dropout: 0.0,
        modules_to_save: None,
        peft_type: "LORA",
        r: config.rank,
        rank_pattern: Map::new(),
        target_modules: config.targets.iter().map(|target| target.name()).collect(),
        task_type: "CAUSAL_LM",
        use_dora: false,
        use_rslora: config.scaling == LoraScaling::RankStabilised,
    };
    let mut bytes = serde_json::to_vec_pretty(&written).expect("plain values have a JSON form");
    bytes.push(b'\n');
    bytes
}
