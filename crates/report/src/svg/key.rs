//! The key under a drawing: what a dot, a whisker, a band and a diamond mean.

use super::canvas::{Canvas, Type, segment};
use super::marks::{self, Along};
use super::{PAD, SMALL};
use crate::figure::Interval;
use crate::text::{width, wrap};

/// One kind of mark that needs an explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Dot,
    Whisker,
    Band,
    Diamond,
    Baseline,
}

const SAMPLE: f64 = 24.0;
const GAP: f64 = 18.0;
const LINE: f64 = 18.0;

/// Draws the key below `top`, in as many lines as it needs, and returns the height reached.
pub(crate) fn draw(canvas: &mut Canvas, items: &[(Mark, String)], room: f64, top: f64) -> f64 {
    let (mut x, mut y) = (PAD, top + 12.0);
    for (mark, words) in items {
        let needed = SAMPLE + 6.0 + width(words, SMALL);
        if x > PAD && x + needed > room {
            (x, y) = (PAD, y + LINE);
        }
        sample(canvas, *mark, (x, y - 4.0));
        let lines = wrap(words, SMALL, room - x - SAMPLE - 6.0);
        for (index, line) in lines.iter().enumerate() {
            y += if index > 0 { LINE } else { 0.0 };
            canvas.text(x + SAMPLE + 6.0, y, line, Type::muted(SMALL));
        }
        x += needed + GAP;
    }
    if items.is_empty() { top } else { y + 6.0 }
}

fn sample(canvas: &mut Canvas, mark: Mark, (x, y): (f64, f64)) {
    let (left, middle, right) = (x + 3.0, x + SAMPLE / 2.0, x + SAMPLE - 3.0);
    match mark {
        Mark::Dot => {
            let place = (Along::X, y, 0.0);
            marks::cloud(
                canvas,
                &[left + 3.0, right - 3.0],
                |value| value,
                place,
                (7, 4.0, 0.7),
            );
        }
        Mark::Whisker => {
            let interval = Interval {
                lo: left,
                hi: right,
            };
            let place = (Along::X, y);
            marks::whisker(canvas, interval, |value| value, place, ("ut-axis", 4.0));
        }
        Mark::Band => {
            let size = (right - left, 10.0);
            canvas.rect((left, y - 5.0), size, "ut-f7", " fill-opacity=\"0.22\"");
        }
        Mark::Diamond => marks::reference(canvas, (middle, y), 6.0),
        Mark::Baseline => baseline(canvas, (left, y), (right, y)),
    }
}

/// Draws the dashed line that values are seen against.
pub(crate) fn baseline(canvas: &mut Canvas, from: (f64, f64), to: (f64, f64)) {
    canvas.stroke(
        &segment(from, to),
        "ut-dash",
        1.4,
        " stroke-dasharray=\"5 4\"",
    );
}
