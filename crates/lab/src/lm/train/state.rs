//! The state of a training run as bytes: safetensors, so that any tool can look inside.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Serialize;
use serde::de::DeserializeOwned;
use undertone_lm::train::TrainerState;

use crate::error::LabError;
use crate::steps::json_bytes;

const STEP: &str = "step";
const LOG: &str = "log";
const WEIGHTS: &str = "weights";
const FIRST: &str = "first";
const SECOND: &str = "second";

/// Returns the bytes of a state and the log up to it.
pub(crate) fn encode(state: &TrainerState, log: &impl Serialize) -> Result<Vec<u8>, LabError> {
    let log = String::from_utf8_lossy(&json_bytes(log)?).into_owned();
    let metadata = HashMap::from([
        (STEP.to_owned(), state.step.to_string()),
        (LOG.to_owned(), log),
    ]);
    let tensors: [(&str, &[f32]); 3] = [
        (WEIGHTS, &state.weights),
        (FIRST, &state.first),
        (SECOND, &state.second),
    ];
    Ok(serialize(&tensors, Some(metadata)))
}

/// Returns the bytes of weights alone.
pub(super) fn encode_weights(weights: &[f32]) -> Vec<u8> {
    serialize(&[(WEIGHTS, weights)], None)
}

fn serialize(tensors: &[(&str, &[f32])], metadata: Option<HashMap<String, String>>) -> Vec<u8> {
    let bytes: Vec<(&str, usize, Vec<u8>)> = tensors
        .iter()
        .map(|(name, values)| {
            let bytes = values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            (*name, values.len(), bytes)
        })
        .collect();
    let views = bytes.iter().map(|(name, n, bytes)| {
        let view =
            TensorView::new(Dtype::F32, vec![*n], bytes).expect("bytes were made from the values");
        (*name, view)
    });
    safetensors::serialize(views, metadata).expect("names and shapes are plain")
}

/// Reads what [`encode`] wrote; `None` if it is anything else, as when another version wrote it.
pub(crate) fn decode<L: DeserializeOwned>(bytes: &[u8]) -> Option<(TrainerState, L)> {
    let (_, header) = SafeTensors::read_metadata(bytes).ok()?;
    let metadata = header.metadata().as_ref()?;
    let tensors = SafeTensors::deserialize(bytes).ok()?;
    let log = serde_json::from_str(metadata.get(LOG)?).ok()?;
    let state = TrainerState {
        step: metadata.get(STEP)?.parse().ok()?,
        weights: values(&tensors, WEIGHTS)?,
        first: values(&tensors, FIRST)?,
        second: values(&tensors, SECOND)?,
    };
    Some((state, log))
}

/// Reads what [`encode_weights`] wrote.
pub(super) fn decode_weights(bytes: &[u8]) -> Option<Vec<f32>> {
    values(&SafeTensors::deserialize(bytes).ok()?, WEIGHTS)
}

fn values(tensors: &SafeTensors<'_>, name: &str) -> Option<Vec<f32>> {
    let tensor = tensors.tensor(name).ok()?;
    let (bytes, rest) = tensor.data().as_chunks::<4>();
    let is_ours = tensor.dtype() == Dtype::F32 && rest.is_empty();
    is_ours.then(|| {
        bytes
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lm::train::{Evaluation, TrainingLog};

    #[test]
    fn a_state_comes_back_bit_by_bit_and_anything_else_is_none() {
        let state = TrainerState {
            step: 7,
            weights: vec![0.1, -0.0, f32::MIN_POSITIVE],
            first: vec![1.5; 3],
            second: Vec::new(),
        };
        let log = TrainingLog {
            steps: Vec::new(),
            evaluations: vec![Evaluation {
                step: 0,
                loss: 0.1 + 0.2,
            }],
        };
        let bytes = encode(&state, &log).expect("plain values");
        let (back, back_log) = decode(&bytes).expect("our own");
        assert_eq!((back, back_log), (state.clone(), log));
        assert!(decode::<TrainingLog>(&bytes[1..]).is_none());
        let weights = encode_weights(&state.weights);
        assert_eq!(decode_weights(&weights), Some(state.weights));
        assert!(decode::<TrainingLog>(&weights).is_none());
    }
}
