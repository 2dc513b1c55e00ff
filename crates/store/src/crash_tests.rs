//! Stops the store at every single file system operation and compares what comes out in the end.
//!
//! A scripted command runs with a [`Watcher`] that fails its k-th operation, for every k until the command gets
//! through: once by dying there, once by dying in the middle of a write, once with a full disk that is then emptied.
//! The command is then repeated, and the store must hold the same bytes as one that nobody disturbed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::disk::{self, Disk, Operation, Permit, Watcher};
use crate::error::{Result, StoreErrorKind};
use crate::owner::Owner;
use crate::runs::{Begun, EventLog, RunStart};
use crate::{Environment, ExitClass, StepIdentity, Store};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The process dies before the operation: this one and all later ones are refused.
    Death,
    /// The process dies half way through a write.
    TornDeath,
    /// The disk is full for this one operation, and half of a write is on it.
    DiskFull,
}

struct Saboteur {
    fault: Fault,
    at: usize,
    log: Mutex<Vec<(Operation, PathBuf)>>,
}

impl Saboteur {
    fn new(fault: Fault, at: usize) -> Arc<Self> {
        Arc::new(Saboteur {
            fault,
            at,
            log: Mutex::new(Vec::new()),
        })
    }

    fn n_operations(&self) -> usize {
        self.log.lock().expect("no test thread panics inside").len()
    }
}

impl Watcher for Saboteur {
    fn permit(&self, operation: Operation, path: &Path) -> Permit {
        let mut log = self.log.lock().expect("no test thread panics inside");
        let number = log.len();
        log.push((operation, path.to_owned()));
        let dead = || io::Error::other("the process is dead");
        match (self.fault, number.cmp(&self.at)) {
            (_, std::cmp::Ordering::Less) => Permit::Granted,
            (Fault::TornDeath, std::cmp::Ordering::Equal) => Permit::Torn(dead()),
            (Fault::Death | Fault::TornDeath, _) => Permit::Refused(dead()),
            // Removing and cutting need no room.
            (Fault::DiskFull, std::cmp::Ordering::Equal)
                if !matches!(operation, Operation::Remove | Operation::Truncate) =>
            {
                Permit::Torn(io::ErrorKind::StorageFull.into())
            }
            (Fault::DiskFull, _) => Permit::Granted,
        }
    }
}

/// A folder in memory where there is one: these tests sync thousands of files, and a dead process loses no cache.
fn quick_folder() -> tempfile::TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory
        .or_else(|_| tempfile::tempdir())
        .expect("a folder")
}

/// A process number that no living process has, so that its temporary files count as left by the dead.
fn dead_owner() -> Owner {
    Owner {
        pid: u32::MAX,
        ..Owner::this()
    }
}

fn sabotaged(folder: &Path, saboteur: &Arc<Saboteur>) -> Result<Store> {
    let disk = Disk::watched(saboteur.clone(), dead_owner());
    Store::open_on(disk, folder.to_owned())
}

fn step(index: u64) -> StepIdentity {
    StepIdentity {
        kind: "test/double".into(),
        version: 1,
        params: json!({"factor": 2}),
        inputs: BTreeMap::new(),
        seed: 7,
        index,
    }
}

fn environment() -> Environment {
    Environment {
        os: "linux".into(),
        arch: "x86_64".into(),
        cpu_model: None,
        cpu_features: vec!["avx2".into()],
        n_threads: 2,
        undertone_version: "0.1.0".into(),
        git_revision: None,
        git_dirty: None,
    }
}

/// What a command does with a store, start to end. Returns how many steps it had to compute.
fn command(store: &Store) -> Result<u64> {
    let environment = environment();
    let start = RunStart {
        command: "demo",
        settings: &json!({"n_models": 3}),
        inputs: BTreeMap::from([("digits".to_owned(), store.put(b"digits")?)]),
        environment: &environment,
        argv: &["undertone".to_owned(), "demo".to_owned()],
    };
    let run = match store.begin_run(&start)? {
        Begun::AlreadyDone(view) => {
            assert_eq!(view.attachment("report.html")?, b"<html>");
            return Ok(0);
        }
        Begun::Running(run) => run,
    };
    let mut n_computed = 0;
    let mut outputs = Vec::new();
    for index in 0..3 {
        let identity = step(index);
        let record = match store.lookup_step(&identity)? {
            Some(record) => record,
            None => {
                n_computed += 1;
                let part = |name: &str| (name.to_owned(), format!("{name} {index}").into_bytes());
                store.commit_step(&identity, &BTreeMap::from([part("weights"), part("curve")]))?
            }
        };
        run.event("step", &json!({"index": index}))?;
        outputs.push(String::from_utf8_lossy(&store.get(&record.outputs["curve"])?).into_owned());
    }
    run.attach("report.html", b"<html>")?;
    run.finish(&json!({"curves": outputs, "mean": 0.1}))?;
    Ok(n_computed)
}

