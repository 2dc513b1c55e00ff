//! Cut, mutated and made-up files: no panic, no wrong acceptance, and memory that follows the input.
//!
//! Memory is measured with a counting allocator, which sees every thread; so the properties of this binary take turns.
//! `PROPTEST_CASES` sets the number of cases of each property, 256 by default.

use std::fs::{self, File};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value as Json;
use undertone_lm::Checkpoint;
use undertone_lm::gguf::Gguf;
use undertone_lm::hf::HfFolder;

use crate::ALLOCATOR;
use crate::support::{
    FolderFiles, GgufFile, Value, array_value, folder_with, golden, text, u32_value,
};

static TURN: Mutex<()> = Mutex::new(());

/// What a reader may need besides its share of the input: a table of tensors, error texts.
const OVERHEAD_BYTES: usize = 1 << 20;

/// Runs `property` on as many values of `strategy` as are asked for, alone in this process.
fn check<S: Strategy>(strategy: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // No regression files: a failing input is printed, shrunk, and belongs into a named test.
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(strategy, property);
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// Calls `read`, and asserts that it allocated at most `limit_bytes` at once.
fn within<T>(limit_bytes: usize, read: impl FnOnce() -> T) -> Result<T, TestCaseError> {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let result = read();
    let used = ALLOCATOR.peak_usage().saturating_sub(before);
    prop_assert!(
        used <= limit_bytes,
        "{used} bytes held, {limit_bytes} allowed"
    );
    Ok(result)
}

/// Reads everything that an accepted model promises.
fn read_all(checkpoint: &dyn Checkpoint) -> Result<(), TestCaseError> {
    let config = checkpoint.config();
    prop_assert_eq!(config.check(), Ok(()));
    for tensor in config.tensors() {
        // Values that are not finite are an error, which is fine.
        let _ = checkpoint.read(tensor);
    }
    Ok(())
}

/// Feeds the file at `path`, of `n_bytes` bytes, to the GGUF reader.
fn feed_gguf(path: &Path, n_bytes: usize) -> Result<bool, TestCaseError> {
    let limit = 8 * n_bytes + OVERHEAD_BYTES;
    let opened = within(limit, || Gguf::open(path))?;
    if let Ok(gguf) = &opened {
        // A weight takes half a byte at least and four when it is read.
        within(limit, || read_all(gguf))??;
    }
    Ok(opened.is_ok())
}

fn feed_gguf_bytes(bytes: &[u8]) -> Result<(), TestCaseError> {
    let dir = folder_with("model.gguf", bytes);
    feed_gguf(&dir.path().join("model.gguf"), bytes.len())?;
    Ok(())
}

/// Feeds `folder`, whose files have `n_bytes` bytes, to the reader of folders.
fn feed_folder(folder: &Path, n_bytes: usize) -> Result<bool, TestCaseError> {
    // JSON values and tables of names take several times their text.
    let limit = 64 * n_bytes + OVERHEAD_BYTES;
    let opened = within(limit, || HfFolder::open(folder))?;
    if let Ok(folder) = &opened {
        within(limit, || read_all(folder))??;
    }
    Ok(opened.is_ok())
}

#[derive(Debug, Clone)]
enum Edit {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    Double,
    /// Eight bytes, as counts, lengths and offsets have.
    Number(Index, u64),
}

fn interesting() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0u64),
        Just(1),
        Just(u64::from(u32::MAX)),
        Just(1 << 40),
        Just(1 << 62),
        Just(i64::MAX as u64),
        Just(u64::MAX - 31),
        Just(u64::MAX),
        any::<u16>().prop_map(u64::from),
        any::<u64>(),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        any::<(Index, u8)>().prop_map(|(at, byte)| Edit::Set(at, byte)),
        (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        any::<(Index, u8)>().prop_map(|(at, byte)| Edit::Insert(at, byte)),
        any::<Index>().prop_map(Edit::Remove),
        any::<Index>().prop_map(Edit::Cut),
        Just(Edit::Double),
        (any::<Index>(), interesting()).prop_map(|(at, number)| Edit::Number(at, number)),
    ]
}

