//! Kills the real program at random moments and asks for the same bytes as if it had been left alone.
//!
//! - `UNDERTONE_KILLS=N` sets the number of kills, 50 by default; `cargo xtask kill` asks for 1,000.
//! - `UNDERTONE_KILL_SEED=S` moves the moments.
//!
//! A round begins with an empty store, kills until the command gets through, and compares. Moments are spread evenly over
//! orders of magnitude, from the first millisecond to half an undisturbed run: short ones meet the start and the
//! reading of what is there, long ones the training. Some are counted from the last step on: they meet the end.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use undertone_core::{Seed, Stream};

type TestResult<T = ()> = Result<T, Box<dyn Error>>;

const KILLS: u32 = 50;
const SHORTEST: Duration = Duration::from_millis(1);
/// Longest moment after the last step: writing report and result takes less.
const LONGEST_END: Duration = Duration::from_millis(100);
/// Longest wait for a run that is not killed: far above what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(300);

/// Many short steps: 60 models, each with a teacher and a group of students.
const COMMAND: [&str; 19] = [
    "demo",
    "--models=60",
    "--hidden=96",
    "--aux-logits=10",
    "--teacher-epochs=4",
    "--student-epochs=4",
    "--input-rows=3000",
    "--batch=100",
    "--seed=7",
    "--store=store",
    "--threads=2",
    "--progress=none",
    "--quiet",
    "--offline",
    "--json",
    "--students=aux-only,cross-aux-only",
    "--inputs=uniform",
    "--loss=kl",
    "--optimiser=adam",
];
/// Steps of the command: a teacher and a group of students for each model.
const STEPS: usize = 120;

/// Fields of `manifest.json` that tell when something happened, or digest a file that does. Everything else must agree.
const TIMES: [&str; 3] = ["started_at", "ended_at", "events"];

fn number(variable: &str, default: u32) -> TestResult<u32> {
    match std::env::var(variable) {
        Ok(text) => Ok(text
            .parse()
            .map_err(|error| format!("{variable}={text}: {error}"))?),
        Err(_) => Ok(default),
    }
}

/// Starts the command in `folder`, with the store inside: its arguments, which are recorded, are the same everywhere.
fn start(folder: &Path) -> TestResult<Child> {
    let said = fs::File::create(folder.join("stderr"))?;
    let printed = fs::File::create(folder.join("stdout"))?;
    Ok(Command::new(env!("CARGO_BIN_EXE_undertone"))
        .args(COMMAND)
        .current_dir(folder)
        .env_remove("UNDERTONE_STORE")
        .env_remove("UNDERTONE_DATA")
        .stdin(Stdio::null())
        .stdout(printed)
        .stderr(said)
        .spawn()?)
}

/// Waits at most `patience`; `None` if it still runs then.
fn wait(child: &mut Child, patience: Duration) -> TestResult<Option<ExitStatus>> {
    wait_until(child, patience, || Ok(false))
}

/// Waits at most `patience`, or until `enough`; `None` if it still runs then.
fn wait_until(
    child: &mut Child,
    patience: Duration,
    enough: impl Fn() -> TestResult<bool>,
) -> TestResult<Option<ExitStatus>> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || enough()? {
            return Ok(None);
        }
        std::thread::sleep(left.min(Duration::from_millis(1)));
    }
}

/// Runs the command to its end and returns how long it took.
fn finish(folder: &Path) -> TestResult<Duration> {
    let started = Instant::now();
    let mut child = start(folder)?;
    let Some(status) = wait(&mut child, PATIENCE)? else {
        child.kill()?;
        child.wait()?;
        return Err(format!("it hangs: {PATIENCE:?} were not enough").into());
    };
    expect_success(folder, status)?;
    Ok(started.elapsed())
}

fn expect_success(folder: &Path, status: ExitStatus) -> TestResult {
    if status.success() {
        return Ok(());
    }
    let said = fs::read_to_string(folder.join("stderr"))?;
    Err(format!("it ended with {status}, though nobody killed it:\n{said}").into())
}

/// Returns the moment of the next kill.
fn moment(stream: &mut Stream, longest: Duration) -> Duration {
    let ratio = longest.as_secs_f64() / SHORTEST.as_secs_f64();
    SHORTEST.mul_f64(ratio.powf(stream.uniform()))
}

/// Returns every file below `folder` with its bytes, by its path from there.
fn files_below(folder: &Path) -> TestResult<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path)?;
                files.insert(path.strip_prefix(folder)?.to_owned(), bytes);
            }
        }
    }
    Ok(files)
}

/// Returns everything the command left but times: a manifest without them, an event log not at all.
fn lasting(folder: &Path) -> TestResult<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = files_below(&folder.join("store"))?;
    files.retain(|path, _| path.file_name().is_some_and(|name| name != "events.jsonl"));
    for (path, bytes) in &mut files {
        if path.file_name().is_some_and(|name| name == "manifest.json") {
            let mut manifest: Value = serde_json::from_slice(bytes)?;
            let body = manifest["body"]
                .as_object_mut()
                .ok_or("a manifest has a body")?;
            for field in TIMES {
                body.remove(field)
                    .ok_or(format!("a manifest has the field {field}"))?;
            }
            *bytes = serde_json::to_vec(&manifest["body"])?;
        }
    }
    Ok(files)
}

