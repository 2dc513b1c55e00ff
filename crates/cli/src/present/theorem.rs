//! The report of the theorem check.

use undertone_lab::theorem::TheoremResult;
use undertone_lab::theorem::summary::Tally;
use undertone_report::{Column, Outcome, Report, Table, VerdictLine};

use super::recipe;
use crate::commands::{WorkRecipe, theorem_holds};

/// Makes the report of `result`.
pub fn theorem(result: &TheoremResult, work: Option<&WorkRecipe<'_>>) -> Report {
    let (summary, settings) = (&result.summary, &result.settings);
    let total = &summary.total;
    let holds = theorem_holds(result);
    let sentence = if holds {
        format!(
            "In all {} random cases a student's small step towards a teacher with the same starting weights did what \
             Theorem 1 says; with other starting weights nothing of the kind is guaranteed.",
            total.cases
        )
    } else {
        format!(
            "Theorem 1 could not be confirmed: of {} random cases {} were violated and {} stayed unresolved.",
            total.cases, total.violated, total.unresolved
        )
    };
    let share = |share: Option<f64>| {
        share.map_or_else(|| "undefined".to_owned(), |s| format!("{:.0} %", 100.0 * s))
    };
    let contrast = &summary.contrast;
    Report {
        title: "Theorem 1, checked numerically".to_owned(),
        subtitle: format!("{} random cases in f64, seed {}", total.cases, settings.seed),
        question: "When teacher and student start from the same weights, does one small step of the student towards the \
                   teacher's outputs never point away from what the teacher learned, whatever it learned and whatever \
                   the inputs are?"
            .to_owned(),
        verdicts: vec![
            VerdictLine {
                sentence,
                outcome: Outcome::None,
                detail: format!(
                    "Inner product positive and its limit reached in {} cases, exactly 0 as the theorem allows in {}, \
                     unresolved in {}, violated in {}.",
                    total.positive, total.zero, total.unresolved, total.violated
                ),
            },
            VerdictLine {
                sentence: format!(
                    "With different starting weights the step pointed away from the teacher's in {} of cases, and made \
                     the teacher's loss worse in {}.",
                    share(contrast.negative_share),
                    share(contrast.increase_share)
                ),
                outcome: Outcome::None,
                detail: format!("{} cases counted, {} left out as exactly 0.", contrast.cases, contrast.left_out),
            },
        ],
        figures: Vec::new(),
        tables: vec![table(result)],
        drawings: Vec::new(),
        left_out: vec![format!(
            "{} draws were thrown away because a ReLU stood too close to its kink, where the theorem does not apply.",
            summary.redraws
        )],
        recipe: recipe(
            work,
            || format!("undertone theorem --seed {} --cases {} --alpha {}", settings.seed, settings.cases, settings.alpha),
            vec![("Seed".to_owned(), settings.seed.to_string())],
        ),
        notes: vec![
            "Checked in each case: the sign of the inner product of student and teacher updates, the convergence of \
             (inner product / ε) to E[vᵀMv] with its order, and the decrease of the teacher's loss."
                .to_owned(),
        ],
    }
}

fn table(result: &TheoremResult) -> Table {
    let number = |value: Option<f64>, digits: usize| {
        value.map_or_else(String::new, |value| format!("{value:.digits$}"))
    };
    let row = |name: String, tally: &Tally| {
        vec![
            name,
            tally.cases.to_string(),
            tally.positive.to_string(),
            tally.zero.to_string(),
            tally.unresolved.to_string(),
            tally.violated.to_string(),
            number(tally.median_order, 3),
            tally
                .max_limit_error
                .map_or_else(String::new, |error| format!("{error:.1e}")),
        ]
    };
    let mut rows: Vec<Vec<String>> = result
        .summary
        .groups
        .iter()
        .map(|group| {
            row(
                format!("{}, {}", group.activation, group.student_loss),
                &group.tally,
            )
        })
        .collect();
    rows.push(row("all".to_owned(), &result.summary.total));
    let mut columns = vec![Column::words("Activation, student loss")];
    columns.extend(
        [
            "Cases",
            "Positive",
            "Zero",
            "Unresolved",
            "Violated",
            "Median order",
            "Largest limit error",
        ]
        .map(Column::number),
    );
    Table {
        caption: "Same starting weights".to_owned(),
        columns,
        rows,
        notes: vec![
            "Order: of the convergence in ε, 1 by the theorem. Limit error: relative, after one Richardson step.".to_owned(),
        ],
    }
}
