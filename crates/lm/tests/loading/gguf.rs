//! What is refused in GGUF files, and in which words; each starts from a sound file. `gguf_models` has what they say of models.

use std::fs;

use undertone_lm::Checkpoint;
use undertone_lm::config::Tensor;
use undertone_lm::gguf::{Gguf, OpenGgufError};

use crate::support::{
    GgufFile, TestResult, Value, array_value, check_error, folder_with, text, text_value, u32_value,
};

pub fn open_bytes(bytes: &[u8]) -> Result<Gguf, OpenGgufError> {
    let dir = folder_with("model.gguf", bytes);
    Gguf::open(&dir.path().join("model.gguf"))
}

/// Changes a sound file and asserts that opening it fails with all of `parts` in the message.
#[track_caller]
pub fn check(change: impl FnOnce(&mut GgufFile), parts: &[&str]) {
    let mut file = GgufFile::llama();
    change(&mut file);
    check_error(open_bytes(&file.bytes()), parts);
}

/// Changes a sound file and opens it.
#[track_caller]
pub fn opened(change: impl FnOnce(&mut GgufFile)) -> Gguf {
    let mut file = GgufFile::llama();
    change(&mut file);
    open_bytes(&file.bytes()).expect("the file is sound")
}

#[test]
fn the_sound_file_is_taken() -> TestResult {
    let gguf = opened(|_| ());
    assert!(gguf.config().tied_head);
    assert_eq!(gguf.config().rope.theta, 10_000.0);
    assert_eq!(gguf.read(Tensor::FinalNorm)?.len(), 8);
    Ok(())
}

#[test]
fn the_file_is_named() {
    let dir = folder_with("model.gguf", b"PK\x03\x04 and more");
    let path = dir.path().join("model.gguf");
    let parts = [
        "model.gguf",
        "magic (at byte 4)",
        "0x04034b50, expected `GGUF`",
    ];
    check_error(Gguf::open(&path), &parts);
}

#[test]
fn what_is_no_file_with_content_is_refused() {
    let dir = folder_with("model.gguf", b"");
    check_error(Gguf::open(&dir.path().join("model.gguf")), &["it is empty"]);
    check_error(Gguf::open(dir.path()), &["not a regular file"]);
    check_error(Gguf::open(&dir.path().join("none")), &["none", "mapped"]);
}

#[test]
fn other_versions_and_the_other_byte_order_are_named() {
    check(
        |file| file.version = 2,
        &["version", "version 2 is not supported, supported is 3"],
    );
    check(|file| file.version = 3 << 24, &["big-endian"]);
}

#[test]
fn huge_counts_are_refused_before_anything_is_read() {
    check(
        |file| file.n_tensors = Some(1 << 40),
        &["number of tensors", "at most 65536"],
    );
    check(
        |file| file.n_tensors = Some(65_536),
        &["number of tensors", "are left"],
    );
    check(
        |file| file.n_pairs = Some(u64::MAX),
        &["number of metadata pairs", "at most 65536"],
    );
    check(
        |file| file.n_pairs = Some(60_000),
        &["number of metadata pairs", "are left"],
    );
}

#[test]
fn lengths_of_texts_are_checked() {
    let mut long = u64::MAX.to_le_bytes().to_vec();
    long.extend(b"abc");
    let key = "general.name";
    check(
        |file| file.set(key, Value(8, long)),
        &["metadata `general.name`", "at most 16777216"],
    );
    let short = 5000u64.to_le_bytes().to_vec();
    check(
        |file| file.set(key, Value(8, short)),
        &["metadata `general.name`", "needs 5000 bytes"],
    );
    check(
        |file| file.pairs[0].0 = vec![b'k'; 70_000],
        &["key of metadata pair 0", "it is 70000, at most 65536"],
    );
    check(
        |file| file.tensors[1].name = vec![b't'; 256],
        &["name of tensor 1", "it is 256, at most 255"],
    );
}

#[test]
fn texts_are_utf8_and_names_are_not_empty() {
    let bad = text([0xc3, 0x28]);
    check(
        |file| file.set("general.name", Value(8, bad)),
        &["`general.name`", "not UTF-8"],
    );
    check(
        |file| file.pairs[2].0 = vec![0xff],
        &["key of metadata pair 2", "not UTF-8"],
    );
    check(
        |file| file.tensors[3].name = vec![0x80],
        &["name of tensor 3", "not UTF-8"],
    );
    check(
        |file| file.tensors[3].name.clear(),
        &["name of tensor 3", "empty"],
    );
    let mut list = text("good");
    list.extend(text([0xff]));
    let list = array_value(8, 2, &list);
    check(
        |file| file.set("a.list", list),
        &["metadata `a.list`", "not UTF-8"],
    );
}

#[test]
fn types_of_values_are_those_of_the_format() {
    check(
        |file| file.set("a.key", Value(13, vec![0; 8])),
        &["`a.key`", "type 13"],
    );
    check(
        |file| file.set("a.key", Value(7, vec![2])),
        &["`a.key`", "it is 2, expected 0 or 1"],
    );
    let truths = array_value(7, 3, &[0, 1, 9]);
    check(
        |file| file.set("a.key", truths),
        &["`a.key`", "it is 9, expected 0 or 1"],
    );
    let unknown = array_value(99, 1, &[0; 8]);
    check(|file| file.set("a.key", unknown), &["`a.key`", "type 99"]);
}

