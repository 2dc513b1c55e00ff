//! The cells of an MLP experiment as steps of the store: what each depends on, and how its outputs are kept.
//!
//! ```text
//! mlp/teacher  (model, data, network, training)           -> weights, curve
//! mlp/clone    (model, untrained teacher, start, cloning)  -> weights, curve      only with behaviour cloning
//! mlp/students (model, teacher, starts, loss, inputs)      -> curves
//! ```
//! A step that the store holds is never computed again, so a sweep shares its teachers and a repeated command ends at
//! once. Raise `VERSION` whenever the same settings would give other bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use undertone_core::Digest;
use undertone_data::{ImageData, ImageSet};
use undertone_mlp::{Architecture, Loss, Trainer, Weights};
use undertone_store::{StepIdentity, StepKey, StepRecord, Store, canonical_json};

use crate::control::{Control, News};
use crate::error::LabError;
use crate::pool::Turnstile;
use crate::settings::{
    CLASSES, ClonedLogits, Cloning, Condition, DistillInputs, MlpSettings, Renewal,
};
use crate::training::{self, Curve, Lesson, Student};
use crate::weights_file;

/// The version of the code behind the steps.
const VERSION: u32 = 1;

/// The data sets of an experiment, by digest.
#[derive(Default)]
pub struct DataSets(BTreeMap<Digest, ImageData>);

impl DataSets {
    /// Adds a data set.
    pub fn insert(&mut self, data: ImageData) {
        self.0.insert(data.digest(), data);
    }

    /// Returns the data set of a digest.
    ///
    /// # Errors
    /// If it was not loaded: a bug of the caller, reported by name.
    pub fn get(&self, digest: &Digest) -> Result<&ImageData, LabError> {
        self.0
            .get(digest)
            .ok_or(LabError::DataNotLoaded { digest: *digest })
    }
}

/// What a worker needs to compute a cell.
pub struct Bench<'a> {
    /// Where finished steps are.
    pub store: &'a Store,
    /// The data.
    pub data: &'a DataSets,
    /// News and early end.
    pub control: &'a Control<'a>,
    /// Keeps two workers from computing one step.
    pub turns: Turnstile<StepKey>,
}

/// What came out of one cell: a teacher and its students.
#[derive(Debug, Clone, PartialEq)]
pub struct CellOutcome {
    /// The teacher's curve; its first accuracy is the reference's.
    pub teacher: Curve,
    /// Each student's curve.
    pub students: BTreeMap<Condition, Curve>,
    /// KL to the untrained teacher at the end of cloning, in nats.
    pub cloning_loss: Option<f64>,
}

/// One cell: a model of an experiment, with the model its cross students start from.
#[derive(Clone, Copy)]
pub struct Cell<'a> {
    /// The experiment.
    pub settings: &'a MlpSettings,
    /// Which teacher.
    pub model: u32,
    /// Whose initialisation the cross students take.
    pub partner: u32,
}

/// The curves of a students step, as stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StudentsOutput {
    curves: BTreeMap<Condition, Curve>,
}

