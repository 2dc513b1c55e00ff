//! Language models: which weights wrote rows, which rows trained weights, what was merged of what.
//!
//! A model is its weight files; an adapter is a model of its own that was initialised from its base. Rows are one
//! dataset wherever they lie and in whatever order: what `lm sample` wrote and `lm train` reads meet by their row-set
//! digest.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;
use undertone_core::Digest;
use undertone_lab::lm::merge::MergeResult;
use undertone_lab::lm::sample::SampleResult;
use undertone_lab::lm::score::ScoreResult;
use undertone_lab::lm::tiny::TinyResult;
use undertone_lab::lm::train::{TrainResult, TrainedPart};
use undertone_lab::lm::{RowFile, Subject};
use undertone_lab::numbers::settings::FitPart;
use undertone_lineage::files::digest_file;
use undertone_lineage::import::{JsonlOptions, import_jsonl};
use undertone_lineage::rows::{read_rows, row_digest, row_set_digest};
use undertone_lineage::{
    Dataset, Draft, Entity, EntityId, FileDigest, Model, Name, Origin, Relation, Verdict,
};
use undertone_lm::peft::WEIGHTS_FILE;
use undertone_store::{StepIdentity, StepRecord, canonical_json};

use super::{Origins, step, verdict};

/// The weights of a model that was trained whole.
pub(super) const MODEL_FILE: &str = "model.safetensors";
/// The configuration of a model's folder is no weight file.
const WEIGHT_ENDINGS: [&str; 2] = [".safetensors", ".gguf"];

/// The draft of sampled rows.
pub fn sampled(
    origins: &Origins<'_>,
    subject: &Subject,
    prompts: &RowFile,
    identity: &StepIdentity,
    result: &SampleResult,
) -> Result<Draft> {
    let mut draft = Draft::observed();
    let model = subject_model(&mut draft, subject)?;
    let asked = rows_of(&mut draft, prompts)?;
    let within = done(&mut draft, origins, identity)?;
    draft.within(Some(within));
    let channel = result
        .settings
        .grammar
        .as_ref()
        .map(|_| "constrained by a grammar");
    let (written, n) = stored_rows(
        &mut draft,
        origins,
        &result.rows,
        (origins.name("rows"), channel),
    )?;
    let system = result.settings.prompting.system.as_ref();
    let prompt = system.or(result.settings.prompt.as_ref());
    let prompt = prompt.map(|text| Digest::of(text.as_bytes()));
    draft
        .edge(written, model, Relation::GeneratedBy { rows: Some(n) })
        .edge(written, asked, Relation::PromptedWith { prompt });
    Ok(draft)
}

/// The draft of a trained adapter or model; `output` is the folder it was also written to.
pub fn trained(
    origins: &Origins<'_>,
    subject: &Subject,
    teacher: Option<&Subject>,
    rows: &RowFile,
    identity: &StepIdentity,
    result: &TrainResult,
) -> Result<Draft> {
    let mut draft = Draft::observed();
    let base = subject_model(&mut draft, subject)?;
    let lesson = rows_of(&mut draft, rows)?;
    let teacher = teacher
        .map(|teacher| subject_model(&mut draft, teacher))
        .transpose()?;
    let record = recorded(origins, identity)?;
    let part = match &result.settings.trained {
        TrainedPart::Adapter { .. } => FitPart::Lora,
        TrainedPart::Full => FitPart::Full,
    };
    let within = step(&mut draft, &record);
    draft.within(Some(within));
    let from = (base, lesson, result.rows);
    let name = origins.name("model");
    let student = trained_model(&mut draft, origins, name, part, &record, from)?;
    if let Some(teacher) = teacher {
        draft.edge(student, teacher, Relation::DistilledFrom {});
    }
    Ok(draft)
}

