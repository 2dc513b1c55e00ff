//! The norm of a gradient, and the factor that limits it.

use rayon::prelude::*;

/// Values summed on their own before they meet others; fixed, so that the sum does not depend on threads.
const CHUNK: usize = 1 << 16;

/// Returns the Euclidean norm of all `slices` together, summed in f64 in a fixed order.
///
/// Not finite if a value is not.
pub fn gradient_norm<'a>(slices: impl IntoIterator<Item = &'a [f32]>) -> f64 {
    let mut sum = 0.0;
    for slice in slices {
        let parts: Vec<f64> = slice.par_chunks(CHUNK).map(sum_of_squares).collect();
        sum += parts.iter().sum::<f64>();
    }
    sum.sqrt()
}

/// Returns the factor that brings a gradient of norm `norm` down to `limit`: `min(1, limit / (norm + 1e-6))`.
///
/// # Source
/// `torch.nn.utils.clip_grad_norm_`, whose 1e-6 this is.
pub fn clip_factor(norm: f64, limit: f64) -> f32 {
    (limit / (norm + 1e-6)).min(1.0) as f32
}

/// Eight running sums, so that a processor need not wait for each addition.
fn sum_of_squares(values: &[f32]) -> f64 {
    let mut sums = [0.0; 8];
    let (eights, rest) = values.as_chunks::<8>();
    for eight in eights {
        for (sum, &value) in sums.iter_mut().zip(eight) {
            *sum += f64::from(value) * f64::from(value);
        }
    }
    for (sum, &value) in sums.iter_mut().zip(rest) {
        *sum += f64::from(value) * f64::from(value);
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_norm_is_over_all_slices() {
        assert_eq!(gradient_norm([&[3.0f32][..], &[0.0, 4.0]]), 5.0);
        assert_eq!(gradient_norm([]), 0.0);
        let ones = vec![1.0; 3 * CHUNK + 5];
        assert_eq!(gradient_norm([&ones[..]]), ((3 * CHUNK + 5) as f64).sqrt());
    }

    #[test]
    fn a_broken_gradient_shows() {
        assert!(gradient_norm([&[1.0, f32::NAN][..]]).is_nan());
        assert_eq!(gradient_norm([&[f32::INFINITY][..]]), f64::INFINITY);
        // Squares beyond f32 are not beyond f64.
        assert!(gradient_norm([&[f32::MAX, f32::MAX][..]]).is_finite());
    }

    #[test]
    fn short_gradients_are_left_alone_and_long_ones_reach_the_limit() {
        assert_eq!(clip_factor(0.5, 1.0), 1.0);
        assert_eq!(clip_factor(0.0, 1.0), 1.0);
        // Relative: PyTorch's 1e-6 makes the limited norm a little short.
        assert!((f64::from(clip_factor(4.0, 1.0)) * 4.0 - 1.0).abs() < 1e-6);
    }
}
