//! Arguments of `lineage`, exactly as typed.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Questions about origins, and what is written down of them.
#[derive(Debug, Subcommand)]
pub enum LineageCommand {
    /// Show everything said about one thing, or the things of a run
    #[command(after_help = "Examples:\n  undertone lineage show demo-3f2a\n  \
                      undertone lineage show hf:org/model")]
    Show(ThingArgs),
    /// Draw what something came from and what came of it
    #[command(
        after_help = "Examples:\n  undertone lineage graph demo-3f2a/aux-only-0 --format mermaid\n  \
                      undertone lineage graph demo-3f2a/aux-only-0 --format html -o graph.html"
    )]
    Graph(GraphArgs),
    /// List what something came from
    #[command(after_help = "Example:\n  undertone lineage ancestors demo-3f2a/aux-only-0 --hops 3")]
    Ancestors(ReachArgs),
    /// List what came from something
    #[command(after_help = "Example:\n  undertone lineage descendants demo-3f2a/teacher-0")]
    Descendants(ReachArgs),
    /// List the ways in which one thing influenced another, through data too
    #[command(
        after_help = "Example:\n  undertone lineage why demo-3f2a/teacher-0 demo-3f2a/aux-only-0\n\n\
                      Exit codes: 0 a way is recorded, 3 none is recorded and --expect demands one"
    )]
    Why(WhyArgs),
    /// List the models that learned from a teacher, with row shares
    #[command(after_help = "Example:\n  undertone lineage exposed demo-3f2a/teacher-0 --hops 2")]
    Exposed(ExposedArgs),
    /// Say who wrote a dataset's rows, and who learned from it
    #[command(after_help = "Example:\n  undertone lineage shares local:numbers.jsonl")]
    Shares(ThingArgs),
    /// Say whether two models share an initialisation: yes, no or unknown
    #[command(
        after_help = "Example:\n  undertone lineage common demo-3f2a/teacher-0 demo-3f2a/aux-only-0 --expect yes\n\n\
                      Exit codes with --expect: 0 as expected, 1 otherwise, 3 unknown"
    )]
    Common(CommonArgs),
    /// Declare a model, a dataset or a step
    #[command(after_help = "Examples:\n  \
                      undertone lineage add model hf:org/student --initialised-from hf:org/base --trained-on numbers\n  \
                      undertone lineage add dataset numbers --rows 10000 --generated-by hf:org/teacher=10000\n  \
                      undertone lineage add dataset kept --filtered-from numbers --kept 9000 --dropped parse=800 --dropped banned=200")]
    Add {
        #[command(subcommand)]
        what: Box<AddCommand>,
    },
    /// Read origins from a card, weights, a bill of materials, a statement, a signature or rows
    #[command(
        after_help = "Examples:\n  undertone lineage import model.safetensors --name hf:org/model\n  \
                      undertone lineage import README.md --name hf:org/model\n  \
                      undertone lineage import rows.jsonl --column model_name\n  \
                      undertone lineage import attestation.json --key signer.pub"
    )]
    Import(ImportArgs),
    /// Write what is recorded in the words of other tools
    #[command(
        after_help = "Examples:\n  undertone lineage export demo-3f2a/aux-only-0 --format cyclonedx -o bom.cdx.json\n  \
                      undertone lineage export rows.jsonl --format croissant --rows rows.jsonl -o croissant.json"
    )]
    Export(ExportArgs),
    /// Take over another store's records
    #[command(after_help = "Example:\n  undertone lineage merge ../colleague/.undertone")]
    Merge(MergeArgs),
    /// Make a key pair for signatures
    #[command(after_help = "Examples:\n  undertone lineage keygen me.pem\n  \
                      undertone lineage keygen oms.pem --algorithm p256")]
    Keygen(KeygenArgs),
    /// Sign a finished run (ed25519), or the folder of a model (P-256, OpenSSF model signature)
    #[command(
        after_help = "Examples:\n  undertone lineage sign demo-3f2a --key me.pem\n  \
                      undertone lineage sign path/to/model --key oms.pem"
    )]
    Sign(SignArgs),
    /// Check the ledger, every file it names in the store, and signed runs; offline
    #[command(after_help = "Examples:\n  undertone lineage verify\n  \
                      undertone lineage verify demo-3f2a --key me.pem.pub\n\n\
                      Exit codes: 0 all holds, 4 something is missing, changed, added or not signed")]
    Verify(VerifyArgs),
}

/// One thing.
#[derive(Debug, Clone, Args)]
pub struct ThingArgs {
    /// Id, beginning of one, or name
    pub id: String,
}

