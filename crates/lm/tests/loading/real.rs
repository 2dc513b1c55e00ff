//! The real SmolLM2-135M-Instruct, where `UNDERTONE_DATA` has it.

use std::path::PathBuf;

use undertone_data::Model;
use undertone_lm::config::{Family, LayerAttention, Part, RopeScaling, Tensor};
use undertone_lm::gguf::ValueType;
use undertone_lm::source::{ModelFiles, ModelSource, open};

use crate::support::TestResult;

#[expect(
    clippy::print_stderr,
    reason = "a test that did not look must say so where people see it"
)]
fn data_dir() -> Option<PathBuf> {
    let dir = PathBuf::from(std::env::var_os("UNDERTONE_DATA").unwrap_or_default());
    let is_there = Model::SmolLm2Instruct.path(&dir).is_file();
    if !is_there {
        eprintln!("not checked: UNDERTONE_DATA has no smollm2-135m-instruct");
    }
    is_there.then_some(dir)
}

#[test]
fn smollm2_is_what_is_known_of_it() -> TestResult {
    let Some(dir) = data_dir() else {
        return Ok(());
    };
    let model = open(&ModelSource::Named(Model::SmolLm2Instruct), &dir)?;
    let config = model.config();
    assert_eq!(config.family, Family::Llama);
    assert_eq!(config.parameters(), 134_515_008);
    assert_eq!((config.vocabulary, config.width), (49_152, 576));
    assert_eq!(
        (config.heads, config.kv_heads, config.head_width),
        (9, 3, 64)
    );
    assert_eq!((config.layers, config.ffn_width), (30, 1536));
    assert_eq!(config.rope.theta, 100_000.0);
    assert_eq!(config.rope.scaling, RopeScaling::None);
    assert_eq!(config.norm_epsilon, f64::from(1e-5f32));
    assert!(config.tied_head);
    assert_eq!(config.attention, [LayerAttention::Global; 30]);
    let generation = model.generation();
    assert_eq!((generation.bos, &*generation.eos), (Some(1), &[2][..]));
    assert_eq!(generation.pad, Some(2));

    let ModelFiles::Gguf(gguf) = &model.files else {
        panic!("it is one file");
    };
    let tensors = config.tensors();
    let count = |value_type| {
        let of_type = tensors
            .iter()
            .filter(|&&tensor| gguf.value_type(tensor) == value_type);
        of_type.count()
    };
    let counts = [ValueType::Q4_1, ValueType::F32, ValueType::Q8_0].map(count);
    assert_eq!(counts, [210, 61, 1]);
    assert_eq!(tensors.len(), 272);
    assert_eq!(gguf.value_type(Tensor::Embedding), ValueType::Q8_0);

    // Reading everything takes every value through the decoder and finds it finite.
    let mut sum = 0.0;
    for tensor in tensors {
        let values = model.checkpoint().read(tensor)?;
        sum += values.iter().map(|&x| f64::from(x).abs()).sum::<f64>();
    }
    let mean = sum / config.parameters() as f64;
    assert!((0.05..0.5).contains(&mean), "{mean}");
    let query = model
        .checkpoint()
        .file_name_of(Tensor::Layer(3, Part::Query));
    assert_eq!(query, "blk.3.attn_q.weight");
    Ok(())
}
