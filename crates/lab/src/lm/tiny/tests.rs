//! A tiny decoder end to end, smaller than any preset.

use std::sync::atomic::AtomicBool;

use undertone_core::Seed;
use undertone_lm::source::FileDigest;
use undertone_store::Store;

use super::clone::{CloneSettings, clone_job};
use super::corpus::noise;
use super::*;
use crate::control::Control;
use crate::error::LabError;
use crate::fixture::TestResult;
use crate::lm::merge::write_model;
use crate::lm::train::Means;
use crate::lm::{LmBench, Subject};

fn smallest(seed: u64) -> TinySettings {
    let mut settings = TinySettings::preset(TinyPreset::Smoke, Seed(seed));
    settings.shape.width = 16;
    settings.shape.heads = 2;
    settings.shape.ffn_width = 32;
    settings.shape.layers = 1;
    settings.corpus.documents = 60;
    settings.training.steps = 6;
    settings.training.batch_rows = 8;
    settings.training.warmup_steps = 1;
    settings
}

struct Place {
    store: Store,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> TestResult<Self> {
        let folder = tempfile::tempdir()?;
        let store = Store::open(folder.path().join("store"))?;
        Ok(Self { store, folder })
    }

    /// Does `work`, which is asked to stop after the first kept state if `stop`.
    fn with<T>(
        &self,
        threads: usize,
        stop: bool,
        work: impl FnOnce(&LmBench<'_>, Means<'_>) -> Result<T, LabError>,
    ) -> Result<T, LabError> {
        let flag = AtomicBool::new(false);
        let control = Control::silent(&flag);
        let bench = LmBench {
            store: &self.store,
            control: &control,
        };
        let keep_now = || {
            flag.store(stop, std::sync::atomic::Ordering::Relaxed);
            true
        };
        let means = Means {
            threads,
            kept_bytes: 1 << 24,
            keep_now: &keep_now,
        };
        work(&bench, means)
    }

    fn base(&self, settings: TinySettings, threads: usize) -> Result<Subject, LabError> {
        let base = TinyBase::new(settings)?;
        self.with(threads, false, |bench, means| base.subject(bench, means))
    }
}

#[test]
fn a_seed_gives_the_same_base_at_any_number_of_threads() -> TestResult {
    let digest = |seed, threads| -> TestResult<_> {
        Ok(Place::new()?.base(smallest(seed), threads)?.digest)
    };
    let one = digest(1, 1)?;
    assert_eq!(one, digest(1, 3)?);
    assert_ne!(one, digest(2, 1)?);
    Ok(())
}

#[test]
fn an_interrupted_base_goes_on_to_the_same_bits() -> TestResult {
    let (whole, cut) = (Place::new()?, Place::new()?);
    let expected = whole.base(smallest(1), 1)?.digest;
    let base = TinyBase::new(smallest(1))?;
    let mut ends = 0;
    let found = loop {
        match cut.with(1, true, |bench, means| base.subject(bench, means)) {
            Ok(subject) => break subject.digest,
            Err(LabError::Interrupted(_)) => ends += 1,
            Err(error) => return Err(error.into()),
        }
    };
    assert!(ends > 1, "{ends}");
    assert_eq!(found, expected);
    Ok(())
}

#[test]
fn in_memory_and_in_a_folder_it_is_the_same_model() -> TestResult {
    let place = Place::new()?;
    let subject = place.base(smallest(1), 2)?;
    let folder = place.folder.path().join("base");
    let weights = undertone_lm::merge::MergedType::F32;
    write_model(&subject, subject.checkpoint(), None, weights, &folder)?;
    let name = folder.display().to_string();
    let read = Subject::open(&name, None, place.folder.path())?;
    let digests = |files: &[FileDigest]| -> Vec<_> { files.iter().map(|f| f.blake3).collect() };
    assert_eq!(digests(&read.files), digests(&subject.files));
    assert_eq!(
        (read.digest, read.vocabulary),
        (subject.digest, subject.vocabulary)
    );
    assert_eq!(read.text.templates, subject.text.templates);
    let ends = |subject: &Subject| subject.text.tokenizer.end_tokens().to_vec();
    assert_eq!(ends(&read), ends(&subject));
    Ok(())
}

#[test]
fn a_base_learns_its_corpus_and_a_clone_its_original() -> TestResult {
    let place = Place::new()?;
    let mut settings = smallest(1);
    settings.training.steps = 30;
    let original = TinyBase::new(settings.clone())?;
    let result = place.with(2, false, |bench, means| original.result(bench, means))?;
    let losses: Vec<f64> = result.log.evaluations.iter().map(|at| at.loss).collect();
    assert_eq!(losses.len(), 2);
    assert!(losses[1] < losses[0] - 1.0, "{losses:?}");

    let original = place.base(settings.clone(), 2)?;
    assert_eq!(original.digest, result.model);
    settings.seed = Seed(2);
    let student = place.base(settings.clone(), 2)?;
    let rows = noise(Seed(0), 64, 16, result.vocabulary as u32, 0);
    let cloning = CloneSettings {
        training: settings.training,
        seed: Seed(3),
        precision: settings.precision,
    };
    let job = clone_job(&cloning, &student, &original, &rows)?;
    let log = place
        .with(2, false, |bench, means| job.result(bench, means))?
        .log;
    let (first, last) = (log.steps[0].loss, log.steps[log.steps.len() - 1].loss);
    assert!(last < 0.9 * first, "{first} {last}");
    Ok(())
}

#[test]
fn impossible_shapes_and_short_contexts_are_errors() {
    let mut odd = smallest(0);
    odd.shape.heads = 0;
    assert!(TinyBase::new(odd).is_err());
    let mut short = smallest(0);
    short.shape.context = 8;
    let base = TinyBase::new(short).expect("a short model");
    assert!(base.job().is_err());
}
