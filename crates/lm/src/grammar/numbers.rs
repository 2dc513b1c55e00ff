//! The pattern of lists of numbers, the channel of the number experiments.

use std::ops::RangeInclusive;

/// Returns a pattern for as many whole numbers as `count` says, with `separator` between them.
///
/// Numbers have 1 to `max_digits` digits and no leading zeros: `numbers_pattern(10..=10, 3, ", ")` is ten numbers from 0
/// to 999. `separator` stands for itself, whatever signs it has.
///
/// # Panics
/// If `count` is empty or begins with 0, or `max_digits` is 0.
pub fn numbers_pattern(count: RangeInclusive<u32>, max_digits: u32, separator: &str) -> String {
    let (least, most) = (*count.start(), *count.end());
    assert!(
        least >= 1 && least <= most,
        "a range of at least one number"
    );
    assert!(max_digits >= 1, "a number has a digit");
    let number = match max_digits {
        1 => "[0-9]".to_owned(),
        2 => "0|[1-9][0-9]?".to_owned(),
        _ => format!("0|[1-9][0-9]{{0,{}}}", max_digits - 1),
    };
    let repeats = if least == most {
        format!("{{{}}}", most - 1)
    } else {
        format!("{{{},{}}}", least - 1, most - 1)
    };
    format!(
        "(?:{number})(?:{}(?:{number})){repeats}",
        escaped(separator)
    )
}

/// Returns a pattern for `text` itself.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}
