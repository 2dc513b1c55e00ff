//! A peer: a process of its own that measures once for every line `go` it is sent and answers with a line of JSON.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::tools;

/// A running peer.
pub struct Process {
    child: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// A line the peer prints; `Measurement` is what it measured.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line<M> {
    /// Names and versions of what it is made of.
    Ready(BTreeMap<String, String>),
    Measurement(M),
}

impl Process {
    /// Starts `command` in the root of the repository and waits until it is ready.
    ///
    /// # Errors
    /// If it cannot be started or says anything else first.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .current_dir(tools::root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let asks = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("its stdout is piped"));
        let mut process = Self {
            child,
            asks,
            answers,
        };
        match process.read::<serde::de::IgnoredAny>()? {
            Line::Ready(versions) => {
                let versions: Vec<String> = versions
                    .iter()
                    .map(|(name, version)| format!("{name} {version}"))
                    .collect();
                eprintln!("bench: ready: {}", versions.join(", "));
            }
            Line::Measurement(_) => bail!("the peer measured without being asked"),
        }
        Ok(process)
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks for a measurement and waits for it.
    ///
    /// # Errors
    /// If the process has ended or answers anything else.
    pub fn measure<M: DeserializeOwned>(&mut self) -> Result<M> {
        let asks = self.asks.as_mut().context("the peer was stopped")?;
        asks.write_all(b"go\n").context("cannot ask the peer")?;
        match self.read()? {
            Line::Measurement(measurement) => Ok(measurement),
            Line::Ready(_) => bail!("the peer started anew"),
        }
    }

    fn read<M: DeserializeOwned>(&mut self) -> Result<Line<M>> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        if read.context("cannot read from the peer")? == 0 {
            let status = self.child.wait().context("cannot wait for the peer")?;
            bail!("the peer ended with {status}; its own words are above");
        }
        serde_json::from_str(&line)
            .with_context(|| format!("the peer printed `{}`", line.trim_end()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends when its input does; whether it ended well no longer matters.
        drop(self.asks.take());
        let _ = self.child.wait();
    }
}

/// Checks that `needed` bytes are free; `advice` says what to do if not.
///
/// # Errors
/// If they are not.
pub fn check_memory(needed: u64, advice: &str) -> Result<()> {
    let available = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text
            .lines()
            .find(|line| line.starts_with("MemAvailable:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
    });
    let Some(available) = available else {
        eprintln!(
            "bench: this system does not tell its free memory; the peers need {} MiB",
            needed >> 20
        );
        return Ok(());
    };
    ensure!(
        available >= needed,
        "the peers need {} MiB, {} MiB are free: {advice}",
        needed >> 20,
        available >> 20
    );
    Ok(())
}
