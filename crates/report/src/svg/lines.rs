//! Draws lines over a numeric axis: training curves with bands, and sweeps with whiskers.
//!
//! Wide: the name of a line stands at its right end. Narrow: the names stand in a list above the plot.

use super::axis::{Extent, Scale, log_ticks, multiples, step, tick_decimals};
use super::canvas::{Anchor, Canvas, Type, px, segment};
use super::key::{self, Mark};
use super::marks::{self, Along, MAX_CURVE, Style, styles, thin};
use super::{BESIDE, PAD, SMALL, TEXT, values};
use crate::figure::{Baseline, Curves, Figure, Interval, Sweep, X, XScale};
use crate::text::{number, short_number, width, wrap};

/// A plot made of lines.
pub(crate) struct Lines<'a> {
    figure: &'a Figure,
    x_label: &'a str,
    y_label: &'a str,
    x_scale: XScale,
    baseline: Option<Baseline>,
    asked: Option<Interval>,
    form: Form,
    lines: Vec<Line<'a>>,
}

/// How intervals are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Bands,
    Whiskers,
}

struct Line<'a> {
    label: &'a str,
    style: Style,
    points: Vec<Point<'a>>,
}

#[derive(Clone, Copy)]
struct Point<'a> {
    x: f64,
    y: Option<f64>,
    interval: Option<Interval>,
    cloud: &'a [f64],
    reference: Option<f64>,
}

/// The plot area in pixels, its scales and ticks.
struct Frame {
    beside: bool,
    width: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Scale,
    y: Scale,
    x_ticks: Vec<(f64, String)>,
    extent: Extent,
}

/// Prepares training curves.
pub(crate) fn curves<'a>(figure: &'a Figure, curves: &'a Curves) -> Lines<'a> {
    let styles = styles(curves.series.iter().map(|series| series.role));
    let line = |(series, style): (&'a crate::figure::Series, Style)| Line {
        label: &series.label,
        style,
        points: thin(&series.points, MAX_CURVE)
            .map(|point| Point {
                x: point.x,
                y: point.y,
                interval: point.interval,
                cloud: &[],
                reference: None,
            })
            .collect(),
    };
    Lines {
        figure,
        x_label: &curves.x_label,
        y_label: &curves.y_label,
        x_scale: XScale::Linear,
        baseline: curves.baseline,
        asked: curves.y_range,
        form: Form::Bands,
        lines: curves.series.iter().zip(styles).map(line).collect(),
    }
}

/// Prepares a sweep over numbers.
pub(crate) fn sweep<'a>(figure: &'a Figure, sweep: &'a Sweep) -> Lines<'a> {
    let styles = styles(sweep.series.iter().map(|series| series.role));
    let line = |(series, style): (&'a crate::figure::SweepSeries, Style)| Line {
        label: &series.label,
        style,
        points: series
            .points
            .iter()
            .filter_map(|point| {
                // Checked before drawing: a numeric scale has numbers only.
                let X::Number(x) = point.x else { return None };
                let (y, interval, reference) = (point.estimate, point.interval, point.reference);
                Some(Point {
                    x,
                    y,
                    interval,
                    cloud: &point.points,
                    reference,
                })
            })
            .collect(),
    };
    Lines {
        figure,
        x_label: &sweep.x_label,
        y_label: &sweep.y_label,
        x_scale: sweep.x_scale,
        baseline: sweep.baseline,
        asked: sweep.y_range,
        form: Form::Whiskers,
        lines: sweep.series.iter().zip(styles).map(line).collect(),
    }
}

