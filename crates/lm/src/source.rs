//! Which model is meant, and opening it.
//!
//! As text, a model is a name of our registry (`smollm2-135m-instruct`), a repository of the Hugging Face hub
//! (`hf:OWNER/NAME`, `hf:OWNER/NAME@REVISION`) or a path: of a GGUF file, or of a folder as Hugging Face's libraries save
//! it. Nothing is ever fetched here: `undertone_data` does that when told to, and a model that is not there is an error that
//! names the command that gets it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::{Digest, Sha256Digest};
use undertone_data::hub::{HubError, HubOptions, HubRepo, ParseHubRepoError};
use undertone_data::{Fault, Model};

use crate::checkpoint::Checkpoint;
use crate::config::ModelConfig;
use crate::generation::GenerationDefaults;
use crate::gguf::{Gguf, OpenGgufError, OpenGgufErrorKind};
use crate::hf::{HfFolder, OpenFolderError, OpenFolderErrorKind, ReadJsonError, WeightsError};
use crate::made::MadeModel;
pub use crate::mapped::FileDigest;
use crate::mapped::MappedFile;

/// Where a model comes from.
///
/// A path that is called like a registry name is written `./NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum ModelSource {
    /// A model of our registry, once fetched.
    Named(Model),
    /// A repository of the Hugging Face hub, once fetched.
    Hub(HubRepo),
    /// A GGUF file, or a folder with `config.json`.
    Path(PathBuf),
}

/// A text names no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseSourceError {
    /// It is empty.
    #[error("a model is a name, `hf:OWNER/NAME` or a path, not an empty text")]
    Empty,
    /// It begins with `hf:` and goes on otherwise than a repository's name.
    #[error(transparent)]
    Hub(ParseHubRepoError),
}

impl FromStr for ModelSource {
    type Err = ParseSourceError;

