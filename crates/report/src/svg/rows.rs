//! Draws one row per estimate, values running to the right: bars, and sweeps over categories.
//!
//! Wide: label | plot | value. Narrow: the label and the value stand above their row, so nothing is squeezed.

use super::axis::{Extent, Scale, tick_decimals};
use super::canvas::{Anchor, Canvas, Type, segment};
use super::key::{self, Mark};
use super::marks::{self, Along, Style, styles};
use super::{BESIDE, BOLD, PAD, SMALL, TEXT, interval_text, telling_decimals, values, x_name};
use crate::figure::{Bars, Baseline, Figure, Interval, Role, Sweep};
use crate::text::{decimals, number, width, wrap};

/// A plot made of rows.
pub(crate) struct Rows<'a> {
    figure: &'a Figure,
    label: &'a str,
    baseline: Option<Baseline>,
    asked: Option<Interval>,
    form: Form,
    rows: Vec<Row<'a>>,
}

/// Whether a row is filled from zero to its estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Bar,
    Marker,
}

struct Row<'a> {
    /// Heading to write above this row.
    heading: Option<String>,
    label: &'a str,
    role: Role,
    style: Style,
    estimate: Option<f64>,
    interval: Option<Interval>,
    points: &'a [f64],
    reference: Option<f64>,
}

/// Where the columns of the plot are, in pixels, and how values are written.
struct Columns {
    beside: bool,
    label_room: f64,
    plot: (f64, f64),
    width: f64,
    scale: Scale,
    extent: Extent,
    decimals: usize,
}

/// Prepares bars.
pub(crate) fn bars<'a>(figure: &'a Figure, bars: &'a Bars) -> Rows<'a> {
    let styles = styles(bars.bars.iter().map(|bar| bar.role));
    let mut group = &None;
    let mut rows = Vec::new();
    for (bar, style) in bars.bars.iter().zip(styles) {
        let heading = if bar.group == *group {
            None
        } else {
            bar.group.clone()
        };
        group = &bar.group;
        rows.push(Row {
            heading,
            label: &bar.label,
            role: bar.role,
            style,
            estimate: bar.estimate,
            interval: bar.interval,
            points: &bar.points,
            reference: bar.reference,
        });
    }
    let (label, baseline, asked) = (bars.y_label.as_str(), bars.baseline, bars.y_range);
    Rows {
        figure,
        label,
        baseline,
        asked,
        form: Form::Bar,
        rows,
    }
}

/// Prepares a sweep over categories: one block per category, one row per series in it.
pub(crate) fn categories<'a>(figure: &'a Figure, sweep: &'a Sweep) -> Rows<'a> {
    let styles = styles(sweep.series.iter().map(|series| series.role));
    let mut categories: Vec<String> = Vec::new();
    for point in sweep.series.iter().flat_map(|series| &series.points) {
        let name = x_name(&point.x);
        if !categories.contains(&name) {
            categories.push(name);
        }
    }
    let mut rows = Vec::new();
    for category in categories {
        let mut heading = Some(category.clone());
        for (series, style) in sweep.series.iter().zip(&styles) {
            for point in series
                .points
                .iter()
                .filter(|point| x_name(&point.x) == category)
            {
                rows.push(Row {
                    heading: heading.take(),
                    label: &series.label,
                    role: series.role,
                    style: *style,
                    estimate: point.estimate,
                    interval: point.interval,
                    points: &point.points,
                    reference: point.reference,
                });
            }
        }
    }
    let (label, baseline, asked) = (sweep.y_label.as_str(), sweep.baseline, sweep.y_range);
    Rows {
        figure,
        label,
        baseline,
        asked,
        form: Form::Marker,
        rows,
    }
}

