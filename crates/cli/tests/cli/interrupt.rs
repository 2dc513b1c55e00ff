//! Ctrl-C leaves what was finished, and the same command goes on from there.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Place, Ran, TestResult, assert_same};

/// Many steps, so that there is a middle to be interrupted in.
pub const LONG: &str = "demo --models 24 --hidden 48 --aux-logits 10 --teacher-epochs 4 --student-epochs 4 \
                        --input-rows 2000 --batch 100 --threads 2 --quiet --json";
/// Steps of it.
const STEPS: usize = 48;
/// Longest wait for anything here: far above what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `come`.
pub fn wait_until(mut come: impl FnMut() -> TestResult<bool>) -> TestResult {
    let deadline = Instant::now() + PATIENCE;
    while !come()? {
        if Instant::now() > deadline {
            return Err("waited in vain".into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Starts `line`, with its output kept for the end.
pub fn start(place: &Place, line: &str) -> TestResult<Child> {
    let mut command = place.command(line);
    Ok(command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?)
}

/// Returns how many files the step records of the store are.
fn n_steps(place: &Place) -> TestResult<usize> {
    let folder = place.store().join("steps");
    Ok(if folder.exists() {
        crate::support::files_below(&folder)?.len()
    } else {
        0
    })
}

/// Sends what Ctrl-C sends.
pub fn interrupt(child: &Child) -> TestResult {
    // The shell's own `kill`: no package is needed for it.
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -INT {}", child.id())])
        .status()?;
    assert!(sent.success());
    Ok(())
}

#[test]
fn an_interrupted_run_ends_with_5_and_goes_on_to_the_same_bytes() -> TestResult {
    let undisturbed = Place::new()?;
    let expected = undisturbed.expect(0, LONG)?;

    let place = Place::new()?;
    let child = start(&place, LONG)?;
    wait_until(|| Ok(n_steps(&place)? >= 3))?;
    interrupt(&child)?;
    let ran = Ran::of(child.wait_with_output()?)?;
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert_eq!(ran.object()?["exit_code"], 5);
    assert!(
        ran.stderr
            .contains("nothing finished is lost: repeat the command to go on"),
        "{ran:?}"
    );
    let kept = n_steps(&place)?;
    assert!((3..STEPS).contains(&kept), "{kept} steps");
    let list = place.expect(0, "runs")?.stdout;
    assert!(list.contains("interrupted"), "{list}");
    let shown = place.expect(0, "show demo")?.stdout;
    assert!(shown.contains("status    interrupted"), "{shown}");
    assert!(shown.contains("to go on  repeat the command"), "{shown}");
    let refused = place.expect(2, "report demo")?;
    assert!(refused.stderr.contains("has not finished"), "{refused:?}");

    let ran = place.expect(0, &LONG.replace("--quiet", ""))?;
    assert!(ran.stderr.contains("goes on"), "{ran:?}");
    assert_eq!(ran.stdout, expected.stdout);
    assert_same(&undisturbed.lasting()?, &place.lasting()?);
    assert_eq!(n_steps(&place)?, STEPS);
    Ok(())
}

#[test]
fn the_theorem_check_can_be_interrupted() -> TestResult {
    let place = Place::new()?;
    let child = start(&place, "theorem --cases 1000000 --progress ndjson")?;
    wait_until(|| {
        Ok(place
            .run_folder("theorem-")
            .is_ok_and(|folder| folder.join("events.jsonl").exists()))
    })?;
    interrupt(&child)?;
    let ran = Ran::of(child.wait_with_output()?)?;
    assert_eq!(ran.code, Some(5), "{:?}", ran.stdout);
    Ok(())
}
