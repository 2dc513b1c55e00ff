//! What every command needs to know of its surroundings, and how it speaks.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use serde::Serialize;
use undertone_lab::Interrupted;
use undertone_report::{Ink, Symbols, TextStyle};
use undertone_store::Store;

use crate::args::{Global, ProgressStyle};
use crate::failure::{self, Usage};

/// The options of every command, resolved.
pub struct Context {
    /// Root of the store.
    pub root: PathBuf,
    /// Where fetched data lies.
    pub data_dir: PathBuf,
    /// Whether stdout carries one JSON object and nothing else.
    pub json: bool,
    /// Whether talk is left out.
    pub quiet: bool,
    /// Whether the network is forbidden.
    pub offline: bool,
    /// Worker threads.
    pub threads: usize,
    /// How progress is shown.
    pub progress: ProgressStyle,
    /// Set by Ctrl-C during work that listens.
    pub stop: Arc<AtomicBool>,
    listens: Arc<AtomicBool>,
}

impl Context {
    /// Resolves the options and starts to listen for Ctrl-C.
    pub fn new(global: Global) -> Result<Self> {
        let Global {
            json,
            store,
            data_dir,
            offline,
            quiet,
            threads,
            progress,
        } = global;
        let threads = match threads {
            Some(threads @ 1..=1024) => threads,
            Some(threads) => {
                return Err(
                    Usage(format!("--threads is {threads}; 1 to 1024 are possible")).into(),
                );
            }
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let listens = Arc::new(AtomicBool::new(false));
        let (asked, heard) = (Arc::clone(&stop), Arc::clone(&listens));
        ctrlc::set_handler(move || {
            if asked.swap(true, Ordering::Relaxed) || !heard.load(Ordering::Relaxed) {
                // Asked twice, or nobody will look: the state on disk is sound at any moment.
                failure::report(&Interrupted.into(), json);
                std::process::exit(i32::from(undertone_core::exit::INFRASTRUCTURE));
            }
        })
        .context("cannot listen for Ctrl-C")?;
        let data_dir = data_dir.unwrap_or_else(|| store.join("data"));
        Ok(Self {
            root: store,
            data_dir,
            json,
            quiet,
            offline,
            threads,
            progress,
            stop,
            listens,
        })
    }

    /// Promises that the work begun now looks at `stop`: the first Ctrl-C then leaves the end to it.
    pub fn listen(&self) {
        self.listens.store(true, Ordering::Relaxed);
    }

    /// Takes the promise back: Ctrl-C ends the program.
    pub fn stop_listening(&self) {
        self.listens.store(false, Ordering::Relaxed);
    }

    /// Opens the store, making it if there is none.
    pub fn store(&self) -> Result<Store> {
        Ok(Store::open(&self.root)?)
    }

    /// Opens the store for reading; a missing store is an error that says so.
    pub fn existing_store(&self) -> Result<Store> {
        if !self.root.join("store.json").exists() {
            let root = self.root.display();
            return Err(Usage(format!(
                "there is no store at `{root}`; `undertone demo` makes one"
            ))
            .into());
        }
        Ok(Store::open_read_only(&self.root)?)
    }

    /// Says something on stderr, unless asked to be quiet.
    pub fn say(&self, text: impl AsRef<str>) {
        if !self.quiet {
            eprintln!("{}", text.as_ref());
        }
    }

    /// Says on stderr what was asked for by name, quiet or not.
    pub fn tell(&self, text: impl AsRef<str>) {
        eprintln!("{}", text.as_ref());
    }

    /// Prints the result: `value` as JSON, or `text`.
    pub fn print(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> Result<String>,
    ) -> Result<()> {
        let text = if self.json {
            serde_json::to_string(value).context("the result is not JSON")?
        } else {
            text()?
        };
        match writeln!(std::io::stdout(), "{}", text.trim_end()) {
            // Whoever reads has read enough, as `head` does; the record is on the disk.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            written => written.context("cannot write to stdout"),
        }
    }

    /// Returns how text for people is set on this terminal.
    pub fn style(&self) -> TextStyle {
        use std::io::IsTerminal;
        let terminal = std::io::stdout().is_terminal();
        let width =
            terminal_size::terminal_size().map_or(100, |(width, _)| usize::from(width.0).min(120));
        let ink = if terminal && std::env::var_os("NO_COLOR").is_none() {
            Ink::Ansi
        } else {
            Ink::Plain
        };
        TextStyle {
            width,
            symbols: Symbols::Unicode,
            ink,
        }
    }
}
