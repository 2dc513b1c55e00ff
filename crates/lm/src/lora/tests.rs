//! Layout, draws and digests of adapters.

use super::*;
use crate::fixture::tiny;

fn drawn(config: LoraConfig, seed: u64) -> LoraWeights {
    LoraWeights::initial(config, &tiny(), Seed(seed)).expect("a sound shape")
}

#[test]
fn pairs_fill_the_values_in_order() {
    let weights = drawn(LoraConfig::all_projections(3, 6.0), 1);
    let mut end = 0;
    let mut order = Vec::new();
    for pair in weights.pairs() {
        assert_eq!((pair.a.start, pair.b.start), (end, pair.a.end));
        assert_eq!(weights.a(pair).len(), 3 * pair.inputs);
        assert_eq!(weights.b(pair).len(), 3 * pair.outputs);
        assert_eq!(weights.pair(pair.layer, pair.projection), Some(pair));
        end = pair.b.end;
        order.push((pair.layer, pair.projection));
    }
    assert_eq!(end, weights.values().len());
    assert!(order.is_sorted());
    assert_eq!(order.len(), 7 * tiny().layers);
    assert_eq!(weights.pair(tiny().layers, Projection::Query), None);
}

#[test]
fn a_new_adapter_has_uniform_a_and_zero_b() {
    let weights = drawn(LoraConfig::all_projections(16, 16.0), 1);
    for pair in weights.pairs() {
        assert!(weights.b(pair).iter().all(|&b| b == 0.0));
        let a = weights.a(pair);
        let bound = 1.0 / (pair.inputs as f32).sqrt();
        assert!(a.iter().all(|a| a.abs() <= bound));
        let mean_square = a.iter().map(|a| a * a).sum::<f32>() / a.len() as f32;
        // Relative: the mean square of a uniform draw is bound²/3; hundreds of draws are within a quarter of it.
        assert!((mean_square / (bound * bound / 3.0) - 1.0).abs() < 0.25);
    }
}

#[test]
fn one_projections_draws_do_not_depend_on_the_others() {
    let all = drawn(LoraConfig::all_projections(2, 2.0), 5);
    let down = LoraConfig {
        targets: [Projection::Down].into(),
        ..LoraConfig::all_projections(2, 2.0)
    };
    let down = drawn(down, 5);
    for pair in down.pairs() {
        let same = all
            .pair(pair.layer, Projection::Down)
            .expect("all have one");
        assert_eq!(down.a(pair), all.a(same));
    }
}

#[test]
fn digests_tell_shapes_and_weights_apart() {
    let config = LoraConfig::all_projections(2, 2.0);
    let first = drawn(config.clone(), 5);
    assert_eq!(first.digest(), drawn(config.clone(), 5).digest());
    assert_ne!(first.digest(), drawn(config.clone(), 6).digest());
    let stronger = LoraConfig {
        alpha: 4.0,
        ..config
    };
    assert_ne!(first.digest(), drawn(stronger, 5).digest());
}

#[test]
fn alpha_is_divided_by_the_rank_or_its_root() {
    let config = LoraConfig::all_projections(16, 8.0);
    assert_eq!(config.scale(), 0.5);
    let stabilised = LoraConfig {
        scaling: LoraScaling::RankStabilised,
        ..config
    };
    assert_eq!(stabilised.scale(), 2.0);
}

#[test]
fn senseless_shapes_are_refused() {
    let sound = LoraConfig::all_projections(8, 8.0);
    assert_eq!(sound.check(), Ok(()));
    for rank in [0, 4097, usize::MAX] {
        let config = LoraConfig {
            rank,
            ..sound.clone()
        };
        assert_eq!(config.check(), Err(LoraConfigError::Rank { rank }));
        assert!(LoraWeights::zeros(config, &tiny()).is_err());
    }
    for alpha in [0.0, f64::INFINITY, f64::NAN] {
        let config = LoraConfig {
            alpha,
            ..sound.clone()
        };
        assert!(matches!(config.check(), Err(LoraConfigError::Alpha { .. })));
    }
    let none = LoraConfig {
        targets: BTreeSet::new(),
        ..sound
    };
    assert_eq!(none.check(), Err(LoraConfigError::NoTargets));
}

#[test]
fn an_adapter_belongs_to_models_of_its_sizes() {
    let weights = drawn(LoraConfig::all_projections(2, 2.0), 1);
    assert_eq!(weights.check_model(&tiny()), Ok(()));
    for change in [
        |model: &mut ModelConfig| model.layers += 1,
        |model: &mut ModelConfig| model.layers -= 1,
        |model: &mut ModelConfig| model.ffn_width += 1,
    ] {
        let mut other = tiny();
        change(&mut other);
        assert!(weights.check_model(&other).is_err());
    }
}
