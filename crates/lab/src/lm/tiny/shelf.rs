//! Tiny decoders by name, made when first asked for: what an experiment's file calls `tiny-smoke-1`.
//!
//! ```text
//! tiny-PRESET-SEED            a base, trained from scratch
//! tiny-PRESET-SEED-as-OTHER   that base, trained on to behave like the base of seed OTHER
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use undertone_core::Seed;
use undertone_store::StepIdentity;

use super::base::{TinyBase, TinyResult};
use super::clone::{CloneSettings, clone_job};
use super::settings::{TinyPreset, TinySettings};
use crate::error::LabError;
use crate::lm::LmBench;
use crate::lm::subject::Subject;
use crate::lm::train::Means;

/// The seed of a clone's order of rows.
const CLONING: Seed = Seed(9);

/// What a name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TinyName {
    /// Size and training.
    pub preset: TinyPreset,
    /// What its initial weights are drawn with.
    pub seed: Seed,
    /// The seed of the base that it is made to behave like.
    pub clone_of: Option<Seed>,
}

impl TinyName {
    /// Reads a name; `None` if it names no tiny decoder.
    pub fn parse(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("tiny-")?;
        let presets = [
            ("smoke-", TinyPreset::Smoke),
            ("default-", TinyPreset::Default),
        ];
        let mut known = presets.into_iter();
        let (seeds, preset) =
            known.find_map(|(word, preset)| Some((rest.strip_prefix(word)?, preset)))?;
        let (own, other) = match seeds.split_once("-as-") {
            Some((own, other)) => (own, Some(other)),
            None => (seeds, None),
        };
        let seed = |text: &str| text.parse().ok().map(Seed);
        let own = seed(own)?;
        let clone_of = match other {
            // A base that imitates itself is no clone.
            Some(other) => Some(seed(other).filter(|other| *other != own)?),
            None => None,
        };
        Some(Self {
            preset,
            seed: own,
            clone_of,
        })
    }
}

/// Makes tiny decoders and finds those that were made.
pub struct TinyShelf<'a> {
    bench: LmBench<'a>,
    means: Means<'a>,
    /// By name; a corpus is drawn and encoded once.
    bases: RefCell<BTreeMap<String, Rc<TinyBase>>>,
    /// By name; what was made or found once is not looked for again.
    subjects: RefCell<BTreeMap<String, Subject>>,
}

impl<'a> TinyShelf<'a> {
    /// Begins with none.
    pub fn new(bench: LmBench<'a>, means: Means<'a>) -> Self {
        Self {
            bench,
            means,
            bases: RefCell::default(),
            subjects: RefCell::default(),
        }
    }

    /// Returns the model, training it if the store has it not; `word` is what records call it.
    ///
    /// # Errors
    /// If the store fails, training diverges, or the work is asked to stop; the state is kept then.
    pub fn subject(&self, name: TinyName, word: &str) -> Result<Subject, LabError> {
        let Some(other) = name.clone_of else {
            return self.of_seed(name.preset, name.seed);
        };
        self.once(word, || {
            let (start, original, corpus) = self.pair(name, other)?;
            let job = clone_job(&settings_of(&corpus), &start, &original, corpus.rows())?;
            let record = job.step(&self.bench, self.means)?;
            start.tuned(word, job.full_weights(&self.bench, &record)?)
        })
    }

    /// Returns what a name's model came from, each with its name: its base, and the base it was made to resemble.
    ///
    /// # Errors
    /// If a base has no shape.
    pub fn bases(&self, name: TinyName) -> Result<Vec<(String, Rc<TinyBase>)>, LabError> {
        let seeds = std::iter::once(name.seed).chain(name.clone_of);
        seeds
            .map(|seed| Ok((base_name(name.preset, seed), self.base(name.preset, seed)?)))
            .collect()
    }

