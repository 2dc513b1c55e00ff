//! Broken tokenizers give errors that name what is wrong; nothing panics.

use std::error::Error;

use proptest::prelude::*;
use serde_json::{Value, json};
use undertone_lm::tokenizer::{BuildTokenizerErrorKind, SpecialTokens, Tokenizer, TokenizerConfig};

use crate::golden::{Arrays, GGUF_STYLES, Golden, Roles, STYLES};
use crate::support::TestResult;

/// Changes a style's GGUF arrays and returns what is said of them, with causes.
fn gguf_error(
    style: &str,
    change: impl FnOnce(&mut Arrays, &mut Roles),
) -> Result<String, Box<dyn Error>> {
    let golden = Golden::read(style)?;
    let (mut arrays, mut roles) = (golden.arrays().clone(), golden.roles());
    change(&mut arrays, &mut roles);
    match Tokenizer::from_gguf(&arrays.vocabulary(roles)) {
        Ok(_) => Err("the tokenizer was built".into()),
        Err(error) => Ok(format!("{error}: {}", error.kind)),
    }
}

/// Changes a style's `tokenizer.json` and returns what is said of it.
fn json_error(style: &str, change: impl FnOnce(&mut Value)) -> Result<String, Box<dyn Error>> {
    let mut json = Golden::read(style)?.tokenizer_json.ok_or("a style")?;
    change(&mut json);
    match Tokenizer::from_json(json.to_string().as_bytes(), &TokenizerConfig::default()) {
        Ok(_) => Err("the tokenizer was built".into()),
        Err(error) => Ok(format!("{error}: {}", error.kind)),
    }
}

#[test]
fn broken_gguf_arrays_are_refused_by_name() -> TestResult {
    let error = gguf_error("smollm", |arrays, _| arrays.model = "bert".into())?;
    assert!(
        error.contains("tokenizer model `bert` is not supported, only `gpt2`"),
        "{error}"
    );
    let error = gguf_error("smollm", |arrays, _| arrays.pre = Some("tekken".into()))?;
    let list = "pre-tokenizer `tekken` is not supported, only `llama-bpe`, `llama3`, `llama-v3`, `qwen2` and `smollm`";
    assert!(error.contains(list), "{error}");
    let error = gguf_error("smollm", |arrays, _| arrays.pre = None)?;
    assert!(error.contains("`tokenizer.ggml.pre` is missing"), "{error}");
    let error = gguf_error("smollm", |arrays, _| arrays.tokens.clear())?;
    assert!(
        error.contains("`tokenizer.ggml.tokens` is missing"),
        "{error}"
    );
    let error = gguf_error("smollm", |arrays, _| arrays.token_types.truncate(9))?;
    assert!(error.contains("`tokenizer.ggml.token_type` has"), "{error}");
    let error = gguf_error("smollm", |arrays, _| arrays.token_types[5] = 7)?;
    assert!(
        error.contains("`tokenizer.ggml.token_type`: element 5 is `7`"),
        "{error}"
    );
    let error = gguf_error("smollm", |arrays, _| arrays.merges[3] = "ab".into())?;
    assert!(
        error.contains("`tokenizer.ggml.merges`: element 3 is `ab`"),
        "{error}"
    );
    let error = gguf_error("smollm", |arrays, _| arrays.merges[3] = "zz zz".into())?;
    assert!(error.contains("merge 3 needs the token `zz`"), "{error}");
    let error = gguf_error("smollm", |arrays, _| arrays.tokens[9] = "x".repeat(5000))?;
    assert!(error.contains("5000 bytes of a token"), "{error}");
    let error = gguf_error("smollm", |_, roles| roles.eos = Some(70_000))?;
    assert!(error.contains("`eos token` is 70000"), "{error}");
    let error = gguf_error("gemma", |arrays, _| arrays.scores = None)?;
    assert!(
        error.contains("`tokenizer.ggml.scores` is missing"),
        "{error}"
    );
    let nan = |arrays: &mut Arrays, _: &mut Roles| {
        if let Some(scores) = &mut arrays.scores {
            scores[7] = f32::NAN;
        }
    };
    let error = gguf_error("gemma", nan)?;
    assert!(
        error.contains("`tokenizer.ggml.scores`: element 7 is `NaN`"),
        "{error}"
    );
    let error = gguf_error("gemma", |arrays, _| arrays.tokens[20] = "<0xZZ>".into())?;
    assert!(error.contains("expected a byte as `<0x0A>`"), "{error}");
    Ok(())
}

