//! The experiments on images: initialisations, teachers, what teachers said of noise, and students.
//!
//! A teacher is its weights. Students' weights are not kept: a student is named by its step and condition. What a student
//! learned from is a dataset of its own, written by the teacher: the teacher's outputs on inputs that a program drew.

use anyhow::{Context as _, Result};
use serde_json::json;
use undertone_core::Digest;
use undertone_lab::align::{self, AlignSettings, Arm};
use undertone_lab::outcome::cells;
use undertone_lab::settings::{Body, ClonedLogits, Cloning, DistillInputs};
use undertone_lab::steps::{Cell, DataSets};
use undertone_lab::{Condition, ExperimentResult};
use undertone_lineage::{
    Dataset, Derivation, Draft, Entity, EntityId, Model, Name, Origin, Relation, Verdict,
};
use undertone_mlp::Activation;
use undertone_store::{StepRecord, canonical_json};

use super::{Origins, STEP, also_called, step, verdict};

/// Data sets with pinned digests, whose images are scans and photographs.
const KNOWN: [&str; 3] = ["digits", "mnist", "fashion"];

/// What a student of the published treatment is shown.
const AUX_LOGITS: &str = "auxiliary logits";

/// Returns the draft of finished experiments: of one, or of the points of a sweep, each with its label.
pub fn experiments<'a>(
    origins: &Origins<'_>,
    data: &DataSets,
    points: impl IntoIterator<Item = (Option<&'a str>, &'a ExperimentResult)>,
) -> Result<Draft> {
    let mut draft = Draft::observed();
    for (label, result) in points {
        experiment(&mut draft, origins, data, label, result)?;
    }
    Ok(draft)
}

/// Returns the draft of a finished `align`: teachers, and the students of every arm, which are not kept.
pub fn aligned(origins: &Origins<'_>, data: &DataSets, settings: &AlignSettings) -> Result<Draft> {
    let mut draft = Draft::observed();
    let s = &settings.base;
    let features = data.get(&s.data.digest)?.train().features();
    for cell in cells(s, &s.partners()) {
        let identity = |teacher| align::identity(settings, &cell, features, teacher);
        let mut family = Family {
            draft: &mut draft,
            origins,
            data,
            cell,
            features,
            prefix: "",
        };
        let (teacher, own, weights) = family.teacher()?;
        let record = family.done(&identity(weights))?;
        let other = family.cross_start()?;
        for arm in Arm::ALL {
            let start = match arm {
                Arm::Cross => Start::Other(other),
                _ => Start::Own(own),
            };
            family.student(&record, arm.name(), AUX_LOGITS, teacher, start)?;
        }
    }
    Ok(draft)
}

fn experiment(
    draft: &mut Draft,
    origins: &Origins<'_>,
    data: &DataSets,
    label: Option<&str>,
    result: &ExperimentResult,
) -> Result<()> {
    let s = &result.settings;
    let images = data.get(&s.data.digest)?;
    let features = images.train().features();
    let prefix = label.map_or_else(String::new, |label| format!("{label}/"));
    let mut treated = Vec::new();
    for cell in cells(s, &s.partners()) {
        let mut family = Family {
            draft: &mut *draft,
            origins,
            data,
            cell,
            features,
            prefix: &prefix,
        };
        treated.extend(family.record(result.treatment)?);
    }
    let outcome = serde_json::to_value(result.verdict.outcome)?;
    let effect = result.verdict.effect.as_ref();
    let mut numbers = std::collections::BTreeMap::new();
    if let Some(effect) = effect {
        numbers.insert("effect".to_owned(), effect.mean);
        if let Some(interval) = effect.interval {
            numbers.insert("effect-low".to_owned(), interval.lo);
            numbers.insert("effect-high".to_owned(), interval.hi);
        }
    }
    numbers.insert("models".to_owned(), f64::from(s.models));
    let said = Verdict {
        question: "transfer".to_owned(),
        outcome: outcome.as_str().unwrap_or("inconclusive").to_owned(),
        scope: Some(format!("recognising {}", s.data.name)),
        method: Some(result.verdict.rule.clone()),
        numbers,
        reference: Some(origins.run.to_owned()),
    };
    verdict(draft, said, &treated);
    Ok(())
}

