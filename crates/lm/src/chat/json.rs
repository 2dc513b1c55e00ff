//! The filter `tojson`, writing what Python's `json.dumps` writes.

use std::fmt::Write;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

/// Deepest nesting that is written.
const MAX_DEPTH: usize = 64;

/// Writes `value` as JSON, without escapes for HTML or beyond ASCII; `indent` puts every element on a line.
pub(super) fn tojson(state: &State, value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    if options.get::<Option<bool>>("ensure_ascii")? == Some(true) {
        return Err(refused("tojson does not escape beyond ASCII"));
    }
    options.assert_all_used()?;
    let mut writer = Writer {
        state,
        indent,
        out: String::new(),
    };
    writer.value(value, 0)?;
    Ok(Value::from(writer.out))
}

fn refused(detail: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail)
}

struct Writer<'s, 'template, 'env> {
    state: &'s State<'template, 'env>,
    indent: Option<usize>,
    out: String,
}

impl Writer<'_, '_, '_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        // Paid for as it grows: a small value may contain itself a million times over.
        self.state.consume_fuel(1)?;
        if depth > MAX_DEPTH {
            return Err(refused("tojson of a value nested too deep"));
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self
                .out
                .push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.display(value),
            ValueKind::String => self.string(value.as_str().unwrap_or_default())?,
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter()?;
                self.items(('[', ']'), items, depth, |writer, item| {
                    writer.value(&item, depth + 1)
                })?;
            }
            ValueKind::Map => {
                let keys = value.try_iter()?;
                self.items(('{', '}'), keys, depth, |writer, key| {
                    writer.string(&key.to_string())?;
                    writer.out.push_str(": ");
                    writer.value(&value.get_item(&key)?, depth + 1)
                })?;
            }
            _ => return Err(refused("tojson of a value that JSON cannot express")),
        }
        Ok(())
    }

    fn items(
        &mut self,
        (open, close): (char, char),
        items: impl Iterator<Item = Value>,
        depth: usize,
        mut write: impl FnMut(&mut Self, Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(open);
        let mut is_empty = true;
        for item in items {
            match (is_empty, self.indent) {
                (true, None) => {}
                (false, None) => self.out.push_str(", "),
                (true, Some(_)) => self.new_line(depth + 1)?,
                (false, Some(_)) => {
                    self.out.push(',');
                    self.new_line(depth + 1)?;
                }
            }
            is_empty = false;
            write(self, item)?;
        }
        if self.indent.is_some() && !is_empty {
            self.new_line(depth)?;
        }
        self.out.push(close);
        Ok(())
    }

    fn new_line(&mut self, depth: usize) -> Result<(), Error> {
        let spaces = self.indent.unwrap_or(0).saturating_mul(depth);
        self.state.consume_fuel(spaces as u64 / 64)?;
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', spaces));
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<(), Error> {
        self.state.consume_fuel(text.len() as u64 / 64)?;
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if c < ' ' => self.display(format_args!("\\u{:04x}", u32::from(c))),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
        Ok(())
    }

    fn display(&mut self, value: impl std::fmt::Display) {
        write!(self.out, "{value}").expect("a string takes all text");
    }
}
