//! Says whether a report can be drawn, before anything is drawn.
//!
//! Every public renderer runs these checks first, so the drawing code meets only finite numbers, ordered intervals and
//! tables whose rows fit their columns. The first fault found is reported with the place it is in.

use crate::figure::{
    Bars, Baseline, Curves, Figure, FigureKind, Interval, Sweep, SweepPoint, X, XScale,
};
use crate::model::{Report, Table};
use std::collections::BTreeSet;

/// A report, figure or table that cannot be drawn.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("cannot draw {place}")]
pub struct InvalidReport {
    /// Where the fault is, e.g. "figure `m-sweep`, series `aux only`, point 3".
    pub place: String,
    /// What is wrong there.
    #[source]
    pub kind: InvalidReportKind,
}

/// What is wrong with a report.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidReportKind {
    /// A number is NaN or infinite; undefined values are `None`.
    #[error("`{field}` is {value}, expected a finite number or nothing")]
    NotFinite {
        /// Name of the field.
        field: &'static str,
        /// The value found.
        value: f64,
    },
    /// An interval ends before it starts.
    #[error("the interval in `{field}` runs from {lo} down to {hi}")]
    IntervalReversed {
        /// Name of the field.
        field: &'static str,
        /// Lower end found.
        lo: f64,
        /// Upper end found.
        hi: f64,
    },
    /// A figure id is empty or has other characters than lower-case letters, digits and `-`.
    #[error(
        "the id `{0}` must be lower-case ascii letters, digits and `-`, starting with a letter"
    )]
    BadId(String),
    /// Two figures share an id.
    #[error("the id `{0}` is used twice")]
    DuplicateId(String),
    /// A table row has the wrong number of cells.
    #[error("row {row} has {got} cells, expected {expected}")]
    RowLength {
        /// Index of the row, from 0.
        row: usize,
        /// Number of columns.
        expected: usize,
        /// Number of cells found.
        got: usize,
    },
    /// The value of x does not fit the scale of its axis.
    #[error("the x value {x:?} does not fit the {scale:?} scale")]
    XDoesNotFit {
        /// The value found.
        x: X,
        /// The scale of the axis.
        scale: XScale,
    },
    /// Points are not in increasing order of x.
    #[error("x = {x} comes after x = {before}")]
    XNotIncreasing {
        /// The earlier value.
        before: f64,
        /// The later value, not greater.
        x: f64,
    },
    /// There is nothing to draw.
    #[error("it has no `{0}`")]
    Empty(&'static str),
}

type Checked = Result<(), InvalidReportKind>;

/// Checks every figure and table of `report`.
///
/// # Errors
/// The first fault found, with its place.
pub fn check_report(report: &Report) -> Result<(), InvalidReport> {
    let mut ids = BTreeSet::new();
    for figure in &report.figures {
        check_figure(figure)?;
        if !ids.insert(&figure.id) {
            let place = format!("figure `{}`", figure.id);
            let kind = InvalidReportKind::DuplicateId(figure.id.clone());
            return Err(InvalidReport { place, kind });
        }
    }
    report.tables.iter().try_for_each(check_table)
}

/// Checks one figure.
///
/// # Errors
/// The first fault found, with its place.
pub fn check_figure(figure: &Figure) -> Result<(), InvalidReport> {
    let place = format!("figure `{}`", figure.id);
    check_id(&figure.id).map_err(|kind| InvalidReport {
        place: place.clone(),
        kind,
    })?;
    match &figure.kind {
        FigureKind::Bars(bars) => check_bars(&place, bars),
        FigureKind::Curves(curves) => check_curves(&place, curves),
        FigureKind::Sweep(sweep) => check_sweep(&place, sweep),
    }
}

/// Checks that every row of `table` has one cell per column.
///
/// # Errors
/// [`InvalidReportKind::RowLength`] for the first row that does not, [`InvalidReportKind::Empty`] without columns.
pub fn check_table(table: &Table) -> Result<(), InvalidReport> {
    let fail = |kind| InvalidReport {
        place: format!("table `{}`", table.caption),
        kind,
    };
    let expected = table.columns.len();
    if expected == 0 {
        return Err(fail(InvalidReportKind::Empty("columns")));
    }
    match table.rows.iter().position(|cells| cells.len() != expected) {
        None => Ok(()),
        Some(row) => {
            let got = table.rows[row].len();
            Err(fail(InvalidReportKind::RowLength { row, expected, got }))
        }
    }
}

