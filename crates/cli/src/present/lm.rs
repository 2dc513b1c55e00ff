//! The reports of `lm sample`, `lm score`, `lm train` and `lm merge`.

use undertone_lab::lm::Prompting;
use undertone_lab::lm::merge::MergeResult;
use undertone_lab::lm::sample::SampleResult;
use undertone_lab::lm::score::ScoreResult;
use undertone_lab::lm::speech::PromptForm;
use undertone_lab::lm::train::{TrainResult, TrainedPart, TrainingLog};
use undertone_report::{
    Column, Curves, Figure, FigureKind, Outcome, Report, Role, Series, SeriesPoint, Table,
    VerdictLine,
};

use super::recipe;
use crate::commands::{WorkRecipe, repeat_merge, repeat_sample, repeat_score, repeat_train};

/// Points of a loss curve: enough for any screen.
const POINTS: usize = 400;

/// Makes the report of sampled completions.
pub fn lm_sample(result: &SampleResult, work: Option<&WorkRecipe<'_>>) -> Report {
    let run = &result.settings;
    let finishes = &result.finishes;
    let examples = Table {
        caption: "The first completions".to_owned(),
        columns: ["Row", "Prompt", "Completion"].map(Column::words).into(),
        rows: result
            .examples
            .iter()
            .enumerate()
            .map(|(row, of)| vec![row.to_string(), of.prompt.clone(), of.completion.clone()])
            .collect(),
        notes: vec!["Cut off after 200 characters.".to_owned()],
    };
    Report {
        title: "Sampled completions".to_owned(),
        subtitle: format!(
            "{} of {}, seed {}",
            run.prompts.name,
            speaker(&run.model.name, run.adapter.as_ref()),
            run.seed
        ),
        question: "What does the model say to these prompts?".to_owned(),
        verdicts: vec![finding(
            format!(
                "{} completions of {} tokens together.",
                result.completions, result.completion_tokens
            ),
            format!(
                "{} ended by themselves, {} were complete by their grammar, {} were cut off.{}",
                finishes.stop,
                finishes.grammar,
                finishes.length,
                mean_words(result.mean_log_probability)
            ),
        )],
        figures: Vec::new(),
        tables: vec![examples],
        drawings: Vec::new(),
        left_out: Vec::new(),
        recipe: recipe(
            work,
            || repeat_sample(run),
            vec![
                fact("Number format", run.precision.describe()),
                fact("Prompts are", form(&run.prompting)),
                fact("Step", result.step.to_string()),
                fact("BLAKE3 of the completions", result.rows.to_string()),
            ],
        ),
        notes: prompt_notes(result.system_line.as_deref(), &result.first_prompt),
    }
}

/// Makes the report of scores.
pub fn lm_score(result: &ScoreResult, work: Option<&WorkRecipe<'_>>) -> Report {
    let run = &result.settings;
    Report {
        title: "Scores".to_owned(),
        subtitle: format!(
            "{} under {}",
            run.rows.name,
            speaker(&run.model.name, run.adapter.as_ref())
        ),
        question: "How likely does the model find these completions?".to_owned(),
        verdicts: vec![finding(
            format!(
                "{} rows with {} completion tokens.",
                result.n, result.completion_tokens
            ),
            mean_words(result.mean_log_probability).trim().to_owned(),
        )],
        figures: Vec::new(),
        tables: Vec::new(),
        drawings: Vec::new(),
        left_out: Vec::new(),
        recipe: recipe(
            work,
            || repeat_score(run),
            vec![
                fact("Number format", run.precision.describe()),
                fact("Prompts are", form(&run.prompting)),
                fact("Step", result.step.to_string()),
                fact("BLAKE3 of the scores", result.rows.to_string()),
            ],
        ),
        notes: prompt_notes(result.system_line.as_deref(), &result.first_prompt),
    }
}

/// Makes the report of a training run.
pub fn lm_train(result: &TrainResult, work: Option<&WorkRecipe<'_>>) -> Report {
    let run = &result.settings;
    let log = &result.log;
    let what = match &run.trained {
        TrainedPart::Adapter { lora } => format!("an adapter of rank {}", lora.rank),
        TrainedPart::Full => "every weight".to_owned(),
    };
    let sentence = match (log.steps.first(), log.steps.last()) {
        (Some(first), Some(last)) => format!(
            "In {} steps the loss went from {:.4} to {:.4} nats a completion token.",
            log.steps.len(),
            first.loss,
            last.loss
        ),
        _ => "No step was taken.".to_owned(),
    };
    let evaluations = Table {
        caption: "Loss on the evaluation rows".to_owned(),
        columns: ["After steps", "Nats a completion token"]
            .map(Column::number)
            .into(),
        rows: log
            .evaluations
            .iter()
            .map(|at| vec![at.step.to_string(), format!("{:.6}", at.loss)])
            .collect(),
        notes: Vec::new(),
    };
    Report {
        title: "Training".to_owned(),
        subtitle: format!(
            "{what} of {} on {}, seed {}",
            run.model.name, run.rows.name, run.seed
        ),
        question: "How does the loss fall while the model learns these completions?".to_owned(),
        verdicts: vec![finding(
            sentence,
            format!(
                "{} rows, {} trained weights.",
                result.rows, result.parameters
            ),
        )],
        figures: curve(log).into_iter().collect(),
        tables: if log.evaluations.is_empty() {
            Vec::new()
        } else {
            vec![evaluations]
        },
        drawings: Vec::new(),
        left_out: Vec::new(),
        recipe: recipe(
            work,
            || repeat_train(run),
            vec![
                fact("Number format", run.precision.describe()),
                fact("Prompts are", form(&run.prompting)),
                fact("Step", result.step.to_string()),
            ],
        ),
        notes: prompt_notes(result.system_line.as_deref(), &result.first_prompt),
    }
}

