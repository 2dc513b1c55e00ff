//! Elementary functions on lanes, written so that the compiler vectorises them for whatever set is enabled.
//!
//! All are pure arithmetic on `f32`, so a result depends on the instruction set only through fused multiply-adds.

use crate::isa::LANE;

/// Returns exp(x) for every value, relative error below 3e-7 on [-87, 88]; clamps outside.
///
/// exp(x) = 2^n · exp(r), n = round(x / ln 2), |r| ≤ ln 2 / 2, exp(r) by its Taylor polynomial of degree 7.
#[inline(always)]
pub fn exp(x: [f32; LANE]) -> [f32; LANE] {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5 · 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let mut y = [0.0; LANE];
    for lane in 0..LANE {
        let x = x[lane].clamp(-87.0, 88.0);
        let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
        let r = (x - n * LN2_HIGH) - n * LN2_LOW;
        let mut p = 1.0 / 5040.0;
        p = p * r + 1.0 / 720.0;
        p = p * r + 1.0 / 120.0;
        p = p * r + 1.0 / 24.0;
        p = p * r + 1.0 / 6.0;
        p = p * r + 0.5;
        p = p * r + 1.0;
        p = p * r + 1.0;
        y[lane] = p * f32::from_bits(((n as i32 + 127) as u32) << 23);
    }
    y
}

/// Returns 1 / (1 + exp(-x)) for every value.
#[inline(always)]
pub fn sigmoid(x: [f32; LANE]) -> [f32; LANE] {
    exp(x.map(|x| -x)).map(|e| 1.0 / (1.0 + e))
}

/// Returns (z Φ(z), Φ(z) + z φ(z)): the exact GELU and its derivative, absolute error below 1e-6.
///
/// erf by formula 7.1.26 of Abramowitz and Stegun (absolute error 1.5e-7).
#[inline(always)]
pub fn gelu(z: [f32; LANE]) -> ([f32; LANE], [f32; LANE]) {
    const INV_SQRT_2PI: f32 = 0.398_942_3;
    let gauss = exp(z.map(|z| -0.5 * z * z));
    let (mut value, mut slope) = ([0.0; LANE], [0.0; LANE]);
    for lane in 0..LANE {
        let z = z[lane];
        let x = z.abs() * std::f32::consts::FRAC_1_SQRT_2;
        let t = 1.0 / (1.0 + 0.327_591_1 * x);
        let mut p = 1.061_405_4;
        p = p * t - 1.453_152;
        p = p * t + 1.421_413_7;
        p = p * t - 0.284_496_74;
        p = p * t + 0.254_829_6;
        let tail = 0.5 * p * t * gauss[lane];
        let cdf = if z > 0.0 { 1.0 - tail } else { tail };
        value[lane] = z * cdf;
        slope[lane] = cdf + z * INV_SQRT_2PI * gauss[lane];
    }
    (value, slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> impl Iterator<Item = f32> {
        (-2_000..2_000).map(|i| i as f32 * 0.00437)
    }

    #[test]
    fn exp_is_close_to_libm() {
        for x in (-8_000..8_000).map(|i| i as f32 * 0.0108) {
            let truth = f64::from(x).exp();
            let relative = (f64::from(exp([x; LANE])[0]) - truth).abs() / truth;
            assert!(relative < 3e-7, "exp({x}): {relative:e}");
        }
    }

    #[test]
    fn sigmoid_is_close_and_stays_inside_its_range() {
        for x in grid().chain([-1e30, -200.0, 200.0, 1e30]) {
            let truth = 1.0 / (1.0 + (-f64::from(x)).exp());
            assert!(
                (f64::from(sigmoid([x; LANE])[0]) - truth).abs() < 2e-7,
                "{x}"
            );
        }
    }

    #[test]
    fn gelu_and_its_slope_agree_with_the_reference() {
        for z in grid() {
            let (value, slope) = gelu([z; LANE]);
            let z = f64::from(z);
            let cdf = 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2);
            let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
            assert!((f64::from(value[0]) - z * cdf).abs() < 2e-6, "{z}");
            assert!(
                (f64::from(slope[0]) - (cdf + z * density)).abs() < 2e-6,
                "{z}"
            );
        }
    }
}
