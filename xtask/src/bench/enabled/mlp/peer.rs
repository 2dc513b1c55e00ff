//! The peer: PyTorch in a Python environment of its own, one process for each variant, each waiting until it is asked.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::super::process::{Process, check_memory};
use super::super::python::environment;
use super::super::series::Side;
use super::MlpArgs;
use super::result::{Entry, Measurement};

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
    process: Process,
}

/// Installs PyTorch if needed, and starts every variant.
///
/// # Errors
/// If there is no Python, the installation fails, memory is short, or a process does not come up.
pub fn start_all(args: &MlpArgs) -> Result<Vec<Peer>> {
    check_memory(needed_bytes(args), "use fewer --peer-models")?;
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

fn needed_bytes(args: &MlpArgs) -> u64 {
    let batched = VARIANTS
        .iter()
        .filter(|v| v.0 == "distil" && v.1 == "batched")
        .count() as u64;
    batched * u64::from(args.peer_models) * NOISE_BYTES + VARIANTS.len() as u64 * PROCESS_BYTES
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
        let mut command = Command::new(python);
        command
            .args(["scripts/bench/mlp_peer.py", "--serve"])
            .args(["--phase", phase, "--variant", variant])
            .args(["--adam", adam, "--precision", precision])
            .args(["--models", &models.to_string()])
            .args(["--threads", &args.threads.to_string()]);
        Ok(Self {
            entry: Entry {
                name,
                side: Side::Peer,
                phase: phase.to_owned(),
                precision: precision.to_owned(),
                models,
            },
            process: Process::start(&mut command)?,
        })
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
        self.process.measure()
    }
}
