//! Claims to the last bit: a model's numbers depend on the model, its batches and the instruction set, on nothing else.

use undertone_core::Seed;
use undertone_mlp::{
    Activation, Biases, InstructionSet, Loss, LossKind, Model, Optimiser, Trainer,
};

use super::support::{Problem, bits, engine, every_set, network};

const STEPS: usize = 4;

/// Problems of different depth, width, activation, loss, optimiser and batch size.
fn zoo() -> Vec<(Problem, Optimiser)> {
    let momentum = Optimiser::Sgd {
        learning_rate: 0.1,
        momentum: 0.9,
    };
    let plain = Optimiser::Sgd {
        learning_rate: 0.1,
        momentum: 0.0,
    };
    let adam = Optimiser::adam(1e-2);
    let with = Biases::With;
    let without = Biases::Without;
    [
        (
            network(17, &[33, 5], 20, Activation::Sigmoid, with),
            9,
            adam,
        ),
        (
            network(40, &[70, 40, 33], 62, Activation::Relu, with),
            65,
            momentum,
        ),
        (network(5, &[], 13, Activation::Relu, without), 3, plain),
        (
            network(17, &[5, 5, 5, 5], 3, Activation::Gelu, with),
            300,
            adam,
        ),
        (
            network(60, &[17], 40, Activation::Sigmoid, without),
            1,
            momentum,
        ),
        (network(5, &[16, 48], 18, Activation::Relu, with), 8, plain),
    ]
    .into_iter()
    .enumerate()
    .map(|(index, (architecture, rows, optimiser))| {
        let kind = [LossKind::CrossEntropy, LossKind::Kl, LossKind::Mse][index % 3];
        let loss = Loss::new(kind, 1..architecture.outputs);
        let problem = Problem::draw(&architecture, rows, loss, 8_000 + index as u64);
        (problem, optimiser)
    })
    .collect()
}

/// What a training leaves behind: losses, weights and logits, as bits.
#[derive(Debug, PartialEq)]
struct Trace(Vec<u64>, Vec<u32>, Vec<u32>);

fn step(trainer: &mut Trainer, problem: &Problem, model: &mut Model) -> u64 {
    problem.load(trainer);
    trainer
        .step(model, problem.target(), &problem.loss)
        .to_bits()
}

fn finish(trainer: &mut Trainer, problem: &Problem, model: &Model, losses: Vec<u64>) -> Trace {
    problem.load(trainer);
    let mut logits = vec![0.0; problem.rows() * model.outputs()];
    trainer.logits(model, &mut logits);
    Trace(losses, bits(&model.weights().values), bits(&logits))
}

fn alone(trainer: &mut Trainer, (problem, optimiser): &(Problem, Optimiser)) -> Trace {
    let mut model = problem.model(*optimiser);
    let losses = (0..STEPS)
        .map(|_| step(trainer, problem, &mut model))
        .collect();
    finish(trainer, problem, &model, losses)
}

/// The result of each problem in an engine that never saw another.
fn expected(set: InstructionSet) -> Vec<Trace> {
    zoo()
        .iter()
        .map(|each| alone(&mut engine(set), each))
        .collect()
}

#[test]
fn a_model_trains_alone_as_it_trains_among_others() {
    for set in every_set() {
        let zoo = zoo();
        let mut trainer = engine(set);
        let mut models: Vec<Model> = zoo.iter().map(|(problem, o)| problem.model(*o)).collect();
        let mut losses = vec![Vec::new(); zoo.len()];
        for round in 0..STEPS {
            for at in 0..zoo.len() {
                // Another order every round, so that every model follows several others.
                let at = (at * [1, 5, 1, 5][round % 4] + round) % zoo.len();
                losses[at].push(step(&mut trainer, &zoo[at].0, &mut models[at]));
            }
        }
        for (((each, model), losses), expected) in
            zoo.iter().zip(&models).zip(losses).zip(expected(set))
        {
            let got = finish(&mut trainer, &each.0, model, losses);
            assert_eq!(got, expected, "{set:?}, {}", each.0.describe());
        }
    }
}

