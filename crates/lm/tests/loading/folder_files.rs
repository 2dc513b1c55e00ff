//! What is refused in the files of folders, and in which words: weights, their index, links; each starts from a sound folder.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;
use undertone_lm::Checkpoint;
use undertone_lm::config::Tensor;
use undertone_lm::hf::{HfFolder, OpenFolderError};

use crate::support::{FolderFiles, TestResult, check_error, safetensors};

pub fn write(dir: &TempDir, name: &str, content: impl AsRef<[u8]>) {
    fs::write(dir.path().join(name), content).expect("the folder is writable");
}

/// Asserts that a folder with this weight file is refused with all of `parts` in the message.
#[track_caller]
fn check_weights(content: &[u8], parts: &[&str]) {
    let dir = FolderFiles::llama().write();
    write(&dir, "model.safetensors", content);
    check_error(HfFolder::open(dir.path()), parts);
}

#[test]
fn files_that_are_missing_or_not_json_are_named() {
    let dir = FolderFiles::llama().write();
    write(&dir, "config.json", "{\"model_type\": ");
    check_error(
        HfFolder::open(dir.path()),
        &["config.json", "not a JSON object", "EOF"],
    );
    write(&dir, "config.json", "[1]");
    check_error(
        HfFolder::open(dir.path()),
        &["config.json", "not a JSON object"],
    );
    write(&dir, "config.json", "[".repeat(100_000));
    check_error(
        HfFolder::open(dir.path()),
        &["config.json", "not a JSON object"],
    );
    write(&dir, "config.json", vec![b' '; (4 << 20) + 1]);
    check_error(
        HfFolder::open(dir.path()),
        &["config.json", "longer than 4194304 bytes"],
    );
    fs::remove_file(dir.path().join("config.json")).expect("it was written");
    check_error(
        HfFolder::open(dir.path()),
        &["config.json", "cannot be read"],
    );
    let dir = FolderFiles::llama().write();
    write(
        &dir,
        "generation_config.json",
        "{\"eos_token_id\": [1, -2]}",
    );
    check_error(
        HfFolder::open(dir.path()),
        &["generation_config.json", "`eos_token_id` is [1,-2]"],
    );
    fs::remove_file(dir.path().join("generation_config.json")).expect("it was written");
    fs::remove_file(dir.path().join("model.safetensors")).expect("it was written");
    check_error(
        HfFolder::open(dir.path()),
        &["neither `model.safetensors` nor"],
    );
    write(&dir, "pytorch_model.bin", "x");
    check_error(
        HfFolder::open(dir.path()),
        &["`pytorch_model.bin` is a pickle"],
    );
}

#[test]
fn headers_of_weight_files_are_checked() {
    check_weights(&[1, 2, 3], &["`model.safetensors`", "takes 8 bytes of 3"]);
    check_weights(
        &u64::MAX.to_le_bytes(),
        &["takes 18446744073709551615 bytes, at most"],
    );
    check_weights(&100u64.to_le_bytes(), &["takes 108 bytes of 8"]);
    check_weights(&safetensors("{\"a\": ", 0), &["header is not valid", "EOF"]);
    check_weights(
        &safetensors("[]", 0),
        &["an object with an entry for each tensor"],
    );
    let entry = |dtype: &str, shape: &str, offsets: &str| {
        format!("{{\"dtype\": \"{dtype}\", \"shape\": {shape}, \"data_offsets\": {offsets}}}")
    };
    let one = |dtype: &str, shape: &str, offsets: &str| {
        safetensors(&format!("{{\"a\": {}}}", entry(dtype, shape, offsets)), 64)
    };
    check_weights(
        &one("F64", "[2]", "[0, 16]"),
        &["tensor `a`: type F64", "F32, F16, BF16"],
    );
    check_weights(
        &one("F8_E4M3", "[2]", "[0, 2]"),
        &["tensor `a`: type F8_E4M3"],
    );
    for (shape, offsets) in [
        ("[2]", "[0, 4]"),
        ("[17]", "[0, 68]"),
        ("[2]", "[60, 68]"),
        ("[2]", "[8, 0]"),
        ("[18446744073709551615, 2]", "[0, 64]"),
        ("[4611686018427387904]", "[0, 0]"),
        ("[2]", "[18446744073709551612, 18446744073709551615]"),
    ] {
        check_weights(
            &one("F32", shape, offsets),
            &["tensor `a`: data_offsets", "in 64 bytes"],
        );
    }
    check_weights(
        &one("F32", "[-1]", "[0, 4]"),
        &["tensor `a`: invalid value"],
    );
    check_weights(&one("F32", "[1]", "[0]"), &["tensor `a`: invalid length"]);
    let good = entry("F32", "[1]", "[0, 4]");
    let twice = format!("{{\"a\": {good}, \"a\": {good}}}");
    check_weights(&safetensors(&twice, 4), &["tensor `a` occurs twice"]);
    let shared = format!("{{\"a\": {good}, \"b\": {good}}}");
    check_weights(
        &safetensors(&shared, 4),
        &["tensor `b`: its values overlap those of `a`"],
    );
    let deep = format!("{{\"a\": {}1{}}}", "[".repeat(5000), "]".repeat(5000));
    check_weights(&safetensors(&deep, 4), &["header is not valid"]);
    let extra = "{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4], \"x\": 1}}";
    check_weights(&safetensors(extra, 4), &["tensor `a`: unknown field `x`"]);
}