/// Fails if two folders differ, and says in what.
fn compare(
    expected: &BTreeMap<PathBuf, Vec<u8>>,
    found: &BTreeMap<PathBuf, Vec<u8>>,
) -> TestResult {
    for (path, bytes) in expected {
        match found.get(path) {
            None => return Err(format!("{} is missing", path.display()).into()),
            Some(other) if other != bytes => {
                let at = bytes.iter().zip(other).take_while(|(a, b)| a == b).count();
                let lengths = format!("{} bytes, undisturbed {}", other.len(), bytes.len());
                return Err(
                    format!("{} differs from byte {at} on ({lengths})", path.display()).into(),
                );
            }
            Some(_) => {}
        }
    }
    match found.keys().find(|path| !expected.contains_key(*path)) {
        Some(path) => Err(format!("{} is left over", path.display()).into()),
        None => Ok(()),
    }
}

/// Returns how many steps the store has recorded.
fn steps(folder: &Path) -> TestResult<usize> {
    let steps = folder.join("store/steps");
    if !steps.exists() {
        return Ok(0);
    }
    let files = files_below(&steps)?;
    Ok(files
        .keys()
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .count())
}

/// What the kills met.
#[derive(Debug, Default)]
struct Met {
    /// No step was stored yet.
    start: u32,
    /// Some steps were stored.
    middle: u32,
    /// All steps were stored, the run was not finished.
    end: u32,
    /// Rounds that got through.
    rounds: u32,
}

/// Starts and kills until the command gets through or `kills` is used up, then lets it finish.
fn round(
    folder: &Path,
    kills: &mut u32,
    stream: &mut Stream,
    longest: Duration,
    met: &mut Met,
) -> TestResult {
    while *kills > 0 {
        // The last ones always, so that the end is met in every test.
        let aims_at_end = *kills <= 5 || steps(folder)? > STEPS / 2 && stream.below(4) == 0;
        let mut child = start(folder)?;
        let ended = if aims_at_end {
            wait_until(&mut child, PATIENCE, || Ok(steps(folder)? == STEPS))?;
            wait(&mut child, moment(stream, LONGEST_END))?
        } else {
            wait(&mut child, moment(stream, longest))?
        };
        if let Some(status) = ended {
            return expect_success(folder, status);
        }
        child.kill()?;
        let status = child.wait()?;
        if status.code().is_some() {
            // It ended in the moment between.
            return expect_success(folder, status);
        }
        *kills -= 1;
        match steps(folder)? {
            0 => met.start += 1,
            STEPS => met.end += 1,
            _ => met.middle += 1,
        }
    }
    finish(folder).map(drop)
}

#[test]
fn a_killed_run_ends_with_the_same_bytes() -> TestResult {
    let mut kills = number("UNDERTONE_KILLS", KILLS)?;
    let wanted = kills;
    let stream = &mut Seed(number("UNDERTONE_KILL_SEED", 0)?.into()).stream("cli/tests/kill", 0);

    let undisturbed = tempfile::tempdir()?;
    let took = finish(undisturbed.path())?;
    let expected = lasting(undisturbed.path())?;
    let printed = fs::read(undisturbed.path().join("stdout"))?;
    assert_eq!(
        steps(undisturbed.path())?,
        STEPS,
        "the command has as many steps as it was chosen for"
    );
    for name in ["result.json", "report.html", "settings.json"] {
        let there = expected.keys().any(|path| path.ends_with(name));
        assert!(there, "the comparison covers {name}");
    }

    let mut met = Met::default();
    while kills > 0 {
        let folder = tempfile::tempdir()?;
        round(folder.path(), &mut kills, stream, took / 2, &mut met)?;
        // Once more: it must find the run finished, print the same, and clear away what the killed ones left.
        finish(folder.path())?;
        assert_eq!(
            fs::read(folder.path().join("stdout"))?,
            printed,
            "what is printed differs"
        );
        compare(&expected, &lasting(folder.path())?)
            .map_err(|error| format!("after {} of {wanted} kills: {error}", wanted - kills))?;
        met.rounds += 1;
    }
    let Met {
        start,
        middle,
        end,
        rounds,
    } = met;
    say(&format!(
        "{wanted} kills in {rounds} rounds, undisturbed {took:.1?}: {start} before the first step was stored, {middle} \
         between, {end} after the last"
    ));
    // Else the moments are chosen badly and the test shows less than it says.
    assert!(end > 0 || wanted < KILLS, "no kill met the end");
    assert!(
        middle >= wanted / 4,
        "too few kills met a half-filled store: {middle} of {wanted}"
    );
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a test of chance says what it met")]
fn say(text: &str) {
    eprintln!("{text}");
}
