//! Which data an experiment asks for, and opening it.
//!
//! `digits` is compiled in; `mnist` and `fashion` are files that [`crate::fetch`] gets and whose every byte is pinned;
//! anything else is a folder with four idx files, named as MNIST's are, plain or gzip. Nothing is ever fetched here.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dataset::{Dataset, FILE_NAMES, PinnedFile};
use crate::digits::digits;
use crate::fault::Fault;
use crate::folder::{FileError, PinError, load_images, load_labels, locate_all};
use crate::idx::{IdxImages, IdxLabels, ReadIdxError, write_images, write_labels};
use crate::images::{FileDigest, ImageData, ImageSet, ImagesError};

/// Where an experiment's images come from. As text: `digits`, `mnist`, `fashion`, or the path of a folder.
///
/// A folder that is called like a dataset is written `./mnist`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum DataSource {
    /// The embedded 8x8 digits.
    Digits,
    /// MNIST, once fetched.
    Mnist,
    /// Fashion-MNIST, once fetched.
    Fashion,
    /// Four idx files in a folder.
    Folder(PathBuf),
}

/// An empty text was given where a data source is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a data source is `digits`, `mnist`, `fashion` or the path of a folder, not an empty text")]
pub struct EmptySourceError;

impl FromStr for DataSource {
    type Err = EmptySourceError;

    fn from_str(text: &str) -> Result<Self, EmptySourceError> {
        Ok(match text {
            "" => return Err(EmptySourceError),
            "digits" => Self::Digits,
            "mnist" => Self::Mnist,
            "fashion" => Self::Fashion,
            path => Self::Folder(PathBuf::from(path)),
        })
    }
}

impl fmt::Display for DataSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digits => f.write_str("digits"),
            Self::Mnist => f.write_str("mnist"),
            Self::Fashion => f.write_str("fashion"),
            Self::Folder(path) => path.display().fmt(f),
        }
    }
}

impl TryFrom<String> for DataSource {
    type Error = EmptySourceError;

    fn try_from(text: String) -> Result<Self, EmptySourceError> {
        text.parse()
    }
}

impl From<DataSource> for String {
    fn from(source: DataSource) -> String {
        source.to_string()
    }
}

/// A dataset could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open dataset `{dataset}`")]
pub struct OpenDataError {
    /// Which.
    pub dataset: DataSource,
    /// Why.
    #[source]
    pub kind: OpenDataErrorKind,
}

/// Why a dataset could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenDataErrorKind {
    /// A named dataset is not, or not wholly, in any of its folders.
    #[error(
        "{} not found in {}; `undertone fetch {dataset}` gets them",
        list(missing),
        list(searched)
    )]
    NotFetched {
        /// The dataset.
        dataset: Dataset,
        /// Files that the first folder lacks.
        missing: Vec<String>,
        /// The folders that were looked at.
        searched: Vec<String>,
    },
    /// A folder lacks some of the four files.
    #[error(
        "{} not found in `{}`; a data folder holds {}, each plain or .gz",
        list(missing), folder.display(), list(&FILE_NAMES)
    )]
    Incomplete {
        /// The folder.
        folder: PathBuf,
        /// Files it lacks.
        missing: Vec<String>,
    },
    /// A file of a named dataset is not the published one.
    #[error(transparent)]
    Pin(PinError),
    /// A file could not be read.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of a folder is not the idx file its name says.
    #[error(transparent)]
    Idx(ReadIdxError),
    /// An image file and its label file are not of the same length.
    #[error(
        "`{}` has {n_images} images, `{}` has {n_labels} labels",
        images.display(), labels.display()
    )]
    Counts {
        /// The image file.
        images: PathBuf,
        /// Images in it.
        n_images: usize,
        /// The label file.
        labels: PathBuf,
        /// Labels in it.
        n_labels: usize,
    },
    /// Train and test files do not belong together.
    #[error(transparent)]
    Images(ImagesError),
}

impl OpenDataError {
    /// Returns the class of the error, which decides the exit code.
    pub fn fault(&self) -> Fault {
        match &self.kind {
            OpenDataErrorKind::NotFetched { .. } | OpenDataErrorKind::Incomplete { .. } => {
                Fault::Missing
            }
            OpenDataErrorKind::Pin(_) => Fault::Tampered,
            OpenDataErrorKind::Io { .. } => Fault::Io,
            OpenDataErrorKind::Idx(_)
            | OpenDataErrorKind::Counts { .. }
            | OpenDataErrorKind::Images(_) => Fault::Malformed,
        }
    }
}

impl From<FileError> for OpenDataErrorKind {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Io { path, source } => Self::Io { path, source },
            FileError::Idx(error) => Self::Idx(error),
            FileError::Pin(error) => Self::Pin(error),
        }
    }
}

fn list(names: &[impl AsRef<str>]) -> String {
    let quoted: Vec<String> = names
        .iter()
        .map(|name| format!("`{}`", name.as_ref()))
        .collect();
    quoted.join(", ")
}

