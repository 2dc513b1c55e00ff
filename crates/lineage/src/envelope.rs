//! Signatures over what was recorded: keys, DSSE envelopes, in-toto statements, and runs checked against them.
//!
//! A statement lists files by SHA-256 and says how they came about (SLSA provenance v1); an envelope (DSSE) carries it
//! with ed25519 signatures. All of it is verified offline. Keys never leave this module in any form but a PEM file.

mod dsse;
mod keys;
mod oms;
mod p256;
mod run;
mod statement;

pub use dsse::{
    Envelope, EnvelopeError, EnvelopeErrorKind, EnvelopeSignature, MAX_SIGNATURES, STATEMENT_TYPE,
    VerifiedPayload,
};
pub use keys::{KeyError, KeyErrorKind, PublicKey, SigningKey};
pub use oms::{OMS_FILE, OMS_PREDICATE, OmsCheck, OmsError, sign_model, verify_model};
pub(crate) use oms::{read_signature as read_oms, unverified_statement};
pub use p256::{OmsKey, OmsPublicKey};
pub use run::{
    Difference, DifferenceKind, RUN_LINEAGE, RunCheck, SignError, envelope_path, run_statement,
    sign_run, signed_run_files, verify_run,
};
pub use statement::{
    BuildDefinition, Builder, PROVENANCE_V1, Provenance, ResourceDescriptor, RunDetails,
    RunMetadata, STATEMENT_V1, Statement, StatementError,
};
