//! The report of a sweep: one figure over the axis, one table, the learning-rate search.

use undertone_lab::Condition;
use undertone_lab::outcome::ConditionResult;
use undertone_lab::search::{Search, SearchRow};
use undertone_lab::settings::CLASSES;
use undertone_lab::sweep::Scale;
use undertone_report::{
    Baseline, Column, Figure, FigureKind, Interval, Outcome, Report, Sweep, SweepPoint,
    SweepSeries, Table, VerdictLine, X, XScale,
};

use super::experiment::sentence;
use super::{
    estimate_text, facts, inputs_words, interval, interval_words, kl_text, level_of, recipe, role,
    trait_words, verdict_line,
};
use crate::commands::{PointResult, SweepResult, WorkRecipe};

/// Makes the report of `result`.
pub fn sweep(result: &SweepResult, work: Option<&WorkRecipe<'_>>) -> Report {
    let axis = result.axis.title();
    let first = result.points.first().map(|point| &point.result.settings);
    let mut verdicts: Vec<VerdictLine> = result
        .points
        .iter()
        .map(|point| {
            let sentence = format!("At {axis} {}: {}", point.label, sentence(&point.result));
            verdict_line(sentence, &point.result.verdict)
        })
        .collect();
    verdicts.extend(result.searches.iter().map(search_line));
    let mut left_out: Vec<String> = Vec::new();
    for point in &result.points {
        for note in &point.result.left_out {
            let common = result
                .points
                .iter()
                .all(|other| other.result.left_out.contains(note));
            let note = if common {
                note.clone()
            } else {
                format!("At {}: {note}", point.label)
            };
            if !left_out.contains(&note) {
                left_out.push(note);
            }
        }
    }
    let mut tables = vec![table(result)];
    tables.extend(result.searches.iter().map(search_table));
    Report {
        title: format!("Subliminal learning over {axis}"),
        subtitle: first.map_or_else(String::new, |s| {
            format!("Data `{}`, {} models at each of {} values", s.data.name, s.models, result.points.len())
        }),
        question: first.map_or_else(String::new, |s| {
            format!(
                "How does what a student picks up about {} from meaningless outputs on {} depend on {axis}?",
                trait_words(s),
                inputs_words(s)
            )
        }),
        verdicts,
        figures: vec![figure(result)],
        tables,
        drawings: Vec::new(),
        left_out,
        recipe: recipe(work, || crate::commands::repeat_sweep(result), first.map(facts).unwrap_or_default()),
        notes: Vec::new(),
    }
}

fn conditions(result: &SweepResult) -> Vec<Condition> {
    Condition::ALL
        .into_iter()
        .filter(|condition| {
            result
                .points
                .iter()
                .any(|point| point.result.condition(*condition).is_some())
        })
        .collect()
}

fn figure(result: &SweepResult) -> Figure {
    // A logarithmic axis has no place for 0.
    let positive = result
        .points
        .iter()
        .all(|point| point.x.is_none_or(|x| x > 0.0));
    let scale = match result.axis.scale() {
        Scale::Logarithmic if positive => XScale::Log,
        Scale::Logarithmic | Scale::Linear => XScale::Linear,
        Scale::Category => XScale::Category,
    };
    let mut points: Vec<&PointResult> = result.points.iter().collect();
    if scale != XScale::Category {
        points.sort_by(|a, b| a.x.partial_cmp(&b.x).unwrap_or(std::cmp::Ordering::Equal));
    }
    let series = conditions(result)
        .into_iter()
        .map(|condition| SweepSeries {
            label: condition.label().to_owned(),
            role: role(condition),
            points: points
                .iter()
                .filter_map(|point| sweep_point(point, condition))
                .collect(),
        })
        .collect();
    let n = result
        .points
        .first()
        .map_or(0, |point| point.result.settings.models);
    let published = result
        .points
        .iter()
        .flat_map(|point| &point.result.conditions)
        .any(|condition| condition.published.is_some());
    Figure {
        id: format!("sweep-{}", result.axis.name()),
        title: format!("Test accuracy over {}", result.axis.title()),
        caption: format!("Mean over {n} models at each value."),
        alt: format!(
            "Test accuracy of each condition over {}; the table below holds the numbers.",
            result.axis.title()
        ),
        interval_label: Some(format!("{} over {n} models", intervals(result))),
        point_label: Some("one model".to_owned()),
        reference_label: published.then(|| "published value".to_owned()),
        kind: FigureKind::Sweep(Sweep {
            x_label: result.axis.title().to_owned(),
            x_scale: scale,
            y_label: "test accuracy".to_owned(),
            y_range: Some(Interval { lo: 0.0, hi: 1.0 }),
            baseline: Some(Baseline::Chance(1.0 / CLASSES as f64)),
            series,
        }),
    }
}