impl Cell<'_> {
    pub(crate) fn identity(
        &self,
        kind: &str,
        params: serde_json::Value,
        inputs: BTreeMap<String, Digest>,
    ) -> StepIdentity {
        StepIdentity {
            kind: kind.to_owned(),
            version: VERSION,
            params,
            inputs,
            seed: self.settings.seed.0,
            index: u64::from(self.model),
        }
    }

    pub(crate) fn features(&self, bench: &Bench<'_>) -> Result<usize, LabError> {
        Ok(bench
            .data
            .get(&self.settings.data.digest)?
            .train()
            .features())
    }

    pub(crate) fn teacher_architecture(&self, features: usize) -> Architecture {
        self.settings
            .body
            .architecture(features, self.settings.aux_logits)
    }

    fn student_architecture(&self, features: usize) -> Architecture {
        let body = self
            .settings
            .student_body
            .as_ref()
            .unwrap_or(&self.settings.body);
        body.architecture(features, self.settings.aux_logits)
    }

    /// The teacher step.
    pub fn teacher_identity(&self, features: usize) -> StepIdentity {
        let s = self.settings;
        self.identity(
            "mlp/teacher",
            json!({
                "architecture": self.teacher_architecture(features),
                "init_gain": s.init_gain,
                "training": s.teacher,
                "precision": s.precision,
            }),
            BTreeMap::from([("data".to_owned(), s.data.digest)]),
        )
    }

    /// The cloning step, if there is one.
    pub fn clone_identity(&self, features: usize) -> Option<StepIdentity> {
        let s = self.settings;
        let cloning = s.cloning.as_ref()?;
        Some(self.identity(
            "mlp/clone",
            json!({
                "teacher_architecture": self.teacher_architecture(features),
                "student_architecture": self.student_architecture(features),
                "partner": self.start_index(),
                "init_gain": s.init_gain,
                "cloning": cloning,
                "precision": s.precision,
            }),
            image_digests(&cloning.inputs),
        ))
    }

    /// The students step, given the digests of the teacher and the clone it reads.
    pub fn students_identity(
        &self,
        features: usize,
        teacher: Digest,
        clone: Option<Digest>,
    ) -> StepIdentity {
        let s = self.settings;
        let mut inputs = image_digests(&s.inputs);
        inputs.insert("data".to_owned(), s.data.digest);
        inputs.insert("teacher".to_owned(), teacher);
        inputs.extend(clone.map(|clone| ("clone".to_owned(), clone)));
        self.identity(
            "mlp/students",
            json!({
                "architecture": self.student_architecture(features),
                "partner": s.students.iter().any(|c| c.is_cross()).then(|| self.start_index()),
                "init_gain": s.init_gain,
                "students": s.students,
                "perturb_sigma": s.perturb_sigma,
                "training": s.student,
                "loss": s.student_loss,
                "temperature": s.temperature,
                "inputs": s.inputs,
                "precision": s.precision,
            }),
            inputs,
        )
    }

    /// Which initialisation the cross students take: `None` where their network has draws of its own.
    fn start_index(&self) -> Option<u32> {
        self.settings.student_body.is_none().then_some(self.partner)
    }

    fn initial(&self, architecture: &Architecture, model: u32) -> Weights {
        let s = self.settings;
        Weights::initial(
            architecture,
            s.init_gain,
            &mut s.seed.stream("mlp/init", u64::from(model)),
        )
    }

    pub(crate) fn cross_start(&self, features: usize) -> Weights {
        let s = self.settings;
        match self.start_index() {
            Some(partner) => self.initial(&self.teacher_architecture(features), partner),
            None => {
                let stream = &mut s
                    .seed
                    .stream("mlp/init/other-network", u64::from(self.model));
                Weights::initial(&self.student_architecture(features), s.init_gain, stream)
            }
        }
    }

    pub(crate) fn same_start(&self, features: usize) -> Weights {
        let s = self.settings;
        let mut weights = self.initial(&self.teacher_architecture(features), self.model);
        if s.perturb_sigma > 0.0 {
            weights.perturb(
                s.perturb_sigma,
                &mut s.seed.stream("mlp/perturb", u64::from(self.model)),
            );
        }
        weights
    }

    /// Model-epochs of each step, and its identity where it can be told without computing anything.
    pub fn plan(&self, store: &Store, features: usize) -> Result<CellPlan, LabError> {
        let s = self.settings;
        let mut plan = CellPlan::default();
        let mut found =
            |identity: StepIdentity, units: u64| -> Result<Option<StepRecord>, LabError> {
                let record = store.lookup_step(&identity)?;
                if record.is_some() {
                    plan.reused += 1;
                } else {
                    plan.missing.push(identity);
                    plan.units += units;
                }
                Ok(record)
            };
        let teacher = found(self.teacher_identity(features), u64::from(s.teacher.epochs))?;
        let clone = match (&s.cloning, self.clone_identity(features)) {
            (Some(cloning), Some(identity)) => {
                Some(found(identity, u64::from(cloning.training.epochs))?)
            }
            _ => None,
        };
        if !s.students.is_empty() {
            let units = u64::from(s.student.epochs) * s.students.len() as u64;
            match (teacher, clone) {
                (Some(teacher), None) => {
                    let weights = output(&teacher, "weights")?;
                    found(self.students_identity(features, weights, None), units)?;
                }
                (Some(teacher), Some(Some(clone))) => {
                    let (teacher, clone) =
                        (output(&teacher, "weights")?, output(&clone, "weights")?);
                    found(
                        self.students_identity(features, teacher, Some(clone)),
                        units,
                    )?;
                }
                _ => {
                    plan.units += units;
                    plan.unplanned += 1;
                }
            }
        }
        Ok(plan)
    }

    /// Computes the cell, or takes from the store what is there.
    ///
    /// # Errors
    /// If the store fails, or the work is asked to stop.
    pub fn run(&self, trainer: &mut Trainer, bench: &Bench<'_>) -> Result<CellOutcome, LabError> {
        let s = self.settings;
        let features = self.features(bench)?;
        let teacher = self.teacher(trainer, bench, features)?;
        let clone = match (&s.cloning, self.clone_identity(features)) {
            (Some(cloning), Some(identity)) => Some(bench.step(identity, "mlp/clone", || {
                self.compute_clone(trainer, bench, cloning, features)
            })?),
            _ => None,
        };
        let mut outcome = CellOutcome {
            teacher: bench.read(&teacher, "curve")?,
            students: BTreeMap::new(),
            cloning_loss: None,
        };
        if let Some(clone) = &clone {
            outcome.cloning_loss = bench
                .read::<Curve>(clone, "curve")?
                .loss
                .last()
                .copied()
                .flatten();
        }
        if !s.students.is_empty() {
            let weights = output(&teacher, "weights")?;
            let cloned = clone
                .as_ref()
                .map(|clone| output(clone, "weights"))
                .transpose()?;
            let students = bench.step(
                self.students_identity(features, weights, cloned),
                "mlp/students",
                || self.compute_students(trainer, bench, features, weights, cloned),
            )?;
            outcome.students = bench.read::<StudentsOutput>(&students, "curves")?.curves;
        }
        Ok(outcome)
    }

    /// Returns the record of the teacher step, training the teacher if the store has none.
    pub(crate) fn teacher(
        &self,
        trainer: &mut Trainer,
        bench: &Bench<'_>,
        features: usize,
    ) -> Result<StepRecord, LabError> {
        let s = self.settings;
        bench.step(self.teacher_identity(features), "mlp/teacher", || {
            let start = self.initial(&self.teacher_architecture(features), self.model);
            let data = bench.data.get(&s.data.digest)?;
            let id = (s.seed, u64::from(self.model));
            let (weights, curve) =
                training::teacher(trainer, bench.control, data, &s.teacher, &start, id)?;
            Ok(BTreeMap::from([
                ("weights".to_owned(), weights_file::encode(&weights)),
                ("curve".to_owned(), json_bytes(&curve)?),
            ]))
        })
    }

    pub(crate) fn aux_loss(&self) -> Loss {
        let s = self.settings;
        Loss {
            reduction: s.student.reduction,
            temperature: s.temperature,
            ..Loss::new(s.student_loss, CLASSES..CLASSES + s.aux_logits)
        }
    }

    fn compute_clone(
        &self,
        trainer: &mut Trainer,
        bench: &Bench<'_>,
        cloning: &Cloning,
        features: usize,
    ) -> Result<BTreeMap<String, Vec<u8>>, LabError> {
        let s = self.settings;
        let untrained = self.initial(&self.teacher_architecture(features), self.model);
        let start = self.cross_start(features);
        let lesson = Lesson {
            teacher: &untrained,
            inputs: &cloning.inputs,
            images: images(bench, &cloning.inputs)?,
            training: &cloning.training,
            order: "lab/clone/order",
            renewal: cloning.renewal,
        };
        let first = match cloning.logits {
            ClonedLogits::AuxOnly => CLASSES,
            ClonedLogits::All => 0,
        };
        let loss = Loss {
            reduction: cloning.training.reduction,
            ..Loss::new(undertone_mlp::LossKind::Kl, first..CLASSES + s.aux_logits)
        };
        let group = [Student {
            start: &start,
            loss,
        }];
        let id = (s.seed, u64::from(self.model));
        let mut trained = training::students(trainer, bench.control, &lesson, &group, None, id)?;
        let (weights, curve) = trained.remove(0);
        Ok(BTreeMap::from([
            ("weights".to_owned(), weights_file::encode(&weights)),
            ("curve".to_owned(), json_bytes(&curve)?),
        ]))
    }

    fn compute_students(
        &self,
        trainer: &mut Trainer,
        bench: &Bench<'_>,
        features: usize,
        teacher: Digest,
        clone: Option<Digest>,
    ) -> Result<BTreeMap<String, Vec<u8>>, LabError> {
        let s = self.settings;
        let teacher = weights_file::decode(
            &self.teacher_architecture(features),
            &bench.store.get(&teacher)?,
        )?;
        let same = self.same_start(features);
        let cross = match clone {
            Some(clone) => weights_file::decode(
                &self.student_architecture(features),
                &bench.store.get(&clone)?,
            )?,
            None => self.cross_start(features),
        };
        let group: Vec<Student<'_>> = s
            .students
            .iter()
            .map(|condition| Student {
                start: if condition.is_cross() { &cross } else { &same },
                loss: if condition.is_aux_only() {
                    self.aux_loss()
                } else {
                    Loss {
                        logits: 0..CLASSES + s.aux_logits,
                        ..self.aux_loss()
                    }
                },
            })
            .collect();
        let lesson = Lesson {
            teacher: &teacher,
            inputs: &s.inputs,
            images: images(bench, &s.inputs)?,
            training: &s.student,
            order: "lab/student/order",
            renewal: Renewal::Fixed,
        };
        let test = bench.data.get(&s.data.digest)?.test();
        let id = (s.seed, u64::from(self.model));
        let trained = training::students(trainer, bench.control, &lesson, &group, Some(test), id)?;
        let curves = s
            .students
            .iter()
            .copied()
            .zip(trained.into_iter().map(|(_, curve)| curve))
            .collect();
        Ok(BTreeMap::from([(
            "curves".to_owned(),
            json_bytes(&StudentsOutput { curves })?,
        )]))
    }
}

