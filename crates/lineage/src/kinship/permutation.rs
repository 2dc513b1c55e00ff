//! The test with an exact null: are units of the same number more alike than units of renumbered copies?
//!
//! For hidden layer `l`, let `s(i, j)` be the cosine of unit `i` of the one model and unit `j` of the other, of the weights into
//! them; where no other hidden layer reads the weights out of them, half the sum with the cosine of those. The statistic is
//! `T_l = Σ s(i, i)`. If the two began independently, with units drawn alike and trained by rules that know no numbers, the
//! law of the second does not change when the units of one of its layers are renumbered, whatever both were trained on; so
//! `T_l` has the law of `Σ s(i, π(i))` for a uniform `π`, and `(1 + #{T_π ≥ T}) / (1 + #π)` is a p-value that is exact for any
//! number of renumberings. No matrix is part of two layers' statistics, and given the numbers of the layer before the
//! p-value of a layer is uniform still: the p-values are independent, and Fisher's method combines them. Layers that are wide
//! are looked at in their first units, a choice that knows nothing of weights.
//!
//! Not exact: units sorted by something (norms, as pruning tools do) are not exchangeable. Embeddings and norms, which
//! have no such symmetry, are not looked at.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Seed;

use super::{Half, HiddenLayer, KinshipRule};

/// Fewer units than this have too few renumberings to say anything.
pub(super) const MIN_UNITS: usize = 4;
/// Units of a layer that are looked at.
pub(super) const MAX_UNITS: usize = 256;

/// One layer of the test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LayerTest {
    /// The layer.
    pub name: String,
    /// Units looked at.
    pub units: usize,
    /// Mean similarity of units of the same number.
    pub mean_cosine: f64,
    /// Its p-value alone.
    pub p_value: f64,
    /// Its distance from the mean of renumberings, in their standard deviations; absent if those are all alike.
    pub z: Option<f64>,
}

/// All layers of the test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PermutationTest {
    /// The p-value of all layers together.
    pub p_value: f64,
    /// Mean similarity of units of the same number, over all units.
    pub mean_cosine: f64,
    /// Probability of a p-value at the rule's level if the true mean similarity were the rule's `sought_cosine` above
    /// that of renumberings, by the normal approximation.
    pub power: f64,
    /// Every layer.
    pub layers: Vec<LayerTest>,
}

/// Tests layers of equal shapes; `None` without any.
pub(super) fn test(
    layers: &[(HiddenLayer, HiddenLayer)],
    rule: &KinshipRule,
) -> Option<PermutationTest> {
    let n = rule.permutations as usize;
    let mut tested = Vec::new();
    let (mut sum, mut units, mut sought, mut scored) = (0.0, 0, 0.0, 0);
    for (index, (a, b)) in (0u64..).zip(layers) {
        let size = a.units.min(MAX_UNITS);
        let similarity = similarity(a, b, size);
        let observed: f64 = (0..size).map(|unit| similarity[unit * size + unit]).sum();
        let mut stream = Seed(rule.seed).stream("lineage/kinship/renumber", index);
        let mut at_least = 0;
        for _ in 0..n {
            let order = stream.permutation(size as u32);
            let pairs = order.iter().enumerate();
            let value: f64 = pairs
                .map(|(unit, other)| similarity[unit * size + *other as usize])
                .sum();
            at_least += usize::from(value >= observed);
        }
        let (mean, deviation) = moments(&similarity, size);
        if deviation > 0.0 {
            scored += 1;
            sought += rule.sought_cosine * size as f64 / deviation;
        }
        sum += observed;
        units += size;
        tested.push(LayerTest {
            name: a.name.clone(),
            units: size,
            mean_cosine: observed / size as f64,
            p_value: (1 + at_least) as f64 / (1 + n) as f64,
            z: (deviation > 0.0).then(|| (observed - mean) / deviation),
        });
    }
    if tested.is_empty() {
        return None;
    }
    let power = match scored {
        0 => 0.0,
        layers => {
            normal_above(normal_quantile_above(rule.alpha) - sought / f64::from(layers).sqrt())
        }
    };
    let p_values: Vec<f64> = tested.iter().map(|layer| layer.p_value).collect();
    Some(PermutationTest {
        p_value: fisher(&p_values),
        mean_cosine: sum / units as f64,
        power,
        layers: tested,
    })
}

/// Combines independent p-values: the upper tail of chi-square with two degrees a value at `-2 Σ ln p`.
fn fisher(p_values: &[f64]) -> f64 {
    let half: f64 = -p_values.iter().map(|p| p.ln()).sum::<f64>();
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..p_values.len() {
        term *= half / k as f64;
        sum += term;
    }
    ((-half).exp() * sum).min(1.0)
}

