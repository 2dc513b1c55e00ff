//! Round trips, and files that are refused. That peft understands us, and we it: `tests/training`.

use safetensors::SafeTensors;
use serde_json::json;
use undertone_core::Seed;

use super::*;
use crate::fixture::tiny;
use crate::lora::{LoraConfig, LoraScaling};

fn drawn(config: LoraConfig) -> LoraWeights {
    let mut weights = LoraWeights::initial(config, &tiny(), Seed(1)).expect("a sound shape");
    let mut stream = Seed(1).stream("test/b", 0);
    weights.values_mut().fill_with(|| stream.normal() as f32);
    weights
}

fn attention() -> LoraConfig {
    LoraConfig {
        targets: [Projection::Query, Projection::Output].into(),
        scaling: LoraScaling::RankStabilised,
        ..LoraConfig::all_projections(3, 4.5)
    }
}

fn parse(config: &[u8], weights: &[u8]) -> Result<LoraWeights, LoadAdapterErrorKind> {
    parse_adapter(config, weights, &tiny())
}

/// The error's whole chain, as people see it.
fn message(result: Result<LoraWeights, LoadAdapterErrorKind>) -> String {
    let error = result.expect_err("it is refused");
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

/// Name, type, shape and bytes of every tensor of a file.
type Tensors = Vec<(String, Dtype, Vec<usize>, Vec<u8>)>;

/// A file of the tensors of `weights`, after `change`.
fn changed_tensors(weights: &LoraWeights, change: impl Fn(&mut Tensors)) -> Vec<u8> {
    let bytes = weights_bytes(weights);
    let file = SafeTensors::deserialize(&bytes).expect("our own file");
    let mut tensors: Vec<_> = file
        .iter()
        .map(|(name, view)| {
            let shape = view.shape().to_vec();
            (name.to_owned(), view.dtype(), shape, view.data().to_vec())
        })
        .collect();
    tensors.sort();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, kind, shape, bytes)| {
        let view = TensorView::new(*kind, shape.clone(), bytes).expect("lengths fit");
        (name, view)
    });
    safetensors::serialize(views, None).expect("a sound file")
}

#[test]
fn what_is_saved_loads_to_the_same_bits() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    for (index, config) in [attention(), LoraConfig::all_projections(2, 16.0)]
        .into_iter()
        .enumerate()
    {
        let weights = drawn(config);
        let folder = scratch.path().join(index.to_string());
        save_adapter(&weights, Some("some/base"), &folder).expect("written");
        assert_eq!(load_adapter(&folder, &tiny()).expect("read"), weights);
        assert!(save_adapter(&weights, None, &folder).is_err());
    }
}

#[test]
fn the_configuration_is_the_one_peft_writes() {
    let text = String::from_utf8(config_bytes(&drawn(attention()), Some("some/base")));
    let expected = r#"{
  "alpha_pattern": {},
  "base_model_name_or_path": "some/base",
  "bias": "none",
  "fan_in_fan_out": false,
  "inference_mode": true,
  "init_lora_weights": true,
  "lora_alpha": 4.5,
  "lora_dropout": 0.0,
  "modules_to_save": null,
  "peft_type": "LORA",
  "r": 3,
  "rank_pattern": {},
  "target_modules": [
    "q_proj",
    "o_proj"
  ],
  "task_type": "CAUSAL_LM",
  "use_dora": false,
  "use_rslora": true
}
"#;
    assert_eq!(text.expect("UTF-8"), expected);
}

#[test]
fn half_precision_weights_load() {
    let mut weights = drawn(attention());
    for value in weights.values_mut() {
        // A number that all three formats hold.
        *value = (*value * 8.0).round() / 8.0;
    }
    let config = config_bytes(&weights, None);
    for kind in [Dtype::F16, Dtype::BF16] {
        let bytes = changed_tensors(&weights, |tensors| {
            for (_, dtype, _, bytes) in tensors {
                *dtype = kind;
                *bytes = bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|bytes| f32::from_le_bytes(*bytes))
                    .flat_map(|value| match kind {
                        Dtype::F16 => half::f16::from_f32(value).to_le_bytes(),
                        _ => half::bf16::from_f32(value).to_le_bytes(),
                    })
                    .collect();
            }
        });
        assert_eq!(parse(&config, &bytes).expect("read"), weights);
    }
}

