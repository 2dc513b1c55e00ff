//! Opening models by name and path, and what is said where they are not there.

use std::fs;
use std::path::Path;

use undertone_core::{Digest, Sha256Digest};
use undertone_data::{Fault, Model};
use undertone_lm::source::{
    ModelFiles, ModelSource, OpenModel, OpenModelError, model_digest, open,
};

use crate::support::{GgufFile, TestResult, chain, golden};

/// Opens the model that `text` names; registry models are looked for in `data_dir`.
fn opened(text: &str, data_dir: &Path) -> Result<OpenModel, OpenModelError> {
    let source: ModelSource = text.parse().expect("the text names a model");
    open(&source, data_dir)
}

#[track_caller]
fn check_refused(text: &str, data_dir: &Path, fault: Fault, parts: &[&str]) {
    let error = opened(text, data_dir).expect_err("there is no such model");
    let message = chain(&error);
    assert_eq!(error.fault(), fault, "{message}");
    for part in parts {
        assert!(message.contains(part), "`{message}` lacks `{part}`");
    }
}

#[test]
fn what_is_not_there_is_told_with_the_way_to_get_it() -> TestResult {
    let dir = tempfile::tempdir()?;
    let name = "smollm2-135m-instruct";
    let parts = [name, "`undertone fetch smollm2-135m-instruct` gets it"];
    check_refused(name, dir.path(), Fault::Missing, &parts);
    let parts = ["`no/such.gguf` is not there", "`hf:OWNER/NAME`", name];
    check_refused("no/such.gguf", dir.path(), Fault::Missing, &parts);
    // Whether the program knows the hub or not, it does not ask it.
    let repo = "hf:undertone-tests/nothing";
    check_refused(
        repo,
        dir.path(),
        Fault::Missing,
        &["cannot open model", repo],
    );
    Ok(())
}

#[test]
fn a_registry_model_with_other_bytes_is_tampered_with() -> TestResult {
    let dir = tempfile::tempdir()?;
    let path = Model::SmolLm2Instruct.path(dir.path());
    fs::create_dir_all(path.parent().ok_or("it lies in a folder")?)?;
    let bytes = GgufFile::llama().bytes();
    fs::write(&path, &bytes)?;
    let found = Sha256Digest::of(&bytes).hex();
    let expected = Model::SmolLm2Instruct.file().sha256.hex();
    let again = "`undertone fetch smollm2-135m-instruct`";
    let parts = [&*found, &*expected, again];
    check_refused(
        Model::SmolLm2Instruct.name(),
        dir.path(),
        Fault::Tampered,
        &parts,
    );
    // By path it is a model like any other.
    assert!(opened(&path.display().to_string(), dir.path()).is_ok());
    // A file that is no model any more is first of all not the pinned one.
    fs::write(&path, &bytes[..bytes.len() / 2])?;
    let name = Model::SmolLm2Instruct.name();
    check_refused(name, dir.path(), Fault::Tampered, &[&*expected, again]);
    fs::write(&path, b"no GGUF at all")?;
    check_refused(name, dir.path(), Fault::Tampered, &[&*expected, again]);
    Ok(())
}

#[test]
fn broken_files_are_the_users_and_unreadable_ones_the_machines_fault() -> TestResult {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("model.gguf");
    let text = path.display().to_string();
    fs::write(&path, b"GGUF")?;
    check_refused(&text, dir.path(), Fault::Malformed, &["version"]);
    fs::write(&path, b"")?;
    check_refused(&text, dir.path(), Fault::Io, &["it is empty"]);
    let folder = dir.path().display().to_string();
    check_refused(&folder, dir.path(), Fault::Malformed, &["config.json"]);
    Ok(())
}

#[test]
fn files_and_folders_open_by_path_with_their_digests() -> TestResult {
    let path = golden("tiny-qwen2");
    let folder = opened(&path.display().to_string(), Path::new("."))?;
    assert!(matches!(folder.files, ModelFiles::Folder(_)));
    let digests = folder.digests();
    for file in &digests {
        let content = fs::read(path.join(&file.name))?;
        assert_eq!(file.bytes, content.len() as u64);
        assert_eq!(file.blake3, Digest::of(&content));
        assert_eq!(file.sha256, Sha256Digest::of(&content));
    }
    assert_eq!(digests.len(), 2);

    let file = path.join("model.gguf");
    let gguf = opened(&file.display().to_string(), Path::new("."))?;
    assert!(matches!(gguf.files, ModelFiles::Gguf(_)));
    assert_eq!(model_digest(&gguf.digests()), Digest::of(&fs::read(file)?));
    assert_ne!(model_digest(&digests), model_digest(&gguf.digests()));
    assert_eq!(gguf.config().family, folder.config().family);
    Ok(())
}
