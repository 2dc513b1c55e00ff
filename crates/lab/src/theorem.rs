//! Checks Theorem 1 of the subliminal-learning paper (arXiv 2507.14805, section 6.1 and appendix C) numerically, in f64,
//! on small networks.
//!
//! # The claim
//! Teacher and student start at the same parameters θ⁰. The teacher takes one step on its own loss,
//! `θ_T = θ⁰ + ε Δθ_T` with `Δθ_T = -∇L_T(θ⁰)`. The student takes one step of imitation on inputs x from any distribution
//! D, `θ_S = θ⁰ + α Δθ_S` with `Δθ_S = -∇_θ E[L_S(f_θ(x), f_θT(x))]` at θ⁰; L_S is squared error with non-negative weights
//! or softmax cross-entropy, on any fixed subset of the logits. Then either `Δθ_S·Δθ_T = 0` for every ε, or, for every
//! small enough ε, `L_T(θ_S) < L_T(θ⁰)`: the student improves on a loss it never saw. On the way:
//! `Δθ_S·Δθ_T = ε E[vᵀ M v] + O(ε²)` with `v = J_θ f(x) Δθ_T` and `M_ij = -∂²L_S/∂y_j∂z_i`.
//!
//! # What one case checks
//! A [`case`] is a random network, D, L_T and L_S. D is a finite sample and *is* the distribution, so E is exact. L_T is
//! divided by its gradient norm at θ⁰ (a positive factor, so still a loss), which makes ε the length of the teacher's
//! step. [`check`] then asks, along a decreasing grid of ε, for
//! - *sign*: `Δθ_S·Δθ_T > 0`;
//! - *limit*: `Δθ_S·Δθ_T / ε`, extrapolated to ε = 0, equals `E[vᵀ M v]`, computed apart, in forward mode;
//! - *order*: its error shrinks at least as fast as ε;
//! - *loss decrease*: `L_T(θ_S) < L_T(θ⁰)` for the given α;
//!
//! or else for an inner product that is zero to rounding at every ε.
//!
//! # Floating point: the grid and the tolerances
//! - *Cancellation.* The student's gradient is a difference of teacher and student outputs that agree to O(ε), so
//!   `Δθ_S·Δθ_T / ε` carries a rounding error of about u·|z|/ε (u = 2⁻⁵³) beside a truncation error of about ε. They meet
//!   near ε = 1e-8. The default grid, 1e-2 to 1e-6 by half decades, stays two decades above: at 1e-6 rounding is near 1e-10
//!   and truncation near 1e-6. Every point carries its own rounding bound (64 u, for the few dozen operations behind one
//!   logit; it is generous), and a claim is asked of the three smallest ε at which the quantity is ten times its bound.
//! - *Limit.* One Richardson step over the two smallest of these cancels the O(ε) term. What is left is O(ε²), about
//!   1e-11, and rounding; [`LIMIT_TOLERANCE`] (relative 1e-5) leaves room for ill-conditioned cases and is far below any
//!   change of M worth the name.
//! - *Order.* Fitted to the error at the three smallest ε at which it stands above rounding, up to [`ORDER_FROM`] (1e-4);
//!   at least [`MIN_ORDER`] (0.9). Higher up, where the first-order term happens to be small, the second-order term rivals
//!   it and a slope means nothing. Where fewer than three errors stand out, as in networks linear in their parameters,
//!   which have no error at all, the order is `None` and the limit alone decides.
//! - *Loss.* `L_T(θ_S) - L_T(θ⁰)` is asked of the three smallest ε, two at least, at which `ε α E[vᵀ M v]` is ten times the
//!   rounding of L_T.
//! - *Kinks.* The theorem asks for a differentiable f, which a ReLU network is only between its kinks. While no ReLU
//!   changes side, f is the same polynomial and the expansion holds; points where one has changed side, and all above
//!   them, are recorded and not judged. Cases with a ReLU closer than [`KINK_MARGIN`] to its kink are drawn again, and
//!   counted: hardly any ε within reach of f64 would be small enough for them.
//! - *Nothing is decided by noise.* A case that rounding or kinks leave with too few points is `unresolved` and does not
//!   count as holding. These rules were settled on seeds 0 to 299 (one case of 172,800 unresolved, none violated); seeds
//!   1000 to 1299, looked at once afterwards, had neither.
//!
//! # Different initialisation
//! [`contrast`] repeats every case with a teacher that starts elsewhere. The leading term is then what an untrained
//! teacher would give; it does not vanish with ε and has no sign. The share of cases with a negative inner product, and
//! with an increased L_T, is reported.
//!
//! Reads no files, prints nothing, is deterministic. Networks and derivatives: `undertone_mlp::reference`.

pub mod case;
pub mod check;
pub mod contrast;
pub mod loss;
mod run;
pub mod settings;
pub mod summary;

pub use check::{KINK_MARGIN, LIMIT_TOLERANCE, MIN_ORDER, ORDER_FROM};
pub use run::run;
pub use settings::{TheoremError, TheoremSettings};
pub use summary::{CaseResult, TheoremResult, TheoremSummary};

#[cfg(test)]
mod tests;

/// Returns `Σ_i a_i b_i`, summed from the first entry on.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
