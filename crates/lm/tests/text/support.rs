//! What tests return, and the folder of golden files.

use std::path::PathBuf;

/// Errors end a test with what they say.
pub type TestResult = Result<(), Box<dyn std::error::Error>>;

/// Returns the path of a golden file or folder.
pub fn golden_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}
