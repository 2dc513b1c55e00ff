//! What work would cost, told before it: tokens and memory from sizes, time from doing a little of it.

use anyhow::Result;
use serde::Serialize;
use undertone_core::exit;
use undertone_lab::lm::memory::{Memory, bytes_text};

use crate::context::Context;
use crate::environment;
use crate::progress::seconds;

/// Returns a number and what there are so many of: `1 row`, `2 rows`.
pub fn counted(n: u64, one: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {one}{plural}")
}

/// The plan of a command.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// What is done, in words.
    pub what: String,
    /// Whether the store has it all already.
    pub in_store: bool,
    /// Tokens of prompts, or of whole rows where all tokens are known.
    pub tokens: u64,
    /// The most tokens that will be drawn.
    pub most_new_tokens: u64,
    /// Bytes of memory.
    pub memory: Memory,
    /// Seconds, from a short calibration.
    pub secs_estimated: Option<f64>,
    /// The speed of the calibration.
    pub tokens_per_sec: Option<f64>,
    /// Worker threads.
    pub threads: usize,
    /// The line that the chat template adds in the system's place.
    pub system_line: Option<String>,
    /// Exactly what the model is given first.
    pub first_prompt: String,
}

impl Plan {
    /// Says the plan in one line, before work that was not only planned.
    pub fn say(&self, context: &Context) {
        context.say(format!("{}; {}", self.what, self.memory_text()));
        warn_of_memory(context, self.memory.total);
    }

    /// Prints the plan and ends.
    pub fn print(&self, context: &Context) -> Result<u8> {
        context.print(self, || {
            let time = match (self.in_store, self.secs_estimated) {
                (true, _) => "no time: all of it is in the store".to_owned(),
                (false, None) => "time unknown".to_owned(),
                (false, Some(secs)) => {
                    let rate = self.tokens_per_sec.unwrap_or(0.0);
                    let (time, threads) = (seconds(secs), self.threads);
                    format!("about {time} on {threads} threads ({rate:.0} tokens/s in a short calibration)")
                }
            };
            let memory = self.memory_text();
            Ok(format!("{}\n{time}\n{memory}", self.what))
        })?;
        warn_of_memory(context, self.memory.total);
        Ok(exit::DONE)
    }

    fn memory_text(&self) -> String {
        let Memory {
            weights,
            cache,
            work,
            training,
            total,
        } = self.memory;
        let parts = [
            ("weights", weights),
            ("keys and values", cache),
            ("working memory", work),
            ("training", training),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(_, bytes)| *bytes > 0)
            .map(|(name, bytes)| format!("{name} {}", bytes_text(bytes)))
            .collect();
        format!(
            "about {} of memory ({})",
            bytes_text(total),
            parts.join(", ")
        )
    }
}

/// Warns before the system ends the program for want of memory.
pub fn warn_of_memory(context: &Context, needed: usize) {
    let available = environment::memory().map(|(_, available)| available as usize);
    if let Some(available) = available.filter(|available| *available < needed) {
        let available = bytes_text(available);
        let needed = bytes_text(needed);
        context.say(format!(
            "about {needed} of memory are needed, only {available} are free on this machine"
        ));
    }
}
