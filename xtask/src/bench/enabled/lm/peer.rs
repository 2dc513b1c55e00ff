//! The peers: transformers, peft and llama.cpp, one process for each combination, each waiting until it is asked.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::super::precisions;
use super::super::process::{Process, check_memory};
use super::super::python::environment;
use super::super::series::Side;
use super::LmArgs;
use super::result::{Entry, Measurement};
use super::work::Task;
use crate::tools;

/// Memory a process needs: the model in f32, activations and logits.
const PROCESS_BYTES: u64 = 2 << 30;

/// A running peer.
pub struct Peer {
    entry: Entry,
    process: Process,
}

/// A peer to be started: what it is called, its script and its arguments.
struct Variant {
    name: &'static str,
    task: Task,
    precision: &'static str,
    script: &'static str,
    arguments: Vec<&'static str>,
}

/// Installs the packages if needed, and starts every peer.
///
/// Formats that the processor does not multiply natively are left out: they are no comparison.
///
/// # Errors
/// If there is no Python, the installation fails, memory is short, or a process does not come up.
pub fn start_all(args: &LmArgs, model: &Path) -> Result<Vec<Peer>> {
    let mut variants = variants();
    variants.retain(|variant| args.wants(variant.task));
    let remedy = "measure one --task at a time, or use --no-peer";
    check_memory(variants.len() as u64 * PROCESS_BYTES, remedy)?;
    let python = environment()?;
    let start = |variant| Peer::start(&python, args, model, variant);
    variants.into_iter().map(start).collect()
}

fn variants() -> Vec<Variant> {
    let mut variants = Vec::new();
    for precision in precisions() {
        let precision = precision.name();
        let mut add = |name, task, arguments: &[&'static str]| {
            variants.push(Variant {
                name,
                task,
                precision,
                script: "lm_peer.py",
                arguments: [&["--precision", precision][..], arguments].concat(),
            });
        };
        // As trainers call it, and with the head on completions only, as ours.
        add("peft", Task::Train, &["--loss", "stock"]);
        add("peft, selected", Task::Train, &["--loss", "selected"]);
        add("transformers", Task::Sample, &[]);
        add("transformers", Task::Score, &[]);
    }
    for weights in ["f32", "f16", "as-is"] {
        variants.push(Variant {
            name: "llama.cpp",
            task: Task::Sample,
            precision: weights,
            script: "lm_peer_llama_cpp.py",
            arguments: vec!["--weights", weights],
        });
    }
    variants
}

impl Peer {
    fn start(python: &Path, args: &LmArgs, model: &Path, variant: Variant) -> Result<Self> {
        let Variant {
            task, precision, ..
        } = variant;
        let name = format!("{} {} {precision}", variant.name, task.name());
        eprintln!("bench: starting {name}");
        let mut command = Command::new(python);
        command.arg(format!("scripts/bench/{}", variant.script));
        if variant.script == "lm_peer.py" {
            command.arg(task.name());
        } else {
            let converted = tools::target().join("bench-lm-models");
            fs::create_dir_all(&converted).context("cannot make a folder for models")?;
            command.arg("--work-dir").arg(converted);
        }
        command
            .args(variant.arguments)
            .args(["--serve", "--threads", &args.threads.to_string()])
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
