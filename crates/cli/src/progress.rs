//! Shows how far the work is: a bar with time left, NDJSON lines, or nothing. Always on stderr.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle as BarStyle};
use serde_json::json;
use undertone_lab::News;

use crate::args::ProgressStyle;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The display of one run.
pub struct Progress {
    form: Form,
    total: AtomicU64,
    done: AtomicU64,
    started: Instant,
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
    pub fn new(style: ProgressStyle, quiet: bool) -> Self {
        let form = match style {
            ProgressStyle::Ndjson => Form::Ndjson,
            ProgressStyle::None => Form::Silent,
            ProgressStyle::Auto if quiet => Form::Silent,
            ProgressStyle::Auto if std::io::stderr().is_terminal() => Form::Bar(bar()),
            ProgressStyle::Auto => Form::Lines,
        };
        let now = Instant::now();
        Self {
            form,
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
            started: now,
            last_line: Mutex::new(now),
        }
    }

    /// Takes a piece of news; called from worker threads.
    pub fn take(&self, news: &News) {
        match news {
            News::Plan { units, .. } => {
                self.total.store(*units, Ordering::Relaxed);
                if let Form::Bar(bar) = &self.form {
                    bar.set_length(*units);
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
            News::Stored { .. } => {}
        }
        if let Form::Ndjson = self.form {
            self.ndjson(news);
        }
    }

    /// Takes the display off the terminal.
    pub fn end(&self) {
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
    }

    fn eta(&self, done: u64) -> Option<f64> {
        let left = self.total.load(Ordering::Relaxed).checked_sub(done)?;
        (done > 0).then(|| self.started.elapsed().as_secs_f64() / done as f64 * left as f64)
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
        eprintln!("{done}/{total} model-epochs, about {eta} left");
    }

    fn ndjson(&self, news: &News) {
        let done = self.done.load(Ordering::Relaxed);
        let event = match news {
            News::Plan {
                units,
                cells,
                reused,
                steps,
            } => {
                json!({"event": "plan", "model_epochs": units, "cells": cells, "steps_reused": reused, "steps": steps})
            }
            News::Worked { .. } => json!({
                "event": "progress",
                "model_epochs_done": done,
                "model_epochs": self.total.load(Ordering::Relaxed),
                "eta_secs": self.eta(done),
            }),
            News::Stored { kind, index, key } => {
                json!({"event": "stored", "kind": kind, "model": index, "key": key})
            }
        };
        eprintln!("{event}");
    }
}

fn bar() -> ProgressBar {
    let style = BarStyle::with_template("{bar:30} {pos}/{len} model-epochs  {per_sec}  {eta} left")
        .expect("the template is a constant that parses");
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
