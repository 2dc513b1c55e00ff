//! The command line that repeats a run, from its settings: what a report tells its reader to type.

use undertone_lab::align::AlignResult;
use undertone_lab::settings::{ClonedLogits, CrossRule, DistillInputs, MlpSettings, Renewal};
use undertone_lab::sweep::Axis;
use undertone_lab::{Condition, ExperimentResult};
use undertone_mlp::{Activation, Biases, LossKind, NoiseLaw, Optimiser, Precision, Reduction};
use undertone_stats::Verdict;

use super::ablate::{PointResult, SweepResult};
use crate::present;

/// What the second point of a student network adds to its label.
const CLONED: &str = ", cloned";

/// Returns the command that repeats an experiment.
pub fn repeat(result: &ExperimentResult) -> String {
    format!(
        "undertone mnist {} {}",
        flags(&result.settings),
        rule(present::level_of(result), &result.verdict)
    )
}

/// Returns the command that repeats a sweep.
pub fn repeat_sweep(result: &SweepResult) -> String {
    let mut values: Vec<&str> = Vec::new();
    for point in &result.points {
        let value = point.label.trim_end_matches(CLONED);
        if !values.contains(&value) {
            values.push(value);
        }
    }
    let start = format!(
        "undertone ablate --sweep {} --values {}",
        result.axis,
        word(&values.join(","))
    );
    match result.points.first() {
        Some(point) => {
            let level = result
                .points
                .iter()
                .find_map(|point| present::level_of(&point.result));
            let rule = rule(level, &point.result.verdict);
            format!("{start} {} {rule}", flags(&base(result, point)))
        }
        None => start,
    }
}

/// Returns settings from which the axis makes all points: the first point's, with what the axis took from it.
fn base(result: &SweepResult, first: &PointResult) -> MlpSettings {
    let all = || result.points.iter().map(|point| &point.result.settings);
    let mut base = first.result.settings.clone();
    // The axis `student-body` sets it for each point.
    base.student_body = None;
    // A network without hidden layers does not tell the width of deeper ones.
    if let Some(deepest) = all()
        .map(|s| &s.body.hidden)
        .max_by_key(|hidden| hidden.len())
    {
        base.body.hidden.clone_from(deepest);
    }
    // Nor do images tell how many noise images there are, or points without cloning how it is done.
    if let Some(noise) = all()
        .map(|s| &s.inputs)
        .find(|inputs| rows(inputs).is_some())
    {
        base.inputs = noise.clone();
    }
    base.cloning = all().find_map(|s| s.cloning.clone());
    // Cloning keeps the base's optimiser where the axis replaces it.
    if let (Axis::Optimiser, Some(cloning)) = (result.axis, &base.cloning) {
        base.teacher.optimiser = cloning.training.optimiser;
        base.student.optimiser = cloning.training.optimiser;
    }
    base
}

/// Returns the command that repeats an alignment run.
pub fn repeat_align(result: &AlignResult) -> String {
    let s = &result.settings;
    format!(
        "undertone align --every {} --probe {} {} {}",
        s.every,
        s.probe,
        network_flags(&s.base),
        rule(present::level_of_align(result), &result.verdict)
    )
}

/// Writes how a verdict was reached as flags; without an interval the level is left at its default.
fn rule(level: Option<f64>, verdict: &Verdict) -> String {
    let level = level.map_or_else(String::new, |level| format!("--level {level} "));
    format!("{level}--delta {}", verdict.delta)
}

/// Returns the number of noise images.
fn rows(inputs: &DistillInputs) -> Option<u32> {
    match inputs {
        DistillInputs::Noise { rows, .. } => Some(*rows),
        DistillInputs::Images { .. } => None,
    }
}

/// Writes a word so that a shell takes it as one.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,+:@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Writes every setting as a flag, so that no preset or default matters.
fn flags(s: &MlpSettings) -> String {
    let mut flags = network_flags(s);
    if !s.students.is_empty() {
        let students: Vec<&str> = s.students.iter().map(|c| student(*c)).collect();
        flags.push_str(&format!(" --students {}", students.join(",")));
    }
    flags.push_str(match s.cross {
        CrossRule::Permutation => " --cross permutation",
        CrossRule::Derangement => " --cross derangement",
    });
    flags
}

