//! The lineage from outside: ledgers on disk, signed runs, policies, pictures, kinship.

mod support;

mod browser;
mod gate;
mod kinship;
mod ledger;
mod tamper;
