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
    /// Compare what the two say next, or of networks what they answer to noise, instead of their weights
    #[arg(long, conflicts_with = "calibrate")]
    pub behaviour: bool,
    /// With --behaviour: a model that is known to be unrelated to the first; give 19 or more for a level of .05
    #[arg(long, value_name = "MODEL", requires = "behaviour")]
    pub unrelated: Vec<String>,
    /// Level of the test [default: 0.01; with --behaviour 0.05]
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
    /// Calibrate on tiny decoders instead of MLPs, by weights and by behaviour
    #[arg(long, requires = "calibrate")]
    pub decoders: bool,
    /// Pairs without a common base to calibrate with
    #[arg(long, value_name = "N", default_value_t = 400, requires = "calibrate")]
    pub pairs: u32,
}
