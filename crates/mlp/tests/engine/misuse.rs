//! Mistakes of the calling code are refused, not computed with.

use std::panic::{AssertUnwindSafe, catch_unwind};

use undertone_mlp::{
    Activation, Biases, Inputs, InstructionSet, Loss, LossKind, Model, Optimiser, Precision,
    Target, Trainer, UnsupportedError, Weights,
};

use super::support::{Problem, engine, network};

fn problem(kind: LossKind) -> Problem {
    let architecture = network(17, &[5], 13, Activation::Relu, Biases::With);
    Problem::draw(&architecture, 9, Loss::new(kind, 0..10), 9_000)
}

/// Asserts that a step on `problem` as changed by the arguments is refused with a message that has `part` in it.
#[track_caller]
fn refused(part: &str, step: impl FnOnce(&mut Trainer)) {
    let mut trainer = engine(InstructionSet::Portable);
    let panic =
        catch_unwind(AssertUnwindSafe(|| step(&mut trainer))).expect_err("the mistake is noticed");
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .expect("panics carry text");
    assert!(message.contains(part), "{message}");
}

fn step(trainer: &mut Trainer, problem: &Problem, target: Target<'_>, loss: &Loss) {
    problem.load(trainer);
    trainer.step(&mut problem.model(Optimiser::adam(1e-3)), target, loss);
}

#[test]
fn a_batch_of_another_width_is_refused_even_within_one_panel() {
    let problem = problem(LossKind::Mse);
    let values = [0.5; 20];
    refused("number of inputs", |trainer| {
        trainer.load(
            &Inputs::Dense {
                values: &values,
                features: 20,
            },
            &[0],
        );
        let model = problem.model(Optimiser::adam(1e-3));
        trainer.logits(&model, &mut [0.0; 13]);
    });
}

#[test]
fn a_target_of_the_wrong_kind_is_refused() {
    let problem = problem(LossKind::Kl);
    let logits = Target::Logits {
        values: &problem.teacher,
        width: 13,
    };
    for (kind, target) in [
        (LossKind::CrossEntropy, logits),
        (LossKind::Kl, Target::Labels(&problem.labels)),
        (LossKind::Mse, Target::Labels(&problem.labels)),
    ] {
        refused("labels", |trainer| {
            step(trainer, &problem, target, &Loss::new(kind, 0..10))
        });
    }
}

#[test]
fn a_target_that_does_not_fit_is_refused() {
    let problem = problem(LossKind::Kl);
    let (kl, ce) = (LossKind::Kl, LossKind::CrossEntropy);
    let logits = |values, width| Target::Logits { values, width };
    let teacher = &problem.teacher[..];
    refused("teacher value", |t| {
        step(
            t,
            &problem,
            logits(&teacher[1..], 13),
            &Loss::new(kl, 0..10),
        );
    });
    refused("teacher has", |t| {
        step(
            t,
            &problem,
            logits(&teacher[..90], 10),
            &Loss::new(kl, 3..13),
        );
    });
    refused("logits the model has", |t| {
        step(t, &problem, logits(teacher, 13), &Loss::new(kl, 3..14));
    });
    refused("one label", |t| {
        step(t, &problem, Target::Labels(&[0; 8]), &Loss::new(ce, 0..10));
    });
    refused("labels lie", |t| {
        step(t, &problem, Target::Labels(&[3; 9]), &Loss::new(ce, 0..3));
    });
}

#[test]
fn rows_outside_the_data_and_empty_batches_are_refused() {
    let values = [0.5; 40];
    let inputs = Inputs::Dense {
        values: &values,
        features: 20,
    };
    refused("range", |trainer| trainer.load(&inputs, &[0, 2]));
    refused("at least one row", |trainer| trainer.load(&inputs, &[]));
    let bytes = Inputs::Bytes {
        pixels: &[1; 40],
        features: 20,
        max: 16,
    };
    refused("range", |trainer| trainer.load(&bytes, &[2]));
}

#[test]
fn accuracy_over_logits_the_model_lacks_is_refused() {
    let problem = problem(LossKind::Kl);
    for classes in [0, 14] {
        refused("classes", |trainer| {
            problem.load(trainer);
            let model = problem.model(Optimiser::adam(1e-3));
            trainer.count_correct(&model, classes, &problem.labels);
        });
    }
}

#[test]
fn networks_without_width_or_with_missing_weights_are_refused() {
    for (inputs, hidden, outputs) in [(0, 5, 13), (17, 0, 13), (17, 5, 0)] {
        let architecture = network(inputs, &[hidden], outputs, Activation::Relu, Biases::With);
        let weights = Weights {
            values: vec![0.0; architecture.n_parameters()],
            architecture,
        };
        refused("inputs and outputs", |_| {
            Model::new(&weights, Optimiser::adam(1e-3));
        });
    }
    let mut weights = problem(LossKind::Kl).weights;
    weights.values.push(0.0);
    refused("one value a parameter", |_| {
        Model::new(&weights, Optimiser::adam(1e-3));
    });
}

#[test]
fn bf16_without_the_instructions_is_an_error_and_not_f32() {
    let available = InstructionSet::Avx512Bf16.is_available();
    match Trainer::new(Precision::Bf16) {
        Ok(_) => assert!(available),
        Err(UnsupportedError { needed }) => {
            assert!(!available);
            assert_eq!(needed, InstructionSet::Avx512Bf16);
        }
    }
}