impl Lines<'_> {
    /// Draws everything below `top` and returns the height reached.
    pub(crate) fn draw(&self, canvas: &mut Canvas, room: f64, top: f64) -> f64 {
        let beside = room >= BESIDE;
        let mut y = top;
        if !beside {
            y = self.draw_names_above(canvas, room, y);
        }
        for line in wrap(self.y_label, TEXT, room - 2.0 * PAD) {
            canvas.text(PAD, y + 12.0, &line, Type::ink(TEXT));
            y += 16.0;
        }
        let frame = self.frame(room, y + 12.0);
        self.draw_grid(canvas, &frame);
        for (index, line) in self.lines.iter().enumerate() {
            self.draw_bands_and_clouds(canvas, &frame, index, line);
        }
        for (index, line) in self.lines.iter().enumerate() {
            self.draw_line(canvas, &frame, index, line);
        }
        if beside {
            self.draw_names_beside(canvas, &frame);
        }
        let bottom = self.draw_x_axis(canvas, &frame);
        key::draw(canvas, &self.key(), room, bottom + 10.0)
    }

    fn frame(&self, room: f64, top: f64) -> Frame {
        let beside = room >= BESIDE;
        let extent = Extent::new(self.asked, values(self.figure).into_iter(), 5);
        let decimals = tick_decimals(&extent.ticks);
        let tick_room = extent
            .ticks
            .iter()
            .map(|&tick| width(&number(tick, decimals), SMALL));
        let left = PAD + tick_room.fold(0.0, f64::max) + 8.0;
        let name_room = if beside {
            self.name_room() + SAMPLE + 22.0
        } else {
            8.0
        };
        let right = room - PAD - name_room;
        let bottom = top + if beside { 330.0 } else { 270.0 };
        let span = self.x_span();
        let margin = if self.form == Form::Whiskers {
            18.0
        } else {
            8.0
        };
        let pixels = (left + margin, right - margin);
        let x = match self.x_scale {
            XScale::Log => Scale::log(span, pixels),
            XScale::Linear | XScale::Category => Scale::linear(span, pixels),
        };
        let y = Scale::linear((extent.lo, extent.hi), (bottom, top));
        let x_ticks = self.x_ticks(span, &x, if beside { 8 } else { 5 });
        Frame {
            beside,
            width: room,
            left,
            right,
            top,
            bottom,
            x,
            y,
            x_ticks,
            extent,
        }
    }

    /// Returns the room that the widest line of the wrapped names needs.
    fn name_room(&self) -> f64 {
        let lines = self
            .lines
            .iter()
            .flat_map(|line| wrap(line.label, TEXT, MAX_NAME));
        lines.map(|line| width(&line, TEXT)).fold(0.0, f64::max)
    }

    fn points(&self) -> impl Iterator<Item = &Point<'_>> {
        self.lines.iter().flat_map(|line| &line.points)
    }

    fn x_span(&self) -> (f64, f64) {
        let span = |(lo, hi): (f64, f64), point: &Point<'_>| (lo.min(point.x), hi.max(point.x));
        let (lo, hi) = self.points().fold((f64::INFINITY, f64::NEG_INFINITY), span);
        if lo <= hi { (lo, hi) } else { (0.0, 1.0) }
    }

    /// Returns ticks at the measured values where those are few, else at round numbers; crowded ones are dropped.
    fn x_ticks(&self, (lo, hi): (f64, f64), scale: &Scale, n_ticks: usize) -> Vec<(f64, String)> {
        let mut measured: Vec<f64> = self.points().map(|point| point.x).collect();
        measured.sort_by(f64::total_cmp);
        measured.dedup();
        let round = match self.x_scale {
            XScale::Log => log_ticks(lo, hi),
            XScale::Linear | XScale::Category if hi > lo => {
                let mut step = step(lo, hi, n_ticks);
                if measured.iter().all(|x| x.fract() == 0.0) {
                    step = step.max(1.0);
                }
                // Rounding removes the last bits of 3 x 0.1 and the like.
                let tidy = |tick: f64| (tick / step * 1e6).round() / 1e6 * step;
                multiples(lo, hi, step).into_iter().map(tidy).collect()
            }
            _ => vec![lo],
        };
        let few = self.form == Form::Whiskers && measured.len() <= 12;
        let ticks = if few { measured } else { round };
        let mut free_from = f64::NEG_INFINITY;
        let mut kept = Vec::new();
        for tick in ticks {
            let name = short_number(rounded(tick));
            let half = width(&name, SMALL) / 2.0 + 3.0;
            if scale.at(tick) - half >= free_from {
                free_from = scale.at(tick) + half;
                kept.push((tick, name));
            }
        }
        kept
    }

    fn draw_grid(&self, canvas: &mut Canvas, frame: &Frame) {
        let decimals = tick_decimals(&frame.extent.ticks);
        let mut grid = String::new();
        for &tick in &frame.extent.ticks {
            let y = frame.y.at(tick);
            grid.push_str(&segment((frame.left, y), (frame.right, y)));
            let style = Type::muted(SMALL).anchored(Anchor::End);
            canvas.text(frame.left - 6.0, y + 4.0, &number(tick, decimals), style);
        }
        canvas.stroke(&grid, "ut-grid", 1.0, "");
        if let Some(baseline) = self.baseline {
            let y = frame.y.at(baseline.value());
            key::baseline(canvas, (frame.left, y), (frame.right, y));
        }
    }

    /// Returns how far series `index` is moved aside so that whiskers at one x do not cover each other.
    fn dodge(&self, index: usize) -> f64 {
        match self.form {
            Form::Bands => 0.0,
            Form::Whiskers => {
                let step = 7.0_f64.min(24.0 / self.lines.len() as f64);
                (index as f64 - (self.lines.len() - 1) as f64 / 2.0) * step
            }
        }
    }

    fn draw_bands_and_clouds(
        &self,
        canvas: &mut Canvas,
        frame: &Frame,
        index: usize,
        line: &Line<'_>,
    ) {
        let colour = line.style.colour;
        if self.form == Form::Bands {
            let runs = line
                .points
                .split(|point| point.interval.is_none() || point.y.is_none());
            for run in runs.filter(|run| run.len() > 1) {
                let end = |pick: fn(Interval) -> f64, point: &Point<'_>| {
                    let value = point.interval.map_or(0.0, pick);
                    format!("{} {}", px(frame.x.at(point.x)), px(frame.y.at(value)))
                };
                let upper = run.iter().map(|point| end(|interval| interval.hi, point));
                let lower = run
                    .iter()
                    .rev()
                    .map(|point| end(|interval| interval.lo, point));
                let outline = upper.chain(lower).collect::<Vec<_>>().join("L");
                let class = format!("ut-f{colour}");
                canvas.fill(&format!("M{outline}z"), &class, " fill-opacity=\"0.2\"");
            }
        }
        for point in &line.points {
            let across = frame.x.at(point.x) + self.dodge(index);
            let at = |value: f64| frame.y.at(value);
            marks::cloud(
                canvas,
                point.cloud,
                at,
                (Along::Y, across, 3.0),
                (colour, 2.6, 0.5),
            );
        }
    }

    fn draw_line(&self, canvas: &mut Canvas, frame: &Frame, index: usize, line: &Line<'_>) {
        let dodge = self.dodge(index);
        let at = |point: &Point<'_>| {
            point
                .y
                .map(|y| (frame.x.at(point.x) + dodge, frame.y.at(y)))
        };
        let places: Vec<Option<(f64, f64)>> = line.points.iter().map(at).collect();
        for run in places.split(Option::is_none) {
            let joined: Vec<String> = run
                .iter()
                .flatten()
                .map(|&(x, y)| format!("{} {}", px(x), px(y)))
                .collect();
            if joined.len() > 1 {
                let class = format!("ut-s{}", line.style.colour);
                let dash = line.style.dash_attribute() + " stroke-linejoin=\"round\"";
                canvas.stroke(&format!("M{}", joined.join("L")), &class, 2.0, &dash);
            }
        }
        let class = format!("ut-s{}", line.style.colour);
        if self.form == Form::Whiskers {
            for (point, place) in line.points.iter().zip(&places) {
                let x = frame.x.at(point.x) + dodge;
                if let Some(reference) = point.reference {
                    // Larger than a marker: where both coincide, the diamond frames it.
                    marks::reference(canvas, (x, frame.y.at(reference)), 8.0);
                }
                if let Some(interval) = point.interval.filter(|_| place.is_some()) {
                    let at = |value: f64| frame.y.at(value);
                    marks::whisker(canvas, interval, at, (Along::Y, x), (&class, 4.0));
                }
            }
        }
        // On long curves a marker per point would be a thick line; twelve are enough to tell the shape.
        let marked: Vec<(f64, f64)> = places.into_iter().flatten().collect();
        let limit = if self.form == Form::Whiskers {
            marked.len()
        } else {
            12
        };
        for &place in thin(&marked, limit) {
            line.style.draw_marker(canvas, place, 4.0);
        }
    }

    fn draw_sample(canvas: &mut Canvas, style: Style, (x, y): (f64, f64)) {
        let class = format!("ut-s{}", style.colour);
        let data = segment((x, y), (x + SAMPLE, y));
        canvas.stroke(&data, &class, 2.0, &style.dash_attribute());
        style.draw_marker(canvas, (x + SAMPLE / 2.0, y), 4.0);
    }

    fn draw_names_above(&self, canvas: &mut Canvas, room: f64, top: f64) -> f64 {
        let mut y = top;
        for line in &self.lines {
            Self::draw_sample(canvas, line.style, (PAD, y + 8.0));
            for part in wrap(line.label, TEXT, room - 2.0 * PAD - SAMPLE - 8.0) {
                canvas.text(PAD + SAMPLE + 8.0, y + 12.0, &part, Type::ink(TEXT));
                y += 18.0;
            }
        }
        y + 10.0
    }

    fn draw_names_beside(&self, canvas: &mut Canvas, frame: &Frame) {
        let mut names: Vec<(f64, Vec<String>, &Line<'_>)> = Vec::new();
        for line in &self.lines {
            let last = line.points.iter().rev().find_map(|point| point.y);
            let y = last.map_or(frame.bottom, |last| frame.y.at(last));
            names.push((y, wrap(line.label, TEXT, MAX_NAME), line));
        }
        names.sort_by(|a, b| a.0.total_cmp(&b.0));
        let heights: Vec<f64> = names
            .iter()
            .map(|(_, parts, _)| parts.len() as f64 * 16.0 + 6.0)
            .collect();
        let wanted: Vec<f64> = names
            .iter()
            .zip(&heights)
            .map(|((y, _, _), height)| y - height / 2.0)
            .collect();
        let tops = spread_out(&wanted, &heights, frame.top - 10.0, frame.bottom + 10.0);
        for (((y, parts, line), top), height) in names.iter().zip(tops).zip(heights) {
            let middle = top + height / 2.0;
            let class = format!("ut-s{}", line.style.colour);
            let leader = segment((frame.right, *y), (frame.right + 12.0, middle));
            canvas.stroke(&leader, &class, 1.0, " stroke-opacity=\"0.6\"");
            Self::draw_sample(canvas, line.style, (frame.right + 14.0, middle));
            let text_x = frame.right + 14.0 + SAMPLE + 8.0;
            let first = middle - (parts.len() as f64 - 1.0) * 8.0 + 4.5;
            for (index, part) in parts.iter().enumerate() {
                canvas.text(text_x, first + 16.0 * index as f64, part, Type::ink(TEXT));
            }
        }
    }

    fn draw_x_axis(&self, canvas: &mut Canvas, frame: &Frame) -> f64 {
        let bottom = frame.bottom;
        let mut ticks = segment((frame.left, bottom), (frame.right, bottom));
        for (tick, name) in &frame.x_ticks {
            let x = frame.x.at(*tick);
            ticks.push_str(&segment((x, bottom), (x, bottom + 5.0)));
            let style = Type::muted(SMALL).anchored(Anchor::Middle);
            canvas.text(x, bottom + 19.0, name, style);
        }
        canvas.stroke(&ticks, "ut-axis", 1.0, "");
        let mut y = bottom + 38.0;
        let room = if frame.beside {
            frame.right - frame.left
        } else {
            frame.width - 2.0 * PAD
        };
        for line in wrap(self.x_label, TEXT, room) {
            let half = width(&line, TEXT) / 2.0;
            let x = ((frame.left + frame.right) / 2.0)
                .min(frame.width - PAD - half)
                .max(PAD + half);
            canvas.text(x, y, &line, Type::ink(TEXT).anchored(Anchor::Middle));
            y += 16.0;
        }
        y - 10.0
    }

    fn key(&self) -> Vec<(Mark, String)> {
        let any = |test: fn(&Point<'_>) -> bool| self.points().any(test);
        let words = |label: &Option<String>, plain: &str| label.clone().unwrap_or(plain.to_owned());
        let mut key = Vec::new();
        if any(|point| point.interval.is_some()) {
            let mark = if self.form == Form::Bands {
                Mark::Band
            } else {
                Mark::Whisker
            };
            key.push((mark, words(&self.figure.interval_label, "interval")));
        }
        if any(|point| !point.cloud.is_empty()) {
            key.push((Mark::Dot, words(&self.figure.point_label, "single values")));
        }
        if any(|point| point.reference.is_some()) {
            key.push((
                Mark::Diamond,
                words(&self.figure.reference_label, "reference"),
            ));
        }
        if let Some(baseline) = self.baseline {
            key.push((Mark::Baseline, baseline.words()));
        }
        key
    }
}

/// Length of the line sample beside a name, in pixels.
const SAMPLE: f64 = 26.0;

/// Widest line of a name at the right end of a curve, in pixels.
const MAX_NAME: f64 = 150.0;

/// Removes floating-point dust such as 0.30000000000000004 from a tick.
fn rounded(tick: f64) -> f64 {
    format!("{tick:.9e}").parse().unwrap_or(tick)
}

/// Moves blocks of the given heights apart, in order, as little as one pass down and one pass up can.
///
/// Blocks stay between `top` and `bottom` where they fit; if they are too many, they run over the bottom.
fn spread_out(wanted: &[f64], heights: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    let mut tops = wanted.to_vec();
    let mut limit = bottom;
    for index in (0..tops.len()).rev() {
        tops[index] = tops[index].min(limit - heights[index]);
        limit = tops[index];
    }
    let mut limit = top;
    for index in 0..tops.len() {
        tops[index] = tops[index].max(limit);
        limit = tops[index] + heights[index];
    }
    tops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_spread(wanted: &[f64], expected: &[f64]) {
        let heights = vec![10.0; wanted.len()];
        assert_eq!(spread_out(wanted, &heights, 0.0, 100.0), expected);
    }

    #[test]
    fn names_are_moved_apart_and_kept_inside() {
        check_spread(&[20.0, 50.0], &[20.0, 50.0]);
        check_spread(&[20.0, 21.0], &[11.0, 21.0]);
        check_spread(&[98.0, 99.0], &[80.0, 90.0]);
        check_spread(&[-4.0, -3.0], &[0.0, 10.0]);
    }

    #[test]
    fn ticks_lose_their_floating_point_dust() {
        assert_eq!(short_number(rounded(0.1 + 0.2)), "0.3");
    }
}
