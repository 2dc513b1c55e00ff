//! Intervals, tests, bootstrap, power and the verdict: every number of an experiment that claims something beyond its data.
//!
//! Values come in as slices, one value per training seed unless a function says otherwise; results are plain records that
//! can be stored. What is not defined is `None`, never 0 and never NaN. Means and variances are sums over sorted values
//! with compensation, so the order of the input changes no bit of them. Randomness is handed in by the caller as a
//! function that draws below a bound. Knows nothing of experiments, files or generators. Start at [`decide`].

mod bootstrap;
mod chi_square;
mod distribution;
mod equivalence;
mod estimate;
mod multiple;
mod permutation;
mod power;
mod sums;
mod t_test;
mod variation;
mod verdict;

pub use bootstrap::{BootstrapRule, hierarchical_bootstrap};
pub use chi_square::{ChiSquare, chi_square};
pub use equivalence::{Equivalence, tost};
pub use estimate::{Estimate, Interval, mean_normal, mean_t, wilson};
pub use multiple::benjamini_hochberg;
pub use permutation::{Alternative, PermutationRule, PermutationTest, mean_difference, sign_flip};
pub use power::{
    PowerRule, minimum_detectable_effect, noncentral_t_cdf, noncentral_t_sf, required_n,
    t_test_power,
};
pub use t_test::{TTest, paired_t, welch_t};
pub use variation::paired_total_variation;
pub use verdict::{Outcome, Rule, Verdict, VerdictError, decide};