/// Opens `source`; named datasets are looked for under `data_dir`, in a folder of their name.
///
/// Fashion-MNIST is also found where Debian's package puts it. The first folder that holds all four files is taken;
/// should a file there not be the published one, that is an error and no reason to look further.
///
/// # Errors
/// [`OpenDataError`], whose [`OpenDataError::fault`] gives the exit code.
pub fn open(source: &DataSource, data_dir: &Path) -> Result<ImageData, OpenDataError> {
    match source {
        DataSource::Digits => Ok(digits()),
        DataSource::Mnist => open_named(Dataset::Mnist, data_dir),
        DataSource::Fashion => open_named(Dataset::Fashion, data_dir),
        DataSource::Folder(folder) => open_folder(folder, folder.display().to_string()),
    }
    .map_err(|kind| OpenDataError {
        dataset: source.clone(),
        kind,
    })
}

/// Returns the folder that holds all four files of `dataset`, without reading them; `None` if no folder does.
///
/// # Errors
/// [`OpenDataError`] if a folder cannot be looked at.
pub fn find(dataset: Dataset, data_dir: &Path) -> Result<Option<PathBuf>, OpenDataError> {
    for folder in dataset.folders(data_dir) {
        let located = locate_all(&folder).map_err(|error| OpenDataError {
            dataset: match dataset {
                Dataset::Mnist => DataSource::Mnist,
                Dataset::Fashion => DataSource::Fashion,
            },
            kind: error.into(),
        })?;
        if located.is_ok() {
            return Ok(Some(folder));
        }
    }
    Ok(None)
}

fn open_named(dataset: Dataset, data_dir: &Path) -> Result<ImageData, OpenDataErrorKind> {
    let folders = dataset.folders(data_dir);
    let mut missing_in_first = None;
    for folder in &folders {
        match locate_all(folder)? {
            Ok(paths) => return load(&paths, Some(dataset.files()), dataset.name().to_owned()),
            Err(missing) => missing_in_first = missing_in_first.or(Some(missing)),
        }
    }
    Err(OpenDataErrorKind::NotFetched {
        dataset,
        missing: missing_in_first.unwrap_or_default(),
        searched: folders
            .iter()
            .map(|folder| folder.display().to_string())
            .collect(),
    })
}

fn open_folder(folder: &Path, name: String) -> Result<ImageData, OpenDataErrorKind> {
    match locate_all(folder)? {
        Ok(paths) => load(&paths, None, name),
        Err(missing) => Err(OpenDataErrorKind::Incomplete {
            folder: folder.to_path_buf(),
            missing,
        }),
    }
}

/// Reads the four files at `paths`, each against its pin if there are pins.
pub(crate) fn load(
    paths: &[PathBuf; 4],
    pins: Option<&[PinnedFile; 4]>,
    name: String,
) -> Result<ImageData, OpenDataErrorKind> {
    let pin = |file_idx: usize| pins.map(|pins| &pins[file_idx]);
    let train_images = load_images(&paths[0], pin(0))?;
    let train_labels = load_labels(&paths[1], pin(1))?;
    let test_images = load_images(&paths[2], pin(2))?;
    let test_labels = load_labels(&paths[3], pin(3))?;
    let mut files = Vec::with_capacity(paths.len());
    let train = join(0, paths, train_images, train_labels, &mut files)?;
    let test = join(2, paths, test_images, test_labels, &mut files)?;
    ImageData::new(name, train, test, files).map_err(OpenDataErrorKind::Images)
}

/// Joins the image file at `images_idx` of [`FILE_NAMES`] and the label file after it.
fn join(
    images_idx: usize,
    paths: &[PathBuf; 4],
    images: IdxImages,
    labels: IdxLabels,
    files: &mut Vec<FileDigest>,
) -> Result<ImageSet, OpenDataErrorKind> {
    let (images_path, labels_path) = (&paths[images_idx], &paths[images_idx + 1]);
    if images.n != labels.labels.len() {
        return Err(OpenDataErrorKind::Counts {
            images: images_path.clone(),
            n_images: images.n,
            labels: labels_path.clone(),
            n_labels: labels.labels.len(),
        });
    }
    files.push(FileDigest {
        path: images_path.clone(),
        name: FILE_NAMES[images_idx].to_owned(),
        sha256: images.sha256,
        bytes: images.pixels.len() as u64 + 16,
    });
    files.push(FileDigest {
        path: labels_path.clone(),
        name: FILE_NAMES[images_idx + 1].to_owned(),
        sha256: labels.sha256,
        bytes: labels.labels.len() as u64 + 8,
    });
    ImageSet::new(
        images.rows,
        images.cols,
        u8::MAX,
        images.pixels,
        labels.labels,
    )
    .map_err(OpenDataErrorKind::Images)
}

/// Writes `train` and `test` as the four plain idx files of `folder`, which is created; for tests and small examples.
///
/// Pixels are written as they are, and [`open`] reads them back with 255 as the largest value.
///
/// # Errors
/// What the file system reports.
pub fn write_folder(folder: &Path, train: &ImageSet, test: &ImageSet) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (set, [images_name, labels_name]) in [
        (train, [FILE_NAMES[0], FILE_NAMES[1]]),
        (test, [FILE_NAMES[2], FILE_NAMES[3]]),
    ] {
        let mut images = BufWriter::new(File::create(folder.join(images_name))?);
        write_images(&mut images, set.rows(), set.cols(), set.pixels())?;
        images.flush()?;
        let mut labels = BufWriter::new(File::create(folder.join(labels_name))?);
        write_labels(&mut labels, set.labels())?;
        labels.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
