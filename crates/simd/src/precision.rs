//! The number formats of an engine, and the instructions each needs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dispatch::InstructionSet;

/// The number format of the operands of a product; sums, parameters and everything else are `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// `f32`.
    #[default]
    F32,
    /// bf16, rounded to nearest even, where the processor multiplies it natively.
    Bf16,
    /// The same roundings without the instruction: slower than `f32`, to see what bf16 does to a number.
    Bf16Emulated,
}

/// The processor lacks what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this processor has no {needed:?} instructions")]
pub struct UnsupportedError {
    /// What it would need.
    pub needed: InstructionSet,
}

impl Precision {
    /// Returns the fastest instructions for the format.
    ///
    /// # Errors
    /// If the processor has no bf16 products and they were asked for: there is no silent fallback.
    pub fn instructions(self) -> Result<InstructionSet, UnsupportedError> {
        self.set().checked()
    }

    /// Returns the instructions the format is computed with, whether this processor has them or not.
    pub fn set(self) -> InstructionSet {
        match self {
            Self::F32 => InstructionSet::best(),
            Self::Bf16 => InstructionSet::Avx512Bf16,
            Self::Bf16Emulated => InstructionSet::EmulatedBf16,
        }
    }

    /// Returns the name that settings and command lines use.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Bf16Emulated => "bf16-emulated",
        }
    }

    /// Returns what it is, for a reader.
    pub fn describe(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16 operands, f32 sums",
            Self::Bf16Emulated => "bf16 operands, f32 sums, emulated",
        }
    }
}

impl InstructionSet {
    /// Returns the set itself.
    ///
    /// # Errors
    /// If the processor lacks it.
    pub fn checked(self) -> Result<Self, UnsupportedError> {
        if self.is_available() {
            Ok(self)
        } else {
            Err(UnsupportedError { needed: self })
        }
    }
}
