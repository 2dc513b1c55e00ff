//! Objects, step keys and explanations of staleness.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use undertone_core::Digest;
use undertone_store::{Staleness, StepIdentity, Store, StoreErrorKind, canonical_json};

use crate::script::{flip, new_store, only_file, outputs, refused, step, tree};

#[test]
fn key_is_pinned() {
    let identity = StepIdentity {
        inputs: BTreeMap::from([("data".to_owned(), Digest::of(b""))]),
        ..step(3, json!({"b": [1, 0.5], "a": null}))
    };
    let text = "{\"index\":3,\"inputs\":{\"data\":\"af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262\"},\
                \"kind\":\"test/step\",\"params\":{\"a\":null,\"b\":[1,0.5]},\"seed\":7,\"version\":1}\n";
    assert_eq!(
        canonical_json(&identity).expect("it is JSON"),
        text.as_bytes()
    );
    assert_eq!(identity.key().0, Digest::of(text.as_bytes()));
}

#[test]
fn every_field_of_the_identity_changes_the_key() {
    let base = step(0, json!({"a": 1}));
    let others = [
        StepIdentity {
            kind: "other".into(),
            ..base.clone()
        },
        StepIdentity {
            version: 2,
            ..base.clone()
        },
        StepIdentity {
            params: json!({"a": 1.0}),
            ..base.clone()
        },
        StepIdentity {
            inputs: BTreeMap::from([("x".into(), Digest::of(b""))]),
            ..base.clone()
        },
        StepIdentity {
            seed: 8,
            ..base.clone()
        },
        StepIdentity {
            index: 1,
            ..base.clone()
        },
    ];
    assert!(others.iter().all(|other| other.key() != base.key()));
}

#[test]
fn recommitting_agrees_or_is_refused_and_the_first_stays() {
    let (_folder, store) = new_store();
    let identity = step(0, json!({}));
    let first = store
        .commit_step(&identity, &outputs(&[("a", "1"), ("b", "2")]))
        .expect("room");
    let again = store
        .commit_step(&identity, &outputs(&[("a", "1"), ("b", "2")]))
        .expect("equal");
    assert_eq!(again, first);
    for (other, name) in [
        (outputs(&[("a", "1"), ("b", "3")]), "b"),
        (outputs(&[("a", "1")]), "b"),
        (outputs(&[("a", "1"), ("b", "2"), ("c", "3")]), "c"),
    ] {
        let error = refused(store.commit_step(&identity, &other));
        assert!(
            matches!(&*error.kind, StoreErrorKind::StepDiffers { output, .. } if output == name)
        );
        assert_eq!(error.exit_class().code(), 4);
    }
    assert_eq!(store.lookup_step(&identity).expect("intact"), Some(first));
}

#[test]
fn read_only_store_reads_and_never_writes() {
    let (folder, store) = new_store();
    let identity = step(0, json!({}));
    let record = store
        .commit_step(&identity, &outputs(&[("a", "1")]))
        .expect("room");
    let before = tree(folder.path());
    let reader = Store::open_read_only(folder.path()).expect("a store");
    assert_eq!(reader.lookup_step(&identity).expect("intact"), Some(record));
    let refusals = [
        refused(reader.put(b"new")),
        refused(reader.commit_step(&step(1, json!({})), &outputs(&[]))),
        refused(crate::script::begin(&reader, "run", &json!({}))),
    ];
    assert!(
        refusals
            .iter()
            .all(|error| matches!(*error.kind, StoreErrorKind::ReadOnly))
    );
    assert_eq!(tree(folder.path()), before);
}

#[test]
fn explains_why_a_step_is_to_be_computed() {
    let (folder, store) = new_store();
    let params = |epochs: u32, rate: f64| json!({"epochs": epochs, "adam": {"rate": rate}});
    let wanted = step(0, params(5, 0.1));
    assert_eq!(
        store.why_stale(&wanted).expect("readable"),
        Staleness::NeverComputed
    );

    for (index, params) in [
        (0, params(9, 0.3)),
        (0, params(5, 0.2)),
        (1, params(5, 0.1)),
    ] {
        store
            .commit_step(&step(index, params), &outputs(&[("a", "1")]))
            .expect("room");
    }
    let Staleness::Changed {
        nearest,
        differences,
    } = store.why_stale(&wanted).expect("readable")
    else {
        panic!("something similar was computed")
    };
    assert_eq!(nearest, step(0, params(5, 0.2)).key());
    let text: Vec<_> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(text, ["`params.adam.rate` was 0.2 and is now 0.1"]);

    let record = store
        .commit_step(&wanted, &outputs(&[("a", "1"), ("b", "2")]))
        .expect("room");
    assert_eq!(
        store.why_stale(&wanted).expect("readable"),
        Staleness::Fresh
    );
    flip(&only_file(folder.path(), &record.outputs["b"].hex()), 0);
    store.repair().expect("writable");
    let missing = Staleness::OutputsMissing {
        outputs: vec!["b".to_owned()],
    };
    assert_eq!(store.why_stale(&wanted).expect("readable"), missing);

    flip(&only_file(folder.path(), &record.key.to_string()), 99);
    let history = store.step_history().expect("readable");
    assert_eq!(history.n_damaged, 1);
    assert!(matches!(
        history.why_stale(&wanted),
        Staleness::Changed { .. }
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn objects_round_trip(contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 1..4)) {
        let (_folder, store) = new_store();
        for bytes in contents.iter().chain(&contents) {
            let digest = store.put(bytes).expect("room");
            prop_assert_eq!(digest, Digest::of(bytes));
            prop_assert_eq!(&store.get(&digest).expect("it is there"), bytes);
        }
        prop_assert!(store.verify_all().expect("readable").is_empty());
    }

    #[test]
    fn steps_round_trip(
        kind: String, version: u32, seed: u64, index: u64, rate: f64, name in "\\PC{1,8}", bytes: Vec<u8>,
    ) {
        let (_folder, store) = new_store();
        let params = json!({"rate": rate, "name": name});
        let identity = StepIdentity { kind, version, params, inputs: BTreeMap::new(), seed, index };
        let record = store.commit_step(&identity, &BTreeMap::from([(name.clone(), bytes.clone())])).expect("room");
        prop_assert_eq!(store.lookup_step(&identity).expect("intact"), Some(record.clone()));
        prop_assert_eq!(store.get(&record.outputs[&name]).expect("it is there"), bytes);
    }
}
