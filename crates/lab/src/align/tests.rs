//! Whole alignment runs on the embedded digits, in seconds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use undertone_core::Seed;
use undertone_data::digits;
use undertone_mlp::{NoiseLaw, Optimiser};
use undertone_store::{Store, canonical_json};

use super::*;
use crate::control::{Control, News};
use crate::error::LabError;
use crate::outcome::{self, VerdictRule};
use crate::settings::{Condition, DataIdentity, DistillInputs, MlpSettings};
use crate::steps::{Bench, DataSets};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Enough models and auxiliary logits that the effect is unmistakable.
fn base() -> MlpSettings {
    let data = DataIdentity {
        name: "digits".to_owned(),
        digest: digits().digest(),
    };
    let mut base = MlpSettings::published(data, Seed(5));
    base.models = 4;
    base.body.hidden = vec![64, 64];
    base.aux_logits = 20;
    base.inputs = DistillInputs::Noise {
        law: NoiseLaw::Uniform,
        rows: 1_024,
    };
    for (phase, epochs) in [(&mut base.teacher, 8), (&mut base.student, 6)] {
        phase.epochs = epochs;
        phase.batch = 64;
        phase.optimiser = Optimiser::adam(2e-3);
    }
    base
}

fn settings() -> AlignSettings {
    AlignSettings {
        every: 8,
        probe: 256,
        ..AlignSettings::new(base())
    }
}

fn plain_sgd() -> AlignSettings {
    let mut settings = settings();
    settings.base.models = 2;
    settings.base.student.optimiser = Optimiser::Sgd {
        learning_rate: 0.05,
        momentum: 0.0,
    };
    settings.base.student.epochs = 2;
    settings
}

/// A store, the digits, and a count of what was done.
struct Place {
    store: Store,
    data: DataSets,
    worked: AtomicU64,
    /// Ask for an end once so many model-epochs were worked.
    patience: u64,
    stop: AtomicBool,
    _folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let mut data = DataSets::default();
        data.insert(digits());
        Ok(Self {
            store: Store::open(folder.path().join("store"))?,
            data,
            worked: AtomicU64::new(0),
            patience: u64::MAX,
            stop: AtomicBool::new(false),
            _folder: folder,
        })
    }

    fn with<T>(&self, work: impl FnOnce(&Bench<'_>) -> Result<T, LabError>) -> Result<T, LabError> {
        let news = |news: News| {
            if let News::Worked { units } = news {
                let worked = self.worked.fetch_add(units, Ordering::Relaxed) + units;
                if worked >= self.patience {
                    self.stop.store(true, Ordering::Relaxed);
                }
            }
        };
        let control = Control {
            stop: &self.stop,
            news: &news,
        };
        work(&Bench {
            store: &self.store,
            data: &self.data,
            control: &control,
            turns: Default::default(),
        })
    }

    fn run(&self, settings: &AlignSettings, threads: usize) -> Result<AlignResult, LabError> {
        self.with(|bench| run(settings, VerdictRule::default(), threads, bench))
    }
}

#[test]
fn explore() -> Outcome {
    let mut variants = vec![settings(), plain_sgd()];
    let mut s = settings();
    s.base.student.optimiser = Optimiser::Sgd { learning_rate: 0.3, momentum: 0.0 };
    s.base.student.epochs = 20;
    variants.push(s);
    for settings in variants {
        let t = std::time::Instant::now();
        let r = Place::new()?.run(&settings, 2)?;
        let mut out = String::new();
        for a in &r.arms {
            let f = |p: &[Point]| p.iter().map(|p| format!("{:.3} ", p.estimate.as_ref().map_or(f64::NAN, |e| e.mean))).collect::<String>();
            out += &format!("{:?}\n cos {}\n app {}\n upd {}\n acc {}\n ep {:?} removed {:?}\n", a.arm, f(&a.cosine), f(&a.applied_cosine), f(&a.update_cosine), f(&a.accuracy), a.per_model, a.mean_removed.as_ref().map(|e| e.mean));
        }
        std::fs::write("/tmp/align-explore.txt", std::fs::read_to_string("/tmp/align-explore.txt").unwrap_or_default() + &format!("{:?}\n{out}\n{:#?} {:#?} {:?}\n", t.elapsed(), r.summary, r.left_out, r.conclusion))?;
    }
    Ok(())
}