    /// Returns the step that made a base a clone; `None` for a name that is no clone's.
    ///
    /// # Errors
    /// As [`TinyShelf::subject`].
    pub fn cloning(&self, name: TinyName) -> Result<Option<StepIdentity>, LabError> {
        let Some(other) = name.clone_of else {
            return Ok(None);
        };
        let (start, original, corpus) = self.pair(name, other)?;
        let job = clone_job(&settings_of(&corpus), &start, &original, corpus.rows())?;
        Ok(Some(job.identity()))
    }

    /// Returns what the training of a base gave.
    ///
    /// # Errors
    /// As [`TinyShelf::subject`].
    pub fn result(&self, base: &TinyBase) -> Result<TinyResult, LabError> {
        base.result(&self.bench, self.means)
    }

    /// Returns what is cloned, what it is to resemble, and the corpus of both.
    fn pair(
        &self,
        name: TinyName,
        other: Seed,
    ) -> Result<(Subject, Subject, Rc<TinyBase>), LabError> {
        Ok((
            self.of_seed(name.preset, name.seed)?,
            self.of_seed(name.preset, other)?,
            self.base(name.preset, name.seed)?,
        ))
    }

    fn of_seed(&self, preset: TinyPreset, seed: Seed) -> Result<Subject, LabError> {
        let word = base_name(preset, seed);
        self.once(&word, || {
            let base = self.base(preset, seed)?;
            let job = base.job()?;
            let record = job.step(&self.bench, self.means)?;
            base.start()
                .tuned(&word, job.full_weights(&self.bench, &record)?)
        })
    }

    fn once(
        &self,
        word: &str,
        make: impl FnOnce() -> Result<Subject, LabError>,
    ) -> Result<Subject, LabError> {
        if let Some(known) = self.subjects.borrow().get(word) {
            return Ok(known.clone());
        }
        let subject = make()?;
        let mut all = self.subjects.borrow_mut();
        all.insert(word.to_owned(), subject.clone());
        Ok(subject)
    }

    fn base(&self, preset: TinyPreset, seed: Seed) -> Result<Rc<TinyBase>, LabError> {
        let key = base_name(preset, seed);
        if let Some(base) = self.bases.borrow().get(&key) {
            return Ok(Rc::clone(base));
        }
        let base = Rc::new(TinyBase::new(TinySettings::preset(preset, seed))?);
        self.bases.borrow_mut().insert(key, Rc::clone(&base));
        Ok(base)
    }
}

/// Returns the name of a base that is no clone.
fn base_name(preset: TinyPreset, seed: Seed) -> String {
    let preset = match preset {
        TinyPreset::Smoke => "smoke",
        TinyPreset::Default => "default",
    };
    format!("tiny-{preset}-{seed}")
}

/// A base is cloned in the way it was trained, towards another's distributions.
fn settings_of(base: &TinyBase) -> CloneSettings {
    CloneSettings {
        training: base.settings().training,
        seed: CLONING,
        precision: base.settings().precision,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_preset_and_seeds_or_are_none() {
        let smoke = |seed, clone_of: Option<u64>| {
            Some(TinyName {
                preset: TinyPreset::Smoke,
                seed: Seed(seed),
                clone_of: clone_of.map(Seed),
            })
        };
        assert_eq!(
            TinyName::parse(&base_name(TinyPreset::Smoke, Seed(1))),
            smoke(1, None)
        );
        assert_eq!(TinyName::parse("tiny-smoke-2-as-1"), smoke(2, Some(1)));
        assert_eq!(
            TinyName::parse("tiny-default-7").map(|name| name.preset),
            Some(TinyPreset::Default)
        );
        for none in [
            "tiny-llama",
            "tiny-smoke-",
            "tiny-smoke-x",
            "tiny-smoke-1-as-",
            "tiny-smoke-1-as-1",
            "tiny-smoke--1",
            "smoke-1",
        ] {
            assert_eq!(TinyName::parse(none), None, "{none}");
        }
    }
}
