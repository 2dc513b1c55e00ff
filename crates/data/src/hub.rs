//! Repositories of the Hugging Face hub: finding them in its cache on this machine, and downloading them into it.
//!
//! Behind the feature `hub`, off by default: people with internet gain any model, and everyone else would pay for its
//! dependencies. The cache is the hub's own, shared with Python's libraries. Finding never touches the network. Files of a
//! repository are not pinned; whoever uses them records their digests.
//!
//! `hf-hub` 0.5 rather than 1.0, which needs an async runtime and a second HTTP client.

#[cfg(feature = "hub")]
#[path = "hub/enabled.rs"]
mod body;
#[cfg(not(feature = "hub"))]
#[path = "hub/disabled.rs"]
mod body;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use undertone_core::Sha256Digest;

use crate::fault::Fault;

pub use body::{fetch, find};

/// The revision that is meant when none is given.
pub const DEFAULT_REVISION: &str = "main";

/// A repository of models. As text: `hf:OWNER/NAME` or `hf:OWNER/NAME@REVISION`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HubRepo {
    id: String,
    revision: Option<String>,
}

/// A text names no repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` names no repository, expected `hf:OWNER/NAME` or `hf:OWNER/NAME@REVISION` of letters, digits, `-`, `_` and `.`"
)]
pub struct ParseHubRepoError {
    /// What was given, cut to 120 characters.
    pub text: String,
}

impl HubRepo {
    /// What the text of every repository begins with.
    pub const PREFIX: &str = "hf:";

    /// Returns `OWNER/NAME`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the branch, tag or commit: the one given, else [`DEFAULT_REVISION`].
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(DEFAULT_REVISION)
    }
}

/// Whether `part` can be part of a path without leading elsewhere.
fn is_name(part: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=96).contains(&part.len())
        && part.chars().all(is_allowed)
        && !part.starts_with('.')
        && !part.contains("..")
}

impl FromStr for HubRepo {
    type Err = ParseHubRepoError;

    fn from_str(text: &str) -> Result<Self, ParseHubRepoError> {
        let parse = || {
            let rest = text.strip_prefix(Self::PREFIX)?;
            let (id, revision) = match rest.split_once('@') {
                Some((id, revision)) => (id, Some(revision)),
                None => (rest, None),
            };
            let (owner, name) = id.split_once('/')?;
            // Branches have slashes in their names.
            let is_revision = revision.is_none_or(|revision| revision.split('/').all(is_name));
            (is_name(owner) && is_name(name) && is_revision).then(|| Self {
                id: id.to_owned(),
                revision: revision.map(str::to_owned),
            })
        };
        parse().ok_or_else(|| ParseHubRepoError {
            text: text.chars().take(120).collect(),
        })
    }
}

impl fmt::Display for HubRepo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, self.id)?;
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}

/// Where the hub is reached and cached.
#[derive(Debug, Clone, Default)]
pub struct HubOptions {
    /// Touches no network: only looks whether the repository is there. Default: false.
    pub offline: bool,
    /// Address of the hub; `None` means that of `HF_ENDPOINT`, else the public one.
    pub endpoint: Option<String>,
    /// Folder of the cache; `None` means `hub` in `HF_HOME`, else in `~/.cache/huggingface`.
    pub cache: Option<PathBuf>,
}

/// What is happening, for whoever shows progress.
#[derive(Debug)]
pub enum HubEvent<'a> {
    /// The file is in the cache already.
    Present {
        /// The file.
        file: &'a str,
    },
    /// The file is being downloaded, as far as it was not.
    Download {
        /// The file.
        file: &'a str,
    },
    /// The file is there.
    Landed {
        /// The file.
        file: &'a str,
    },
}

/// A repository cannot be found or downloaded.
#[derive(Debug, thiserror::Error)]
#[error("cannot get `{repo}`")]
pub struct HubError {
    /// The repository.
    pub repo: HubRepo,
    /// Why.
    #[source]
    pub kind: Box<HubErrorKind>,
}

/// Why a repository cannot be found or downloaded.
#[derive(Debug, thiserror::Error)]
pub enum HubErrorKind {
    /// The program was built without the feature.
    #[error("this program was built without the feature `hub`; build it with `--features hub`")]
    Disabled,
    /// The repository is not in the cache.
    #[error("it is not in `{}`; `undertone fetch {repo}` gets it", cache.display())]
    NotFetched {
        /// The repository.
        repo: HubRepo,
        /// The cache.
        cache: PathBuf,
    },
    /// The repository is not in the cache and the network is not to be used.
    #[error("it is not in `{}`, and `--offline` forbids getting it", cache.display())]
    Offline {
        /// The cache.
        cache: PathBuf,
    },
    /// The repository has no weights that we read.
    #[error("it has no `config.json`, or no safetensors files")]
    NoModel,
    /// The hub cannot be reached, or refuses.
    #[error("the hub does not deliver `{file}`")]
    Api {
        /// What was asked for.
        file: String,
        /// What the client said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A downloaded file is not the one that the hub announced.
    #[error("`{file}` has the sha256 {found}, the hub announced {expected}")]
    Content {
        /// The file, which was removed.
        file: String,
        /// The announced digest.
        expected: Sha256Digest,
        /// Its digest.
        found: Sha256Digest,
    },
    /// Reading or writing the cache failed.
    #[error("cannot use `{}`", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl HubError {
    /// Returns the class of the error, which decides the exit code.
    pub fn fault(&self) -> Fault {
        match &*self.kind {
            HubErrorKind::Disabled
            | HubErrorKind::NotFetched { .. }
            | HubErrorKind::Offline { .. } => Fault::Missing,
            HubErrorKind::NoModel => Fault::Malformed,
            HubErrorKind::Content { .. } => Fault::Tampered,
            HubErrorKind::Api { .. } | HubErrorKind::Disk { .. } => Fault::Io,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_revision_round_trip() {
        for (text, id, revision) in [
            ("hf:Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B", "main"),
            ("hf:a/b@refs/pr/1", "a/b", "refs/pr/1"),
        ] {
            let repo: HubRepo = text.parse().expect("the name is right");
            assert_eq!((repo.id(), repo.revision()), (id, revision));
            assert_eq!(repo.to_string(), text);
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for text in [
            "a/b",
            "hf:",
            "hf:a",
            "hf:a/b/c",
            "hf:../b",
            "hf:a/..",
            "hf:a/b@",
            "hf:a/b@../c",
            "hf:a/b@x//y",
            "hf:a/b@/x",
            "hf:a b/c",
            "hf:a\\b/c",
        ] {
            assert!(text.parse::<HubRepo>().is_err(), "{text}");
        }
    }
}
