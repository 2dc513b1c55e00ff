//! The command line that repeats a run, from its settings: what a report tells its reader to type.

use undertone_lab::align::AlignResult;
use undertone_lab::settings::{CrossRule, DistillInputs, MlpSettings};
use undertone_lab::{Condition, ExperimentResult};
use undertone_mlp::{Activation, Biases, LossKind, NoiseLaw, Optimiser, Precision, Reduction};

use super::ablate::SweepResult;

/// Returns the command that repeats an experiment.
pub fn repeat(result: &ExperimentResult) -> String {
    format!("undertone mnist {}", flags(&result.settings, true))
}

/// Returns the command that repeats a sweep.
pub fn repeat_sweep(result: &SweepResult) -> String {
    let mut values: Vec<&str> = Vec::new();
    for point in &result.points {
        let value = point.label.trim_end_matches(", cloned");
        if !values.contains(&value) {
            values.push(value);
        }
    }
    let start = format!(
        "undertone ablate --sweep {} --values {}",
        result.axis,
        values.join(",")
    );
    match result.points.first() {
        Some(point) => {
            let mut base = point.result.settings.clone();
            // Flags that the axis itself sets say nothing about the base.
            base.student_body = None;
            format!("{start} {}", flags(&base, base.students.len() > 2))
        }
        None => start,
    }
}

/// Returns the command that repeats an alignment run.
pub fn repeat_align(result: &AlignResult) -> String {
    let s = &result.settings;
    format!(
        "undertone align --every {} --probe {} {}",
        s.every,
        s.probe,
        flags(&s.base, false)
    )
}

/// Writes every setting as a flag, so that no preset or default matters; `arms` adds which students and who meets whom.
fn flags(s: &MlpSettings, arms: bool) -> String {
    let numbers = |values: &[usize]| {
        values
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    };
    let mut flags = vec![
        format!("--data {}", s.data.name),
        format!("--seed {}", s.seed),
        format!("--models {}", s.models),
        format!("--hidden {}", numbers(&s.body.hidden)),
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
    flags.push(format!("--inputs {}", inputs(s, &s.inputs)));
    if let DistillInputs::Noise { rows, .. } = s.inputs {
        flags.push(format!("--input-rows {rows}"));
    }
    flags.push(format!("--sigma {}", s.perturb_sigma));
    if let Some(cloning) = &s.cloning {
        let inputs = inputs(s, &cloning.inputs);
        flags.push(format!(
            "--cloning-epochs {} --cloning-inputs {inputs}",
            cloning.training.epochs
        ));
    }
    if s.precision == Precision::Bf16 {
        flags.push("--precision bf16".to_owned());
    }
    if arms {
        flags.push(format!(
            "--students {}",
            s.students
                .iter()
                .map(|c| student(*c))
                .collect::<Vec<_>>()
                .join(",")
        ));
        flags.push(match s.cross {
            CrossRule::Permutation => "--cross permutation".to_owned(),
            CrossRule::Derangement => "--cross derangement".to_owned(),
        });
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
