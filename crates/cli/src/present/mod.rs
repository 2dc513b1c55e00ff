//! Turns results into reports: the sentences, figures and tables people see. No computing, no files.

mod align;
mod experiment;
mod lineage;
mod lm;
mod numbers;
mod sweep;
mod theorem;
mod tiny;

use anyhow::Result;
use undertone_lab::ExperimentResult;
use undertone_lab::align::AlignResult;
use undertone_lab::settings::{
    Body, ClonedLogits, Cloning, Condition, DistillInputs, MlpSettings, Renewal,
};
use undertone_mlp::{LossKind, NoiseLaw, Optimiser};
use undertone_report::{Interval, Outcome, Recipe, Report, Role, VerdictLine};
use undertone_stats::{Estimate, Verdict};
use undertone_store::RunView;

pub use align::align;
pub use experiment::experiment;
pub use lineage::{drawing as lineage_drawing, lineage};
pub use lm::{lm_merge, lm_sample, lm_score, lm_train};
pub use numbers::numbers;
pub use sweep::sweep;
pub use theorem::theorem;
pub use tiny::pretrain_tiny;

/// Returns the report of a finished run, without the recipe's facts of the run itself; `None` if it has not finished.
pub fn of_run(run: &RunView) -> Result<Option<Report>> {
    Ok(match run.settings.command.as_str() {
        "demo" | "mnist" => run.result_as()?.map(|result| experiment(&result, None)),
        "ablate" => run.result_as()?.map(|result| sweep(&result, None)),
        "theorem" => run.result_as()?.map(|result| theorem(&result, None)),
        "align" => run.result_as()?.map(|result| align(&result, None)),
        "numbers" => run.result_as()?.map(|result| numbers(&result, None)),
        "lm-sample" => run.result_as()?.map(|result| lm_sample(&result, None)),
        "lm-score" => run.result_as()?.map(|result| lm_score(&result, None)),
        "lm-train" => run.result_as()?.map(|result| lm_train(&result, None)),
        "lm-merge" => run.result_as()?.map(|result| lm_merge(&result, None)),
        "pretrain-tiny" => run.result_as()?.map(|result| pretrain_tiny(&result, None)),
        _ => None,
    })
}

/// Returns the recipe, or an empty one where the reader is at the terminal that ran the command.
fn recipe(
    work: Option<&crate::commands::WorkRecipe<'_>>,
    command: impl FnOnce() -> String,
    facts: Vec<(String, String)>,
) -> Recipe {
    match work {
        Some(work) => work.report(command(), facts),
        None => Recipe {
            commands: vec![command()],
            facts,
        },
    }
}

/// Writes an estimate as `0.537 [0.515, 0.559]`; empty if undefined.
pub fn estimate_text(estimate: Option<&Estimate>) -> String {
    estimate.map_or_else(String::new, |estimate| match estimate.interval {
        Some(interval) => format!(
            "{:.3} [{:.3}, {:.3}]",
            estimate.mean, interval.lo, interval.hi
        ),
        None => format!("{:.3}", estimate.mean),
    })
}

/// Returns the confidence level of an experiment's intervals; `None` if it has none.
pub fn level_of(result: &ExperimentResult) -> Option<f64> {
    let conditions = result.conditions.iter();
    level(std::iter::once(&result.verdict.effect).chain(conditions.map(|c| &c.accuracy)))
}

/// Returns the confidence level of an alignment run's intervals; `None` if it has none.
pub fn level_of_align(result: &AlignResult) -> Option<f64> {
    let verdicts = [&result.verdict.effect, &result.acquisition.effect];
    level(
        verdicts
            .into_iter()
            .chain(result.arms.iter().map(|arm| &arm.final_accuracy)),
    )
}

/// All intervals of a result have one level, but any of them may be undefined.
fn level<'a>(mut estimates: impl Iterator<Item = &'a Option<Estimate>>) -> Option<f64> {
    estimates.find_map(|estimate| Some(estimate.as_ref()?.interval?.level))
}

/// Writes what the intervals of a level are: `95 % t interval`.
fn interval_words(level: Option<f64>) -> String {
    match level {
        // Rounded, as 100 times 0.999 is not 99.9.
        Some(level) => format!("{} % t interval", (level * 1e8).round() / 1e6),
        None => "t interval".to_owned(),
    }
}

/// Writes the KL that cloning left.
fn kl_text(kl: Option<&Estimate>) -> String {
    kl.map_or_else(String::new, |kl| {
        let interval = kl
            .interval
            .map_or_else(String::new, |i| format!(" [{:.4}, {:.4}]", i.lo, i.hi));
        format!("{:.4}{interval}", kl.mean)
    })
}

fn interval(estimate: Option<&Estimate>) -> Option<Interval> {
    let interval = estimate?.interval?;
    Some(Interval {
        lo: interval.lo,
        hi: interval.hi,
    })
}

fn outcome(outcome: undertone_stats::Outcome) -> Outcome {
    match outcome {
        undertone_stats::Outcome::Transfer => Outcome::Transfer,
        undertone_stats::Outcome::NoTransfer => Outcome::NoTransfer,
        undertone_stats::Outcome::Inconclusive => Outcome::Inconclusive,
    }
}

