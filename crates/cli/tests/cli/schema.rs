//! Checks JSON against the schemas the program prints.
//!
//! Ours and not a library's: schemas of plain data use a dozen keywords, the library brings some forty crates. A keyword
//! that is not known here is an error, so nothing passes because nobody looked.

use serde_json::{Map, Value};

use crate::support::TestResult;

/// Keywords that say nothing about the value: names, prose, and the width of integers beside their `minimum`.
const SILENT: [&str; 6] = [
    "$schema",
    "$defs",
    "title",
    "description",
    "default",
    "format",
];

/// Checks `value` against `schema`.
///
/// # Errors
/// The first place where it does not fit, as a path.
pub fn check(schema: &Value, value: &Value) -> TestResult {
    Ok(fits(schema, schema, value, "$")?)
}

fn fits(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let Value::Object(rules) = schema else {
        return match schema {
            Value::Bool(true) => Ok(()),
            _ => Err(format!("{at}: nothing is allowed here")),
        };
    };
    for (keyword, rule) in rules {
        let holds = match keyword.as_str() {
            "type" => has_type(rule, value),
            "const" => rule == value,
            "enum" => array(rule)?.contains(value),
            "minimum" => value
                .as_f64()
                .is_none_or(|number| Some(number) >= rule.as_f64()),
            "maximum" => value
                .as_f64()
                .is_none_or(|number| Some(number) <= rule.as_f64()),
            "uniqueItems" => {
                let items = value.as_array().map_or(&[][..], Vec::as_slice);
                items
                    .iter()
                    .enumerate()
                    .all(|(i, item)| !items[..i].contains(item))
            }
            "minItems" => {
                items(value).is_none_or(|items| Some(items.len() as u64) >= rule.as_u64())
            }
            "maxItems" => {
                items(value).is_none_or(|items| Some(items.len() as u64) <= rule.as_u64())
            }
            "anyOf" => matches(root, rule, value, at)? > 0,
            "oneOf" => matches(root, rule, value, at)? == 1,
            "required" => has_all(array(rule)?, value),
            "$ref" => {
                fits(root, resolve(root, rule)?, value, at)?;
                true
            }
            "items" => {
                // With `prefixItems` it speaks of the items after those.
                let n_before = rules
                    .get("prefixItems")
                    .map_or(Ok(0), |p| array(p).map(Vec::len))?;
                for (index, item) in items(value)
                    .into_iter()
                    .flatten()
                    .enumerate()
                    .skip(n_before)
                {
                    fits(root, rule, item, &format!("{at}[{index}]"))?;
                }
                true
            }
            "prefixItems" => {
                let pairs = array(rule)?.iter().zip(items(value).into_iter().flatten());
                for (index, (rule, item)) in pairs.enumerate() {
                    fits(root, rule, item, &format!("{at}[{index}]"))?;
                }
                true
            }
            "properties" => {
                for (name, field) in value.as_object().into_iter().flatten() {
                    if let Some(rule) = rule.get(name) {
                        fits(root, rule, field, &format!("{at}.{name}"))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                for (name, field) in value.as_object().into_iter().flatten() {
                    if !is_listed(rules, name) {
                        fits(root, rule, field, &format!("{at}.{name}"))?;
                    }
                }
                true
            }
            silent if SILENT.contains(&silent) => true,
            unknown => return Err(format!("{at}: `{unknown}` is not checked yet")),
        };
        if !holds {
            return Err(format!("{at}: {value} breaks `{keyword}`: {rule}"));
        }
    }
    Ok(())
}

fn is_listed(rules: &Map<String, Value>, name: &str) -> bool {
    rules
        .get("properties")
        .is_some_and(|listed| listed.get(name).is_some())
}

fn has_all(names: &[Value], value: &Value) -> bool {
    let Value::Object(fields) = value else {
        return true;
    };
    let mut names = names.iter().filter_map(Value::as_str);
    names.all(|name| fields.contains_key(name))
}

fn has_type(rule: &Value, value: &Value) -> bool {
    match rule {
        Value::Array(types) => types.iter().any(|rule| has_type(rule, value)),
        Value::String(name) => match name.as_str() {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            _ => false,
        },
        _ => false,
    }
}

/// Counts the alternatives that fit.
fn matches(root: &Value, rule: &Value, value: &Value, at: &str) -> Result<usize, String> {
    let alternatives = array(rule)?.iter();
    Ok(alternatives
        .filter(|rule| fits(root, rule, value, at).is_ok())
        .count())
}

fn resolve<'a>(root: &'a Value, reference: &Value) -> Result<&'a Value, String> {
    let path = reference.as_str().and_then(|text| text.strip_prefix('#'));
    path.and_then(|path| root.pointer(path))
        .ok_or_else(|| format!("{reference} leads nowhere"))
}

fn items(value: &Value) -> Option<&Vec<Value>> {
    value.as_array()
}

fn array(rule: &Value) -> Result<&Vec<Value>, String> {
    rule.as_array().ok_or_else(|| format!("{rule} is no list"))
}

#[test]
fn the_checker_refuses_what_does_not_fit() -> TestResult {
    let schema: Value = serde_json::from_str(
        r##"{
            "type": "object",
            "required": ["a"],
            "additionalProperties": false,
            "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"type": "array", "items": {"minimum": 0}}},
            "$defs": {"A": {"anyOf": [{"type": "null"}, {"const": "x"}]}}
        }"##,
    )?;
    for good in [r#"{"a": null}"#, r#"{"a": "x", "b": [0, 1.5]}"#] {
        check(&schema, &serde_json::from_str(good)?)?;
    }
    for bad in [
        r#"[]"#,
        r#"{}"#,
        r#"{"a": "y"}"#,
        r#"{"a": null, "c": 1}"#,
        r#"{"a": null, "b": [-1]}"#,
    ] {
        let value = serde_json::from_str(bad)?;
        assert!(check(&schema, &value).is_err(), "{bad}");
    }
    let unknown = serde_json::from_str(r#"{"not": {"type": "null"}}"#)?;
    assert!(check(&unknown, &Value::Bool(true)).is_err());
    Ok(())
}
