//! Without the engines: starts the build that has it.

use anyhow::Result;

use super::{LmArgs, MlpArgs, again};

/// Starts the build with the engines, in the profile that fits.
pub fn mlp(args: &MlpArgs) -> Result<()> {
    start(args.smoke)
}

/// As [`mlp`].
pub fn lm(args: &LmArgs) -> Result<()> {
    start(args.smoke)
}

fn start(smoke: bool) -> Result<()> {
    again(if smoke { &[] } else { &["--release"] })
}
