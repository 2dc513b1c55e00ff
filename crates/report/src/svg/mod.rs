//! Draws figures as SVG: for the page, and as files that stand alone.
//!
//! A figure is laid out for a width in CSS pixels with text of fixed size, so a phone gets its own layout instead of a
//! shrunken one. `rows` draws bars and sweeps over categories, `lines` curves and sweeps over numbers; both use
//! `axis` for ticks and `marks` for everything that shows a value, and write through `canvas`.

mod axis;
mod canvas;
mod key;
mod lines;
mod marks;
mod rows;

use crate::check::{InvalidReport, check_figure};
use crate::figure::{Baseline, Figure, FigureKind, Interval, X, XScale};
use crate::text::{escape, number, wrap};
use crate::theme::{Theme, standalone_style};
use canvas::{Canvas, Type, px};

pub(crate) use axis::Extent;
pub(crate) use marks::{MAX_CLOUD, MAX_CURVE};

/// Narrowest layout, in CSS pixels: a phone.
pub const NARROW: f64 = 328.0;

/// Layout for pages, print and files, in CSS pixels.
pub const WIDE: f64 = 760.0;

/// From this width on, labels stand beside what they name instead of above it.
const BESIDE: f64 = 560.0;

/// Size of ordinary text in drawings, in CSS pixels.
const TEXT: f64 = 13.0;

/// Size of tick marks and keys, in CSS pixels.
const SMALL: f64 = 12.0;

/// How much wider bold text is.
const BOLD: f64 = 1.12;

/// Space on the left and right, in CSS pixels.
const PAD: f64 = 4.0;

/// Draws `figure` as an SVG file that needs nothing else, with its title on top.
///
/// # Errors
/// [`InvalidReport`] if the figure cannot be drawn.
pub fn figure_svg(figure: &Figure, theme: Theme) -> Result<String, InvalidReport> {
    check_figure(figure)?;
    let mut canvas = Canvas::new();
    let margin = 16.0;
    let mut top = margin;
    let heading = Type::ink(16.0).bold();
    for line in wrap(&figure.title, heading.size * BOLD, WIDE) {
        canvas.text(PAD, top + 14.0, &line, heading);
        top += 21.0;
    }
    top += 12.0;
    let height = draw(&mut canvas, figure, WIDE, top);
    let (full_width, full_height) = (WIDE + 2.0 * margin, height + margin);
    let names = names(figure, &figure.id);
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"-{margin} 0 {w} {h}\" \
         role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" \
         font-family=\"Roboto, 'Helvetica Neue', Arial, sans-serif\">\n{names}\
         <style>{style}</style>\n\
         <rect class=\"ut-bg\" x=\"-{margin}\" y=\"0\" width=\"{w}\" height=\"{h}\"/>\n{body}</svg>\n",
        id = figure.id,
        w = px(full_width),
        h = px(full_height),
        style = standalone_style(theme),
        body = canvas.finish(),
    ))
}

/// Draws a checked figure for the page, without title; its ids begin with `prefix`, colours come from the page.
pub(crate) fn inline_svg(figure: &Figure, prefix: &str, class: &str, width: f64) -> String {
    let mut canvas = Canvas::new();
    let height = draw(&mut canvas, figure, width, 4.0);
    format!(
        "<svg class=\"{class}\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" role=\"img\" \
         aria-labelledby=\"{prefix}-title {prefix}-desc\">\n{names}{body}</svg>\n",
        w = px(width),
        h = px(height),
        names = names(figure, prefix),
        body = canvas.finish(),
    )
}

/// Draws the figure below `top` and returns the height reached.
fn draw(canvas: &mut Canvas, figure: &Figure, width: f64, top: f64) -> f64 {
    match &figure.kind {
        FigureKind::Bars(bars) => rows::bars(figure, bars).draw(canvas, width, top),
        FigureKind::Curves(curves) => lines::curves(figure, curves).draw(canvas, width, top),
        FigureKind::Sweep(sweep) if sweep.x_scale == XScale::Category => {
            rows::categories(figure, sweep).draw(canvas, width, top)
        }
        FigureKind::Sweep(sweep) => lines::sweep(figure, sweep).draw(canvas, width, top),
    }
}

/// Writes the name and description that screen readers speak.
fn names(figure: &Figure, prefix: &str) -> String {
    let mut description = figure.alt.clone();
    for remark in remarks(figure) {
        description.push(' ');
        description.push_str(&remark);
    }
    format!(
        "<title id=\"{prefix}-title\">{}</title>\n<desc id=\"{prefix}-desc\">{}</desc>\n",
        escape(&figure.title),
        escape(&description)
    )
}

