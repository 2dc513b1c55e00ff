//! Truncated, flipped, newer and foreign files: each is named, none is believed, and repair gets the work going again.

use std::fs;
use std::path::Path;

use serde_json::json;
use undertone_core::Digest;
use undertone_store::{DamagedThing, ExitClass, Store, StoreError, StoreErrorKind};

use crate::script::{
    begin, command, flip, new_store, only_file, outputs, quick_folder, refused, running, step, tree,
};

#[track_caller]
fn check_damage(error: &StoreError, path: &Path) {
    assert_eq!(error.exit_class().code(), 4, "{error:?}");
    assert_eq!(error.path, path);
    assert!(error.to_string().contains(&path.display().to_string()));
    assert!(
        error
            .hint()
            .expect("there is advice")
            .contains("undertone doctor --repair")
    );
}

#[test]
fn truncated_and_flipped_objects_are_named_and_set_aside() {
    let (folder, store) = new_store();
    let digest = store.put(b"some weights").expect("room");
    let path = only_file(folder.path(), &digest.hex());
    for spoil in [
        |path: &Path| flip(path, 13),
        |path: &Path| fs::write(path, b"some").expect("writable"),
    ] {
        spoil(&path);
        let error = refused(store.get(&digest));
        check_damage(&error, &path);
        let found = Digest::of(&fs::read(&path).expect("readable"));
        assert!(
            matches!(*error.kind, StoreErrorKind::Tampered { expected, found: f } if expected == digest && f == found)
        );
        let moved = store
            .quarantine(&digest)
            .expect("writable")
            .expect("it was damaged");
        assert_eq!(Digest::of(&fs::read(moved).expect("kept")), found);
        assert!(!store.contains(&digest));
        assert!(matches!(
            *refused(store.get(&digest)).kind,
            StoreErrorKind::Missing
        ));
        assert_eq!(store.put(b"some weights").expect("room"), digest);
    }
    assert_eq!(store.quarantine(&digest).expect("nothing to do"), None);
    assert_eq!(
        fs::read_dir(folder.path().join("damaged"))
            .expect("readable")
            .count(),
        2
    );
}

#[test]
fn putting_the_right_bytes_heals_a_damaged_object() {
    let (folder, store) = new_store();
    let digest = store.put(b"some weights").expect("room");
    flip(&only_file(folder.path(), &digest.hex()), 3);
    store.put(b"some weights").expect("room");
    assert_eq!(store.get(&digest).expect("healed"), b"some weights");
}

#[test]
fn every_flipped_bit_of_a_step_record_is_noticed() {
    let (folder, store) = new_store();
    let identity = step(0, json!({"rate": 0.1}));
    let record = store
        .commit_step(&identity, &outputs(&[("a", "1")]))
        .expect("room");
    let path = only_file(folder.path(), &record.key.to_string());
    let n_bits = fs::read(&path).expect("readable").len() * 8;
    for bit in 0..n_bits {
        flip(&path, bit);
        check_damage(&refused(store.lookup_step(&identity)), &path);
        flip(&path, bit);
    }
    assert_eq!(
        store.lookup_step(&identity).expect("intact again"),
        Some(record)
    );
}

#[test]
fn record_under_another_name_is_not_believed() {
    let (folder, store) = new_store();
    let [a, b] = [0, 1].map(|index| step(index, json!({})));
    let [record_a, record_b] = [&a, &b].map(|id| {
        store
            .commit_step(id, &outputs(&[("a", "1")]))
            .expect("room")
    });
    let [path_a, path_b] =
        [record_a, record_b].map(|r| only_file(folder.path(), &r.key.to_string()));
    fs::copy(path_a, &path_b).expect("writable");
    check_damage(&refused(store.lookup_step(&b)), &path_b);
}

/// Damages one file of a finished store, repairs it, repeats the command, and compares.
fn check_repair(name: &str, expected_thing: fn(&DamagedThing) -> bool) {
    let (folder, store) = new_store();
    command(&store, 4).expect("undisturbed");
    let expected = tree(folder.path());
    let path = match name {
        "manifest.json" | "events.jsonl" => store
            .load_run("script")
            .expect("finished")
            .folder
            .join(name),
        _ => only_file(folder.path(), name),
    };
    flip(&path, 200);

    let damages = store.verify_all().expect("readable");
    assert_eq!(damages.len(), 1, "{damages:?}");
    assert!(expected_thing(&damages[0].thing), "{damages:?}");
    assert_eq!(damages[0].error.path, path);
    let read_only = Store::open_read_only(folder.path()).expect("a store");
    assert!(matches!(
        *refused(read_only.repair()).kind,
        StoreErrorKind::ReadOnly
    ));

    let repairs = store.repair().expect("writable");
    assert!(repairs[0].moved_to.as_ref().expect("moved").exists());
    command(&store, 4).expect("the command goes on");
    let mut repaired = tree(folder.path());
    repaired.retain(|path, _| !path.starts_with("damaged") && !path.ends_with("commit.lock"));
    let mut expected = expected;
    // An object is computed again when a step asks for it; here the run has finished and asks for nothing.
    if !matches!(damages[0].thing, DamagedThing::Run { .. }) {
        let name = path.strip_prefix(folder.path()).expect("inside");
        expected.remove(name);
    }
    expected.retain(|path, _| !path.ends_with("commit.lock"));
    assert_eq!(repaired, expected);
}

