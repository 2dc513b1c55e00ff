//! Fetching against a real server on this machine that behaves as badly as it is told to, and clients that do the same.

pub(crate) mod server;

use std::error::Error;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;
use undertone_core::Seed;

use super::*;
use crate::dataset::{Dataset, FILE_NAMES};
use crate::folder::Spelling;
use server::{Server, not_found, ok, partial, ranged};

type TestResult = Result<(), Box<dyn Error>>;
type Outcome = Result<(Vec<FileDigest>, Vec<String>), FetchErrorKind>;

const BIG: &str = FILE_NAMES[0];
const SMALL: &str = FILE_NAMES[1];

/// Bytes that gzip cannot shrink, so that lengths mean something on both sides.
fn content(name: &str) -> Vec<u8> {
    let n_bytes = if name == BIG { 300_000 } else { 500 };
    let mut bytes = vec![0; n_bytes];
    Seed(1).stream(name, 0).fill_bytes(&mut bytes);
    bytes
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(content)
        .expect("a vector takes every byte");
    encoder.finish().expect("a vector takes every byte")
}

fn pin(name: &'static str) -> PinnedFile {
    let content = content(name);
    PinnedFile {
        name,
        bytes: content.len() as u64,
        sha256: Sha256Digest::of(&content),
    }
}

fn pins() -> [PinnedFile; 2] {
    [pin(BIG), pin(SMALL)]
}

/// What an honest server has at `path`: both files, packed.
fn packed(path: &str) -> Option<Vec<u8>> {
    [BIG, SMALL]
        .into_iter()
        .find(|name| path == format!("/{name}.gz"))
        .map(|name| gzip(&content(name)))
}

fn honest() -> Server {
    Server::start(|_, request| match packed(&request.path) {
        Some(body) => ranged(&body, request),
        None => not_found(),
    })
}

fn source(name: &str, server: &Server) -> Source {
    Source::Http {
        name: name.to_owned(),
        base: server.base.clone(),
        spelling: Spelling::DashGz,
    }
}

fn options() -> FetchOptions {
    FetchOptions {
        silence_timeout: Duration::from_millis(500),
        client_timeout: Duration::from_secs(20),
        ..FetchOptions::default()
    }
}

/// Fetches `pins` into `dir`, and returns the events, as their debug texts, too.
fn run(dir: &TempDir, pins: &[PinnedFile], sources: &[Source]) -> (Outcome, Vec<String>) {
    let mut events = Vec::new();
    let outcome = fetch_into(dir.path(), pins, sources, &options(), &mut |event| {
        events.push(format!("{event:?}"));
    });
    (outcome, events)
}

fn file_names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<String>>>()?;
    names.retain(|name| name != ".fetch.lock");
    names.sort();
    Ok(names)
}

/// Asserts that exactly the files of `pins` are in `dir`, complete, and nothing else.
#[track_caller]
fn check_landed(dir: &TempDir, pins: &[PinnedFile]) {
    let mut names: Vec<&str> = pins.iter().map(|pin| pin.name).collect();
    names.sort_unstable();
    assert_eq!(file_names(dir.path()).expect("the folder is there"), names);
    for pin in pins {
        let bytes = fs::read(dir.path().join(pin.name)).expect("the file is there");
        assert_eq!(bytes, content(pin.name));
    }
}

/// Returns why the only source failed.
#[track_caller]
fn only_failure(outcome: Outcome) -> SourceErrorKind {
    match outcome {
        Err(FetchErrorKind::NoSource { mut attempts, .. }) if attempts.len() == 1 => {
            attempts.remove(0).kind
        }
        other => panic!("expected one failed source, found {other:?}"),
    }
}

fn seen(events: &[String], start: &str) -> bool {
    events.iter().any(|event| event.starts_with(start))
}

#[test]
fn default_sources_are_encrypted_and_end_with_a_client() {
    for item in Item::all() {
        let sources = Source::defaults(item);
        for source in &sources {
            if let Source::Http { base, .. } = source {
                assert!(
                    base.starts_with("https://") && base.ends_with('/'),
                    "{base}"
                );
            }
        }
        assert!(!matches!(sources.last(), Some(Source::Http { .. }) | None));
    }
}