#[test]
fn unsupported_and_broken_json_is_refused_by_name() -> TestResult {
    let error = json_error("smollm", |json| json["model"]["type"] = "Unigram".into())?;
    assert!(
        error.contains("model `Unigram` is not supported, only BPE"),
        "{error}"
    );
    let error = json_error("smollm", |json| {
        json["normalizer"] = json!({"type": "Lowercase"})
    })?;
    assert!(error.contains("normalizer `Lowercase`"), "{error}");
    let bert = json!({"type": "BertPreTokenizer"});
    let error = json_error("smollm", |json| json["pre_tokenizer"] = bert)?;
    assert!(
        error.contains("pre-tokenizer `BertPreTokenizer`"),
        "{error}"
    );
    let error = json_error("smollm", |json| {
        json["decoder"] = json!({"type": "WordPiece"})
    })?;
    assert!(error.contains("decoder `WordPiece`"), "{error}");
    let broken = json!([{"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false},
        {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]);
    let error = json_error("smollm", |json| {
        json["pre_tokenizer"]["pretokenizers"] = broken
    })?;
    assert!(
        error.contains("the pre-tokenizer cannot be used"),
        "{error}"
    );
    // The crate `tokenizers` panics at this one: the merge is longer than any token.
    let error = json_error("smollm", |json| {
        let longest = json["model"]["vocab"]
            .as_object()
            .and_then(|v| v.keys().max_by_key(|k| k.len()).cloned());
        json["model"]["merges"] = json!([[longest, longest]]);
    })?;
    assert!(error.contains("merge 0 needs the token"), "{error}");
    let error = json_error("smollm", |json| json["model"]["merges"] = json!(["a b c"]))?;
    assert!(error.contains("not of the expected form"), "{error}");
    let error = json_error("smollm", |json| {
        json["model"]["vocab"]["!"] = 4_000_000_000_u32.into()
    })?;
    assert!(error.contains("4000000001 tokens, at most"), "{error}");
    let error = json_error("smollm", |json| json["model"]["vocab"]["!"] = 30.into())?;
    assert!(error.contains("both have id 30"), "{error}");
    let error = json_error("smollm", |json| {
        json["added_tokens"][0]["lstrip"] = true.into()
    })?;
    assert!(
        error.contains("added token `<|endoftext|>` is `lstrip`"),
        "{error}"
    );
    let error = json_error("llama2", |json| {
        json["added_tokens"][1]["normalized"] = true.into()
    })?;
    assert!(
        error.contains("added token `<s>` is `normalized`"),
        "{error}"
    );
    let error = json_error("gemma", |json| {
        json["model"]["byte_fallback"] = false.into()
    })?;
    assert!(error.contains("byte_fallback"), "{error}");
    let json = Golden::read("smollm")?.json();
    let config = TokenizerConfig {
        eos_token: Some("<gone>".into()),
        ..TokenizerConfig::default()
    };
    let error = Tokenizer::from_json(&json, &config)
        .err()
        .ok_or("an unknown end token")?;
    assert!(matches!(
        error.kind,
        BuildTokenizerErrorKind::UnknownToken {
            field: "eos_token",
            ..
        }
    ));
    Ok(())
}

#[test]
fn a_byte_without_a_token_is_an_error_and_not_left_out() -> TestResult {
    let golden = Golden::read("smollm")?;
    let mut arrays = golden.arrays().clone();
    // `Ñ` stands for 0xd1, the first byte of `с` and `х`.
    let byte = arrays
        .tokens
        .iter()
        .position(|token| token == "Ñ")
        .ok_or("no such token")?;
    arrays.tokens[byte] = "<gone>".into();
    arrays.merges.retain(|merge| !merge.contains('Ñ'));
    let tokenizer = Tokenizer::from_gguf(&arrays.vocabulary(golden.roles()))?;
    let error = tokenizer
        .encode("сх", SpecialTokens::AsText)
        .err()
        .ok_or("0xd1 has no token")?;
    assert_eq!(
        error.to_string(),
        "the vocabulary has no token for the byte 0xd1"
    );
    Ok(())
}

#[test]
fn long_texts_take_time_in_proportion() -> TestResult {
    // Merging one piece of a million letters is what a quadratic algorithm never ends with.
    let text = "the owl ".repeat(40_000).replace(' ', "");
    for style in ["llama3", "gemma"] {
        let tokenizer = Golden::read(style)?.gguf_tokenizer()?;
        let ids = tokenizer.encode(&text, SpecialTokens::AsText)?;
        assert_eq!(tokenizer.decode(&ids), text);
    }
    Ok(())
}

/// Encodes a few texts, whatever comes of it.
fn exercise(tokenizer: &Tokenizer) {
    for text in ["", " a b", "The owl's 12 stones\n\n😀", "<|im_start|><s>"] {
        for special in [SpecialTokens::Parse, SpecialTokens::AsText] {
            if let Ok(ids) = tokenizer.encode(text, special) {
                tokenizer.decode(&ids);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn bytes_changed_at_random_never_panic(
        style in prop::sample::select(&STYLES),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        truncated in any::<Option<prop::sample::Index>>(),
    ) {
        let golden = Golden::read(style).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let mut json = golden.json();
        for (at, byte) in changes {
            let at = at.index(json.len());
            json[at] = byte;
        }
        if let Some(at) = truncated {
            json.truncate(at.index(json.len()));
        }
        if let Ok(tokenizer) = Tokenizer::from_json(&json, &TokenizerConfig::default()) {
            exercise(&tokenizer);
        }
    }

    #[test]
    fn gguf_arrays_changed_at_random_never_panic(
        style in prop::sample::select(&GGUF_STYLES),
        swaps in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6),
        types in prop::collection::vec((any::<prop::sample::Index>(), 0..8_i64), 0..6),
        texts in prop::collection::vec((any::<prop::sample::Index>(), "\\PC{0,6}"), 0..6),
        merges in prop::collection::vec((any::<prop::sample::Index>(), "\\PC{0,6}"), 0..3),
        roles in prop::collection::vec(any::<Option<u16>>(), 3),
    ) {
        let golden = Golden::read(style).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let mut arrays = golden.arrays().clone();
        let n = arrays.tokens.len();
        for (a, b) in swaps {
            arrays.tokens.swap(a.index(n), b.index(n));
        }
        for (at, ty) in types {
            arrays.token_types[at.index(n)] = ty;
        }
        for (at, text) in texts {
            arrays.tokens[at.index(n)] = text;
        }
        for (at, merge) in merges {
            let n = arrays.merges.len();
            if n > 0 {
                arrays.merges[at.index(n)] = merge;
            }
        }
        let id = |at: usize| roles[at].map(u32::from);
        let roles = Roles { bos: id(0), eos: id(1), eot: id(2), pad: None };
        if let Ok(tokenizer) = Tokenizer::from_gguf(&arrays.vocabulary(roles)) {
            exercise(&tokenizer);
        }
    }
}