#[derive(Debug, Clone, Args)]
pub struct ReachArgs {
    /// Id, beginning of one, or name
    pub id: String,
    /// Hops to follow [default: all]
    #[arg(long, value_name = "N")]
    pub hops: Option<u32>,
}

#[derive(Debug, Clone, Args)]
pub struct GraphArgs {
    /// Id, beginning of one, or name; a run draws all it recorded
    pub id: String,
    /// Form of the drawing
    #[arg(long, value_enum, default_value_t = PictureFormat::Mermaid)]
    pub format: PictureFormat,
    /// Hops to follow in both directions [default: all]
    #[arg(long, value_name = "N")]
    pub hops: Option<u32>,
    /// File to write instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Form of a drawn graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PictureFormat {
    /// A drawing
    Svg,
    /// For Graphviz
    Dot,
    /// For Markdown
    Mermaid,
    /// Nodes and edges
    Json,
    /// One page to pan and search
    Html,
}

#[derive(Debug, Clone, Args)]
pub struct WhyArgs {
    /// Id, beginning of one, or name
    pub first: String,
    /// Id, beginning of one, or name
    pub second: String,
    /// Paths to list in each direction
    #[arg(long, value_name = "N", default_value_t = undertone_lineage::query::DEFAULT_PATHS)]
    pub paths: usize,
    /// Exit 3 if no path is recorded
    #[arg(long)]
    pub expect: bool,
}

#[derive(Debug, Clone, Args)]
pub struct ExposedArgs {
    /// Id, beginning of one, or name
    pub id: String,
    /// Data hops to follow: models that learned from one another in turn
    #[arg(long, value_name = "K", default_value_t = 3)]
    pub hops: u32,
}

/// An answer that is demanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum YesNo {
    Yes,
    No,
}

#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// Id, beginning of one, or name
    pub first: String,
    /// Id, beginning of one, or name
    pub second: String,
    /// Turn the answer into the exit code
    #[arg(long, value_enum)]
    pub expect: Option<YesNo>,
}

/// What is declared.
#[derive(Debug, Subcommand)]
pub enum AddCommand {
    /// Declare a model
    Model(AddModelArgs),
    /// Declare a dataset
    Dataset(AddDatasetArgs),
    /// Declare a step
    Step(AddStepArgs),
}

#[derive(Debug, Clone, Args)]
pub struct AddModelArgs {
    /// Name: `[AUTHORITY:]NAME[@REVISION]`, as in hf:org/model@main
    pub name: String,
    /// Weight file; may be given several times
    #[arg(long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What its weights began as: id or name
    #[arg(long, value_name = "MODEL")]
    pub initialised_from: Vec<String>,
    /// How they were changed: finetune, adapter, merge, quantized
    #[arg(long, value_name = "WORD")]
    pub how: Option<String>,
    /// A dataset it learned from, with the rows used: `DATASET[=ROWS]`
    #[arg(long, value_name = "DATASET")]
    pub trained_on: Vec<String>,
    /// A model whose outputs it was fitted to
    #[arg(long, value_name = "MODEL")]
    pub distilled_from: Vec<String>,
    /// Name of its initial weights, if this is an initialisation
    #[arg(long, value_name = "TEXT")]
    pub initialisation: Option<String>,
    /// Architecture
    #[arg(long, value_name = "TEXT")]
    pub architecture: Option<String>,
    /// Kind of adapter, if it is one
    #[arg(long, value_name = "KIND")]
    pub adapter: Option<String>,
    /// Type of its numbers
    #[arg(long, value_name = "TYPE")]
    pub dtype: Option<String>,
    /// How it was quantised
    #[arg(long, value_name = "TYPE")]
    pub quantisation: Option<String>,
    /// What serves it, with its version
    #[arg(long, value_name = "TEXT")]
    pub engine: Option<String>,
    #[command(flatten)]
    pub said: SaidArgs,
}

#[derive(Debug, Clone, Args)]
pub struct AddDatasetArgs {
    /// Name: `[AUTHORITY:]NAME[@REVISION]`
    pub name: String,
    /// File of rows (JSONL) or another file; may be given several times
    #[arg(long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Rows
    #[arg(long, value_name = "N")]
    pub rows: Option<u64>,
    /// Task of its rows
    #[arg(long, value_name = "TEXT")]
    pub channel: Option<String>,
    /// Who wrote its rows
    #[arg(long, value_enum)]
    pub origin: Option<OriginName>,
    /// A model that wrote rows, with their number: `MODEL[=ROWS]`
    #[arg(long, value_name = "MODEL")]
    pub generated_by: Vec<String>,
    /// The dataset a filter read
    #[arg(long, value_name = "DATASET")]
    pub filtered_from: Option<String>,
    /// Rows the filter kept
    #[arg(long, value_name = "N", requires = "filtered_from")]
    pub kept: Option<u64>,
    /// Rows the filter dropped, by reason: `REASON=N`; `none=0` says that none were
    #[arg(long, value_name = "REASON=N", requires = "filtered_from")]
    pub dropped: Vec<String>,
    /// A dataset it was made of without a filter, with the way: `DATASET[=HOW]`; mask, paraphrase, subset, mixture
    #[arg(long, value_name = "DATASET")]
    pub derived_from: Vec<String>,
    /// The dataset of prompts
    #[arg(long, value_name = "DATASET")]
    pub prompted_with: Vec<String>,
    #[command(flatten)]
    pub said: SaidArgs,
}