/// All files and their bytes, with times taken out and events left to [`check_events`].
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for path in disk::list(&next).expect("a readable folder") {
            if path.is_dir() {
                folders.push(path);
            } else if disk::name_of(&path) != "events.jsonl" {
                let name = path
                    .strip_prefix(folder)
                    .expect("it lies inside")
                    .to_owned();
                files.insert(name, without_times(&path));
            }
        }
    }
    files
}

fn without_times(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).expect("a readable file");
    if disk::name_of(path) != "manifest.json" {
        return bytes;
    }
    let mut manifest: Value = serde_json::from_slice(&bytes).expect("a manifest is JSON");
    for field in [
        "/body/started_at",
        "/body/ended_at",
        "/body/events",
        "/check",
    ] {
        *manifest.pointer_mut(field).expect("a manifest has it") = Value::Null;
    }
    crate::canonical::compact(&manifest)
}

fn check_events(folder: &Path) {
    let runs = disk::list(&folder.join("runs")).expect("a readable folder");
    let log = EventLog::read(&runs[0].join("events.jsonl"), None).expect("whole lines");
    assert_eq!(log.n_torn_bytes, 0);
    assert_eq!(
        log.events.last().expect("the run has finished").kind,
        "finished"
    );
}

/// Repeats the command undisturbed and checks that nothing differs from a store that was never disturbed.
#[track_caller]
fn check_recovers(folder: &Path, expected: &BTreeMap<PathBuf, Vec<u8>>) {
    let store = Store::open(folder).expect("an interrupted store opens");
    command(&store).expect("an interrupted command goes on");
    assert_eq!(tree(folder), *expected);
    check_events(folder);
    assert_eq!(command(&store).expect("a finished command is found"), 0);
    assert!(store.verify_all().expect("a readable store").is_empty());
}

fn undisturbed() -> BTreeMap<PathBuf, Vec<u8>> {
    let folder = quick_folder();
    let store = Store::open(folder.path()).expect("an empty folder becomes a store");
    assert_eq!(command(&store).expect("nothing disturbs it"), 3);
    tree(folder.path())
}

/// A step of five rows with a state after every second, start to end.
fn long_step(store: &Store) -> Result<()> {
    let identity = step(0);
    if store.lookup_step(&identity)?.is_some() {
        return store.discard_step(&identity.key());
    }
    let (mut unfinished, progress) = store.begin_step(&identity.key())?;
    let mut rows = progress.rows;
    // The state may be older than the rows, never newer.
    let after = progress.state.map_or(0, |state| usize::from(state[0]));
    assert!(
        after <= rows.len(),
        "a state after {after} of {} rows",
        rows.len()
    );
    for row in rows.len()..5 {
        let content = format!("row {row}").into_bytes();
        unfinished.append_row(&content)?;
        rows.push(content);
        if row % 2 == 1 {
            unfinished.set_state(vec![row as u8 + 1])?;
        }
    }
    let outputs = BTreeMap::from([("rows".to_owned(), rows.concat())]);
    store.commit_step(&identity, &outputs)?;
    unfinished.finish()
}

#[test]
fn an_unfinished_step_survives_death_at_any_operation() {
    let undisturbed = quick_folder();
    let store = Store::open(undisturbed.path()).expect("an empty folder becomes a store");
    long_step(&store).expect("nothing disturbs it");
    let expected = tree(undisturbed.path());
    for fault in [Fault::Death, Fault::TornDeath, Fault::DiskFull] {
        for at in 0.. {
            let folder = quick_folder();
            let root = folder.path().join("store");
            let saboteur = Saboteur::new(fault, at);
            let outcome = sabotaged(&root, &saboteur).and_then(|store| long_step(&store));
            let store = Store::open(&root).expect("an interrupted store opens");
            long_step(&store).expect("an interrupted step goes on");
            assert_eq!(tree(&root), expected, "{fault:?} at operation {at}");
            assert!(
                disk::list(&root.join("partial"))
                    .expect("readable")
                    .is_empty()
            );
            if saboteur.n_operations() <= at {
                outcome.expect("nothing was refused");
                assert!(at > 30, "the step makes {at} operations only");
                break;
            }
        }
    }
}

/// Fails the k-th operation for every k, and hands each broken store to `check`.
fn at_every_operation(fault: Fault, check: impl Fn(&Path, usize)) -> usize {
    for at in 0.. {
        let folder = quick_folder();
        let root = folder.path().join("store");
        let saboteur = Saboteur::new(fault, at);
        let outcome = sabotaged(&root, &saboteur).and_then(|store| command(&store));
        if let Err(error) = &outcome {
            assert_eq!(
                error.exit_class(),
                ExitClass::Infrastructure,
                "operation {at}: {error:?}"
            );
            let is_full = matches!(*error.kind, StoreErrorKind::DiskFull(_));
            assert_eq!(
                is_full,
                fault == Fault::DiskFull,
                "operation {at}: {error:?}"
            );
        }
        check(&root, at);
        if saboteur.n_operations() <= at {
            assert_eq!(outcome.expect("nothing was refused"), 3);
            return at;
        }
    }
    unreachable!("the range of operations has no end")
}

