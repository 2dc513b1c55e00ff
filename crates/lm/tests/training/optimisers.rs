//! Optimisers, clipping and schedules against PyTorch and transformers (`scripts/golden/lm_optimisers.py`).

use serde::Deserialize;
use undertone_lm::optimiser::{Optimiser, OptimiserState, clip_factor, gradient_norm};
use undertone_lm::schedule::{Decay, Schedule};

use crate::support::golden;

#[derive(Deserialize)]
struct Golden {
    weights: Vec<f32>,
    gradients: Vec<Vec<f32>>,
    clip: f64,
    optimisers: Vec<Trajectory>,
    schedules: Vec<Course>,
}

/// Weights after every step.
#[derive(Deserialize)]
struct Trajectory {
    optimiser: Optimiser,
    schedule: Schedule,
    norms: Vec<f64>,
    weights_after: Vec<Vec<f64>>,
}

/// The factor at every step.
#[derive(Deserialize)]
struct Course {
    schedule: Schedule,
    steps: u64,
    factors: Vec<f64>,
}

fn read() -> Golden {
    let text = std::fs::read_to_string(golden("optimisers.json")).expect("the file is there");
    serde_json::from_str(&text).expect("the file has the layout its script writes")
}

#[test]
fn every_step_of_every_rule_is_pytorchs() {
    let golden = read();
    assert_eq!(golden.optimisers.len(), 5);
    for expected in &golden.optimisers {
        let mut weights = golden.weights.clone();
        let mut state = OptimiserState::new(&expected.optimiser, weights.len());
        let steps = golden.gradients.len() as u64;
        for (step, gradient) in golden.gradients.iter().enumerate() {
            let what = format!("{:?}, step {step}", expected.optimiser);
            // In two parts, as two tensors would be.
            let (front, back) = gradient.split_at(5);
            let norm = gradient_norm([front, back]);
            assert!(
                (norm / expected.norms[step] - 1.0).abs() < 1e-12,
                "{what}: {norm}"
            );
            state.step(
                &expected.optimiser,
                expected.schedule.factor(step as u64, steps),
                &mut weights,
                gradient,
                clip_factor(norm, golden.clip),
            );
            for (&found, &expected) in weights.iter().zip(&expected.weights_after[step]) {
                // Absolute: `f32` weights of order 1, a few roundings a step.
                let error = (f64::from(found) - expected).abs();
                assert!(error < 4e-7, "{what}: {found} for {expected}");
            }
        }
    }
}

#[test]
fn every_schedule_is_that_of_transformers() {
    let courses = read().schedules;
    assert!(courses.len() >= 9);
    for decay in [Decay::Constant, Decay::Linear, Decay::Cosine] {
        assert!(courses.iter().any(|course| course.schedule.decay == decay));
    }
    for Course {
        schedule,
        steps,
        factors,
    } in courses
    {
        for (step, expected) in factors.into_iter().enumerate() {
            let found = schedule.factor(step as u64, steps);
            // Absolute: a cosine in f64.
            assert!(
                (found - expected).abs() < 1e-14,
                "{schedule:?} over {steps}, step {step}: {found} for {expected}"
            );
        }
    }
}