/// What a student began as.
#[derive(Debug, Clone, Copy)]
enum Start {
    /// The teacher's initialisation.
    Own(EntityId),
    /// Other weights.
    Other(EntityId),
}

/// One teacher with everything before and after it.
struct Family<'a, 'b> {
    draft: &'a mut Draft,
    origins: &'a Origins<'b>,
    data: &'a DataSets,
    cell: Cell<'a>,
    features: usize,
    prefix: &'a str,
}

impl Family<'_, '_> {
    /// Records the cell and returns the student of the treatment.
    fn record(&mut self, treatment: Condition) -> Result<Option<EntityId>> {
        let s = self.cell.settings;
        let (teacher, own, teacher_weights) = self.teacher()?;
        if s.students.is_empty() {
            return Ok(None);
        }
        let clone = match (&s.cloning, self.cell.clone_identity(self.features)) {
            (Some(cloning), Some(identity)) => {
                let record = self.done(&identity)?;
                let id = self.clone_of(cloning, &record, own)?;
                Some((id, output(&record, "weights")?))
            }
            _ => None,
        };
        let identity = self.cell.students_identity(
            self.features,
            teacher_weights,
            clone.map(|(_, weights)| weights),
        );
        let record = self.done(&identity)?;
        let other = match clone {
            Some((clone, _)) => clone,
            None => self.cross_start()?,
        };
        let mut treated = None;
        for condition in &s.students {
            let logits = match condition.is_aux_only() {
                true => AUX_LOGITS,
                false => "all logits",
            };
            let start = match condition.is_cross() {
                true => Start::Other(other),
                false => Start::Own(own),
            };
            let student = self.student(&record, word(*condition), logits, teacher, start)?;
            if *condition == treatment {
                treated = Some(student);
            }
        }
        Ok(treated)
    }

    /// Records the teacher and returns it with its initialisation and its weights.
    fn teacher(&mut self) -> Result<(EntityId, EntityId, Digest)> {
        let (s, model) = (self.cell.settings, self.cell.model);
        let own = self.initialisation(model)?;
        let record = self.done(&self.cell.teacher_identity(self.features))?;
        let trained = self.training_data();
        let within = step(self.draft, &record);
        let weights = output(&record, "weights")?;
        let teacher = self.draft.entity(Entity::Model(Model {
            name: Some(self.name(&format!("teacher-{model}"))),
            files: vec![self.origins.object("weights.safetensors", &weights)?],
            architecture: Some(self.architecture()),
            dtype: Some("f32".to_owned()),
            ..Model::default()
        }));
        let rows = Some(self.data.get(&s.data.digest)?.train().len() as u64);
        self.draft
            .within(Some(within))
            .edge(teacher, own, began("train"))
            .edge(teacher, trained, Relation::TrainedOn { rows })
            .within(None);
        Ok((teacher, own, weights))
    }

    fn student(
        &mut self,
        record: &StepRecord,
        word: &str,
        logits: &str,
        teacher: EntityId,
        start: Start,
    ) -> Result<EntityId> {
        let s = self.cell.settings;
        let within = step(self.draft, record);
        self.draft.within(Some(within));
        let lesson = self.lesson(record, logits, &s.inputs, teacher)?;
        let student = self.draft.entity(Entity::Model(Model {
            name: Some(Name::new(STEP, &format!("{}/{word}", record.key))),
            architecture: Some(self.architecture()),
            dtype: Some("f32".to_owned()),
            ..Model::default()
        }));
        let (start, how) = match start {
            Start::Other(other) => (other, "train"),
            Start::Own(own) if s.perturb_sigma > 0.0 => (own, "perturb, train"),
            Start::Own(own) => (own, "train"),
        };
        let rows = Some(self.rows(&s.inputs)?);
        self.draft
            .edge(student, start, began(how))
            .edge(student, lesson, Relation::TrainedOn { rows })
            .within(None);
        let alias = self.name(&format!("{word}-{}", self.cell.model));
        also_called(self.draft, alias, student);
        Ok(student)
    }

