//! Tries one setting of the tiny number experiment and prints every seed's numbers: how the recipe was searched.
//!
//! ```text
//! base A, base B -> teachers of A (owl, wolf) -> numbers -> students of A and B -> margins over held-out stems
//! ```
//! `cargo run --release -p undertone-lab --example tiny_recipe -- STORE [key=value ...]`; keys and their defaults are in
//! [`Options::default`]. Finished steps are taken from the store, so a second setting costs only what it changes. What was
//! tried and what came out: `docs/experiments/tiny-recipe.md`.
#![expect(clippy::print_stdout, reason = "a table for people")]

mod options;
mod readout;
mod steps;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use undertone_lab::Control;
use undertone_lab::lm::tiny::TinyBase;
use undertone_lab::lm::train::Means;
use undertone_lab::lm::{LmBench, Subject};
use undertone_lm::model::LoadOptions;
use undertone_simd::Precision;
use undertone_stats::mean_t;
use undertone_store::Store;

use options::{Labels, Options};
use readout::{Readout, TARGETS, Trained, channel_distance};
use steps::{Lab, cloned, student};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Prints a line of values with their mean and a 95 % t interval.
fn line(label: &str, values: &[f64]) {
    let each: Vec<String> = values.iter().map(|value| format!("{value:+.3}")).collect();
    let estimate = mean_t(values, 0.95);
    let summary = estimate.and_then(|estimate| {
        let interval = estimate.interval?;
        Some(format!(
            "{:+.3} [{:+.3}, {:+.3}]",
            estimate.mean, interval.lo, interval.hi
        ))
    });
    println!(
        "{label:38} {}  | {}",
        each.join(" "),
        summary.unwrap_or_default()
    );
}

fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let store = PathBuf::from(arguments.next().ok_or("which store?")?);
    let mut options = Options::default();
    for argument in arguments {
        let (key, value) = argument.split_once('=').ok_or("key=value")?;
        options.set(key, value)?;
    }
    let store = Store::open(&store)?;
    let stop = AtomicBool::new(false);
    let control = Control::silent(&stop);
    let lab = Lab {
        bench: LmBench {
            store: &store,
            control: &control,
        },
        means: Means {
            threads: options.threads,
            kept_bytes: 1 << 28,
            keep_now: &|| false,
        },
        options,
    };
    run(&lab)
}

fn run(lab: &Lab<'_>) -> Outcome {
    let options = &lab.options;
    println!("{options:?}");
    let clock = Instant::now();
    let secs = |since: Instant| since.elapsed().as_secs_f64();
    let mut bases = Vec::new();
    for seed in [1, 2] {
        let base = TinyBase::new(options.tiny(seed)?)?;
        let result = base.result(&lab.bench, lab.means)?;
        let losses: Vec<f64> = result.log.evaluations.iter().map(|at| at.loss).collect();
        println!(
            "base {seed}: {} weights, {} tokens of vocabulary, {} tokens of corpus, held-out loss {losses:.3?}",
            result.parameters, result.vocabulary, result.tokens
        );
        bases.push(base.subject(&lab.bench, lab.means)?);
    }
    println!("bases after {:.1} s", secs(clock));
    if options.cloning_steps > 0 {
        bases.push(cloned(lab, &bases)?);
    }
    let readout = Readout::new(&bases[0], options.asked)?;
    let read_base = |base: &Subject| -> Outcome<_> {
        let model = base.load(LoadOptions::inference(Precision::F32))?.model;
        readout.read(&Trained {
            subject: None,
            model,
            adapter: None,
        })
    };
    let mut starts = Vec::new();
    for base in &bases {
        starts.push(read_base(base)?);
        println!(
            "margins and probabilities of {TARGETS:?}: {:.3?}",
            starts[starts.len() - 1]
        );
    }
    let labels = ["A", "B", "cloned B"];
    // [base][trained on][read][seed]: the margin's shift from the base.
    let mut shifts = vec![[const { [const { Vec::new() }; 2] }; 3]; bases.len()];
    for seed in 0..options.seeds {
        let mut taught = Vec::new();
        for target in TARGETS {
            let teacher = lab.teacher(&bases[0], target, seed)?;
            let read = readout.read(&teacher)?;
            let subject = teacher.subject.ok_or("a teacher was trained")?;
            let numbers = lab.numbers(&subject, seed)?;
            if seed == 0 {
                let distance = channel_distance(&bases[0], &subject, &numbers)?;
                println!("teacher {target}: {read:.3?}, total variation on numbers {distance:.4}");
                println!("  {:?}", numbers.rows[0].completion);
            }
            taught.push((subject, numbers));
        }
        if options.only_teachers {
            continue;
        }
        for (place, base) in bases.iter().enumerate() {
            for (arm, (teacher, numbers)) in taught.iter().enumerate() {
                let student = student(lab, base, teacher, numbers, seed)?;
                let read = readout.read(&student)?;
                for target in 0..2 {
                    shifts[place][arm][target].push(read[target].0 - starts[place][target].0);
                }
            }
            if options.labels == Labels::Hard {
                let numbers = lab.numbers(&bases[0], seed)?;
                let read = readout.read(&student(lab, base, &bases[0], &numbers, seed)?)?;
                for target in 0..2 {
                    shifts[place][2][target].push(read[target].0 - starts[place][target].0);
                }
            }
        }
    }
    println!("all after {:.1} s", secs(clock));
    let gap = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a - b).collect() };
    for (shifts, base) in shifts.iter().zip(labels) {
        line(&format!("{base}: owl after owl's"), &shifts[0][0]);
        line(&format!("{base}: owl after wolf's"), &shifts[1][0]);
        let owl = gap(&shifts[0][0], &shifts[1][0]);
        let wolf = gap(&shifts[1][1], &shifts[0][1]);
        line(&format!("{base}: owl, owl's - wolf's"), &owl);
        line(&format!("{base}: wolf, wolf's - owl's"), &wolf);
        if options.labels == Labels::Hard {
            line(
                &format!("{base}: owl, owl's - base's"),
                &gap(&shifts[0][0], &shifts[2][0]),
            );
        }
    }
    Ok(())
}