/// What a cell will cost.
#[derive(Debug, Default)]
pub struct CellPlan {
    /// Model-epochs to train.
    pub units: u64,
    /// Steps found in the store.
    pub reused: u64,
    /// Steps to compute, as far as they can be named before the work.
    pub missing: Vec<StepIdentity>,
    /// Steps to compute that depend on outputs still missing.
    pub unplanned: u64,
}

impl Bench<'_> {
    /// Returns a step's record, computing it if the store has none.
    pub(crate) fn step(
        &self,
        identity: StepIdentity,
        kind: &'static str,
        compute: impl FnOnce() -> Result<BTreeMap<String, Vec<u8>>, LabError>,
    ) -> Result<StepRecord, LabError> {
        self.control.go_on()?;
        self.turns.pass(identity.key(), || {
            if let Some(record) = self.store.lookup_step(&identity)? {
                return Ok(record);
            }
            let record = self.store.commit_step(&identity, &compute()?)?;
            (self.control.news)(News::Stored {
                kind,
                index: identity.index,
                key: record.key.to_string(),
            });
            Ok(record)
        })
    }

    pub(crate) fn read<T: for<'de> Deserialize<'de>>(
        &self,
        record: &StepRecord,
        name: &'static str,
    ) -> Result<T, LabError> {
        let bytes = self.store.get(&output(record, name)?)?;
        serde_json::from_slice(&bytes).map_err(|source| LabError::Artefact { name, source })
    }
}

pub(crate) fn output(record: &StepRecord, name: &'static str) -> Result<Digest, LabError> {
    record
        .outputs
        .get(name)
        .copied()
        .ok_or(LabError::OutputMissing {
            name,
            key: record.key.to_string(),
        })
}

pub(crate) fn json_bytes(value: &impl Serialize) -> Result<Vec<u8>, LabError> {
    canonical_json(value).map_err(|source| LabError::Artefact {
        name: "curve",
        source,
    })
}

pub(crate) fn image_digests(inputs: &DistillInputs) -> BTreeMap<String, Digest> {
    match inputs {
        DistillInputs::Noise { .. } => BTreeMap::new(),
        DistillInputs::Images { data } => BTreeMap::from([("images".to_owned(), data.digest)]),
    }
}

pub(crate) fn images<'a>(
    bench: &'a Bench<'_>,
    inputs: &DistillInputs,
) -> Result<Option<&'a ImageSet>, LabError> {
    match inputs {
        DistillInputs::Noise { .. } => Ok(None),
        DistillInputs::Images { data } => Ok(Some(bench.data.get(&data.digest)?.train())),
    }
}
