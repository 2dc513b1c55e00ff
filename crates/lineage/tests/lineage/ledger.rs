//! Records on disk: the same facts in any order and from any number of people are one graph.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use undertone_lineage::query::Shared;
use undertone_lineage::{EntityKind, Grade, Graph, Ledger, Record};

use crate::support::owl;

fn segments(ledger: &Ledger) -> Vec<String> {
    let names = ledger.segments().expect("the folder can be listed");
    names.into_iter().map(|digest| digest.hex()).collect()
}

/// Everything a graph answers, to compare two.
fn answers(graph: &Graph) -> String {
    let mut out = String::new();
    for kind in EntityKind::ALL {
        for node in graph.entities(kind) {
            let reach = graph.ancestors(node.id, None).expect("it is there");
            out.push_str(&format!("{node}: {reach}"));
        }
    }
    out
}

#[test]
fn a_graph_of_a_ledger_answers_as_one_of_its_records() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = Ledger::of_store(folder.path());
    let owl = owl(Grade::Observed);
    let records = owl.draft.records().to_vec();
    ledger.append(records.clone()).expect("the disk has room");
    let graph = ledger.graph().expect("our own records");
    assert_eq!(answers(&graph), answers(&Graph::from_records(records)));
    let why = graph.why(owl.teacher, owl.student, 9).expect("readable");
    assert_eq!((why.forward.len(), why.forward[0].hops.len()), (1, 3));
    let common = graph.common(owl.teacher, owl.student).expect("readable");
    assert_eq!(
        (common.shared, common.grade),
        (Shared::Yes, Grade::Observed)
    );
    let apart = graph.common(owl.teacher, owl.foreign).expect("readable");
    assert_eq!((apart.shared, apart.grade), (Shared::No, Grade::Observed));
    let exposed = graph
        .exposed(owl.teacher, 1)
        .expect("readable")
        .expect("it is there");
    let shares: Vec<_> = exposed
        .learners
        .iter()
        .filter_map(|learner| learner.share)
        .collect();
    assert_eq!(shares.len(), 2);
    assert!(
        shares
            .iter()
            .all(|share| (share.least, share.most) == (1.0, 1.0))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Two people record parts of the same facts, in any order and with overlaps; whoever merges whom, all see the same.
    #[test]
    fn merges_are_conflict_free(order in any::<u64>(), split in any::<prop::sample::Index>(), overlap in 0usize..8) {
        let mut records: Vec<Record> = owl(Grade::Declared).draft.into_records();
        let n = records.len();
        records.rotate_left(order as usize % n);
        let at = split.index(n);
        let (first, second) = (&records[..(at + overlap).min(n)], &records[at..]);
        let folders = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
        let [a, b, c] = [0, 1, 2].map(|n| Ledger::of_store(folders[n].path()));
        a.append(first.to_vec()).expect("room");
        b.append(second.to_vec()).expect("room");
        c.append(records.clone()).expect("room");
        let theirs = segments(&b);
        a.merge(&b).expect("sound");
        b.merge(&a).expect("sound");
        prop_assert!(segments(&b).len() >= theirs.len());
        let answer = |ledger: &Ledger| answers(&ledger.graph().expect("sound"));
        prop_assert_eq!(answer(&a), answer(&b));
        prop_assert_eq!(answer(&a), answer(&c));
        // The same again adds nothing, and compacting changes no answer.
        prop_assert_eq!(a.merge(&b).expect("sound").new_segments, 0);
        a.compact().expect("sound");
        c.compact().expect("sound");
        prop_assert_eq!(segments(&a), segments(&c));
        prop_assert_eq!(answer(&a), answer(&b));
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

#[test]
fn every_flipped_byte_of_a_segment_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = Ledger::of_store(folder.path());
    ledger
        .append(owl(Grade::Observed).draft.into_records())
        .expect("room");
    assert!(ledger.verify().expect("listed").damage.is_empty());
    for path in files(ledger.folder()) {
        let bytes = fs::read(&path).expect("our file");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(&path, &changed).expect("writable");
            assert_eq!(
                ledger.verify().expect("listed").damage.len(),
                1,
                "byte {at}"
            );
            assert!(ledger.graph().is_err(), "byte {at}");
        }
        fs::write(&path, &bytes).expect("writable");
    }
}

#[test]
fn an_index_that_is_gone_damaged_or_made_up_is_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = Ledger::of_store(folder.path());
    let mut draft = owl(Grade::Observed).draft;
    // Enough bytes that an index is worth it.
    for n in 0..12_000 {
        crate::support::model(&mut draft, &format!("filler number {n}"));
    }
    ledger.append(draft.into_records()).expect("room");
    let fresh = ledger.graph().expect("sound").n_entities();
    let index = ledger.folder().join("index.bin");
    assert!(index.exists());
    assert!(ledger.verify().expect("listed").damage.is_empty());
    let bytes = fs::read(&index).expect("just written");
    for at in (0..bytes.len()).step_by(bytes.len() / 97) {
        let mut changed = bytes.clone();
        changed[at] ^= 4;
        fs::write(&index, &changed).expect("writable");
        assert_eq!(
            ledger.verify().expect("listed").damage.len(),
            1,
            "byte {at}"
        );
        assert_eq!(
            ledger.graph().expect("the segments are sound").n_entities(),
            fresh
        );
    }
    fs::remove_file(&index).expect("it is there");
    assert_eq!(ledger.graph().expect("sound").n_entities(), fresh);
    assert_eq!(fs::read(&index).expect("written again"), bytes);
}
