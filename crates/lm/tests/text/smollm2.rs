//! The real SmolLM2-135M-Instruct, where `UNDERTONE_DATA` has it.

use std::path::PathBuf;

use undertone_lm::chat::{Message, RenderOptions, SystemLine};
use undertone_lm::gguf::Gguf;
use undertone_lm::grammar::{TokenGrammar, numbers_pattern};
use undertone_lm::source::ModelFiles;
use undertone_lm::text::ModelText;
use undertone_lm::tokenizer::SpecialTokens;

use crate::golden::Golden;
use crate::support::TestResult;

#[expect(
    clippy::print_stderr,
    reason = "a test that did not look must say so where people see it"
)]
fn model() -> Result<Option<ModelText>, Box<dyn std::error::Error>> {
    let data = PathBuf::from(std::env::var_os("UNDERTONE_DATA").unwrap_or_default());
    let path = data.join("smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
    if !path.is_file() {
        eprintln!("not checked: UNDERTONE_DATA has no smollm2-135m-instruct");
        return Ok(None);
    }
    Ok(Some(ModelText::open(&ModelFiles::Gguf(Gguf::open(
        &path,
    )?))?))
}

#[test]
fn the_vocabulary_gives_the_ids_of_llama_cpp() -> TestResult {
    let Some(model) = model()? else {
        return Ok(());
    };
    let tokenizer = &model.tokenizer;
    assert_eq!(tokenizer.len(), 49_152);
    assert_eq!(
        (tokenizer.bos(), tokenizer.eos(), tokenizer.pad()),
        (Some(1), Some(2), Some(2))
    );
    assert_eq!(tokenizer.bos_to_add(), None);
    assert_eq!(tokenizer.end_tokens(), [2]);
    for case in Golden::read("smollm2")?.cases {
        let expected = case.gguf.ok_or("reference ids")?;
        let ids = tokenizer.encode(&case.text, SpecialTokens::Parse);
        match ids {
            Ok(ids) => {
                assert_eq!(ids, expected.parse, "{:?}", case.text);
                let plain = tokenizer.encode(&case.text, SpecialTokens::AsText)?;
                assert_eq!(plain, expected.plain, "{:?}", case.text);
                assert_eq!(tokenizer.decode_with_special(&ids), case.text);
            }
            // llama.cpp leaves out what the vocabulary cannot spell: the text does not come back.
            Err(_) => assert_ne!(tokenizer.decode_with_special(&expected.parse), case.text),
        }
    }
    Ok(())
}

#[test]
fn the_chat_template_adds_its_system_line_and_says_so() -> TestResult {
    let Some(model) = model()? else {
        return Ok(());
    };
    let template = model.chat_template(None)?;
    let options = RenderOptions {
        add_generation_prompt: true,
        ..RenderOptions::default()
    };
    let user = Message::new("user", "Hi");
    let rendered = template.render(std::slice::from_ref(&user), &options)?;
    let line = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";
    let text = format!(
        "<|im_start|>system\n{line}<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
    assert_eq!(rendered.text, text);
    assert_eq!(rendered.system_line, SystemLine::Added(line.to_owned()));
    let own = template.render(&[Message::new("system", "Be an owl."), user], &options)?;
    assert_eq!(own.system_line, SystemLine::Absent);
    let ids = model
        .tokenizer
        .encode(&rendered.text, SpecialTokens::Parse)?;
    assert_eq!(ids.iter().filter(|&&id| id == 1).count(), 3);
    assert_eq!(model.tokenizer.decode_with_special(&ids), rendered.text);
    Ok(())
}

#[test]
fn number_lists_are_spelled_digit_by_digit() -> TestResult {
    let Some(model) = model()? else {
        return Ok(());
    };
    let tokenizer = &model.tokenizer;
    let grammar = TokenGrammar::new(&numbers_pattern(10..=10, 3, ", "), tokenizer)?;
    let digits: Vec<u32> = (0..10)
        .filter_map(|digit| tokenizer.single_token(&digit.to_string()))
        .collect();
    assert_eq!(digits.len(), 10);
    let mut expected = digits.clone();
    expected.sort_unstable();
    assert_eq!(grammar.allowed(grammar.start()), expected);
    let ids = tokenizer.encode("0, 12, 345, 6, 7, 8, 9, 10, 11, 999", SpecialTokens::AsText)?;
    let mut state = grammar.start();
    for id in ids {
        state = grammar.next(state, id).ok_or("a list of ten numbers")?;
    }
    assert!(grammar.is_match(state));
    assert_eq!(grammar.allowed(state), [2]);
    Ok(())
}
