//! A writer of GGUF and safetensors files that writes whatever it is told to, and errors in words.

use std::error::Error;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

pub type TestResult = Result<(), Box<dyn Error>>;

/// The folder of a file or folder that scripts have made.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// The message of an error with those of its causes.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Asserts that the message of `outcome`'s error, with its causes, holds every one of `parts`.
#[track_caller]
pub fn check_error<T, E: Error>(outcome: Result<T, E>, parts: &[&str]) {
    match outcome {
        Ok(_) => panic!("expected an error with {parts:?}"),
        Err(error) => {
            let text = chain(&error);
            for part in parts {
                assert!(text.contains(part), "`{text}` lacks `{part}`");
            }
        }
    }
}

/// A folder with one file, `name`.
pub fn folder_with(name: &str, content: &[u8]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    fs::write(dir.path().join(name), content).expect("the folder is writable");
    dir
}

/// A small number that differs from value to value.
fn weight(index: usize) -> f32 {
    (index % 97) as f32 / 64.0 - 0.5
}

/// A metadata value: its type and bytes.
#[derive(Debug, Clone)]
pub struct Value(pub u32, pub Vec<u8>);

pub fn u32_value(value: u32) -> Value {
    Value(4, value.to_le_bytes().to_vec())
}

pub fn f32_value(value: f32) -> Value {
    Value(6, value.to_le_bytes().to_vec())
}

pub fn text(value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    let mut bytes = (value.len() as u64).to_le_bytes().to_vec();
    bytes.extend(value);
    bytes
}

pub fn text_value(value: impl Display) -> Value {
    Value(8, text(value.to_string()))
}

/// An array value of `count` elements, whatever `bytes` hold.
pub fn array_value(element_type: u32, count: u64, bytes: &[u8]) -> Value {
    let mut value = element_type.to_le_bytes().to_vec();
    value.extend(count.to_le_bytes());
    value.extend(bytes);
    Value(9, value)
}

/// A tensor's entry in a GGUF header.
#[derive(Clone)]
pub struct Tensor {
    pub name: Vec<u8>,
    /// Columns first.
    pub dimensions: Vec<u64>,
    pub value_type: u32,
    pub offset: u64,
}

/// A GGUF file in parts; `bytes` puts them together without looking.
#[derive(Clone)]
pub struct GgufFile {
    pub version: u32,
    pub n_tensors: Option<u64>,
    pub n_pairs: Option<u64>,
    pub pairs: Vec<(Vec<u8>, Value)>,
    pub tensors: Vec<Tensor>,
    pub data: Vec<u8>,
}

impl GgufFile {
    /// A sound llama of one block: 5 tokens, width 8, 2 heads, 1 of keys, 12 in the feed-forward block.
    pub fn llama() -> Self {
        let sizes = [
            ("llama.embedding_length", 8),
            ("llama.block_count", 1),
            ("llama.feed_forward_length", 12),
            ("llama.context_length", 64),
            ("llama.attention.head_count", 2),
            ("llama.attention.head_count_kv", 1),
        ];
        let mut pairs = vec![(b"general.architecture".to_vec(), text_value("llama"))];
        pairs.extend(sizes.map(|(key, size)| (key.into(), u32_value(size))));
        pairs.push((
            b"llama.attention.layer_norm_rms_epsilon".to_vec(),
            f32_value(1e-5),
        ));
        let shapes: [(&str, &[u64]); 11] = [
            ("token_embd.weight", &[8, 5]),
            ("output_norm.weight", &[8]),
            ("blk.0.attn_norm.weight", &[8]),
            ("blk.0.attn_q.weight", &[8, 8]),
            ("blk.0.attn_k.weight", &[8, 4]),
            ("blk.0.attn_v.weight", &[8, 4]),
            ("blk.0.attn_output.weight", &[8, 8]),
            ("blk.0.ffn_norm.weight", &[8]),
            ("blk.0.ffn_gate.weight", &[8, 12]),
            ("blk.0.ffn_up.weight", &[8, 12]),
            ("blk.0.ffn_down.weight", &[12, 8]),
        ];
        let mut file = Self {
            version: 3,
            n_tensors: None,
            n_pairs: None,
            pairs,
            tensors: Vec::new(),
            data: Vec::new(),
        };
        for (name, dimensions) in shapes {
            file.add_tensor(name, dimensions);
        }
        file
    }

