//! Gets the files of a named dataset, benchmark or model, from whichever source delivers the pinned content first.
//!
//! Sources are tried in order and none is trusted: a file counts only if its uncompressed content has the pinned
//! sha256, so who packed or hosts it does not matter. Every source that fails is reported with its reason. In the
//! folder of that name
//!
//! - `NAME` is a finished file, uncompressed, written under `.NAME.tmp`, synced and renamed;
//! - `.NAME.SOURCE.part` is an interrupted download, continued next time if the server can, dropped if it proves wrong;
//! - `.fetch.lock` keeps two processes from writing at once.
//!
//! [`source`] lists the sources; `http` downloads; `client` runs `npm`, `apt-get` and `pip`; `land` writes.

mod client;
mod http;
mod land;
pub mod source;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use undertone_core::Sha256Digest;

use crate::dataset::PinnedFile;
use crate::fault::Fault;
use crate::folder::{self, FileError, PinError};
use crate::images::FileDigest;
use crate::item::Item;

use land::land;
pub use source::{Source, SourceError, SourceErrorKind, Wheel};

/// How to fetch.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// Touches no network and starts no program: only checks what is there. Default: false.
    pub offline: bool,
    /// The sources to try, in order, instead of [`Source::defaults`]. Default: none.
    pub sources: Option<Vec<Source>>,
    /// How long a connection may take to come about. Default: 8 s.
    pub connect_timeout: Duration,
    /// How long a connection may stay silent. Default: 30 s.
    pub silence_timeout: Duration,
    /// How long `npm`, `apt-get` or `pip` may run. Default: 10 min.
    pub client_timeout: Duration,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            offline: false,
            sources: None,
            connect_timeout: Duration::from_secs(8),
            silence_timeout: Duration::from_secs(30),
            client_timeout: Duration::from_secs(600),
        }
    }
}

/// What is happening, for whoever shows progress.
#[derive(Debug)]
pub enum FetchEvent<'a> {
    /// The file is there already and has the pinned digest.
    Present {
        /// Where.
        path: &'a Path,
    },
    /// The file is there and is not the pinned one; it will be replaced.
    Replacing {
        /// What is wrong with it.
        error: &'a PinError,
    },
    /// Another process is fetching into the same folder; this one waits.
    Waiting {
        /// The lock that is held.
        lock: &'a Path,
    },
    /// A source is being tried.
    Trying {
        /// The name of the source.
        source: &'a str,
    },
    /// A download starts, or goes on where it was interrupted.
    Download {
        /// The address.
        url: &'a str,
        /// Bytes there were already.
        resumed_bytes: u64,
    },
    /// More of a download has arrived.
    Progress {
        /// The address.
        url: &'a str,
        /// Bytes there are by now.
        bytes: u64,
        /// Bytes there will be, if the server says so.
        total_bytes: Option<u64>,
    },
    /// A file is complete, verified and in place.
    Landed {
        /// Where.
        path: &'a Path,
        /// Its length.
        bytes: u64,
        /// Its digest.
        sha256: Sha256Digest,
    },
    /// A source did not deliver everything; the next one is tried.
    SourceFailed {
        /// Which, and why.
        error: &'a SourceError,
    },
}

/// Whoever shows progress.
pub(crate) type Progress<'a> = dyn FnMut(FetchEvent<'_>) + 'a;

/// A dataset or model that is complete and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Which.
    pub item: Item,
    /// The folder that holds the files.
    pub folder: PathBuf,
    /// The files, in the order of [`Item::files`].
    pub files: Vec<FileDigest>,
    /// The names of the sources that delivered; none if everything was there.
    pub delivered_by: Vec<String>,
}

/// A dataset or model could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("cannot fetch `{item}` into `{}`", folder.display())]
pub struct FetchError {
    /// Which.
    pub item: Item,
    /// The folder that lacks it.
    pub folder: PathBuf,
    /// Why.
    #[source]
    pub kind: FetchErrorKind,
}

