//! Networks, batches and losses nobody chose, against the reference.

use proptest::prelude::*;
use undertone_mlp::{Activation, Biases, Loss, LossKind, Reduction};

use super::agreement::check;
use super::support::{Problem, network};

fn losses(outputs: usize) -> impl Strategy<Value = Loss> {
    let kind = prop_oneof![
        Just(LossKind::CrossEntropy),
        Just(LossKind::Kl),
        Just(LossKind::Mse)
    ];
    let reduction = prop_oneof![
        Just(Reduction::Mean),
        (1..30u32).prop_map(|models| Reduction::BatchMeanQuirk { models })
    ];
    (kind, 0..outputs, 0..outputs, reduction, 0.5..4.0).prop_map(
        |(kind, a, b, reduction, temperature)| Loss {
            kind,
            logits: a.min(b)..a.max(b) + 1,
            reduction,
            temperature,
        },
    )
}

fn problems() -> impl Strategy<Value = Problem> {
    let activation = prop_oneof![
        Just(Activation::Relu),
        Just(Activation::Gelu),
        Just(Activation::Sigmoid)
    ];
    let biases = prop_oneof![Just(Biases::With), Just(Biases::Without)];
    let hidden = prop::collection::vec(1..40usize, 0..4);
    (1..40usize, hidden, 1..40usize, activation, biases)
        .prop_flat_map(|(inputs, hidden, outputs, activation, biases)| {
            let architecture = network(inputs, &hidden, outputs, activation, biases);
            (
                Just(architecture),
                1..20usize,
                losses(outputs),
                any::<u64>(),
            )
        })
        .prop_map(|(architecture, rows, loss, index)| {
            Problem::draw(&architecture, rows, loss, index)
        })
}

proptest! {
    // The same problems every time: a test that fails once in a hundred runs helps nobody.
    #![proptest_config(ProptestConfig {
        cases: 120,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_small_network_agrees_with_the_reference(problem in problems().no_shrink()) {
        check(&problem);
    }
}
