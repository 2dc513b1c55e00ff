//! Finds units that were renumbered: pairs them by the weights into them, and compares the weights out of them.
//!
//! Every unit of the one model is paired with the unit of the other whose incoming weights point most the same way. In a chain
//! of layers the columns of a layer are renumbered as the units before it were paired. What is compared is then the half that the
//! pairing did not see, where its columns mean the same in both models. Unrelated models trained on the same data
//! have units that do similar things, so that this has no exact null; where the line is drawn is calibrated.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::permutation::{MAX_UNITS, cosines, unit_rows};
use super::{Half, HiddenLayer};

/// What pairing found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Matching {
    /// Units that were paired and could be compared.
    pub units: usize,
    /// Mean cosine of the half that the pairing did not see.
    pub held_out_cosine: f64,
    /// The share of units paired with the one of their own number.
    pub kept_number: f64,
}

/// Pairs the units of layers of equal shapes; `None` if nothing could be compared.
pub(super) fn matched(layers: &[(HiddenLayer, HiddenLayer)]) -> Option<Matching> {
    let (mut sum, mut units, mut kept) = (0.0, 0, 0);
    let mut before: Option<Vec<usize>> = None;
    for (a, b) in layers {
        let columns = match (a.follows, &before) {
            (true, Some(pairs)) => Some(pairs.as_slice()),
            // The layer before has another shape: nothing says which column is which.
            (true, None) => return None,
            (false, _) => None,
        };
        let into = renumbered(&b.into, columns);
        // A layer that others stand on is paired as a whole; else its first units are enough.
        let size = match a.leads {
            true => a.units,
            false => a.units.min(MAX_UNITS),
        };
        let similar = cosines(
            &unit_rows(&a.into, size),
            &unit_rows(&into, b.units),
            a.into.width,
        );
        let pairs: Vec<usize> = similar
            .chunks_exact(b.units)
            .map(|row| {
                let best = row
                    .iter()
                    .enumerate()
                    .max_by(|x, y| x.1.total_cmp(y.1).then(y.0.cmp(&x.0)));
                best.map_or(0, |(unit, _)| unit)
            })
            .collect();
        if !a.leads {
            let (out_a, out_b) = (unit_rows(&a.out, size), unit_rows(&b.out, b.units));
            for (unit, pair) in pairs.iter().enumerate() {
                let x = &out_a[unit * a.out.width..][..a.out.width];
                let y = &out_b[pair * b.out.width..][..b.out.width];
                sum += x.iter().zip(y).map(|(x, y)| f64::from(x * y)).sum::<f64>();
                kept += usize::from(unit == *pair);
                units += 1;
            }
        }
        before = Some(pairs);
    }
    (units > 0).then(|| Matching {
        units,
        held_out_cosine: sum / units as f64,
        kept_number: kept as f64 / units as f64,
    })
}

/// Returns rows whose column `i` is the column that unit `i` was paired with.
fn renumbered(half: &Half, columns: Option<&[usize]>) -> Half {
    let Some(columns) = columns else {
        return half.clone();
    };
    let mut values = Vec::with_capacity(half.values.len());
    for row in half.values.chunks_exact(half.width.max(1)) {
        values.extend(
            columns
                .iter()
                .map(|column| row.get(*column).copied().unwrap_or(0.0)),
        );
        // Biases lie behind the columns and keep their place.
        values.extend(row.get(columns.len()..).unwrap_or_default());
    }
    Half {
        values,
        width: half.width,
    }
}
