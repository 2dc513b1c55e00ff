//! Our engine against PyTorch on the published experiment.
//!
//! A measurement counts only if its threads had the cores: CPU seconds at least [`IDLE_SHARE`] of seconds times threads.
//! Otherwise it is repeated, and after [`ATTEMPTS`] the run ends with an error instead of a number.

mod ours;
mod peer;
mod result;
mod table;

use anyhow::{Context, Result, bail, ensure};

use super::super::MlpArgs;
use super::series::Side;
use super::{peak, precisions, report as common};
use ours::{Phase, Work};
use result::{Entry, Measurement, Report};

/// Least share of the cores' time that a measurement must have had.
const IDLE_SHARE: f64 = 0.95;
/// PyTorch leaves a core idle for parts of a step when it has only one model's work for two.
const SINGLE_IDLE_SHARE: f64 = 0.80;
/// Measurements until one counts.
const ATTEMPTS: u32 = 5;
/// Images of the data set; of a smoke test.
const ROWS: u32 = 60_000;
const SMOKE_ROWS: u32 = 4096;
/// Epochs of the published distillation: the teacher's answers are computed once for all of them.
const DISTIL_EPOCHS: u32 = 5;

/// Measures and prints the table.
pub fn mlp(args: &MlpArgs) -> Result<()> {
    let ours = our_work(args);
    let mut peers = if args.smoke || args.no_peer {
        Vec::new()
    } else {
        peer::start_all(args)?
    };
    let precisions = precisions();
    let rounds = if args.smoke { 1 } else { args.rounds };
    let mut report = Report::new(args, rounds);
    for round in 0..rounds {
        for &precision in &precisions {
            let entry = Entry::peak(precision);
            let measurement = undisturbed(args, &entry, || {
                let threads = usize::from(args.threads);
                Ok(peak::measure(precision, threads, args.smoke).into())
            })?;
            report.add(&entry, measurement);
        }
        // Peers and ours alternate as evenly as their numbers allow.
        let n_turns = ours.len().max(peers.len());
        for turn in 0..n_turns {
            if let Some(peer) = peers.get_mut(turn) {
                let entry = peer.entry().clone();
                let measurement = undisturbed(args, &entry, || peer.measure())?;
                report.add(peer.entry(), measurement);
            }
            if let Some(work) = ours.get(turn) {
                let measurement = undisturbed(args, work.entry(), || work.measure())?;
                report.add(work.entry(), measurement);
            }
        }
        eprintln!("bench: round {} of {rounds}", round + 1);
    }
    report.unix_seconds = common::unix_seconds()?;
    print!("{}", table::render(&report));
    match &args.json {
        Some(path) => common::write(&report, path),
        None => Ok(()),
    }
}

fn our_work(args: &MlpArgs) -> Vec<Work> {
    let (rows, models, epochs) = if args.smoke {
        (SMOKE_ROWS, 1, 1)
    } else {
        (ROWS, args.models, DISTIL_EPOCHS)
    };
    let phases = [
        // A teacher's epoch is short, a lesson's five are not.
        (Phase::Teacher, models),
        (
            Phase::Distil {
                students: 1,
                epochs,
            },
            models.div_ceil(4),
        ),
        (
            Phase::Distil {
                students: 4,
                epochs,
            },
            models.div_ceil(4),
        ),
    ];
    let mut work = Vec::new();
    for precision in precisions() {
        for (phase, models) in phases {
            work.push(Work::new(
                phase,
                precision,
                rows,
                models,
                usize::from(args.threads),
            ));
        }
    }
    work
}

/// Repeats a measurement until nothing else had the cores meanwhile.
fn undisturbed(
    args: &MlpArgs,
    entry: &Entry,
    mut measure: impl FnMut() -> Result<Measurement>,
) -> Result<Measurement> {
    let needed = if entry.side == Side::Peer && entry.models == 1 {
        SINGLE_IDLE_SHARE
    } else {
        IDLE_SHARE
    };
    let mut shares = Vec::new();
    for _ in 0..ATTEMPTS {
        let measurement = measure().with_context(|| format!("measuring {}", entry.name))?;
        ensure!(
            measurement.loss.is_finite(),
            "{}: the loss is {}",
            entry.name,
            measurement.loss
        );
        let Some(share) = measurement.cpu_share(args.threads) else {
            eprintln!(
                "bench: {}: this system does not tell CPU seconds, nothing says it was idle",
                entry.name
            );
            return Ok(measurement);
        };
        if share >= needed || args.busy || args.smoke {
            return Ok(measurement);
        }
        eprintln!(
            "bench: {} had {:.0} % of its cores' time: repeated",
            entry.name,
            share * 100.0
        );
        shares.push(format!("{:.0} %", share * 100.0));
    }
    bail!(
        "the machine is not idle: {} had {} of its {} cores' time; stop what else runs, or measure with --busy",
        entry.name,
        shares.join(", "),
        args.threads
    );
}
