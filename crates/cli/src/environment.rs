//! Finds out what machine and program this is, for the record of a run.

use std::fs;
use std::path::Path;

use undertone_mlp::InstructionSet;
use undertone_store::Environment;

/// Returns the environment of this process, using `n_threads` workers.
pub fn capture(n_threads: usize) -> Environment {
    Environment {
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        cpu_model: cpu_model(),
        cpu_features: cpu_features(),
        n_threads: n_threads as u32,
        undertone_version: env!("CARGO_PKG_VERSION").to_owned(),
        git_revision: option_env!("UNDERTONE_REVISION").map(str::to_owned),
        git_dirty: option_env!("UNDERTONE_DIRTY").map(|dirty| dirty == "true"),
    }
}

/// Writes a version as `0.1.0 (revision 0123abc, with uncommitted changes)`.
pub fn version_text(version: &str, revision: Option<&str>, is_dirty: Option<bool>) -> String {
    let revision = revision.unwrap_or("unknown");
    let dirty = match is_dirty {
        Some(true) => ", with uncommitted changes",
        _ => "",
    };
    format!("{version} (revision {revision}{dirty})")
}

/// Returns the name the processor gives itself, where the system tells it.
fn cpu_model() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Returns the instruction sets the engine could use.
fn cpu_features() -> Vec<String> {
    [
        (InstructionSet::Avx2, "avx2+fma"),
        (InstructionSet::Avx512, "avx512f+bw"),
        (InstructionSet::Avx512Bf16, "avx512bf16"),
    ]
    .into_iter()
    .filter(|(set, _)| set.is_available())
    .map(|(_, name)| name.to_owned())
    .collect()
}

/// Returns the memory of the machine in bytes (total, available), where the system tells it.
pub fn memory() -> Option<(u64, u64)> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = |name: &str| -> Option<u64> {
        let line = info.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some((kib("MemTotal:")? * 1024, kib("MemAvailable:")? * 1024))
}

/// Returns the free bytes of the disk that holds `path` or its nearest existing parent, from `df`.
pub fn free_disk(path: &Path) -> Option<u64> {
    let existing = path
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("."));
    let output = std::process::Command::new("df")
        .args(["-Pk"])
        .arg(existing)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let kib: u64 = text
        .lines()
        .nth(1)?
        .split_whitespace()
        .nth(3)?
        .parse()
        .ok()?;
    Some(kib * 1024)
}