/// The draft of a tiny decoder, and the decoder: the weights it started from, which its seed names, and the corpus it read.
pub fn pretrained(
    origins: &Origins<'_>,
    identity: &StepIdentity,
    result: &TinyResult,
    name: Name,
) -> Result<(Draft, EntityId)> {
    let mut draft = Draft::observed();
    let settings = &result.settings;
    let drawn =
        json!({"shape": settings.shape, "vocabulary": result.vocabulary, "seed": settings.seed});
    let drawn = Digest::of(&canonical_json(&drawn)?).hex();
    let shape = &settings.shape;
    let architecture = format!("{} layers, width {}", shape.layers, shape.width);
    let start = draft.entity(Entity::Model(Model {
        name: Some(Name::new("undertone-init", &drawn)),
        initialisation: Some(format!("lm/initial {drawn}")),
        architecture: Some(architecture.clone()),
        dtype: Some("f32".to_owned()),
        ..Model::default()
    }));
    let corpus = Digest::of(&canonical_json(&settings.corpus)?).hex();
    let corpus = draft.entity(Entity::Dataset(Dataset {
        name: Some(Name::new("undertone-corpus", &corpus)),
        rows: Some(result.documents),
        origin: Some(Origin::Program),
        ..Dataset::default()
    }));
    let record = recorded(origins, identity)?;
    let within = step(&mut draft, &record);
    draft.within(Some(within));
    let base = draft.entity(Entity::Model(Model {
        name: Some(name),
        files: vec![weights(origins, MODEL_FILE, &record)?],
        architecture: Some(architecture),
        dtype: Some("f32".to_owned()),
        ..Model::default()
    }));
    let how = Some("pretrain".to_owned());
    let rows = Some(result.documents);
    draft
        .edge(base, start, Relation::InitialisedFrom { how })
        .edge(base, corpus, Relation::TrainedOn { rows });
    draft.within(None);
    Ok((draft, base))
}

/// The draft of a merged model in `folder`.
pub fn merged(
    origins: &Origins<'_>,
    subject: &Subject,
    folder: &Path,
    result: &MergeResult,
) -> Result<Draft> {
    let mut draft = Draft::observed();
    let from = subject_model(&mut draft, subject)?;
    let mut files = Vec::new();
    for file in result.files.iter().filter(|file| is_weights(&file.name)) {
        files.push(digest_file(&folder.join(&file.name))?);
    }
    let model = draft.entity(Entity::Model(Model {
        name: Some(origins.name("model")),
        files,
        dtype: serde_json::to_value(result.settings.weights)?
            .as_str()
            .map(str::to_owned),
        ..Model::default()
    }));
    let how = Some("merge".to_owned());
    draft.edge(model, from, Relation::InitialisedFrom { how });
    Ok(draft)
}

/// The draft of scored rows: a verdict on the model.
pub fn scored(
    origins: &Origins<'_>,
    subject: &Subject,
    rows: &RowFile,
    result: &ScoreResult,
) -> Result<Draft> {
    let mut draft = Draft::observed();
    let model = subject_model(&mut draft, subject)?;
    let asked = rows_of(&mut draft, rows)?;
    let mut numbers = std::collections::BTreeMap::from([
        ("rows".to_owned(), result.n as f64),
        (
            "completion-tokens".to_owned(),
            result.completion_tokens as f64,
        ),
    ]);
    numbers.extend(
        result
            .mean_log_probability
            .map(|mean| ("mean-log-probability".to_owned(), mean)),
    );
    let said = Verdict {
        question: "score".to_owned(),
        outcome: "measured".to_owned(),
        scope: Some(format!("rows {}", rows.digest)),
        method: Some("log-probabilities of completions, in nats".to_owned()),
        numbers,
        reference: Some(origins.run.to_owned()),
    };
    verdict(&mut draft, said, &[model, asked]);
    Ok(draft)
}

/// Describes the model that a training step made from a start, on rows of a lesson; the step is for the caller to name.
pub(super) fn trained_model(
    draft: &mut Draft,
    origins: &Origins<'_>,
    name: Name,
    part: FitPart,
    record: &StepRecord,
    (start, lesson, rows): (EntityId, EntityId, u64),
) -> Result<EntityId> {
    let (file, adapter, how) = match part {
        FitPart::Lora => (WEIGHTS_FILE, Some("lora".to_owned()), "adapter"),
        FitPart::Full => (MODEL_FILE, None, "finetune"),
    };
    let model = draft.entity(Entity::Model(Model {
        name: Some(name),
        files: vec![weights(origins, file, record)?],
        adapter,
        dtype: Some("f32".to_owned()),
        ..Model::default()
    }));
    let how = Some(how.to_owned());
    draft
        .edge(model, start, Relation::InitialisedFrom { how })
        .edge(model, lesson, Relation::TrainedOn { rows: Some(rows) });
    Ok(model)
}

/// Returns the weights that a training step stored, called `file`.
pub(super) fn weights(
    origins: &Origins<'_>,
    file: &str,
    record: &StepRecord,
) -> Result<FileDigest> {
    let digest = record.outputs.get("weights");
    origins.object(file, digest.context("a training step has weights")?)
}

