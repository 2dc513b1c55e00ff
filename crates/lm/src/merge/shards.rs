//! Writes weights as one safetensors file, or as shards with an index.

use serde_json::{Map, Value, json};

use super::{MergeError, MergeOptions, MergedType, rows};
use crate::checkpoint::Checkpoint;
use crate::config::{ModelConfig, Tensor};
use crate::hf::names::Prefix;
use crate::lora::LoraWeights;
use crate::new_folder::{NewFolder, WriteFolderError};

/// The file that says which shard holds which tensor.
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// The file of a model without shards.
pub(super) const SINGLE: &str = "model.safetensors";

/// A tensor on its way into a file.
struct Planned {
    tensor: Tensor,
    name: String,
    rows: usize,
    columns: usize,
    bytes: u64,
}

/// Writes every weight of `checkpoint`.
pub(super) fn write(
    folder: &NewFolder,
    checkpoint: &dyn Checkpoint,
    adapter: Option<&LoraWeights>,
    options: &MergeOptions<'_>,
) -> Result<(), MergeError> {
    let shards = plan(checkpoint.config(), options);
    let n_shards = shards.len();
    let mut weight_map = Map::new();
    for (index, shard) in shards.iter().enumerate() {
        let file_name = match n_shards {
            1 => SINGLE.to_owned(),
            _ => format!("model-{:05}-of-{n_shards:05}.safetensors", index + 1),
        };
        let mut file = folder.begin(&file_name)?;
        file.write(&header(shard, options.weights))?;
        for planned in shard {
            for rows in rows::pieces(planned.rows, planned.columns) {
                let Planned { tensor, name, .. } = planned;
                file.write(&rows::bytes(
                    checkpoint,
                    adapter,
                    options.weights,
                    *tensor,
                    rows,
                    name,
                )?)?;
            }
            weight_map.insert(planned.name.clone(), file_name.clone().into());
        }
        file.close()?;
    }
    if n_shards > 1 {
        let total: u64 = shards.iter().flatten().map(|planned| planned.bytes).sum();
        write_index(folder, total, weight_map)?;
    }
    Ok(())
}

/// Returns every weight of `checkpoint` as the bytes of one file.
pub(super) fn single(
    checkpoint: &dyn Checkpoint,
    options: &MergeOptions<'_>,
) -> Result<Vec<u8>, MergeError> {
    let whole = MergeOptions {
        max_shard_bytes: u64::MAX,
        ..options.clone()
    };
    let shards = plan(checkpoint.config(), &whole);
    let [shard] = &shards[..] else {
        unreachable!("nothing is larger than the largest shard");
    };
    let mut bytes = header(shard, options.weights);
    for Planned {
        tensor,
        name,
        rows,
        columns,
        ..
    } in shard
    {
        for rows in rows::pieces(*rows, *columns) {
            let kind = options.weights;
            bytes.extend(rows::bytes(checkpoint, None, kind, *tensor, rows, name)?);
        }
    }
    Ok(bytes)
}

/// Deals tensors out to shards in the model's order.
fn plan(model: &ModelConfig, options: &MergeOptions<'_>) -> Vec<Vec<Planned>> {
    let usual = Prefix::find(|_| false);
    let mut shards: Vec<Vec<Planned>> = vec![Vec::new()];
    let mut shard_bytes = 0;
    for tensor in model.tensors() {
        let (rows, columns) = model.shape(tensor);
        let bytes = rows as u64 * columns as u64 * options.weights.bytes();
        if shard_bytes > 0 && shard_bytes + bytes > options.max_shard_bytes {
            shards.push(Vec::new());
            shard_bytes = 0;
        }
        shard_bytes += bytes;
        let shard = shards.last_mut().expect("there is always one");
        shard.push(Planned {
            tensor,
            name: usual.name(model.family, tensor),
            rows,
            columns,
            bytes,
        });
    }
    shards
}

/// Returns the length and the JSON that stand before a file's values; the length is a multiple of 8.
fn header(shard: &[Planned], kind: MergedType) -> Vec<u8> {
    let mut entries = Map::new();
    entries.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut start = 0;
    for planned in shard {
        let end = start + planned.bytes;
        let shape = match planned.tensor.is_vector() {
            true => vec![planned.columns],
            false => vec![planned.rows, planned.columns],
        };
        let dtype = match kind {
            MergedType::F32 => "F32",
            MergedType::Bf16 => "BF16",
        };
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]});
        entries.insert(planned.name.clone(), entry);
        start = end;
    }
    let mut json = Value::Object(entries).to_string().into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.extend(json);
    header
}

fn write_index(
    folder: &NewFolder,
    total_size: u64,
    weight_map: Map<String, Value>,
) -> Result<(), WriteFolderError> {
    let index = json!({"metadata": {"total_size": total_size}, "weight_map": weight_map});
    folder.write(INDEX, format!("{index:#}\n").as_bytes())
}
