//! How much memory work will need, from sizes alone, before anything is loaded.
//!
//! Weights and caches are counted exactly; what the kernels use beside them is estimated from the largest matrices of a
//! pass. Model files are mapped and not counted: the system may take their pages back at any time.

use serde::Serialize;
use undertone_lm::config::{ModelConfig, Tensor};
use undertone_lm::lora::LoraConfig;
use undertone_lm::optimiser::Optimiser;
use undertone_simd::Precision;

/// Panels of packed matrices have this many rows, rows of activations are padded to as many numbers.
const LANE: usize = 16;
/// Tokens that a thread takes through a model at a time.
const GROUP_TOKENS: usize = 256;
/// Tokens that a thread trains on at a time, unless one row has more.
const TRAINING_GROUP_TOKENS: usize = 192;
/// Positions whose logits a thread holds at a time.
const HEAD_ROWS: usize = 64;
/// The program itself, its threads and tokenizer.
const BASE_BYTES: usize = 64 << 20;

/// Bytes by what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Packed weights.
    pub weights: usize,
    /// Keys and values.
    pub cache: usize,
    /// Activations, logits and other working memory of all threads.
    pub work: usize,
    /// What is trained: weights, gradients, the optimiser's state.
    pub training: usize,
    /// The sum, and the program itself.
    pub total: usize,
}

impl Memory {
    fn new(weights: usize, cache: usize, work: usize, training: usize) -> Self {
        Self {
            weights,
            cache,
            work,
            training,
            total: BASE_BYTES + weights + cache + work + training,
        }
    }
}

/// What a model is loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Forward passes only.
    Forward,
    /// Backward passes too: every matrix is there twice.
    Both,
}

/// Returns the bytes of a model's packed weights.
pub fn weights(config: &ModelConfig, precision: Precision, packing: Packing) -> usize {
    let packed = |rows: usize, columns: usize| {
        let words = match precision {
            Precision::F32 => columns,
            Precision::Bf16 | Precision::Bf16Emulated => columns.div_ceil(2),
        };
        rows.next_multiple_of(LANE) * words * size_of::<f32>()
    };
    let tensors = config.tensors().into_iter();
    tensors
        .filter(|tensor| !tensor.is_vector())
        .map(|tensor| config.shape(tensor))
        .map(|(rows, columns)| match packing {
            Packing::Forward => packed(rows, columns),
            Packing::Both => packed(rows, columns) + packed(columns, rows),
        })
        .sum()
}

/// Returns the bytes of keys and values of one token.
pub fn cache_of_token(config: &ModelConfig) -> usize {
    let head = config.head_width + config.head_width.next_multiple_of(LANE);
    config.layers * config.kv_heads * head * size_of::<f32>()
}

/// Returns the bytes of a block's activations for `tokens` tokens.
fn activations(config: &ModelConfig, tokens: usize) -> usize {
    let queries = config.heads * config.head_width;
    let keys = config.kv_heads * config.head_width;
    (5 * config.width + 4 * queries + 4 * keys + 3 * config.ffn_width) * tokens * size_of::<f32>()
}

fn logits(config: &ModelConfig, rows: usize) -> usize {
    config.vocabulary.next_multiple_of(LANE) * rows * size_of::<f32>()
}

/// Returns what sampling needs: `batch` sequences of at most `longest` tokens at a time.
pub fn sampling(
    config: &ModelConfig,
    precision: Precision,
    batch: usize,
    longest: usize,
    threads: usize,
) -> Memory {
    Memory::new(
        weights(config, precision, Packing::Forward),
        cache_of_token(config) * longest.next_multiple_of(LANE) * batch,
        // Every thread chooses from a copy of its row's logits.
        activations(config, GROUP_TOKENS) * threads + logits(config, batch + 2 * threads),
        0,
    )
}

/// Returns what scoring needs, for rows of at most `longest` tokens.
pub fn scoring(
    config: &ModelConfig,
    precision: Precision,
    longest: usize,
    threads: usize,
) -> Memory {
    let group = longest.max(GROUP_TOKENS);
    Memory::new(
        weights(config, precision, Packing::Forward),
        cache_of_token(config) * group * threads,
        (activations(config, group) + logits(config, HEAD_ROWS)) * threads,
        0,
    )
}

/// What is trained, for [`training`].
#[derive(Debug, Clone, Copy)]
pub enum Trainable<'a> {
    /// An adapter.
    Adapter(&'a LoraConfig),
    /// Every weight.
    Full,
}

/// The frozen models that training looks at, for [`training`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Guiding<'a> {
    /// The live teacher, a model of its own.
    pub teacher: Option<&'a ModelConfig>,
    /// Whether there is a KL to the base. The base is a model of its own only if every weight is trained.
    pub base_kl: bool,
}

