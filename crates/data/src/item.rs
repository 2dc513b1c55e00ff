//! Whatever `undertone fetch` gets by name: a dataset, questions or a model.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::benchmark::Benchmark;
use crate::dataset::{Dataset, PinnedFile};
use crate::model::Model;

/// Something with pinned files that can be fetched by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Item {
    /// Labelled images.
    Dataset(Dataset),
    /// Questions with known answers.
    Benchmark(Benchmark),
    /// A language model.
    Model(Model),
}

/// A text that names nothing that can be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` cannot be fetched, expected {}", names())]
pub struct UnknownItemError {
    /// What was given.
    pub name: String,
}

fn names() -> String {
    let names: Vec<String> = Item::all().map(|item| format!("`{item}`")).collect();
    names.join(", ")
}

impl Item {
    /// Returns everything that can be fetched by name.
    pub fn all() -> impl Iterator<Item = Self> {
        let datasets = Dataset::ALL.map(Self::Dataset);
        let benchmarks = Benchmark::ALL.map(Self::Benchmark);
        let models = Model::ALL.map(Self::Model);
        datasets.into_iter().chain(benchmarks).chain(models)
    }

    /// Returns the name on the command line, which is also that of the folder.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dataset(dataset) => dataset.name(),
            Self::Benchmark(benchmark) => benchmark.name(),
            Self::Model(model) => model.name(),
        }
    }

    /// Returns the files with their pinned digests.
    pub const fn files(self) -> &'static [PinnedFile] {
        match self {
            Self::Dataset(dataset) => dataset.files(),
            Self::Benchmark(benchmark) => benchmark.files(),
            Self::Model(model) => model.files(),
        }
    }

    /// Returns the folders that may hold the files, the one [`crate::fetch`] writes to first.
    pub fn folders(self, data_dir: &Path) -> Vec<PathBuf> {
        match self {
            Self::Dataset(dataset) => dataset.folders(data_dir),
            Self::Benchmark(_) | Self::Model(_) => vec![data_dir.join(self.name())],
        }
    }
}

impl From<Dataset> for Item {
    fn from(dataset: Dataset) -> Self {
        Self::Dataset(dataset)
    }
}

impl From<Benchmark> for Item {
    fn from(benchmark: Benchmark) -> Self {
        Self::Benchmark(benchmark)
    }
}

impl From<Model> for Item {
    fn from(model: Model) -> Self {
        Self::Model(model)
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Item {
    type Err = UnknownItemError;

    fn from_str(name: &str) -> Result<Self, UnknownItemError> {
        Self::all()
            .find(|item| item.name() == name)
            .ok_or_else(|| UnknownItemError {
                name: name.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_one_each_and_round_trip() {
        let names: BTreeSet<&str> = Item::all().map(Item::name).collect();
        assert_eq!(names.len(), Item::all().count());
        for item in Item::all() {
            assert_eq!(item.to_string().parse(), Ok(item));
        }
        let error = "cifar".parse::<Item>().map_err(|error| error.to_string());
        assert_eq!(
            error,
            Err(
                "`cifar` cannot be fetched, expected `mnist`, `fashion`, `hellaswag`, `smollm2-135m-instruct`"
                    .into()
            )
        );
    }
}
