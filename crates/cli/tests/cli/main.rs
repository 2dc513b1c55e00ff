//! The real program, end to end, on tiny settings: what it prints, writes and refuses, and with which exit code.
//!
//! `support` starts the program; every other module is one promise of the manual.

mod schema;
mod support;

mod damage;
mod disk;
mod exits;
mod help;
mod interrupt;
mod lineage;
mod lineage_clients;
mod lm;
mod numbers;
mod output;
mod recipe;
mod repeat;
mod same_bits;
mod tiny;
mod two_processes;
