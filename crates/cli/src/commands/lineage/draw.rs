//! `lineage graph`: a part of the graph as a drawing or as text for drawing programs.

use anyhow::Result;
use undertone_core::exit;
use undertone_lineage::picture::{Picture, dot, html, mermaid, svg};
use undertone_store::write_atomic;

use super::Place;
use crate::args::{GraphArgs, PictureFormat};
use crate::context::Context;

/// Draws, to a file or stdout.
pub fn run(context: &Context, args: &GraphArgs) -> Result<u8> {
    let place = Place::open(context)?;
    let things = place.things(&args.id)?;
    // A run is what it recorded; its things are not followed further unless asked.
    let hops = match (args.hops, things.len()) {
        (None, 2..) => Some(0),
        (hops, _) => hops,
    };
    let picture = Picture::around(&place.graph, &things, hops)?;
    let text = match args.format {
        PictureFormat::Svg => svg(&picture),
        PictureFormat::Dot => dot(&picture),
        PictureFormat::Mermaid => mermaid(&picture),
        PictureFormat::Html => html(&picture, &format!("Lineage of {}", args.id)),
        PictureFormat::Json => format!("{}\n", serde_json::to_string(&picture)?),
    };
    match &args.output {
        None => context.print(&picture, || Ok(text))?,
        Some(path) => {
            write_atomic(path, text.as_bytes())?;
            let value = serde_json::json!({"output": path, "nodes": picture.nodes.len(), "edges": picture.edges.len()});
            context.print(&value, || {
                let (nodes, edges) = (picture.nodes.len(), picture.edges.len());
                Ok(format!("{}: {nodes} things, {edges} ties", path.display()))
            })?;
        }
    }
    Ok(exit::DONE)
}
