//! The reference computes what transformers computes, for every family.

use undertone_lm::reference::ReferenceModel;

use crate::support::{MODELS, Values, assert_close, open};

/// Relative to the largest value: expected values were computed in f64 and are stored as `f32`.
const ROUNDED: f64 = 1e-7;

#[test]
fn logits_and_hidden_states_are_those_of_transformers() {
    for name in MODELS {
        let model = ReferenceModel::from_checkpoint(&open(name)).expect("finite weights");
        let values = Values::of(name, "golden-forward.safetensors");
        for index in 0..3 {
            let tokens = values.integers(&format!("tokens/{index}"));
            let what = format!("{name}, sequence {index}");
            let expected = values.numbers(&format!("logits/{index}"));
            assert_close(&what, &model.logits(&tokens).concat(), &expected, ROUNDED);
            // After every block, before the last norm.
            let hidden: Vec<f64> = (1..=model.config().layers)
                .flat_map(|layer| model.hidden(&tokens, layer).concat())
                .collect();
            let expected = values.numbers(&format!("hidden/{index}"));
            assert_close(&what, &hidden, &expected, ROUNDED);
        }
    }
}
