//! What long work tells whoever started it, and how it is asked to stop.

use std::sync::atomic::{AtomicBool, Ordering};

/// News from a running experiment. Units of work are model-epochs (one network through one epoch), with language models
/// rows or optimiser steps.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// How much there is to do, and how much of it the store already holds.
    Plan {
        /// Units of work still to be done.
        units: u64,
        /// Cells of the experiment.
        cells: u64,
        /// Steps found finished in the store.
        reused: u64,
        /// Steps to be computed.
        steps: u64,
    },
    /// Some units of work were done.
    Worked {
        /// How many.
        units: u64,
    },
    /// Some tokens went through a language model: what speed is told by.
    Tokens {
        /// How many.
        tokens: u64,
    },
    /// A step was finished and stored.
    Stored {
        /// Its kind.
        kind: &'static str,
        /// The number of its model.
        index: u64,
        /// The key it is recorded under.
        key: String,
    },
}

/// The work was asked to stop; what was finished is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// The line to whoever started the work.
pub struct Control<'a> {
    /// Set by somebody else to ask for an early end.
    pub stop: &'a AtomicBool,
    /// Takes the news, from any thread.
    pub news: &'a (dyn Fn(News) + Sync),
}

impl<'a> Control<'a> {
    /// Returns a line on which nothing is told.
    pub fn silent(stop: &'a AtomicBool) -> Self {
        Self {
            stop,
            news: &|_| {},
        }
    }
}

impl Control<'_> {
    /// Reports work done.
    pub fn worked(&self, units: u64) {
        (self.news)(News::Worked { units });
    }

    /// Reports tokens that went through a language model.
    pub fn passed(&self, tokens: u64) {
        (self.news)(News::Tokens { tokens });
    }

    /// Returns whether to go on.
    ///
    /// # Errors
    /// [`Interrupted`] once somebody asked for an end.
    pub fn go_on(&self) -> Result<(), Interrupted> {
        if self.stop.load(Ordering::Relaxed) {
            Err(Interrupted)
        } else {
            Ok(())
        }
    }
}