fn check_id(id: &str) -> Checked {
    let starts_well = id.starts_with(|c: char| c.is_ascii_lowercase());
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if starts_well && id.chars().all(allowed) {
        Ok(())
    } else {
        Err(InvalidReportKind::BadId(id.to_owned()))
    }
}

fn check_bars(place: &str, bars: &Bars) -> Result<(), InvalidReport> {
    check_axis(bars.y_range, bars.baseline, bars.bars.len(), "bars").map_err(|kind| {
        InvalidReport {
            place: place.to_owned(),
            kind,
        }
    })?;
    for bar in &bars.bars {
        check_values(bar.estimate, bar.interval, &bar.points, bar.reference).map_err(|kind| {
            InvalidReport {
                place: format!("{place}, bar `{}`", bar.label),
                kind,
            }
        })?;
    }
    Ok(())
}

fn check_curves(place: &str, curves: &Curves) -> Result<(), InvalidReport> {
    check_axis(
        curves.y_range,
        curves.baseline,
        curves.series.len(),
        "series",
    )
    .map_err(|kind| InvalidReport {
        place: place.to_owned(),
        kind,
    })?;
    for series in &curves.series {
        let mut before = None;
        for (index, point) in series.points.iter().enumerate() {
            finite("x", Some(point.x))
                .and_then(|()| check_values(point.y, point.interval, &[], None))
                .and_then(|()| increasing(&mut before, point.x))
                .map_err(|kind| in_point(place, &series.label, index, kind))?;
        }
    }
    Ok(())
}

fn check_sweep(place: &str, sweep: &Sweep) -> Result<(), InvalidReport> {
    check_axis(sweep.y_range, sweep.baseline, sweep.series.len(), "series").map_err(|kind| {
        InvalidReport {
            place: place.to_owned(),
            kind,
        }
    })?;
    for series in &sweep.series {
        let mut before = None;
        for (index, point) in series.points.iter().enumerate() {
            check_sweep_point(sweep.x_scale, &mut before, point)
                .map_err(|kind| in_point(place, &series.label, index, kind))?;
        }
    }
    Ok(())
}

fn check_sweep_point(scale: XScale, before: &mut Option<f64>, point: &SweepPoint) -> Checked {
    check_values(
        point.estimate,
        point.interval,
        &point.points,
        point.reference,
    )?;
    match (scale, &point.x) {
        (XScale::Category, X::Name(_)) => Ok(()),
        (XScale::Linear, X::Number(x)) if x.is_finite() => increasing(before, *x),
        (XScale::Log, X::Number(x)) if x.is_finite() && *x > 0.0 => increasing(before, *x),
        _ => Err(InvalidReportKind::XDoesNotFit {
            x: point.x.clone(),
            scale,
        }),
    }
}

fn in_point(place: &str, series: &str, index: usize, kind: InvalidReportKind) -> InvalidReport {
    InvalidReport {
        place: format!("{place}, series `{series}`, point {index}"),
        kind,
    }
}

fn increasing(before: &mut Option<f64>, x: f64) -> Checked {
    match before.replace(x) {
        Some(before) if before >= x => Err(InvalidReportKind::XNotIncreasing { before, x }),
        _ => Ok(()),
    }
}

fn check_axis(
    range: Option<Interval>,
    baseline: Option<Baseline>,
    len: usize,
    what: &'static str,
) -> Checked {
    if len == 0 {
        return Err(InvalidReportKind::Empty(what));
    }
    ordered("y_range", range)?;
    finite("baseline", baseline.map(Baseline::value))
}

fn check_values(
    estimate: Option<f64>,
    interval: Option<Interval>,
    points: &[f64],
    reference: Option<f64>,
) -> Checked {
    finite("estimate", estimate)?;
    finite("reference", reference)?;
    points
        .iter()
        .try_for_each(|&point| finite("points", Some(point)))?;
    ordered("interval", interval)
}