#[test]
fn arrays_are_flat_and_no_longer_than_the_file() {
    let nested = array_value(9, 1, &[0; 64]);
    check(
        |file| file.set("a.key", nested),
        &["`a.key`", "array of arrays"],
    );
    for element_type in [0, 4, 6, 8, 10, 12] {
        let huge = array_value(element_type, u64::MAX, &[0; 64]);
        check(
            |file| file.set("a.key", huge),
            &["`a.key`", "at most 4194304"],
        );
        let long = array_value(element_type, 1 << 22, &[0; 64]);
        check(|file| file.set("a.key", long), &["`a.key`", "are left"]);
    }
}

#[test]
fn names_occur_once() {
    check(
        |file| {
            file.pairs
                .push((b"llama.block_count".to_vec(), u32_value(1)))
        },
        &["metadata `llama.block_count`", "occurs twice"],
    );
    check(
        |file| file.add_tensor("output_norm.weight", &[8]),
        &["name of tensor `output_norm.weight`", "occurs twice"],
    );
}

#[test]
fn dimensions_do_not_overflow() {
    let name = "blk.0.attn_q.weight";
    let dimensions = |sizes: &'static [u64]| {
        move |file: &mut GgufFile| file.tensor(name).dimensions = sizes.to_vec()
    };
    let shape = format!("shape of tensor `{name}`");
    check(
        dimensions(&[]),
        &["number of dimensions", name, "expected 1 to 4"],
    );
    check(
        dimensions(&[1; 5]),
        &["number of dimensions", name, "it is 5"],
    );
    check(dimensions(&[8, 0]), &["a dimension", name, "it is 0"]);
    check(dimensions(&[u64::MAX, 2]), &["a dimension", name]);
    check(dimensions(&[1 << 40, 1 << 40]), &[&shape, "overflows"]);
    check(dimensions(&[1 << 31, 1 << 31, 4]), &[&shape, "overflows"]);
    check(
        dimensions(&[1 << 30, 1 << 20]),
        &["offset", name, "the file at"],
    );
}

#[test]
fn quantised_rows_are_whole_blocks_and_other_types_are_named() {
    let name = "blk.0.attn_q.weight";
    let of_type = |value_type| move |file: &mut GgufFile| file.tensor(name).value_type = value_type;
    check(
        of_type(2),
        &["shape", name, "8 is not a multiple of the 32"],
    );
    check(
        of_type(14),
        &["shape", name, "8 is not a multiple of the 256"],
    );
    check(
        of_type(10),
        &[
            "type",
            name,
            "Q2_K is not supported, supported are F32, F16, BF16",
        ],
    );
    check(of_type(23), &["type", name, "IQ4_XS"]);
    check(of_type(4), &["type", name, "type 4 is not supported"]);
}

#[test]
fn values_lie_inside_the_file_aligned_and_apart() {
    let name = "blk.0.ffn_up.weight";
    let offset = |offset| move |file: &mut GgufFile| file.tensor(name).offset = offset;
    check(
        offset(1 << 20),
        &["offset", name, "values end at byte", "the file at"],
    );
    check(
        offset(4),
        &["offset", name, "4 is not a multiple of the alignment 32"],
    );
    check(offset(u64::MAX - 31), &["offset", name, "overflows"]);
    check(
        offset(0),
        &[
            "offset",
            name,
            "overlap those of tensor `blk.0.attn_q.weight`",
        ],
    );
    check(
        |file| file.data.truncate(file.data.len() - 4),
        &["offset", "blk.0.ffn_down.weight", "the file at"],
    );
}

#[test]
fn the_alignment_is_a_power_of_two() {
    for bad in [0, 33, 1 << 21] {
        check(
            |file| file.set("general.alignment", u32_value(bad)),
            &[
                "metadata `general.alignment`",
                "is not a power of two up to 1048576",
            ],
        );
    }
    check(
        |file| file.set("general.alignment", text_value(32)),
        &["a text", "expected u32"],
    );
    // A finer alignment than the writer's moves the values' start.
    let gguf = opened(|file| {
        file.set("general.alignment", u32_value(8));
        let header = file.header().len();
        let padding = header.next_multiple_of(8) - header;
        let writers = header.next_multiple_of(32) - header;
        file.data.splice(0..0, vec![0; 32 * 8]);
        let moved = (32 * 8 + writers - padding) as u64;
        file.tensors
            .iter_mut()
            .for_each(|tensor| tensor.offset += moved);
    });
    assert!(gguf.read(Tensor::Embedding).is_ok());
}

#[test]
fn a_file_that_vanishes_behind_the_map_is_still_read() -> TestResult {
    let dir = folder_with("model.gguf", &GgufFile::llama().bytes());
    let path = dir.path().join("model.gguf");
    let gguf = Gguf::open(&path)?;
    fs::remove_file(&path)?;
    assert_eq!(gguf.read(Tensor::Embedding)?.len(), 40);
    Ok(())
}