/// Why a dataset or model could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchErrorKind {
    /// Files are missing and the network is not to be used.
    #[error("{} not there, and `--offline` forbids getting them", join(missing))]
    Offline {
        /// The files.
        missing: Vec<String>,
    },
    /// Files are not the published ones and the network is not to be used.
    #[error("`--offline` forbids replacing it")]
    OfflineWrong(#[source] PinError),
    /// No source delivered everything.
    #[error("no source delivered {}: {}", join(missing), tried(attempts))]
    NoSource {
        /// The files still missing.
        missing: Vec<String>,
        /// Every source that failed, in order.
        attempts: Vec<SourceError>,
    },
    /// The disk failed, which no other source can help.
    #[error("cannot write `{}`", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl FetchError {
    /// Returns the class of the error, which decides the exit code.
    ///
    /// [`Fault::Tampered`] if any source delivered content that is not the pinned one.
    pub fn fault(&self) -> Fault {
        match &self.kind {
            FetchErrorKind::Offline { .. } => Fault::Missing,
            FetchErrorKind::OfflineWrong(_) => Fault::Tampered,
            FetchErrorKind::NoSource { attempts, .. } => {
                if attempts.iter().any(SourceError::is_wrong_content) {
                    Fault::Tampered
                } else {
                    Fault::Io
                }
            }
            FetchErrorKind::Disk { .. } => Fault::Io,
        }
    }
}

fn join(names: &[String]) -> String {
    format!("`{}`", names.join("`, `"))
}

fn tried(attempts: &[SourceError]) -> String {
    let reasons: Vec<String> = attempts.iter().map(SourceError::chain).collect();
    reasons.join("; ")
}

/// Makes sure that all files of `item` are on disk with their pinned digests, fetching those that are not.
///
/// Files go to the folder of that name under `data_dir`; what is there and right, also in another folder of
/// [`Item::folders`], is not fetched again. Calling it again after an interruption continues.
///
/// # Errors
/// [`FetchError`] with the reason of every source that was tried. Files that did arrive stay.
pub fn fetch(
    item: impl Into<Item>,
    data_dir: &Path,
    options: &FetchOptions,
    progress: &mut Progress<'_>,
) -> Result<Fetched, FetchError> {
    let item = item.into();
    let mut folders = item.folders(data_dir).into_iter();
    let folder = folders.next().expect("every item has a folder of its own");
    // Opening takes the first folder that has all names, so another one helps only while ours has not.
    let is_there = |pin: &PinnedFile| matches!(folder::locate(&folder, pin.name), Ok(Some(_)));
    let ours_is_whole = item.files().iter().all(is_there);
    for elsewhere in folders.filter(|_| !ours_is_whole) {
        if let Some(files) = complete(&elsewhere, item.files()) {
            files
                .iter()
                .for_each(|file| progress(FetchEvent::Present { path: &file.path }));
            return Ok(Fetched {
                item,
                folder: elsewhere,
                files,
                delivered_by: Vec::new(),
            });
        }
    }
    let sources = options
        .sources
        .clone()
        .unwrap_or_else(|| Source::defaults(item));
    match fetch_into(&folder, item.files(), &sources, options, progress) {
        Ok((files, delivered_by)) => Ok(Fetched {
            item,
            folder,
            files,
            delivered_by,
        }),
        Err(kind) => Err(FetchError { item, folder, kind }),
    }
}

/// Returns the files of a folder that holds every one of `pins`; `None` if it does not, for whatever reason.
fn complete(folder: &Path, pins: &[PinnedFile]) -> Option<Vec<FileDigest>> {
    pins.iter()
        .map(|pin| {
            let path = folder::locate(folder, pin.name).ok()??;
            folder::verify(&path, pin).ok()
        })
        .collect()
}

/// What a folder has of the wanted files.
#[derive(Default)]
struct Inventory {
    present: Vec<FileDigest>,
    wanted: Vec<PinnedFile>,
    wrong: Vec<PinError>,
}

fn take_inventory(
    folder: &Path,
    pins: &[PinnedFile],
    progress: &mut Progress<'_>,
) -> Result<Inventory, FetchErrorKind> {
    let mut inventory = Inventory::default();
    for pin in pins {
        let verified = match folder::locate(folder, pin.name) {
            Ok(Some(path)) => folder::verify(&path, pin),
            Ok(None) => {
                inventory.wanted.push(*pin);
                continue;
            }
            Err(error) => Err(error),
        };
        match verified {
            Ok(file) => {
                progress(FetchEvent::Present { path: &file.path });
                inventory.present.push(file);
            }
            Err(FileError::Pin(error)) => {
                inventory.wanted.push(*pin);
                inventory.wrong.push(error);
            }
            Err(FileError::Io { path, source }) => {
                return Err(FetchErrorKind::Disk { path, source });
            }
            Err(FileError::Idx(_)) => unreachable!("verifying does not interpret the content"),
        }
    }
    Ok(inventory)
}

