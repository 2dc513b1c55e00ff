//! A model with all that belongs to it: weights, texts, maybe an adapter, and the digests that name them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Digest;
use undertone_lm::Checkpoint;
use undertone_lm::adapter::Adapter;
use undertone_lm::lora::LoraWeights;
use undertone_lm::made::MadeModel;
use undertone_lm::model::{LoadOptions, Model};
use undertone_lm::peft::load_adapter;
use undertone_lm::source::{self, FileDigest, ModelSource, OpenModel, model_digest};
use undertone_lm::text::ModelText;
use undertone_lm::train::FullWeights;
use undertone_simd::Precision;

use super::error::LmError;
use super::merge::companions;
use super::speech::vocabulary_digest;
use crate::error::LabError;

/// Something a run reads, by the name it was given and by what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// A model's name, or a path, as typed.
    pub name: String,
    /// The digest of its content.
    pub digest: Digest,
}

/// A model that is opened and not yet loaded. A copy shares its files and texts.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The model's name as typed.
    pub name: String,
    /// Its files.
    pub open: Arc<OpenModel>,
    /// Its tokenizer and templates.
    pub text: Arc<ModelText>,
    /// Its files' digests.
    pub files: Vec<FileDigest>,
    /// The digest of its weights and configuration.
    pub digest: Digest,
    /// The digest of its vocabulary.
    pub vocabulary: Digest,
    /// Its adapter.
    pub adapter: Option<SubjectAdapter>,
    /// Weights that stand in place of the files': those of a model that was trained as a whole.
    pub tuned: Option<FullWeights>,
}

/// An adapter that is read and fits its model.
#[derive(Debug, Clone)]
pub struct SubjectAdapter {
    /// Its folder as typed.
    pub name: String,
    /// Its weights.
    pub weights: LoraWeights,
    /// The digest of shape and weights.
    pub digest: Digest,
}

/// A model in memory.
#[derive(Debug)]
pub struct Loaded {
    /// The model.
    pub model: Model,
    /// Its adapter, packed.
    pub adapter: Option<Adapter>,
}

impl Subject {
    /// Opens a model and the adapter in the folder `adapter`; named models are looked for in `data_dir`.
    ///
    /// # Errors
    /// [`LmError`] if either cannot be opened, or they do not fit each other.
    pub fn open(name: &str, adapter: Option<&Path>, data_dir: &Path) -> Result<Self, LabError> {
        let source: ModelSource = name.parse().map_err(LmError::Source)?;
        let open = source::open(&source, data_dir).map_err(LmError::Open)?;
        let text = ModelText::open(&open.files).map_err(|source| LmError::Text {
            model: name.to_owned(),
            source,
        })?;
        let adapter = adapter
            .map(|folder| SubjectAdapter::read(folder, &open))
            .transpose()?;
        let files = open.digests();
        Ok(Self {
            name: name.to_owned(),
            digest: model_digest(&files),
            vocabulary: vocabulary_digest(&text.tokenizer),
            files,
            open: Arc::new(open),
            text: Arc::new(text),
            adapter,
            tuned: None,
        })
    }

    /// Takes a model that was made in this process; `name` is what messages and records call it.
    ///
    /// # Errors
    /// If its tokenizer's files are missing or wrong.
    pub fn made(name: &str, model: MadeModel) -> Result<Self, LabError> {
        let open = OpenModel::made(name, model);
        let text = ModelText::open(&open.files).map_err(|source| LmError::Text {
            model: name.to_owned(),
            source,
        })?;
        let files = open.digests();
        Ok(Self {
            name: name.to_owned(),
            digest: model_digest(&files),
            vocabulary: vocabulary_digest(&text.tokenizer),
            files,
            open: Arc::new(open),
            text: Arc::new(text),
            adapter: None,
            tuned: None,
        })
    }

    /// Returns a model of its own with the same texts and `weights`, called `name`, in memory.
    ///
    /// Its digest is the one that the folder would have that `lm train --full -o` writes.
    ///
    /// # Errors
    /// If the model has no form that others load.
    pub fn tuned(&self, name: &str, weights: FullWeights) -> Result<Self, LabError> {
        let generation = self.open.generation().clone();
        let companions = companions(self)?;
        let made = MadeModel::new(weights, generation, companions).map_err(LmError::Merge)?;
        Self::made(name, made)
    }

    /// Puts other weights in place of the files'; `digest` is theirs.
    pub fn with_weights(self, weights: FullWeights, digest: Digest) -> Self {
        Self {
            digest,
            tuned: Some(weights),
            ..self
        }
    }

    /// Adds an adapter that is in memory, called `name` in records.
    pub fn with_adapter(self, name: &str, weights: LoraWeights) -> Self {
        Self {
            adapter: Some(SubjectAdapter {
                name: name.to_owned(),
                digest: weights.digest(),
                weights,
            }),
            ..self
        }
    }

    /// Returns configuration and weights.
    pub fn checkpoint(&self) -> &dyn Checkpoint {
        match &self.tuned {
            Some(weights) => weights,
            None => self.open.checkpoint(),
        }
    }

    /// Returns name and digest.
    pub fn named(&self) -> Named {
        Named {
            name: self.name.clone(),
            digest: self.digest,
        }
    }

    /// Returns name and digest of the adapter.
    pub fn named_adapter(&self) -> Option<Named> {
        self.adapter.as_ref().map(|adapter| Named {
            name: adapter.name.clone(),
            digest: adapter.digest,
        })
    }

    /// Returns what a step that computes with it depends on: `model` and `adapter`, each with `prefix` before it.
    pub(crate) fn inputs(&self, prefix: &str) -> BTreeMap<String, Digest> {
        let mut inputs = BTreeMap::from([(format!("{prefix}model"), self.digest)]);
        if let Some(adapter) = &self.adapter {
            inputs.insert(format!("{prefix}adapter"), adapter.digest);
        }
        inputs
    }

    /// Returns how to load it for sequences of up to `tokens` tokens.
    ///
    /// The usual number of positions is enough for most; longer sequences get what they need, up to the model's context.
    pub fn load_options(&self, precision: Precision, tokens: usize) -> LoadOptions {
        const USUAL_POSITIONS: usize = 8192;
        LoadOptions {
            max_positions: tokens.max(USUAL_POSITIONS).min(self.open.config().context),
            ..LoadOptions::inference(precision)
        }
    }

    /// Loads it.
    ///
    /// # Errors
    /// If the processor lacks the format or a weight cannot be used.
    pub fn load(&self, options: LoadOptions) -> Result<Loaded, LabError> {
        let model = Model::load(self.checkpoint(), options).map_err(LmError::Load)?;
        let adapter = self
            .adapter
            .as_ref()
            .map(|adapter| Adapter::pack(&adapter.weights, &model));
        Ok(Loaded {
            adapter: adapter.transpose().map_err(LmError::WrongModel)?,
            model,
        })
    }
}

impl SubjectAdapter {
    fn read(folder: &Path, open: &OpenModel) -> Result<Self, LabError> {
        let weights = load_adapter(folder, open.config()).map_err(LmError::Adapter)?;
        Ok(Self {
            name: folder.display().to_string(),
            digest: weights.digest(),
            weights,
        })
    }
}