fn finite(field: &'static str, value: Option<f64>) -> Checked {
    match value {
        Some(value) if !value.is_finite() => Err(InvalidReportKind::NotFinite { field, value }),
        _ => Ok(()),
    }
}

fn ordered(field: &'static str, interval: Option<Interval>) -> Checked {
    let Some(Interval { lo, hi }) = interval else {
        return Ok(());
    };
    finite(field, Some(lo))?;
    finite(field, Some(hi))?;
    if lo > hi {
        Err(InvalidReportKind::IntervalReversed { field, lo, hi })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    /// Breaks the sample report with `spoil` and expects a refusal that names `place`.
    #[track_caller]
    fn check_refused(spoil: impl FnOnce(&mut Report), place: &str, message: &str) {
        let mut report = example::mnist_report();
        assert_eq!(check_report(&report), Ok(()));
        spoil(&mut report);
        let refusal = check_report(&report).expect_err("the report was spoilt");
        assert!(refusal.place.contains(place), "{refusal:?}");
        assert!(refusal.kind.to_string().contains(message), "{refusal:?}");
    }

    fn bars(report: &mut Report) -> &mut Bars {
        let kinds = report.figures.iter_mut().map(|figure| &mut figure.kind);
        let mut found = kinds.filter_map(|kind| match kind {
            FigureKind::Bars(bars) => Some(bars),
            _ => None,
        });
        found.next().expect("the sample has bars")
    }

    fn log_sweep(report: &mut Report) -> &mut Sweep {
        let kinds = report.figures.iter_mut().map(|figure| &mut figure.kind);
        let mut found = kinds.filter_map(|kind| match kind {
            FigureKind::Sweep(sweep) if sweep.x_scale == XScale::Log => Some(sweep),
            _ => None,
        });
        found
            .next()
            .expect("the sample has a sweep over a log axis")
    }

    #[test]
    fn refuses_nan_with_its_place() {
        let spoil = |report: &mut Report| bars(report).bars[1].estimate = Some(f64::NAN);
        check_refused(spoil, "bar `teacher`", "`estimate` is NaN");
        let spoil = |report: &mut Report| bars(report).bars[0].points[3] = f64::INFINITY;
        check_refused(spoil, "bar `untrained", "`points` is inf");
    }

    #[test]
    fn refuses_reversed_intervals() {
        let reversed = Some(Interval { lo: 0.5, hi: 0.4 });
        let spoil = |report: &mut Report| bars(report).bars[0].interval = reversed;
        check_refused(spoil, "figure `conditions`", "from 0.5 down to 0.4");
    }

    #[test]
    fn refuses_zero_on_a_log_axis_and_disorder() {
        let spoil = |report: &mut Report| log_sweep(report).series[0].points[0].x = X::Number(0.0);
        check_refused(spoil, "point 0", "does not fit the Log scale");
        let spoil = |report: &mut Report| log_sweep(report).series[0].points[1].x = X::Number(1.0);
        check_refused(spoil, "point 1", "x = 1 comes after x = 1");
        let name = X::Name("three".to_owned());
        let spoil = |report: &mut Report| log_sweep(report).series[0].points[2].x = name;
        check_refused(spoil, "point 2", "three");
    }

    #[test]
    fn refuses_bad_and_repeated_ids() {
        check_refused(
            |report| report.figures[0].id = "A b".to_owned(),
            "`A b`",
            "must be",
        );
        check_refused(
            |report| report.figures[0].id = String::new(),
            "``",
            "must be",
        );
        let repeat = |report: &mut Report| report.figures[1].id = report.figures[0].id.clone();
        check_refused(repeat, "conditions", "used twice");
    }

    #[test]
    fn refuses_ragged_tables_and_empty_figures() {
        let spoil = |report: &mut Report| drop(report.tables[0].rows[2].pop());
        check_refused(spoil, "table `", "row 2 has");
        check_refused(
            |report| bars(report).bars.clear(),
            "conditions",
            "no `bars`",
        );
    }
}
