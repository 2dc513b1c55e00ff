//! `compare`: two runs side by side.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use undertone_core::exit;
use undertone_lab::ExperimentResult;
use undertone_report::{Column, Table, table_text};
use undertone_stats::{TTest, welch_t};
use undertone_store::RunView;

use crate::args::CompareArgs;
use crate::commands::ablate::SweepResult;
use crate::commands::runs::asked_for;
use crate::context::Context;
use crate::failure::Usage;
use crate::present::estimate_text;

/// Level of the intervals of differences.
const LEVEL: f64 = 0.95;

/// Compares settings and numbers of two finished runs.
pub fn run(context: &Context, args: &CompareArgs) -> Result<u8> {
    let store = context.existing_store()?;
    let runs = [
        asked_for(&store, &args.first)?,
        asked_for(&store, &args.second)?,
    ];
    let settings = setting_differences(&runs[0].settings.settings, &runs[1].settings.settings);
    let numbers = [numbers(&runs[0])?, numbers(&runs[1])?];
    let rows: Vec<Row> = numbers[0]
        .iter()
        .filter_map(|(label, first)| Some(Row::new(label, first, numbers[1].get(label)?)))
        .collect();
    if rows.is_empty() {
        let [first, second] = [runs[0].id(), runs[1].id()];
        return Err(Usage(format!(
            "`{first}` and `{second}` have no condition in common"
        ))
        .into());
    }
    let same = runs[0].manifest.result == runs[1].manifest.result;
    let value = json!({
        "runs": [runs[0].id(), runs[1].id()],
        "same_result_bytes": same,
        "settings": settings,
        "conditions": rows.iter().map(Row::json).collect::<Vec<_>>(),
    });
    context.print(&value, || text(context, &runs, &settings, &rows, same))?;
    Ok(exit::DONE)
}

/// One condition in both runs.
struct Row {
    label: String,
    values: [Vec<f64>; 2],
    difference: Option<TTest>,
}

impl Row {
    fn new(label: &str, first: &[f64], second: &[f64]) -> Self {
        let difference = welch_t(second, first, LEVEL);
        Self {
            label: label.to_owned(),
            values: [first.to_vec(), second.to_vec()],
            difference,
        }
    }

    fn means(&self) -> [Option<undertone_stats::Estimate>; 2] {
        [0, 1].map(|side| undertone_stats::mean_t(&self.values[side], LEVEL))
    }

    fn json(&self) -> Value {
        json!({"label": self.label, "means": self.means(), "difference": self.difference})
    }

    fn cells(&self) -> Vec<String> {
        let [first, second] = self.means();
        let difference = self.difference.as_ref().map_or_else(String::new, |welch| {
            format!(
                "{:+.3} [{:+.3}, {:+.3}]",
                welch.difference, welch.interval.lo, welch.interval.hi
            )
        });
        vec![
            self.label.clone(),
            estimate_text(first.as_ref()),
            estimate_text(second.as_ref()),
            difference,
        ]
    }
}

/// Accuracies of every model, by condition.
fn numbers(run: &RunView) -> Result<BTreeMap<String, Vec<f64>>> {
    let unfinished = || Usage(format!("run `{}` has not finished", run.id()));
    let read = |label: &str, result: &ExperimentResult| -> Vec<(String, Vec<f64>)> {
        let name = |condition: &str| {
            if label.is_empty() {
                condition.to_owned()
            } else {
                format!("{label}: {condition}")
            }
        };
        result
            .conditions
            .iter()
            .map(|c| (name(&c.label), c.per_model.clone()))
            .collect()
    };
    Ok(match run.settings.command.as_str() {
        "demo" | "mnist" => {
            let result: ExperimentResult = run.result_as()?.ok_or_else(unfinished)?;
            read("", &result).into_iter().collect()
        }
        "ablate" => {
            let result: SweepResult = run.result_as()?.ok_or_else(unfinished)?;
            result
                .points
                .iter()
                .flat_map(|point| read(&point.label, &point.result))
                .collect()
        }
        other => {
            return Err(Usage(format!("runs of `{other}` have no accuracies to compare")).into());
        }
    })
}

/// Returns the settings that differ: path, first value, second value.
fn setting_differences(first: &Value, second: &Value) -> Vec<(String, Value, Value)> {
    let mut differences = Vec::new();
    walk("", first, second, &mut differences);
    differences
}

fn walk(path: &str, first: &Value, second: &Value, differences: &mut Vec<(String, Value, Value)>) {
    let (Value::Object(a), Value::Object(b)) = (first, second) else {
        if first != second {
            differences.push((path.to_owned(), first.clone(), second.clone()));
        }
        return;
    };
    let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let side = |object: &serde_json::Map<String, Value>| {
            object.get(name).cloned().unwrap_or(Value::Null)
        };
        walk(&path, &side(a), &side(b), differences);
    }
}

fn text(
    context: &Context,
    runs: &[RunView; 2],
    settings: &[(String, Value, Value)],
    rows: &[Row],
    same: bool,
) -> Result<String> {
    let [first, second] = [0, 1].map(|side| runs[side].id().to_string());
    let settings = Table {
        caption: "Settings that differ".to_owned(),
        columns: ["Setting", &first, &second].map(Column::words).into(),
        rows: settings
            .iter()
            .map(|(path, a, b)| vec![path.clone(), a.to_string(), b.to_string()])
            .collect(),
        notes: Vec::new(),
    };
    let conditions = Table {
        caption: "Test accuracy".to_owned(),
        columns: vec![
            Column::words("Condition"),
            Column::number(&first),
            Column::number(&second),
            Column::number("Second minus first"),
        ],
        rows: rows.iter().map(Row::cells).collect(),
        notes: vec![
            "Means over models with 95 % t intervals; differences by Welch's t, models taken as unpaired.".to_owned(),
        ],
    };
    let mut text = String::new();
    if settings.rows.is_empty() {
        text.push_str("the settings are the same\n");
    } else {
        text.push_str(&table_text(&settings, context.style()).context("settings")?);
    }
    if same {
        text.push_str("\nthe results are the same, byte for byte\n");
    }
    text.push('\n');
    text.push_str(&table_text(&conditions, context.style()).context("conditions")?);
    Ok(text)
}