impl Rows<'_> {
    /// Draws everything below `top` and returns the height reached.
    pub(crate) fn draw(&self, canvas: &mut Canvas, room: f64, top: f64) -> f64 {
        let columns = self.columns(room);
        let plot_top = top + if self.baseline.is_some() { 18.0 } else { 4.0 };
        let (places, plot_bottom) = self.places(&columns, plot_top);
        self.draw_grid(canvas, &columns, &places, (plot_top, plot_bottom));
        for (row, place) in self.rows.iter().zip(&places) {
            self.draw_row(canvas, &columns, row, place);
        }
        let bottom = self.draw_axis(canvas, &columns, plot_bottom);
        key::draw(canvas, &self.key(), room, bottom + 10.0)
    }

    fn columns(&self, width_px: f64) -> Columns {
        let beside = width_px >= BESIDE;
        let n_ticks = if beside { 5 } else { 4 };
        let zero = (self.form == Form::Bar && self.asked.is_none()).then_some(0.0);
        let extent = Extent::new(
            self.asked,
            values(self.figure).into_iter().chain(zero),
            n_ticks,
        );
        let decimals = decimals(extent.span());
        let longest = |texts: &mut dyn Iterator<Item = f64>| texts.fold(0.0, f64::max);
        let label_room = longest(&mut self.rows.iter().map(|row| width(row.label, TEXT)));
        let label_room = label_room.min(width_px * 0.34);
        let value = |row: &Row<'_>| {
            let (estimate, interval) = value_texts(row, decimals);
            width(&estimate, TEXT * BOLD) + width(&interval, SMALL) + 4.0
        };
        let value_room = longest(&mut self.rows.iter().map(value));
        let plot = if beside {
            (PAD + label_room + 14.0, width_px - PAD - value_room - 14.0)
        } else {
            (PAD + 6.0, width_px - PAD - 8.0)
        };
        let scale = Scale::linear((extent.lo, extent.hi), plot);
        Columns {
            beside,
            label_room: if beside {
                label_room
            } else {
                width_px - 2.0 * PAD
            },
            plot,
            width: width_px,
            scale,
            extent,
            decimals,
        }
    }

    /// Returns the place of every row and the bottom of the last one.
    fn places(&self, columns: &Columns, top: f64) -> (Vec<Place>, f64) {
        let bar_height: f64 = match (self.form, columns.beside) {
            (Form::Bar, true) => 28.0,
            (Form::Bar, false) => 24.0,
            (Form::Marker, _) => 18.0,
        };
        let mut y = top;
        let mut places = Vec::new();
        for row in &self.rows {
            let heading = match &row.heading {
                Some(heading) => wrap(heading, TEXT * BOLD, columns.width - 2.0 * PAD),
                None => Vec::new(),
            };
            if !heading.is_empty() {
                y += if places.is_empty() { 0.0 } else { 10.0 };
            }
            let heading_y = y + 13.0;
            y += heading.len() as f64 * 17.0 + if heading.is_empty() { 0.0 } else { 3.0 };
            let lines = wrap(row.label, TEXT, columns.label_room);
            let text_height = lines.len() as f64 * 16.0;
            let (estimate, interval) = value_texts(row, columns.decimals);
            let value_room = width(&estimate, TEXT * BOLD) + width(&interval, SMALL) + 4.0;
            let label_width = width(&lines[lines.len() - 1], TEXT);
            let value_below = label_width + value_room + 12.0 > columns.width - 2.0 * PAD;
            let (label_y, bar_top, height) = if columns.beside {
                let height = bar_height.max(text_height);
                (
                    y + (height - text_height) / 2.0 + 12.0,
                    y + (height - bar_height) / 2.0,
                    height,
                )
            } else {
                let above = text_height + if value_below { 16.0 } else { 0.0 };
                (y + 12.0, y + above + 4.0, above + 4.0 + bar_height)
            };
            let gap = match (self.form, columns.beside) {
                (Form::Marker, true) => 4.0,
                (Form::Bar, true) => 10.0,
                (_, false) => 13.0,
            };
            places.push(Place {
                heading,
                heading_y,
                lines,
                label_y,
                value_below,
                bar_top,
                bar_height,
            });
            y += height + gap;
        }
        (places, y)
    }

    /// Draws grid and baseline, interrupted where text stands.
    fn draw_grid(
        &self,
        canvas: &mut Canvas,
        columns: &Columns,
        places: &[Place],
        (top, bottom): (f64, f64),
    ) {
        let bands = bands(places, columns.beside, bottom);
        for &(from, to) in &bands {
            let line = |&tick: &f64| {
                let x = columns.scale.at(tick);
                segment((x, from), (x, to))
            };
            let grid: String = columns.extent.ticks.iter().map(line).collect();
            canvas.stroke(&grid, "ut-grid", 1.0, "");
        }
        let Some(baseline) = self.baseline else {
            return;
        };
        let x = columns.scale.at(baseline.value());
        for (from, to) in bands {
            key::baseline(canvas, (x, from), (x, to));
        }
        let words = baseline.words();
        let half = width(&words, SMALL) / 2.0;
        let x = x.clamp(
            columns.plot.0 + half,
            (columns.plot.1 - half).max(columns.plot.0 + half),
        );
        canvas.text(
            x,
            top - 6.0,
            &words,
            Type::muted(SMALL).anchored(Anchor::Middle),
        );
    }

    fn draw_row(&self, canvas: &mut Canvas, columns: &Columns, row: &Row<'_>, place: &Place) {
        for (index, line) in place.heading.iter().enumerate() {
            let y = place.heading_y + 17.0 * index as f64;
            canvas.text(PAD, y, line, Type::ink(TEXT).bold());
        }
        for (index, line) in place.lines.iter().enumerate() {
            canvas.text(
                PAD,
                place.label_y + 16.0 * index as f64,
                line,
                Type::ink(TEXT),
            );
        }
        let middle = place.bar_top + place.bar_height / 2.0;
        self.draw_values(canvas, columns, row, place);
        let (estimate, interval) = value_texts(row, columns.decimals);
        let (value_x, value_y) = if columns.beside {
            (columns.width - PAD, middle + 4.5)
        } else {
            let n_lines = place.lines.len() as f64 - if place.value_below { 0.0 } else { 1.0 };
            (columns.width - PAD, place.label_y + 16.0 * n_lines)
        };
        let strong = if row.estimate.is_some() {
            Type::ink(TEXT).bold()
        } else {
            Type::muted(TEXT)
        };
        let runs = [
            (estimate.as_str(), strong),
            (interval.as_str(), Type::muted(SMALL)),
        ];
        let n_runs = if interval.is_empty() { 1 } else { 2 };
        canvas.runs(
            value_x,
            value_y,
            strong.anchored(Anchor::End),
            &runs[..n_runs],
        );
    }

    fn draw_values(&self, canvas: &mut Canvas, columns: &Columns, row: &Row<'_>, place: &Place) {
        let at = |value: f64| columns.scale.at(value);
        let middle = place.bar_top + place.bar_height / 2.0;
        let colour = row.style.colour;
        // A bar means "from zero": where the axis leaves zero out, the estimate is a marker only.
        let zero_shown = columns.extent.lo <= 0.0 && columns.extent.hi >= 0.0;
        if let (Form::Bar, Some(estimate), true) = (self.form, row.estimate, zero_shown) {
            let (left, right) = (at(0.0).min(at(estimate)), at(0.0).max(at(estimate)));
            let (corner, size) = ((left, place.bar_top), (right - left, place.bar_height));
            canvas.rect(
                corner,
                size,
                &format!("ut-f{colour}"),
                " fill-opacity=\"0.24\"",
            );
            if row.role == Role::Control {
                canvas.hatch(corner, size, colour);
            }
            let end = at(estimate);
            let data = segment(
                (end, place.bar_top),
                (end, place.bar_top + place.bar_height),
            );
            canvas.stroke(&data, &format!("ut-s{colour}"), 2.0, "");
        }
        let spread = place.bar_height / 2.0 - 3.0;
        marks::cloud(
            canvas,
            row.points,
            at,
            (Along::X, middle, spread),
            (colour, 3.6, 0.75),
        );
        if let Some(reference) = row.reference {
            // At the lower edge, since reference and estimate often coincide.
            marks::reference(
                canvas,
                (at(reference), place.bar_top + place.bar_height),
                5.0,
            );
        }
        if let Some(interval) = row.interval {
            marks::whisker(canvas, interval, at, (Along::X, middle), ("ut-axis", 5.0));
        }
        match (self.form, row.estimate) {
            (_, Some(estimate)) if self.form == Form::Marker || !zero_shown => {
                row.style.draw_marker(canvas, (at(estimate), middle), 4.5);
            }
            (Form::Bar, Some(estimate)) => {
                let dot = Style {
                    marker: 0,
                    ..row.style
                };
                dot.draw_marker(canvas, (at(estimate), middle), 3.2);
            }
            _ => {}
        }
    }

    fn draw_axis(&self, canvas: &mut Canvas, columns: &Columns, top: f64) -> f64 {
        let data = segment((columns.plot.0, top), (columns.plot.1, top));
        canvas.stroke(&data, "ut-axis", 1.0, "");
        let decimals = tick_decimals(&columns.extent.ticks);
        for &tick in &columns.extent.ticks {
            let style = Type::muted(SMALL).anchored(Anchor::Middle);
            canvas.text(
                columns.scale.at(tick),
                top + 16.0,
                &number(tick, decimals),
                style,
            );
        }
        let (plot, full) = (columns.plot, columns.width - 2.0 * PAD);
        let mut y = top + 34.0;
        for line in wrap(self.label, TEXT, full) {
            let half = width(&line, TEXT) / 2.0;
            let middle = (plot.0 + plot.1) / 2.0;
            let x = middle.min(columns.width - PAD - half).max(PAD + half);
            canvas.text(x, y, &line, Type::ink(TEXT).anchored(Anchor::Middle));
            y += 16.0;
        }
        y - 10.0
    }

    fn key(&self) -> Vec<(Mark, String)> {
        let any = |test: fn(&Row<'_>) -> bool| self.rows.iter().any(test);
        let words = |label: &Option<String>, plain: &str| label.clone().unwrap_or(plain.to_owned());
        let mut key = Vec::new();
        if any(|row| row.interval.is_some()) {
            key.push((
                Mark::Whisker,
                words(&self.figure.interval_label, "interval"),
            ));
        }
        if any(|row| !row.points.is_empty()) {
            key.push((Mark::Dot, words(&self.figure.point_label, "single values")));
        }
        if any(|row| row.reference.is_some()) {
            key.push((
                Mark::Diamond,
                words(&self.figure.reference_label, "reference"),
            ));
        }
        key
    }
}

