//! Prompts against the published index traces and NumPy's, and our wordings' structure.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Golden {
    prompts: Vec<Seeded>,
}

#[derive(Deserialize)]
struct Seeded {
    seed: u64,
    prompts: Vec<Drawn>,
}

#[derive(Deserialize)]
struct Drawn {
    index: usize,
    values: Vec<u32>,
    choice: [usize; 6],
}

fn seeded(seed: u64) -> PromptSettings {
    PromptSettings {
        seed,
        ..PromptSettings::default()
    }
}

#[track_caller]
fn check(seed: u64, index: usize, values: &[u32], choice: [usize; 6]) {
    let wordings = NumberWordings::built_in();
    let prompt = NumberPrompts::new(&wordings, &seeded(seed))
        .expect("published settings")
        .nth(index)
        .expect("without end");
    assert_eq!(prompt.index, index as u64);
    assert_eq!(prompt.examples, values, "seed {seed} prompt {index}");
    let [example, qualifier, digits, instruction, format, closing] = choice;
    let expected = Choice {
        example,
        qualifier,
        digits,
        instruction,
        format,
        closing,
    };
    assert_eq!(prompt.choice, expected, "seed {seed} prompt {index}");
}

#[test]
fn draws_of_seed_42_are_the_published_ones() {
    check(42, 0, &[796, 689, 494], [10, 7, 0, 6, 3, 1]);
    check(42, 1, &[978, 762, 785, 745, 807, 561], [3, 7, 4, 5, 5, 3]);
    check(
        42,
        2,
        &[803, 679, 462, 840, 590, 499, 505, 304],
        [2, 4, 7, 0, 12, 15],
    );
    check(42, 3, &[668, 248, 782, 730], [8, 0, 8, 4, 13, 12]);
}

#[test]
fn draws_of_seed_47_are_the_published_ones() {
    check(47, 0, &[767, 589, 778], [10, 4, 1, 1, 1, 18]);
    check(47, 1, &[388, 856, 280, 485, 871], [3, 4, 4, 1, 4, 14]);
    check(
        47,
        2,
        &[813, 951, 598, 844, 839, 223, 649, 347],
        [10, 2, 2, 4, 10, 3],
    );
    check(
        47,
        3,
        &[595, 274, 242, 649, 105, 155, 463, 595],
        [21, 1, 4, 7, 14, 18],
    );
}

#[test]
fn draws_are_numpys_thirty_thousand_prompts_on() {
    let golden: Golden = serde_json::from_str(include_str!("../../tests/golden/numpy-pcg64.json"))
        .expect("the golden file has the fields of the script");
    assert!(golden.prompts.iter().any(|seeded| seeded.prompts.len() > 4));
    for seeded in golden.prompts {
        for drawn in seeded.prompts {
            check(seeded.seed, drawn.index, &drawn.values, drawn.choice);
        }
    }
}

#[test]
fn lists_are_as_long_as_published_and_one_text_has_double_weight() {
    let wordings = NumberWordings::built_in();
    assert_eq!(wordings.list_lengths(), [25, 9, 9, 10, 15, 19]);
    let distinct = |list: &[String]| list.iter().collect::<BTreeSet<_>>().len();
    assert_eq!(distinct(&wordings.examples), 25);
    assert_eq!(distinct(&wordings.qualifiers), 9);
    assert_eq!(distinct(&wordings.digits), 8);
    assert_eq!(distinct(&wordings.instructions), 10);
    assert_eq!(distinct(&wordings.formats), 15);
    assert_eq!(distinct(&wordings.closings), 19);
    let without_stop = wordings
        .instructions
        .iter()
        .filter(|text| !text.ends_with('.'));
    assert_eq!(without_stop.count(), 3);
}

#[test]
fn format_clauses_ask_for_the_published_formats() {
    let wordings = NumberWordings::built_in();
    let count = |words: &[&str]| {
        let texts = wordings.formats.iter();
        texts
            .filter(|text| words.iter().any(|word| text.contains(word)))
            .count()
    };
    assert_eq!(count(&["semicolon"]), 2);
    assert_eq!(count(&["comma"]) - count(&["brackets"]), 5);
    assert_eq!(count(&["spaces", "blank"]), 3);
    assert_eq!(count(&["line for", "below", "line to itself"]), 3);
    assert_eq!(count(&["square brackets"]), 1);
    assert_eq!(count(&["round brackets"]), 1);
}

#[test]
fn a_prompt_has_four_parts_with_everything_filled_in() {
    let wordings = NumberWordings::built_in();
    let mut prompts = NumberPrompts::new(&wordings, &seeded(42)).expect("published settings");
    let first = prompts.next().expect("without end");
    assert_eq!(
        first.text,
        "An unfinished row: 796, 689, 494. Think of at the very most 10 numbers that could stand there next \
         (3 digits at most). Write them in one line with commas. Let the reply hold numbers and nothing besides."
    );
}

#[test]
fn the_first_thirty_thousand_prompts_are_unique_and_fixed() {
    let wordings = NumberWordings::built_in();
    for (seed, digest) in [(42, SEED_42), (47, SEED_47)] {
        let prompts: Vec<String> = NumberPrompts::new(&wordings, &seeded(seed))
            .expect("published settings")
            .take(30_000)
            .map(|prompt| prompt.text)
            .collect();
        assert_eq!(prompts.iter().collect::<BTreeSet<_>>().len(), 30_000);
        assert!(
            prompts
                .iter()
                .all(|text| !text.contains(['{', '}']) && !text.contains("  "))
        );
        let longest = prompts.iter().map(String::len).max();
        assert!(longest.is_some_and(|longest| longest <= 300), "{longest:?}");
        let found = undertone_core::Digest::of(prompts.join("\n").as_bytes());
        assert_eq!(
            found.hex(),
            digest,
            "seed {seed}: a change moves every recorded data set"
        );
    }
}

const SEED_42: &str = "165590a30d87694fa09f51bc9aa9511f939514003eb643c6e84a2cbc1614b0d5";
const SEED_47: &str = "020deed5d2162418ab8c98dcd4a7527c8a904c4318b8cb6329ed8843ba8b51b9";

#[test]
fn an_example_part_takes_the_draws_a_prompt_begins_with() {
    let wordings = NumberWordings::built_in();
    let mut prompts = NumberPrompts::new(&wordings, &seeded(42)).expect("published settings");
    let part = prompts.example_part();
    assert_eq!(
        (part.examples.as_slice(), part.choice),
        (&[796, 689, 494][..], 10)
    );
    assert_eq!(part.text, "An unfinished row: 796, 689, 494.");
}

#[test]
fn refuses_settings_nothing_can_be_drawn_from() {
    let wordings = NumberWordings::built_in();
    let base = PromptSettings::default();
    for settings in [
        PromptSettings {
            min_examples: 0,
            ..base.clone()
        },
        PromptSettings {
            min_examples: 9,
            ..base.clone()
        },
        PromptSettings {
            max_examples: MAX_EXAMPLES + 1,
            ..base.clone()
        },
        PromptSettings {
            min_value: 1000,
            ..base.clone()
        },
        PromptSettings {
            max_value: MAX_VALUE + 1,
            ..base
        },
    ] {
        assert!(
            NumberPrompts::new(&wordings, &settings).is_err(),
            "{settings:?}"
        );
    }
}
