//! Without the engine: starts the build that has it.

use anyhow::Result;

use super::{MlpArgs, again};

/// Starts the build with the engine, in the profile that fits.
pub fn mlp(args: &MlpArgs) -> Result<()> {
    again(if args.smoke { &[] } else { &["--release"] })
}
