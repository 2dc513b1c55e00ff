//! How well something recorded is known, from nothing at all to checked by digest.
//!
//! The order is the order of strength, so that the weakest evidence of a path is its minimum.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The evidence behind an edge or a description, weakest first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// Somebody mentions it; nobody vouches for it. Never read as "no".
    Unknown,
    /// Somebody says so: a card, a bill of materials, a person.
    Declared,
    /// Weights or behaviour look like it: a test with an error rate.
    Fingerprint,
    /// This program ran it and wrote down what it did.
    Observed,
    /// A digest or signature of a trusted key was checked.
    Verified,
}

impl Grade {
    /// Every grade, weakest first.
    pub const ALL: [Grade; 5] = [
        Grade::Unknown,
        Grade::Declared,
        Grade::Fingerprint,
        Grade::Observed,
        Grade::Verified,
    ];

    /// Returns the word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Grade::Unknown => "unknown",
            Grade::Declared => "declared",
            Grade::Fingerprint => "fingerprint",
            Grade::Observed => "observed",
            Grade::Verified => "verified",
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_the_order_of_strength() {
        assert!(Grade::ALL.is_sorted());
        assert_eq!(Grade::ALL.iter().min(), Some(&Grade::Unknown));
        assert!(Grade::Observed > Grade::Declared && Grade::Verified > Grade::Fingerprint);
    }
}
