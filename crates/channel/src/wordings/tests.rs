//! Files of wordings: what is refused, with line and remedy. Arbitrary bytes are in `tests/hostile.rs`.

use std::io;
use std::path::Path;

use super::*;
use crate::prompts::NumberWordings;
use crate::questions::QuestionSet;

const HEADER: &str = r#"wordings = { format = 1, kind = "questions", id = "mine", version = 3 }"#;

fn questions(text: &str) -> Result<QuestionSet, WordingsError> {
    QuestionSet::read(&mut text.as_bytes(), Path::new("mine.toml"))
}

/// Checks the whole chain of words of an error, and that there is a remedy.
#[track_caller]
fn refused(text: &str, expected: &str) {
    let error = questions(text).expect_err(text);
    assert_eq!(format!("{error}: {}", error.kind), expected);
    assert!(!error.hint().is_empty());
}

#[test]
fn a_users_file_is_read_and_named() {
    let set = questions(&format!("{HEADER}\nquestions = ['Owl?', \"Wolf?\"]\n")).expect("a set");
    assert_eq!(set.questions(), ["Owl?", "Wolf?"]);
    assert_eq!((&*set.id().id, set.id().version), ("mine", 3));
}

#[test]
fn the_digest_sees_texts_and_not_how_the_file_is_written() {
    let digest = |text: &str| questions(text).expect("a set").id().digest;
    let plain = digest(&format!("{HEADER}\nquestions = ['a', 'b']"));
    let commented =
        format!("# mine\r\n{HEADER}\r\nquestions = [\r\n  \"a\", # one\r\n  \"b\",\r\n]\r\n");
    assert_eq!(plain, digest(&commented));
    assert_ne!(plain, digest(&format!("{HEADER}\nquestions = ['b', 'a']")));
    assert_ne!(plain, digest(&format!("{HEADER}\nquestions = ['a b']")));
}

#[test]
fn errors_name_file_and_line() {
    let at = |rest: &str| format!("{HEADER}\nquestions = [\n  'one',\n  {rest},\n]\n");
    let line_4 = "cannot use wordings `mine.toml`, line 4: ";
    refused(&at("''"), &format!("{line_4}a text is empty"));
    refused(
        &at("' two'"),
        &format!("{line_4}a text starts or ends with white space"),
    );
    refused(
        &at("'One!'"),
        &format!("{line_4}the text stands there twice"),
    );
    refused(
        &at("'a {b} c'"),
        &format!("{line_4}nothing is filled in for `{{b}}`"),
    );
    refused(
        &at("'a } c'"),
        &format!("{line_4}nothing is filled in for `{{ c}}`"),
    );
    refused(
        &at(r#""a\u0007b""#),
        &format!("{line_4}a text holds a control character"),
    );
    let long = "x".repeat(MAX_TEXT_BYTES + 1);
    refused(
        &at(&format!("'{long}'")),
        &format!("{line_4}a text is longer than 4096 bytes"),
    );
}

#[test]
fn errors_name_what_the_header_lacks() {
    let with = |from: &str, to: &str| format!("{}\nquestions = ['a']", HEADER.replace(from, to));
    let line_1 = "cannot use wordings `mine.toml`, line 1: ";
    refused(
        &with("format = 1", "format = 2"),
        &format!("{line_1}format 2 is newer than 1"),
    );
    refused(
        &with("format = 1", "format = 0"),
        &format!("{line_1}format 0 is older than 1"),
    );
    refused(
        &with("questions", "stems"),
        &format!("{line_1}the file holds `stems`, not `questions`"),
    );
    refused(
        &with("mine", "My words"),
        &format!("{line_1}the id is not 1 to 64 small letters, digits and hyphens"),
    );
    refused(
        &with("version = 3", "vers = 3"),
        &format!("{line_1}unknown field `vers`, expected one of `format`, `kind`, `id`, `version`"),
    );
    refused(
        "questions = ['a']",
        &format!("{line_1}missing field `wordings`"),
    );
}

#[test]
fn unknown_keys_and_wrong_types_are_errors() {
    refused(
        &format!("{HEADER}\nquestion = ['a']"),
        "cannot use wordings `mine.toml`, line 2: unknown field `question`, expected `wordings` or `questions`",
    );
    refused(
        &format!("{HEADER}\n\nquestions = ['a', 5]"),
        "cannot use wordings `mine.toml`, line 3: invalid type: integer `5`, expected a string",
    );
    refused(
        &format!("{HEADER}\nquestions = []"),
        "cannot use wordings `mine.toml`, line 2: the list `questions` is empty",
    );
    let many = "'a',".repeat(MAX_TEXTS + 1);
    refused(
        &format!("{HEADER}\nquestions = [{many}]"),
        "cannot use wordings `mine.toml`, line 2: the list `questions` has 10001 texts, more than 10000",
    );
}

#[test]
fn slots_stand_exactly_once() {
    let slots = ["qualifier", "count"];
    assert!(check_text("a {count} b {qualifier}", &slots).is_ok());
    let count = |text: &str| match check_text(text, &slots) {
        Err(WordingsErrorKind::SlotCount { slot, found }) => Some((slot, found)),
        _ => None,
    };
    assert_eq!(count("a {count}"), Some(("qualifier", 0)));
    assert_eq!(count("{count} {qualifier} {count}"), Some(("count", 2)));
    let unknown = |text: &str| match check_text(text, &slots) {
        Err(WordingsErrorKind::UnknownSlot { slot }) => Some(slot),
        _ => None,
    };
    assert_eq!(unknown("{count} {qualifier} {").as_deref(), Some(""));
    assert_eq!(unknown("{{count}} {qualifier}").as_deref(), Some("{count"));
    assert_eq!(
        unknown(&"{é".repeat(100)).map(|slot| slot.chars().count()),
        Some(40)
    );
}

#[test]
fn a_list_of_prompts_names_the_slot_it_lacks() {
    let text =
        include_str!("../../assets/numbers.toml").replacen("begins: {numbers}", "begins: 1, 2", 1);
    let error =
        NumberWordings::read(&mut text.as_bytes(), Path::new("n.toml")).expect_err("no slot");
    assert_eq!(
        error.kind.to_string(),
        "the text has `{numbers}` 0 times, not once"
    );
    let line = error.line.expect("a line") - 1;
    assert!(
        text.lines()
            .nth(line)
            .is_some_and(|line| line.contains("1, 2"))
    );
}

#[test]
fn sizes_are_capped_before_anything_is_parsed() {
    let mut endless = io::repeat(b'#');
    let error = QuestionSet::read(&mut endless, Path::new("x")).expect_err("without end");
    assert!(matches!(error.kind, WordingsErrorKind::FileTooLong));
    let error =
        QuestionSet::read(&mut [0xff, 0xfe].as_slice(), Path::new("x")).expect_err("no text");
    assert!(matches!(error.kind, WordingsErrorKind::NotUtf8));
    // Nesting must not end the program either.
    for deep in [
        "[".repeat(200_000),
        format!("a = {}", "{ b = ".repeat(100_000)),
        format!("{}a = 1", "a.".repeat(200_000)),
    ] {
        assert!(questions(&deep).is_err());
    }
}

#[test]
fn what_is_filled_in_is_not_filled_in_again() {
    let values = [("a", "{b}"), ("b", "{a}")];
    assert_eq!(fill("{a} and {b}.", &values), "{b} and {a}.");
    assert_eq!(fill("nothing", &values), "nothing");
}
