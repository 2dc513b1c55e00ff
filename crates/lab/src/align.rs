//! Measures how far distillation follows the trait along the way, and what happens when it may not.
//!
//! At the student's current weights θ two gradients are taken: the **distillation gradient** g, of the student's loss
//! against the teacher's auxiliary logits on the step's own batch, and the **trait gradient** t, of the cross-entropy
//! of the class logits on a fixed probe batch of labelled training images, with respect to the parameters distillation
//! moves: all but the class logits' own weights and biases. The student never sees t. Both are gradients of losses: a
//! positive cosine means that a step down the one is a step down the other.
//!
//! Each model is trained in four arms that share teacher, inputs and row order ([`Arm`]):
//!
//! ```text
//! as-is            shared initialisation; the gradient as it is
//! projected        shared initialisation; at every step g' = g - max(0, g·t) / (t·t) t
//! projected-other  shared initialisation; the same with t of the cross-model arm, a direction of the same kind
//! cross            another initialisation; the gradient as it is
//! ```
//!
//! # What the intervention is, and is not
//! The gradient is projected *before* the optimiser sees it. For plain SGD that is the update too. Adam rescales every
//! coordinate and remembers earlier gradients, so its step may still descend the trait loss, or ascend it: the cosine
//! of the step taken, θ before minus θ after, with t is recorded beside the other two, and a reader should look at it
//! before calling alignment removed. The rule is one-sided: a batch whose gradient points against t keeps that part,
//! so what is left is slightly negative on average. Also t is that of the probe batch, not of all images, and holds to
//! first order only. `projected-other` shows what a projection does that has nothing to do with the trait.
//!
//! Reading order: [`settings`], `geometry` (the projection), [`trace`] (one model's four arms), `cell` (the step
//! of the store), [`result`] (numbers over models).

mod geometry;

pub mod settings;
pub mod trace;

mod cell;
pub mod result;

pub use cell::{identity, plan, run};
pub use result::{AlignResult, ArmResult, Conclusion, Point};
pub use settings::{ACCURACY_ROWS, AlignSettings};
pub use trace::Arm;

#[cfg(test)]
mod tests;
