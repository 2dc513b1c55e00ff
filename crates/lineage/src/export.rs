//! What is recorded of one thing, in the words of others: bills of materials, data set metadata, run events, cards.
//!
//! `scope` gathers a thing and everything behind it; each format is a function of that. What a format has no word for is left
//! out or said in its place for free text; the grade of evidence goes along wherever there is such a place. What is
//! unknown is left out, never filled in. A format that demands a time gets the one the caller gives.

mod card;
mod croissant;
mod cyclonedx;
mod openlineage;
mod scope;
mod spdx;

pub use card::card;
pub use croissant::{CroissantError, croissant};
pub use cyclonedx::cyclonedx;
pub use openlineage::openlineage;
pub use scope::{Item, Scope, ScopeError, Tie};
pub use spdx::spdx;

use undertone_core::Digest;

/// The program, as formats want it.
const PRODUCER: &str = concat!("urn:undertone:", env!("CARGO_PKG_VERSION"));

/// Returns a UUID (version 8, of our own making) that a digest gives.
fn uuid_of(text: &str) -> String {
    let digest = Digest::of(text.as_bytes());
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
