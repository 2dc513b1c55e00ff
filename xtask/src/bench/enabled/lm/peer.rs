//! The peers: transformers, peft and llama.cpp, one process for each combination, each waiting until it is asked.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::super::process::{Process, check_memory};
use super::super::python::environment;
use super::super::series::Side;
use super::super::{precision_name, precisions};
use super::LmArgs;
use super::result::{Entry, Measurement};
use super::work::Task;

/// What llama.cpp computes with, sampling.
const LLAMA_CPP_TYPES: [&str; 3] = ["f32", "f16", "q4_1"];
/// Memory a process needs besides the model, for activations and logits.
const PROCESS_BYTES: u64 = 2 << 30;

/// A running peer.
pub struct Peer {
    entry: Entry,
    process: Process,
}

/// Installs the packages if needed, and starts every peer.
///
/// Formats that the processor does not multiply natively are left out: they are no comparison.
///
/// # Errors
/// If there is no Python, the installation fails, memory is short, or a process does not come up.
pub fn start_all(args: &LmArgs, model: &Path) -> Result<Vec<Peer>> {
    let mut variants = Vec::new();
    for precision in precisions() {
        let precision = precision_name(precision);
        variants.extend(Task::ALL.map(|task| ("transformers", task, precision)));
    }
    variants.extend(LLAMA_CPP_TYPES.map(|kind| ("llama.cpp", Task::Sample, kind)));
    check_memory(variants.len() as u64 * PROCESS_BYTES, "use --no-peer")?;
    let python = environment("bench-lm-venv", "lm-requirements.txt", "5.9 GB")?;
    let start = |variant| Peer::start(&python, args, model, variant);
    variants.into_iter().map(start).collect()
}

impl Peer {
    fn start(
        python: &Path,
        args: &LmArgs,
        model: &Path,
        (engine, task, precision): (&str, Task, &str),
    ) -> Result<Self> {
        let name = format!("{engine} {} {precision}", task.name());
        eprintln!("bench: starting {name}");
        let mut command = Command::new(python);
        command
            .args(["scripts/bench/lm_peer.py", "--serve"])
            .args(["--engine", engine, "--task", task.name()])
            .args(["--precision", precision])
            .args(["--threads", &args.threads.to_string()])
            .arg("--model")
            .arg(model);
        Ok(Self {
            entry: Entry {
                name,
                side: Side::Peer,
                task,
                precision: precision.to_owned(),
            },
            process: Process::start(&mut command)?,
        })
    }

    /// Returns what it is called.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Asks for a measurement and waits for it.
    ///
    /// # Errors
    /// If the process has ended or answers anything else.
    pub fn measure(&mut self) -> Result<Measurement> {
        self.process.measure()
    }
}
