//! A signed run: each byte of every small file and many bits of a large one are flipped, and all flips are found.

use std::collections::BTreeMap;
use std::fs;

use serde_json::json;
use undertone_core::{Digest, Seed};
use undertone_lineage::envelope::{
    RUN_LINEAGE, SigningKey, envelope_path, sign_run, signed_run_files, verify_run,
};
use undertone_lineage::ledger::records_file;
use undertone_lineage::{Draft, Entity, Grade, Step};
use undertone_store::{Begun, Environment, RunStart, StepIdentity, Store};

/// Files up to this many bytes are changed byte by byte.
const SMALL: usize = 4096;
/// Bits flipped of a larger one; each flip reads the file once.
const FLIPS: u64 = 10_000;

fn environment() -> Environment {
    Environment {
        os: "test".to_owned(),
        arch: "test".to_owned(),
        cpu_model: None,
        cpu_features: Vec::new(),
        n_threads: 1,
        undertone_version: "0.0.0".to_owned(),
        git_revision: None,
        git_dirty: None,
    }
}

#[test]
fn every_flip_in_a_signed_run_is_found() {
    let folder = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a folder");
    let store = Store::open(folder.path()).expect("a new store");
    let settings = json!({"what": "tamper"});
    let environment = environment();
    let start = RunStart {
        command: "test",
        settings: &settings,
        inputs: BTreeMap::from([("data".to_owned(), Digest::of(b"data"))]),
        environment: &environment,
        argv: &["undertone".to_owned()],
    };
    let Begun::Running(handle) = store.begin_run(&start).expect("a new run") else {
        panic!("the run is new");
    };
    let identity = StepIdentity {
        kind: "test/step".to_owned(),
        version: 1,
        params: json!({}),
        inputs: BTreeMap::new(),
        seed: 1,
        index: 0,
    };
    let mut large = vec![0; 40_000];
    Seed(1).stream("test/large", 0).fill_bytes(&mut large);
    let outputs = BTreeMap::from([
        ("small".to_owned(), b"a small output".to_vec()),
        ("large".to_owned(), large),
    ]);
    let record = store.commit_step(&identity, &outputs).expect("room");
    // The run took the step from the store: only its lineage names it.
    let mut draft = Draft::new("test", Grade::Observed);
    draft.entity(Entity::Step(Step {
        kind: identity.kind.clone(),
        key: Some(record.key.to_string()),
        ..Step::default()
    }));
    handle
        .attach(RUN_LINEAGE, &records_file(draft.records()))
        .expect("room");
    let run = handle.finish(&json!({"ok": true})).expect("finished");

    let key = SigningKey::generate().expect("randomness");
    let trusted = [key.public()];
    let envelope = sign_run(&store, &run, &key).expect("a finished run");
    assert_eq!(
        envelope,
        envelope_path(store.root(), run.id().as_str(), &key.public())
    );
    let check = || verify_run(store.root(), &envelope, &trusted);
    assert!(check().expect("signed").holds());
    let files = signed_run_files(&store, &run).expect("listed");
    assert!(files.len() >= 7, "{files:?}");
    let (mut flips, mut stream) = (0u64, Seed(2).stream("test/flips", 0));
    for name in &files {
        let path = store.root().join(name);
        let bytes = fs::read(&path).expect("signed");
        let bits: Vec<u64> = match bytes.len() <= SMALL {
            true => (0..bytes.len() as u64)
                .map(|byte| byte * 8 + stream.below(8))
                .collect(),
            false => (0..FLIPS)
                .map(|_| stream.below(bytes.len() as u64 * 8))
                .collect(),
        };
        for bit in bits {
            let mut changed = bytes.clone();
            changed[(bit / 8) as usize] ^= 1 << (bit % 8);
            fs::write(&path, &changed).expect("writable");
            let found = check().expect("the envelope is whole");
            assert_eq!(found.differences.len(), 1, "{name}: bit {bit}");
            assert_eq!(found.differences[0].file, *name);
            flips += 1;
        }
        fs::write(&path, &bytes).expect("writable");
    }
    // The envelope itself: every byte. Changes of the key's id, a hint, may pass; what is signed stays the same.
    let bytes = fs::read(&envelope).expect("just written");
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(&envelope, &changed).expect("writable");
        if let Ok(held) = check() {
            assert!(held.holds() && held.files == files.len(), "byte {at}");
        }
    }
    fs::write(&envelope, &bytes).expect("writable");
    assert!(check().expect("signed").holds());
    assert!(flips > FLIPS, "{flips} flips");
}
