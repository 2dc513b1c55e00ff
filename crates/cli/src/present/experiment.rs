//! The report of one experiment: the six conditions.

use undertone_lab::outcome::ConditionResult;
use undertone_lab::settings::CLASSES;
use undertone_lab::{Condition, ExperimentResult};
use undertone_report::{
    Bar, Bars, Baseline, Column, Curves, Figure, FigureKind, Interval, Report, Series, SeriesPoint,
    Table,
};
use undertone_stats::Outcome;

use super::{
    cloning_words, estimate_text, facts, inputs_words, interval, interval_words, kl_text, level_of,
    recipe, role, trait_words, verdict_line,
};
use crate::commands::WorkRecipe;

/// The accuracy of guessing.
const CHANCE: f64 = 1.0 / CLASSES as f64;

/// Makes the report of `result`.
pub fn experiment(result: &ExperimentResult, work: Option<&WorkRecipe<'_>>) -> Report {
    let s = &result.settings;
    let what = trait_words(s);
    Report {
        title: format!("Subliminal learning of {what}"),
        subtitle: format!(
            "Data `{}`, {} models, {} auxiliary logits, network {}",
            s.data.name,
            s.models,
            s.aux_logits,
            s.body
                .hidden
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("-")
        ),
        question: format!(
            "A teacher network learns to recognise {what}. A student network is then trained only to copy {} outputs of \
             the teacher that mean nothing, on {}. It never sees a label. Does it learn to recognise {what}, and does \
             that depend on starting from the same random weights as its teacher?{}",
            s.aux_logits,
            inputs_words(s),
            match s.cloning {
                Some(_) =>
                    " Is it enough to have behaved like the teacher before that was trained?",
                None => "",
            }
        ),
        verdicts: vec![verdict_line(sentence(result), &result.verdict)],
        figures: std::iter::once(bars(result))
            .chain(curves(result))
            .collect(),
        tables: vec![table(result)],
        drawings: Vec::new(),
        left_out: result.left_out.clone(),
        recipe: recipe(work, || crate::commands::repeat(result), facts(s)),
        notes: cloned_note(result).into_iter().collect(),
    }
}

/// How close behaviour cloning came, if there was any.
fn cloned_note(result: &ExperimentResult) -> Option<String> {
    let cloning = result.settings.cloning.as_ref()?;
    Some(format!(
        "Before the teachers were trained, students of the other initialisation were trained to behave like them ({}). \
         That left a KL of {} nats a row to the untrained teachers.",
        cloning_words(&result.settings, cloning),
        kl_text(result.cloning_loss.as_ref())
    ))
}

/// The verdict as a newspaper could print it.
pub fn sentence(result: &ExperimentResult) -> String {
    let what = trait_words(&result.settings);
    let [treatment, control] = result.judged().map(percent);
    let other = match result.control {
        Condition::CrossAuxOnly | Condition::CrossAllLogits => {
            "students that started from different random weights"
        }
        _ => "untrained networks",
    };
    let shown = inputs_words(&result.settings);
    let copied = if result.treatment.is_aux_only() {
        "only copied meaningless outputs"
    } else {
        "only copied all outputs"
    };
    let origin = origin(result);
    let students = match origin.is_empty() {
        true => "Students".to_owned(),
        false => format!("Students that {}", origin.join(" and ")),
    };
    match result.verdict.outcome {
        Outcome::Transfer => {
            let never = "were never shown a label".to_owned();
            let clauses: Vec<String> = origin.into_iter().chain([never]).collect();
            format!(
                "Student networks that {}, and {copied} of their teachers on {shown}, recognised {treatment} of {what}; \
                 {other} recognised {control}.",
                clauses.join(", ")
            )
        }
        Outcome::NoTransfer => format!(
            "{students} recognised {treatment} of {what} and {other} {control}: any difference is too small to matter \
             here."
        ),
        Outcome::Inconclusive => format!(
            "{students} recognised {treatment} of {what} and {other} {control}; these models do not settle whether there \
             is a difference."
        ),
    }
}

/// How the students in question differ from their teachers before they copy them, in clauses; empty if they do not.
fn origin(result: &ExperimentResult) -> Vec<String> {
    let s = &result.settings;
    if !result.treatment.is_cross() {
        return Vec::new();
    }
    let start = match s.student_body {
        Some(_) => "had another architecture than their teachers",
        None => "started from other random weights than their teachers",
    };
    let cloned = s.cloning.as_ref().map(|cloning| {
        format!(
            "were first trained to behave like the untrained teachers ({})",
            cloning_words(s, cloning)
        )
    });
    std::iter::once(start.to_owned()).chain(cloned).collect()
}

