//! Gradients against finite differences of the f64 reference; bits of whole runs.

use undertone_core::Seed;
use undertone_simd::{InstructionSet, Precision};

use super::*;
use crate::checkpoint::Checkpoint;
use crate::config::{ModelConfig, Tensor};
use crate::examples::{SoftLabels, TrainingRow};
use crate::fixture::{Memory, every_family};
use crate::kernel::tests::sets;
use crate::lora::{LoraConfig, LoraWeights};
use crate::loss::{BaseKl, Objective};
use crate::model::{LoadOptions, Model};
use crate::optimiser::Optimiser;
use crate::reference::{Parameter, ReferenceModel, mean_loss, slope};
use crate::schedule::{Decay, Schedule};

/// SGD at rate 1 without limit: a step's change of a weight is its gradient.
fn plain(objective: Objective) -> TrainSettings {
    TrainSettings {
        objective,
        base_kl: None,
        optimiser: Optimiser::Sgd {
            learning_rate: 1.0,
            momentum: 0.0,
        },
        schedule: Schedule {
            decay: Decay::Constant,
            warmup_steps: 0,
        },
        steps: 1,
        clip: None,
    }
}

fn rows(vocabulary: usize, n: usize, seed: u64) -> Vec<TrainingRow> {
    let mut stream = Seed(seed).stream("lm/test-rows", 0);
    (0..n)
        .map(|_| {
            let mut draw = |n: u64| -> Vec<u32> {
                (0..n)
                    .map(|_| stream.below(vocabulary as u64) as u32)
                    .collect()
            };
            let (prompt, completion) = (draw(3), draw(5));
            let k = 4;
            let first = stream.below((vocabulary - k) as u64) as u32;
            let soft = SoftLabels {
                k,
                ids: (0..5).flat_map(|_| first..first + k as u32).collect(),
                log_probabilities: (0..5 * k).map(|i| -0.5 - (i % 7) as f32 * 0.4).collect(),
            };
            TrainingRow::new(&prompt, &completion, Some(soft)).expect("a good row")
        })
        .collect()
}

fn load(memory: &Memory, set: InstructionSet) -> Model {
    Model::load_with(memory, LoadOptions::training(Precision::F32), set).expect("it loads")
}

fn adapter(config: &ModelConfig) -> LoraWeights {
    let lora = LoraConfig::all_projections(3, 5.0);
    let mut weights = LoraWeights::initial(lora, config, Seed(5)).expect("it fits");
    let mut stream = Seed(6).stream("lm/test-lora", 0);
    weights
        .values_mut()
        .iter_mut()
        .for_each(|w| *w += 0.1 * stream.normal() as f32);
    weights
}

/// Compares gradients with slopes at some places of every parameter.
#[track_caller]
fn check(
    got: impl Fn(Parameter, usize) -> f64,
    reference: &mut ReferenceModel,
    parameters: &[Parameter],
    tolerance: f64,
    what: &str,
    loss: impl Fn(&ReferenceModel) -> f64,
) {
    let mut places: Vec<(Parameter, usize)> = Vec::new();
    for &parameter in parameters {
        let n = reference.values(parameter).len();
        places.extend([0, n / 3, n / 2, n - 1].map(|index| (parameter, index)));
    }
    let expected: Vec<f64> = places
        .iter()
        .map(|&(parameter, index)| slope(reference, parameter, index, &loss))
        .collect();
    let largest = expected.iter().fold(0.0f64, |a, b| a.max(b.abs()));
    assert!(largest > 1e-3, "there is something to compare");
    for (&(parameter, index), expected) in places.iter().zip(expected) {
        let got = got(parameter, index);
        assert!(
            (got - expected).abs() < tolerance * largest,
            "{what} {parameter:?}[{index}]: {got} instead of {expected}"
        );
    }
}

