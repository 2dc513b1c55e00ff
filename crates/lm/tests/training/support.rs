//! What the tests share: tiny models, the values that scripts computed for them, comparisons.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use undertone_lm::examples::{SoftLabels, TrainingRow};
use undertone_lm::hf::HfFolder;
use undertone_lm::lora::{LoraConfig, LoraPair, LoraWeights};
use undertone_lm::loss::Objective;
use undertone_lm::{Checkpoint, Tensor};

/// One tiny model of every family, and two of llama and gemma3.
pub const MODELS: [&str; 6] = [
    "tiny-llama",
    "tiny-llama3",
    "tiny-qwen2",
    "tiny-qwen3",
    "tiny-gemma3",
    "tiny-gemma3-linear",
];

/// The path of what scripts made.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// A tiny model.
pub fn open(name: &str) -> HfFolder {
    HfFolder::open(&golden(name)).expect("a tiny model opens")
}

/// A safetensors file of expected values.
pub struct Values {
    shapes: BTreeMap<String, Vec<usize>>,
    numbers: BTreeMap<String, Vec<f32>>,
    integers: BTreeMap<String, Vec<u32>>,
    facts: BTreeMap<String, String>,
}

impl Values {
    /// Reads `file` of the tiny model `name`.
    pub fn of(name: &str, file: &str) -> Self {
        let path = golden(name).join(file);
        let bytes =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a script wrote it");
        let facts = header.metadata().clone().unwrap_or_default();
        let mut values = Self {
            shapes: BTreeMap::new(),
            numbers: BTreeMap::new(),
            integers: BTreeMap::new(),
            facts: facts.into_iter().collect(),
        };
        let file = SafeTensors::deserialize(&bytes).expect("a script wrote it");
        for (name, view) in file.iter() {
            let name = name.to_owned();
            values.shapes.insert(name.clone(), view.shape().to_vec());
            let words = view.data().as_chunks().0.iter();
            if view.dtype() == Dtype::F32 {
                let numbers = words.map(|word| f32::from_le_bytes(*word)).collect();
                values.numbers.insert(name, numbers);
            } else {
                assert_eq!(view.dtype(), Dtype::I32, "{name}");
                let integers = words.map(|word| u32::from_le_bytes(*word)).collect();
                values.integers.insert(name, integers);
            }
        }
        values
    }

    /// The names of all values, sorted.
    pub fn names(&self) -> Vec<String> {
        self.shapes.keys().cloned().collect()
    }

    /// The shape of `name`.
    #[track_caller]
    pub fn shape(&self, name: &str) -> Vec<usize> {
        find(&self.shapes, name)
    }

    /// The numbers of `name`.
    #[track_caller]
    pub fn numbers(&self, name: &str) -> Vec<f32> {
        find(&self.numbers, name)
    }

    /// The tokens or other whole numbers of `name`, none negative.
    #[track_caller]
    pub fn integers(&self, name: &str) -> Vec<u32> {
        find(&self.integers, name)
    }

    /// Whether there are numbers called `name`.
    pub fn has(&self, name: &str) -> bool {
        self.numbers.contains_key(name)
    }

    /// A setting of the script.
    #[track_caller]
    pub fn fact(&self, name: &str) -> f64 {
        self.facts[name].parse().expect("a number")
    }
}

#[track_caller]
fn find<T: Clone>(values: &BTreeMap<String, T>, name: &str) -> T {
    let value = values.get(name);
    value.unwrap_or_else(|| panic!("no `{name}`")).clone()
}

/// One of the losses whose gradients PyTorch computed.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name in the file.
    pub name: &'static str,
    pub objective: Objective,
    /// Whether the KL to the base is added, with the weight that the file gives.
    pub base_kl: bool,
}

/// Every loss.
pub const CASES: [Case; 4] = [
    Case {
        name: "cross-entropy",
        objective: Objective::CrossEntropy,
        base_kl: false,
    },
    Case {
        name: "forward-kl",
        objective: Objective::ForwardKl,
        base_kl: false,
    },
    Case {
        name: "reverse-kl",
        objective: Objective::ReverseKl,
        base_kl: false,
    },
    Case {
        name: "base-kl",
        objective: Objective::CrossEntropy,
        base_kl: true,
    },
];

/// A tiny model with rows, an adapter, and what training makes of them.
pub struct Training {
    pub folder: HfFolder,
    pub values: Values,
    pub rows: Vec<TrainingRow>,
    /// A and B drawn; B is not 0.
    pub adapter: LoraWeights,
}

impl Training {
    pub fn of(name: &str) -> Self {
        let folder = open(name);
        let values = Values::of(name, "golden-train.safetensors");
        let rows: Vec<TrainingRow> = (0..)
            .map_while(|index| {
                let key = |part: &str| format!("rows/{index}/{part}");
                if !values.has(&key("log_probabilities")) {
                    return None;
                }
                let soft = SoftLabels {
                    k: values.shape(&key("ids"))[1],
                    ids: values.integers(&key("ids")),
                    log_probabilities: values.numbers(&key("log_probabilities")),
                };
                let prompt = values.integers(&key("prompt"));
                let completion = values.integers(&key("completion"));
                Some(TrainingRow::new(&prompt, &completion, Some(soft)).expect("a sound row"))
            })
            .collect();
        assert_eq!(rows.len(), 3);
        let config =
            LoraConfig::all_projections(values.fact("rank") as usize, values.fact("alpha"));
        let mut adapter = LoraWeights::zeros(config, folder.config()).expect("a sound shape");
        for pair in adapter.pairs().to_vec() {
            for (side, place) in [("a", pair.a.clone()), ("b", pair.b.clone())] {
                let drawn = values.numbers(&key("lora", &pair, side));
                adapter.values_mut()[place].copy_from_slice(&drawn);
            }
        }
        Self {
            folder,
            values,
            rows,
            adapter,
        }
    }

    /// The weight of the KL to the base in `case`.
    pub fn base_kl(&self, case: Case) -> Option<f64> {
        case.base_kl.then(|| self.values.fact("base_kl"))
    }

    /// The gradient of cross-entropy with respect to a weight of the base, all of which are trained.
    pub fn full_gradient(&self, tensor: Tensor) -> Vec<f32> {
        self.values
            .numbers(&format!("full/{}", self.folder.file_name_of(tensor)))
    }
}

/// What the file calls A or B of `pair`, under `prefix`.
pub fn key(prefix: &str, pair: &LoraPair, side: &str) -> String {
    format!("{prefix}/{}/{}/{side}", pair.layer, pair.projection.name())
}

/// Asserts that no value is further from its expected one than `tolerance` times the largest expected one.
#[track_caller]
pub fn assert_close(what: &str, found: &[f64], expected: &[f32], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected
        .iter()
        .fold(0.0f64, |most, &value| most.max(f64::from(value).abs()));
    for (at, (found, &expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - f64::from(expected)).abs();
        assert!(
            error <= tolerance * largest,
            "{what}, value {at}: {found} for {expected}, the largest is {largest}"
        );
    }
}

/// The interpreter of a Python with torch, transformers and peft, if the tests were given one.
pub fn python() -> Option<PathBuf> {
    std::env::var_os("UNDERTONE_PYTHON").map(PathBuf::from)
}

/// Says on stderr that a test is skipped.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub fn skip(why: &str) {
    eprintln!("skipped: {why}");
}
