//! Writes SVG elements: the only place where drawing turns into markup.
//!
//! Coordinates are CSS pixels, rounded to a tenth. Colours are classes of [`crate::theme`]; text is escaped here.

use crate::text::escape;
use std::fmt::Write as _;

/// A drawing that grows element by element.
pub(crate) struct Canvas {
    body: String,
}

/// Which point of a text sits at its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Type {
    pub size: f64,
    pub class: &'static str,
    pub bold: bool,
    pub anchor: Anchor,
}

impl Type {
    /// Ordinary text in ink, anchored at its start.
    pub(crate) const fn ink(size: f64) -> Self {
        Self {
            size,
            class: "ut-ink",
            bold: false,
            anchor: Anchor::Start,
        }
    }

    /// Secondary text, anchored at its start.
    pub(crate) const fn muted(size: f64) -> Self {
        Self {
            size,
            class: "ut-muted",
            bold: false,
            anchor: Anchor::Start,
        }
    }

    pub(crate) const fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    pub(crate) const fn anchored(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }
}

impl Canvas {
    /// Starts an empty drawing.
    pub(crate) fn new() -> Self {
        Self {
            body: String::new(),
        }
    }

    /// Returns the elements written so far.
    pub(crate) fn finish(self) -> String {
        self.body
    }

    pub(crate) fn text(&mut self, x: f64, y: f64, text: &str, style: Type) {
        self.runs(x, y, style, &[(text, style)]);
    }

    /// Writes several runs of text on one line; the position and the anchor come from `line`.
    pub(crate) fn runs(&mut self, x: f64, y: f64, line: Type, runs: &[(&str, Type)]) {
        let anchor = match line.anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        self.write(format_args!(
            "<text x=\"{}\" y=\"{}\"{anchor}>",
            px(x),
            px(y)
        ));
        for (text, style) in runs {
            let weight = if style.bold {
                " font-weight=\"700\""
            } else {
                ""
            };
            self.write(format_args!(
                "<tspan class=\"{}\" font-size=\"{}\"{weight}>{}</tspan>",
                style.class,
                px(style.size),
                escape(text)
            ));
        }
        self.write(format_args!("</text>\n"));
    }

    /// Strokes the path `data`; `extra` holds further attributes.
    pub(crate) fn stroke(&mut self, data: &str, class: &str, stroke_width: f64, extra: &str) {
        if !data.is_empty() {
            self.write(format_args!(
                "<path class=\"{class}\" d=\"{data}\" fill=\"none\" stroke-width=\"{}\"{extra}/>\n",
                px(stroke_width)
            ));
        }
    }

    /// Fills the path `data`; `extra` holds further attributes.
    pub(crate) fn fill(&mut self, data: &str, class: &str, extra: &str) {
        if !data.is_empty() {
            self.write(format_args!(
                "<path class=\"{class}\" d=\"{data}\"{extra}/>\n"
            ));
        }
    }

    /// Fills a rectangle.
    pub(crate) fn rect(&mut self, corner: (f64, f64), size: (f64, f64), class: &str, extra: &str) {
        self.write(format_args!(
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"{extra}/>\n",
            px(corner.0),
            px(corner.1),
            px(size.0),
            px(size.1)
        ));
    }

    /// Covers a rectangle with diagonal lines in the colour `colour`.
    ///
    /// Written out as one path: patterns need ids and are the feature on which SVG viewers differ most.
    pub(crate) fn hatch(&mut self, (x, y): (f64, f64), (w, h): (f64, f64), colour: usize) {
        const STEP: f64 = 7.0;
        let mut data = String::new();
        let mut offset = STEP / 2.0;
        while offset < w + h {
            // The line x' + y' = offset, cut to the rectangle.
            let from = (x + offset.min(w), y + (offset - w).max(0.0));
            let to = (x + (offset - h).max(0.0), y + offset.min(h));
            data.push_str(&segment(from, to));
            offset += STEP;
        }
        self.stroke(
            &data,
            &format!("ut-s{colour}"),
            1.5,
            " stroke-opacity=\"0.6\"",
        );
    }

    /// Writes raw markup; the caller vouches for it.
    pub(crate) fn write(&mut self, markup: std::fmt::Arguments<'_>) {
        self.body
            .write_fmt(markup)
            .expect("writing to a string cannot fail");
    }
}

/// Writes a coordinate with at most one decimal.
pub(crate) fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

/// Returns the path data of a straight line.
pub(crate) fn segment(from: (f64, f64), to: (f64, f64)) -> String {
    format!("M{} {}L{} {}", px(from.0), px(from.1), px(to.0), px(to.1))
}