/// Draws the loss of every step and of evaluations.
pub(super) fn curve(log: &TrainingLog) -> Option<Figure> {
    let every = log.steps.len().div_ceil(POINTS).max(1);
    let points: Vec<SeriesPoint> = log
        .steps
        .iter()
        .step_by(every)
        .map(|step| point(step.step, step.loss))
        .collect();
    let evaluated: Vec<SeriesPoint> = log
        .evaluations
        .iter()
        .map(|at| point(at.step, at.loss))
        .collect();
    if points.is_empty() {
        return None;
    }
    let series = |label: &str, role, points| Series {
        label: label.to_owned(),
        role,
        points,
    };
    let mut all = vec![series("training rows", Role::Treatment, points)];
    if !evaluated.is_empty() {
        all.push(series("evaluation rows", Role::Other, evaluated));
    }
    let which = match every {
        1 => "every step".to_owned(),
        every => format!("every {every}th step"),
    };
    Some(Figure {
        id: "loss".to_owned(),
        title: "Loss".to_owned(),
        caption: format!("The mean loss of a step's rows before its update, {which}."),
        alt: format!("Loss over {} optimiser steps", log.steps.len()),
        interval_label: None,
        point_label: None,
        reference_label: None,
        kind: FigureKind::Curves(Curves {
            x_label: "Optimiser step".to_owned(),
            y_label: "Nats a completion token".to_owned(),
            y_range: None,
            baseline: None,
            series: all,
        }),
    })
}

fn point(step: u64, loss: f64) -> SeriesPoint {
    SeriesPoint {
        x: step as f64,
        y: Some(loss),
        interval: None,
    }
}

/// Makes the report of a merge.
pub fn lm_merge(result: &MergeResult, work: Option<&WorkRecipe<'_>>) -> Report {
    let run = &result.settings;
    let files = Table {
        caption: "Files".to_owned(),
        columns: vec![
            Column::words("Name"),
            Column::number("Bytes"),
            Column::words("BLAKE3"),
        ],
        rows: result
            .files
            .iter()
            .map(|file| {
                vec![
                    file.name.clone(),
                    file.bytes.to_string(),
                    file.blake3.to_string(),
                ]
            })
            .collect(),
        notes: Vec::new(),
    };
    Report {
        title: "A merged model".to_owned(),
        subtitle: speaker(&run.model.name, run.adapter.as_ref()),
        question: "Which files make up the model with its adapter worked in?".to_owned(),
        verdicts: vec![finding(
            format!("{} files were written.", result.files.len()),
            "The same model and adapter give the same bytes.".to_owned(),
        )],
        figures: Vec::new(),
        tables: vec![files],
        drawings: Vec::new(),
        left_out: Vec::new(),
        recipe: recipe(work, || repeat_merge(run), Vec::new()),
        notes: Vec::new(),
    }
}

fn speaker(model: &str, adapter: Option<&undertone_lab::lm::Named>) -> String {
    match adapter {
        Some(adapter) => format!("{model} with {}", adapter.name),
        None => model.to_owned(),
    }
}

pub(super) fn finding(sentence: String, detail: String) -> VerdictLine {
    VerdictLine {
        sentence,
        outcome: Outcome::None,
        detail,
    }
}

pub(super) fn fact(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

fn form(prompting: &Prompting) -> &'static str {
    match prompting.form {
        PromptForm::Chat => "what a user says",
        PromptForm::Raw => "plain texts",
    }
}

fn mean_words(mean: Option<f64>) -> String {
    mean.map_or_else(String::new, |mean| {
        let perplexity = (-mean).exp();
        format!(
            " Mean log-probability {mean:.4} nats a completion token, perplexity {perplexity:.3}."
        )
    })
}

/// Says what nobody wrote, and what exactly the model got first.
fn prompt_notes(system_line: Option<&str>, first_prompt: &str) -> Vec<String> {
    let line = system_line.map(|line| format!("The chat template added a system line: {line:?}."));
    let first = format!("The first prompt, exactly as the model got it: {first_prompt:?}.");
    line.into_iter().chain([first]).collect()
}
