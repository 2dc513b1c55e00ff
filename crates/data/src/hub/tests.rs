//! A hub on this machine: what is taken from it, what is left, and what is refused.

use std::error::Error;

use tempfile::TempDir;

use super::*;
use crate::fetch::tests::server::{Request, Server, not_found, ok, partial};

type TestResult = Result<(), Box<dyn Error>>;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const CONFIG_TEXT: &[u8] = b"{\"model_type\": \"llama\"}";
const WEIGHTS: &[u8] = b"weights, more or less";

/// Answers as the hub does; `announced` is the digest that it gives the weights.
fn answer(request: &Request, announced: Sha256Digest) -> Vec<u8> {
    if request.path == "/api/models/some/model/revision/main" {
        let files = [
            "README.md",
            "config.json",
            "model.safetensors",
            "../model.safetensors",
            "model/../../x.safetensors",
            "pytorch_model.bin",
        ];
        let siblings = files.map(|file| format!("{{\"rfilename\": \"{file}\"}}"));
        let info = format!(
            "{{\"sha\": \"{COMMIT}\", \"siblings\": [{}]}}",
            siblings.join(",")
        );
        return ok(info.as_bytes());
    }
    let file = request
        .path
        .strip_prefix(&format!("/some/model/resolve/{COMMIT}/"));
    let (content, etag) = match file {
        Some("config.json") => (CONFIG_TEXT, "abc".to_owned()),
        Some("model.safetensors") => (WEIGHTS, announced.hex()),
        _ => return not_found(),
    };
    match request.range_start {
        Some(start) => partial(content, start as usize),
        None => format!(
            "HTTP/1.1 206 Partial Content\r\nx-repo-commit: {COMMIT}\r\netag: \"{etag}\"\r\n\
             content-range: bytes 0-0/{}\r\ncontent-length: 1\r\nconnection: close\r\n\r\n{{",
            content.len()
        )
        .into_bytes(),
    }
}

fn hub(announced: Sha256Digest) -> Server {
    Server::start(move |_, request| answer(request, announced))
}

fn options(server: &Server, cache: &TempDir) -> HubOptions {
    HubOptions {
        offline: false,
        endpoint: Some(server.base.trim_end_matches('/').to_owned()),
        cache: Some(cache.path().to_path_buf()),
    }
}

fn repo() -> HubRepo {
    "hf:some/model".parse().expect("the name is right")
}

#[test]
fn the_files_of_a_model_arrive_once_and_are_found_without_the_hub() -> TestResult {
    let (cache, server) = (tempfile::tempdir()?, hub(Sha256Digest::of(WEIGHTS)));
    let options = options(&server, &cache);
    let missing = find(&repo(), &options).map_err(|error| *error.kind);
    assert!(matches!(missing, Err(HubErrorKind::NotFetched { .. })));

    let mut events = Vec::new();
    let folder = fetch(&repo(), &options, &mut |event| {
        events.push(format!("{event:?}"))
    })?;
    assert_eq!(events.len(), 4, "{events:?}");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    assert_eq!(names, ["config.json", "model.safetensors"]);
    assert_eq!(fs::read(folder.join("model.safetensors"))?, WEIGHTS);
    assert!(folder.ends_with(COMMIT));
    assert_eq!(find(&repo(), &options)?, folder);
    let by_commit: HubRepo = format!("hf:some/model@{COMMIT}").parse()?;
    assert_eq!(find(&by_commit, &options)?, folder);

    let n_before = server.paths().len();
    assert_eq!(fetch(&repo(), &options, &mut |_| ())?, folder);
    let offline = HubOptions {
        offline: true,
        ..options
    };
    assert_eq!(fetch(&repo(), &offline, &mut |_| ())?, folder);
    assert_eq!(
        server.paths().len(),
        n_before + 1,
        "only the list is asked for again"
    );
    Ok(())
}

#[test]
fn weights_that_are_not_the_announced_ones_are_removed() -> TestResult {
    let (cache, server) = (tempfile::tempdir()?, hub(Sha256Digest::of(b"others")));
    let options = options(&server, &cache);
    let outcome = fetch(&repo(), &options, &mut |_| ()).map_err(|error| *error.kind);
    match outcome {
        Err(HubErrorKind::Content { file, found, .. }) => {
            assert_eq!(
                (&*file, found),
                ("model.safetensors", Sha256Digest::of(WEIGHTS))
            );
        }
        other => panic!("expected wrong content, found {other:?}"),
    }
    let folder = cache
        .path()
        .join("models--some--model/snapshots")
        .join(COMMIT);
    assert!(!folder.join("model.safetensors").exists());
    let missing = find(&repo(), &options).map_err(|error| *error.kind);
    assert!(
        matches!(missing, Err(HubErrorKind::NotFetched { .. })),
        "{missing:?}"
    );
    Ok(())
}

#[test]
fn a_hub_that_has_nothing_and_one_that_is_forbidden_are_told_apart() -> TestResult {
    let cache = tempfile::tempdir()?;
    let server = Server::start(|_, _| not_found());
    let options = options(&server, &cache);
    let outcome = fetch(&repo(), &options, &mut |_| ()).map_err(|error| *error.kind);
    assert!(
        matches!(outcome, Err(HubErrorKind::Api { .. })),
        "{outcome:?}"
    );
    let n_before = server.paths().len();
    let offline = HubOptions {
        offline: true,
        ..options
    };
    let outcome = fetch(&repo(), &offline, &mut |_| ()).map_err(|error| *error.kind);
    assert!(
        matches!(outcome, Err(HubErrorKind::Offline { .. })),
        "{outcome:?}"
    );
    assert_eq!(server.paths().len(), n_before);
    Ok(())
}
