//! Opens a store folder and keeps its objects: byte strings named by their digest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use undertone_core::Digest;

use crate::canonical;
use crate::disk::{self, Disk, parent_of};
use crate::document::check_version;
use crate::error::{Result, StoreError, StoreErrorKind};

/// The format's name in `store.json`.
const FORMAT: &str = "undertone-store";
/// The version of the folder's layout.
const VERSION: u32 = 1;

/// The file `store.json`, which marks a folder as a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreMark {
    /// Always `undertone-store`.
    pub format: String,
    /// The version of the folder's layout.
    pub version: u32,
}

/// A folder of objects, step records and runs. Cheap to clone, and safe to use from many threads and processes.
#[derive(Clone)]
pub struct Store {
    root: PathBuf,
    pub(crate) disk: Disk,
    writable: bool,
}

impl Store {
    /// Opens the store at `root`, making it if the folder is missing or empty, and removes what killed processes left.
    ///
    /// # Errors
    /// [`NotAStore`](StoreErrorKind::NotAStore) if the folder holds other things;
    /// [`TooNew`](StoreErrorKind::TooNew) or [`TooOld`](StoreErrorKind::TooOld) by its version.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        Self::open_on(Disk::new(), root.into())
    }

    /// Opens the store at `root` without ever changing a byte of it.
    ///
    /// # Errors
    /// As [`Store::open`], and [`NoStore`](StoreErrorKind::NoStore) if there is none.
    pub fn open_read_only(root: impl Into<PathBuf>) -> Result<Self> {
        let store = Store {
            root: root.into(),
            disk: Disk::new(),
            writable: false,
        };
        match store.read_mark()? {
            true => Ok(store),
            false => Err(StoreError::new(
                "open store",
                &store.root,
                StoreErrorKind::NoStore,
            )),
        }
    }

    pub(crate) fn open_on(disk: Disk, root: PathBuf) -> Result<Self> {
        let store = Store {
            root,
            disk,
            writable: true,
        };
        if !store.read_mark()? {
            store.create()?;
        }
        store.disk.remove_stale(&store.temp_folder())?;
        Ok(store)
    }

    /// Returns the folder of the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Stores `bytes` durably and returns their name. Costs one read if they are already there and intact; a damaged
    /// object of that name is set aside and replaced.
    ///
    /// # Errors
    /// [`DiskFull`](StoreErrorKind::DiskFull), [`Io`](StoreErrorKind::Io) or [`ReadOnly`](StoreErrorKind::ReadOnly).
    pub fn put(&self, bytes: &[u8]) -> Result<Digest> {
        let mut touched = BTreeSet::new();
        let digest = self.put_unsynced(bytes, &mut touched)?;
        self.disk.sync_folders(&touched)?;
        Ok(digest)
    }

    /// Stores several byte strings and syncs each folder once, however many of them it received.
    pub(crate) fn put_all(
        &self,
        contents: &BTreeMap<String, Vec<u8>>,
    ) -> Result<BTreeMap<String, Digest>> {
        let mut touched = BTreeSet::new();
        let digests = contents
            .iter()
            .map(|(name, bytes)| Ok((name.clone(), self.put_unsynced(bytes, &mut touched)?)))
            .collect::<Result<_>>()?;
        self.disk.sync_folders(&touched)?;
        Ok(digests)
    }

    fn put_unsynced(&self, bytes: &[u8], touched: &mut BTreeSet<PathBuf>) -> Result<Digest> {
        let digest = Digest::of(bytes);
        let path = self.object_path(&digest);
        self.require_writable("write object", &path)?;
        match disk::read("read object", &path)? {
            Some(present) if present == bytes => return Ok(digest),
            Some(_) => drop(self.set_aside(&path, &format!("object-{digest}"))?),
            None => {}
        }
        let staged = self.disk.stage(&self.temp_folder(), bytes)?;
        self.disk.create_folder(parent_of(&path))?;
        self.disk.publish(staged, &path)?;
        touched.insert(parent_of(&path).to_owned());
        Ok(digest)
    }

    /// Returns the bytes named `digest`, after checking that they are the ones.
    ///
    /// # Errors
    /// [`Missing`](StoreErrorKind::Missing) if they are not here, [`Tampered`](StoreErrorKind::Tampered) if they are
    /// truncated or changed.
    pub fn get(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.object_path(digest);
        let bytes = disk::read_required("read object", &path)?;
        check_digest("read object", &path, digest, &bytes)?;
        Ok(bytes)
    }

    /// Says whether an object of that name is here; does not read it.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.object_path(digest).is_file()
    }

    /// Fails with [`Missing`](StoreErrorKind::Missing) if the object is not here; does not read it.
    pub(crate) fn require_object(&self, digest: &Digest) -> Result<()> {
        let path = self.object_path(digest);
        match path.is_file() {
            true => Ok(()),
            false => Err(StoreError::new(
                "read object",
                &path,
                StoreErrorKind::Missing,
            )),
        }
    }

    /// Moves a damaged object to `damaged/` and returns where it went; `None` if it is intact or not here.
    ///
    /// # Errors
    /// [`Io`](StoreErrorKind::Io) or [`ReadOnly`](StoreErrorKind::ReadOnly).
    pub fn quarantine(&self, digest: &Digest) -> Result<Option<PathBuf>> {
        let path = self.object_path(digest);
        match disk::read("read object", &path)? {
            Some(bytes) if Digest::of(&bytes) != *digest => {
                self.set_aside(&path, &format!("object-{digest}"))
            }
            _ => Ok(None),
        }
    }

    /// Moves `path` to a fresh name in `damaged/`; `None` if another process was faster.
    pub(crate) fn set_aside(&self, path: &Path, name: &str) -> Result<Option<PathBuf>> {
        self.require_writable("set aside", path)?;
        let folder = self.root.join("damaged");
        self.disk.create_folder(&folder)?;
        // Alone, so that two processes do not choose the same fresh name.
        self.exclusively(|| {
            if !path.exists() {
                return Ok(None);
            }
            let target = (1u32..)
                .map(|number| folder.join(format!("{name}.{number}")))
                .find(|target| !target.exists())
                .expect("fewer than 2^32 damaged files of one name");
            self.disk.rename("set aside", path, &target)?;
            self.disk.sync_folder(parent_of(path))?;
            self.disk.sync_folder(&folder)?;
            Ok(Some(target))
        })
    }

    pub(crate) fn require_writable(&self, action: &'static str, path: &Path) -> Result<()> {
        match self.writable {
            true => Ok(()),
            false => Err(StoreError::new(action, path, StoreErrorKind::ReadOnly)),
        }
    }

    pub(crate) fn temp_folder(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(crate) fn objects_folder(&self) -> PathBuf {
        self.root.join("objects")
    }

    fn object_path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.objects_folder().join(&hex[..2]).join(hex)
    }

    /// Runs `action` while no other thread or process that does the same is inside.
    pub(crate) fn exclusively<T>(&self, action: impl FnOnce() -> Result<T>) -> Result<T> {
        let path = self.root.join("commit.lock");
        let file = self.disk.open_kept(
            &path,
            OpenOptions::new().read(true).write(true).truncate(false),
        )?;
        file.lock()
            .map_err(|error| StoreError::io("lock", &path, error))?;
        action()
    }

    /// Checks `store.json`; `false` if the folder is missing or empty and may become a store.
    fn read_mark(&self) -> Result<bool> {
        let path = self.root.join("store.json");
        let error = |kind| StoreError::new("open store", &path, kind);
        let mut mark = disk::read("open store", &path)?;
        if mark.is_none() && self.holds_other_things()? {
            // Another process may have made the store since: its mark came before the things that were seen.
            mark = disk::read("open store", &path)?;
            if mark.is_none() {
                let kind = StoreErrorKind::NotAStore;
                return Err(StoreError::new("open store", &self.root, kind));
            }
        }
        let Some(bytes) = mark else {
            return Ok(false);
        };
        let mark: StoreMark = serde_json::from_slice(&bytes)
            .map_err(|source| error(StoreErrorKind::Malformed(source)))?;
        if mark.format != FORMAT {
            let expected = FORMAT.to_owned();
            return Err(error(StoreErrorKind::Misplaced {
                expected,
                found: mark.format,
            }));
        }
        check_version(FORMAT, u64::from(mark.version), VERSION).map_err(error)?;
        Ok(true)
    }

    /// A store that was being made when its process was killed holds `tmp` and nothing else.
    fn holds_other_things(&self) -> Result<bool> {
        match fs::metadata(&self.root) {
            Err(_) => Ok(false),
            Ok(_) => Ok(disk::list(&self.root)?
                .iter()
                .any(|path| disk::name_of(path) != "tmp")),
        }
    }

    fn create(&self) -> Result<()> {
        let mark = StoreMark {
            format: FORMAT.to_owned(),
            version: VERSION,
        };
        let mark = serde_json::to_value(mark).expect("two plain fields are JSON");
        let target = self.root.join("store.json");
        self.disk
            .write_whole(&self.temp_folder(), &target, &canonical::compact(&mark))
    }
}

/// Fails unless `bytes` have the digest `expected`.
pub(crate) fn check_digest(
    action: &'static str,
    path: &Path,
    expected: &Digest,
    bytes: &[u8],
) -> Result<()> {
    let found = Digest::of(bytes);
    if found == *expected {
        return Ok(());
    }
    let kind = StoreErrorKind::Tampered {
        expected: *expected,
        found,
    };
    Err(StoreError::new(action, path, kind))
}