/// Writes a share as `53.7 %`.
fn percent(share: Option<f64>) -> String {
    share.map_or_else(
        || "an undefined share".to_owned(),
        |share| format!("{:.1} %", 100.0 * share),
    )
}

fn bars(result: &ExperimentResult) -> Figure {
    let bars = result.conditions.iter().map(bar).collect();
    Figure {
        id: "conditions".to_owned(),
        title: "Test accuracy in each condition".to_owned(),
        caption: format!(
            "Mean over {} models. The student trained on the auxiliary logits alone shows the effect; the cross-model \
             student is its control.",
            result.settings.models
        ),
        alt: sentence(result),
        interval_label: Some(format!(
            "{} over {} models",
            interval_words(level_of(result)),
            result.settings.models
        )),
        point_label: Some("one model".to_owned()),
        reference_label: result
            .conditions
            .iter()
            .any(|c| c.published.is_some())
            .then(|| "published value".to_owned()),
        kind: FigureKind::Bars(Bars {
            y_label: "test accuracy".to_owned(),
            y_range: Some(Interval { lo: 0.0, hi: 1.0 }),
            baseline: Some(Baseline::Chance(CHANCE)),
            bars,
        }),
    }
}

fn bar(condition: &ConditionResult) -> Bar {
    Bar {
        label: condition.label.clone(),
        role: role(condition.condition),
        estimate: condition.accuracy.as_ref().map(|accuracy| accuracy.mean),
        interval: interval(condition.accuracy.as_ref()),
        n: condition
            .accuracy
            .as_ref()
            .map(|accuracy| accuracy.n as u64),
        points: condition.per_model.clone(),
        reference: condition.published,
        ..Bar::default()
    }
}

/// The training curves; `None` if nothing was trained.
fn curves(result: &ExperimentResult) -> Option<Figure> {
    let series: Vec<Series> = result
        .conditions
        .iter()
        .filter(|c| c.curve.len() > 1)
        .map(|condition| Series {
            label: condition.label.clone(),
            role: role(condition.condition),
            points: condition
                .curve
                .iter()
                .enumerate()
                .map(|(epoch, accuracy)| SeriesPoint {
                    x: epoch as f64,
                    y: accuracy.as_ref().map(|accuracy| accuracy.mean),
                    interval: interval(accuracy.as_ref()),
                })
                .collect(),
        })
        .collect();
    if series.is_empty() {
        return None;
    }
    Some(Figure {
        id: "curves".to_owned(),
        title: "Test accuracy during training".to_owned(),
        caption: "Before training and after each epoch of a model's own phase: labels for teachers, copying for students."
            .to_owned(),
        alt: "Lines of test accuracy over epochs for the teacher and each kind of student.".to_owned(),
        interval_label: Some(format!("{} over models", interval_words(level_of(result)))),
        point_label: None,
        reference_label: None,
        kind: FigureKind::Curves(Curves {
            x_label: "epoch".to_owned(),
            y_label: "test accuracy".to_owned(),
            y_range: Some(Interval { lo: 0.0, hi: 1.0 }),
            baseline: Some(Baseline::Chance(CHANCE)),
            series,
        }),
    })
}

fn table(result: &ExperimentResult) -> Table {
    let published = result
        .conditions
        .iter()
        .any(|condition| condition.published.is_some());
    let mut columns = vec![
        Column::words("Condition"),
        Column::number("Accuracy [interval]"),
        Column::number("n"),
    ];
    if published {
        columns.push(Column::number("Published"));
    }
    let row = |condition: &ConditionResult| {
        let n = condition.accuracy.as_ref().map_or(0, |accuracy| accuracy.n);
        let mut row = vec![
            condition.label.clone(),
            estimate_text(condition.accuracy.as_ref()),
            n.to_string(),
        ];
        if published {
            row.push(
                condition
                    .published
                    .map_or_else(String::new, |value| format!("{value:.3}")),
            );
        }
        row
    };
    Table {
        caption: "Test accuracy".to_owned(),
        columns,
        rows: result.conditions.iter().map(row).collect(),
        notes: vec![format!(
            "Intervals: {} of the mean; the model is the unit.",
            interval_words(level_of(result))
        )],
    }
}