/// Describes rows that a step wrote into the store; returns them and their number.
pub(super) fn stored_rows(
    draft: &mut Draft,
    origins: &Origins<'_>,
    digest: &Digest,
    (name, channel): (Name, Option<&str>),
) -> Result<(EntityId, u64)> {
    let bytes = origins.store.get(digest)?;
    let rows = read_rows(&bytes[..], Some("")).context("stored rows cannot be read")?;
    let dataset = draft.entity(Entity::Dataset(Dataset {
        name: Some(name),
        files: vec![origins.object("rows.jsonl", digest)?],
        row_set: Some(rows.digest),
        rows: Some(rows.n),
        channel: channel.map(str::to_owned),
        origin: Some(Origin::Models),
    }));
    Ok((dataset, rows.n))
}

/// Returns the digest of rows, whatever their order.
pub(super) fn row_set(file: &RowFile) -> Result<Digest> {
    let digests = file
        .rows
        .iter()
        .map(|row| Ok(row_digest(&canonical_json(row)?)?))
        .collect::<Result<Vec<Digest>>>()?;
    Ok(row_set_digest(digests))
}

/// Describes a model that was opened, with its adapter; returns the younger of the two.
pub(super) fn subject_model(draft: &mut Draft, subject: &Subject) -> Result<EntityId> {
    let config = subject.open.config();
    let files = subject.files.iter().filter(|file| is_weights(&file.name));
    let base = draft.entity(Entity::Model(Model {
        name: Some(typed_name(&subject.name)),
        files: files
            .map(|file| FileDigest {
                name: file.name.clone(),
                bytes: Some(file.bytes),
                sha256: file.sha256,
                blake3: Some(file.blake3),
            })
            .collect(),
        tokenizer: Some(subject.vocabulary),
        architecture: Some(format!("{} layers, width {}", config.layers, config.width)),
        engine: Some(concat!("undertone ", env!("CARGO_PKG_VERSION")).to_owned()),
        ..Model::default()
    }));
    let Some(adapter) = &subject.adapter else {
        return Ok(base);
    };
    let folder = Path::new(&adapter.name);
    let adapter = draft.entity(Entity::Model(Model {
        name: Some(typed_name(&adapter.name)),
        files: vec![digest_file(&folder.join(WEIGHTS_FILE))?],
        adapter: Some("lora".to_owned()),
        ..Model::default()
    }));
    let how = Some("adapter".to_owned());
    draft.edge(adapter, base, Relation::InitialisedFrom { how });
    Ok(adapter)
}

/// Describes rows that were read from a file, or typed.
fn rows_of(draft: &mut Draft, file: &RowFile) -> Result<EntityId> {
    if file.path.is_file() {
        let name = file.path.file_name().map(|name| name.to_string_lossy());
        let options = JsonlOptions {
            name: name.map(|name| Name::new("local", &name)),
            ..JsonlOptions::default()
        };
        let imported = import_jsonl(&file.path, options)?;
        draft.extend(imported.draft);
        return Ok(imported.subject);
    }
    Ok(draft.entity(Entity::Dataset(Dataset {
        rows: Some(file.rows.len() as u64),
        row_set: Some(row_set(file)?),
        origin: Some(Origin::People),
        ..Dataset::default()
    })))
}

/// A name as typed: of the hub, of the registry, or the last part of a path, whose folders are nobody's business.
fn typed_name(text: &str) -> Name {
    if let Some(name) = text.strip_prefix("hf:") {
        let (name, revision) = match name.split_once('@') {
            Some((name, revision)) => (name, Some(revision.to_owned())),
            None => (name, None),
        };
        return Name {
            authority: "hf".to_owned(),
            name: name.to_owned(),
            revision,
        };
    }
    let path = Path::new(text);
    match path.exists() {
        true => {
            let last = path.file_name().map(|name| name.to_string_lossy());
            Name::new("local", last.as_deref().unwrap_or(text))
        }
        false => Name::new("registry", text),
    }
}

fn is_weights(name: &str) -> bool {
    WEIGHT_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

pub(super) fn recorded(origins: &Origins<'_>, identity: &StepIdentity) -> Result<StepRecord> {
    let record = origins.store.lookup_step(identity)?;
    record.with_context(|| format!("step `{}` of a finished run is not recorded", identity.kind))
}

fn done(draft: &mut Draft, origins: &Origins<'_>, identity: &StepIdentity) -> Result<EntityId> {
    Ok(step(draft, &recorded(origins, identity)?))
}