/// As [`flags`], without which students there are and who meets whom.
fn network_flags(s: &MlpSettings) -> String {
    let numbers = |values: &[usize]| {
        values
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    };
    let mut flags = vec![
        format!("--data {}", word(&s.data.name)),
        format!("--seed {}", s.seed),
        format!("--models {}", s.models),
        format!(
            "--activation {}",
            match s.body.activation {
                Activation::Relu => "relu",
                Activation::Gelu => "gelu",
                Activation::Sigmoid => "sigmoid",
            }
        ),
        format!(
            "--biases {}",
            match s.body.biases {
                Biases::With => "with",
                Biases::Without => "without",
            }
        ),
        format!("--aux-logits {}", s.aux_logits),
        format!("--init-gain {}", s.init_gain),
        format!("--teacher-epochs {}", s.teacher.epochs),
        format!("--student-epochs {}", s.student.epochs),
        format!("--teacher-batch {}", s.teacher.batch),
        format!("--student-batch {}", s.student.batch),
    ];
    // No flag says "no hidden layer": only a sweep over depth gets there, from any width.
    if !s.body.hidden.is_empty() {
        flags.push(format!("--hidden {}", numbers(&s.body.hidden)));
    }
    let student_rate = match s.student.optimiser {
        Optimiser::Adam { learning_rate, .. } | Optimiser::Sgd { learning_rate, .. } => {
            learning_rate
        }
    };
    match s.teacher.optimiser {
        Optimiser::Adam { learning_rate, beta1, beta2, epsilon } => flags.push(format!(
            "--optimiser adam --learning-rate {learning_rate} --beta1 {beta1} --beta2 {beta2} --epsilon {epsilon}"
        )),
        Optimiser::Sgd { learning_rate, momentum } => {
            flags.push(format!("--optimiser sgd --learning-rate {learning_rate} --momentum {momentum}"));
        }
    }
    flags.push(format!("--student-learning-rate {student_rate}"));
    flags.push(match s.student.reduction {
        Reduction::Mean => "--reduction mean".to_owned(),
        Reduction::BatchMeanQuirk { .. } => "--reduction batchmean".to_owned(),
    });
    flags.push(match s.student_loss {
        LossKind::Mse => "--loss mse".to_owned(),
        LossKind::Kl | LossKind::CrossEntropy => "--loss kl".to_owned(),
    });
    flags.push(format!("--temperature {}", s.temperature));
    flags.push(format!("--inputs {}", word(inputs(s, &s.inputs))));
    let cloned_on = s.cloning.as_ref().map(|cloning| &cloning.inputs);
    if let Some(rows) = rows(&s.inputs).or(cloned_on.and_then(rows)) {
        flags.push(format!("--input-rows {rows}"));
    }
    flags.push(format!("--sigma {}", s.perturb_sigma));
    if let Some(cloning) = &s.cloning {
        let inputs = word(inputs(s, &cloning.inputs));
        flags.push(format!(
            "--cloning-epochs {} --cloning-inputs {inputs} --cloning-renewal {} --cloning-logits {}",
            cloning.training.epochs,
            match cloning.renewal {
                Renewal::Fixed => "fixed",
                Renewal::EachEpoch => "each-epoch",
            },
            match cloning.logits {
                ClonedLogits::AuxOnly => "aux-only",
                ClonedLogits::All => "all",
            }
        ));
    }
    if s.precision != Precision::F32 {
        flags.push(format!("--precision {}", s.precision.name()));
    }
    flags.join(" ")
}

fn inputs<'a>(s: &MlpSettings, inputs: &'a DistillInputs) -> &'a str {
    match inputs {
        DistillInputs::Noise {
            law: NoiseLaw::Uniform,
            ..
        } => "uniform",
        DistillInputs::Noise {
            law: NoiseLaw::Gaussian,
            ..
        } => "gaussian",
        DistillInputs::Images { data } if data == &s.data => "images",
        DistillInputs::Images { data } => &data.name,
    }
}

fn student(condition: Condition) -> &'static str {
    match condition {
        Condition::AuxOnly => "aux-only",
        Condition::AllLogits => "all-logits",
        Condition::CrossAuxOnly => "cross-aux-only",
        Condition::CrossAllLogits => "cross-all-logits",
        Condition::Reference | Condition::Teacher => "",
    }
}
