//! Whose fault an error is, in the four classes that have exit codes.

use undertone_core::exit;

/// The class of an error about data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The data is not there; the error says how to get it.
    Missing,
    /// The data is there and is not what it claims to be.
    Tampered,
    /// The machine or the network failed.
    Io,
    /// The user's own file does not follow its format.
    Malformed,
}

impl Fault {
    /// Returns the exit code of a command that ends with such an error.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Missing | Self::Malformed => exit::USAGE,
            Self::Tampered => exit::TAMPERED,
            Self::Io => exit::INFRASTRUCTURE,
        }
    }
}
