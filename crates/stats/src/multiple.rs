//! Corrections for looking at many p-values at once.

/// Returns the Benjamini-Hochberg adjusted p-values, in the order of `p_values`.
///
/// Formula: with p(1) <= … <= p(m), adjusted p(i) = min over j >= i of min(1, m p(j) / j). Rejecting where the adjusted
/// value is at most q keeps the expected share of false rejections below q, if the tests are independent or positively
/// dependent. Empty for no p-values.
///
/// `None` if a value is not in [0, 1].
///
/// # Source
/// Y. Benjamini and Y. Hochberg, Controlling the false discovery rate, 1995.
pub fn benjamini_hochberg(p_values: &[f64]) -> Option<Vec<f64>> {
    if !p_values.iter().all(|p| (0.0..=1.0).contains(p)) {
        return None;
    }
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut least = 1.0_f64;
    for (rank, &at) in order.iter().enumerate().rev() {
        least = least.min(p_values[at] * (p_values.len() as f64 / (rank + 1) as f64));
        adjusted[at] = least;
    }
    Some(adjusted)
}
