//! Reads rotary embedding from `config.json`, in the spelling of transformers 4 and in that of 5.
//!
//! - 4: `rope_theta`, `rope_scaling` (its kind under `rope_type` or `type`), for Gemma also `rope_local_base_freq`.
//! - 5: `rope_parameters` with `rope_theta` and `rope_type`, for Gemma once for each kind of layer.

use super::config::FolderConfigError;
use super::json::Object;
use crate::config::{Family, Rope, RopeScaling};

/// Returns the rotary embedding of global and of local layers.
pub(super) fn read(family: Family, config: Object<'_>) -> Result<(Rope, Rope), FolderConfigError> {
    if config
        .number("partial_rotary_factor")?
        .is_some_and(|factor| factor != 1.0)
    {
        return Err(config.unsupported("partial_rotary_factor", "1"));
    }
    let parameters = config.map("rope_parameters")?;
    let nested = |kind: &'static str, around| {
        let parameters = parameters.map(|map| Object::new(map, "rope_parameters."));
        let inner = parameters.map_or(Ok(None), |object| object.map(kind))?;
        Ok::<_, FolderConfigError>(inner.map(|map| Object::new(map, around)))
    };
    let global = nested("full_attention", "rope_parameters.full_attention.")?;
    let local = nested("sliding_attention", "rope_parameters.sliding_attention.")?;
    let is_nested = global.is_some() || local.is_some();
    let flat = match parameters {
        Some(map) if !is_nested => Some(Object::new(map, "rope_parameters.")),
        _ => None,
    };
    let scaling = config.map("rope_scaling")?;
    let scaling = scaling.map(|map| Object::new(map, "rope_scaling."));

    // What stands in `rope_scaling` counts before `rope_parameters`, as in transformers.
    let global_parameters = [scaling, global.or(flat)];
    let default_theta = match family {
        Family::Gemma3 => 1_000_000.0,
        Family::Llama | Family::Qwen2 | Family::Qwen3 => 10_000.0,
    };
    let rope = Rope {
        theta: theta(&global_parameters, config, "rope_theta", default_theta)?,
        scaling: first_scaling(&global_parameters, config)?,
    };
    let local_rope = match family {
        Family::Gemma3 => Rope {
            theta: theta(&[local], config, "rope_local_base_freq", 10_000.0)?,
            scaling: first_scaling(&[local], config)?,
        },
        Family::Llama | Family::Qwen2 | Family::Qwen3 => rope.clone(),
    };
    Ok((rope, local_rope))
}

fn theta(
    parameters: &[Option<Object<'_>>],
    config: Object<'_>,
    field: &str,
    default: f64,
) -> Result<f64, FolderConfigError> {
    for parameters in parameters.iter().flatten() {
        if let Some(theta) = parameters.number("rope_theta")? {
            return Ok(theta);
        }
    }
    Ok(config.number(field)?.unwrap_or(default))
}

fn first_scaling(
    parameters: &[Option<Object<'_>>],
    config: Object<'_>,
) -> Result<RopeScaling, FolderConfigError> {
    match parameters.iter().flatten().next() {
        Some(parameters) => scaling(*parameters, config),
        None => Ok(RopeScaling::None),
    }
}

fn scaling(parameters: Object<'_>, config: Object<'_>) -> Result<RopeScaling, FolderConfigError> {
    let partial = parameters.number("partial_rotary_factor")?;
    if partial.is_some_and(|factor| factor != 1.0) {
        return Err(parameters.unsupported("partial_rotary_factor", "1"));
    }
    let field = match parameters.value("rope_type") {
        Some(_) => "rope_type",
        None => "type",
    };
    let number = |name: &str| match parameters.number(name)? {
        Some(number) => Ok(number),
        None => Err(FolderConfigError::from(parameters.error(name, "a number"))),
    };
    match parameters.text(field)? {
        None | Some("default") => Ok(RopeScaling::None),
        Some("linear") => Ok(RopeScaling::Linear {
            factor: number("factor")?,
        }),
        Some("llama3") => {
            const CONTEXT: &str = "original_max_position_embeddings";
            let context = match parameters.u32(CONTEXT)? {
                Some(context) => Some(context),
                None => config.u32(CONTEXT)?,
            };
            Ok(RopeScaling::Llama3 {
                factor: number("factor")?,
                low_frequency_factor: number("low_freq_factor")?,
                high_frequency_factor: number("high_freq_factor")?,
                original_context: context
                    .ok_or_else(|| parameters.error(CONTEXT, "an integer above 0"))?,
            })
        }
        Some(_) => Err(parameters.unsupported(field, "\"default\", \"linear\", \"llama3\"")),
    }
}
