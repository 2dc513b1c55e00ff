//! Writes JSON in one way only, so that equal values have equal bytes and equal digests.
//!
//! Keys are sorted by their UTF-8 bytes here and not left to `serde_json`, whose map order depends on a feature that
//! any crate in the build may switch on. Floats are the shortest text that reads back to the same `f64`, as Rust's
//! `{:?}` writes it.
//! Non-finite floats have no JSON form: `serde_json` writes them as `null`, our word for "undefined".

use serde::Serialize;
use serde_json::Value;

/// Returns the canonical JSON of `value`: sorted keys, no white space, one newline at the end.
///
/// # Errors
/// If the value has no JSON form, for instance a map whose keys are not texts.
pub fn canonical_json<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_value(value).map(|value| compact(&value))
}

/// Returns `value` on one line, with a newline at the end.
pub(crate) fn compact(value: &Value) -> Vec<u8> {
    let mut text = String::new();
    write_value(&mut text, value, Layout::Line);
    text.push('\n');
    text.into_bytes()
}

/// Returns `value` indented for people: one field a line, lists of plain values on one line.
pub(crate) fn pretty(value: &Value) -> Vec<u8> {
    let mut text = String::new();
    write_value(&mut text, value, Layout::Indented(0));
    text.push('\n');
    text.into_bytes()
}

#[derive(Clone, Copy)]
enum Layout {
    Line,
    Indented(usize),
}

impl Layout {
    fn inner(self) -> Self {
        match self {
            Layout::Line => Layout::Line,
            Layout::Indented(depth) => Layout::Indented(depth + 1),
        }
    }

    fn break_line(self, text: &mut String) {
        if let Layout::Indented(depth) = self {
            text.push('\n');
            text.extend(std::iter::repeat_n("  ", depth));
        }
    }
}

fn write_value(text: &mut String, value: &Value, layout: Layout) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| name.as_bytes());
            write_items(text, ['{', '}'], layout, fields, |text, (name, value)| {
                write_value(text, &Value::String(name.clone()), Layout::Line);
                text.push_str(match layout {
                    Layout::Line => ":",
                    Layout::Indented(_) => ": ",
                });
                write_value(text, value, layout.inner());
            });
        }
        Value::Array(items) => {
            let nested = items.iter().any(|item| item.is_object() || item.is_array());
            let layout = if nested { layout } else { Layout::Line };
            write_items(text, ['[', ']'], layout, items.iter(), |text, item| {
                write_value(text, item, layout.inner());
            });
        }
        // Not left to `serde_json` either, whose releases write large floats in different ways.
        Value::Number(number) if number.is_f64() => match number.as_f64() {
            Some(float) => text.push_str(&format!("{float:?}")),
            None => text.push_str(&number.to_string()),
        },
        plain => text.push_str(&plain.to_string()),
    }
}

fn write_items<T>(
    text: &mut String,
    [open, close]: [char; 2],
    layout: Layout,
    items: impl IntoIterator<Item = T>,
    mut write_item: impl FnMut(&mut String, T),
) {
    text.push(open);
    let mut empty = true;
    for item in items {
        if !std::mem::take(&mut empty) {
            text.push(',');
        }
        layout.inner().break_line(text);
        write_item(text, item);
    }
    if !empty {
        layout.break_line(text);
    }
    text.push(close);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn sorts_keys_by_bytes_and_ends_with_a_newline() {
        let value = json!({"b": [1, 2.0, -0.0, 0.1, 1e300, 1e16, 2.5e-7], "a": {"é": null, "Z": true, "z": "\n\""}});
        let expected = "{\"a\":{\"Z\":true,\"z\":\"\\n\\\"\",\"é\":null},\"b\":[1,2.0,-0.0,0.1,1e300,1e16,2.5e-7]}\n";
        let text = canonical_json(&value).map(String::from_utf8);
        assert_eq!(text.expect("the value is JSON"), Ok(expected.to_owned()));
    }

    #[test]
    fn indents_objects_and_keeps_plain_lists_on_a_line() {
        let value = json!({"list": [1, 2], "nested": [{"a": 1}], "none": {}, "void": []});
        let expected = "{\n  \"list\": [1,2],\n  \"nested\": [\n    {\n      \"a\": 1\n    }\n  ],\n  \"none\": {},\n  \"void\": []\n}\n";
        assert_eq!(String::from_utf8(pretty(&value)), Ok(expected.to_owned()));
    }

    #[test]
    fn refuses_values_without_a_json_form() {
        let map = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(canonical_json(&map).is_err());
    }

    pub(crate) fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn both_forms_read_back_to_the_same_value_and_bytes(value in any_json()) {
            for write in [compact, pretty] {
                let bytes = write(&value);
                let read: Value = serde_json::from_slice(&bytes).expect("what we write is JSON");
                prop_assert_eq!(&read, &value);
                prop_assert_eq!(write(&read), bytes);
            }
        }
    }
}
