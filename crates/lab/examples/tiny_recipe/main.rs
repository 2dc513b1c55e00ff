//! Tries settings of the tiny number experiment: how its recipe was searched.
//!
//! ```text
//! base A, base B -> teachers of A (owl, wolf) -> numbers -> students of A and B -> margins over held-out stems
//! ```
//! - `cargo run --release -p undertone-lab --example tiny_recipe -- STORE [key=value ...]` tries one setting and prints its
//!   numbers; keys and their defaults are in [`Options::default`]. Finished steps are taken from the store, so a second
//!   setting costs only what it changes.
//! - `... -- STORE --search FILE` tries every setting of [`search::SETTINGS`], each in an empty store of its own within
//!   `STORE` so that its cost is its own, and writes them to `FILE`, whole after every setting; those it holds already are
//!   not tried again.
//! - `... -- --table FILE` prints what such a file holds as the tables of `docs/experiments/tiny-recipe.md`.
#![expect(clippy::print_stdout, reason = "a table for people")]

mod options;
mod readout;
mod search;
mod steps;
mod tried;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use undertone_lab::Control;
use undertone_lab::lm::LmBench;
use undertone_lab::lm::train::Means;
use undertone_store::Store;

use options::Options;
use steps::Lab;
use tried::Tried;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Tries one setting.
fn tried(store: &Path, given: &[&str]) -> Outcome<Tried> {
    let options = Options::of(given)?;
    let store = Store::open(store)?;
    let stop = AtomicBool::new(false);
    let control = Control::silent(&stop);
    let lab = Lab {
        bench: LmBench {
            store: &store,
            control: &control,
        },
        means: Means {
            threads: options.threads,
            kept_bytes: 1 << 28,
            keep_now: &|| false,
        },
        options,
    };
    tried::run(&lab, given)
}

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--table", file] => print!("{}", search::tables(&search::read(Path::new(file))?)?),
        [store, "--search", file] => search::search(Path::new(store), Path::new(file))?,
        [store, ref given @ ..] => drop(tried(Path::new(store), given)?),
        [] => return Err("which store?".into()),
    }
    Ok(())
}
