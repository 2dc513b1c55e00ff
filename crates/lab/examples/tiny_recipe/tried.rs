//! One setting: its pipeline, and what came of it.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use undertone_lab::lm::Subject;
use undertone_lab::lm::tiny::TinyBase;
use undertone_lm::model::LoadOptions;
use undertone_simd::Precision;
use undertone_stats::{Estimate, mean_t};

use crate::Outcome;
use crate::options::Labels;
use crate::readout::{Readout, TARGETS, Trained, channel_distance};
use crate::steps::{Lab, cloned, student};

/// What came of one setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    /// What differs from the defaults.
    pub settings: Vec<String>,
    /// Weights of a base.
    pub parameters: u64,
    /// A, B, and where it was made B cloned to A.
    pub bases: Vec<Read>,
    /// The first seed's.
    pub teachers: Vec<Read>,
    /// Total variation between the next tokens of the base and of each of these teachers, mean over 32 lists of numbers.
    pub total_variation: Vec<f64>,
    /// What students took up.
    pub effects: Vec<Effect>,
    /// From an empty store to here, two threads, unless the store held steps.
    pub wall_seconds: f64,
}

/// What a model says of each target: margins in nats and probabilities, means over the held-out stems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Read {
    pub model: String,
    pub margins: [f64; 2],
    pub probabilities: [f64; 2],
}

/// Margins of `target` in students of `base`: after the numbers of its teacher minus after `control`'s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effect {
    pub base: String,
    pub target: String,
    pub control: String,
    /// One a seed, in nats.
    pub by_seed: Vec<f64>,
    pub estimate: Estimate,
}

impl Read {
    fn new(model: &str, read: [(f64, f64); 2]) -> Self {
        Self {
            model: model.to_owned(),
            margins: read.map(|(margin, _)| margin),
            probabilities: read.map(|(_, probability)| probability),
        }
    }
}

impl Effect {
    fn new(base: &str, target: &str, control: &str, own: &[f64], other: &[f64]) -> Self {
        let by_seed: Vec<f64> = own.iter().zip(other).map(|(a, b)| a - b).collect();
        let effect = Self {
            base: base.to_owned(),
            target: target.to_owned(),
            control: control.to_owned(),
            estimate: mean_t(&by_seed, 0.95).expect("margins are finite"),
            by_seed,
        };
        println!("{effect}");
        effect
    }
}

impl std::fmt::Display for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each: Vec<String> = self
            .by_seed
            .iter()
            .map(|value| format!("{value:+.3}"))
            .collect();
        write!(
            f,
            "{:8} {:5} own numbers - {:5}'s: {}  | {}",
            self.base,
            self.target,
            self.control,
            each.join(" "),
            estimated(&self.estimate)
        )
    }
}

/// `+.045`
pub fn short(value: f64) -> String {
    let text = format!("{value:+.3}");
    match text[1..].strip_prefix("0.") {
        Some(digits) => format!("{}.{digits}", &text[..1]),
        None => text,
    }
}

/// `+.045 [+.027, +.062]`, or without the interval of one seed.
pub fn estimated(estimate: &Estimate) -> String {
    match &estimate.interval {
        Some(at) => format!(
            "{} [{}, {}]",
            short(estimate.mean),
            short(at.lo),
            short(at.hi)
        ),
        None => short(estimate.mean),
    }
}

const BASES: [&str; 3] = ["A", "B", "cloned B"];

/// Margins of one base's students: `[trained on][read][seed]`, the base's own numbers last.
type Margins = [[Vec<f64>; 2]; 3];

