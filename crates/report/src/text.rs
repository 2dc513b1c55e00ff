//! Text as every output needs it: cleaned, escaped, measured, wrapped; and numbers as words.
//!
//! Names come from people and files, so they are treated as hostile: what could start markup, move a cursor or reverse
//! the reading direction never reaches an output as it is.

use std::borrow::Cow;

/// Replaces control characters and direction overrides by U+FFFD, and line breaks and tabs by spaces.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let replace = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if is_unsafe(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    Cow::Owned(text.chars().map(replace).collect())
}

/// Control characters, characters that reorder what surrounds them, and code points that XML forbids.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// Cleans `text` and escapes it for element content and quoted attributes of HTML and XML.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Estimates the width of `text` in a sans-serif font, in the unit of `font_size`.
///
/// The reader's font is unknown, so this is an upper estimate from classes of characters; it reserves room and decides
/// line breaks.
pub(crate) fn width(text: &str, font_size: f64) -> f64 {
    let em = |c: char| match c {
        'i' | 'l' | 'j' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | 'I' => 0.29,
        'f' | 't' | 'r' | '(' | ')' | '[' | ']' | ' ' | '-' | '/' => 0.37,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.90,
        'A'..='Z' => 0.69,
        '0'..='9' => 0.62,
        c if c.is_ascii() => 0.58,
        c if u32::from(c) < 0x1100 => 0.62,
        '\u{2000}'..='\u{2bff}' => 0.75,
        _ => 1.05,
    };
    text.chars().map(em).sum::<f64>() * font_size
}

/// Breaks `text` into lines of at most `room` (see [`width`]), at spaces where there are any.
///
/// Gives at least one line. A word longer than a line is broken inside.
pub(crate) fn wrap(text: &str, font_size: f64, room: f64) -> Vec<String> {
    wrap_by(text, |line| width(line, font_size) <= room)
}

/// Breaks `text` into lines for which `fits` holds; a single character always counts as fitting.
pub(crate) fn wrap_by(text: &str, fits: impl Fn(&str) -> bool) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let joined = if line.is_empty() {
            word.to_owned()
        } else {
            format!("{line} {word}")
        };
        if fits(&joined) {
            line = joined;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for c in word.chars() {
            line.push(c);
            if !fits(&line) && line.chars().count() > 1 {
                line.pop();
                lines.push(std::mem::replace(&mut line, c.to_string()));
            }
        }
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// Returns how many decimals show about three significant digits on an axis that spans `span`.
pub(crate) fn decimals(span: f64) -> usize {
    // Values are finite and the clamp keeps the cast exact.
    if span > 0.0 {
        (3.0 - span.log10().ceil()).clamp(0.0, 9.0) as usize
    } else {
        3
    }
}

/// Writes `value` with `decimals` digits after the point and a real minus sign.
pub(crate) fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    // Rounding can leave "-0.000", which reads as a sign where there is none.
    match text.strip_prefix('-') {
        Some(digits) if digits.chars().all(|c| matches!(c, '0' | '.')) => digits.to_owned(),
        Some(digits) => format!("\u{2212}{digits}"),
        None => text,
    }
}

/// Writes a value of a swept setting in its shortest form.
pub(crate) fn short_number(value: f64) -> String {
    let size = value.abs();
    let text = if size != 0.0 && !(1e-4..1e6).contains(&size) {
        format!("{value:e}")
    } else {
        format!("{value}")
    };
    text.replace('-', "\u{2212}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_cleaned_and_escaped() {
        assert_eq!(clean("a\nb\tc"), "a b c");
        assert_eq!(
            clean("\u{1b}[31m\u{202e}x\0"),
            "\u{fffd}[31m\u{fffd}x\u{fffd}"
        );
        assert_eq!(escape("<b a='\"'>&"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;");
        assert!(matches!(clean("σ ≥ 0.2, Größe"), Cow::Borrowed(_)));
    }

    #[track_caller]
    fn check_wrap(text: &str, room_chars: usize, expected: &[&str]) {
        let lines = wrap_by(text, |line| line.chars().count() <= room_chars);
        assert_eq!(lines, expected);
    }

    #[test]
    fn wrapping_keeps_words_and_breaks_only_long_ones() {
        check_wrap("one two three", 7, &["one two", "three"]);
        check_wrap("abcdefgh", 3, &["abc", "def", "gh"]);
        check_wrap("to abcdefgh", 4, &["to", "abcd", "efgh"]);
        check_wrap("", 4, &[""]);
        check_wrap("ab", 0, &["a", "b"]);
    }

    #[test]
    fn numbers_follow_the_span_and_never_show_minus_zero() {
        assert_eq!(decimals(1.0), 3);
        assert_eq!(decimals(100.0), 1);
        assert_eq!(decimals(0.01), 5);
        assert_eq!(decimals(0.0), 3);
        assert_eq!(number(-0.0001, 3), "0.000");
        assert_eq!(number(-0.25, 2), "\u{2212}0.25");
        assert_eq!(short_number(50.0), "50");
        assert_eq!(short_number(0.2), "0.2");
        assert_eq!(short_number(3e-5), "3e\u{2212}5");
    }
}