/// Says in words what the drawing leaves out: undefined values, and points that would only hide each other.
pub(crate) fn remarks(figure: &Figure) -> Vec<String> {
    let mut missing = Vec::new();
    let mut longest_cloud = 0;
    let mut longest_curve = 0;
    match &figure.kind {
        FigureKind::Bars(bars) => {
            for bar in &bars.bars {
                longest_cloud = longest_cloud.max(bar.points.len());
                if bar.estimate.is_none() {
                    missing.push(bar.label.clone());
                }
            }
        }
        FigureKind::Curves(curves) => {
            for series in &curves.series {
                longest_curve = longest_curve.max(series.points.len());
                for point in series.points.iter().filter(|point| point.y.is_none()) {
                    missing.push(format!("{} at {}", series.label, short(point.x)));
                }
            }
        }
        FigureKind::Sweep(sweep) => {
            for series in &sweep.series {
                for point in &series.points {
                    longest_cloud = longest_cloud.max(point.points.len());
                    if point.estimate.is_none() {
                        missing.push(format!("{} at {}", series.label, x_name(&point.x)));
                    }
                }
            }
        }
    }
    let mut remarks = Vec::new();
    if !missing.is_empty() {
        remarks.push(missing_sentence(&missing));
    }
    if longest_cloud > MAX_CLOUD {
        remarks.push(format!(
            "Up to {longest_cloud} single values belong to one estimate; {MAX_CLOUD} of them, at evenly spaced \
             ranks, are drawn. Estimates and intervals use all."
        ));
    }
    if longest_curve > MAX_CURVE {
        remarks.push(format!(
            "A curve has {longest_curve} points; {MAX_CURVE} of them, evenly spaced, are drawn."
        ));
    }
    remarks
}

/// Names up to 20 undefined values.
fn missing_sentence(missing: &[String]) -> String {
    const MAX_NAMED: usize = 20;
    let named = missing[..missing.len().min(MAX_NAMED)].join("; ");
    match missing.len().checked_sub(MAX_NAMED) {
        Some(n_more) if n_more > 0 => format!("Not defined: {named}; and {n_more} more."),
        _ => format!("Not defined: {named}."),
    }
}

/// Returns a value of a swept setting as text.
pub(crate) fn x_name(x: &X) -> String {
    match x {
        X::Number(value) => short(*value),
        X::Name(name) => name.clone(),
    }
}

fn short(value: f64) -> String {
    crate::text::short_number(value)
}

/// Returns at least `decimals`, more where the ends of `interval` would otherwise be written alike.
///
/// An interval written `[0.943, 0.943]` reads as certainty.
pub(crate) fn telling_decimals(interval: Option<Interval>, decimals: usize) -> usize {
    let Some(Interval { lo, hi }) = interval.filter(|ends| ends.lo < ends.hi) else {
        return decimals;
    };
    let tells = |&decimals: &usize| number(lo, decimals) != number(hi, decimals);
    (decimals..decimals + 6).find(tells).unwrap_or(decimals)
}

/// Writes an interval as `[lo, hi]`.
pub(crate) fn interval_text(interval: Interval, decimals: usize) -> String {
    format!(
        "[{}, {}]",
        number(interval.lo, decimals),
        number(interval.hi, decimals)
    )
}

/// Returns every value that a figure puts on its value axis.
pub(crate) fn values(figure: &Figure) -> Vec<f64> {
    let ends = |interval: Option<Interval>| {
        interval
            .into_iter()
            .flat_map(|interval| [interval.lo, interval.hi])
    };
    let mut values = Vec::new();
    match &figure.kind {
        FigureKind::Bars(bars) => {
            values.extend(bars.baseline.map(Baseline::value));
            for bar in &bars.bars {
                values.extend(
                    bar.estimate
                        .into_iter()
                        .chain(bar.reference)
                        .chain(ends(bar.interval)),
                );
                values.extend(&bar.points);
            }
        }
        FigureKind::Curves(curves) => {
            values.extend(curves.baseline.map(Baseline::value));
            for point in curves.series.iter().flat_map(|series| &series.points) {
                values.extend(point.y.into_iter().chain(ends(point.interval)));
            }
        }
        FigureKind::Sweep(sweep) => {
            values.extend(sweep.baseline.map(Baseline::value));
            for point in sweep.series.iter().flat_map(|series| &series.points) {
                let estimate = point.estimate.into_iter().chain(point.reference);
                values.extend(estimate.chain(ends(point.interval)));
                values.extend(&point.points);
            }
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_intervals_get_the_decimals_that_tell_their_ends_apart() {
        let interval = |lo, hi| Some(Interval { lo, hi });
        assert_eq!(telling_decimals(interval(0.9427, 0.9433), 3), 4);
        assert_eq!(telling_decimals(interval(0.1, 0.2), 3), 3);
        assert_eq!(telling_decimals(interval(0.5, 0.5), 3), 3);
        assert_eq!(telling_decimals(None, 3), 3);
    }
}
