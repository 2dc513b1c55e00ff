//! Files and folders that a command will write, looked at before the work: a mistake is told now, not after hours, and
//! nothing that was there is lost.
//!
//! A file may be there already with exactly the content it would get, as after the same command; any other is in the way.

use std::fs;
use std::path::Path;

use anyhow::Result;
use undertone_lab::LabError;
use undertone_lab::lm::merge::{is_occupied, occupied};
use undertone_store::write_atomic;

use crate::failure::Usage;

/// Checks that the file `path`, which `flag` names, can be written; `content` is its content where that is known already.
pub fn check_file(flag: &str, path: &Path, content: Option<&[u8]>) -> Result<()> {
    let name = path.display();
    let problem = match fs::metadata(path) {
        Ok(found) if found.is_dir() => format!("`{name}` is a folder; name a file"),
        Ok(found) if !found.is_file() => format!("`{name}` is no regular file; name another"),
        Ok(_) if content.is_some_and(|content| holds(path, content)) => return Ok(()),
        Ok(_) => format!(
            "`{name}` is there already and holds something else; remove it or name another file"
        ),
        Err(_) => match folder_of(path).filter(|folder| !folder.is_dir()) {
            Some(folder) => format!(
                "there is no folder `{}` for `{name}`; make it, or name another file",
                folder.display()
            ),
            None => return Ok(()),
        },
    };
    Err(Usage(format!("{flag}: {problem}")).into())
}

/// Writes a file that [`check_file`] allows.
pub fn write_file(flag: &str, path: &Path, content: &[u8]) -> Result<()> {
    check_file(flag, path, Some(content))?;
    if !path.exists() {
        write_atomic(path, content)?;
    }
    Ok(())
}

/// Checks that a folder can be made at `path`, which `flag` names; folders above it are made too.
pub fn check_folder(flag: &str, path: &Path) -> Result<()> {
    let name = path.display();
    if path.file_name().is_none() {
        return Err(Usage(format!("{flag}: `{name}` does not end in a name")).into());
    }
    let above = path.ancestors().skip(1);
    let file = above
        .filter(|folder| folder.exists())
        .find(|folder| !folder.is_dir());
    match file {
        Some(file) => {
            let file = file.display();
            Err(Usage(format!("{flag}: `{file}`, above `{name}`, is no folder")).into())
        }
        None => Ok(()),
    }
}

/// As [`check_folder`], and refuses one that holds something.
pub fn check_new_folder(flag: &str, path: &Path) -> Result<()> {
    check_folder(flag, path)?;
    match is_occupied(path) {
        true => Err(LabError::from(occupied(path)).into()),
        false => Ok(()),
    }
}

fn folder_of(path: &Path) -> Option<&Path> {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
}

fn holds(path: &Path, content: &[u8]) -> bool {
    let is_as_long = fs::metadata(path).is_ok_and(|found| found.len() == content.len() as u64);
    is_as_long && fs::read(path).is_ok_and(|found| found == content)
}
