//! Arguments of `gate`, exactly as typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Clone, Args)]
pub struct GateArgs {
    /// Model or dataset: id, beginning of one, or name
    #[arg(required_unless_present = "print_policy")]
    pub id: Option<String>,
    /// Policy file, or the name of a ready one: distil-and-filter
    #[arg(long, value_name = "FILE", default_value = "distil-and-filter")]
    pub policy: String,
    /// Model that would learn from the dataset
    #[arg(long, value_name = "MODEL")]
    pub student: Option<String>,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t = GateFormat::Text)]
    pub format: GateFormat,
    /// File to write the answer to, too
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Print the policy and stop
    #[arg(long)]
    pub print_policy: bool,
}

/// Form of a gate's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GateFormat {
    /// For people
    Text,
    /// SARIF 2.1.0, for code hosts
    Sarif,
    /// JUnit XML, for build servers
    Junit,
}
