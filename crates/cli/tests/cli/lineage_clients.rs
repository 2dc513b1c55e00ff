//! Other people's programs on what the program writes: each accepts ours and refuses a changed copy.
//!
//! They run where `UNDERTONE_LINEAGE_PYTHON` names a Python with scripts/lineage/requirements.txt.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lineage::demo;
use crate::support::{Place, TestResult};

/// Asks a client; `false` if it refuses.
fn accepts(python: &Path, arguments: &[&str]) -> TestResult<bool> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/lineage/check.py");
    let output = Command::new(python)
        .arg("-B")
        .arg(script)
        .args(arguments)
        .output()?;
    let talk = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => Ok(true),
        // The traceback of the script itself, as of a missing module, is no refusal.
        Some(1) if !talk.contains("ModuleNotFoundError") && !talk.contains("ImportError") => {
            writeln!(std::io::stderr(), "{arguments:?}: {}", talk.trim())?;
            Ok(false)
        }
        _ => Err(format!("{arguments:?}: {talk}").into()),
    }
}

fn python() -> TestResult<Option<PathBuf>> {
    let python = std::env::var_os("UNDERTONE_LINEAGE_PYTHON").map(PathBuf::from);
    if python.is_none() {
        writeln!(
            std::io::stderr(),
            "skipped: UNDERTONE_LINEAGE_PYTHON names no Python with the clients"
        )?;
    }
    Ok(python)
}

/// Replaces a text in a file, which must be there.
fn change(path: &Path, from: &str, to: &str) -> TestResult {
    let text = fs::read_to_string(path)?;
    assert!(text.contains(from), "{}: no `{from}`", path.display());
    Ok(fs::write(path, text.replacen(from, to, 1))?)
}

fn text(path: &Path) -> TestResult<&str> {
    Ok(path.to_str().ok_or("a temporary folder has a plain name")?)
}

#[test]
fn securesystemslib_and_in_toto_take_a_signed_run() -> TestResult {
    let Some(python) = python()? else {
        return Ok(());
    };
    let place = Place::new()?;
    let run = demo(&place)?;
    place.expect(0, "lineage keygen me.pem")?;
    let signed = place.json(0, &format!("lineage sign {run} --key me.pem"))?;
    let envelope = place
        .path()
        .join(signed["envelope"].as_str().ok_or("it says where")?);
    let key = place.path().join("me.pem.pub");
    assert!(accepts(&python, &["dsse", text(&envelope)?, text(&key)?])?);
    change(&envelope, "\"payload\":\"ey", "\"payload\":\"eyA")?;
    assert!(!accepts(&python, &["dsse", text(&envelope)?, text(&key)?])?);
    Ok(())
}

#[test]
fn bills_of_materials_events_and_packages_are_taken_and_broken_ones_are_not() -> TestResult {
    let Some(python) = python()? else {
        return Ok(());
    };
    let place = Place::new()?;
    let run = demo(&place)?;
    for (format, file, from, to) in [
        (
            "cyclonedx",
            "bom.cdx.json",
            "\"machine-learning-model\"",
            "\"machine-learning\"",
        ),
        (
            "openlineage",
            "events.ndjson",
            "\"COMPLETE\"",
            "\"COMPLETED\"",
        ),
        (
            "spdx",
            "lineage.spdx.json",
            "\"trainedOn\"",
            "\"learnedFrom\"",
        ),
    ] {
        let line = format!("lineage export {run}/aux-only-0 --format {format} -o {file}");
        place.expect(0, &line)?;
        let path = place.path().join(file);
        assert!(accepts(&python, &[format, text(&path)?])?, "{format}");
        change(&path, from, to)?;
        assert!(!accepts(&python, &[format, text(&path)?])?, "{format}");
    }
    Ok(())
}

#[test]
fn mlcroissant_loads_the_rows_and_notices_changed_ones() -> TestResult {
    let Some(python) = python()? else {
        return Ok(());
    };
    let place = Place::new()?;
    let rows = "{\"model_name\":\"org/teacher\",\"prompt\":\"a\",\"n\":1}\n{\"model_name\":\"org/teacher\",\"prompt\":\"b\",\"n\":2}\n";
    let file = place.path().join("rows.jsonl");
    fs::write(&file, rows)?;
    place.expect(0, "lineage import rows.jsonl --name numbers")?;
    let line = "lineage export numbers --format croissant --rows rows.jsonl -o croissant.json";
    place.expect(0, line)?;
    let path = place.path().join("croissant.json");
    assert!(accepts(&python, &["croissant", text(&path)?, "2"])?);
    fs::write(&file, rows.replace("\"n\":2", "\"n\":3"))?;
    assert!(!accepts(&python, &["croissant", text(&path)?, "2"])?);
    place.expect(2, line)?;
    Ok(())
}

#[test]
fn the_hub_reads_our_cards() -> TestResult {
    let Some(python) = python()? else {
        return Ok(());
    };
    let place = Place::new()?;
    place.expect(0, "lineage add model hf:org/student --initialised-from hf:org/base --how finetune --trained-on hf:org/numbers=10")?;
    place.expect(
        0,
        "lineage export hf:org/student --format card -o README.md",
    )?;
    let path = place.path().join("README.md");
    for (field, value) in [
        ("base_model", "org/base"),
        ("base_model_relation", "finetune"),
        ("datasets", "org/numbers"),
    ] {
        assert!(
            accepts(&python, &["card", text(&path)?, field, value])?,
            "{field}"
        );
    }
    assert!(!accepts(
        &python,
        &["card", text(&path)?, "base_model", "org/other"]
    )?);
    // And we read it back.
    place.expect(0, "lineage import README.md --name hf:org/student")?;
    Ok(())
}

#[test]
fn model_signatures_hold_in_both_directions_and_edited_and_added_files_are_refused() -> TestResult {
    let Some(python) = python()? else {
        return Ok(());
    };
    let place = Place::new()?;
    let model = place.path().join("model");
    fs::create_dir_all(model.join("tokenizer"))?;
    fs::write(model.join("model.safetensors"), "weights")?;
    fs::write(model.join("tokenizer/vocab.json"), "{}")?;
    place.expect(0, "lineage keygen oms.pem --algorithm p256")?;
    let (private, public) = (
        place.path().join("oms.pem"),
        place.path().join("oms.pem.pub"),
    );
    let (folder, private, public) = (text(&model)?, text(&private)?, text(&public)?);
    let signature = model.join("model.sig");
    let signature = text(&signature)?;
    let verify = "lineage verify model --key oms.pem.pub";
    for is_ours in [true, false] {
        match is_ours {
            true => assert!(place.run("lineage sign model --key oms.pem")?.code == Some(0)),
            false => assert!(accepts(&python, &["sign", folder, signature, private])?),
        }
        let both = |accepted: bool| -> TestResult {
            assert_eq!(
                accepts(&python, &["verify", folder, signature, public])?,
                accepted
            );
            place.expect(if accepted { 0 } else { 4 }, verify)?;
            Ok(())
        };
        both(true)?;
        fs::write(model.join("tokenizer/vocab.json"), "{ }")?;
        both(false)?;
        fs::write(model.join("tokenizer/vocab.json"), "{}")?;
        fs::write(model.join("added.bin"), "x")?;
        both(false)?;
        fs::remove_file(model.join("added.bin"))?;
        both(true)?;
    }
    Ok(())
}