    fn from_str(text: &str) -> Result<Self, ParseSourceError> {
        if text.is_empty() {
            return Err(ParseSourceError::Empty);
        }
        if let Ok(model) = text.parse() {
            return Ok(Self::Named(model));
        }
        match text.starts_with(HubRepo::PREFIX) {
            true => text.parse().map(Self::Hub).map_err(ParseSourceError::Hub),
            false => Ok(Self::Path(PathBuf::from(text))),
        }
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(model) => model.fmt(f),
            Self::Hub(repo) => repo.fmt(f),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

impl TryFrom<String> for ModelSource {
    type Error = ParseSourceError;

    fn try_from(text: String) -> Result<Self, ParseSourceError> {
        text.parse()
    }
}

impl From<ModelSource> for String {
    fn from(source: ModelSource) -> Self {
        source.to_string()
    }
}

/// An opened model.
#[derive(Debug)]
pub struct OpenModel {
    /// What was asked for.
    pub source: ModelSource,
    /// Where it is.
    pub path: PathBuf,
    /// What is there.
    pub files: ModelFiles,
}

/// An opened model, by its format. Tokenizers need to know which.
#[derive(Debug)]
pub enum ModelFiles {
    /// One GGUF file.
    Gguf(Gguf),
    /// A folder as Hugging Face's libraries save it.
    Folder(HfFolder),
    /// No file: a model that was made in this process.
    Made(Box<MadeModel>),
}

impl OpenModel {
    /// Opens a model that was made in this process; in messages it is called `name`.
    pub fn made(name: &str, model: MadeModel) -> Self {
        let path = PathBuf::from(name);
        Self {
            source: ModelSource::Path(path.clone()),
            path,
            files: ModelFiles::Made(Box::new(model)),
        }
    }

    /// Returns configuration and weights.
    pub fn checkpoint(&self) -> &dyn Checkpoint {
        match &self.files {
            ModelFiles::Gguf(gguf) => gguf,
            ModelFiles::Folder(folder) => folder,
            ModelFiles::Made(made) => &**made,
        }
    }

    /// Returns the configuration.
    pub fn config(&self) -> &ModelConfig {
        self.checkpoint().config()
    }

    /// Returns what the files say about generation.
    pub fn generation(&self) -> &GenerationDefaults {
        match &self.files {
            ModelFiles::Gguf(gguf) => gguf.generation(),
            ModelFiles::Folder(folder) => folder.generation(),
            ModelFiles::Made(made) => made.generation(),
        }
    }

    /// Returns the digests of the files that numbers depend on: the GGUF file, or `config.json` and the weight files.
    ///
    /// Reads all of them: a second for each gigabyte, more from a slow disk.
    pub fn digests(&self) -> Vec<FileDigest> {
        match &self.files {
            ModelFiles::Gguf(gguf) => vec![gguf.digest()],
            ModelFiles::Folder(folder) => folder.digests(),
            ModelFiles::Made(made) => made.digests(),
        }
    }
}

/// Returns the one digest of a model with these files: a single file's own; of several, BLAKE3 of their BLAKE3 digests,
/// 32 bytes each, in this order. Names of files do not matter.
pub fn model_digest(files: &[FileDigest]) -> Digest {
    match files {
        [one] => one.blake3,
        _ => {
            let digests: Vec<u8> = files
                .iter()
                .flat_map(|file| *file.blake3.as_bytes())
                .collect();
            Digest::of(&digests)
        }
    }
}

/// A model could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open model `{model}`")]
pub struct OpenModelError {
    /// What was asked for.
    pub model: ModelSource,
    /// Why.
    #[source]
    pub kind: Box<OpenModelErrorKind>,
}

/// Why a model could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenModelErrorKind {
    /// A model of the registry is not there.
    #[error("`{}` is not there; `undertone fetch {model}` gets it", path.display())]
    NotFetched {
        /// The model.
        model: Model,
        /// Where it would be.
        path: PathBuf,
    },
    /// The file of a model of the registry is not the pinned one.
    #[error(
        "`{}` has the sha256 {found}, expected {expected}; `undertone fetch {model}` gets it again",
        path.display()
    )]
    Pin {
        /// The model.
        model: Model,
        /// The file.
        path: PathBuf,
        /// The pinned digest.
        expected: Sha256Digest,
        /// Its digest.
        found: Sha256Digest,
    },
    /// Nothing is at the path.
    #[error(
        "`{}` is not there; a model is {}, `hf:OWNER/NAME` or the path of a GGUF file or of a folder",
        path.display(), names()
    )]
    NothingThere {
        /// The path.
        path: PathBuf,
    },
    /// A repository of the hub is not there, or cannot be looked for.
    #[error(transparent)]
    Hub(HubError),
    /// The GGUF file cannot be opened.
    #[error(transparent)]
    Gguf(OpenGgufError),
    /// The folder cannot be opened.
    #[error(transparent)]
    Folder(OpenFolderError),
}

fn names() -> String {
    Model::ALL.map(|model| format!("`{model}`")).join(", ")
}

impl OpenModelError {
    /// Returns the class of the error, which decides the exit code.
    pub fn fault(&self) -> Fault {
        match &*self.kind {
            OpenModelErrorKind::NotFetched { .. } | OpenModelErrorKind::NothingThere { .. } => {
                Fault::Missing
            }
            OpenModelErrorKind::Pin { .. } => Fault::Tampered,
            OpenModelErrorKind::Hub(error) => error.fault(),
            OpenModelErrorKind::Gguf(error) => match &error.kind {
                OpenGgufErrorKind::Io(_) => Fault::Io,
                _ => Fault::Malformed,
            },
            OpenModelErrorKind::Folder(error) => match &error.kind {
                OpenFolderErrorKind::Json {
                    source: ReadJsonError::Io(error),
                    ..
                } if error.kind() != std::io::ErrorKind::NotFound => Fault::Io,
                OpenFolderErrorKind::Weights(WeightsError::Io { .. }) => Fault::Io,
                _ => Fault::Malformed,
            },
        }
    }
}

