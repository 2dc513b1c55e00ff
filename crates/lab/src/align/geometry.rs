//! Inner products of gradients in `f64`, and the projection.

/// The three inner products of two vectors, summed in `f64` from the first entry on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Products {
    /// a·b.
    pub inner: f64,
    /// a·a.
    pub first: f64,
    /// b·b.
    pub second: f64,
}

impl Products {
    /// Returns the products of two vectors of one length.
    pub fn of(a: &[f32], b: &[f32]) -> Self {
        assert_eq!(a.len(), b.len(), "gradients of one network");
        let mut products = Self {
            inner: 0.0,
            first: 0.0,
            second: 0.0,
        };
        for (&a, &b) in a.iter().zip(b) {
            let (a, b) = (f64::from(a), f64::from(b));
            products.inner += a * b;
            products.first += a * a;
            products.second += b * b;
        }
        products
    }

    /// Returns a·b / (|a| |b|); `None` if a vector is zero or not finite.
    pub fn cosine(&self) -> Option<f64> {
        let cosine = self.inner / (self.first.sqrt() * self.second.sqrt());
        cosine.is_finite().then_some(cosine)
    }
}

/// Takes the positive component of `gradient` along `direction` away: g - max(0, g·t) / (t·t) t.
///
/// Returns the length of what was taken as a share of the gradient's, which is the cosine where that is positive and 0
/// where it is negative. Where the cosine is undefined the gradient stays as it is and the share is `None`.
pub(super) fn remove_positive(gradient: &mut [f32], direction: &[f32]) -> Option<f64> {
    let products = Products::of(gradient, direction);
    let cosine = products.cosine()?;
    if cosine <= 0.0 {
        return Some(0.0);
    }
    let factor = products.inner / products.second;
    for (gradient, &direction) in gradient.iter_mut().zip(direction) {
        *gradient = (f64::from(*gradient) - factor * f64::from(direction)) as f32;
    }
    Some(cosine)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn products_by_hand() {
        let products = Products::of(&[3.0, 4.0], &[1.0, 0.0]);
        assert_eq!(
            (products.inner, products.first, products.second),
            (3.0, 25.0, 1.0)
        );
        assert_eq!(products.cosine(), Some(0.6));
    }

    #[test]
    fn a_zero_or_infinite_vector_has_no_cosine() {
        assert_eq!(Products::of(&[0.0, 0.0], &[1.0, 0.0]).cosine(), None);
        assert_eq!(
            Products::of(&[f32::INFINITY, 0.0], &[1.0, 0.0]).cosine(),
            None
        );
        assert_eq!(Products::of(&[f32::NAN, 0.0], &[1.0, 0.0]).cosine(), None);
    }

    #[test]
    fn removes_only_what_points_along() {
        for (direction, expected, removed) in [
            ([2.0, 0.0], [0.0, 4.0], Some(0.6)),
            ([-2.0, 0.0], [3.0, 4.0], Some(0.0)),
            ([0.0, 0.0], [3.0, 4.0], None),
        ] {
            let mut gradient = [3.0, 4.0];
            assert_eq!(
                remove_positive(&mut gradient, &direction),
                removed,
                "{direction:?}"
            );
            assert_eq!(gradient, expected, "{direction:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_positive_is_left_and_the_rest_stays(
            pairs in proptest::collection::vec((-1.0f32..1.0, -1.0f32..1.0), 2..200),
        ) {
            let (gradient, direction): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let before = Products::of(&gradient, &direction);
            let mut after = gradient.clone();
            let removed = remove_positive(&mut after, &direction);
            let left = Products::of(&after, &direction);
            // abs: each entry is rounded once to f32, an error of at most 2^-24 of the gradient's own length.
            let tolerance = 1e-7 * before.first.sqrt() * before.second.sqrt();
            prop_assert!(left.inner <= tolerance, "{left:?}");
            if let Some(share) = removed {
                let expected = before.first * (1.0 - share * share);
                // rel: the squared length of a vector of rounded entries; abs: where hardly anything is left.
                prop_assert!((left.first - expected).abs() <= 1e-6 * before.first, "{left:?}");
            }
        }
    }
}
