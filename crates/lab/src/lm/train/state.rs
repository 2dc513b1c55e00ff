//! The state of a training run as bytes: safetensors, so that any tool can look inside.

use std::borrow::Cow;
use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, View};
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

/// A state that was kept, and the log up to it.
#[derive(Debug)]
pub(crate) struct Kept<L> {
    step: u64,
    weights: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    /// The log.
    pub(crate) log: L,
}

impl<L> Kept<L> {
    /// Returns the state.
    pub(crate) fn state(&self) -> TrainerState<'_> {
        TrainerState {
            step: self.step,
            weights: vec![&self.weights],
            first: vec![&self.first],
            second: vec![&self.second],
        }
    }
}

/// A tensor of one dimension, in parts.
struct Flat<'a> {
    parts: &'a [&'a [f32]],
    shape: [usize; 1],
}

impl<'a> Flat<'a> {
    fn new(parts: &'a [&'a [f32]]) -> Self {
        let shape = [parts.iter().map(|part| part.len()).sum()];
        Self { parts, shape }
    }
}

impl View for Flat<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut bytes = Vec::with_capacity(self.data_len());
        for part in self.parts {
            bytes.extend(part.iter().flat_map(|value| value.to_le_bytes()));
        }
        bytes.into()
    }

    fn data_len(&self) -> usize {
        4 * self.shape[0]
    }
}

/// Returns the bytes of a state and the log up to it. Beside the state itself, it needs the memory of the bytes and of the
/// largest tensor.
pub(crate) fn encode(state: &TrainerState<'_>, log: &impl Serialize) -> Result<Vec<u8>, LabError> {
    let log = String::from_utf8_lossy(&json_bytes(log)?).into_owned();
    let metadata = HashMap::from([
        (STEP.to_owned(), state.step.to_string()),
        (LOG.to_owned(), log),
    ]);
    let tensors = [
        (WEIGHTS, Flat::new(&state.weights)),
        (FIRST, Flat::new(&state.first)),
        (SECOND, Flat::new(&state.second)),
    ];
    Ok(serialize(tensors, Some(metadata)))
}

/// Returns the bytes of weights alone.
pub(super) fn encode_weights(weights: &[&[f32]]) -> Vec<u8> {
    serialize([(WEIGHTS, Flat::new(weights))], None)
}

fn serialize<'a>(
    tensors: impl IntoIterator<Item = (&'a str, Flat<'a>)>,
    metadata: Option<HashMap<String, String>>,
) -> Vec<u8> {
    safetensors::serialize(tensors, metadata).expect("names and shapes are plain")
}

/// Reads what [`encode`] wrote; `None` if it is anything else, as when another version wrote it.
pub(crate) fn decode<L: DeserializeOwned>(bytes: &[u8]) -> Option<Kept<L>> {
    let (_, header) = SafeTensors::read_metadata(bytes).ok()?;
    let metadata = header.metadata().as_ref()?;
    let tensors = SafeTensors::deserialize(bytes).ok()?;
    Some(Kept {
        step: metadata.get(STEP)?.parse().ok()?,
        weights: values(&tensors, WEIGHTS)?,
        first: values(&tensors, FIRST)?,
        second: values(&tensors, SECOND)?,
        log: serde_json::from_str(metadata.get(LOG)?).ok()?,
    })
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

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn a_state_comes_back_bit_by_bit_and_anything_else_is_none() {
        let state = TrainerState {
            step: 7,
            weights: vec![&[0.1], &[], &[-0.0, f32::MIN_POSITIVE]],
            first: vec![&[1.5; 2], &[1.5]],
            second: vec![&[]; 2],
        };
        let log = TrainingLog {
            steps: Vec::new(),
            evaluations: vec![Evaluation {
                step: 0,
                loss: 0.1 + 0.2,
            }],
        };
        let bytes = encode(&state, &log).expect("plain values");
        let back: Kept<TrainingLog> = decode(&bytes).expect("our own");
        assert_eq!((back.step, &back.log), (state.step, &log));
        assert_eq!(bits(&back.weights), bits(&state.weights.concat()));
        assert_eq!(back.first, state.first.concat());
        assert_eq!(back.second, state.second.concat());
        assert!(decode::<TrainingLog>(&bytes[1..]).is_none());
        let weights = encode_weights(&state.weights);
        // In how many parts they came, the bytes do not tell.
        assert_eq!(encode_weights(&back.state().weights), weights);
        let read = decode_weights(&weights).expect("our own");
        assert_eq!(bits(&read), bits(&back.weights));
        assert!(decode::<TrainingLog>(&weights).is_none());
    }
}