/// Edits `file`, mostly within its first `header` bytes: values can be anything, so damage to them is seen only as such.
fn apply(file: &mut Vec<u8>, header: usize, edit: &Edit) {
    if file.is_empty() {
        return;
    }
    let n = file.len().min(header);
    match edit {
        Edit::Set(at, byte) => file[at.index(n)] = *byte,
        Edit::Flip(at, bit) => file[at.index(n)] ^= 1 << bit,
        Edit::Insert(at, byte) => file.insert(at.index(n), *byte),
        Edit::Remove(at) => drop(file.remove(at.index(n))),
        Edit::Cut(at) => file.truncate(at.index(file.len())),
        Edit::Double => file.extend_from_within(..),
        Edit::Number(at, number) => {
            let at = at.index(n);
            for (byte, new) in file[at..].iter_mut().zip(number.to_le_bytes()) {
                *byte = new;
            }
        }
    }
}

/// Cuts the file at `path` at every length and asserts that `is_taken` refuses each.
#[track_caller]
fn check_truncation(path: &Path, is_taken: impl Fn() -> bool) {
    let file = File::options()
        .write(true)
        .open(path)
        .expect("the file is writable");
    let n_bytes = file.metadata().expect("it has a length").len();
    assert!(is_taken());
    for length in (0..n_bytes).rev() {
        file.set_len(length).expect("it can be cut");
        assert!(!is_taken(), "{length} of {n_bytes} bytes were taken");
    }
}

#[test]
fn a_gguf_file_cut_at_any_length_is_refused() {
    let dir = folder_with("model.gguf", &GgufFile::llama().bytes());
    let path = dir.path().join("model.gguf");
    check_truncation(&path, || Gguf::open(&path).is_ok());
}

#[test]
fn a_safetensors_file_cut_at_any_length_is_refused() {
    let dir = FolderFiles::llama().write();
    let path = dir.path().join("model.safetensors");
    check_truncation(&path, || HfFolder::open(dir.path()).is_ok());
}

#[test]
fn a_configuration_cut_at_any_length_is_refused() {
    let dir = FolderFiles::llama().write();
    let path = dir.path().join("config.json");
    check_truncation(&path, || HfFolder::open(dir.path()).is_ok());
}

#[test]
fn any_flipped_bit_of_a_gguf_header_does_no_harm() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let sound = GgufFile::llama();
    let (header, bytes) = (sound.header().len(), sound.bytes());
    for at in 0..header {
        // One of the eight bits of each byte; the property below takes any.
        let mut file = bytes.clone();
        file[at] ^= 1 << (at % 8);
        feed_gguf_bytes(&file).expect("memory follows the input");
    }
}

#[test]
fn mutated_gguf_files() {
    let strategy = (prop::bool::ANY, prop::collection::vec(edit(), 1..5));
    let built = GgufFile::llama();
    let built = (built.header().len(), built.bytes());
    let real = fs::read(golden("tiny-gemma3").join("model.gguf")).expect("the script made it");
    let real = (12_000, real);
    check(&strategy, |(is_built, edits)| {
        let (header, mut file) = match is_built {
            true => built.clone(),
            false => real.clone(),
        };
        edits.iter().for_each(|edit| apply(&mut file, header, edit));
        feed_gguf_bytes(&file)
    });
}

#[test]
fn arbitrary_bytes_behind_the_start_of_a_gguf_file() {
    check(&prop::collection::vec(any::<u8>(), 0..300), |tail| {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(tail);
        feed_gguf_bytes(&file)
    });
}

/// A metadata value of any type, sound or with another count than it has elements.
fn any_value() -> impl Strategy<Value = Value> {
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    let lying = (
        0..14u32,
        prop_oneof![interesting(), 0..50u64],
        bytes.clone(),
    )
        .prop_map(|(element, count, bytes)| array_value(element, count, &bytes));
    let texts = prop::collection::vec("[a-z]{0,6}", 0..6).prop_map(|texts| {
        let bytes: Vec<u8> = texts.iter().flat_map(text).collect();
        array_value(8, texts.len() as u64, &bytes)
    });
    let raw = (0..16u32, bytes).prop_map(|(kind, bytes)| Value(kind, bytes));
    prop_oneof![lying, texts, raw, any::<u32>().prop_map(u32_value)]
}

