//! The `f32` and bf16 engine against the f64 reference, against PyTorch, and against itself.
//!
//! `agreement` and `rounded` compare numbers with the reference, `pytorch` with values PyTorch computed, `properties`
//! with the reference again on networks nobody chose; `bits` and `inputs` make claims that hold to the last bit;
//! `misuse` says what is refused, `learning` that all of it together learns.

mod support;

mod agreement;
mod properties;
mod pytorch;
mod rounded;

mod bits;
mod inputs;

mod learning;
mod misuse;