#[test]
fn a_ruined_model_ruins_no_other() {
    for set in every_set() {
        let expected = expected(set);
        for poison in [f32::NAN, f32::INFINITY, f32::MAX] {
            let mut trainer = engine(set);
            for (each, expected) in zoo().iter().zip(&expected) {
                for ruined in &zoo() {
                    let mut problem = ruined.0.clone();
                    problem.weights.values.fill(poison);
                    problem.x.fill(poison);
                    let mut model = problem.model(ruined.1);
                    step(&mut trainer, &problem, &mut model);
                    let mut gradient = vec![0.0; problem.weights.values.len()];
                    trainer.gradient(&model, problem.target(), &problem.loss, &mut gradient);
                    trainer.apply(&mut model, &gradient);
                }
                let label = format!("{set:?} after {poison}, {}", each.0.describe());
                assert_eq!(&alone(&mut trainer, each), expected, "{label}");
            }
        }
    }
}

#[test]
fn threads_change_nothing() {
    let zoo = zoo();
    let jobs: Vec<_> = zoo.iter().cycle().take(2 * zoo.len()).collect();
    for set in every_set() {
        let run = |n_threads: usize| -> Vec<Trace> {
            let mut traces: Vec<(usize, Trace)> = std::thread::scope(|scope| {
                let workers: Vec<_> = (0..n_threads)
                    .map(|thread| {
                        let jobs = &jobs;
                        scope.spawn(move || {
                            let mut trainer = engine(set);
                            (thread..jobs.len())
                                .step_by(n_threads)
                                .map(|job| (job, alone(&mut trainer, jobs[job])))
                                .collect::<Vec<_>>()
                        })
                    })
                    .collect();
                workers
                    .into_iter()
                    .flat_map(|worker| worker.join().expect("no worker panics"))
                    .collect()
            });
            traces.sort_by_key(|(job, _)| *job);
            traces.into_iter().map(|(_, trace)| trace).collect()
        };
        let one = run(1);
        assert_eq!(one, run(2), "{set:?}");
        assert_eq!(one, run(8), "{set:?}");
    }
}

#[test]
fn a_step_is_a_gradient_and_its_application() {
    for set in every_set() {
        // One engine for all: the kept gradient of a larger model must not reach a smaller one.
        let mut trainer = engine(set);
        for each @ (problem, optimiser) in zoo().iter().chain(&zoo()) {
            let mut model = problem.model(*optimiser);
            let mut losses = Vec::new();
            for _ in 0..STEPS {
                problem.load(&mut trainer);
                let mut gradient = vec![0.0; problem.weights.values.len()];
                let before = model.weights();
                let loss = trainer.gradient(&model, problem.target(), &problem.loss, &mut gradient);
                assert_eq!(before, model.weights(), "a gradient moves nothing");
                // An application needs no batch: another may have been loaded since.
                zoo()[1].0.load(&mut trainer);
                let (other, _) = &zoo()[1];
                let other_model = other.model(Optimiser::adam(1e-2));
                let mut other_gradient = vec![0.0; other.weights.values.len()];
                trainer.gradient(
                    &other_model,
                    other.target(),
                    &other.loss,
                    &mut other_gradient,
                );
                trainer.apply(&mut model, &gradient);
                losses.push(loss.to_bits());
            }
            let got = finish(&mut trainer, problem, &model, losses);
            let label = format!("{set:?}, {}", problem.describe());
            assert_eq!(got, alone(&mut engine(set), each), "{label}");
        }
    }
}

#[test]
fn a_rows_logits_do_not_depend_on_the_rest_of_the_batch() {
    for set in every_set() {
        let mut trainer = engine(set);
        for (problem, optimiser) in zoo() {
            let model = problem.model(optimiser);
            let outputs = model.outputs();
            let mut all = vec![0.0; problem.rows() * outputs];
            problem.load(&mut trainer);
            trainer.logits(&model, &mut all);
            let order = Seed(3)
                .stream("test/order", 0)
                .permutation(problem.rows() as u32);
            for rows in order.chunks(7) {
                let mut some = vec![0.0; rows.len() * outputs];
                trainer.load(&problem.inputs(), rows);
                trainer.logits(&model, &mut some);
                for (&row, got) in rows.iter().zip(some.chunks(outputs)) {
                    let expected = &all[row as usize * outputs..][..outputs];
                    assert_eq!(bits(got), bits(expected), "{set:?}, {}", problem.describe());
                }
            }
        }
    }
}

#[test]
fn weights_survive_the_panels() {
    for (problem, optimiser) in zoo() {
        assert_eq!(problem.model(optimiser).weights(), problem.weights);
    }
}
