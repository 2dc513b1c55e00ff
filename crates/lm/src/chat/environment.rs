//! What a template runs in.
//!
//! As in `transformers`: blocks swallow the line break after them and the spaces before them; `messages`,
//! `add_generation_prompt`, `tools` and `documents` (none), `bos_token` and its like; `raise_exception`, `tojson`,
//! `strftime_now`; `break` and `continue`; methods of Python's strings and dictionaries; `{% generation %}`, which marks
//! text and changes nothing.
//!
//! A template cannot open files or load other templates. Its work, and the text it may make, are limited by a budget that
//! grows with the conversation. It runs on a thread with a stack that no nesting within the budget exhausts, and its panics
//! are caught. Not stopped: a template that compares or joins lists which contain themselves many times
//! over.

use std::borrow::Cow;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Output, State, Value, escape_formatter};
use minijinja_contrib::pycompat;

use super::{ChatTemplateError, Message, RenderOptions, TemplateTokens, json};

/// Stack of the thread; memory is taken only as it is used.
const STACK_BYTES: usize = 1 << 28;

const NAME: &str = "chat";

/// A compiled template.
#[derive(Debug)]
pub(super) struct Program(Environment<'static>);

/// What a run gives.
#[derive(Debug)]
pub(super) struct ProgramOutput {
    pub(super) text: String,
    pub(super) clock_used: bool,
}

/// What a run's functions have seen.
#[derive(Debug, Default)]
struct Seen {
    refusal: OnceLock<String>,
    clock_used: AtomicBool,
}

impl Program {
    pub(super) fn compile(source: &str) -> Result<Self, ChatTemplateError> {
        let mut environment = environment();
        let source = without_generation_marks(source).into_owned();
        on_a_thread(move || {
            let added = environment.add_template_owned(NAME, source);
            added.map_err(ChatTemplateError::Template)?;
            Ok(Self(environment))
        })
    }

    pub(super) fn run(
        &self,
        messages: &[Message],
        options: &RenderOptions,
        tokens: &TemplateTokens,
    ) -> Result<ProgramOutput, ChatTemplateError> {
        let fuel = fuel(messages);
        let seen = Arc::new(Seen::default());
        let rendered = on_a_thread(|| {
            let mut environment = self.0.clone();
            environment.set_fuel(Some(fuel));
            let template = environment.get_template(NAME);
            let template = template.map_err(ChatTemplateError::Template)?;
            let rendered = template.render(context(messages, options, tokens, &seen));
            rendered.map_err(|error| error_of(error, &seen, fuel))
        })?;
        Ok(ProgramOutput {
            text: rendered,
            clock_used: seen.clock_used.load(Ordering::Relaxed),
        })
    }
}

/// Steps that rendering may take; one pays for 64 bytes of text. Real templates take about a hundred a message.
fn fuel(messages: &[Message]) -> u64 {
    let bytes: usize = messages.iter().map(|m| m.content.len()).sum();
    let steps = 50_000 + 2_000 * messages.len() as u64 + bytes as u64;
    // Beyond, nesting that the budget allows might not fit the stack.
    steps.min(500_000)
}

thread_local! {
    /// Whether this thread has a large stack.
    static IS_ROOMY: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` with a large stack, and outlives its panics.
fn on_a_thread<T: Send>(
    work: impl FnOnce() -> Result<T, ChatTemplateError> + Send,
) -> Result<T, ChatTemplateError> {
    let outlived =
        || catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(ChatTemplateError::Crashed));
    if IS_ROOMY.get() {
        return outlived();
    }
    with_one_thread(outlived)?
}

/// Does `work` on a thread with a large stack, where templates need none of their own.
pub(super) fn with_one_thread<T: Send>(
    work: impl FnOnce() -> T + Send,
) -> Result<T, ChatTemplateError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("chat-template".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || {
                IS_ROOMY.set(true);
                work()
            })
            .map_err(ChatTemplateError::Thread)?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

fn error_of(error: Error, seen: &Seen, fuel: u64) -> ChatTemplateError {
    if let Some(message) = seen.refusal.get() {
        return ChatTemplateError::Refused {
            message: message.clone(),
        };
    }
    match error.kind() {
        ErrorKind::OutOfFuel => ChatTemplateError::OverBudget { fuel },
        ErrorKind::UnknownFunction
            if error
                .detail()
                .is_some_and(|detail| detail.contains("strftime_now")) =>
        {
            ChatTemplateError::NeedsClock
        }
        _ => ChatTemplateError::Template(error),
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .expect("the usual delimiters"),
    );
    environment.set_unknown_method_callback(pycompat::unknown_method_callback);
    environment.set_formatter(print);
    environment.add_filter("tojson", json::tojson);
    environment
}

/// Prints as Python does.
fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None => out.write_str("None").map_err(Error::from),
        ValueKind::Bool => {
            let text = if value.is_true() { "True" } else { "False" };
            out.write_str(text).map_err(Error::from)
        }
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            charge(state, value, 0)?;
            escape_formatter(out, state, value)
        }
        _ => escape_formatter(out, state, value),
    }
}

/// Pays for printing a value that may contain itself many times over.
fn charge(state: &State, value: &Value, depth: usize) -> Result<(), Error> {
    state.consume_fuel(1)?;
    if depth > 64 {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "a value nested too deep",
        ));
    }
    if matches!(value.kind(), ValueKind::Seq | ValueKind::Map) {
        for item in value.try_iter()? {
            if value.kind() == ValueKind::Map {
                charge(state, &value.get_item(&item)?, depth + 1)?;
            }
            charge(state, &item, depth + 1)?;
        }
    }
    Ok(())
}

fn context(
    messages: &[Message],
    options: &RenderOptions,
    tokens: &TemplateTokens,
    seen: &Arc<Seen>,
) -> Value {
    let message = |message: &Message| {
        let pairs = [("role", &message.role), ("content", &message.content)];
        Value::from_pairs(pairs.map(|(key, text)| (key, Value::from(text.as_str()))))
    };
    let mut variables: Vec<(String, Value)> = Vec::new();
    let mut define = |name: &str, value: Value| variables.push((name.to_owned(), value));
    define("tools", Value::from(()));
    define("documents", Value::from(()));
    for (name, value) in &options.variables {
        define(name, value_of(value));
    }
    define("messages", messages.iter().map(message).collect());
    define(
        "add_generation_prompt",
        Value::from(options.add_generation_prompt),
    );
    let tokens = [
        ("bos_token", &tokens.bos),
        ("eos_token", &tokens.eos),
        ("pad_token", &tokens.pad),
        ("unk_token", &tokens.unk),
    ];
    for (name, token) in tokens {
        if let Some(token) = token {
            define(name, Value::from(token.as_str()));
        }
    }
    let observer = Arc::clone(seen);
    define(
        "raise_exception",
        Value::from_function(move |message: String| -> Result<Value, Error> {
            let error = Error::new(ErrorKind::InvalidOperation, message.clone());
            // The first is the one that ends the run.
            observer.refusal.get_or_init(|| message);
            Err(error)
        }),
    );
    if let Some(clock) = options.clock {
        let observer = Arc::clone(seen);
        define(
            "strftime_now",
            Value::from_function(move |format: String| {
                observer.clock_used.store(true, Ordering::Relaxed);
                clock.format(&format)
            }),
        );
    }
    Value::from_pairs(variables)
}

fn value_of(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(value) => Value::from(*value),
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::from(number),
            (None, Some(number)) => Value::from(number),
            (None, None) => Value::from(number.as_f64().expect("a number without a larger form")),
        },
        serde_json::Value::Array(items) => items.iter().map(value_of).collect(),
        serde_json::Value::Object(items) => Value::from_pairs(
            items
                .iter()
                .map(|(key, value)| (key.as_str(), value_of(value))),
        ),
    }
}

/// Replaces the marks around what an assistant said, which Jinja does not know, by a condition that holds.
fn without_generation_marks(source: &str) -> Cow<'_, str> {
    if !source.contains("generation") {
        return Cow::Borrowed(source);
    }
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, block) = rest.split_at(start);
        out.push_str(before);
        let end = block.find("%}").unwrap_or(block.len());
        let (inside, after) = block[2..].split_at(end - 2);
        let word = inside.trim_matches(['-', '+']).trim();
        let replacement = match word {
            "generation" => "if true",
            "endgeneration" => "endif",
            word => word,
        };
        out.push_str("{%");
        out.push_str(&inside.replacen(word, replacement, 1));
        rest = after;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_an_error_and_work_on_one_thread_goes_on_after_it() {
        let crash = || on_a_thread::<()>(|| panic!("as an interpreter might"));
        let thread = || std::thread::current().id();
        let on_one = with_one_thread(|| {
            let crashed = crash();
            let same = on_a_thread(|| Ok(thread())).expect("no crash") == thread();
            (crashed, same)
        });
        let (crashed, same) = on_one.expect("a thread");
        assert!(matches!(crashed, Err(ChatTemplateError::Crashed)));
        assert!(same);
        assert!(matches!(crash(), Err(ChatTemplateError::Crashed)));
        assert_ne!(on_a_thread(|| Ok(thread())).expect("no crash"), thread());
    }

    #[test]
    fn marks_of_generation_go_and_whitespace_control_stays() {
        let source = "a{%- generation -%} b {% endgeneration %}{% if generation %}c{% endif %}{% ";
        let expected = "a{%- if true -%} b {% endif %}{% if generation %}c{% endif %}{% ";
        assert_eq!(without_generation_marks(source), expected);
        assert_eq!(without_generation_marks("generation {%"), "generation {%");
        assert_eq!(
            without_generation_marks("{%generation%}{%%}"),
            "{%if true%}{%%}"
        );
    }
}
