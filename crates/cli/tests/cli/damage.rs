//! Flipped bits, truncated and missing files: each is told, nothing is believed, and repair brings the same bytes back.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Files, Place, TINY, TINY_RUN, TestResult, assert_same};

/// A store with a finished run, and what it holds.
fn finished() -> TestResult<(Place, Files)> {
    let place = Place::new()?;
    place.expect(0, TINY_RUN)?;
    let files = place.lasting()?;
    Ok((place, files))
}

/// Returns the file of the weights of some teacher.
fn weights(place: &Place) -> TestResult<PathBuf> {
    let teachers = place.steps("mlp/teacher")?;
    let digest = teachers[0]["body"]["outputs"]["weights"]
        .as_str()
        .ok_or("weights")?;
    let objects = place.store().join("objects");
    Ok(objects.join(&digest[..2]).join(digest))
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> TestResult {
    let mut bytes = fs::read(path)?;
    change(&mut bytes);
    // A new file: objects may be write-protected.
    fs::remove_file(path)?;
    Ok(fs::write(path, bytes)?)
}

fn flip(path: &Path) -> TestResult {
    change(path, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    })
}

#[track_caller]
fn assert_tells(place: &Place, line: &str, file: &Path) -> TestResult {
    let ran = place.expect(4, line)?;
    let name = file
        .file_name()
        .ok_or("a file")?
        .to_string_lossy()
        .into_owned();
    assert!(
        ran.stderr.contains(&name),
        "`{line}` does not name {name}: {}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("damaged or changed"),
        "`{line}`: {}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("undertone doctor --repair"),
        "`{line}`: {}",
        ran.stderr
    );
    assert_eq!(ran.stdout, "", "`{line}`");
    Ok(())
}

#[test]
fn a_flipped_bit_in_an_object_stops_whoever_reads_it() -> TestResult {
    let (place, _) = finished()?;
    let weights = weights(&place)?;
    flip(&weights)?;
    assert_tells(&place, &format!("{TINY} --student-epochs 5"), &weights)
}

#[test]
fn a_truncated_object_stops_whoever_reads_it() -> TestResult {
    let (place, _) = finished()?;
    let weights = weights(&place)?;
    change(&weights, |bytes| bytes.truncate(bytes.len() - 3))?;
    assert_tells(&place, &format!("{TINY} --student-epochs 5"), &weights)
}

#[test]
fn a_missing_object_is_made_again() -> TestResult {
    let (place, files) = finished()?;
    fs::remove_file(weights(&place)?)?;
    let changed = format!("{TINY} --student-epochs 5");
    let why = place
        .expect(0, &format!("{changed} --why --dry-run"))?
        .stderr;
    assert!(why.contains("its outputs are gone: weights"), "{why}");
    place.expect(0, &changed)?;
    let now = place.lasting()?;
    assert!(
        files
            .iter()
            .all(|(path, bytes)| now.get(path) == Some(bytes))
    );
    Ok(())
}

#[test]
fn a_flipped_bit_in_a_runs_file_is_told_by_show_report_and_the_command() -> TestResult {
    for name in [
        "result.json",
        "settings.json",
        "manifest.json",
        "report.html",
    ] {
        let (place, _) = finished()?;
        let file = place.run_folder("mnist-")?.join(name);
        flip(&file)?;
        let readers: &[&str] = match name {
            // Only `report` reads the page.
            "report.html" => &["report mnist"],
            _ => &["show mnist", "report mnist", TINY_RUN],
        };
        for line in readers {
            assert_tells(&place, line, &file)?;
        }
        assert!(!place.path().join("report.html").exists());
    }
    Ok(())
}

#[test]
fn the_list_of_runs_shows_the_others_and_ends_with_4() -> TestResult {
    let (place, _) = finished()?;
    flip(&place.run_folder("mnist-")?.join("manifest.json"))?;
    place.expect(0, "theorem --cases 2")?;
    let list = place.json(4, "runs")?;
    assert_eq!(list["runs"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["damaged"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[test]
fn verify_finds_it_repair_sets_it_aside_and_repeating_restores_the_same_bytes() -> TestResult {
    let (place, files) = finished()?;
    flip(&weights(&place)?)?;
    flip(&place.run_folder("mnist-")?.join("result.json"))?;
    let found = place.json(4, "doctor --verify")?;
    assert!(found["store"]["damaged"].as_u64() >= Some(2), "{found}");
    place.expect(0, "doctor --repair")?;
    place.expect(0, TINY_RUN)?;
    assert_same(&files, &place.lasting()?);
    place.expect(0, &format!("{TINY} --student-epochs 5"))?;
    place.expect(0, "doctor --verify")?;
    Ok(())
}
