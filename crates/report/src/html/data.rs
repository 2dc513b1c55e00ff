//! The table behind each figure: every number that is drawn, for reading, copying and screen readers.

use super::table_region;
use crate::figure::{Figure, FigureKind, Interval};
use crate::model::{Column, Table};
use crate::svg::{MAX_CLOUD, telling_decimals, values, x_name};
use crate::text::{decimals, escape, number, short_number};

/// Most rows that are listed; the rest is counted in a remark.
const MAX_ROWS: usize = 1200;

/// Returns a closed `<details>` with the figure's numbers.
pub(super) fn details(figure: &Figure) -> String {
    let values = values(figure);
    let lo = values.iter().copied().fold(f64::INFINITY, f64::min);
    let hi = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // One digit more than the drawing shows.
    let digits = if hi > lo { decimals(hi - lo) + 1 } else { 4 };
    let (mut table, singles) = match &figure.kind {
        FigureKind::Bars(_) => bars(figure, digits),
        FigureKind::Curves(_) => (curves(figure, digits), Vec::new()),
        FigureKind::Sweep(_) => sweep(figure, digits),
    };
    let mut remark = String::new();
    if table.rows.len() > MAX_ROWS {
        remark = format!(
            "<p class=\"remark\">The first {MAX_ROWS} of {} rows; all are in the result files of the run.</p>\n",
            table.rows.len()
        );
        table.rows.truncate(MAX_ROWS);
    }
    let caption_id = format!("{}-data", figure.id);
    format!(
        "<details>\n<summary>Numbers behind this figure<span class=\"hidden\">: {}</span></summary>\n{}{remark}{}\
         </details>\n",
        escape(&figure.title),
        table_region(&table, &caption_id, "scroll tall"),
        single_values(figure, &singles, digits)
    )
}

fn bars(figure: &Figure, digits: usize) -> (Table, Singles<'_>) {
    let FigureKind::Bars(bars) = &figure.kind else {
        return (empty(figure), Vec::new());
    };
    let mut table = empty(figure);
    table.columns = [vec![Column::words("condition")], estimate_columns(figure)].concat();
    let mut singles = Vec::new();
    for bar in &bars.bars {
        let estimate = estimate_cells(bar.estimate, bar.interval, bar.n, bar.reference, digits);
        table
            .rows
            .push([vec![bar.label.clone()], estimate].concat());
        singles.push((bar.label.clone(), bar.points.as_slice()));
    }
    (table, singles)
}

fn curves(figure: &Figure, digits: usize) -> Table {
    let FigureKind::Curves(curves) = &figure.kind else {
        return empty(figure);
    };
    let mut table = empty(figure);
    table.columns = vec![
        Column::words("line"),
        Column::number(&curves.x_label),
        Column::number("estimate"),
        Column::number("from"),
        Column::number("to"),
    ];
    for series in &curves.series {
        for point in &series.points {
            let [estimate, lo, hi] = value_cells(point.y, point.interval, digits);
            table.rows.push(vec![
                series.label.clone(),
                short_number(point.x),
                estimate,
                lo,
                hi,
            ]);
        }
    }
    table
}

fn sweep(figure: &Figure, digits: usize) -> (Table, Singles<'_>) {
    let FigureKind::Sweep(sweep) = &figure.kind else {
        return (empty(figure), Vec::new());
    };
    let mut table = empty(figure);
    let names = vec![Column::words("condition"), Column::number(&sweep.x_label)];
    table.columns = [names, estimate_columns(figure)].concat();
    let mut singles = Vec::new();
    for series in &sweep.series {
        for point in &series.points {
            let names = vec![series.label.clone(), x_name(&point.x)];
            let estimate = estimate_cells(
                point.estimate,
                point.interval,
                point.n,
                point.reference,
                digits,
            );
            let single_name = format!("{}, {} {}", series.label, sweep.x_label, x_name(&point.x));
            table.rows.push([names, estimate].concat());
            singles.push((single_name, point.points.as_slice()));
        }
    }
    (table, singles)
}

/// Names and the single values that belong to them.
type Singles<'a> = Vec<(String, &'a [f64])>;

/// Lists single values in the order in which they were given, one row per estimate.
fn single_values(figure: &Figure, singles: &Singles<'_>, digits: usize) -> String {
    let mut table = empty(figure);
    table.caption = format!("Single values: {}", figure.title);
    let what = figure.point_label.as_deref().unwrap_or("single values");
    table.columns = vec![
        Column::words("estimate"),
        Column::words(format!("values ({what} each)")),
    ];
    for (name, values) in singles.iter().filter(|(_, values)| !values.is_empty()) {
        let shown = values
            .iter()
            .take(MAX_CLOUD)
            .map(|&value| number(value, digits));
        let mut text = shown.collect::<Vec<_>>().join(" ");
        if values.len() > MAX_CLOUD {
            text.push_str(&format!(" and {} more", values.len() - MAX_CLOUD));
        }
        table.rows.push(vec![name.clone(), text]);
    }
    if table.rows.is_empty() {
        return String::new();
    }
    let region = table_region(
        &table,
        &format!("{}-singles", figure.id),
        "scroll tall singles",
    );
    format!("<details>\n<summary>Single values</summary>\n{region}</details>\n")
}

fn empty(figure: &Figure) -> Table {
    Table {
        caption: figure.title.clone(),
        columns: Vec::new(),
        rows: Vec::new(),
        notes: Vec::new(),
    }
}

fn estimate_columns(figure: &Figure) -> Vec<Column> {
    let reference = figure.reference_label.as_deref().unwrap_or("reference");
    ["estimate", "from", "to", "n", reference]
        .map(Column::number)
        .to_vec()
}

fn estimate_cells(
    estimate: Option<f64>,
    interval: Option<Interval>,
    n: Option<u64>,
    reference: Option<f64>,
    digits: usize,
) -> Vec<String> {
    let n = n.map(|n| n.to_string()).unwrap_or_default();
    let reference = reference
        .map(|value| number(value, digits))
        .unwrap_or_default();
    let mut cells = value_cells(estimate, interval, digits).to_vec();
    cells.extend([n, reference]);
    cells
}

fn value_cells(estimate: Option<f64>, interval: Option<Interval>, digits: usize) -> [String; 3] {
    let digits = telling_decimals(interval, digits);
    let write = |value: Option<f64>| value.map(|value| number(value, digits)).unwrap_or_default();
    let estimate = estimate.map_or("not defined".to_owned(), |value| number(value, digits));
    [
        estimate,
        write(interval.map(|ends| ends.lo)),
        write(interval.map(|ends| ends.hi)),
    ]
}
