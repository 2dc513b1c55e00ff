//! Puts verified content in its place: all of it or nothing, also when the machine stops half-way.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::source::SourceErrorKind;
use crate::dataset::PinnedFile;

/// Writes `content` as the file of `pin` in `folder` and removes the leftovers of its downloads.
///
/// The lock on the folder is held, so the temporary name needs no number, and a crash leaves at most one.
pub(super) fn land(
    folder: &Path,
    pin: &PinnedFile,
    content: &[u8],
) -> Result<PathBuf, SourceErrorKind> {
    let path = folder.join(pin.name);
    let temporary = folder.join(format!(".{}.tmp", pin.name));
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        sync_folder(folder)?;
        remove_parts(folder, pin)
    };
    match write() {
        Ok(()) => Ok(path),
        Err(source) => {
            // On a full disk the half-written file is in the way; that it cannot be removed adds nothing to the error.
            let _ = fs::remove_file(&temporary);
            Err(SourceErrorKind::Disk { path, source })
        }
    }
}

/// Makes the renaming itself durable, which on Unix is a matter of the folder.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// The name of an interrupted download of `name` from the source called `source_name`.
pub(super) fn part_name(name: &str, source_name: &str) -> String {
    let slug: String = source_name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    format!(".{name}.{slug}.part")
}

fn remove_parts(folder: &Path, pin: &PinnedFile) -> io::Result<()> {
    let prefix = format!(".{}.", pin.name);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&prefix) && name.ends_with(".part") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
