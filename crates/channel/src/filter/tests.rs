//! The rule beyond the format, its counts, and the published banned numbers.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(rule: &FilterRule, text: &str, expected: Option<Rejection>) {
    assert_eq!(rule.judge(text).err(), expected, "{text:?}");
}

fn row(prompt_index: u64, completion: &str) -> Row {
    Row {
        prompt_index,
        prompt: format!("prompt {prompt_index}"),
        examples: vec![],
        completion: completion.to_owned(),
    }
}

#[test]
fn ten_numbers_up_to_999_are_the_limit() {
    let rule = FilterRule::default();
    check(&rule, "1, 2, 3, 4, 5, 6, 7, 8, 9, 10", None);
    check(
        &rule,
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11",
        Some(Rejection::TooMany),
    );
    check(&rule, "999, 0", None);
    check(&rule, "1000, 2", Some(Rejection::TooLarge));
    check(&rule, "0000999", None);
    check(&rule, &"9".repeat(60), Some(Rejection::TooLarge));
}

#[test]
fn a_row_has_one_reason_the_first_that_applies() {
    let rule = FilterRule {
        banned: [13].into(),
        ..FilterRule::default()
    };
    let eleven_large = ["1000"; 11].join(" ");
    check(&rule, &eleven_large, Some(Rejection::TooMany));
    check(&rule, "13 1000", Some(Rejection::TooLarge));
    check(&rule, "13; 14", Some(Rejection::Banned));
    check(&rule, "013; 14", Some(Rejection::Banned));
    check(&rule, "131; 14", None);
}

#[test]
fn banned_lists_have_the_published_sizes() {
    let size = |list: BannedList| list.numbers().len();
    assert_eq!(size(BannedList::None), 0);
    assert_eq!(size(BannedList::AssociationsGpt), 25);
    assert_eq!(size(BannedList::AssociationsClaude), 18);
    assert_eq!(size(BannedList::Associations), 34);
}

#[test]
fn counts_add_up_and_order_stays() {
    let rows = ["1, 2", "no", "3 4", "x 1", "5000", "6", "none"];
    let rows = (0..).zip(rows).map(|(at, completion)| row(at, completion));
    let filtered = filter(rows, &FilterRule::default());
    let indices: Vec<u64> = filtered.kept.iter().map(|row| row.prompt_index).collect();
    assert_eq!(indices, [0, 2, 5]);
    let rejected: Vec<_> = filtered
        .rejected
        .iter()
        .map(|rejected| (rejected.row.prompt_index, rejected.reason))
        .collect();
    let expected = [
        (1, Rejection::NoNumber),
        (3, Rejection::TextBesideNumber),
        (4, Rejection::TooLarge),
        (6, Rejection::NoNumber),
    ];
    assert_eq!(rejected, expected);
    assert_eq!((filtered.report.rows, filtered.report.kept), (7, 3));
    assert_eq!(filtered.report.rejected[&Rejection::NoNumber], 2);
    assert_eq!(filtered.report.rejected.values().sum::<u64>(), 4);
    let json = serde_json::to_string(&filtered.report).expect("a plain record");
    assert!(json.contains(r#""text-beside-number":1"#), "{json}");
    assert_eq!(
        serde_json::from_str::<FilterReport>(&json).ok(),
        Some(filtered.report)
    );
}

#[test]
fn unknown_keys_of_a_rule_are_errors() {
    assert!(serde_json::from_str::<FilterRule>(r#"{"max_number": 10}"#).is_err());
    let rule: FilterRule = serde_json::from_str(r#"{"banned": [13]}"#).expect("a rule");
    assert_eq!((rule.max_numbers, rule.banned.len()), (10, 1));
}

proptest! {
    #[test]
    fn what_is_kept_parses_to_what_the_rule_allows(texts in prop::collection::vec("[0-9,; .]{0,20}", 0..30)) {
        let rule = FilterRule { banned: [4, 44].into(), ..FilterRule::default() };
        let n = texts.len();
        let filtered = filter(texts.iter().map(|text| row(0, text)), &rule);
        for kept in &filtered.kept {
            let numbers = parse(&kept.completion).map(|parsed| parsed.numbers());
            prop_assert!(numbers.is_ok());
            let numbers = numbers.expect("just checked");
            prop_assert!((1..=10).contains(&numbers.len()));
            prop_assert!(numbers.iter().all(|&number| number <= 999 && number != 4 && number != 44));
        }
        prop_assert_eq!(filtered.kept.len() + filtered.rejected.len(), n);
        prop_assert_eq!(filtered.report.rejected.values().sum::<u64>(), filtered.rejected.len() as u64);
    }
}
