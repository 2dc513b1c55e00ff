//! Pictures for other programs: Graphviz and Mermaid.

use super::{Picture, PictureEdge, label};
use crate::entity::EntityKind;
use crate::grade::Grade;

fn arrow_label(edge: &PictureEdge) -> String {
    let count = match edge.count {
        1 => String::new(),
        n => format!(" x{n}"),
    };
    format!("{}{count}, {}", edge.relation, edge.grade)
}

/// Returns the picture for Graphviz.
pub fn dot(picture: &Picture) -> String {
    let quoted = |text: &str| {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{escaped}\"")
    };
    let mut text = "digraph lineage {\n  rankdir=TB; node [fontname=\"sans-serif\"]; edge [fontname=\"sans-serif\", fontsize=10];\n".to_owned();
    for (at, node) in picture.nodes.iter().enumerate() {
        let (name, what) = label(node);
        let shape = match node.node.kind {
            Some(EntityKind::Model) => "box",
            Some(EntityKind::Dataset) => "cylinder",
            Some(EntityKind::Step) => "cds",
            Some(EntityKind::Verdict) => "note",
            None => "ellipse",
        };
        let label = quoted(&format!("{name}\n{what}")).replace('\n', "\\n");
        let bold = if node.is_root { ", penwidth=3" } else { "" };
        text.push_str(&format!("  n{at} [shape={shape}, label={label}{bold}];\n"));
    }
    for edge in &picture.edges {
        let style = match edge.grade {
            Grade::Verified | Grade::Observed => "solid",
            Grade::Fingerprint | Grade::Declared => "dashed",
            Grade::Unknown => "dotted",
        };
        let (from, to, label) = (edge.older, edge.younger, quoted(&arrow_label(edge)));
        text.push_str(&format!(
            "  n{from} -> n{to} [label={label}, style={style}];\n"
        ));
    }
    if picture.left_out > 0 {
        let note = quoted(&format!("{} things are left out", picture.left_out));
        text.push_str(&format!("  label={note};\n"));
    }
    text.push_str("}\n");
    text
}

/// Returns the picture for Mermaid, which Markdown pages draw.
pub fn mermaid(picture: &Picture) -> String {
    // Everything but letters, digits and a few signs as an entity: Mermaid has no other escape.
    let escaped = |text: &str| -> String {
        text.chars()
            .map(|c| match c.is_alphanumeric() || " -_./:,@".contains(c) {
                true => c.to_string(),
                false => format!("#{};", c as u32),
            })
            .collect()
    };
    let mut text = "flowchart TD\n".to_owned();
    for (at, node) in picture.nodes.iter().enumerate() {
        let (name, what) = label(node);
        let label = format!("{}<br/>{}", escaped(&name), escaped(&what));
        let (open, close) = match node.node.kind {
            Some(EntityKind::Dataset) => ("[(", ")]"),
            Some(EntityKind::Step) => ("[[", "]]"),
            Some(EntityKind::Verdict) => (">", "]"),
            Some(EntityKind::Model) => ("[", "]"),
            None => ("(", ")"),
        };
        text.push_str(&format!("  n{at}{open}\"{label}\"{close}\n"));
    }
    for edge in &picture.edges {
        let line = match edge.grade {
            Grade::Verified | Grade::Observed => "-->",
            _ => "-.->",
        };
        let (from, to, label) = (edge.older, edge.younger, escaped(&arrow_label(edge)));
        text.push_str(&format!("  n{from} {line}|\"{label}\"| n{to}\n"));
    }
    if picture.left_out > 0 {
        text.push_str(&format!(
            "  left[\"{} things are left out\"]\n",
            picture.left_out
        ));
    }
    text
}
