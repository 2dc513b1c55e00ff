//! Merges and converts weights, a few rows at a time.

use std::ops::Range;

use rayon::prelude::*;

use super::{MergeError, MergedType};
use crate::checkpoint::Checkpoint;
use crate::config::Tensor;
use crate::hf::names::is_shifted;
use crate::lora::{LoraWeights, Projection};

/// About how many values are read at once.
const VALUES: usize = 1 << 20;

/// Returns the rows that are read at once: whole rows, of all but the widest tensors about a million values.
pub(super) fn pieces(rows: usize, columns: usize) -> impl Iterator<Item = Range<usize>> {
    let at_once = (VALUES / columns).max(1);
    (0..rows)
        .step_by(at_once)
        .map(move |start| start..(start + at_once).min(rows))
}

/// Returns rows `rows` of `tensor` as the file holds them, merged.
pub(super) fn bytes(
    checkpoint: &dyn Checkpoint,
    adapter: Option<&LoraWeights>,
    kind: MergedType,
    tensor: Tensor,
    rows: Range<usize>,
    name: &str,
) -> Result<Vec<u8>, MergeError> {
    let model = checkpoint.config();
    let (_, columns) = model.shape(tensor);
    let mut values = vec![0.0f32; rows.len() * columns];
    checkpoint.read_rows(tensor, rows.clone(), &mut values)?;
    if is_shifted(model.family, tensor) {
        values.iter_mut().for_each(|factor| *factor -= 1.0);
    }
    if let Some((adapter, layer, projection)) = adapted(adapter, tensor) {
        values
            .par_chunks_mut(columns)
            .zip(rows.clone())
            .for_each(|(values, row)| add_low_rank(adapter, layer, projection, row, values));
    }
    let (bytes, overflow) = match kind {
        MergedType::F32 => convert(&values, |value| (value.is_finite(), value.to_le_bytes())),
        MergedType::Bf16 => convert(&values, |value| {
            let rounded = half::bf16::from_f32(value);
            (rounded.is_finite(), rounded.to_le_bytes())
        }),
    };
    match overflow {
        None => Ok(bytes),
        Some(index) => Err(MergeError::Overflow {
            tensor: name.to_owned(),
            index: rows.start * columns + index,
        }),
    }
}

/// Returns the adapter with block and projection of `tensor`, if it changes it.
fn adapted(
    adapter: Option<&LoraWeights>,
    tensor: Tensor,
) -> Option<(&LoraWeights, usize, Projection)> {
    let adapter = adapter?;
    let Tensor::Layer(layer, part) = tensor else {
        return None;
    };
    let projection = Projection::ALL
        .into_iter()
        .find(|projection| projection.part() == part)?;
    adapter.pair(layer, projection)?;
    Some((adapter, layer, projection))
}

/// Adds row `row` of s B A to `values`: f64 sums over ascending rank, rounded once.
fn add_low_rank(
    adapter: &LoraWeights,
    layer: usize,
    projection: Projection,
    row: usize,
    values: &mut [f32],
) {
    let pair = adapter
        .pair(layer, projection)
        .expect("only changed rows come here");
    let (scale, rank) = (adapter.config().scale(), adapter.config().rank);
    let b = &adapter.b(pair)[row * rank..][..rank];
    let mut change = vec![0.0f64; values.len()];
    for (&b, a) in b.iter().zip(adapter.a(pair).chunks_exact(pair.inputs)) {
        for (change, &a) in change.iter_mut().zip(a) {
            *change += f64::from(b) * f64::from(a);
        }
    }
    for (value, change) in values.iter_mut().zip(change) {
        *value = (f64::from(*value) + scale * change) as f32;
    }
}

/// Returns all values as bytes, and the index of the first that is not finite.
fn convert<const N: usize>(
    values: &[f32],
    to_bytes: impl Fn(f32) -> (bool, [u8; N]),
) -> (Vec<u8>, Option<usize>) {
    let mut bytes = Vec::with_capacity(values.len() * N);
    let mut overflow = None;
    for (index, &value) in values.iter().enumerate() {
        let (is_finite, value) = to_bytes(value);
        if !is_finite && overflow.is_none() {
            overflow = Some(index);
        }
        bytes.extend(value);
    }
    (bytes, overflow)
}
