//! Chat templates: conversations to the one text that a model continues.
//!
//! A template is a Jinja program that came with the model, so that what a model is asked is what it was trained on. It is
//! also foreign code: it runs with a budget of work, on a stack of its own, sees nothing but what is handed to it, and
//! knows no time but a [`FrozenClock`]. [`Rendered::text`] is exactly what goes to the tokenizer, and
//! [`Rendered::system_line`] says whether the template put words into it that nobody wrote.
//!
//! What templates expect of their surroundings (Python's methods on strings, `raise_exception`, `tojson`, …) is that of
//! `transformers`; `environment` lists it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod clock;
mod environment;
mod json;
mod sources;
mod system_line;

pub use clock::{FrozenClock, ParseClockError};
pub use sources::{SelectTemplateError, gguf_chat_templates, select_template};
pub use system_line::SystemLine;

use environment::Program;

/// Longest template, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 1 << 17;

/// What one side of a conversation said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who: `system`, `user`, `assistant`, or what else a template knows.
    pub role: String,
    /// What.
    pub content: String,
}

impl Message {
    /// Returns the message of `role` that says `content`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
        }
    }
}

/// Texts of the tokens that templates may write; one that is absent is an undefined variable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateTokens {
    /// `bos_token`.
    pub bos: Option<String>,
    /// `eos_token`.
    pub eos: Option<String>,
    /// `pad_token`.
    pub pad: Option<String>,
    /// `unk_token`.
    pub unk: Option<String>,
}

/// How a conversation is rendered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RenderOptions {
    /// Whether the text ends with the beginning of the assistant's turn.
    pub add_generation_prompt: bool,
    /// The time that the template is told; without one, `strftime_now` is not defined.
    pub clock: Option<FrozenClock>,
    /// Other variables that the template knows, such as `enable_thinking`.
    pub variables: BTreeMap<String, serde_json::Value>,
}

/// A conversation as a template writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Exactly what is to be encoded, with [`SpecialTokens::Parse`](crate::tokenizer::SpecialTokens::Parse).
    pub text: String,
    /// The line that the template added in the system's place, if it did.
    pub system_line: SystemLine,
    /// Whether the text depends on the clock.
    pub clock_used: bool,
}

/// A chat template is of no use, or refuses a conversation.
#[derive(Debug, thiserror::Error)]
pub enum ChatTemplateError {
    /// The template is too long.
    #[error("the chat template has {bytes} bytes, at most {limit} are read")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The template is wrong, or does what cannot be done.
    #[error("the chat template fails")]
    Template(#[source] minijinja::Error),
    /// The template says that it does not take this conversation.
    #[error("the chat template refuses the conversation: {message}")]
    Refused {
        /// What it says.
        message: String,
    },
    /// The template asks for the time, and was given none.
    #[error("the chat template writes the date, and no frozen clock was given")]
    NeedsClock,
    /// The template works longer, or writes more, than any honest one.
    #[error("the chat template exceeds its budget of {fuel} steps")]
    OverBudget {
        /// The budget.
        fuel: u64,
    },
    /// The template made the interpreter fail.
    #[error("the chat template made its interpreter crash")]
    Crashed,
    /// There is no thread to run it on.
    #[error("no thread for the chat template")]
    Thread(#[source] std::io::Error),
}

/// Does `work`, which renders many conversations, on one thread with the stack that templates need.
///
/// Without it [`ChatTemplate::render`] starts a thread each time, which takes longer than the rendering.
///
/// # Errors
/// [`ChatTemplateError::Thread`].
///
/// # Panics
/// If `work` does.
pub fn rendering_many<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, ChatTemplateError> {
    environment::with_one_thread(work)
}

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    source: String,
    tokens: TemplateTokens,
    program: Program,
    /// What it adds in the system's place, by the options of the first conversation.
    added: OnceLock<(RenderOptions, SystemLine)>,
}

impl ChatTemplate {
    /// Compiles `source`.
    ///
    /// # Errors
    /// [`ChatTemplateError`] if it is too long, or no template.
    pub fn new(source: &str, tokens: TemplateTokens) -> Result<Self, ChatTemplateError> {
        if source.len() > MAX_TEMPLATE_BYTES {
            return Err(ChatTemplateError::TooLong {
                bytes: source.len(),
                limit: MAX_TEMPLATE_BYTES,
            });
        }
        Ok(Self {
            source: source.to_owned(),
            tokens,
            program: Program::compile(source)?,
            added: OnceLock::new(),
        })
    }

    /// Returns the template as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Renders a conversation.
    ///
    /// # Errors
    /// [`ChatTemplateError`] if the template refuses it, asks for a time that was not given, or goes wrong.
    pub fn render(
        &self,
        messages: &[Message],
        options: &RenderOptions,
    ) -> Result<Rendered, ChatTemplateError> {
        let output = self.program.run(messages, options, &self.tokens)?;
        // The same for every conversation, and as costly as one.
        let (probed, added) = self
            .added
            .get_or_init(|| (options.clone(), self.added_system_line(options)));
        let added = match probed == options {
            true => added.clone(),
            false => self.added_system_line(options),
        };
        Ok(Rendered {
            system_line: added.within(&output.text, messages),
            text: output.text,
            clock_used: output.clock_used,
        })
    }

    /// Returns the line that the template adds to a conversation without a system message.
    ///
    /// Found by rendering a conversation whose every word is known; see [`SystemLine`].
    pub fn added_system_line(&self, options: &RenderOptions) -> SystemLine {
        let options = RenderOptions {
            add_generation_prompt: false,
            ..options.clone()
        };
        match self
            .program
            .run(&system_line::probe(), &options, &self.tokens)
        {
            Ok(output) => system_line::find(&output.text, self.tokens.bos.as_deref()),
            Err(_) => SystemLine::Undetermined,
        }
    }
}