#[test]
fn tensors_are_there_with_their_shapes_and_no_others() {
    let check = |change: &dyn Fn(&mut FolderFiles), parts: &[&str]| {
        let mut files = FolderFiles::llama();
        change(&mut files);
        check_error(HfFolder::open(files.write().path()), parts);
    };
    check(
        &|files| drop(files.tensors.remove(3)),
        &["tensor `model.layers.0.self_attn.q_proj.weight` is missing"],
    );
    check(
        &|files| files.tensors[0].1 = vec![8, 5],
        &["`model.embed_tokens.weight` has the shape [8, 5], expected [5, 8]"],
    );
    check(
        &|files| files.tensors[1].1 = vec![],
        &["`model.norm.weight` has the shape []"],
    );
    check(
        &|files| files.tensors[1].1 = vec![0],
        &["`model.norm.weight` has the shape [0]"],
    );
    check(
        &|files| {
            files
                .tensors
                .push(("model.layers.0.mlp.gate_proj.bias".to_owned(), vec![12]))
        },
        &["`model.layers.0.mlp.gate_proj.bias` has no place in a llama model"],
    );
}

#[test]
fn a_tied_head_may_be_saved_if_it_is_the_embedding() -> TestResult {
    let mut files = FolderFiles::llama();
    files
        .tensors
        .push(("lm_head.weight".to_owned(), vec![5, 8]));
    let dir = files.write();
    let parts = ["`tie_word_embeddings` is true, but tensor `lm_head.weight` is not the embedding"];
    check_error(HfFolder::open(dir.path()), &parts);
    let mut weights = fs::read(dir.path().join("model.safetensors"))?;
    let data = weights.len() - files.weights().len() + 8;
    let header = u64::from_le_bytes(weights[..8].try_into()?) as usize;
    let (embedding, head) = (data + header, weights.len() - 160);
    weights.copy_within(embedding..embedding + 160, head);
    write(&dir, "model.safetensors", &weights);
    assert!(HfFolder::open(dir.path())?.config().tied_head);
    files.config["tie_word_embeddings"] = Value::Bool(false);
    let dir = files.write();
    let folder = HfFolder::open(dir.path())?;
    assert_ne!(folder.read(Tensor::Head)?, folder.read(Tensor::Embedding)?);
    Ok(())
}

/// The folder with its weights in two files and this change to the index.
fn sharded(change: impl FnOnce(&mut Value)) -> Result<HfFolder, OpenFolderError> {
    let files = FolderFiles::llama();
    let dir = files.write();
    fs::remove_file(dir.path().join("model.safetensors")).expect("it was written");
    let mut map = serde_json::Map::new();
    for (shard, tensors) in files.tensors.chunks(6).enumerate() {
        let file = format!("model-{shard}.safetensors");
        let part = FolderFiles {
            config: Value::Null,
            tensors: tensors.to_vec(),
        };
        write(&dir, &file, part.weights());
        map.extend(
            tensors
                .iter()
                .map(|(name, _)| (name.clone(), file.clone().into())),
        );
    }
    let mut index = json!({"metadata": {"total_size": 1}, "weight_map": map});
    change(&mut index);
    write(&dir, "model.safetensors.index.json", index.to_string());
    HfFolder::open(dir.path())
}

#[test]
fn the_index_is_checked_against_the_files_and_stays_in_the_folder() -> TestResult {
    let embedding = "model.embed_tokens.weight";
    assert_eq!(sharded(|_| ())?.read(Tensor::Embedding)?.len(), 40);
    let moved =
        |file: &'static str| move |index: &mut Value| index["weight_map"][embedding] = file.into();
    for outside in [
        "../x.safetensors",
        "/etc/x.safetensors",
        "a/b.safetensors",
        "",
        "config.json",
    ] {
        let parts = [embedding, "no safetensors file of the folder"];
        check_error(sharded(moved(outside)), &parts);
    }
    let parts = [embedding, "is in `model-1.safetensors`, where it is not"];
    check_error(sharded(moved("model-1.safetensors")), &parts);
    check_error(
        sharded(moved("none.safetensors")),
        &["`none.safetensors` cannot be mapped"],
    );
    check_error(
        sharded(|index| index["weight_map"]["more"] = "model-0.safetensors".into()),
        &["tensor `more` is in `model-0.safetensors`, where it is not"],
    );
    check_error(
        sharded(|index| index["weight_map"][embedding] = 3.into()),
        &[
            "index.json",
            "`weight_map.model.embed_tokens.weight` is 3, expected a text",
        ],
    );
    check_error(
        sharded(|index| index["weight_map"] = Value::Null),
        &["`weight_map` is null"],
    );
    check_error(
        sharded(|index| index["weight_map"] = json!({})),
        &["neither"],
    );
    check_error(
        sharded(|index| *index = json!(3)),
        &["index.json", "not a JSON object"],
    );
    Ok(())
}

#[test]
fn a_tensor_in_two_files_is_refused() -> TestResult {
    let files = FolderFiles::llama();
    let dir = files.write();
    fs::rename(
        dir.path().join("model.safetensors"),
        dir.path().join("a.safetensors"),
    )?;
    fs::copy(
        dir.path().join("a.safetensors"),
        dir.path().join("b.safetensors"),
    )?;
    let map =
        json!({"model.norm.weight": "a.safetensors", "model.embed_tokens.weight": "b.safetensors"});
    write(
        &dir,
        "model.safetensors.index.json",
        json!({"weight_map": map}).to_string(),
    );
    check_error(
        HfFolder::open(dir.path()),
        &["is in `a.safetensors` and in `b.safetensors`"],
    );
    Ok(())
}

#[cfg(unix)]
#[test]
fn links_are_followed_as_the_hubs_cache_needs_it() -> TestResult {
    let blobs = FolderFiles::llama().write();
    let dir = tempfile::tempdir()?;
    for name in ["config.json", "model.safetensors"] {
        std::os::unix::fs::symlink(blobs.path().join(name), dir.path().join(name))?;
    }
    assert!(HfFolder::open(dir.path()).is_ok());
    Ok(())
}