#[test]
fn repair_sets_damage_aside_and_the_command_fills_the_gap() {
    let is_run = |thing: &DamagedThing| matches!(thing, DamagedThing::Run { .. });
    for name in [
        "settings.json",
        "environment.json",
        "manifest.json",
        "result.json",
        "events.jsonl",
    ] {
        check_repair(name, is_run);
    }
    let weights = Digest::of("weights of 2".repeat(20).as_bytes()).hex();
    check_repair(&weights, |thing| {
        matches!(thing, DamagedThing::Object { .. })
    });
    let key = step(2, json!({"n_steps": 4})).key().to_string();
    check_repair(&key, |thing| matches!(thing, DamagedThing::StepRecord));
}

#[test]
fn step_whose_output_was_set_aside_is_computed_again() {
    let (folder, store) = new_store();
    let identity = step(0, json!({}));
    let record = store
        .commit_step(&identity, &outputs(&[("a", "1"), ("b", "2")]))
        .expect("room");
    flip(&only_file(folder.path(), &record.outputs["b"].hex()), 0);
    store.repair().expect("writable");
    assert_eq!(store.lookup_step(&identity).expect("intact"), None);
    let damages = store.verify_all().expect("readable");
    assert!(
        matches!(&damages[0].thing, DamagedThing::MissingOutput { output, .. } if output == "b")
    );
    assert!(
        refused(store.commit_step(&identity, &outputs(&[("a", "1"), ("b", "3")])))
            .to_string()
            .contains("write step")
    );
    assert_eq!(
        store
            .commit_step(&identity, &outputs(&[("a", "1"), ("b", "2")]))
            .expect("room"),
        record
    );
    assert!(store.verify_all().expect("readable").is_empty());
}

#[test]
fn damaged_run_is_refused_but_does_not_hide_the_others() {
    let (folder, store) = new_store();
    command(&store, 1).expect("undisturbed");
    command(&store, 2).expect("undisturbed");
    let ids: Vec<_> = store
        .runs()
        .expect("readable")
        .runs
        .into_iter()
        .map(|run| run.id)
        .collect();
    let result = folder
        .path()
        .join("runs")
        .join(ids[0].as_str())
        .join("result.json");
    flip(&result, 99);
    check_damage(&refused(store.load_run(ids[0].as_str())), &result);
    assert_eq!(
        refused(command(&store, 1)).exit_class(),
        ExitClass::Tampered
    );
    store
        .load_run(ids[1].as_str())
        .expect("the other is intact");

    let manifest = result.with_file_name("manifest.json");
    fs::remove_file(&manifest).expect("writable");
    let list = store.runs().expect("readable");
    assert_eq!([list.runs.len(), list.damaged.len()], [1, 1]);
    check_damage(&list.damaged[0].1, &manifest);
}

#[test]
fn newer_older_foreign_and_missing_stores_are_told_apart() {
    let folder = quick_folder();
    let mark = folder.path().join("store.json");
    let kind = || {
        Store::open(folder.path())
            .map_err(|error| (error.exit_class().code(), *error.kind))
            .err()
    };
    fs::write(&mark, r#"{"format":"undertone-store","version":2}"#).expect("writable");
    assert!(matches!(
        kind(),
        Some((2, StoreErrorKind::TooNew { found: 2, .. }))
    ));
    fs::write(&mark, r#"{"format":"undertone-store","version":0}"#).expect("writable");
    assert!(matches!(
        kind(),
        Some((2, StoreErrorKind::TooOld { found: 0, .. }))
    ));
    fs::write(&mark, r#"{"format":"undertone-st"#).expect("writable");
    assert!(matches!(kind(), Some((4, StoreErrorKind::Malformed(_)))));
    fs::rename(&mark, folder.path().join("thesis.tex")).expect("writable");
    assert!(matches!(kind(), Some((2, StoreErrorKind::NotAStore))));
    let none = refused(Store::open_read_only(folder.path().join("none")));
    assert!(matches!(*none.kind, StoreErrorKind::NoStore));
    assert!(!folder.path().join("none").exists());
}

#[test]
fn torn_last_event_is_skipped_cut_off_and_reported_and_a_broken_middle_is_damage() {
    let (_folder, store) = new_store();
    let run = running(begin(&store, "torn", &json!({})));
    run.event("tick", &json!({"n": 1})).expect("room");
    let log = run.folder().join("events.jsonl");
    drop(run);
    let whole = fs::read_to_string(&log).expect("readable");
    fs::write(&log, format!("{whole}{{\"at\":\"20")).expect("writable");
    let events = store
        .load_run("torn")
        .expect("started")
        .events()
        .expect("readable");
    assert_eq!((events.events.len(), events.n_torn_bytes), (2, 9));

    let view = store.load_run("torn").expect("started");
    fs::write(&log, whole.replacen("\"tick\"", "\"tick", 1)).expect("writable");
    check_damage(&refused(view.events()), &log);
    fs::write(&log, whole.replace("\"version\":1", "\"version\":2")).expect("writable");
    assert!(matches!(
        *refused(view.events()).kind,
        StoreErrorKind::TooNew { .. }
    ));

    fs::write(&log, format!("{whole}{{\"at\":\"20")).expect("writable");
    let run = running(begin(&store, "torn", &json!({})));
    assert_eq!(run.n_torn_bytes(), 9);
    let view = run.finish(&json!(1)).expect("room");
    let events = view.events().expect("readable");
    let kinds: Vec<_> = events
        .events
        .iter()
        .map(|event| event.kind.as_str())
        .collect();
    assert_eq!(kinds, ["started", "tick", "resumed", "finished"]);
    assert_eq!(events.events[2].data["n_torn_bytes"], 9);
    flip(&log, 200);
    check_damage(&refused(view.events()), &log);
}
