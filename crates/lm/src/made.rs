//! A model that was made in this process, with the files it would have.
//!
//! It is opened like a folder and has the digests that [`crate::merge`] would give it on disk, so that a step computed
//! with one is a step computed with the other. Weights are `f32`.

use std::path::Path;

use crate::checkpoint::{Checkpoint, ReadTensorError};
use crate::config::{ModelConfig, Tensor};
use crate::generation::GenerationDefaults;
use crate::mapped::{FileDigest, digest};
use crate::merge::{
    Companion, MergeError, MergeOptions, MergedType, USUAL_SHARD_BYTES, model_files,
};
use crate::train::FullWeights;

/// A model in memory, with its tokenizer's files.
#[derive(Debug, Clone)]
pub struct MadeModel {
    weights: FullWeights,
    generation: GenerationDefaults,
    companions: Vec<Companion>,
    digests: Vec<FileDigest>,
}

impl MadeModel {
    /// Puts a model together; `companions` hold at least a `tokenizer.json` if texts are to be read.
    ///
    /// Costs as much as writing the model, for the digests.
    ///
    /// # Errors
    /// [`MergeError`] if the model has no form that others load.
    pub fn new(
        weights: FullWeights,
        generation: GenerationDefaults,
        companions: Vec<Companion>,
    ) -> Result<Self, MergeError> {
        let options = MergeOptions {
            weights: MergedType::F32,
            max_shard_bytes: USUAL_SHARD_BYTES,
            generation: &generation,
            companions: &companions,
        };
        let files = model_files(&weights, &options)?;
        let digests = files
            .iter()
            .map(|(name, content)| digest(Path::new(name), content))
            .collect();
        Ok(Self {
            weights,
            generation,
            companions,
            digests,
        })
    }

    /// Returns the model with the same texts and other weights.
    ///
    /// # Errors
    /// As [`MadeModel::new`].
    pub fn with_weights(&self, weights: FullWeights) -> Result<Self, MergeError> {
        Self::new(weights, self.generation.clone(), self.companions.clone())
    }

    /// Returns the weights.
    pub fn weights(&self) -> &FullWeights {
        &self.weights
    }

    /// Returns special tokens and how to sample.
    pub fn generation(&self) -> &GenerationDefaults {
        &self.generation
    }

    /// Returns the files that belong to the model but are neither weights nor configuration.
    pub fn companions(&self) -> &[Companion] {
        &self.companions
    }

    /// Returns the content of the companion called `name`.
    pub fn companion(&self, name: &str) -> Option<&[u8]> {
        let found = self.companions.iter().find(|file| file.name == name);
        found.map(|file| &file.content[..])
    }

    /// Returns the digests of the files that numbers depend on, `config.json` first.
    pub fn digests(&self) -> Vec<FileDigest> {
        self.digests.clone()
    }
}

impl Checkpoint for MadeModel {
    fn config(&self) -> &ModelConfig {
        self.weights.config()
    }

    fn read_rows(
        &self,
        tensor: Tensor,
        rows: std::ops::Range<usize>,
        out: &mut [f32],
    ) -> Result<(), ReadTensorError> {
        self.weights.read_rows(tensor, rows, out)
    }

    fn file_name_of(&self, tensor: Tensor) -> String {
        self.weights.file_name_of(tensor)
    }
}

#[cfg(test)]
mod tests {
    use undertone_core::Seed;

    use super::*;
    use crate::fixture::tiny;
    use crate::hf::HfFolder;
    use crate::initial::initial_weights;
    use crate::merge::merge;

    #[test]
    fn it_has_the_digests_of_its_folder() {
        let weights = initial_weights(&tiny(), Seed(5)).expect("a model");
        let generation = GenerationDefaults {
            bos: Some(1),
            eos: vec![2],
            ..GenerationDefaults::default()
        };
        let made = MadeModel::new(weights.clone(), generation, Vec::new()).expect("a llama");
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let folder = scratch.path().join("model");
        let options = MergeOptions {
            weights: MergedType::F32,
            max_shard_bytes: USUAL_SHARD_BYTES,
            generation: made.generation(),
            companions: made.companions(),
        };
        merge(&weights, None, &options, &folder).expect("written");
        let written = HfFolder::open(&folder).expect("readable");
        assert_eq!(written.digests(), made.digests());
        assert_eq!(written.config(), made.config());
        let read = FullWeights::read(&written).expect("finite");
        assert_eq!(read.tensors(), made.weights().tensors());
    }

    #[test]
    fn other_weights_are_another_model() {
        let draw = |seed| initial_weights(&tiny(), Seed(seed)).expect("a model");
        let made = MadeModel::new(draw(0), GenerationDefaults::default(), Vec::new());
        let made = made.expect("a llama");
        let same = made.with_weights(draw(0)).expect("a llama");
        let other = made.with_weights(draw(1)).expect("a llama");
        assert_eq!(made.digests(), same.digests());
        assert_eq!(made.digests()[0], other.digests()[0]);
        assert_ne!(made.digests()[1], other.digests()[1]);
    }
}
