//! The f64 reference network: slow, obvious, and what the kernels are checked against.
