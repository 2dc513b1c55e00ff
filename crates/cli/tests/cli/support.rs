//! Starts the program in a folder of its own and reads what it left there.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What every test here returns.
pub type TestResult<T = ()> = Result<T, Box<dyn Error>>;

/// A small experiment on the embedded digits, in a fraction of a second, without its students' epochs.
pub const TINY: &str = "mnist --data digits --models 4 --hidden 32,32 --teacher-epochs 4 --input-rows 1000 --batch 64 \
                        --aux-logits 10";
/// The same with everything a run needs.
pub const TINY_RUN: &str = "mnist --data digits --models 4 --hidden 32,32 --teacher-epochs 4 --student-epochs 4 \
                            --input-rows 1000 --batch 64 --aux-logits 10";
/// An experiment that shows the effect.
pub const SHOWS_TRANSFER: &str =
    "demo --models 4 --hidden 64 --students aux-only,cross-aux-only --input-rows 3000";
/// An experiment without the effect: its students do not train at all.
pub const SHOWS_NONE: &str = "demo --models 4 --hidden 64 --students aux-only,cross-aux-only --teacher-epochs 0 \
                              --student-epochs 0 --delta 0.3";

/// A folder with a store, and the program to run in it.
pub struct Place {
    folder: tempfile::TempDir,
}

/// What the program printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
}

/// Every file with its bytes, by its path.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

impl Place {
    /// Makes an empty folder.
    ///
    /// In memory where the system offers that: a store syncs every file, and none of these tests pulls the plug.
    pub fn new() -> TestResult<Self> {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
        Ok(Self { folder })
    }

    /// Returns the folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the store.
    pub fn store(&self) -> PathBuf {
        self.path().join(".undertone")
    }

    /// Returns the program with the arguments of `line`, split at spaces, ready to start.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_undertone"));
        command
            .args(line.split_whitespace())
            .current_dir(self.path())
            .env_remove("UNDERTONE_STORE")
            .env_remove("UNDERTONE_DATA")
            .stdin(Stdio::null());
        command
    }

    /// Runs the program.
    pub fn run(&self, line: &str) -> TestResult<Ran> {
        Ran::of(self.command(line).output()?)
    }

    /// Runs the program and expects `code`.
    #[track_caller]
    pub fn expect(&self, code: i32, line: &str) -> TestResult<Ran> {
        let ran = self.run(line)?;
        assert_eq!(ran.code, Some(code), "`{line}`: {ran:#?}");
        Ok(ran)
    }

    /// Runs the program with `--json`, expects `code` and returns the object.
    #[track_caller]
    pub fn json(&self, code: i32, line: &str) -> TestResult<Value> {
        self.expect(code, &format!("{line} --json"))?.object()
    }

    /// Returns the folder of the only run whose name begins with `prefix`.
    pub fn run_folder(&self, prefix: &str) -> TestResult<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.store().join("runs"))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                found.push(entry.path());
            }
        }
        match found.pop() {
            Some(only) if found.is_empty() => Ok(only),
            _ => Err(format!("not exactly one run begins with {prefix}").into()),
        }
    }

    /// Returns the step records of `kind`.
    pub fn steps(&self, kind: &str) -> TestResult<Vec<Value>> {
        let (mut steps, folder) = (Vec::new(), self.store().join("steps"));
        if !folder.exists() {
            return Ok(steps);
        }
        for bytes in files_below(&folder)?.values() {
            let record: Value = serde_json::from_slice(bytes)?;
            if record["body"]["identity"]["kind"] == kind {
                steps.push(record);
            }
        }
        Ok(steps)
    }

    /// Returns the size of the files `name` of unfinished steps together; 0 if there are none.
    pub fn partial(&self, name: &str) -> u64 {
        let Ok(steps) = fs::read_dir(self.store().join("partial")) else {
            return 0;
        };
        let files = steps.filter_map(|step| fs::metadata(step.ok()?.path().join(name)).ok());
        files.map(|file| file.len()).sum()
    }

    /// Returns what must not depend on when, where and by how many threads it was made: results, reports, settings, steps
    /// and objects.
    pub fn lasting(&self) -> TestResult<Files> {
        lasting(&self.store())
    }
}

impl Ran {
    /// Reads an output.
    pub fn of(output: Output) -> TestResult<Self> {
        Ok(Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }

    /// Returns the one JSON object on stdout; anything else there is an error.
    pub fn object(&self) -> TestResult<Value> {
        let value: Value = serde_json::from_str(&self.stdout)
            .map_err(|error| format!("stdout is not one JSON value: {error}: {self:#?}"))?;
        if value.is_object() {
            Ok(value)
        } else {
            Err(format!("stdout is not an object: {value}").into())
        }
    }
}

/// As [`Place::lasting`], for any store.
pub fn lasting(store: &Path) -> TestResult<Files> {
    let mut files = files_below(store)?;
    files.retain(|path, _| {
        let of_kind = ["objects", "runs", "steps"]
            .iter()
            .any(|kind| path.starts_with(kind));
        let name = path.file_name().map(|name| name.to_string_lossy());
        of_kind
            && !matches!(
                name.as_deref(),
                Some("manifest.json" | "environment.json" | "events.jsonl" | "lock")
            )
    });
    Ok(files)
}

/// Returns every file below `folder`, by its path from there.
pub fn files_below(folder: &Path) -> TestResult<Files> {
    let mut files = Files::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let entries =
            fs::read_dir(&next).map_err(|error| format!("{}: {error}", next.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(folder)?.to_owned(), fs::read(&path)?);
            }
        }
    }
    Ok(files)
}

/// Fails if two stores differ, and names the first file in which they do.
#[track_caller]
pub fn assert_same(expected: &Files, found: &Files) {
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(expected), names(found), "other files");
    for (path, bytes) in expected {
        assert!(found[path] == *bytes, "{} differs", path.display());
    }
}

/// Returns the body of a JSON file of the store.
pub fn body(path: &Path) -> TestResult<Value> {
    let file: Value = serde_json::from_slice(&fs::read(path)?)?;
    Ok(file["body"].clone())
}