/// Where one row is, in pixels.
struct Place {
    heading: Vec<String>,
    heading_y: f64,
    lines: Vec<String>,
    label_y: f64,
    value_below: bool,
    bar_top: f64,
    bar_height: f64,
}

/// Returns the stretches of height in which grid lines meet no text: between headings if labels stand beside the
/// plot, else along each bar.
fn bands(places: &[Place], beside: bool, bottom: f64) -> Vec<(f64, f64)> {
    let mut bands: Vec<(f64, f64)> = Vec::new();
    for place in places {
        let band = (place.bar_top - 4.0, place.bar_top + place.bar_height + 4.0);
        match bands.last_mut() {
            Some(last) if beside && place.heading.is_empty() => last.1 = band.1,
            _ => bands.push(band),
        }
    }
    if let Some(last) = bands.last_mut() {
        last.1 = bottom;
    }
    bands
}

/// Writes the estimate and, with a space before it, the interval.
fn value_texts(row: &Row<'_>, decimals: usize) -> (String, String) {
    let decimals = telling_decimals(row.interval, decimals);
    let estimate = match row.estimate {
        Some(estimate) => number(estimate, decimals),
        None => "not defined".to_owned(),
    };
    let interval = row
        .interval
        .map(|interval| format!(" {}", interval_text(interval, decimals)));
    (estimate, interval.unwrap_or_default())
}
