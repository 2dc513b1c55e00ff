//! Threads and kills change no bit of an experiment, and what was kept is used.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{small, with};
use crate::support::{Place, TestResult, assert_same, files_below};

/// Longest wait for something that should happen soon.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn threads_change_no_bit_that_lasts() -> TestResult {
    let text = small(&[(
        "arms = [\"foreign-init\"]",
        "arms = [\"foreign-init\", \"in-context\", \"resampled\"]",
    )])?;
    let mut first = None;
    for threads in [1, 3] {
        let place = with(&text)?;
        place.expect(0, &format!("run owl.toml --quiet --threads {threads}"))?;
        let files = place.lasting()?;
        match &first {
            None => first = Some(files),
            Some(first) => assert_same(first, &files),
        }
    }
    Ok(())
}

#[test]
fn killed_at_any_moment_it_ends_with_the_same_bytes() -> TestResult {
    let text = small(&[])?;
    let (left_alone, place) = (with(&text)?, with(&text)?);
    let line = "run owl.toml --quiet --keep-every 0";
    left_alone.expect(0, line)?;
    let objects = |place: &Place| {
        let folder = place.store().join("objects");
        if folder.exists() {
            files_below(&folder).map_or(0, |files| files.len())
        } else {
            0
        }
    };
    let mut kills = 0;
    // Each time a little further: the folder of finished steps has grown.
    for more in [1, 3, 6, 9, 12, 15] {
        let mut child = place.command(line).spawn()?;
        let started = Instant::now();
        while objects(&place) < more && child.try_wait()?.is_none() {
            assert!(started.elapsed() < PATIENCE, "nothing happens");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill()?;
        kills += u32::from(child.wait()?.code().is_none());
    }
    assert!(kills > 2, "it was caught in the middle {kills} times");
    place.expect(0, line)?;
    assert_same(&left_alone.lasting()?, &place.lasting()?);
    Ok(())
}

#[test]
fn a_student_that_is_killed_goes_on_from_its_last_state() -> TestResult {
    let text = small(&[("updates = 4", "updates = 60")])?;
    let line = "run owl.toml --quiet --keep-every 0";
    let (left_alone, place) = (with(&text)?, with(&text)?);
    left_alone.expect(0, line)?;
    let mut child = place.command(line).spawn()?;
    let started = Instant::now();
    // The first student has ended, and the second has kept a state.
    let state = |place: &Place| place.partial("state") > 0;
    while place
        .steps("numbers/student")
        .map_or(0, |steps| steps.len())
        == 0
        || !state(&place)
    {
        assert!(started.elapsed() < PATIENCE, "nothing happens");
        assert!(
            child.try_wait()?.is_none(),
            "it ended before it could be killed"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill()?;
    assert_eq!(child.wait()?.code(), None);
    assert!(state(&place), "it was caught with a student half trained");
    // The same store without what was kept has more to do.
    let forgetful = with(&text)?;
    copy(&place.store(), &forgetful.store())?;
    fs::remove_dir_all(forgetful.store().join("partial"))?;
    let trained = |place: &Place| -> TestResult<u64> {
        let ran = place.expect(0, "run owl.toml --keep-every 0")?;
        let last = ran
            .stderr
            .lines()
            .find_map(|line| line.split_once(" tokens in "));
        Ok(last.ok_or(format!("{ran:?}"))?.0.parse()?)
    };
    let (goes_on, begins_again) = (trained(&place)?, trained(&forgetful)?);
    assert!(
        goes_on < begins_again,
        "{goes_on} tokens after a kill, {begins_again} without what was kept"
    );
    for place in [place, forgetful] {
        assert_same(&left_alone.lasting()?, &place.lasting()?);
    }
    Ok(())
}

/// Copies a folder.
fn copy(from: &Path, to: &Path) -> TestResult {
    for (path, bytes) in files_below(from)? {
        let path = to.join(path);
        fs::create_dir_all(path.parent().ok_or("a file has a folder")?)?;
        fs::write(path, bytes)?;
    }
    Ok(())
}