/// Opens `source`; models of the registry are looked for under `data_dir`, in a folder of their name, and every byte of
/// them is compared with its pin.
///
/// # Errors
/// [`OpenModelError`], whose [`OpenModelError::fault`] gives the exit code.
pub fn open(source: &ModelSource, data_dir: &Path) -> Result<OpenModel, OpenModelError> {
    let opened = match source {
        ModelSource::Named(model) => open_named(*model, data_dir),
        ModelSource::Hub(repo) => undertone_data::hub::find(repo, &HubOptions::default())
            .map_err(OpenModelErrorKind::Hub)
            .and_then(|folder| open_path(&folder)),
        ModelSource::Path(path) => open_path(path),
    };
    match opened {
        Ok((path, files)) => Ok(OpenModel {
            source: source.clone(),
            path,
            files,
        }),
        Err(kind) => Err(OpenModelError {
            model: source.clone(),
            kind: Box::new(kind),
        }),
    }
}

fn open_named(model: Model, data_dir: &Path) -> Result<(PathBuf, ModelFiles), OpenModelErrorKind> {
    let path = model.path(data_dir);
    if !path.is_file() {
        return Err(OpenModelErrorKind::NotFetched { model, path });
    }
    let gguf_error = |kind| {
        OpenModelErrorKind::Gguf(OpenGgufError {
            path: path.clone(),
            kind,
        })
    };
    let file = MappedFile::open(&path);
    let file = file.map_err(|error| gguf_error(OpenGgufErrorKind::Io(error)))?;
    // Before anything in it is believed: what is wrong with a damaged file is that it is damaged.
    let (expected, found) = (model.file().sha256, file.digest().sha256);
    if found != expected {
        return Err(OpenModelErrorKind::Pin {
            model,
            path,
            expected,
            found,
        });
    }
    let gguf = Gguf::from_file(file).map_err(gguf_error)?;
    Ok((path, ModelFiles::Gguf(gguf)))
}

fn open_path(path: &Path) -> Result<(PathBuf, ModelFiles), OpenModelErrorKind> {
    let files = if path.is_dir() {
        HfFolder::open(path)
            .map(ModelFiles::Folder)
            .map_err(OpenModelErrorKind::Folder)?
    } else if path.exists() {
        Gguf::open(path)
            .map(ModelFiles::Gguf)
            .map_err(OpenModelErrorKind::Gguf)?
    } else {
        return Err(OpenModelErrorKind::NothingThere {
            path: path.to_path_buf(),
        });
    };
    Ok((path.to_path_buf(), files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_names_repositories_and_paths_and_back() {
        let named = ModelSource::Named(Model::SmolLm2Instruct);
        let path = |text: &str| ModelSource::Path(text.into());
        for (text, expected) in [
            ("smollm2-135m-instruct", named),
            ("./smollm2-135m-instruct", path("./smollm2-135m-instruct")),
            ("models/a.gguf", path("models/a.gguf")),
        ] {
            let source: Result<ModelSource, _> = text.parse();
            assert_eq!(source.as_ref(), Ok(&expected));
            assert_eq!(expected.to_string(), text);
        }
        let hub: Result<ModelSource, _> = "hf:owner/name@main".parse();
        assert!(matches!(&hub, Ok(ModelSource::Hub(_))), "{hub:?}");
        assert_eq!("".parse::<ModelSource>(), Err(ParseSourceError::Empty));
        assert!("hf:nothing".parse::<ModelSource>().is_err());
    }

    #[test]
    fn the_order_of_files_decides_the_digest_and_their_names_do_not() {
        let file = |name: &str, content: &[u8]| crate::mapped::digest(Path::new(name), content);
        let (a, b) = (file("a", b"1"), file("b", b"2"));
        assert_eq!(model_digest(std::slice::from_ref(&a)), Digest::of(b"1"));
        let both = model_digest(&[a.clone(), b.clone()]);
        assert_ne!(both, model_digest(&[b.clone(), a.clone()]));
        assert_eq!(both, model_digest(&[file("c", b"1"), b]));
    }
}
