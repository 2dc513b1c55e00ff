//! The two models number by number: equal tensors, relative distances, cosines.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{KinModel, LoadKinError};

/// One tensor of both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TensorDifference {
    /// Its name in the first model.
    pub name: String,
    /// Whether all numbers are equal.
    pub is_equal: bool,
    /// Length of the difference in units of the first one's length; absent if that is 0.
    pub distance: Option<f64>,
    /// Cosine of the two; absent if one has length 0.
    pub cosine: Option<f64>,
}

/// All matrices of both that have the same shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TensorSummary {
    /// Matrices compared.
    pub matrices: usize,
    /// Those that are equal bit by bit and not constant.
    pub equal_matrices: usize,
    /// Median over matrices.
    pub median_distance: f64,
    /// Median over matrices.
    pub median_cosine: f64,
    /// Every matrix.
    pub tensors: Vec<TensorDifference>,
}

/// Compares matrices of the same name and shape; `None` if there are none.
pub(super) fn compare(a: &KinModel, b: &KinModel) -> Result<Option<TensorSummary>, LoadKinError> {
    let mut tensors = Vec::new();
    for name in a.matrices() {
        let Some((of_a, of_b)) = a.matrix(&name)?.zip(b.matrix(&name)?) else {
            continue;
        };
        if of_a.len() != of_b.len() || of_a.is_empty() {
            continue;
        }
        let (mut aa, mut bb, mut ab, mut dd) = (0.0, 0.0, 0.0, 0.0);
        for (x, y) in of_a.iter().zip(&of_b) {
            let (x, y) = (f64::from(*x), f64::from(*y));
            aa += x * x;
            bb += y * y;
            ab += x * y;
            dd += (x - y) * (x - y);
        }
        // Two tensors of one constant are equal in any two models.
        let varies = of_a.iter().any(|value| *value != of_a[0]);
        tensors.push(TensorDifference {
            name,
            is_equal: varies && of_a == of_b,
            distance: (aa > 0.0).then(|| (dd / aa).sqrt()),
            cosine: (aa > 0.0 && bb > 0.0).then(|| ab / (aa * bb).sqrt()),
        });
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let distance = median(
        tensors
            .iter()
            .filter_map(|tensor| tensor.distance)
            .collect(),
    );
    let cosine = median(tensors.iter().filter_map(|tensor| tensor.cosine).collect());
    Ok(distance
        .zip(cosine)
        .map(|(median_distance, median_cosine)| TensorSummary {
            matrices: tensors.len(),
            equal_matrices: tensors.iter().filter(|tensor| tensor.is_equal).count(),
            median_distance,
            median_cosine,
            tensors,
        }))
}
