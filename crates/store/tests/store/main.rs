//! The store from outside: what a command, a second process, a full disk and a flipped bit see of it.

mod child;
mod damage;
mod full_disk;
mod processes;
mod runs;
mod script;
mod steps;