#[test]
fn gguf_headers_that_promise_anything() {
    let keys = prop::sample::select(vec![
        "general.architecture",
        "general.alignment",
        "general.name",
        "split.count",
        "llama.block_count",
        "llama.embedding_length",
        "llama.attention.head_count",
        "llama.attention.key_length",
        "llama.context_length",
        "llama.rope.freq_base",
        "llama.rope.scaling.type",
        "llama.rope.scaling.factor",
        "tokenizer.ggml.tokens",
        "tokenizer.ggml.eos_token_id",
    ]);
    let pairs = prop::collection::vec((keys, any_value()), 0..3);
    let tensor = (
        any::<Index>(),
        prop::option::of(prop::collection::vec(
            prop_oneof![interesting(), 1..64u64],
            0..6,
        )),
        prop::option::of(0..40u32),
        prop::option::of(interesting()),
    );
    let tensors = prop::collection::vec(tensor, 0..3);
    let counts = (
        prop::option::of(interesting()),
        prop::option::of(interesting()),
    );
    // Lies in the counts end the reading early, so they are rare.
    let counts = prop_oneof![9 => Just((None, None)), 1 => counts];
    check(&(pairs, tensors, counts), |(pairs, tensors, counts)| {
        let mut file = GgufFile::llama();
        pairs
            .into_iter()
            .for_each(|(key, value)| file.set(key, value));
        for (at, dimensions, value_type, offset) in tensors {
            let tensor = &mut file.tensors[at.index(11)];
            tensor.dimensions = dimensions.unwrap_or(tensor.dimensions.clone());
            tensor.value_type = value_type.unwrap_or(tensor.value_type);
            tensor.offset = offset.unwrap_or(tensor.offset);
        }
        (file.n_tensors, file.n_pairs) = counts;
        feed_gguf_bytes(&file.bytes())
    });
}

#[test]
fn mutated_safetensors_files() {
    let sound = FolderFiles::llama();
    let weights = sound.weights();
    let header = 8 + u64::from_le_bytes(weights[..8].try_into().expect("eight bytes")) as usize;
    check(&prop::collection::vec(edit(), 1..5), |edits| {
        let mut file = weights.clone();
        edits.iter().for_each(|edit| apply(&mut file, header, edit));
        let dir = sound.write();
        fs::write(dir.path().join("model.safetensors"), &file)?;
        feed_folder(dir.path(), file.len() + 1000).map(drop)
    });
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        interesting().prop_map(Json::from),
        any::<i32>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "[a-z0-9_]{0,12}".prop_map(Json::from),
        prop::sample::select(vec![
            "linear",
            "llama3",
            "default",
            "yarn",
            "silu",
            "full_attention"
        ])
        .prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let key = prop::sample::select(vec![
            "rope_type",
            "type",
            "factor",
            "rope_theta",
            "full_attention",
            "sliding_attention",
            "original_max_position_embeddings",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::hash_map(key.prop_map(str::to_owned), inner, 0..4)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

#[test]
fn configurations_that_say_anything() {
    let fields = prop::sample::select(vec![
        "model_type",
        "architectures",
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "hidden_act",
        "max_position_embeddings",
        "rms_norm_eps",
        "tie_word_embeddings",
        "rope_theta",
        "rope_scaling",
        "rope_parameters",
        "rope_local_base_freq",
        "layer_types",
        "sliding_window",
        "sliding_window_pattern",
        "use_sliding_window",
        "max_window_layers",
        "query_pre_attn_scalar",
        "quantization_config",
        "text_config",
        "eos_token_id",
    ]);
    let family = prop::sample::select(vec!["llama", "qwen2", "qwen3", "gemma3_text", "gemma3"]);
    let changes = prop::collection::vec((fields, any_json()), 1..4);
    check(&(family, changes), |(family, changes)| {
        let mut files = FolderFiles::llama();
        files.config["model_type"] = family.into();
        files.config["architectures"] = Json::Null;
        changes
            .into_iter()
            .for_each(|(field, value)| files.config[field] = value);
        feed_folder(files.write().path(), 10_000).map(drop)
    });
}

#[test]
fn indices_that_say_anything() {
    let file = prop_oneof![
        Just("model-0.safetensors".to_owned()),
        "[a-z./\\\\]{0,12}",
        "[./]{0,6}model-0.safetensors",
    ];
    let names = prop_oneof![Just("model.norm.weight".to_owned()), "[a-z.]{1,12}"];
    let map = prop::collection::hash_map(names, file, 0..5);
    check(&map, |map| {
        let sound = FolderFiles::llama();
        let dir = sound.write();
        let weights = dir.path().join("model.safetensors");
        fs::rename(weights, dir.path().join("model-0.safetensors"))?;
        let is_sound = map
            .iter()
            .all(|(name, file)| name == "model.norm.weight" && file == "model-0.safetensors");
        let index = serde_json::json!({"weight_map": map}).to_string();
        fs::write(dir.path().join("model.safetensors.index.json"), index)?;
        let is_taken = feed_folder(dir.path(), 10_000)?;
        prop_assert_eq!(is_taken, is_sound && !map.is_empty());
        Ok(())
    });
}
