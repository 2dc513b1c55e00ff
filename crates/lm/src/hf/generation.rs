//! Reads `generation_config.json`, and what `config.json` says where that is silent.

use serde_json::{Map, Value};

use super::json::{FieldError, Object};
use crate::generation::GenerationDefaults;

/// Returns what the files say; `generation` is the first of them, if it is there.
pub(super) fn read(
    generation: Option<&Map<String, Value>>,
    config: Object<'_>,
) -> Result<GenerationDefaults, FieldError> {
    let empty = Map::new();
    let generation = Object::new(generation.unwrap_or(&empty), "");
    let id = |name| match generation.u32(name)? {
        Some(id) => Ok(Some(id)),
        None => config.u32(name),
    };
    let mut eos = generation.ids("eos_token_id")?;
    if eos.is_empty() {
        eos = config.ids("eos_token_id")?;
    }
    Ok(GenerationDefaults {
        bos: id("bos_token_id")?,
        eos,
        pad: id("pad_token_id")?,
        sample: generation.truth("do_sample")?,
        temperature: generation.number("temperature")?,
        top_k: generation.u32("top_k")?,
        top_p: generation.number("top_p")?,
        min_p: generation.number("min_p")?,
    })
}