/// Returns mean and standard deviation of `Σ s(i, π(i))` over all permutations, exactly.
///
/// With row, column and grand means taken out, the variance is `Σ d(i, j)² / (n - 1)` (Hoeffding 1951).
fn moments(similarity: &[f64], n: usize) -> (f64, f64) {
    let row = |i: usize| similarity[i * n..(i + 1) * n].iter().sum::<f64>() / n as f64;
    let rows: Vec<f64> = (0..n).map(row).collect();
    let columns: Vec<f64> = (0..n)
        .map(|j| (0..n).map(|i| similarity[i * n + j]).sum::<f64>() / n as f64)
        .collect();
    let grand = rows.iter().sum::<f64>() / n as f64;
    let mut squares = 0.0;
    for i in 0..n {
        for j in 0..n {
            let d = similarity[i * n + j] - rows[i] - columns[j] + grand;
            squares += d * d;
        }
    }
    (grand * n as f64, (squares / (n as f64 - 1.0)).sqrt())
}

/// Returns the similarities of the first `size` units of both, `[size, size]`.
fn similarity(a: &HiddenLayer, b: &HiddenLayer, size: usize) -> Vec<f64> {
    let of = |a: &Half, b: &Half| cosines(&unit_rows(a, size), &unit_rows(b, size), a.width);
    let into = of(&a.into, &b.into);
    match a.leads {
        true => into,
        false => {
            let out = of(&a.out, &b.out);
            into.iter()
                .zip(&out)
                .map(|(into, out)| (into + out) / 2.0)
                .collect()
        }
    }
}

/// Returns the first rows at length 1; a row of zeros stays one.
pub(super) fn unit_rows(half: &Half, size: usize) -> Vec<f32> {
    let mut rows = Vec::with_capacity(size * half.width);
    for row in half.values.chunks_exact(half.width.max(1)).take(size) {
        let norm = row
            .iter()
            .map(|value| f64::from(*value).powi(2))
            .sum::<f64>()
            .sqrt();
        let scale = if norm > 0.0 { 1.0 / norm } else { 0.0 };
        rows.extend(row.iter().map(|value| (f64::from(*value) * scale) as f32));
    }
    rows
}

/// Returns the products of all rows of length 1 with all others, `[n, m]`.
pub(super) fn cosines(a: &[f32], b: &[f32], width: usize) -> Vec<f64> {
    if width == 0 {
        return Vec::new();
    }
    let mut out = Vec::with_capacity((a.len() / width) * (b.len() / width));
    for row in a.chunks_exact(width) {
        for other in b.chunks_exact(width) {
            out.push(dot(row, other));
        }
    }
    out
}

/// Sixteen partial sums in a fixed order: fast, and the same everywhere.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0f32; 16];
    let (a_chunks, a_rest) = a.as_chunks::<16>();
    let (b_chunks, b_rest) = b.as_chunks::<16>();
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..16 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f64 = a_rest
        .iter()
        .zip(b_rest)
        .map(|(x, y)| f64::from(x * y))
        .sum();
    rest + sums.iter().map(|sum| f64::from(*sum)).sum::<f64>()
}

/// The probability that a standard normal is above `x`, to 1e-7 (Abramowitz and Stegun 7.1.26).
fn normal_above(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let poly = t
        * (0.254_829_592
            + t * (-0.284_496_736
                + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let above = 0.5 * poly * (-z * z).exp();
    if x >= 0.0 { above } else { 1.0 - above }
}

/// The point that a standard normal is above with probability `p`, by bisection.
fn normal_quantile_above(p: f64) -> f64 {
    let (mut low, mut high) = (-10.0, 10.0);
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if normal_above(middle) > p {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moments_are_those_of_all_permutations() {
        let s = [0.3, -0.1, 0.7, 0.2, 0.9, -0.4, 0.05, 0.6, -0.8];
        let orders = [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ];
        let values: Vec<f64> = orders
            .iter()
            .map(|order| (0..3).map(|i| s[i * 3 + order[i]]).sum())
            .collect();
        let mean = values.iter().sum::<f64>() / 6.0;
        let variance = values
            .iter()
            .map(|value| (value - mean).powi(2))
            .sum::<f64>()
            / 6.0;
        let (m, d) = moments(&s, 3);
        assert!(
            (m - mean).abs() < 1e-12 && (d * d - variance).abs() < 1e-12,
            "{m} {d}"
        );
    }

    #[test]
    fn fisher_is_the_tail_of_chi_square() {
        // scipy.stats.combine_pvalues([0.01, 0.2, 0.3]) of SciPy 1.17.1
        assert!(
            (fisher(&[0.01, 0.2, 0.3]) - 0.021_561_75).abs() < 1e-6,
            "{}",
            fisher(&[0.01, 0.2, 0.3])
        );
        assert!((fisher(&[0.25]) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn the_normal_law_is_the_normal_law() {
        for (x, above) in [
            (0.0, 0.5),
            (1.644_853_6, 0.05),
            (2.326_347_9, 0.01),
            (-1.0, 0.841_344_7),
        ] {
            assert!((normal_above(x) - above).abs() < 2e-7, "{x}");
        }
        assert!((normal_quantile_above(0.01) - 2.326_347_9).abs() < 1e-5);
    }
}
