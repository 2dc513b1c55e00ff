//! Our engine against transformers, peft and llama.cpp: a training step, sampling, scoring.
//!
//! A measurement counts only if other programs had at most [`FOREIGN_SHARE`] of the cores' time meanwhile; otherwise it is
//! repeated, and after [`ATTEMPTS`] the run ends with an error instead of a number. Unlike `bench mlp`, a side may leave
//! cores idle: how well it uses them is part of what is compared.

mod ours;
mod peer;
mod result;
mod table;
mod work;

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use super::super::LmArgs;
use super::clock::{busy_seconds, cpu_seconds, cpu_seconds_of};
use super::{peak, precisions, report as common};
use ours::Engine;
use result::{Entry, Measurement, Report};
use work::{Sizes, Task};

/// Most of the cores' time that others may have.
const FOREIGN_SHARE: f64 = 0.05;
/// Measurements until one counts.
const ATTEMPTS: u32 = 5;

/// Measures and prints the table.
pub fn lm(args: &LmArgs) -> Result<()> {
    let path = work::model_path(args)?;
    let sizes = if args.smoke {
        Sizes::SMOKE
    } else {
        Sizes::FULL
    };
    let engine = Engine::new(&path, sizes, args.threads)?;
    let mut peers = if args.smoke || args.no_peer {
        Vec::new()
    } else {
        peer::start_all(args, &path)?
    };
    let rounds = if args.smoke { 1 } else { args.rounds };
    let mut report = Report::new(args, &path);
    for round in 0..rounds {
        for precision in precisions() {
            let peak = peak::measure(precision, usize::from(args.threads), args.smoke);
            report.add(&Entry::peak(precision), peak.into());
        }
        for task in Task::ALL.into_iter().filter(|task| args.wants(*task)) {
            // Peers and ours alternate: neither has all of its turns in the same minutes.
            let mut of_task = peers.iter_mut().filter(|peer| peer.entry().task == task);
            for precision in precisions() {
                let entry = Entry::ours(task, precision);
                let flop = engine.flop(task);
                let measured = undisturbed(args, &entry, None, || engine.measure(task, precision))?;
                report.add(&entry, measured.with_flop(flop));
                if let Some(peer) = of_task.next() {
                    measure_peer(args, peer, flop, &mut report)?;
                }
            }
            for peer in of_task {
                measure_peer(args, peer, engine.flop(task), &mut report)?;
            }
        }
        eprintln!("bench: round {} of {rounds}", round + 1);
        report.rounds = round + 1;
        report.unix_seconds = common::unix_seconds()?;
        // After every round: what is measured is not lost if the rest is interrupted.
        if let Some(path) = &args.json {
            common::write(&report, path)?;
        }
    }
    print!("{}", table::render(&report));
    Ok(())
}

fn measure_peer(
    args: &LmArgs,
    peer: &mut peer::Peer,
    flop: f64,
    report: &mut Report,
) -> Result<()> {
    let (entry, id) = (peer.entry().clone(), peer.id());
    let measured = undisturbed(args, &entry, Some(id), || peer.measure())?;
    report.add(&entry, measured.with_flop(flop));
    Ok(())
}

/// Repeats a measurement until nobody else had the cores meanwhile; `peer` is the process that did the work for us.
fn undisturbed(
    args: &LmArgs,
    entry: &Entry,
    peer: Option<u32>,
    mut measure: impl FnMut() -> Result<Measurement>,
) -> Result<Measurement> {
    let id = peer.map(|id| id.to_string());
    // What all others have used until now.
    let foreign = || {
        let own = cpu_seconds()?;
        let peer = id.as_ref().map_or(Some(0.0), |id| cpu_seconds_of(id))?;
        Some(busy_seconds()? - own - peer)
    };
    let mut shares = Vec::new();
    for _ in 0..ATTEMPTS {
        let (start, before) = (Instant::now(), foreign());
        let measured = measure().with_context(|| format!("measuring {}", entry.name))?;
        let available = start.elapsed().as_secs_f64() * f64::from(args.threads);
        let share = foreign()
            .zip(before)
            .map(|(end, start)| (end - start) / available);
        ensure!(
            measured.loss.is_finite(),
            "{}: the loss is {}",
            entry.name,
            measured.loss
        );
        let Some(share) = share else {
            eprintln!(
                "bench: {}: this system does not tell CPU seconds, nothing says it was idle",
                entry.name
            );
            return Ok(measured);
        };
        if share <= FOREIGN_SHARE || args.busy || args.smoke {
            eprintln!("bench: {}: {:.2} s", entry.name, measured.seconds);
            return Ok(measured);
        }
        let share = format!("{:.0} %", share * 100.0);
        eprintln!(
            "bench: {}: others had {share} of the cores: repeated",
            entry.name
        );
        shares.push(share);
    }
    bail!(
        "the machine is not idle: during {} others had {} of {} cores; stop what else runs, or measure with --busy",
        entry.name,
        shares.join(", "),
        args.threads
    );
}
