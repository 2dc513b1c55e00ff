//! What the tests share: golden files, comparisons.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use undertone_lm::hf::HfFolder;

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
pub struct Values(Vec<u8>);

impl Values {
    /// Reads `file` of the tiny model `name`.
    pub fn of(name: &str, file: &str) -> Self {
        let path = golden(name).join(file);
        Self(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    fn file(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.0).expect("a script wrote it")
    }

    /// The names of all values, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.file().names().into_iter().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// The shape of `name`.
    pub fn shape(&self, name: &str) -> Vec<usize> {
        self.tensor(name, |view| view.shape().to_vec())
    }

    /// The numbers of `name`, stored as `f32`.
    pub fn numbers(&self, name: &str) -> Vec<f32> {
        self.tensor(name, |view| {
            assert_eq!(view.dtype(), Dtype::F32, "{name}");
            let values = view.data().as_chunks().0.iter();
            values.map(|bytes| f32::from_le_bytes(*bytes)).collect()
        })
    }

    /// The tokens or other whole numbers of `name`, stored as `i32`.
    pub fn integers(&self, name: &str) -> Vec<u32> {
        self.tensor(name, |view| {
            assert_eq!(view.dtype(), Dtype::I32, "{name}");
            let values = view.data().as_chunks().0.iter();
            let values = values.map(|bytes| i32::from_le_bytes(*bytes));
            values
                .map(|value| u32::try_from(value).expect("no negative ones"))
                .collect()
        })
    }

    fn tensor<T>(
        &self,
        name: &str,
        take: impl FnOnce(&safetensors::tensor::TensorView<'_>) -> T,
    ) -> T {
        let file = self.file();
        let view = file
            .tensor(name)
            .unwrap_or_else(|_| panic!("there is no `{name}`"));
        take(&view)
    }
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
        // A NaN is no number within the tolerance.
        assert!(
            error <= tolerance * largest,
            "{what}, value {at}: {found} for {expected}, the largest is {largest}"
        );
    }
}