#[test]
fn death_at_any_operation_leaves_no_trace_in_the_end() {
    let expected = undisturbed();
    for fault in [Fault::Death, Fault::TornDeath] {
        let n_operations = at_every_operation(fault, |root, _| check_recovers(root, &expected));
        assert!(
            n_operations > 50,
            "the script makes {n_operations} operations only"
        );
    }
}

#[test]
fn second_death_while_recovering_leaves_no_trace_either() {
    let expected = undisturbed();
    at_every_operation(Fault::TornDeath, |root, first| {
        // One second death for each first one, spread over the recovery: all pairs would be thousands.
        let saboteur = Saboteur::new(Fault::TornDeath, first * 7 % 31);
        drop(sabotaged(root, &saboteur).and_then(|store| command(&store)));
        check_recovers(root, &expected);
    });
}

#[test]
fn full_disk_at_any_operation_loses_nothing() {
    let expected = undisturbed();
    at_every_operation(Fault::DiskFull, |root, at| {
        let leftovers = disk::list(&root.join("tmp")).expect("a readable folder");
        assert!(leftovers.is_empty(), "operation {at}: {leftovers:?}");
        check_recovers(root, &expected);
    });
}

#[test]
fn finished_steps_are_not_computed_again_after_a_death() {
    at_every_operation(Fault::Death, |root, at| {
        let store = Store::open(root).expect("an interrupted store opens");
        let n_recorded = (0..3)
            .filter(|index| store.lookup_step(&step(*index)).expect("intact").is_some())
            .count() as u64;
        let is_done = store
            .runs()
            .expect("readable")
            .runs
            .iter()
            .any(|run| run.ended_at.is_some());
        let n_computed = command(&store).expect("an interrupted command goes on");
        assert_eq!(
            n_computed,
            if is_done { 0 } else { 3 - n_recorded },
            "operation {at}"
        );
    });
}

#[test]
fn names_become_durable_only_after_their_contents() {
    let folder = quick_folder();
    let saboteur = Saboteur::new(Fault::Death, usize::MAX);
    let store = sabotaged(&folder.path().join("store"), &saboteur).expect("a new store");
    command(&store).expect("nothing disturbs it");
    let log = saboteur.log.lock().expect("no test thread panics inside");
    let mut n_renames = 0;
    for (number, (operation, path)) in log.iter().enumerate() {
        if *operation != Operation::Rename {
            continue;
        }
        n_renames += 1;
        // Between syncing the bytes and the rename a folder may be made, but nothing is written.
        let before = log[..number].iter().rev().find(|(earlier, _)| {
            matches!(
                earlier,
                Operation::SyncFile | Operation::Write | Operation::CreateFile
            ) && !path.ends_with("commit.lock")
        });
        let synced = matches!(before, Some((Operation::SyncFile, _)))
            || matches!(before, Some((Operation::CreateFile, lock)) if lock.ends_with("commit.lock"));
        assert!(synced, "{path:?} is renamed after {before:?}");
        let parent = path.parent().expect("a file lies in a folder");
        let after = log[number..]
            .iter()
            .any(|(later, folder)| *later == Operation::SyncFolder && folder == parent);
        assert!(after, "the folder of {path:?} is never synced");
    }
    assert!(n_renames > 12, "{n_renames}");
}

/// Takes its time between looking whether a step is recorded and recording it.
struct Dawdler;

impl Watcher for Dawdler {
    fn permit(&self, operation: Operation, path: &Path) -> Permit {
        if operation == Operation::Rename && path.extension().is_some_and(|name| name == "json") {
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        Permit::Granted
    }
}

#[test]
fn two_writers_cannot_both_record_a_step() {
    let folder = quick_folder();
    let commit = |text: &str| {
        let disk = Disk::watched(Arc::new(Dawdler), Owner::this());
        let store = Store::open_on(disk, folder.path().to_owned()).expect("the store opens");
        let outputs = BTreeMap::from([("text".to_owned(), text.as_bytes().to_vec())]);
        store.commit_step(&step(0), &outputs).is_ok()
    };
    Store::open(folder.path()).expect("an empty folder becomes a store");
    let n_recorded = std::thread::scope(|scope| {
        let writers = ["one", "two"].map(|text| scope.spawn(move || commit(text)));
        writers
            .map(|writer| writer.join().expect("no panic"))
            .into_iter()
            .filter(|ok| *ok)
            .count()
    });
    assert_eq!(n_recorded, 1);
}