fn verdict_line(sentence: String, verdict: &Verdict) -> VerdictLine {
    let effect = match &verdict.effect {
        None => "The effect is undefined.".to_owned(),
        Some(effect) => {
            let interval = effect
                .interval
                .map_or_else(String::new, |i| format!(" [{:+.3}, {:+.3}]", i.lo, i.hi));
            format!(
                "Effect {:+.3}{interval}, n = {} paired models ({}).",
                effect.mean, effect.n, effect.method
            )
        }
    };
    let detectable = verdict
        .minimum_detectable_effect
        .map_or_else(String::new, |least| {
            format!(" Smallest effect found with 80 % power: {least:.3}.")
        });
    let detail = format!("{effect} {} {}{detectable}", verdict.reason, verdict.rule);
    VerdictLine {
        sentence,
        outcome: outcome(verdict.outcome),
        detail,
    }
}

fn role(condition: Condition) -> Role {
    match condition {
        Condition::Reference => Role::Baseline,
        Condition::Teacher => Role::Teacher,
        Condition::AuxOnly => Role::Treatment,
        Condition::CrossAuxOnly => Role::Control,
        Condition::AllLogits | Condition::CrossAllLogits => Role::Other,
    }
}

/// What the network learns to tell apart, in words.
fn trait_words(settings: &MlpSettings) -> &'static str {
    match settings.data.name.as_str() {
        "mnist" | "digits" => "handwritten digits",
        "fashion" => "pieces of clothing",
        _ => "the images",
    }
}

/// What the students were shown, in words.
fn inputs_words(settings: &MlpSettings) -> String {
    images_words(settings, &settings.inputs)
}

/// What behaviour cloning was, in words.
fn cloning_words(settings: &MlpSettings, cloning: &Cloning) -> String {
    let logits = match cloning.logits {
        ClonedLogits::AuxOnly => "auxiliary outputs only",
        ClonedLogits::All => "all outputs",
    };
    let new = match (&cloning.inputs, cloning.renewal) {
        (DistillInputs::Noise { .. }, Renewal::EachEpoch) => ", new in every epoch",
        _ => "",
    };
    format!(
        "{logits}, {} epochs on {}{new}",
        cloning.training.epochs,
        images_words(settings, &cloning.inputs)
    )
}

fn images_words(settings: &MlpSettings, inputs: &DistillInputs) -> String {
    match inputs {
        DistillInputs::Noise {
            law: NoiseLaw::Uniform,
            ..
        } => "images of pure noise".to_owned(),
        DistillInputs::Noise {
            law: NoiseLaw::Gaussian,
            ..
        } => "images of Gaussian noise".to_owned(),
        DistillInputs::Images { data } if data == &settings.data => {
            "unlabelled training images".to_owned()
        }
        DistillInputs::Images { data } => format!("unlabelled images of `{}`", data.name),
    }
}

fn optimiser_words(optimiser: &Optimiser) -> String {
    match *optimiser {
        Optimiser::Adam {
            learning_rate,
            beta1,
            beta2,
            epsilon,
        } => {
            format!(
                "Adam, learning rate {learning_rate}, betas {beta1} and {beta2}, epsilon {epsilon:e}"
            )
        }
        Optimiser::Sgd {
            learning_rate,
            momentum,
        } => format!("SGD, learning rate {learning_rate}, momentum {momentum}"),
    }
}

/// The settings people look for first, for the recipe.
fn facts(settings: &MlpSettings) -> Vec<(String, String)> {
    let s = settings;
    let body = |body: &Body| {
        let biases = match body.biases {
            undertone_mlp::Biases::With => "with biases",
            undertone_mlp::Biases::Without => "without biases",
        };
        let hidden: Vec<String> = body.hidden.iter().map(ToString::to_string).collect();
        format!(
            "hidden {} ({}, {biases})",
            hidden.join("-"),
            body.activation
        )
    };
    let loss = match s.student_loss {
        LossKind::Kl => "KL divergence from the teacher",
        LossKind::Mse => "mean squared error",
        LossKind::CrossEntropy => "cross-entropy",
    };
    let precision = s.precision.describe();
    let phase = |training: &undertone_lab::settings::Training| {
        let optimiser = optimiser_words(&training.optimiser);
        format!(
            "{} epochs, batch {}, {optimiser}",
            training.epochs, training.batch
        )
    };
    let mut facts = vec![
        ("Seed".to_owned(), s.seed.to_string()),
        ("Models".to_owned(), s.models.to_string()),
        ("Network".to_owned(), body(&s.body)),
        ("Auxiliary logits".to_owned(), s.aux_logits.to_string()),
        ("Teacher".to_owned(), phase(&s.teacher)),
        (
            "Students".to_owned(),
            format!(
                "{}, {loss}, temperature {}",
                phase(&s.student),
                s.temperature
            ),
        ),
        ("Shown to students".to_owned(), inputs_words(s)),
        ("Number format".to_owned(), precision.to_owned()),
    ];
    if let Some(student) = &s.student_body {
        facts.push(("Network of students".to_owned(), body(student)));
    }
    if let Some(cloning) = &s.cloning {
        facts.push(("Behaviour cloning".to_owned(), cloning_words(s, cloning)));
    }
    facts
}

/// Writes a verdict as `transfer`, `no transfer (within 0.02)` or `inconclusive`.
fn verdict_text(verdict: &Verdict) -> String {
    verdict.outcome.text(verdict.delta)
}
