//! Where boxes go: a layer a generation, and within a layer in an order with few crossings.

use super::{Picture, PictureEdge};

/// Passes over the layers that reorder them.
const SWEEPS: usize = 8;

/// Returns the layer of every box: one below the lowest older box. Circles, which only false records make, are cut.
pub(super) fn layers(n: usize, edges: &[PictureEdge]) -> Vec<usize> {
    let mut layers = vec![0; n];
    // A path without circles has fewer than `n` edges.
    for _ in 0..n.max(1) {
        let mut changed = false;
        for edge in edges {
            let below = layers[edge.older] + 1;
            if layers[edge.younger] < below && below < n {
                layers[edge.younger] = below;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    layers
}

/// Returns the column of every box within its layer.
pub(super) fn columns(picture: &Picture) -> Vec<usize> {
    let n_layers = picture
        .nodes
        .iter()
        .map(|node| node.layer + 1)
        .max()
        .unwrap_or(0);
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); n_layers];
    for (at, node) in picture.nodes.iter().enumerate() {
        rows[node.layer].push(at);
    }
    let mut column = vec![0; picture.nodes.len()];
    let number = |rows: &[Vec<usize>], column: &mut Vec<usize>| {
        for row in rows {
            for (at, node) in row.iter().enumerate() {
                column[*node] = at;
            }
        }
    };
    number(&rows, &mut column);
    let mut around: Vec<Vec<usize>> = vec![Vec::new(); picture.nodes.len()];
    for edge in &picture.edges {
        around[edge.older].push(edge.younger);
        around[edge.younger].push(edge.older);
    }
    for _ in 0..SWEEPS {
        for row in &mut rows {
            // Twice the mean column of the neighbours, as a fraction of whole numbers so that ties stay ties.
            let mut keyed: Vec<(f64, usize, usize)> = row
                .iter()
                .map(|node| {
                    let near = &around[*node];
                    let sum: usize = near.iter().map(|near| column[*near]).sum();
                    let mean = match near.len() {
                        0 => column[*node] as f64,
                        n => sum as f64 / n as f64,
                    };
                    (mean, column[*node], *node)
                })
                .collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            *row = keyed.into_iter().map(|(_, _, node)| node).collect();
        }
        number(&rows, &mut column);
    }
    column
}
