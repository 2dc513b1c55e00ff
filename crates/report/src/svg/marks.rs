//! Markers, dashes, whiskers and clouds of single points.
//!
//! Everything is deterministic: the jitter of a point depends on its index only.

use super::canvas::{Canvas, px, segment};
use crate::figure::{Interval, Role};
use crate::theme::role_colour;

/// Most single points that are drawn per estimate; beyond it [`thin`] keeps evenly spaced ranks.
pub(crate) const MAX_CLOUD: usize = 240;

/// Most points that are drawn per curve; beyond it [`thin`] keeps evenly spaced positions.
pub(crate) const MAX_CURVE: usize = 400;

const DASHES: [&str; 5] = ["", "7 4", "2 3.5", "10 3 2 3", "4 2"];

/// Colour, marker and dash of one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    pub colour: usize,
    pub marker: usize,
    pub dash: usize,
}

/// Gives every series a style: the colour by role, marker and dash by position, so that no two neighbours look alike.
pub(crate) fn styles(roles: impl Iterator<Item = Role>) -> Vec<Style> {
    let mut others = 0;
    roles
        .enumerate()
        .map(|(index, role)| {
            let colour = role_colour(role, others);
            others += usize::from(role == Role::Other);
            Style {
                colour,
                marker: index,
                dash: index,
            }
        })
        .collect()
}

/// Which direction values run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Along {
    X,
    Y,
}

impl Style {
    /// Returns the dash attribute of this series.
    pub(crate) fn dash_attribute(self) -> String {
        match DASHES[self.dash % DASHES.len()] {
            "" => String::new(),
            dash => format!(" stroke-dasharray=\"{dash}\""),
        }
    }

    /// Draws this series' marker with a rim in the background colour.
    pub(crate) fn draw_marker(self, canvas: &mut Canvas, at: (f64, f64), radius: f64) {
        let data = marker(self.marker, at, radius);
        canvas.stroke(&data, "ut-halo", 3.0, " stroke-linejoin=\"round\"");
        canvas.fill(&data, &format!("ut-f{}", self.colour), "");
    }
}

/// Returns the outline of marker number `index` (modulo 6).
fn marker(index: usize, (x, y): (f64, f64), r: f64) -> String {
    let polygon = |corners: &[(f64, f64)]| {
        let mut data = String::new();
        for (index, (dx, dy)) in corners.iter().enumerate() {
            let verb = if index == 0 { 'M' } else { 'L' };
            data.push_str(&format!("{verb}{} {}", px(x + dx * r), px(y + dy * r)));
        }
        data + "z"
    };
    match index % 6 {
        0 => {
            let (left, d, r) = (px(x - r), px(2.0 * r), px(r));
            format!(
                "M{left} {}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0z",
                px(y)
            )
        }
        1 => polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
        2 => polygon(&[(0.0, -1.2), (1.15, 0.85), (-1.15, 0.85)]),
        3 => polygon(&[(0.0, 1.2), (1.15, -0.85), (-1.15, -0.85)]),
        4 => {
            let (a, b) = (0.4, 1.2);
            polygon(&[
                (-a, -b),
                (a, -b),
                (a, -a),
                (b, -a),
                (b, a),
                (a, a),
                (a, b),
                (-a, b),
                (-a, a),
                (-b, a),
                (-b, -a),
                (-a, -a),
            ])
        }
        _ => {
            let corner = |k: f64| {
                let angle = k * std::f64::consts::FRAC_PI_3;
                (angle.cos() * 1.15, angle.sin() * 1.15)
            };
            polygon(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0].map(corner))
        }
    }
}

/// Draws a hollow diamond: a value from elsewhere to compare with.
pub(crate) fn reference(canvas: &mut Canvas, (x, y): (f64, f64), r: f64) {
    let (left, right, top, bottom) = (px(x - r), px(x + r), px(y - r), px(y + r));
    let (x, y) = (px(x), px(y));
    let data = format!("M{x} {top}L{right} {y}L{x} {bottom}L{left} {y}z");
    canvas.fill(&data, "ut-bg", " fill-opacity=\"0.85\"");
    canvas.stroke(&data, "ut-axis", 1.6, "");
}

