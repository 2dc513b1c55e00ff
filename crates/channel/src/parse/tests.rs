//! The published examples one by one, a second implementation's answers, and what holds for all texts.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[track_caller]
fn accepts(text: &str, numbers: &[u64]) {
    let parsed = parse(text).unwrap_or_else(|reason| panic!("{text:?}: {reason}"));
    assert_eq!(parsed.numbers(), numbers, "{text:?}");
    assert_eq!(parsed.write(), text);
}

#[track_caller]
fn rejects(text: &str, reason: Rejection) {
    assert_eq!(parse(text).err(), Some(reason), "{text:?}");
    assert!(reason.is_format());
}

#[test]
fn accepts_one_number_in_every_wrap() {
    for text in ["1", "1.", "[1]", "(1)", "[1]."] {
        accepts(text, &[1]);
    }
}

#[test]
fn accepts_lists_with_one_separator() {
    accepts("(1, 2, 3).", &[1, 2, 3]);
    accepts("1\n2\n3", &[1, 2, 3]);
    accepts("1\n\n2\n\n3", &[1, 2, 3]);
    accepts("1,\n2,\n3", &[1, 2, 3]);
    accepts("1\t2", &[1, 2]);
    accepts("1 ,2 ,3", &[1, 2, 3]);
    accepts("1 , 2 , 3", &[1, 2, 3]);
    accepts("1;2", &[1, 2]);
    accepts("[1; 2; 3].", &[1, 2, 3]);
}

#[test]
fn leading_zeros_do_not_count() {
    accepts("007, 8", &[7, 8]);
    accepts("0, 1", &[0, 1]);
    accepts(&format!("{}9", "0".repeat(40)), &[9]);
}

#[test]
fn values_beyond_the_largest_integer_are_still_numbers() {
    accepts(&"9".repeat(100), &[u64::MAX]);
}

#[test]
fn rejects_text_without_a_number() {
    for text in ["", ".", "[]", "one, two", "[", "()."] {
        rejects(text, Rejection::NoNumber);
    }
    // Bengali, Arabic-Indic, superscript: digits of other scripts are none.
    for text in ["১", "٣, ٤", "²"] {
        rejects(text, Rejection::NoNumber);
    }
}

#[test]
fn trims_nothing() {
    rejects(" 1, 2", Rejection::NotDigits);
    rejects("1, 2 ", Rejection::NotDigits);
    rejects("1, 2\n", Rejection::NotDigits);
    rejects("\n1, 2", Rejection::NotDigits);
    rejects("[ 1, 2 ]", Rejection::NotDigits);
    rejects(" 1", Rejection::TextBesideNumber);
    rejects("1 ", Rejection::TextBesideNumber);
    rejects("1 2 ", Rejection::EmptyPiece);
}

#[test]
fn rejects_dangling_and_doubled_separators() {
    rejects("1, 2, 3,", Rejection::NotDigits);
    rejects("1; 2; 3;", Rejection::NotDigits);
    rejects("1, 2, ", Rejection::EmptyPiece);
    rejects("1,2,,3", Rejection::EmptyPiece);
    rejects(",1,2", Rejection::EmptyPiece);
    rejects("1 2  3", Rejection::EmptyPiece);
}

#[test]
fn rejects_mixed_separators() {
    rejects("1  2 3", Rejection::NotDigits);
    rejects("1, 2,3", Rejection::NotDigits);
    rejects("1, 2; 3", Rejection::NotDigits);
}

#[test]
fn rejects_brackets_that_do_not_match() {
    rejects("[1, 2, 3)", Rejection::NotDigits);
    rejects("(1, 2", Rejection::NotDigits);
    rejects("[[1, 2]]", Rejection::NotDigits);
    rejects("{1, 2}", Rejection::NotDigits);
    rejects("{1}", Rejection::TextBesideNumber);
    rejects("[1.]", Rejection::TextBesideNumber);
}

#[test]
fn rejects_other_signs_between_numbers() {
    for text in ["1|2", "1/2", "1-2", "1.5, 2", "1. 2. 3", "1,,2", "1 and 2"] {
        rejects(text, Rejection::Separator);
    }
    rejects("-1, 2", Rejection::NotDigits);
    rejects("1..", Rejection::TextBesideNumber);
    rejects("1, 2..", Rejection::NotDigits);
}

#[test]
fn rejects_letters_and_foreign_digits_among_numbers() {
    rejects("1, 2, three", Rejection::NotDigits);
    rejects("Sure: 1, 2", Rejection::NotDigits);
    rejects("1, ২", Rejection::TextBesideNumber);
    rejects("1, 2, ২", Rejection::NotDigits);
}

#[derive(Deserialize)]
struct Golden {
    cases: Vec<(String, Option<Vec<u64>>)>,
    spaces: Vec<u32>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../tests/golden/filter.json"))
        .expect("the golden file has the fields of the script")
}

#[test]
fn accepts_what_a_second_implementation_accepts() {
    let cases = golden().cases;
    let accepted = cases.iter().filter(|(_, numbers)| numbers.is_some());
    assert!(accepted.count() > 100 && cases.len() > 400);
    for (text, numbers) in cases {
        let found = parse(&text).ok().map(|parsed| parsed.numbers());
        assert_eq!(found, numbers, "{text:?}");
    }
}

#[test]
fn white_space_is_pythons() {
    let expected = golden().spaces;
    let found =
        (0..=u32::from(char::MAX)).filter(|&code| char::from_u32(code).is_some_and(is_space));
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

fn wraps() -> impl Strategy<Value = Wrap> {
    prop_oneof![Just(Wrap::None), Just(Wrap::Square), Just(Wrap::Round)]
}

fn separators() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[ \n\t]{1,2}|[ \n\t]{0,2}[,;][ \n\t]{0,2}")
        .expect("a regular expression")
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        numbers in prop::collection::vec(0_u64..2000, 2..15),
        separator in separators(),
        wrap in wraps(),
        full_stop: bool,
    ) {
        let layout = Layout { wrap, separator: Some(&separator), full_stop };
        let pieces: Vec<String> = numbers.iter().map(u64::to_string).collect();
        let text = layout.write(&pieces);
        let parsed = parse(&text);
        prop_assert!(parsed.is_ok(), "{text:?}");
        let parsed = parsed.expect("just checked");
        prop_assert_eq!(parsed.layout, layout);
        prop_assert_eq!(parsed.numbers(), numbers);
    }

    #[test]
    fn whatever_is_accepted_is_written_again_byte_for_byte(text in "[0-9,; \n.()\\[\\]]{0,24}") {
        if let Ok(parsed) = parse(&text) {
            prop_assert!(!parsed.pieces.is_empty());
            prop_assert_eq!(parsed.write(), text);
        }
    }

    #[test]
    fn any_text_is_parsed_or_rejected_for_its_format(text in "\\PC*|(?s).{0,40}|[0-9১², \u{1c}\u{85}\u{a0}]{0,20}") {
        match parse(&text) {
            Ok(parsed) => prop_assert_eq!(parsed.write(), text),
            Err(reason) => prop_assert!(reason.is_format()),
        }
    }
}
