//! Many threads and processes on one store, and processes that are killed.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::json;
use undertone_store::{Store, StoreErrorKind};

use crate::child::child;
use crate::script::{
    begin, command, new_store, outputs, quick_folder, refused, running, step, tree,
};

pub const N_STEPS: u64 = 40;

/// Puts and commits what all others put and commit too, and something of its own.
pub fn share(store: &Store) {
    let own = std::process::id();
    for number in 0..60 {
        let shared = format!("shared {number}").repeat(50);
        let digest = store.put(shared.as_bytes()).expect("a put succeeds");
        assert_eq!(store.get(&digest).expect("it is there"), shared.as_bytes());
        store
            .put(format!("own {own} {number}").as_bytes())
            .expect("a put succeeds");
        let identity = step(number, json!({"shared": true}));
        let text = format!("output {number}");
        store
            .commit_step(&identity, &outputs(&[("text", &text)]))
            .expect("equal bytes agree");
        assert!(store.lookup_step(&identity).expect("intact").is_some());
    }
}

fn check_shared(folder: &Path, n_objects: usize) {
    let store = Store::open(folder).expect("the store opens");
    assert!(store.verify_all().expect("readable").is_empty());
    let files = tree(folder);
    let count = |start: &str| files.keys().filter(|path| path.starts_with(start)).count();
    assert_eq!(
        [
            count("objects"),
            count("steps"),
            count("tmp"),
            count("damaged")
        ],
        [n_objects, 60, 0, 0]
    );
}

fn wait(children: Vec<Child>) {
    for mut child in children {
        assert!(child.wait().expect("a child of ours").success());
    }
}

/// A child that does not outlive a test that fails.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn threads_share_a_store() {
    let (folder, store) = new_store();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| share(&store));
        }
    });
    // 60 shared texts, 60 outputs, and 60 of this process.
    check_shared(folder.path(), 180);
}

/// One sees no mark, another makes the store, and the first sees what the other wrote: no folder of someone else.
#[test]
fn many_make_one_store_at_once() {
    let folder = quick_folder();
    for round in 0..100 {
        let root = folder.path().join(round.to_string());
        let start = Barrier::new(6);
        std::thread::scope(|scope| {
            for number in 0..6 {
                let (root, start) = (&root, &start);
                scope.spawn(move || {
                    start.wait();
                    let store = Store::open(root).expect("the store opens");
                    let digest = store.put(&[number]).expect("there is room");
                    assert_eq!(store.get(&digest).expect("intact"), [number]);
                });
            }
        });
    }
}

#[test]
fn processes_share_a_store() {
    let folder = quick_folder();
    let marks = quick_folder();
    let root = folder.path().join("store");
    let mark = |number: usize| marks.path().join(number.to_string());
    // No one opened it before: the children race for making it, too.
    let children = (0..4)
        .map(|number| {
            child("share", &root, &mark(number))
                .spawn()
                .expect("a child starts")
        })
        .collect();
    wait(children);
    assert!((0..4).all(|number| mark(number).exists()));
    check_shared(&root, 120 + 4 * 60);
}

#[test]
fn one_of_many_processes_decides_a_contested_step() {
    let (folder, store) = new_store();
    let marks = quick_folder();
    let mark = marks.path().join("won");
    let children = (0..6)
        .map(|_| {
            child("commit-other", folder.path(), &mark)
                .spawn()
                .expect("a child starts")
        })
        .collect();
    wait(children);
    let winners: Vec<_> = fs::read_dir(marks.path()).expect("readable").collect();
    assert_eq!(winners.len(), 1);
    let winner = winners[0].as_ref().expect("readable").path();
    let record = store
        .lookup_step(&step(0, json!({})))
        .expect("intact")
        .expect("recorded");
    assert_eq!(
        store.get(&record.outputs["pid"]).expect("it is there"),
        fs::read(winner).expect("readable")
    );
}

#[test]
fn second_process_is_told_who_holds_the_run_and_takes_over_after_a_kill() {
    let (folder, store) = new_store();
    let marks = quick_folder();
    let mark = marks.path().join("holding");
    let holder = child("hold", folder.path(), &mark).spawn();
    let mut holder = Guarded(holder.expect("a child starts"));
    let started = Instant::now();
    while !mark.exists() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "the child does not get going"
        );
        std::thread::sleep(Duration::from_millis(5));
    }

    let error = refused(begin(&store, "held", &json!({})));
    let StoreErrorKind::Busy { owner: Some(owner) } = &*error.kind else {
        panic!("{error:?}")
    };
    assert_eq!(owner.pid, holder.0.id());
    assert_eq!(error.exit_class().code(), 5);
    let summary = store.runs().expect("readable").runs.remove(0);
    assert_eq!(summary.is_running, Some(true));

    holder.0.kill().expect("a child of ours");
    holder.0.wait().expect("a child of ours");
    assert_eq!(
        store.runs().expect("readable").runs[0].is_running,
        Some(false)
    );
    let run = running(begin(&store, "held", &json!({})));
    assert!(run.is_resumed());
    let error = refused(begin(&store, "held", &json!({})));
    assert!(
        matches!(*error.kind, StoreErrorKind::Busy { .. }),
        "threads keep each other out too"
    );
    run.finish(&json!(1)).expect("the run ends");
}

#[test]
fn killed_processes_leave_no_trace_in_the_end() {
    let undisturbed = quick_folder();
    let store = Store::open(undisturbed.path()).expect("a new store");
    assert_eq!(command(&store, N_STEPS).expect("undisturbed"), N_STEPS);
    let expected = tree(undisturbed.path());

    let marks = quick_folder();
    let mark = marks.path().join("done");
    let mut n_killed = 0;
    let mut folder = quick_folder();
    for round in 0u64.. {
        let mut process = child("script", folder.path(), &mark)
            .spawn()
            .expect("a child starts");
        std::thread::sleep(Duration::from_micros(1_000 + round * 1_700 % 20_000));
        process.kill().expect("a child of ours");
        n_killed += u32::from(!process.wait().expect("a child of ours").success());
        if mark.exists() || n_killed == 30 {
            let store = Store::open(folder.path()).expect("the store opens");
            command(&store, N_STEPS).expect("the command goes on");
            assert_eq!(tree(folder.path()), expected);
            assert!(store.verify_all().expect("readable").is_empty());
            fs::remove_file(&mark).ok();
            folder = quick_folder();
        }
        if n_killed == 30 {
            break;
        }
    }
}