/// Returns what training needs, for rows of at most `longest` tokens.
#[expect(clippy::too_many_arguments, reason = "sizes, each a number of its own")]
pub fn training(
    config: &ModelConfig,
    precision: Precision,
    trainable: Trainable<'_>,
    guiding: Guiding<'_>,
    optimiser: &Optimiser,
    kept_bytes: usize,
    longest: usize,
    threads: usize,
) -> Memory {
    let group = longest.max(TRAINING_GROUP_TOKENS);
    let kept = (activations(config, group) * config.layers).min(kept_bytes);
    // The stream before every block, the block at hand forward and backward, logits and their gradient.
    let stream = config.width * group * size_of::<f32>() * config.layers;
    let thread = kept + stream + 3 * activations(config, group) + 2 * logits(config, HEAD_ROWS);
    // Values, the optimiser's and gradients; while the state is kept, its bytes and those of one tensor.
    let copies = 2 * (1 + optimiser.moments()) + 2;
    let trained = match trainable {
        // The embedding has a second gradient, as the input.
        Trainable::Full => copies * config.parameters() as usize + config.vocabulary * config.width,
        // Packed four times over.
        Trainable::Adapter(lora) => (copies + 4) * adapter_values(config, lora),
    };
    // Guides run one after the other, with the same caches; each has logits of its own.
    let base = guiding.base_kl.then_some(config);
    let guides: Vec<&ModelConfig> = guiding.teacher.into_iter().chain(base).collect();
    let own_base = base.filter(|_| matches!(trainable, Trainable::Full));
    let guide_weights: usize = guiding
        .teacher
        .into_iter()
        .chain(own_base)
        .map(|guide| weights(guide, precision, Packing::Forward))
        .sum();
    let most = |of: &dyn Fn(&ModelConfig) -> usize| guides.iter().map(|guide| of(guide)).max();
    let guide_cache = most(&|guide| cache_of_token(guide) * group).unwrap_or(0);
    let guide_work = most(&|guide| activations(guide, group)).unwrap_or(0)
        + guides
            .iter()
            .map(|guide| logits(guide, HEAD_ROWS))
            .sum::<usize>();
    Memory::new(
        weights(config, precision, Packing::Both) + guide_weights,
        (cache_of_token(config) * group + guide_cache) * threads,
        (thread + guide_work) * threads,
        trained * size_of::<f32>(),
    )
}

fn adapter_values(config: &ModelConfig, lora: &LoraConfig) -> usize {
    let of_layer: usize = lora
        .targets
        .iter()
        .map(|target| config.shape(Tensor::Layer(0, target.part())))
        .map(|(outputs, inputs)| lora.rank * (outputs + inputs))
        .sum();
    of_layer * config.layers
}

/// Writes bytes as people say them.
pub fn bytes_text(bytes: usize) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    match mib {
        ..1.0 => format!("{:.0} KiB", mib * 1024.0),
        1.0..1024.0 => format!("{mib:.0} MiB"),
        _ => format!("{:.1} GiB", mib / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use undertone_lm::Checkpoint as _;
    use undertone_lm::hf::HfFolder;

    use super::*;

    fn tiny() -> HfFolder {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lm/tests/golden/tiny-llama");
        HfFolder::open(&folder).expect("a tiny model")
    }

    #[test]
    fn moments_count_twice_for_their_bytes_are_kept_beside_them() {
        let folder = tiny();
        let config = folder.config();
        let of = |optimiser| {
            let (precision, guiding) = (Precision::F32, Guiding::default());
            let full = Trainable::Full;
            training(config, precision, full, guiding, &optimiser, 0, 64, 1).training
        };
        let sgd = |momentum| Optimiser::Sgd {
            learning_rate: 0.1,
            momentum,
        };
        let model = 4 * config.parameters() as usize;
        assert_eq!(of(sgd(0.9)) - of(sgd(0.0)), 2 * model);
        assert_eq!(of(Optimiser::adamw(1e-4, 0.0)) - of(sgd(0.0)), 4 * model);
    }

    #[test]
    fn frozen_models_count_where_they_are_models_of_their_own() {
        let folder = tiny();
        let config = folder.config();
        let lora = LoraConfig::all_projections(8, 16.0);
        let plan = |trainable, guiding| {
            let (precision, optimiser) = (Precision::F32, Optimiser::adamw(1e-4, 0.0));
            training(
                config,
                precision,
                trainable,
                guiding,
                &optimiser,
                1 << 30,
                64,
                2,
            )
        };
        let one = weights(config, Precision::F32, Packing::Forward);
        let teacher = Guiding {
            teacher: Some(config),
            base_kl: false,
        };
        let base = Guiding {
            teacher: None,
            base_kl: true,
        };
        let both = Guiding {
            base_kl: true,
            ..teacher
        };
        let (adapter, full) = (Trainable::Adapter(&lora), Trainable::Full);
        for (trainable, guiding, models) in [
            (adapter, teacher, 1),
            (adapter, base, 0),
            (adapter, both, 1),
            (full, teacher, 1),
            (full, base, 1),
            (full, both, 2),
        ] {
            let (with, without) = (
                plan(trainable, guiding),
                plan(trainable, Guiding::default()),
            );
            assert_eq!(with.weights, without.weights + models * one, "{guiding:?}");
            assert!(with.work > without.work && with.cache > without.cache);
            assert_eq!(with.training, without.training);
        }
    }
}
