//! A disk that is really full, where the system lets us make one, and a file size limit, which needs no rights.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use undertone_store::{Store, StoreErrorKind, write_atomic};

use crate::child::{ARGUMENTS, instruct, this_program};
use crate::script::{begin, command, quick_folder, refused, running};

#[track_caller]
fn check_full<T>(result: undertone_store::Result<T>) {
    let error = refused(result);
    assert!(
        matches!(*error.kind, StoreErrorKind::DiskFull(_)),
        "{error:?}"
    );
    assert_eq!(error.exit_class().code(), 5);
    assert!(
        error
            .kind
            .to_string()
            .contains("everything finished before this is kept")
    );
    assert!(
        error
            .hint()
            .expect("there is advice")
            .contains("repeat the command")
    );
}

/// In a child on a small file system of its own: fills it and checks that nothing finished is lost.
pub fn fill(folder: &Path) {
    let root = folder.join("store");
    let ballast = folder.join("ballast");
    let store = Store::open(&root).expect("an empty disk has room");
    let run = running(begin(&store, "fill", &json!({})));
    let block = |number: u8| vec![number; 10_000];
    let kept: Vec<_> = (0..10)
        .map(|number| store.put(&block(number)).expect("room for ten"))
        .collect();

    let mut size = 1 << 20;
    while size > 0 {
        // Fills the rest of the disk to the last byte: ever smaller pieces until none fits.
        let mut bytes = fs::read(&ballast).unwrap_or_default();
        bytes.resize(bytes.len() + size, 0);
        if fs::write(&ballast, &bytes).is_err() {
            bytes.truncate(bytes.len() - size);
            fs::write(&ballast, &bytes).expect("this much fitted before");
            size /= 2;
        }
    }
    check_full(store.put(&block(11)));
    check_full((0..10_000).try_for_each(|number| run.event("tick", &number)));
    check_full(run.attach("report.html", &block(12)));
    check_full(run.finish(&json!({"text": "x".repeat(10_000)})));
    assert_eq!(fs::read_dir(root.join("tmp")).expect("readable").count(), 0);
    for (number, digest) in kept.iter().enumerate() {
        assert_eq!(store.get(digest).expect("kept"), block(number as u8));
    }
    assert!(store.verify_all().expect("readable").is_empty());

    fs::remove_file(&ballast).expect("our own file");
    let run = running(begin(&store, "fill", &json!({})));
    assert_eq!(run.n_torn_bytes(), 0, "half an event was cut off at once");
    run.finish(&json!(1)).expect("there is room again");
    command(&store, 3).expect("there is room again");
}

/// In a child with a file size limit of 8 KiB.
pub fn write_large(folder: &Path) {
    let target = folder.join("report.html");
    write_atomic(&target, b"old").expect("a small file");
    check_full(write_atomic(&target, &[b'x'; 100_000]));
    assert_eq!(fs::read(&target).expect("readable"), b"old");
    let store = Store::open(folder.join("store")).expect("small files only");
    check_full(store.put(&[b'x'; 100_000]));
    store.put(b"small").expect("a small object still fits");
    assert!(store.verify_all().expect("readable").is_empty());
    assert_eq!(
        fs::read_dir(folder).expect("readable").count(),
        2,
        "no temporary file stays"
    );
}

/// Runs a shell line that ends by becoming this program in `role`.
#[track_caller]
fn run_child(wrapper: &[&str], line: &str, role: &str) {
    let folder = quick_folder();
    let marks = quick_folder();
    let mark = marks.path().join("done");
    let mut shell = Command::new(wrapper[0]);
    shell.args(&wrapper[1..]).args(["-c", line, "sh"]);
    shell.arg(folder.path()).arg(this_program()).args(ARGUMENTS);
    let output = instruct(&mut shell, role, folder.path(), &mark)
        .output()
        .expect("a shell starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(mark.exists(), "the child did not do its work");
}

#[cfg(unix)]
#[test]
fn file_size_limit_reads_as_a_full_disk_and_keeps_the_old_file() {
    run_child(
        &["sh"],
        "trap '' XFSZ; ulimit -f 16; shift; exec \"$@\"",
        "write-large",
    );
}

#[cfg(target_os = "linux")]
#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped must say so")]
fn full_disk_loses_nothing_and_says_what_to_do() {
    const MOUNT: &str = "mount -t tmpfs -o size=512k,nr_inodes=200 none \"$1\"";
    let wrappers: [&[&str]; 2] = [
        &["unshare", "--mount", "sh"],
        &["unshare", "--user", "--map-root-user", "--mount", "sh"],
    ];
    // A mount in a namespace of its own disappears with the process.
    let folder = quick_folder();
    let works = |wrapper: &&&[&str]| {
        let probe = Command::new(wrapper[0])
            .args(&wrapper[1..])
            .args(["-c", MOUNT, "sh"])
            .arg(folder.path())
            .output();
        probe.is_ok_and(|output| output.status.success())
    };
    match wrappers.iter().find(works) {
        Some(wrapper) => run_child(wrapper, &format!("{MOUNT} && shift && exec \"$@\""), "fill"),
        None if std::env::var_os("UNDERTONE_REQUIRE_FULL_DISK").is_some() => {
            panic!("this system lets us mount no file system to fill")
        }
        None => eprintln!("SKIPPED: this system lets us mount no file system to fill"),
    }
}