fn sweep_point(point: &PointResult, condition: Condition) -> Option<SweepPoint> {
    let ConditionResult {
        accuracy,
        per_model,
        published,
        ..
    } = point.result.condition(condition)?;
    Some(SweepPoint {
        x: point
            .x
            .map_or_else(|| X::Name(point.label.clone()), X::Number),
        estimate: accuracy.as_ref().map(|accuracy| accuracy.mean),
        interval: interval(accuracy.as_ref()),
        n: accuracy.as_ref().map(|accuracy| accuracy.n as u64),
        points: per_model.clone(),
        reference: *published,
    })
}

/// What the intervals of the sweep are; all points share one rule.
fn intervals(result: &SweepResult) -> String {
    let mut points = result.points.iter();
    interval_words(points.find_map(|point| level_of(&point.result)))
}

fn table(result: &SweepResult) -> Table {
    let conditions = conditions(result);
    let mut columns = vec![Column::words(result.axis.title())];
    columns.extend(
        conditions
            .iter()
            .map(|condition| Column::number(condition.label())),
    );
    let cloned = result
        .points
        .iter()
        .any(|point| point.result.cloning_loss.is_some());
    if cloned {
        columns.push(Column::number("KL after cloning, nats"));
    }
    columns.push(Column::words("Verdict"));
    let rows = result
        .points
        .iter()
        .map(|point| {
            let mut row = vec![point.label.clone()];
            row.extend(conditions.iter().map(|condition| {
                estimate_text(
                    point
                        .result
                        .condition(*condition)
                        .and_then(|c| c.accuracy.as_ref()),
                )
            }));
            if cloned {
                row.push(kl_text(point.result.cloning_loss.as_ref()));
            }
            row.push(super::verdict_text(&point.result.verdict));
            row
        })
        .collect();
    Table {
        caption: format!("Test accuracy over {}", result.axis.title()),
        columns,
        rows,
        notes: vec![format!(
            "Intervals: {} of the mean; the model is the unit.",
            intervals(result)
        )],
    }
}

fn search_line(search: &Search) -> VerdictLine {
    VerdictLine {
        sentence: format!(
            "For {} the search chose learning rate {} for teachers and {} for students.",
            search.optimiser, search.teacher_rate, search.student_rate
        ),
        outcome: Outcome::None,
        detail: format!(
            "Teachers by highest mean accuracy, students by lowest mean distillation loss, {} models of seed {} that are \
             not among those reported; rates at which any model diverged are out.",
            search.models, search.seed
        ),
    }
}

fn search_table(search: &Search) -> Table {
    let text = |row: &SearchRow| {
        row.score
            .map_or_else(|| "diverged".to_owned(), |score| format!("{score:.4e}"))
    };
    Table {
        caption: format!("Learning-rate search for {}", search.optimiser),
        columns: vec![
            Column::number("Learning rate"),
            Column::number("Teacher accuracy"),
            Column::number("Student loss"),
        ],
        rows: search
            .teacher
            .iter()
            .zip(&search.student)
            .map(|(teacher, student)| {
                vec![
                    teacher.learning_rate.to_string(),
                    text(teacher),
                    text(student),
                ]
            })
            .collect(),
        notes: Vec::new(),
    }
}
