//! Work that is compiled once for every instruction set.

use crate::isa::Isa;

/// Work that is compiled once for every instruction set.
pub trait Pass {
    /// What it gives back.
    type Output;

    /// Runs the work.
    ///
    /// # Safety
    /// The processor has `I`. Implementations are `#[inline(always)]`, so that the set's features reach all of it.
    unsafe fn run<I: Isa>(self) -> Self::Output;
}

/// Any closure-like work that is plain Rust but should be vectorised for the set.
pub struct Plain<F>(pub F);

impl<F: FnOnce()> Pass for Plain<F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<I: Isa>(self) {
        (self.0)();
    }
}