#[test]
fn both_files_land_and_nothing_else_stays() -> TestResult {
    let (dir, server) = (tempfile::tempdir()?, honest());
    let (outcome, events) = run(&dir, &pins(), &[source("a", &server)]);
    let (files, delivered_by) = outcome?;
    assert_eq!(delivered_by, ["a"]);
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, [BIG, SMALL]);
    check_landed(&dir, &pins());
    for start in ["Trying", "Download", "Progress", "Landed"] {
        assert!(seen(&events, start), "{start}");
    }
    Ok(())
}

#[test]
fn what_is_there_is_not_fetched_again() -> TestResult {
    let (dir, server) = (tempfile::tempdir()?, honest());
    fs::write(dir.path().join(format!("{BIG}.gz")), gzip(&content(BIG)))?;
    let (outcome, events) = run(&dir, &pins(), &[source("a", &server)]);
    assert_eq!(outcome?.0.len(), 2);
    assert!(seen(&events, "Present"));
    assert_eq!(server.paths(), [format!("/{SMALL}.gz")]);
    let (outcome, _) = run(&dir, &pins(), &[source("a", &server)]);
    assert!(outcome?.1.is_empty());
    assert_eq!(server.paths().len(), 1);
    Ok(())
}

#[test]
fn a_wrong_file_is_replaced_and_said_to_be() -> TestResult {
    let (dir, server) = (tempfile::tempdir()?, honest());
    fs::write(dir.path().join(SMALL), b"not it")?;
    let (outcome, events) = run(&dir, &[pin(SMALL)], &[source("a", &server)]);
    outcome?;
    assert!(seen(&events, "Replacing"));
    check_landed(&dir, &[pin(SMALL)]);
    Ok(())
}

#[test]
fn a_cut_connection_is_continued_where_it_broke() -> TestResult {
    let dir = tempfile::tempdir()?;
    let server = Server::start(|n, request| {
        let body = gzip(&content(BIG));
        let mut response = ranged(&body, request);
        if n < 2 {
            response.truncate(100_000);
        }
        response
    });
    let (outcome, events) = run(&dir, &[pin(BIG)], &[source("a", &server)]);
    outcome?;
    check_landed(&dir, &[pin(BIG)]);
    let starts = server.range_starts();
    assert_eq!(starts.len(), 3);
    assert_eq!(starts[0], None);
    assert!(
        starts[1] > Some(90_000) && starts[2] > Some(180_000),
        "{starts:?}"
    );
    assert!(seen(&events, "Download"));
    Ok(())
}

#[test]
fn an_interrupted_run_is_continued_by_the_next_one() -> TestResult {
    let dir = tempfile::tempdir()?;
    let bad = Server::start(|n, request| {
        if n > 0 {
            return Vec::new();
        }
        let mut response = ranged(&gzip(&content(BIG)), request);
        response.truncate(100_000);
        response
    });
    let (outcome, events) = run(&dir, &[pin(BIG)], &[source("a", &bad)]);
    assert!(matches!(
        only_failure(outcome),
        SourceErrorKind::Transport { .. }
    ));
    assert!(seen(&events, "SourceFailed"));
    let parts = file_names(dir.path())?;
    assert_eq!(parts, [format!(".{BIG}.a.part")]);
    let part_bytes = fs::metadata(dir.path().join(&parts[0]))?.len();

    let good = honest();
    run(&dir, &[pin(BIG)], &[source("a", &good)]).0?;
    assert_eq!(good.range_starts(), [Some(part_bytes)]);
    check_landed(&dir, &[pin(BIG)]);
    Ok(())
}

#[test]
fn a_part_of_one_source_is_not_continued_from_another() -> TestResult {
    let (dir, server) = (tempfile::tempdir()?, honest());
    fs::write(dir.path().join(format!(".{BIG}.other.part")), [1; 1000])?;
    run(&dir, &[pin(BIG)], &[source("a", &server)]).0?;
    assert_eq!(server.range_starts(), [None]);
    check_landed(&dir, &[pin(BIG)]);
    Ok(())
}

