//! The generator against NumPy: `tests/golden/numpy-pcg64.json`, written by `scripts/golden/numpy_pcg64.py`.

use serde::Deserialize;

use super::Pcg64;

#[derive(Deserialize)]
struct Golden {
    words: Vec<Words>,
    integers: Vec<Integers>,
}

/// The first words of a seed.
#[derive(Deserialize)]
struct Words {
    seed: u64,
    /// In decimal: JSON numbers of this size are not safe everywhere.
    words: Vec<String>,
}

/// Draws from ranges, one after the other, of one generator.
#[derive(Deserialize)]
struct Integers {
    seed: u64,
    /// `[low, high, drawn]`, in decimal.
    draws: Vec<[String; 3]>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../tests/golden/numpy-pcg64.json"))
        .expect("the golden file has the fields of the script")
}

fn number(text: &str) -> u64 {
    text.parse().expect("a decimal number")
}

#[test]
fn words_are_numpys() {
    let rows = golden().words;
    assert!(!rows.is_empty());
    for row in rows {
        let mut generator = Pcg64::new(row.seed);
        for (at, word) in row.words.iter().enumerate() {
            assert_eq!(
                generator.next_u64(),
                number(word),
                "seed {} word {at}",
                row.seed
            );
        }
    }
}

#[test]
fn integers_are_numpys_in_mixed_ranges() {
    let rows = golden().integers;
    assert!(!rows.is_empty());
    for row in rows {
        let mut generator = Pcg64::new(row.seed);
        for (at, [low, high, drawn]) in row.draws.iter().enumerate() {
            assert_eq!(
                generator.integers(number(low), number(high)),
                number(drawn),
                "seed {} draw {at} from {low}..{high}",
                row.seed
            );
        }
    }
}

#[test]
fn a_half_word_waits_while_whole_words_are_drawn() {
    let mut plain = Pcg64::new(42);
    let (first, second) = (plain.next_u64(), plain.next_u64());
    let mut mixed = Pcg64::new(42);
    assert_eq!(mixed.next_u32(), first as u32);
    assert_eq!(mixed.next_u64(), second);
    assert_eq!(mixed.next_u32(), (first >> 32) as u32);
}

#[test]
fn one_value_costs_no_draw() {
    let mut generator = Pcg64::new(7);
    assert_eq!(generator.integers(5, 6), 5);
    assert_eq!(generator.next_u64(), Pcg64::new(7).next_u64());
}
