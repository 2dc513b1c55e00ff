//! The exit codes of every command, as documented in the book (`docs/src/exit-codes.md`).

/// The work ended; an experiment that reached its verdict, whatever the verdict.
pub const DONE: u8 = 0;
/// A check failed: a theorem case violated, or `--expect` contradicted by the verdict.
pub const CHECK_FAILED: u8 = 1;
/// The command line or the configuration cannot be used as given.
pub const USAGE: u8 = 2;
/// The verdict is inconclusive where an answer was demanded.
pub const INCONCLUSIVE: u8 = 3;
/// A digest did not match: something stored or downloaded was damaged or changed.
pub const TAMPERED: u8 = 4;
/// The machine failed us: disk full, permission denied, network down, interrupted.
pub const INFRASTRUCTURE: u8 = 5;