/// Draws an interval with end caps along `along`; `at` maps a value to a coordinate, `across` is the other coordinate.
pub(crate) fn whisker(
    canvas: &mut Canvas,
    interval: Interval,
    at: impl Fn(f64) -> f64,
    (along, across): (Along, f64),
    (class, cap): (&str, f64),
) {
    let (lo, hi) = (at(interval.lo), at(interval.hi));
    let point = |value: f64, shift: f64| match along {
        Along::X => (value, across + shift),
        Along::Y => (across + shift, value),
    };
    let data = [
        segment(point(lo, 0.0), point(hi, 0.0)),
        segment(point(lo, -cap), point(lo, cap)),
        segment(point(hi, -cap), point(hi, cap)),
    ]
    .concat();
    canvas.stroke(
        &data,
        "ut-halo",
        4.6,
        " stroke-linecap=\"round\" stroke-opacity=\"0.8\"",
    );
    canvas.stroke(&data, class, 1.8, " stroke-linecap=\"round\"");
}

/// Draws single values as dots, spread by `spread` to both sides of `across`.
pub(crate) fn cloud(
    canvas: &mut Canvas,
    values: &[f64],
    at: impl Fn(f64) -> f64,
    (along, across, spread): (Along, f64, f64),
    (colour, diameter, opacity): (usize, f64, f64),
) {
    let mut data = String::new();
    for (index, value) in thin_ranks(values).into_iter().enumerate() {
        let (along_px, across_px) = (px(at(value)), px(across + spread * jitter(index)));
        let (x, y) = match along {
            Along::X => (along_px, across_px),
            Along::Y => (across_px, along_px),
        };
        // A line of length zero with round caps is a dot: one path instead of hundreds of circles.
        data.push_str(&format!("M{x} {y}h0"));
    }
    let extra = format!(" stroke-linecap=\"round\" stroke-opacity=\"{opacity}\"");
    canvas.stroke(&data, &format!("ut-s{colour}"), diameter, &extra);
}

/// Returns a number in [-1, 1] for point `index`: multiples of the golden ratio, which spread evenly for any count.
fn jitter(index: usize) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    // Indices are small, so the cast is exact.
    2.0 * ((index as f64 + 0.5) * GOLDEN).fract() - 1.0
}

/// Returns `values`, or [`MAX_CLOUD`] of them at evenly spaced ranks, smallest and largest included.
fn thin_ranks(values: &[f64]) -> Vec<f64> {
    if values.len() <= MAX_CLOUD {
        return values.to_vec();
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    thin(&sorted, MAX_CLOUD).copied().collect()
}

/// Returns at most `limit` items at evenly spaced positions, first and last included.
pub(crate) fn thin<T>(items: &[T], limit: usize) -> impl Iterator<Item = &T> {
    let n_kept = items.len().min(limit);
    let last = items.len().saturating_sub(1);
    let index = move |kept: usize| {
        if n_kept > 1 {
            kept * last / (n_kept - 1)
        } else {
            0
        }
    };
    (0..n_kept).map(move |kept| &items[index(kept)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_ends_and_the_count() {
        let items: Vec<usize> = (0..1000).collect();
        let kept: Vec<usize> = thin(&items, 7).copied().collect();
        assert_eq!(kept, [0, 166, 333, 499, 666, 832, 999]);
        assert_eq!(thin(&items[..3], 7).count(), 3);
        assert_eq!(thin(&items[..0], 7).count(), 0);
    }

    #[test]
    fn jitter_stays_inside_and_differs_between_neighbours() {
        for index in 0..500 {
            assert!(jitter(index).abs() <= 1.0);
            assert!((jitter(index) - jitter(index + 1)).abs() > 0.5);
        }
    }

    #[test]
    fn six_neighbouring_series_have_different_markers() {
        let outlines: std::collections::BTreeSet<String> =
            (0..6).map(|index| marker(index, (0.0, 0.0), 4.0)).collect();
        assert_eq!(outlines.len(), 6);
    }
}
