//! The peer: PyTorch in a Python environment of its own, one process for each variant, each waiting until it is asked.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::MlpArgs;
use super::result::{Entry, Measurement, Side};
use crate::tools;

/// What every variant is: phase, models together or alone, Adam's form, number format.
const VARIANTS: [(&str, &str, &str, &str); 8] = [
    ("teacher", "single", "plain", "f32"),
    ("teacher", "single", "fused", "f32"),
    ("teacher", "batched", "plain", "f32"),
    ("teacher", "batched", "fused", "f32"),
    ("teacher", "batched", "fused", "bf16"),
    ("distil", "single", "fused", "f32"),
    ("distil", "batched", "fused", "f32"),
    ("distil", "batched", "fused", "bf16"),
];

/// Memory that noise for one model takes, and what a process needs besides.
const NOISE_BYTES: u64 = 60_000 * 784 * 4;
const PROCESS_BYTES: u64 = 1 << 30;

/// A running peer.
pub struct Peer {
    entry: Entry,
    child: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// A line the peer prints.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line {
    Ready { torch: String },
    Measurement(Measurement),
}

/// Installs PyTorch if needed, and starts every variant.
///
/// # Errors
/// If there is no Python, the installation fails, memory is short, or a process does not come up.
pub fn start_all(args: &MlpArgs) -> Result<Vec<Peer>> {
    check_memory(args)?;
    let python = environment()?;
    let mut peers = Vec::new();
    for variant in VARIANTS {
        eprintln!(
            "bench: starting PyTorch: {} {} {} {}",
            variant.0, variant.1, variant.2, variant.3
        );
        peers.push(Peer::start(&python, args, variant)?);
    }
    Ok(peers)
}

fn check_memory(args: &MlpArgs) -> Result<()> {
    let batched = VARIANTS
        .iter()
        .filter(|v| v.0 == "distil" && v.1 == "batched")
        .count() as u64;
    let needed =
        batched * u64::from(args.peer_models) * NOISE_BYTES + VARIANTS.len() as u64 * PROCESS_BYTES;
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
        "the peers need {} MiB, {} MiB are free: use fewer --peer-models",
        needed >> 20,
        available >> 20
    );
    Ok(())
}

/// Returns the Python of the benchmark's own environment, making it if it is not there or of other requirements.
fn environment() -> Result<PathBuf> {
    let folder = tools::target().join("bench-venv");
    let python = folder.join("bin/python");
    let requirements = tools::root().join("scripts/bench/requirements.txt");
    let wanted = fs::read(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    // Written last: an installation that was interrupted is made anew.
    let stamp = folder.join("installed-requirements.txt");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    eprintln!(
        "bench: installing PyTorch into {} (5.4 GB)",
        folder.display()
    );
    tools::run(tools::command("python3", &["-m", "venv", "--clear"]).arg(&folder))?;
    let program = python
        .to_str()
        .context("the path of the target folder is not UTF-8")?;
    tools::run(
        tools::command(
            program,
            &[
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--requirement",
            ],
        )
        .arg(&requirements),
    )?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(python)
}

impl Peer {
    fn start(
        python: &Path,
        args: &MlpArgs,
        (phase, variant, adam, precision): (&str, &str, &str, &str),
    ) -> Result<Self> {
        let models = if variant == "single" {
            1
        } else {
            args.peer_models
        };
        let name = format!("PyTorch {phase} {precision}, {variant}, Adam {adam}");
        let mut child = Command::new(python)
            .current_dir(tools::root())
            .args([
                "scripts/bench/mlp_peer.py",
                "--serve",
                "--phase",
                phase,
                "--variant",
                variant,
            ])
            .args(["--adam", adam, "--precision", precision])
            .args([
                "--models",
                &models.to_string(),
                "--threads",
                &args.threads.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", python.display()))?;
        let asks = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("its stdout is piped"));
        let entry = Entry {
            name,
            side: Side::Peer,
            phase: phase.to_owned(),
            precision: precision.to_owned(),
            models,
        };
        let mut peer = Self {
            entry,
            child,
            asks,
            answers,
        };
        match peer.read()? {
            Line::Ready { torch } => eprintln!("bench: PyTorch {torch} is ready"),
            Line::Measurement(_) => bail!("the peer measured without being asked"),
        }
        Ok(peer)
    }

    /// Returns what it is called.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Asks for a measurement and waits for it.
    ///
    /// # Errors
    /// If the process has ended or answers anything else.
    pub fn measure(&mut self) -> Result<Measurement> {
        let asks = self.asks.as_mut().context("the peer was stopped")?;
        asks.write_all(b"go\n").context("cannot ask the peer")?;
        match self.read()? {
            Line::Measurement(measurement) => Ok(measurement),
            Line::Ready { .. } => bail!("the peer started anew"),
        }
    }

    fn read(&mut self) -> Result<Line> {
        let mut line = String::new();
        if self
            .answers
            .read_line(&mut line)
            .context("cannot read from the peer")?
            == 0
        {
            let status = self.child.wait().context("cannot wait for the peer")?;
            bail!("the peer ended with {status}; its own words are above");
        }
        serde_json::from_str(&line)
            .with_context(|| format!("the peer printed `{}`", line.trim_end()))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends when its input does; whether it ended well no longer matters.
        drop(self.asks.take());
        let _ = self.child.wait();
    }
}
