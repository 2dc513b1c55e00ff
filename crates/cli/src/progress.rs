//! Shows how far the work is: a bar with time left, NDJSON lines, or nothing. Always on stderr.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle as BarStyle};
use serde_json::json;
use undertone_lab::News;

use crate::args::ProgressStyle;

/// What progress is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// One network through one epoch.
    ModelEpochs,
    /// Rows of a file, through a language model.
    Rows,
    /// Optimiser steps of a language model.
    OptimiserSteps,
    /// Whole models.
    Models,
    /// One token through a language model; in training a token counts three times.
    TokenPasses,
}

impl Unit {
    /// Returns the unit in words, many of them.
    pub fn words(self) -> &'static str {
        match self {
            Self::ModelEpochs => "model-epochs",
            Self::Rows => "rows",
            Self::OptimiserSteps => "optimiser steps",
            Self::Models => "models",
            Self::TokenPasses => "token passes",
        }
    }

    /// Returns the unit's name in JSON.
    pub fn key(self) -> String {
        self.words().replace([' ', '-'], "_")
    }
}

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The display of one run.
pub struct Progress {
    form: Form,
    unit: Unit,
    total: AtomicU64,
    done: AtomicU64,
    /// Tokens that went through a language model.
    tokens: AtomicU64,
    /// When the plan was there: what came before tells nothing about the pace of the work.
    started: OnceLock<Instant>,
    last_line: Mutex<Instant>,
}

enum Form {
    Bar(ProgressBar),
    Lines,
    Ndjson,
    Silent,
}

impl Progress {
    /// Makes the display that `style` asks for.
    pub fn new(style: ProgressStyle, quiet: bool, unit: Unit) -> Self {
        let form = match style {
            ProgressStyle::Ndjson => Form::Ndjson,
            ProgressStyle::None => Form::Silent,
            ProgressStyle::Auto if quiet => Form::Silent,
            ProgressStyle::Auto if std::io::stderr().is_terminal() => Form::Bar(bar(unit)),
            ProgressStyle::Auto => Form::Lines,
        };
        Self {
            form,
            unit,
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            started: OnceLock::new(),
            last_line: Mutex::new(Instant::now()),
        }
    }

    /// Takes a piece of news; called from worker threads.
    pub fn take(&self, news: &News) {
        match news {
            News::Plan { units, .. } => {
                self.total.store(*units, Ordering::Relaxed);
                self.started.get_or_init(Instant::now);
                if let Form::Bar(bar) = &self.form {
                    bar.set_length(*units);
                    bar.reset_eta();
                }
            }
            News::Worked { units } => {
                let done = self.done.fetch_add(*units, Ordering::Relaxed) + units;
                match &self.form {
                    Form::Bar(bar) => bar.inc(*units),
                    Form::Lines => self.line(done),
                    Form::Ndjson | Form::Silent => {}
                }
            }
            News::Tokens { tokens } => {
                self.tokens.fetch_add(*tokens, Ordering::Relaxed);
                if let (Form::Bar(bar), Some(rate)) = (&self.form, self.tokens_per_sec()) {
                    bar.set_message(format!("{rate:.0} tokens/s"));
                }
            }
            News::Stored { .. } => {}
        }
        if let Form::Ndjson = self.form {
            self.ndjson(news);
        }
    }

    /// Returns the tokens of the whole work and the seconds since its plan; `None` without tokens.
    pub fn tokens(&self) -> Option<(u64, f64)> {
        let tokens = self.tokens.load(Ordering::Relaxed);
        Some((tokens, self.elapsed()?)).filter(|_| tokens > 0)
    }

    fn elapsed(&self) -> Option<f64> {
        Some(self.started.get()?.elapsed().as_secs_f64())
    }

    fn tokens_per_sec(&self) -> Option<f64> {
        self.tokens().map(|(tokens, secs)| tokens as f64 / secs)
    }

    /// Takes the display off the terminal.
    pub fn end(&self) {
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
    }

    fn eta(&self, done: u64) -> Option<f64> {
        let left = self.total.load(Ordering::Relaxed).checked_sub(done)?;
        let per_unit = self.elapsed()? / done as f64;
        Some(per_unit * left as f64).filter(|_| done > 0)
    }

    fn line(&self, done: u64) {
        let Ok(mut last) = self.last_line.try_lock() else {
            return;
        };
        if last.elapsed() < LINE_EVERY {
            return;
        }
        *last = Instant::now();
        let total = self.total.load(Ordering::Relaxed);
        let eta = self.eta(done).map_or_else(|| "unknown".to_owned(), seconds);
        let unit = self.unit.words();
        let rate = self.tokens_per_sec();
        let rate = rate.map_or_else(String::new, |rate| format!(", {rate:.0} tokens/s"));
        eprintln!("{done}/{total} {unit}{rate}, about {eta} left");
    }

    fn ndjson(&self, news: &News) {
        let done = self.done.load(Ordering::Relaxed);
        let unit = self.unit.key();
        let event = match news {
            News::Plan {
                units,
                cells,
                reused,
                steps,
            } => {
                json!({"event": "plan", unit: units, "cells": cells, "steps_reused": reused, "steps": steps})
            }
            News::Worked { .. } => {
                let mut event = json!({
                    "event": "progress",
                    format!("{unit}_done"): done,
                    unit: self.total.load(Ordering::Relaxed),
                    "eta_secs": self.eta(done),
                });
                if let Some((tokens, secs)) = self.tokens() {
                    event["tokens_done"] = tokens.into();
                    event["tokens_per_sec"] = (tokens as f64 / secs).into();
                }
                event
            }
            // Part of the next progress event.
            News::Tokens { .. } => return,
            News::Stored { kind, index, key } => {
                json!({"event": "stored", "kind": kind, "model": index, "key": key})
            }
        };
        eprintln!("{event}");
    }
}

fn bar(unit: Unit) -> ProgressBar {
    let rate = match unit {
        Unit::ModelEpochs => "{per_sec}",
        Unit::Rows | Unit::OptimiserSteps | Unit::Models | Unit::TokenPasses => "{msg}",
    };
    let words = unit.words();
    let template = format!("{{bar:30}} {{pos}}/{{len}} {words}  {rate}  {{eta}} left");
    let style = BarStyle::with_template(&template).expect("one of five templates that parse");
    ProgressBar::new(0).with_style(style)
}

/// Writes a duration as people say it.
pub fn seconds(seconds: f64) -> String {
    if seconds < 90.0 {
        format!("{seconds:.0} s")
    } else if seconds < 5400.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3600.0)
    }
}
