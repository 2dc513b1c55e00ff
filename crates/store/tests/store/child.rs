//! This test program as its own child process: the same binary, told by the environment what to do.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use undertone_store::Store;

use crate::script::{begin, command, outputs, running, step};
use crate::{full_disk, processes};

const ROLE: &str = "UNDERTONE_TEST_ROLE";
const STORE: &str = "UNDERTONE_TEST_STORE";
const MARK: &str = "UNDERTONE_TEST_MARK";

/// The arguments that make this program run [`child_entry`] and nothing else.
pub const ARGUMENTS: [&str; 3] = ["--exact", "child::child_entry", "--nocapture"];

pub fn this_program() -> PathBuf {
    env::current_exe().expect("a running program has a file")
}

/// Tells `command` what the child is to do. It writes `mark` when it is where it should be.
pub fn instruct<'a>(
    command: &'a mut Command,
    role: &str,
    store: &Path,
    mark: &Path,
) -> &'a mut Command {
    command.env(ROLE, role).env(STORE, store).env(MARK, mark)
}

pub fn child(role: &str, store: &Path, mark: &Path) -> Command {
    let mut command = Command::new(this_program());
    command.args(ARGUMENTS).stdout(std::process::Stdio::null());
    instruct(&mut command, role, store, mark);
    command
}

/// Does nothing in the ordinary test run.
#[test]
fn child_entry() {
    let Ok(role) = env::var(ROLE) else { return };
    let folder = PathBuf::from(env::var_os(STORE).expect("the parent names a store"));
    let mark = PathBuf::from(env::var_os(MARK).expect("the parent names a mark"));
    match role.as_str() {
        "fill" => full_disk::fill(&folder),
        "write-large" => full_disk::write_large(&folder),
        "hold" => {
            let store = Store::open(&folder).expect("the store opens");
            let _run = running(begin(&store, "held", &json!({})));
            fs::write(&mark, "holding").expect("the mark can be written");
            std::thread::sleep(Duration::from_secs(600));
        }
        "share" => processes::share(&Store::open(&folder).expect("the store opens")),
        "script" => {
            let store = Store::open(&folder).expect("the store opens");
            command(&store, processes::N_STEPS).expect("the command goes on");
        }
        "commit-other" => {
            let store = Store::open(&folder).expect("the store opens");
            let text = std::process::id().to_string();
            if store
                .commit_step(&step(0, json!({})), &outputs(&[("pid", &text)]))
                .is_ok()
            {
                fs::write(mark.with_extension(&text), text).expect("the mark can be written");
            }
            return;
        }
        other => panic!("no role `{other}`"),
    }
    fs::write(&mark, "done").expect("the mark can be written");
}
