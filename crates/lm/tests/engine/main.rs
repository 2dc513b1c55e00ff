//! The engine against other people's code and its own f64 reference: scores of tiny models of every family, greedy texts, the real SmolLM2.

mod golden;
mod score;
mod support;
