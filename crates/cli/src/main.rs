//! `undertone`: measures subliminal learning, from the command line.
//!
//! `main` turns errors into exit codes; everything else is one file a command under `commands`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this crate is the terminal: data on stdout, talk on stderr"
)]

mod args;
mod context;
mod environment;
mod failure;
mod origins;
mod progress;
mod resolve;

mod commands;
mod present;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors and go to stdout; clap knows which.
            let code = if error.use_stderr() {
                undertone_core::exit::USAGE
            } else {
                undertone_core::exit::DONE
            };
            if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
                failure::print_json(&[error.to_string()], None, code);
            }
            return match error.print() {
                Ok(()) => ExitCode::from(code),
                Err(_) => ExitCode::from(undertone_core::exit::INFRASTRUCTURE),
            };
        }
    };
    let json = cli.global.json;
    match commands::run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => ExitCode::from(failure::report(&error, json)),
    }
}