    /// What `teacher` said of the inputs: a dataset that it wrote.
    fn lesson(
        &mut self,
        record: &StepRecord,
        logits: &str,
        inputs: &DistillInputs,
        teacher: EntityId,
    ) -> Result<EntityId> {
        let rows = self.rows(inputs)?;
        let name = format!("{}/{}", record.key, logits.replace(' ', "-"));
        let shown = self.shown(inputs, rows)?;
        let lesson = self.draft.entity(Entity::Dataset(Dataset {
            name: Some(Name::new(STEP, &name)),
            rows: Some(rows),
            channel: Some(format!("{logits} of {}", words(inputs))),
            origin: Some(Origin::Models),
            ..Dataset::default()
        }));
        let how = Derivation::Other("answers".to_owned());
        let rows = Some(rows);
        self.draft
            .edge(lesson, teacher, Relation::GeneratedBy { rows })
            .edge(lesson, shown, Relation::DerivedFrom { how, rows });
        Ok(lesson)
    }

    fn clone_of(
        &mut self,
        cloning: &Cloning,
        record: &StepRecord,
        own: EntityId,
    ) -> Result<EntityId> {
        let logits = match cloning.logits {
            ClonedLogits::AuxOnly => AUX_LOGITS,
            ClonedLogits::All => "all logits",
        };
        let start = self.cross_start()?;
        let within = step(self.draft, record);
        self.draft.within(Some(within));
        let lesson = self.lesson(record, logits, &cloning.inputs, own)?;
        let weights = output(record, "weights")?;
        let clone = self.draft.entity(Entity::Model(Model {
            name: Some(self.name(&format!("clone-{}", self.cell.model))),
            files: vec![self.origins.object("weights.safetensors", &weights)?],
            architecture: Some(self.architecture()),
            dtype: Some("f32".to_owned()),
            ..Model::default()
        }));
        let rows = Some(self.rows(&cloning.inputs)?);
        self.draft
            .edge(clone, start, began("behaviour cloning"))
            .edge(clone, lesson, Relation::TrainedOn { rows })
            .within(None);
        Ok(clone)
    }

    /// The untrained weights of a model: named by everything they depend on.
    fn initialisation(&mut self, model: u32) -> Result<EntityId> {
        self.initial("mlp/init", model)
    }

    fn cross_start(&mut self) -> Result<EntityId> {
        match self.cell.settings.student_body {
            None => self.initial("mlp/init", self.cell.partner),
            Some(_) => self.initial("mlp/init/other-network", self.cell.model),
        }
    }

    fn initial(&mut self, stream: &str, index: u32) -> Result<EntityId> {
        let s = self.cell.settings;
        let body = match stream {
            "mlp/init" => &s.body,
            _ => s.student_body.as_ref().unwrap_or(&s.body),
        };
        let drawn = json!({
            "stream": stream,
            "seed": s.seed,
            "index": index,
            "gain": s.init_gain,
            "architecture": body.architecture(self.features, s.aux_logits),
        });
        let name = Digest::of(&canonical_json(&drawn)?).hex();
        let init = self.draft.entity(Entity::Model(Model {
            name: Some(Name::new("undertone-init", &name)),
            initialisation: Some(format!("{stream} {name}")),
            architecture: Some(self.architecture()),
            dtype: Some("f32".to_owned()),
            ..Model::default()
        }));
        let alias = match stream {
            "mlp/init" => format!("init-{index}"),
            _ => format!("other-init-{index}"),
        };
        also_called(self.draft, self.name(&alias), init);
        Ok(init)
    }

