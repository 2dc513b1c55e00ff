//! What all tests share: a command with many small steps, and a way to compare what it leaves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use undertone_store::{
    Begun, Environment, Result, RunHandle, RunStart, RunView, StepIdentity, Store, StoreError,
};

/// A folder in memory where there is one: nothing here tests a power failure, and disks are slow to sync.
pub fn quick_folder() -> TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory
        .or_else(|_| tempfile::tempdir())
        .expect("a folder")
}

pub fn new_store() -> (TempDir, Store) {
    let folder = quick_folder();
    let store = Store::open(folder.path()).expect("an empty folder becomes a store");
    (folder, store)
}

pub fn step(index: u64, params: Value) -> StepIdentity {
    StepIdentity {
        kind: "test/step".into(),
        version: 1,
        params,
        inputs: BTreeMap::new(),
        seed: 7,
        index,
    }
}

pub fn outputs(items: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    items
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
        .collect()
}

pub fn environment() -> Environment {
    Environment {
        os: "linux".into(),
        arch: "x86_64".into(),
        cpu_model: Some("test".into()),
        cpu_features: vec!["avx2".into()],
        n_threads: 2,
        undertone_version: "0.1.0".into(),
        git_revision: Some("abc".into()),
        git_dirty: Some(false),
    }
}

pub fn begin(store: &Store, command: &str, settings: &Value) -> Result<Begun> {
    store.begin_run(&RunStart {
        command,
        settings,
        inputs: BTreeMap::new(),
        environment: &environment(),
        argv: &["undertone".to_owned(), command.to_owned()],
    })
}

#[track_caller]
pub fn running(begun: Result<Begun>) -> RunHandle {
    match begun.expect("the run begins") {
        Begun::Running(run) => *run,
        Begun::AlreadyDone(view) => panic!("{} has finished", view.id()),
    }
}

#[track_caller]
pub fn done(begun: Result<Begun>) -> RunView {
    match begun.expect("the run is found") {
        Begun::AlreadyDone(view) => *view,
        Begun::Running(run) => panic!("{} has not finished", run.id()),
    }
}

#[track_caller]
pub fn refused<T>(result: Result<T>) -> StoreError {
    match result {
        Ok(_) => panic!("this must be refused"),
        Err(error) => error,
    }
}

/// The command: `n_steps` steps, a report and a result. Returns how many steps it computed.
pub fn command(store: &Store, n_steps: u64) -> Result<u64> {
    let run = match begin(store, "script", &json!({"n_steps": n_steps}))? {
        Begun::AlreadyDone(_) => return Ok(0),
        Begun::Running(run) => run,
    };
    let mut n_computed = 0;
    let mut digests = Vec::new();
    for index in 0..n_steps {
        let identity = step(index, json!({"n_steps": n_steps}));
        let record = match store.lookup_step(&identity)? {
            Some(record) => record,
            None => {
                n_computed += 1;
                let text = format!("weights of {index}").repeat(20);
                store.commit_step(&identity, &outputs(&[("weights", &text), ("same", "x")]))?
            }
        };
        run.event("step", &json!({"index": index}))?;
        digests.push(record.outputs["weights"]);
    }
    run.attach("report.html", b"<html>report</html>")?;
    run.finish(&json!({"digests": digests}))?;
    Ok(n_computed)
}

/// All files of a store and their bytes, without what holds times.
pub fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("events.jsonl") && !path.ends_with("manifest.json") {
                let name = path
                    .strip_prefix(folder)
                    .expect("it lies inside")
                    .to_owned();
                files.insert(name, fs::read(&path).expect("a readable file"));
            }
        }
    }
    files
}

/// Returns the one file below `folder` whose path ends with `name`.
#[track_caller]
pub fn only_file(folder: &Path, name: &str) -> PathBuf {
    let names = tree(folder).into_keys().map(|file| folder.join(file));
    let mut matching: Vec<PathBuf> = names
        .filter(|path| path.to_string_lossy().contains(name))
        .collect();
    assert_eq!(matching.len(), 1, "{matching:?}");
    matching.remove(0)
}

pub fn flip(path: &Path, bit: usize) {
    let mut bytes = fs::read(path).expect("a readable file");
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs::write(path, bytes).expect("a writable file");
}
