//! The picture as SVG: boxes by generation, oldest on top; shape says the kind, the line the evidence.

use super::layout::columns;
use super::{Picture, label};
use crate::entity::EntityKind;
use crate::grade::Grade;

const BOX_WIDTH: usize = 220;
const BOX_HEIGHT: usize = 46;
const GAP_X: usize = 28;
const GAP_Y: usize = 84;
const MARGIN: usize = 24;
const LEGEND_HEIGHT: usize = 56;
/// Characters that fit a box.
const MAX_CHARS: usize = 32;

/// Returns the picture as one SVG document.
pub fn svg(picture: &Picture) -> String {
    let (width, height) = size(picture);
    let style = "<style>.t{font:12px sans-serif}.s{font:10px sans-serif;fill:#555}.e{font:9px sans-serif;fill:#444}\
                 .b{fill:#fff;stroke:#222}.r{stroke-width:3}.l{fill:none;stroke:#555}</style>";
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\"><title>Lineage</title><desc>{}</desc>{style}<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>{}</svg>\n",
        escape(&describe(picture)),
        body(picture)
    )
}

/// Returns width and height.
pub(super) fn size(picture: &Picture) -> (usize, usize) {
    let columns = columns(picture);
    let n_columns = columns.iter().map(|column| column + 1).max().unwrap_or(1);
    let n_layers = picture
        .nodes
        .iter()
        .map(|node| node.layer + 1)
        .max()
        .unwrap_or(1);
    let width = (2 * MARGIN + n_columns * (BOX_WIDTH + GAP_X)).max(760);
    (
        width,
        2 * MARGIN + n_layers * (BOX_HEIGHT + GAP_Y) + LEGEND_HEIGHT,
    )
}

/// Says what is drawn, for whoever does not see it.
fn describe(picture: &Picture) -> String {
    let mut text = format!(
        "{} things in {} boxes, {} arrows.",
        picture.things,
        picture.nodes.len(),
        picture.edges.len()
    );
    if picture.left_out > 0 {
        text.push_str(&format!(" {} things are left out.", picture.left_out));
    }
    text
}

/// Returns what is inside the SVG element; every box is a group with its place in the list as `data-n`.
pub(super) fn body(picture: &Picture) -> String {
    let columns = columns(picture);
    let place = |at: usize| {
        let x = MARGIN + columns[at] * (BOX_WIDTH + GAP_X);
        let y = MARGIN + picture.nodes[at].layer * (BOX_HEIGHT + GAP_Y);
        (x, y)
    };
    let mut out = "<defs><marker id=\"a\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\">\
                   <path d=\"M0 0L8 4L0 8z\" fill=\"#555\"/></marker></defs>"
        .to_owned();
    for edge in &picture.edges {
        let ((x1, y1), (x2, y2)) = (place(edge.older), place(edge.younger));
        let (x1, y1) = (x1 + BOX_WIDTH / 2, y1 + BOX_HEIGHT);
        let x2 = x2 + BOX_WIDTH / 2;
        let (dash, grade) = (dash(edge.grade), edge.grade);
        let count = match edge.count {
            1 => String::new(),
            n => format!(" x{n}"),
        };
        let (mx, my) = ((x1 + x2) / 2, (y1 + y2) / 2);
        out.push_str(&format!(
            "<g class=\"edge\" data-o=\"{}\" data-y=\"{}\"><path class=\"l\"{dash} marker-end=\"url(#a)\" d=\"M{x1} {y1}C{x1} {my} {x2} {my} {x2} {y2}\">\
             <title>{}{count}: {grade}</title></path><text class=\"e\" x=\"{mx}\" y=\"{my}\" text-anchor=\"middle\">{}{count}</text></g>",
            edge.older, edge.younger, edge.relation, edge.relation
        ));
    }
    for (at, node) in picture.nodes.iter().enumerate() {
        let (x, y) = place(at);
        let (name, what) = label(node);
        let shown: String = match name.chars().count() > MAX_CHARS {
            true => {
                let tail: Vec<char> = name.chars().rev().take(MAX_CHARS - 1).collect();
                std::iter::once('…').chain(tail.into_iter().rev()).collect()
            }
            false => name.clone(),
        };
        let root = if node.is_root { " r" } else { "" };
        let stack = match node.count {
            1 => String::new(),
            _ => format!(
                "<rect class=\"b\" x=\"{}\" y=\"{}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\"/>",
                x + 4,
                y + 4
            ),
        };
        out.push_str(&format!(
            "<g class=\"node\" data-n=\"{at}\"><title>{}\n{}</title>{stack}{}<text class=\"t\" x=\"{}\" y=\"{}\">{}</text>\
             <text class=\"s\" x=\"{}\" y=\"{}\">{}</text></g>",
            escape(&name),
            escape(&what),
            outline(node.node.kind, x, y, root),
            x + 10,
            y + 19,
            escape(&shown),
            x + 10,
            y + 35,
            escape(&what)
        ));
    }
    out.push_str(&legend(picture));
    out
}

fn outline(kind: Option<EntityKind>, x: usize, y: usize, root: &str) -> String {
    let (w, h) = (BOX_WIDTH, BOX_HEIGHT);
    match kind {
        Some(EntityKind::Dataset) => format!(
            "<rect class=\"b{root}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"18\"/>"
        ),
        Some(EntityKind::Step) => format!(
            "<path class=\"b{root}\" d=\"M{x} {y}h{}l12 {}l-12 {}h-{}z\"/>",
            w - 12,
            h / 2,
            h / 2,
            w - 12
        ),
        Some(EntityKind::Verdict) => format!(
            "<path class=\"b{root}\" d=\"M{x} {y}h{}l14 14v{}h-{w}z\"/>",
            w - 14,
            h - 14
        ),
        Some(EntityKind::Model) => {
            format!("<rect class=\"b{root}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"/>")
        }
        None => format!(
            "<rect class=\"b{root}\" stroke-dasharray=\"2 3\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"/>"
        ),
    }
}

fn dash(grade: Grade) -> &'static str {
    match grade {
        Grade::Verified => " stroke-width=\"3\"",
        Grade::Observed => "",
        Grade::Fingerprint => " stroke-dasharray=\"10 3 2 3\"",
        Grade::Declared => " stroke-dasharray=\"6 4\"",
        Grade::Unknown => " stroke-dasharray=\"1 4\"",
    }
}

/// The lines, and what was left out.
fn legend(picture: &Picture) -> String {
    let (_, height) = size(picture);
    let y = height - LEGEND_HEIGHT + 16;
    let mut out = String::new();
    for (at, grade) in Grade::ALL.iter().rev().enumerate() {
        let x = MARGIN + at * 140;
        out.push_str(&format!(
            "<path class=\"l\"{} d=\"M{x} {y}h40\"/><text class=\"s\" x=\"{}\" y=\"{}\">{grade}</text>",
            dash(*grade),
            x + 48,
            y + 4
        ));
    }
    out.push_str(&format!(
        "<text class=\"s\" x=\"{MARGIN}\" y=\"{}\">Older above, younger below. Square: model; round: data; arrow: step; folded: verdict. {}</text>",
        y + 24,
        escape(&describe(picture))
    ));
    out
}

pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