/// Leaves a sound half of the big file behind and fetches the rest from a server that does not simply continue.
#[track_caller]
fn check_restart(server: &Server, expected_starts: &[Option<u64>]) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let half = &gzip(&content(BIG))[..1000];
    fs::write(dir.path().join(format!(".{BIG}.a.part")), half).expect("the folder is writable");
    let (outcome, events) = run(&dir, &[pin(BIG)], &[source("a", server)]);
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!(server.range_starts(), expected_starts);
    check_landed(&dir, &[pin(BIG)]);
    events
}

#[test]
fn a_server_without_ranges_starts_over() {
    let server = Server::start(|_, _| ok(&gzip(&content(BIG))));
    check_restart(&server, &[Some(1000)]);
}

#[test]
fn a_server_that_refuses_the_range_is_asked_from_the_start() {
    let server = Server::start(|n, request| match n {
        0 => {
            b"HTTP/1.1 416 Range Not Satisfiable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                .to_vec()
        }
        _ => ranged(&gzip(&content(BIG)), request),
    });
    check_restart(&server, &[Some(1000), None]);
}

#[test]
fn a_server_that_continues_elsewhere_is_asked_from_the_start() {
    let server = Server::start(|n, request| match n {
        0 => partial(&gzip(&content(BIG)), 7),
        _ => ranged(&gzip(&content(BIG)), request),
    });
    let events = check_restart(&server, &[Some(1000), None]);
    // Seen from the header already, not only from the digest of what it would have made of the part.
    assert!(
        !events
            .iter()
            .any(|event| event.ends_with("resumed_bytes: 1000 }"))
    );
}

#[test]
fn a_damaged_part_is_dropped_once_its_digest_is_seen() -> TestResult {
    let (dir, server) = (tempfile::tempdir()?, honest());
    fs::write(dir.path().join(format!(".{BIG}.a.part")), [0x1f; 1000])?;
    run(&dir, &[pin(BIG)], &[source("a", &server)]).0?;
    assert_eq!(server.range_starts(), [Some(1000), None]);
    check_landed(&dir, &[pin(BIG)]);
    Ok(())
}

#[test]
fn wrong_content_is_reported_dropped_and_got_elsewhere() -> TestResult {
    let (dir, good) = (tempfile::tempdir()?, honest());
    let bad = Server::start(|_, _| ok(&gzip(b"something else")));
    let (outcome, _) = run(&dir, &pins(), &[source("bad", &bad)]);
    let Err(kind) = outcome else {
        panic!("nothing was delivered");
    };
    let error = FetchError {
        item: Dataset::Mnist.into(),
        folder: dir.path().to_path_buf(),
        kind,
    };
    assert_eq!(error.fault(), Fault::Tampered);
    let text = error.kind.to_string();
    let found = Sha256Digest::of(b"something else");
    assert!(
        text.contains(&found.hex()) && text.contains(&pin(BIG).sha256.hex()),
        "{text}"
    );
    assert!(file_names(dir.path())?.is_empty());

    let (outcome, events) = run(&dir, &pins(), &[source("bad", &bad), source("good", &good)]);
    assert_eq!(outcome?.1, ["good"]);
    assert!(seen(
        &events,
        "SourceFailed { error: SourceError { source_name: \"bad\""
    ));
    check_landed(&dir, &pins());
    Ok(())
}

#[test]
fn a_second_source_gets_only_what_the_first_lacked() -> TestResult {
    let (dir, second) = (tempfile::tempdir()?, honest());
    let first = Server::start(|_, request| match packed(&request.path) {
        Some(body) if request.path.contains(BIG) => ok(&body),
        _ => not_found(),
    });
    let sources = [source("first", &first), source("second", &second)];
    let (files, delivered_by) = run(&dir, &pins(), &sources).0?;
    assert_eq!(delivered_by, ["first", "second"]);
    assert_eq!(files[0].name, BIG);
    assert_eq!(second.paths(), [format!("/{SMALL}.gz")]);
    Ok(())
}

#[test]
fn a_status_other_than_success_is_named() -> TestResult {
    let dir = tempfile::tempdir()?;
    let server = Server::start(|_, _| not_found());
    let (outcome, _) = run(&dir, &[pin(SMALL)], &[source("a", &server)]);
    let failure = only_failure(outcome).to_string();
    assert_eq!(
        failure,
        format!("{}{SMALL}.gz answers with status 404", server.base)
    );
    Ok(())
}