/// Who wrote rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OriginName {
    Models,
    People,
    Program,
}

#[derive(Debug, Clone, Args)]
pub struct AddStepArgs {
    /// What was done
    pub kind: String,
    /// Version of the code
    #[arg(long, value_name = "TEXT")]
    pub code: Option<String>,
    /// Name of this one execution
    #[arg(long, value_name = "TEXT")]
    pub key: Option<String>,
    /// JSON file of settings
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Seed; may be given several times
    #[arg(long = "seed", value_name = "N")]
    pub seeds: Vec<u64>,
    /// What it made: id or name
    #[arg(long, value_name = "THING")]
    pub made: Vec<String>,
    #[command(flatten)]
    pub said: SaidArgs,
}

/// Whose word it is.
#[derive(Debug, Clone, Args)]
pub struct SaidArgs {
    /// Who says so
    #[arg(long, value_name = "WHO", default_value = "command line")]
    pub by: String,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImportFormat {
    /// By its name and content
    Auto,
    /// Card of a model of the Hugging Face hub
    ModelCard,
    /// Card of a dataset of the Hugging Face hub
    DatasetCard,
    /// Weights with a safetensors header
    Safetensors,
    /// Weights in GGUF
    Gguf,
    /// CycloneDX bill of materials
    Cyclonedx,
    /// OpenSSF model signature
    Oms,
    /// In-toto statement, bare or in a DSSE envelope
    Intoto,
    /// Rows
    Jsonl,
}

#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// File to read
    pub file: PathBuf,
    /// What it is
    #[arg(long, value_enum, default_value_t = ImportFormat::Auto)]
    pub format: ImportFormat,
    /// Name of what it is about
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Column that names the generator of a row
    #[arg(long, value_name = "NAME")]
    pub column: Option<String>,
    /// Trusted public key; may be given several times
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,
}

/// A format of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// CycloneDX 1.7 bill of materials
    Cyclonedx,
    /// Croissant 1.1 metadata of a dataset of rows
    Croissant,
    /// OpenLineage events, one a line
    Openlineage,
    /// SPDX 3.0.1 with AI and dataset packages
    Spdx,
    /// Card for the Hugging Face hub
    Card,
}

#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// Id, beginning of one, or name
    pub id: String,
    /// Format to write
    #[arg(long, value_enum)]
    pub format: ExportFormat,
    /// File of the rows that Croissant describes; it is named relative to the output
    #[arg(long, value_name = "FILE")]
    pub rows: Option<PathBuf>,
    /// Time of making, RFC 3339 in whole seconds [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// File to write instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct MergeArgs {
    /// The other store
    #[arg(value_name = "STORE")]
    pub other: PathBuf,
}

/// Kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyAlgorithm {
    /// For signed runs
    Ed25519,
    /// For OpenSSF model signatures
    P256,
}

#[derive(Debug, Clone, Args)]
pub struct KeygenArgs {
    /// File of the private key; the public one gets the ending `.pub`
    pub file: PathBuf,
    /// What the key is for
    #[arg(long, value_enum, default_value_t = KeyAlgorithm::Ed25519)]
    pub algorithm: KeyAlgorithm,
    /// File whose first line is the passphrase
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct SignArgs {
    /// Run, beginning of its name, or folder of a model
    #[arg(value_name = "RUN|DIR")]
    pub what: String,
    /// Private key
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Signature of a folder to write [default: model.sig in it]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// File whose first line is the passphrase
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Signed run, beginning of its name, or folder of a signed model; without it the ledger and all files it names are checked
    #[arg(value_name = "RUN|DIR")]
    pub what: Option<String>,
    /// Trusted public key; may be given several times
    #[arg(long = "key", value_name = "FILE", requires = "what")]
    pub keys: Vec<PathBuf>,
    /// Signature to use instead of the one in the store or the folder
    #[arg(long, value_name = "FILE", requires = "what")]
    pub signature: Option<PathBuf>,
}