/// Fetches what `folder` lacks of `pins`; returns all files and the names of the sources that delivered.
pub(crate) fn fetch_into(
    folder: &Path,
    pins: &[PinnedFile],
    sources: &[Source],
    options: &FetchOptions,
    progress: &mut Progress<'_>,
) -> Result<(Vec<FileDigest>, Vec<String>), FetchErrorKind> {
    let inventory = take_inventory(folder, pins, progress)?;
    if inventory.wanted.is_empty() {
        return Ok((inventory.present, Vec::new()));
    }
    if options.offline {
        return Err(match inventory.wrong.into_iter().next() {
            Some(error) => FetchErrorKind::OfflineWrong(error),
            None => FetchErrorKind::Offline {
                missing: names(&inventory.wanted),
            },
        });
    }
    let disk = |path: &Path| {
        let path = path.to_path_buf();
        move |source| FetchErrorKind::Disk { path, source }
    };
    fs::create_dir_all(folder).map_err(disk(folder))?;
    let _lock = lock(folder, progress)?;
    // Whoever held the lock may have fetched everything meanwhile.
    let Inventory {
        present: mut files,
        mut wanted,
        wrong,
    } = take_inventory(folder, &inventory.wanted, &mut |_| ())?;
    for error in &wrong {
        progress(FetchEvent::Replacing { error });
    }
    files.extend(inventory.present);

    let mut delivered_by = Vec::new();
    let mut attempts = Vec::new();
    for source in sources {
        if wanted.is_empty() {
            break;
        }
        progress(FetchEvent::Trying {
            source: source.name(),
        });
        let n_before = files.len();
        let mut delivery = Delivery {
            folder,
            files: &mut files,
            progress: &mut *progress,
        };
        let result = source.deliver(&wanted, options, &mut delivery);
        if files.len() > n_before {
            delivered_by.push(source.name().to_owned());
        }
        wanted.retain(|pin| files.iter().all(|file| file.name != pin.name));
        if let Err(kind) = result {
            if let SourceErrorKind::Disk { path, source } = kind {
                return Err(FetchErrorKind::Disk { path, source });
            }
            let error = SourceError {
                source_name: source.name().to_owned(),
                kind,
            };
            progress(FetchEvent::SourceFailed { error: &error });
            attempts.push(error);
        }
    }
    if !wanted.is_empty() {
        return Err(FetchErrorKind::NoSource {
            missing: names(&wanted),
            attempts,
        });
    }
    files.sort_by_key(|file| pins.iter().position(|pin| pin.name == file.name));
    Ok((files, delivered_by))
}

fn names(pins: &[PinnedFile]) -> Vec<String> {
    pins.iter().map(|pin| pin.name.to_owned()).collect()
}

/// Holds the folder for this process until dropped.
fn lock(folder: &Path, progress: &mut Progress<'_>) -> Result<File, FetchErrorKind> {
    let path = folder.join(".fetch.lock");
    let take = |progress: &mut Progress<'_>| -> io::Result<File> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                progress(FetchEvent::Waiting { lock: &path });
                file.lock()?;
            }
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        Ok(file)
    };
    take(progress).map_err(|source| FetchErrorKind::Disk {
        path: path.clone(),
        source,
    })
}

/// Where sources put what they have got, file by file.
pub(crate) struct Delivery<'a, 'p> {
    folder: &'a Path,
    files: &'a mut Vec<FileDigest>,
    progress: &'a mut Progress<'p>,
}

impl Delivery<'_, '_> {
    fn event(&mut self, event: FetchEvent<'_>) {
        (self.progress)(event);
    }

    /// Takes content that has been compared with `pin` and puts it in its place.
    fn take(&mut self, pin: &PinnedFile, content: &[u8]) -> Result<(), SourceErrorKind> {
        let path = land(self.folder, pin, content)?;
        self.event(FetchEvent::Landed {
            path: &path,
            bytes: pin.bytes,
            sha256: pin.sha256,
        });
        self.files.push(folder::pinned_digest(&path, pin));
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