/// Makes A and B, and where it is asked for B cloned to A; returns their number of weights too.
fn bases(lab: &Lab<'_>) -> Outcome<(u64, Vec<Subject>)> {
    let mut parameters = 0;
    let mut bases = Vec::new();
    for seed in [1, 2] {
        let base = TinyBase::new(lab.options.tiny(seed)?)?;
        let result = base.result(&lab.bench, lab.means)?;
        let losses: Vec<f64> = result.log.evaluations.iter().map(|at| at.loss).collect();
        println!(
            "base {seed}: {} weights, {} tokens of vocabulary, {} tokens of corpus, held-out loss {losses:.3?}",
            result.parameters, result.vocabulary, result.tokens
        );
        parameters = result.parameters;
        bases.push(base.subject(&lab.bench, lab.means)?);
    }
    if lab.options.cloning_steps > 0 {
        bases.push(cloned(lab, &bases)?);
    }
    Ok((parameters, bases))
}

/// Pairs what was read, base by base.
fn effects(margins: &[Margins], labels: Labels) -> Vec<Effect> {
    let mut effects = Vec::new();
    for (margins, base) in margins.iter().zip(BASES) {
        for (own, other) in [(0, 1), (1, 0)] {
            let [target, control] = [own, other].map(|target| TARGETS[target]);
            let [a, b] = [own, other].map(|arm| &margins[arm][own]);
            effects.push(Effect::new(base, target, control, a, b));
            if labels == Labels::Hard {
                effects.push(Effect::new(base, target, "base", a, &margins[2][own]));
            }
        }
    }
    effects
}

/// Runs the pipeline with `lab`'s options, which `given` made.
pub fn run(lab: &Lab<'_>, given: &[&str]) -> Outcome<Tried> {
    let options = &lab.options;
    println!("{options:?}");
    let clock = Instant::now();
    let (parameters, bases) = bases(lab)?;
    println!("bases after {:.1} s", clock.elapsed().as_secs_f64());
    let readout = Readout::new(&bases[0], options.asked)?;
    let read_base = |base: &Subject| -> Outcome<_> {
        let model = base.load(LoadOptions::inference(Precision::F32))?.model;
        readout.read(&Trained {
            subject: None,
            model,
            adapter: None,
        })
    };
    let mut reads = Vec::new();
    for (base, label) in bases.iter().zip(BASES) {
        reads.push(Read::new(label, read_base(base)?));
        println!("{:.3?}", reads[reads.len() - 1]);
    }
    let mut teachers = Vec::new();
    let mut total_variation = Vec::new();
    let mut margins = vec![Margins::default(); bases.len()];
    for seed in 0..options.seeds {
        let mut taught = Vec::new();
        for target in TARGETS {
            let teacher = lab.teacher(&bases[0], target, seed)?;
            let read = readout.read(&teacher)?;
            let subject = teacher.subject.ok_or("a teacher was trained")?;
            let numbers = lab.numbers(&subject, seed)?;
            if seed == 0 {
                let distance = channel_distance(&bases[0], &subject, &numbers)?;
                teachers.push(Read::new(target, read));
                total_variation.push(distance);
                println!("teacher {target}: {read:.3?}, total variation on numbers {distance:.4}");
                println!("  {:?}", numbers.rows[0].completion);
            }
            taught.push((subject, numbers));
        }
        if options.only_teachers {
            continue;
        }
        let of_base = match options.labels {
            Labels::Hard => Some((&bases[0], lab.numbers(&bases[0], seed)?)),
            _ => None,
        };
        let arms = taught.iter().map(|(teacher, numbers)| (teacher, numbers));
        let arms = arms.chain(of_base.iter().map(|(base, numbers)| (*base, numbers)));
        for (place, base) in bases.iter().enumerate() {
            for (arm, (teacher, numbers)) in arms.clone().enumerate() {
                let student = student(lab, base, teacher, numbers, seed)?;
                let read = readout.read(&student)?;
                for target in 0..2 {
                    margins[place][arm][target].push(read[target].0);
                }
            }
        }
    }
    let wall_seconds = clock.elapsed().as_secs_f64();
    println!("all after {wall_seconds:.1} s");
    let effects = match options.only_teachers {
        true => Vec::new(),
        false => effects(&margins, options.labels),
    };
    Ok(Tried {
        settings: given.iter().map(|&setting| setting.to_owned()).collect(),
        parameters,
        bases: reads,
        teachers,
        total_variation,
        effects,
        wall_seconds,
    })
}