    /// Adds an F32 tensor with some values.
    pub fn add_tensor(&mut self, name: &str, dimensions: &[u64]) {
        self.data.resize(self.data.len().next_multiple_of(32), 0);
        self.tensors.push(Tensor {
            name: name.into(),
            dimensions: dimensions.to_vec(),
            value_type: 0,
            offset: self.data.len() as u64,
        });
        let n_values = dimensions.iter().product::<u64>() as usize;
        let values = (0..n_values).flat_map(|index| weight(index).to_le_bytes());
        self.data.extend(values);
    }

    /// Sets or adds a metadata value.
    pub fn set(&mut self, key: &str, value: Value) {
        match self.pairs.iter_mut().find(|pair| pair.0 == key.as_bytes()) {
            Some(pair) => pair.1 = value,
            None => self.pairs.push((key.into(), value)),
        }
    }

    pub fn remove(&mut self, key: &str) {
        self.pairs.retain(|pair| pair.0 != key.as_bytes());
    }

    pub fn tensor(&mut self, name: &str) -> &mut Tensor {
        let found = self
            .tensors
            .iter_mut()
            .find(|tensor| tensor.name == name.as_bytes());
        found.expect("the tensor is there")
    }

    /// The header: everything before the padding.
    pub fn header(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        let n_tensors = self.n_tensors.unwrap_or(self.tensors.len() as u64);
        bytes.extend(n_tensors.to_le_bytes());
        let n_pairs = self.n_pairs.unwrap_or(self.pairs.len() as u64);
        bytes.extend(n_pairs.to_le_bytes());
        for (key, Value(value_type, value)) in &self.pairs {
            bytes.extend(text(key));
            bytes.extend(value_type.to_le_bytes());
            bytes.extend(value);
        }
        for tensor in &self.tensors {
            bytes.extend(text(&tensor.name));
            bytes.extend((tensor.dimensions.len() as u32).to_le_bytes());
            for dimension in &tensor.dimensions {
                bytes.extend(dimension.to_le_bytes());
            }
            bytes.extend(tensor.value_type.to_le_bytes());
            bytes.extend(tensor.offset.to_le_bytes());
        }
        bytes
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header();
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(&self.data);
        bytes
    }
}

/// A safetensors file of this header and so many bytes of values.
pub fn safetensors(header: &str, n_data_bytes: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend((0..n_data_bytes / 4).flat_map(|index| weight(index).to_le_bytes()));
    bytes.resize(8 + header.len() + n_data_bytes, 0);
    bytes
}

/// Configuration and weights of a sound llama in a folder, the same sizes as [`GgufFile::llama`].
pub struct FolderFiles {
    pub config: serde_json::Value,
    /// Name and shape of each tensor, all F32, in one file.
    pub tensors: Vec<(String, Vec<u64>)>,
}

impl FolderFiles {
    pub fn llama() -> Self {
        let config = serde_json::json!({
            "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 5, "hidden_size": 8,
            "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
            "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
        });
        let layer = "model.layers.0";
        let tensors = [
            ("model.embed_tokens.weight".to_owned(), vec![5, 8]),
            ("model.norm.weight".to_owned(), vec![8]),
            (format!("{layer}.input_layernorm.weight"), vec![8]),
            (format!("{layer}.self_attn.q_proj.weight"), vec![8, 8]),
            (format!("{layer}.self_attn.k_proj.weight"), vec![4, 8]),
            (format!("{layer}.self_attn.v_proj.weight"), vec![4, 8]),
            (format!("{layer}.self_attn.o_proj.weight"), vec![8, 8]),
            (format!("{layer}.post_attention_layernorm.weight"), vec![8]),
            (format!("{layer}.mlp.gate_proj.weight"), vec![12, 8]),
            (format!("{layer}.mlp.up_proj.weight"), vec![12, 8]),
            (format!("{layer}.mlp.down_proj.weight"), vec![8, 12]),
        ];
        Self {
            config,
            tensors: tensors.to_vec(),
        }
    }

    /// The weight file.
    pub fn weights(&self) -> Vec<u8> {
        let mut header = serde_json::Map::new();
        let mut end = 0;
        for (name, shape) in &self.tensors {
            let first = end;
            end += 4 * shape.iter().product::<u64>();
            let entry =
                serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [first, end]});
            header.insert(name.clone(), entry);
        }
        safetensors(&serde_json::Value::from(header).to_string(), end as usize)
    }

    pub fn write(&self) -> TempDir {
        let dir = folder_with("config.json", self.config.to_string().as_bytes());
        let weights = dir.path().join("model.safetensors");
        fs::write(weights, self.weights()).expect("the folder is writable");
        dir
    }
}