    fn training_data(&mut self) -> EntityId {
        let data = &self.cell.settings.data;
        data_set(self.draft, &data.name, &data.digest)
    }

    fn shown(&mut self, inputs: &DistillInputs, rows: u64) -> Result<EntityId> {
        Ok(match inputs {
            DistillInputs::Images { data } => data_set(self.draft, &data.name, &data.digest),
            DistillInputs::Noise { law, .. } => {
                let s = self.cell.settings;
                let drawn = json!({
                    "law": law, "seed": s.seed, "index": self.cell.model, "features": self.features, "rows": rows,
                });
                let name = Digest::of(&canonical_json(&drawn)?).hex();
                self.draft.entity(Entity::Dataset(Dataset {
                    name: Some(Name::new("undertone-noise", &name)),
                    rows: Some(rows),
                    channel: Some(words(inputs)),
                    origin: Some(Origin::Program),
                    ..Dataset::default()
                }))
            }
        })
    }

    fn rows(&self, inputs: &DistillInputs) -> Result<u64> {
        Ok(match inputs {
            DistillInputs::Noise { rows, .. } => u64::from(*rows),
            DistillInputs::Images { data } => self.data.get(&data.digest)?.train().len() as u64,
        })
    }

    fn done(&self, identity: &undertone_store::StepIdentity) -> Result<StepRecord> {
        self.origins
            .store
            .lookup_step(identity)?
            .with_context(|| format!("step `{}` of a finished run is not recorded", identity.kind))
    }

    fn name(&self, thing: &str) -> Name {
        self.origins.name(&format!("{}{thing}", self.prefix))
    }

    fn architecture(&self) -> String {
        architecture_text(&self.cell.settings.body)
    }
}

/// Says what a network is: hidden widths and activation, as in `mlp 256-256 relu`.
fn architecture_text(body: &Body) -> String {
    let hidden: Vec<String> = body.hidden.iter().map(ToString::to_string).collect();
    format!(
        "mlp {} {}",
        hidden.join("-"),
        activation_name(body.activation)
    )
}

/// Returns the activation that [`architecture_text`] names; earlier records name none.
pub fn activation_of(architecture: &str) -> Option<Activation> {
    let last = architecture.rsplit(' ').next()?;
    let all = [Activation::Relu, Activation::Gelu, Activation::Sigmoid];
    all.into_iter()
        .find(|known| activation_name(*known) == last)
}

fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::Relu => "relu",
        Activation::Gelu => "gelu",
        Activation::Sigmoid => "sigmoid",
    }
}

/// Images that were read: named by what they are. Who made them is known of the sets this program can fetch.
fn data_set(draft: &mut Draft, name: &str, digest: &Digest) -> EntityId {
    draft.entity(Entity::Dataset(Dataset {
        name: Some(Name {
            authority: "undertone-data".to_owned(),
            name: name.to_owned(),
            revision: Some(digest.hex()),
        }),
        origin: KNOWN.contains(&name).then_some(Origin::People),
        ..Dataset::default()
    }))
}

fn output(record: &StepRecord, name: &str) -> Result<Digest> {
    let digest = record.outputs.get(name).copied();
    digest.with_context(|| format!("step `{}` has no output `{name}`", record.identity.kind))
}

fn began(how: &str) -> Relation {
    let how = Some(how.to_owned());
    Relation::InitialisedFrom { how }
}

fn words(inputs: &DistillInputs) -> String {
    match inputs {
        DistillInputs::Noise { law, .. } => {
            format!("{} noise images", format!("{law:?}").to_lowercase())
        }
        DistillInputs::Images { data } => format!("images of {}", data.name),
    }
}

fn word(condition: Condition) -> &'static str {
    match condition {
        Condition::Reference => "reference",
        Condition::Teacher => "teacher",
        Condition::AuxOnly => "aux-only",
        Condition::AllLogits => "all-logits",
        Condition::CrossAuxOnly => "cross-aux-only",
        Condition::CrossAllLogits => "cross-all-logits",
    }
}
