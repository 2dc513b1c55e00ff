//! Runs: names, resuming, failing, finishing, attachments, schemas.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use undertone_core::Digest;
use undertone_store::{RunStatus, StoreErrorKind, schemas};

use crate::script::{begin, command, done, new_store, only_file, refused, running};

#[test]
fn manifest_settings_and_environment_are_there_before_the_work() {
    let (_folder, store) = new_store();
    let run = running(begin(&store, "mnist", &json!({"b": 1, "a": 0.5})));
    let view = store.load_run("mnist").expect("it is listed at once");
    assert_eq!(view.manifest.status, RunStatus::Started);
    assert_eq!(view.settings.settings, json!({"a": 0.5, "b": 1}));
    assert_eq!(view.environment, crate::script::environment());
    assert_eq!(view.result, None);
    assert_eq!(view.manifest.argv, ["undertone", "mnist"]);
    assert!(!run.is_resumed());
    assert_eq!(view.id(), run.id());
}

#[test]
fn same_settings_find_the_same_run_and_other_settings_do_not() {
    let (_folder, store) = new_store();
    let id = |settings| running(begin(&store, "mnist", &settings)).id().to_string();
    let first = id(json!({"a": 1, "b": 2}));
    assert_eq!(id(json!({"b": 2, "a": 1})), first);
    assert_ne!(id(json!({"b": 2, "a": 2})), first);
    assert_eq!(first.len(), "mnist-".len() + 12);
    assert_eq!(store.runs().expect("readable").runs.len(), 2);
}

#[test]
fn finished_run_is_returned_and_its_bytes_do_not_depend_on_the_time() {
    let stores = [new_store(), new_store()];
    let bytes = stores.each_ref().map(|(folder, store)| {
        command(store, 2).expect("undisturbed");
        assert_eq!(command(store, 2).expect("finished"), 0);
        fs::read(only_file(folder.path(), "result.json")).expect("readable")
    });
    assert_eq!(bytes[0], bytes[1]);
    let view = stores[0].1.load_run("script").expect("finished");
    assert_eq!(view.manifest.result, Some(Digest::of(&bytes[0])));
    assert_eq!(
        view.attachment("report.html").expect("intact"),
        b"<html>report</html>"
    );
    let result: Option<Value> = view.result_as().expect("any JSON is a value");
    assert!(result.is_some_and(|result| result["digests"].is_array()));
    assert!(view.result_as::<u64>().is_err());
}

#[test]
fn failed_run_says_why_and_is_tried_again_under_its_old_start() {
    let (_folder, store) = new_store();
    let run = running(begin(&store, "mnist", &json!({})));
    run.attach("trace.txt", b"first").expect("room");
    run.fail("the data are gone").expect("room");
    let failed = store.load_run("mnist").expect("intact").manifest;
    assert_eq!(
        (failed.status, failed.failure.as_deref()),
        (RunStatus::Failed, Some("the data are gone"))
    );

    let run = running(begin(&store, "mnist", &json!({})));
    run.attach("trace.txt", b"second").expect("room");
    drop(run);
    let interrupted = store.load_run("mnist").expect("intact").manifest;
    assert_eq!(
        (interrupted.status, interrupted.failure),
        (RunStatus::Started, None)
    );
    assert_eq!(interrupted.started_at, failed.started_at);
    assert!(store.verify_all().expect("readable").is_empty());

    let view = running(begin(&store, "mnist", &json!({})))
        .finish(&json!([1]))
        .expect("room");
    assert_eq!(view.result, Some(json!([1])));
    assert_eq!(
        done(begin(&store, "mnist", &json!({}))).result,
        Some(json!([1]))
    );
}

