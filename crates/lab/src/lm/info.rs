//! What a model is, from its files alone.

use std::collections::BTreeMap;

use serde::Serialize;
use undertone_core::Digest;
use undertone_lm::chat::{RenderOptions, SystemLine};
use undertone_lm::config::ModelConfig;
use undertone_lm::generation::GenerationDefaults;
use undertone_lm::gguf::ValueType;
use undertone_lm::lora::LoraConfig;
use undertone_lm::optimiser::Optimiser;
use undertone_lm::source::{FileDigest, ModelFiles};
use undertone_lm::tokenizer::Tokenizer;
use undertone_simd::Precision;

use super::memory::{self, Memory, Trainable};
use super::subject::Subject;

/// A batch, in rows, that memory is told for.
const BATCH: usize = 64;
/// A length, in tokens, that memory is told for.
const LENGTH: usize = 512;

/// What a model is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelInfo {
    /// As asked for.
    pub name: String,
    /// Where it is.
    pub path: String,
    /// `gguf` or `folder`.
    pub format: &'static str,
    /// One digest for all of it.
    pub digest: Digest,
    /// Its files.
    pub files: Vec<FileDigest>,
    /// Number of weights.
    pub parameters: u64,
    /// Tensors by the type their values are stored in.
    pub stored_as: BTreeMap<&'static str, usize>,
    /// Everything its arithmetic depends on.
    pub config: ModelConfig,
    /// Its vocabulary.
    pub tokenizer: TokenizerInfo,
    /// What its template does.
    pub chat_templates: Vec<TemplateInfo>,
    /// How its authors sample.
    pub generation: GenerationDefaults,
    /// Its adapter, if one was named.
    pub adapter: Option<AdapterInfo>,
    /// Memory, by the work and number format.
    pub memory: BTreeMap<&'static str, Memory>,
}

/// A model's vocabulary.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenizerInfo {
    /// Its digest: rows name their vocabulary by its beginning.
    pub digest: Digest,
    /// Number of tokens.
    pub tokens: usize,
    /// The token that begins texts.
    pub bos: Option<NamedToken>,
    /// Whether plain texts begin with it.
    pub adds_bos: bool,
    /// The tokens that end a text or a turn.
    pub ends: Vec<NamedToken>,
    /// The token that fills up.
    pub pad: Option<NamedToken>,
}

/// A token and its text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NamedToken {
    /// Its id.
    pub id: u32,
    /// What it is spelled.
    pub text: String,
}

/// A chat template.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TemplateInfo {
    /// Its name; the usual one is `default`.
    pub name: String,
    /// Its length.
    pub bytes: usize,
    /// What it puts in the system's place where nobody wrote a system message.
    pub adds_system_line: Option<String>,
    /// Why it cannot be used, or what it adds not be told.
    pub problem: Option<String>,
}

/// An adapter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdapterInfo {
    /// Its folder.
    pub name: String,
    /// The digest of shape and weights.
    pub digest: Digest,
    /// Its shape.
    pub config: LoraConfig,
    /// Number of weights.
    pub parameters: usize,
}

/// Looks at a model.
pub fn info(subject: &Subject, threads: usize) -> ModelInfo {
    let config = subject.open.config();
    let (format, type_of): (_, Box<dyn Fn(_) -> _>) = match &subject.open.files {
        ModelFiles::Gguf(gguf) => ("gguf", Box::new(|tensor| gguf.value_type(tensor))),
        ModelFiles::Folder(folder) => ("folder", Box::new(|tensor| folder.value_type(tensor))),
        ModelFiles::Made(_) => ("made", Box::new(|_| ValueType::F32)),
    };
    let mut stored_as = BTreeMap::new();
    for tensor in config.tensors() {
        *stored_as.entry(type_of(tensor).name()).or_default() += 1;
    }
    ModelInfo {
        name: subject.name.clone(),
        path: subject.open.path.display().to_string(),
        format,
        digest: subject.digest,
        files: subject.files.clone(),
        parameters: config.parameters(),
        stored_as,
        config: config.clone(),
        tokenizer: tokenizer(subject),
        chat_templates: templates(subject),
        generation: subject.open.generation().clone(),
        adapter: subject.adapter.as_ref().map(|adapter| AdapterInfo {
            name: adapter.name.clone(),
            digest: adapter.digest,
            config: adapter.weights.config().clone(),
            parameters: adapter.weights.values().len(),
        }),
        memory: memory(config, threads),
    }
}

fn tokenizer(subject: &Subject) -> TokenizerInfo {
    let tokenizer: &Tokenizer = &subject.text.tokenizer;
    let named = |id: u32| NamedToken {
        id,
        text: tokenizer.decode_with_special(&[id]),
    };
    TokenizerInfo {
        digest: subject.vocabulary,
        tokens: tokenizer.len(),
        bos: tokenizer.bos().map(named),
        adds_bos: tokenizer.bos_to_add().is_some(),
        ends: tokenizer.end_tokens().iter().copied().map(named).collect(),
        pad: tokenizer.pad().map(named),
    }
}

fn templates(subject: &Subject) -> Vec<TemplateInfo> {
    let look = |(name, source): &(String, String)| {
        let (line, problem) = match subject.text.chat_template(Some(name)) {
            Err(error) => (None, Some(error.to_string())),
            Ok(template) => match template.added_system_line(&RenderOptions::default()) {
                SystemLine::Added(line) => (Some(line), None),
                SystemLine::Absent => (None, None),
                SystemLine::Undetermined => {
                    let problem = "what it adds cannot be told without a date";
                    (None, Some(problem.to_owned()))
                }
            },
        };
        TemplateInfo {
            name: name.clone(),
            bytes: source.len(),
            adds_system_line: line,
            problem,
        }
    };
    subject.text.templates.iter().map(look).collect()
}

fn memory(config: &ModelConfig, threads: usize) -> BTreeMap<&'static str, Memory> {
    let length = LENGTH.min(config.context);
    let lora = LoraConfig::all_projections(8, 16.0);
    let optimiser = Optimiser::adamw(1e-4, 0.0);
    let training = |precision, trainable| {
        memory::training(
            config,
            precision,
            trainable,
            memory::Guiding::default(),
            &optimiser,
            1 << 30,
            length,
            threads,
        )
    };
    let sampling = |precision| memory::sampling(config, precision, BATCH, length, threads);
    let adapter = Trainable::Adapter(&lora);
    BTreeMap::from([
        ("sample-f32", sampling(Precision::F32)),
        ("sample-bf16", sampling(Precision::Bf16)),
        ("train-adapter-f32", training(Precision::F32, adapter)),
        ("train-adapter-bf16", training(Precision::Bf16, adapter)),
        ("train-full-f32", training(Precision::F32, Trainable::Full)),
        (
            "train-full-bf16",
            training(Precision::Bf16, Trainable::Full),
        ),
    ])
}
