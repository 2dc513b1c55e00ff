//! One self-contained page: the drawing, to be panned, zoomed and searched, and a list of everything in it.
//!
//! Nothing is loaded from anywhere. Without scripts the drawing and the list are still there.

use super::svg::{body, escape, size};
use super::{Picture, label};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Returns the page.
pub fn html(picture: &Picture, title: &str) -> String {
    let (width, height) = size(picture);
    let title = escape(title);
    let mut rows = String::new();
    for (at, node) in picture.nodes.iter().enumerate() {
        let (name, what) = label(node);
        let ties = picture
            .edges
            .iter()
            .filter(|edge| edge.older == at || edge.younger == at)
            .count();
        rows.push_str(&format!(
            "<tr data-n=\"{at}\"><td><button type=\"button\">{}</button></td><td>{}</td><td>{}</td><td>{ties}</td></tr>\n",
            escape(&name),
            escape(&what),
            node.node.id
        ));
    }
    let left_out = match picture.left_out {
        0 => String::new(),
        n => format!(" {n} things farther away are left out."),
    };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\
         <title>{title}</title><style>{STYLE}</style></head>\n<body>\n<header><h1>{title}</h1>\
         <p>{} things in {} boxes, {} arrows.{left_out} Drag to move, wheel or + and - to zoom, 0 to see all.</p>\
         <label>Find <input id=\"find\" type=\"search\" autocomplete=\"off\"></label> <span id=\"found\" role=\"status\"></span></header>\n\
         <main id=\"view\" tabindex=\"0\" aria-label=\"drawing\"><svg id=\"picture\" xmlns=\"http://www.w3.org/2000/svg\" \
         viewBox=\"0 0 {width} {height}\" data-width=\"{width}\" data-height=\"{height}\">{}</svg></main>\n\
         <details><summary>All boxes as a list</summary><table><thead><tr><th>Name</th><th>What</th><th>Id</th><th>Ties</th></tr></thead>\
         <tbody>\n{rows}</tbody></table></details>\n<script>{SCRIPT}</script>\n</body></html>\n",
        picture.things,
        picture.nodes.len(),
        picture.edges.len(),
        body(picture)
    )
}