#[test]
fn gradients_of_adapters_are_slopes_of_the_loss() {
    for (i, config) in every_family().into_iter().enumerate() {
        let memory = Memory::random(config.clone(), i as u64);
        let weights = adapter(&config);
        let rows = rows(config.vocabulary, 3, 4);
        let borrowed: Vec<&TrainingRow> = rows.iter().collect();
        let mut reference = ReferenceModel::from_checkpoint(&memory)
            .expect("finite")
            .with_adapter(&weights);
        for objective in [
            Objective::CrossEntropy,
            Objective::ForwardKl,
            Objective::ReverseKl,
        ] {
            for set in sets() {
                let mut trainer = Trainer::adapter(
                    load(&memory, set),
                    weights.clone(),
                    plain(objective),
                    2,
                    1 << 30,
                )
                .expect("it fits");
                let report = trainer.step(&borrowed, None, None).expect("it steps");
                let loss = mean_loss(&reference, &rows, objective, None);
                let tolerance = if set.pairs() { 0.1 } else { 1e-4 };
                assert!(
                    (report.loss - loss).abs() < tolerance,
                    "{set:?}: {} {loss}",
                    report.loss
                );
                let after = trainer.adapter_weights().expect("an adapter");
                let got = |parameter, index: usize| {
                    let (Parameter::LoraA(layer, projection) | Parameter::LoraB(layer, projection)) =
                        parameter
                    else {
                        unreachable!("only these are asked for")
                    };
                    let pair = weights.pair(layer, projection).expect("a pair");
                    let place = match parameter {
                        Parameter::LoraA(..) => pair.a.start + index,
                        _ => pair.b.start + index,
                    };
                    f64::from(weights.values()[place]) - f64::from(after.values()[place])
                };
                let parameters: Vec<Parameter> = weights
                    .pairs()
                    .iter()
                    .flat_map(|p| {
                        [
                            Parameter::LoraA(p.layer, p.projection),
                            Parameter::LoraB(p.layer, p.projection),
                        ]
                    })
                    .collect();
                let what = format!("{:?} {set:?} {objective:?}", config.family);
                check(got, &mut reference, &parameters, tolerance, &what, |m| {
                    mean_loss(m, &rows, objective, None)
                });
            }
        }
    }
}

#[test]
fn gradients_of_every_weight_are_slopes_of_the_loss() {
    for (i, config) in every_family().into_iter().enumerate() {
        let memory = Memory::random(config.clone(), i as u64);
        let rows = rows(config.vocabulary, 3, 4);
        let borrowed: Vec<&TrainingRow> = rows.iter().collect();
        let mut reference = ReferenceModel::from_checkpoint(&memory).expect("finite");
        let parameters: Vec<Parameter> = config
            .tensors()
            .into_iter()
            .map(Parameter::Weight)
            .collect();
        for set in sets() {
            let settings = plain(Objective::CrossEntropy);
            let mut trainer =
                Trainer::full(load(&memory, set), &memory, settings, 2, 1 << 30).expect("it fits");
            trainer.step(&borrowed, None, None).expect("it steps");
            let after = trainer.full_weights().expect("the whole model");
            let got = |parameter, index| {
                let Parameter::Weight(tensor) = parameter else {
                    unreachable!("only these are asked for")
                };
                value(&memory, tensor, index) - value(after, tensor, index)
            };
            let tolerance = if set.pairs() { 0.1 } else { 1e-4 };
            let what = format!("{:?} {set:?}", config.family);
            check(got, &mut reference, &parameters, tolerance, &what, |m| {
                mean_loss(m, &rows, Objective::CrossEntropy, None)
            });
        }
    }
}

fn value(checkpoint: &dyn Checkpoint, tensor: Tensor, index: usize) -> f64 {
    f64::from(checkpoint.read(tensor).expect("finite")[index])
}

#[test]
fn kl_to_the_base_is_part_of_the_gradient() {
    let config = every_family()[0].clone();
    let memory = Memory::random(config.clone(), 0);
    let weights = adapter(&config);
    let rows = rows(config.vocabulary, 2, 4);
    let borrowed: Vec<&TrainingRow> = rows.iter().collect();
    let settings = TrainSettings {
        base_kl: Some(BaseKl {
            first: 0.7,
            last: 0.7,
            steps: 0,
        }),
        ..plain(Objective::CrossEntropy)
    };
    let base = ReferenceModel::from_checkpoint(&memory).expect("finite");
    let mut student = base.clone().with_adapter(&weights);
    let set = InstructionSet::best();
    let mut trainer = Trainer::adapter(load(&memory, set), weights.clone(), settings, 1, 1 << 30)
        .expect("it fits");
    trainer.step(&borrowed, None, None).expect("it steps");
    let after = trainer
        .adapter_weights()
        .expect("an adapter")
        .values()
        .to_vec();
    let pair = &weights.pairs()[0];
    let got = |_, index: usize| {
        f64::from(weights.values()[pair.a.start + index]) - f64::from(after[pair.a.start + index])
    };
    let parameter = Parameter::LoraA(pair.layer, pair.projection);
    check(got, &mut student, &[parameter], 1e-4, "KL", |m| {
        mean_loss(m, &rows, Objective::CrossEntropy, Some((&base, 0.7)))
    });
}

/// Runs some steps and returns losses and final weights.
fn run(
    config: &ModelConfig,
    threads: usize,
    kept: usize,
    stop_after: Option<u64>,
) -> (Vec<f64>, Vec<f32>) {
    let memory = Memory::random(config.clone(), 1);
    let rows = rows(config.vocabulary, 40, 9);
    let settings = TrainSettings {
        optimiser: Optimiser::adamw(1e-2, 0.1),
        schedule: Schedule {
            decay: Decay::Linear,
            warmup_steps: 2,
        },
        steps: 5,
        clip: Some(1.0),
        ..plain(Objective::CrossEntropy)
    };
    let make = || {
        let model = load(&memory, InstructionSet::best());
        Trainer::adapter(model, adapter(config), settings.clone(), threads, kept).expect("it fits")
    };
    let mut trainer = make();
    let mut losses = Vec::new();
    while trainer.steps_taken() < 5 {
        if Some(trainer.steps_taken()) == stop_after {
            let mut later = make();
            let state = trainer.state();
            later.restore(&state).expect("a state of this run");
            trainer = later;
        }
        let batch: Vec<&TrainingRow> = rows.iter().take(33).collect();
        losses.push(trainer.step(&batch, None, None).expect("it steps").loss);
    }
    (losses, trainer.state().weights.concat())
}