#[test]
fn prefixes_find_one_run_or_say_why_not() {
    let (_folder, store) = new_store();
    let ids = [1, 2].map(|a| {
        running(begin(&store, "mnist", &json!({"a": a})))
            .id()
            .to_string()
    });
    for id in &ids {
        assert_eq!(store.load_run(id).expect("whole name").id().as_str(), id);
        let hex = &id["mnist-".len()..];
        assert_eq!(store.load_run(hex).expect("digits alone").id().as_str(), id);
    }
    let ambiguous = refused(store.load_run("mnist"));
    let StoreErrorKind::AmbiguousRun { candidates, .. } = &*ambiguous.kind else {
        panic!("{ambiguous:?}")
    };
    assert_eq!(
        candidates.iter().collect::<BTreeSet<_>>(),
        ids.iter().collect()
    );
    let missing = refused(store.load_run("demo"));
    assert!(matches!(*missing.kind, StoreErrorKind::NoSuchRun { .. }));
    assert_eq!(
        [ambiguous.exit_class().code(), missing.exit_class().code()],
        [2, 2]
    );
}

#[test]
fn bad_names_are_refused() {
    let (folder, store) = new_store();
    for name in ["", "Mnist", "a/b", "..", "a b"] {
        assert!(matches!(
            *refused(begin(&store, name, &json!({}))).kind,
            StoreErrorKind::BadName { .. }
        ));
    }
    let run = running(begin(&store, "mnist", &json!({})));
    for name in [
        "",
        ".",
        "..",
        ".x",
        "a/b",
        "../x",
        "a\\b",
        "manifest.json",
        "lock",
        "events.jsonl",
    ] {
        assert!(matches!(
            *refused(run.attach(name, b"")).kind,
            StoreErrorKind::BadName { .. }
        ));
    }
    assert_eq!(
        fs::read_dir(folder.path().join("runs"))
            .expect("readable")
            .count(),
        1
    );
}

#[test]
fn events_from_many_threads_stay_whole() {
    let (_folder, store) = new_store();
    let run = running(begin(&store, "mnist", &json!({})));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let run = &run;
            scope.spawn(move || {
                for n in 0..50 {
                    run.event("tick", &json!({"thread": thread, "n": n}))
                        .expect("room");
                }
            });
        }
    });
    let events = run
        .finish(&json!(1))
        .expect("room")
        .events()
        .expect("whole lines")
        .events;
    assert_eq!(events.len(), 202);
}

#[test]
fn schemas_name_exactly_the_fields_that_are_written() {
    let (folder, store) = new_store();
    command(&store, 1).expect("undisturbed");
    let run = store.load_run("script").expect("finished").folder;
    let key = crate::script::step(0, json!({"n_steps": 1}))
        .key()
        .to_string();
    for (name, schema) in schemas() {
        let path = match name {
            "store" => folder.path().join("store.json"),
            "step" => only_file(folder.path(), &key),
            "event" => run.join("events.jsonl"),
            other => run.join(format!("{other}.json")),
        };
        let text = fs::read_to_string(path).expect("readable");
        let line = if name == "event" {
            text.lines().next().unwrap_or_default()
        } else {
            &text
        };
        let file: Value = serde_json::from_str(line).expect("JSON");
        check_fields(name, &file, schema.as_value(), schema.as_value());
        if let Some(body) = file.get("body") {
            let reference = schema.as_value()["properties"]["body"]["$ref"]
                .as_str()
                .expect("a body has a schema");
            let definition = &schema.as_value()["$defs"][reference.trim_start_matches("#/$defs/")];
            check_fields(name, body, definition, schema.as_value());
        }
    }
}

#[track_caller]
fn check_fields(name: &str, written: &Value, schema: &Value, whole: &Value) {
    let fields = |value: &Value| {
        value
            .as_object()
            .map(|map| map.keys().cloned().collect::<BTreeSet<_>>())
    };
    assert_eq!(
        fields(written),
        fields(&schema["properties"]),
        "{name}: {whole}"
    );
    assert_eq!(
        schema["additionalProperties"],
        json!(false),
        "{name}: {whole}"
    );
}