#[test]
fn an_endless_download_is_cut_off_and_dropped() -> TestResult {
    let dir = tempfile::tempdir()?;
    let server = Server::start(|_, _| ok(&vec![7; 1 << 20]));
    let (outcome, _) = run(&dir, &[pin(SMALL)], &[source("a", &server)]);
    assert!(matches!(
        only_failure(outcome),
        SourceErrorKind::TooLong { .. }
    ));
    assert!(file_names(dir.path())?.is_empty());
    Ok(())
}

#[test]
fn a_bomb_is_not_unpacked() -> TestResult {
    let dir = tempfile::tempdir()?;
    let bomb = gzip(&vec![0; 8 << 20]);
    let server = Server::start(move |_, _| ok(&bomb));
    let (outcome, _) = run(&dir, &[pin(SMALL)], &[source("a", &server)]);
    assert!(matches!(
        only_failure(outcome),
        SourceErrorKind::Content(PinError::TooLong {
            expected_bytes: 500,
            ..
        })
    ));
    assert!(file_names(dir.path())?.is_empty());
    Ok(())
}

#[test]
fn a_server_that_says_nothing_is_given_up() -> TestResult {
    let dir = tempfile::tempdir()?;
    // The listener takes connections into its queue and never looks at them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let source = Source::Http {
        name: "silent".to_owned(),
        base: format!("http://{}/", silent.local_addr()?),
        spelling: Spelling::Dash,
    };
    let (outcome, _) = run(&dir, &[pin(SMALL)], &[source]);
    assert!(matches!(
        only_failure(outcome),
        SourceErrorKind::Transport { .. }
    ));
    Ok(())
}

#[test]
fn offline_asks_nobody_and_says_what_is_missing_or_wrong() -> TestResult {
    let (dir, server) = (tempfile::tempdir()?, honest());
    let folder = dir.path().join("mnist");
    let options = FetchOptions {
        offline: true,
        sources: Some(vec![source("a", &server)]),
        ..options()
    };
    let fetch_offline = || {
        let error = fetch(Dataset::Mnist, dir.path(), &options, &mut |_| ())
            .expect_err("the folder lacks files");
        (error.fault(), error.kind)
    };
    let (fault, kind) = fetch_offline();
    assert_eq!(fault, Fault::Missing);
    assert!(
        kind.to_string()
            .ends_with("`t10k-labels-idx1-ubyte` not there, and `--offline` forbids getting them")
    );
    assert!(!folder.exists(), "offline writes nothing either");

    fs::create_dir(&folder)?;
    fs::write(folder.join(SMALL), b"not it")?;
    let (fault, kind) = fetch_offline();
    assert_eq!(fault, Fault::Tampered);
    assert!(matches!(kind, FetchErrorKind::OfflineWrong(_)));
    assert!(server.paths().is_empty());
    Ok(())
}

#[test]
fn two_at_once_fetch_once() -> TestResult {
    let (dir, server) = (tempfile::tempdir()?, honest());
    std::thread::scope(|scope| {
        let both = [0, 1].map(|_| {
            scope.spawn(|| {
                run(&dir, &pins(), &[source("a", &server)])
                    .0
                    .map(|(files, _)| files)
            })
        });
        for one in both {
            let files = one.join().expect("fetching does not panic");
            assert_eq!(files.map(|files| files.len()).ok(), Some(2));
        }
    });
    check_landed(&dir, &pins());
    assert_eq!(server.paths().len(), 2);
    Ok(())
}

#[test]
fn a_disk_that_fails_ends_the_fetch() -> TestResult {
    let (dir, server) = (tempfile::tempdir()?, honest());
    // A folder in the place of the temporary file cannot be written to, not even by the superuser.
    fs::create_dir(dir.path().join(format!(".{SMALL}.tmp")))?;
    let sources = [source("a", &server), source("b", &server)];
    let (outcome, _) = run(&dir, &[pin(SMALL)], &sources);
    assert!(matches!(outcome, Err(FetchErrorKind::Disk { .. })));
    assert_eq!(server.paths().len(), 1, "another source cannot help");
    Ok(())
}

mod clients;
