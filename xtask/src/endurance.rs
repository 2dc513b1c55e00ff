//! The long forms of two tests: hostile files with many more cases, and many more kills.
//!
//! The tests themselves lie in `crates/data/tests/hostile.rs`, `crates/channel/tests/hostile.rs`,
//! `crates/lm/tests/loading/hostile.rs`, `crates/lm/tests/text/hostile.rs`, `crates/lineage/src` and `crates/cli/tests/kill.rs`; only
//! their length is set here.

use anyhow::Result;
use clap::Args;

use crate::tools;

/// How long to fuzz.
#[derive(Debug, Args)]
pub struct FuzzArgs {
    /// Cases of each property
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    cases: u32,
}

/// How long to kill.
#[derive(Debug, Args)]
pub struct KillArgs {
    /// Number of kills
    #[arg(long, value_name = "N", default_value_t = 1000)]
    times: u32,
    /// Seed of the moments at which it is killed
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
}

/// Feeds the readers hostile files.
///
/// # Errors
/// If a property is violated; the failing input is printed, shrunk.
pub fn fuzz(args: &FuzzArgs) -> Result<()> {
    let binaries = [
        ("undertone-data", "hostile", ""),
        ("undertone-channel", "hostile", ""),
        ("undertone-lm", "loading", "hostile::"),
        ("undertone-lm", "text", "hostile::"),
        // What reads files of strangers has its properties beside it.
        ("undertone-lineage", "--lib", ""),
    ];
    for (package, binary, tests) in binaries {
        let chosen: &[&str] = match binary {
            "--lib" => &["--lib"],
            binary => &["--test", binary],
        };
        tools::run(
            tools::cargo(&["test", "--release", "--package", package])
                .args(chosen)
                .args(["--", "--nocapture", tests])
                .env("PROPTEST_CASES", args.cases.to_string()),
        )?;
    }
    Ok(())
}

/// Kills the program at random moments and compares what it leaves with an undisturbed run.
///
/// # Errors
/// If anything differs.
pub fn kill(args: &KillArgs) -> Result<()> {
    tools::run(
        tools::cargo(&["test", "--release", "--package", "undertone-cli"])
            .args(["--test", "kill", "--", "--nocapture"])
            .env("UNDERTONE_KILLS", args.times.to_string())
            .env("UNDERTONE_KILL_SEED", args.seed.to_string()),
    )
}
