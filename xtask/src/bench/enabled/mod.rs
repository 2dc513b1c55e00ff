//! Measures both sides in turns, so that a slow minute of the machine meets both.
//!
//! `mlp` and `lm` say what is measured and print it; the rest is what they share.
#![expect(
    clippy::print_stdout,
    reason = "a tool for the terminal: results on stdout"
)]

mod clock;
mod peak;
mod process;
mod python;
mod report;
mod series;

mod lm;
mod mlp;

pub use lm::lm;
pub use mlp::mlp;

use undertone_mlp::{InstructionSet, Precision};

/// Returns the number formats this processor multiplies natively.
fn precisions() -> Vec<Precision> {
    let mut precisions = vec![Precision::F32];
    if InstructionSet::Avx512Bf16.is_available() {
        precisions.push(Precision::Bf16);
    }
    precisions
}
