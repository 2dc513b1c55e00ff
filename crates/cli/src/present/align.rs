//! The report of an alignment run.

use undertone_lab::align::{AlignResult, Arm, ArmResult, Point};
use undertone_lab::settings::CLASSES;
use undertone_report::{
    Bar, Bars, Baseline, Column, Curves, Figure, FigureKind, Interval, Report, Role, Series,
    SeriesPoint, Table,
};

use super::{estimate_text, facts, interval, interval_words, level_of_align, recipe, verdict_line};
use crate::commands::WorkRecipe;

/// Makes the report of `result`.
pub fn align(result: &AlignResult, work: Option<&WorkRecipe<'_>>) -> Report {
    let base = &result.settings.base;
    let n = base.models;
    Report {
        title: "Alignment of gradients, and learning without it".to_owned(),
        subtitle: format!("Data `{}`, {n} models, {} auxiliary logits", base.data.name, base.aux_logits),
        question: "A student that copies meaningless outputs of its teacher picks up the teacher's skill. Is that because \
                   its gradient points along the gradient of the skill, and does removing that component stop it?"
            .to_owned(),
        verdicts: vec![
            verdict_line(format!("{}.", capital(&result.conclusion.to_string())), &result.verdict),
            verdict_line("With the gradient as it is, against students of another initialisation:".to_owned(), &result.acquisition),
        ],
        figures: vec![
            bars(result),
            curves("accuracy", "Test accuracy during distillation", "test accuracy", result, |arm| &arm.accuracy),
            curves("cosine", "Cosine of distillation and trait gradient", "cosine", result, |arm| &arm.cosine),
            curves(
                "update-cosine",
                "Cosine of the step taken with a step down the trait gradient",
                "cosine",
                result,
                |arm| &arm.update_cosine,
            ),
        ],
        tables: vec![table(result)],
        drawings: Vec::new(),
        left_out: result.left_out.clone(),
        recipe: recipe(work, || crate::commands::repeat_align(result), facts(base)),
        notes: result.summary.clone(),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn role(arm: Arm) -> Role {
    match arm {
        Arm::AsIs => Role::Treatment,
        Arm::Cross => Role::Control,
        Arm::Projected | Arm::ProjectedOther => Role::Other,
    }
}

fn bars(result: &AlignResult) -> Figure {
    let bar = |arm: &ArmResult| Bar {
        label: arm.label.clone(),
        role: role(arm.arm),
        estimate: arm.final_accuracy.as_ref().map(|accuracy| accuracy.mean),
        interval: interval(arm.final_accuracy.as_ref()),
        n: arm
            .final_accuracy
            .as_ref()
            .map(|accuracy| accuracy.n as u64),
        points: arm.per_model.clone(),
        ..Bar::default()
    };
    Figure {
        id: "final-accuracy".to_owned(),
        title: "Test accuracy at the end".to_owned(),
        caption: "The four arms share teacher, inputs and order of rows.".to_owned(),
        alt: "Bars of final test accuracy for the four arms; the table holds the numbers."
            .to_owned(),
        interval_label: Some(format!(
            "{} over models",
            interval_words(level_of_align(result))
        )),
        point_label: Some("one model".to_owned()),
        reference_label: None,
        kind: FigureKind::Bars(Bars {
            y_label: "test accuracy".to_owned(),
            y_range: Some(Interval { lo: 0.0, hi: 1.0 }),
            baseline: Some(Baseline::Chance(1.0 / CLASSES as f64)),
            bars: result.arms.iter().map(bar).collect(),
        }),
    }
}

fn curves(
    id: &str,
    title: &str,
    y_label: &str,
    result: &AlignResult,
    of: fn(&ArmResult) -> &Vec<Point>,
) -> Figure {
    let accuracy = y_label == "test accuracy";
    let series = result.arms.iter().map(|arm| Series {
        label: arm.label.clone(),
        role: role(arm.arm),
        points: of(arm)
            .iter()
            .map(|point| SeriesPoint {
                x: f64::from(point.step),
                y: point.estimate.as_ref().map(|estimate| estimate.mean),
                interval: interval(point.estimate.as_ref()),
            })
            .collect(),
    });
    Figure {
        id: id.to_owned(),
        title: title.to_owned(),
        caption: format!("Read every {} steps.", result.settings.every),
        alt: format!("Lines of {y_label} over optimiser steps for the four arms."),
        interval_label: Some(format!(
            "{} over models",
            interval_words(level_of_align(result))
        )),
        point_label: None,
        reference_label: None,
        kind: FigureKind::Curves(Curves {
            x_label: "optimiser steps".to_owned(),
            y_label: y_label.to_owned(),
            y_range: accuracy.then_some(Interval { lo: 0.0, hi: 1.0 }),
            baseline: accuracy.then_some(Baseline::Chance(1.0 / CLASSES as f64)),
            series: series.collect(),
        }),
    }
}

fn table(result: &AlignResult) -> Table {
    let row = |arm: &ArmResult| {
        vec![
            arm.label.clone(),
            estimate_text(arm.final_accuracy.as_ref()),
            estimate_text(arm.mean_cosine.as_ref()),
            estimate_text(arm.mean_update_cosine.as_ref()),
        ]
    };
    Table {
        caption: "The four arms".to_owned(),
        columns: vec![
            Column::words("Arm"),
            Column::number("Final accuracy"),
            Column::number("Mean cosine of gradients"),
            Column::number("Mean cosine of steps"),
        ],
        rows: result.arms.iter().map(row).collect(),
        notes: vec![format!(
            "Intervals: {} over models; cosines first averaged over each model's steps.",
            interval_words(level_of_align(result))
        )],
    }
}