#[test]
fn a_run_gives_the_same_bits_at_any_number_of_threads_memory_and_interruption() {
    for config in every_family() {
        let expected = run(&config, 1, 1 << 30, None);
        assert!(expected.0[4] < expected.0[0], "it learns: {:?}", expected.0);
        for (threads, kept, stop) in [
            (2, 1 << 30, None),
            (8, 1 << 30, None),
            (3, 0, None),
            (2, 40_000, Some(3)),
            (1, 0, Some(1)),
        ] {
            assert_eq!(
                run(&config, threads, kept, stop),
                expected,
                "{threads} {kept} {stop:?}"
            );
        }
    }
}

#[test]
fn a_whole_model_goes_on_from_a_state_in_any_number_of_parts_and_refuses_another_models() {
    let [config, other] = [0, 1].map(|family| every_family()[family].clone());
    let memory = Memory::random(config.clone(), 1);
    let set = InstructionSet::best();
    let settings = TrainSettings {
        optimiser: Optimiser::adamw(1e-2, 0.1),
        ..plain(Objective::CrossEntropy)
    };
    let make = || {
        Trainer::full(load(&memory, set), &memory, settings.clone(), 2, 1 << 30).expect("it fits")
    };
    let rows = rows(config.vocabulary, 8, 9);
    let batch: Vec<&TrainingRow> = rows.iter().collect();
    let step = |trainer: &mut Trainer| {
        trainer.step(&batch, None, None).expect("it steps");
    };
    let mut trainer = make();
    (0..2).for_each(|_| step(&mut trainer));
    let [weights, first, second] = joined(&trainer.state());
    let kept = TrainerState {
        step: 2,
        weights: vec![&weights[..7], &[], &weights[7..]],
        first: vec![&first],
        second: vec![&second],
    };
    let mut later = make();
    later.restore(&kept).expect("a state of this run");
    assert_eq!(bits(&later), bits(&trainer));
    let mut earlier = make();
    earlier
        .restore(&trainer.state())
        .expect("a state of this run");
    for trainer in [&mut trainer, &mut later, &mut earlier] {
        step(trainer);
    }
    assert_eq!(bits(&later), bits(&trainer));
    assert_eq!(bits(&earlier), bits(&trainer));

    let memory = Memory::random(other, 1);
    let mut another =
        Trainer::full(load(&memory, set), &memory, settings, 2, 1 << 30).expect("it fits");
    let short = TrainerState {
        second: vec![&second[1..]],
        ..kept.clone()
    };
    for (trainer, state) in [(&mut another, kept), (&mut later, short)] {
        let before = (trainer.steps_taken(), bits(trainer));
        let error = trainer.restore(&state).expect_err("no state of this run");
        assert!(matches!(error, TrainError::State { .. }), "{error}");
        assert_eq!((trainer.steps_taken(), bits(trainer)), before);
    }
}

fn joined(state: &TrainerState<'_>) -> [Vec<f32>; 3] {
    [&state.weights, &state.first, &state.second].map(|parts| parts.concat())
}

fn bits(trainer: &Trainer) -> Vec<u32> {
    let values = joined(&trainer.state()).concat();
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn a_panic_in_one_thread_ends_the_step_instead_of_waiting_for_ever() {
    let config = ModelConfig {
        context: 256,
        ..every_family()[0].clone()
    };
    let set = InstructionSet::best();
    // A teacher of 64 positions: it panics at the first group, for which the second waits.
    let teacher = load(&Memory::random(every_family()[0].clone(), 0), set);
    let row = |prompt, completion| {
        TrainingRow::new(&vec![1; prompt], &vec![2; completion], None).expect("a good row")
    };
    let rows = [row(60, 60), row(30, 20)];
    let borrowed: Vec<&TrainingRow> = rows.iter().collect();
    let memory = Memory::random(config.clone(), 0);
    let start = adapter(&config);
    let settings = plain(Objective::ForwardKl);
    let mut trainer =
        Trainer::adapter(load(&memory, set), start, settings, 2, 1 << 30).expect("it fits");
    let guide = Guide {
        model: &teacher,
        adapter: None,
    };
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        trainer.step(&borrowed, Some(guide), None).map(|_| ())
    }));
    assert!(ended.is_err(), "the panic is passed on");
}
