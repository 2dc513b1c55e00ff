//! Small models in memory, for this crate's unit tests.

use std::collections::BTreeMap;
use std::ops::Range;

use undertone_core::Seed;

use crate::checkpoint::{Checkpoint, ReadTensorError};
use crate::config::{
    Family, GateActivation, LayerAttention, ModelConfig, Rope, RopeScaling, Tensor,
};

/// A llama of two blocks with every width different.
pub(crate) fn tiny() -> ModelConfig {
    let rope = Rope {
        theta: 10_000.0,
        scaling: RopeScaling::None,
    };
    ModelConfig {
        family: Family::Llama,
        vocabulary: 19,
        width: 12,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_width: 4,
        ffn_width: 20,
        context: 64,
        norm_epsilon: 1e-5,
        rope: rope.clone(),
        local_rope: rope,
        attention: vec![LayerAttention::Global; 2],
        attention_scale: 0.5,
        tied_head: false,
        qkv_biases: false,
        qk_norms: false,
        post_norms: false,
        gate: GateActivation::Silu,
        embedding_scale: 1.0,
    }
}

/// Every family once: [`tiny`] with what it has and others do not.
pub(crate) fn every_family() -> [ModelConfig; 4] {
    let llama = ModelConfig {
        rope: Rope {
            theta: 100.0,
            scaling: RopeScaling::Llama3 {
                factor: 8.0,
                low_frequency_factor: 1.0,
                high_frequency_factor: 4.0,
                original_context: 32,
            },
        },
        ..tiny()
    };
    let llama = ModelConfig {
        local_rope: llama.rope.clone(),
        ..llama
    };
    let qwen2 = ModelConfig {
        family: Family::Qwen2,
        qkv_biases: true,
        tied_head: true,
        ..tiny()
    };
    let qwen3 = ModelConfig {
        family: Family::Qwen3,
        qk_norms: true,
        ..tiny()
    };
    let gemma3 = ModelConfig {
        family: Family::Gemma3,
        qk_norms: true,
        post_norms: true,
        tied_head: true,
        gate: GateActivation::GeluTanh,
        embedding_scale: 12f64.sqrt(),
        attention_scale: 8f64.sqrt().recip(),
        attention: vec![LayerAttention::Local { window: 3 }, LayerAttention::Global],
        rope: Rope {
            theta: 1e6,
            scaling: RopeScaling::Linear { factor: 8.0 },
        },
        ..tiny()
    };
    [llama, qwen2, qwen3, gemma3]
}

/// A model in memory with random weights.
pub(crate) struct Memory {
    config: ModelConfig,
    weights: BTreeMap<Tensor, Vec<f32>>,
}

impl Memory {
    /// Draws norms around 1 and everything else around 0.
    pub(crate) fn random(config: ModelConfig, seed: u64) -> Self {
        let mut weights = BTreeMap::new();
        for (index, tensor) in config.tensors().into_iter().enumerate() {
            let (rows, columns) = config.shape(tensor);
            let mut stream = Seed(seed).stream("test/weights", index as u64);
            let (centre, spread) = match (rows, tensor) {
                (1, _) => (1.0, 0.2),
                (_, Tensor::Embedding) => (0.0, 1.0),
                _ => (0.0, 1.0 / (columns as f64).sqrt()),
            };
            let values = (0..rows * columns)
                .map(|_| (centre + spread * stream.normal()) as f32)
                .collect();
            weights.insert(tensor, values);
        }
        Self { config, weights }
    }

    /// Replaces one weight.
    pub(crate) fn set(&mut self, tensor: Tensor, index: usize, value: f32) {
        self.weights.get_mut(&tensor).expect("the model has it")[index] = value;
    }
}

impl Checkpoint for Memory {
    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn read_rows(
        &self,
        tensor: Tensor,
        rows: Range<usize>,
        out: &mut [f32],
    ) -> Result<(), ReadTensorError> {
        let (_, columns) = self.config.shape(tensor);
        let range = rows.start * columns..rows.end * columns;
        out.copy_from_slice(&self.weights[&tensor][range]);
        match out.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(index) => Err(ReadTensorError {
                file: None,
                tensor: self.file_name_of(tensor),
                index: rows.start * columns + index,
            }),
        }
    }

    fn file_name_of(&self, tensor: Tensor) -> String {
        format!("{tensor:?}")
    }
}