#[test]
fn settings_that_change_the_arithmetic_are_refused_by_name() {
    let weights = drawn(attention());
    let bytes = weights_bytes(&weights);
    let with = |field: &str, value: serde_json::Value| {
        let mut config: serde_json::Value =
            serde_json::from_slice(&config_bytes(&weights, None)).expect("our own file");
        config[field] = value;
        parse(config.to_string().as_bytes(), &bytes)
    };
    for (field, value) in [
        ("use_dora", json!(true)),
        ("bias", json!("lora_only")),
        ("modules_to_save", json!(["lm_head"])),
        ("rank_pattern", json!({"q_proj": 4})),
        ("alpha_pattern", json!({"q_proj": 4})),
        ("fan_in_fan_out", json!(true)),
        ("init_lora_weights", json!("pissa")),
        ("lora_bias", json!(true)),
        ("layer_replication", json!([[0, 2]])),
        ("a_setting_of_next_year", json!("on")),
    ] {
        let text = message(with(field, value));
        let expected = format!("`adapter_config.json`: `{field}` is ");
        assert!(text.starts_with(&expected), "{text}");
        assert!(text.ends_with("not supported"), "{text}");
    }
    for (field, value) in [
        ("r", json!(0.5)),
        ("r", json!(-1)),
        ("lora_alpha", json!("16")),
        ("target_modules", json!([1])),
        ("target_modules", json!(null)),
        ("use_rslora", json!("yes")),
        ("peft_type", json!("IA3")),
    ] {
        let text = message(with(field, value));
        assert!(text.contains(&format!("`{field}` is ")), "{text}");
    }
    for (field, value) in [
        ("lora_dropout", json!(0.05)),
        ("target_modules", json!("all-linear")),
        ("target_modules", json!(r".*self_attn\.(q|o)_proj")),
        ("init_lora_weights", json!("gaussian")),
        ("init_lora_weights", json!(false)),
        ("megatron_core", json!("megatron.core")),
        ("a_setting_of_next_year", json!([])),
    ] {
        assert_eq!(with(field, value).expect("without effect"), weights);
    }
    let ranks = [0u64, 2, 4, 5000, u64::MAX];
    for rank in ranks {
        assert!(with("r", json!(rank)).is_err(), "{rank}");
    }
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let weights = drawn(attention());
    let config = config_bytes(&weights, None);
    let name = "base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight";
    let refused =
        |change: &dyn Fn(&mut Tensors)| message(parse(&config, &changed_tensors(&weights, change)));
    let unexpected = refused(&|tensors| tensors[0].0 = "lm_head.weight".into());
    assert!(
        unexpected.contains("`lm_head.weight` is not"),
        "{unexpected}"
    );
    let beyond = refused(&|tensors| tensors[0].0 = name.replace("layers.0", "layers.2"));
    assert!(beyond.contains("layers.2"), "{beyond}");
    let twice = refused(&|tensors| {
        let mut copy = tensors[0].clone();
        copy.0 = copy.0.replace("model.model", "model");
        tensors.push(copy);
    });
    assert!(twice.contains("under another name"), "{twice}");
    let missing = refused(&|tensors| {
        tensors.remove(0);
    });
    assert!(
        missing.ends_with("there is no lora_A for o_proj of block 0"),
        "{missing}"
    );
    let empty = refused(&|tensors| tensors.clear());
    assert!(empty.ends_with("there are no tensors"), "{empty}");
    let shape = refused(&|tensors| tensors[0].2.reverse());
    assert!(
        shape.ends_with(&format!("`{name}` has the shape [16, 3], expected [3, 16]")),
        "{shape}"
    );
    let kind = refused(&|tensors| tensors[0].1 = Dtype::I32);
    assert!(kind.contains("type I32 is not supported"), "{kind}");
    let infinite = refused(&|tensors| {
        tensors[0].3[4..8].copy_from_slice(&f32::INFINITY.to_le_bytes());
    });
    assert!(
        infinite.ends_with(&format!("`{name}`: value 1 is not a finite number")),
        "{infinite}"
    );
}

#[test]
fn a_list_of_targets_and_the_tensors_must_agree() {
    let weights = drawn(attention());
    let bytes = weights_bytes(&weights);
    let mut config: serde_json::Value =
        serde_json::from_slice(&config_bytes(&weights, None)).expect("our own file");
    let mut listed = |targets: serde_json::Value| {
        config["target_modules"] = targets;
        parse(config.to_string().as_bytes(), &bytes)
    };
    let fewer = message(listed(json!(["q_proj"])));
    assert!(fewer.contains("none of the `target_modules`"), "{fewer}");
    let more = message(listed(json!(["q_proj", "o_proj", "up_proj"])));
    assert!(more.contains("no lora_A for up_proj"), "{more}");
    assert!(listed(json!(["self_attn.q_proj", "o_proj"])).is_ok());
}

#[test]
fn an_adapter_for_another_model_does_not_load() {
    let weights = drawn(attention());
    let (config, bytes) = (config_bytes(&weights, None), weights_bytes(&weights));
    let mut deeper = tiny();
    deeper.layers += 1;
    assert!(parse_adapter(&config, &bytes, &deeper).is_err());
    let mut wider = tiny();
    wider.width += 2;
    assert!(parse_adapter(&config, &bytes, &wider).is_err());
}

#[test]
fn a_folder_that_lacks_a_file_says_which() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let file = || match load_adapter(scratch.path(), &tiny())
        .expect_err("incomplete")
        .kind
    {
        LoadAdapterErrorKind::Read { file, .. } => file,
        other => panic!("{other}"),
    };
    assert_eq!(file(), CONFIG_FILE);
    let config = config_bytes(&drawn(attention()), None);
    fs::write(scratch.path().join(CONFIG_FILE), config).expect("written");
    assert_eq!(file(), WEIGHTS_FILE);
}

proptest::proptest! {
    #[test]
    fn no_bytes_bring_the_reader_down(
        config: Vec<u8>,
        weights: Vec<u8>,
        at in 0usize..4096,
        value: u8,
    ) {
        let sound = drawn(attention());
        let (mut damaged_config, mut damaged_weights) = (config_bytes(&sound, None), weights_bytes(&sound));
        let _ = parse(&config, &damaged_weights);
        let _ = parse(&damaged_config, &weights);
        let (length, place) = (damaged_config.len(), at % damaged_weights.len());
        damaged_config[at % length] = value;
        damaged_weights[place] = value;
        let _ = parse(&damaged_config, &weights_bytes(&sound));
        let _ = parse(&config_bytes(&sound, None), &damaged_weights);
        let _ = parse(&config_bytes(&sound, None), &damaged_weights[..place]);
    }
}
