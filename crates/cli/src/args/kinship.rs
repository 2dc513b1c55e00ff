//! Arguments of `kinship`, exactly as typed.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Clone, Args)]
pub struct KinshipArgs {
    /// Model: folder, GGUF or safetensors file, name of the registry, or a thing of the lineage with weights in the store
    #[arg(required_unless_present = "calibrate")]
    pub first: Option<String>,
    /// Model to compare it with
    #[arg(required_unless_present = "calibrate")]
    pub second: Option<String>,
    /// Level of the permutation test [default: 0.01]
    #[arg(long, value_name = "P")]
    pub alpha: Option<f64>,
    /// Renumberings to draw [default: 9999]
    #[arg(long, value_name = "N")]
    pub permutations: Option<u32>,
    /// Write the verdict into the lineage, as evidence of grade fingerprint
    #[arg(long)]
    pub record: bool,
    /// Train pairs of known truth, compare them, and write what came out to this file (JSON) with two figures beside it (SVG)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["first", "second", "record"])]
    pub calibrate: Option<PathBuf>,
    /// Pairs without a common base to calibrate with
    #[arg(long, value_name = "N", default_value_t = 400, requires = "calibrate")]
    pub pairs: u32,
}
