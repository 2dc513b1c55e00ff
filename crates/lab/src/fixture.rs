//! A small place to work in, for the tests of this crate.

use std::sync::atomic::AtomicBool;

use undertone_core::Seed;
use undertone_data::{ImageData, digits};
use undertone_mlp::{NoiseLaw, Optimiser};
use undertone_store::Store;

use crate::control::{Control, News};
use crate::error::LabError;
use crate::settings::{DataIdentity, DistillInputs, MlpSettings};
use crate::steps::{Bench, DataSets};

/// What the tests of this crate return.
pub type TestResult<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Names a data set.
pub fn identity(data: &ImageData) -> DataIdentity {
    DataIdentity {
        name: data.name().to_owned(),
        digest: data.digest(),
    }
}

/// Three models on the digits, in milliseconds.
pub fn tiny() -> MlpSettings {
    let mut tiny = MlpSettings::published(identity(&digits()), Seed(3));
    tiny.models = 3;
    tiny.body.hidden = vec![12];
    tiny.inputs = DistillInputs::Noise {
        law: NoiseLaw::Uniform,
        rows: 128,
    };
    for phase in [&mut tiny.teacher, &mut tiny.student] {
        phase.epochs = 2;
        phase.batch = 64;
        phase.optimiser = Optimiser::adam(1e-3);
    }
    tiny
}

/// A store and the data sets.
pub struct Place {
    pub store: Store,
    pub data: DataSets,
    stop: AtomicBool,
    _folder: tempfile::TempDir,
}

impl Place {
    /// Makes an empty store, with the digits at hand.
    pub fn new() -> TestResult<Self> {
        let folder = tempfile::tempdir()?;
        let mut data = DataSets::default();
        data.insert(digits());
        Ok(Self {
            store: Store::open(folder.path().join("store"))?,
            data,
            stop: AtomicBool::new(false),
            _folder: folder,
        })
    }

    /// Does `work` at a bench of this place and returns what it gave and how many steps were stored meanwhile.
    pub fn with<T>(
        &self,
        work: impl FnOnce(&Bench<'_>) -> Result<T, LabError>,
    ) -> Result<(T, u64), LabError> {
        let stored = std::sync::atomic::AtomicU64::new(0);
        let news = |news: News| {
            if let News::Stored { .. } = news {
                stored.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        };
        let control = Control {
            stop: &self.stop,
            news: &news,
        };
        let result = work(&Bench {
            store: &self.store,
            data: &self.data,
            control: &control,
            turns: Default::default(),
        })?;
        Ok((result, stored.into_inner()))
    }
}
