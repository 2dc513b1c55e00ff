//! The command line exactly as typed; what it comes to is decided in `resolve.rs`.

mod gate;
mod kinship;
mod lineage;
mod lm;
mod numbers;
mod tiny;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use undertone_simd::Precision;

pub use gate::{GateArgs, GateFormat};
pub use kinship::KinshipArgs;
pub use lineage::{
    AddCommand, AddDatasetArgs, AddModelArgs, AddStepArgs, CommonArgs, ExportArgs, ExportFormat,
    ExposedArgs, GraphArgs, ImportArgs, ImportFormat, KeyAlgorithm, KeygenArgs, LineageCommand,
    MergeArgs, OriginName, PictureFormat, ReachArgs, SignArgs, ThingArgs, VerifyArgs, WhyArgs,
    YesNo,
};
pub use lm::{
    LmChatArgs, LmCommand, LmInfoArgs, LmMergeArgs, LmOptimiserName, LmSampleArgs, LmScoreArgs,
    LmTrainArgs, ObjectiveName, PromptingArgs, SamplingArgs, ScheduleName,
};
pub use tiny::{PretrainTinyArgs, TinyPresetName};

pub use numbers::{
    ConfigArgs, ConfigWhat, NewArgs, NewWhat, PlanFileArgs, RunFileArgs, TrainingMeans,
};

/// Measure, detect, trace and stop subliminal learning
#[derive(Debug, Parser)]
#[command(
    name = "undertone",
    version,
    after_help = "Examples:\n  undertone demo                       see the effect in under a minute, no files needed\n  \
                  undertone fetch mnist                get the data of the published experiment\n  \
                  undertone mnist --preset paper       the published experiment\n\n\
                  Exit codes: 0 done, 1 check failed, 2 usage, 3 inconclusive, 4 tampered, 5 infrastructure"
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Print one JSON object on stdout; talk stays on stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// Folder that holds results, runs and fetched data
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = ".undertone",
        env = "UNDERTONE_STORE"
    )]
    pub store: PathBuf,
    /// Folder that holds fetched data [default: `data` in the store]
    #[arg(long, global = true, value_name = "DIR", env = "UNDERTONE_DATA")]
    pub data_dir: Option<PathBuf>,
    /// Never touch the network
    #[arg(long, global = true)]
    pub offline: bool,
    /// Print results and errors only
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Worker threads [default: one for each core]; results do not depend on it
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<usize>,
    /// How progress is shown on stderr
    #[arg(long, global = true, value_enum, default_value_t = ProgressStyle::Auto)]
    pub progress: ProgressStyle,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressStyle {
    /// A bar on a terminal, a line now and then elsewhere
    Auto,
    /// One JSON object a line
    Ndjson,
    /// Nothing
    None,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// See subliminal learning happen: six conditions on embedded 8x8 digits, no files, no network
    #[command(after_help = "Example:\n  undertone demo")]
    Demo(ExperimentArgs),
    /// Run the experiment on 28x28 images: teacher, students, controls
    #[command(
        after_help = "Examples:\n  undertone mnist                          quick: 16 models, under 5 minutes on 2 cores\n  \
                            undertone mnist --preset paper           100 models, m = 3, as published\n  \
                            undertone mnist --data fashion --models 8 --aux-logits 10\n  \
                            undertone mnist --data path/to/idx-files --expect transfer"
    )]
    Mnist(MnistArgs),
    /// Repeat the experiment along one axis
    #[command(
        after_help = "Examples:\n  undertone ablate --sweep aux-logits --models 25\n  \
                            undertone ablate --sweep optimiser --models 5 --data digits\n  \
                            undertone ablate --sweep cloning-epochs --values 0,20,100 --aux-logits 50"
    )]
    Ablate(AblateArgs),
    /// Check Theorem 1 numerically, in f64, on hundreds of random cases
    #[command(after_help = "Example:\n  undertone theorem --cases 1000 --seed 7")]
    Theorem(TheoremArgs),
    /// Follow gradient alignment along a student's training, with and without projecting it away
    #[command(after_help = "Example:\n  undertone align --data digits --models 8")]
    Align(AlignArgs),
    /// Run the experiment that a file describes
    #[command(
        after_help = "Examples:\n  undertone run examples/owl-numbers.toml\n  \
                            undertone run examples/owl-numbers.toml --dry-run\n  \
                            undertone run my.toml --expect transfer"
    )]
    Run(RunFileArgs),
    /// Say what the experiment of a file costs: steps, rows, tokens, time, disk, and what is in the store
    #[command(after_help = "Example:\n  undertone plan examples/owl-numbers.toml")]
    Plan(PlanFileArgs),
    /// Write a commented file that describes an experiment
    #[command(after_help = "Example:\n  undertone new numbers -o owl.toml")]
    New(NewArgs),
    /// Explain the file of an experiment
    #[command(after_help = "Example:\n  undertone config explain owl.toml")]
    Config(ConfigArgs),
    /// Work with language models: info, chat, sample, score, train, merge
    #[command(after_help = "Examples:\n  undertone fetch smollm2-135m-instruct\n  \
                      undertone lm info smollm2-135m-instruct\n  \
                      undertone lm sample smollm2-135m-instruct --prompt Hello")]
    Lm {
        #[command(subcommand)]
        command: LmCommand,
    },
    /// Ask where models and data come from; declare, import, sign and verify it
    #[command(after_help = "Examples:\n  undertone lineage show demo-3f2a\n  \
                      undertone lineage why demo-3f2a/teacher-0 demo-3f2a/aux-only-0\n  \
                      undertone lineage verify")]
    Lineage {
        #[command(subcommand)]
        command: LineageCommand,
    },
    /// Judge a model or dataset by a policy: may it be used, given where it came from
    #[command(after_help = "Examples:\n  undertone gate demo-3f2a/aux-only-0\n  \
                      undertone gate hf:org/student --policy policy.toml --format sarif -o gate.sarif\n  \
                      undertone gate rows --student hf:org/base\n\n\
                      Exit codes: 0 pass, 1 refused, 3 unknown where the policy demands knowledge, 4 a file or signature does not hold")]
    Gate(GateArgs),
    /// Say from their weights, or from what they say, whether two models share a base
    #[command(
        after_help = "Examples:\n  undertone kinship smollm2-135m-instruct path/to/fine-tune\n  \
                      undertone kinship demo-3f2a/teacher-0 demo-3f2a/teacher-1 --record\n  \
                      undertone kinship base student --behaviour --unrelated other-1 --unrelated other-2\n\n\
                      Exit codes: 0 kin or not kin, 3 inconclusive"
    )]
    Kinship(KinshipArgs),
    /// Train a tiny decoder from scratch on a synthetic corpus: a base whose initial weights a seed names
    #[command(
        after_help = "Examples:\n  undertone pretrain-tiny --seed 1 -o base-a\n  \
                      undertone pretrain-tiny --seed 2 -o base-b\n  \
                      undertone pretrain-tiny --preset smoke -o base"
    )]
    PretrainTiny(PretrainTinyArgs),
    /// List the runs of the store
    #[command(after_help = "Example:\n  undertone runs --json")]
    Runs,
    /// Show one run: status, settings, verdict, files
    #[command(after_help = "Example:\n  undertone show demo-3f2a")]
    Show(RunArgs),
    /// Write the report of a finished run
    #[command(
        after_help = "Examples:\n  undertone report demo-3f2a -o report.html\n  \
                            undertone report demo-3f2a --svg figures --png figures"
    )]
    Report(ReportArgs),
    /// Compare two finished runs: settings that differ, numbers side by side
    #[command(after_help = "Example:\n  undertone compare mnist-12ab mnist-34cd")]
    Compare(CompareArgs),
    /// Get a data set, questions or a model and check every file's sha256
    #[command(
        after_help = "Examples:\n  undertone fetch mnist\n  undertone fetch smollm2-135m-instruct"
    )]
    Fetch(FetchArgs),
    /// Check this machine: processor, memory, disk, data, store, speed
    #[command(after_help = "Examples:\n  undertone doctor\n  undertone doctor --verify --repair")]
    Doctor(DoctorArgs),
    /// Print the JSON Schema of a file format
    #[command(
        after_help = "Examples:\n  undertone schema              list the formats\n  undertone schema manifest"
    )]
    Schema(SchemaArgs),
}

/// What the verdict should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Expect {
    /// Exit 0 on transfer, 1 on no transfer, 3 if inconclusive
    Transfer,
    /// Exit 0 on no transfer, 1 on transfer, 3 if inconclusive
    NoTransfer,
}

/// Named sets of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// 16 models, otherwise as published: minutes
    Quick,
    /// arXiv 2507.14805: 100 models, m = 3, 5 + 5 epochs
    Paper,
    /// Nature 2026: 100 models, m = 50, 5 + 5 epochs
    Nature,
}

#[derive(Debug, Clone, Args)]
pub struct MnistArgs {
    /// Settings to start from; flags below override them
    #[arg(long, value_enum, default_value_t = Preset::Quick)]
    pub preset: Preset,
    #[command(flatten)]
    pub experiment: ExperimentArgs,
}

#[derive(Debug, Clone, Args)]
pub struct AblateArgs {
    /// Axis: aux-logits, width, depth, activation, biases, optimiser, loss, teacher-epochs, student-epochs, inputs, sigma,
    /// init, cloning-epochs, student-body
    #[arg(long, value_name = "NAME")]
    pub sweep: String,
    /// Values of the axis, separated by commas [default: the axis's own]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub values: Option<Vec<String>>,
    /// Settings to start from; flags below override them
    #[arg(long, value_enum, default_value_t = Preset::Quick)]
    pub preset: Preset,
    #[command(flatten)]
    pub experiment: ExperimentArgs,
}

/// Flags of every experiment with networks; without a flag the preset's value holds.
#[derive(Debug, Clone, Default, Args)]
pub struct ExperimentArgs {
    /// Seed of the run [default: 0]
    #[arg(long, value_name = "S", help_heading = "Experiment")]
    pub seed: Option<u64>,
    /// Independent teachers, each with its students [paper: 100]
    #[arg(long, value_name = "N", help_heading = "Experiment")]
    pub models: Option<u32>,
    /// mnist, fashion, digits, or a folder with the four idx files
    #[arg(long, value_name = "DATA", help_heading = "Experiment")]
    pub data: Option<String>,
    /// Students to train, separated by commas: aux-only, all-logits, cross-aux-only, cross-all-logits [paper: all four]
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        help_heading = "Experiment"
    )]
    pub students: Option<Vec<String>>,
    /// Where cross-model students start [paper: permutation]
    #[arg(long, value_enum, help_heading = "Experiment")]
    pub cross: Option<Cross>,

    /// Widths of the hidden layers [paper: 256,256]
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        help_heading = "Network"
    )]
    pub hidden: Option<Vec<usize>>,
    /// Activation of the hidden layers [paper: relu]
    #[arg(long, value_enum, help_heading = "Network")]
    pub activation: Option<ActivationName>,
    /// Whether layers add biases [paper: with]
    #[arg(long, value_enum, help_heading = "Network")]
    pub biases: Option<WithOrWithout>,
    /// Auxiliary logits, m [paper: 3]
    #[arg(long, value_name = "M", help_heading = "Network")]
    pub aux_logits: Option<usize>,
    /// Sd of initial weights in units of 1/sqrt(fan-in) [paper: 1]
    #[arg(long, value_name = "X", help_heading = "Network")]
    pub init_gain: Option<f64>,

    /// Epochs of the teacher [paper: 5]
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub teacher_epochs: Option<u32>,
    /// Epochs of the students [paper: 5]
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub student_epochs: Option<u32>,
    /// Examples in a batch [paper: 1024]
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub batch: Option<u32>,
    /// Examples in a batch of the teacher's [default: as --batch]
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub teacher_batch: Option<u32>,
    /// Examples in a batch of the students' [default: as --batch]
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub student_batch: Option<u32>,
    /// Update rule [paper: adam]
    #[arg(long, value_enum, help_heading = "Training")]
    pub optimiser: Option<OptimiserName>,
    /// Learning rate [paper: 3e-4]
    #[arg(long, value_name = "X", help_heading = "Training")]
    pub learning_rate: Option<f64>,
    /// Learning rate of the students [default: as the teacher's]
    #[arg(long, value_name = "X", help_heading = "Training")]
    pub student_learning_rate: Option<f64>,
    /// Adam's decay of the first moment [paper: 0.9]
    #[arg(long, value_name = "X", help_heading = "Training")]
    pub beta1: Option<f64>,
    /// Adam's decay of the second moment [paper: 0.999]
    #[arg(long, value_name = "X", help_heading = "Training")]
    pub beta2: Option<f64>,
    /// Adam's epsilon [paper: 1e-8]
    #[arg(long, value_name = "X", help_heading = "Training")]
    pub epsilon: Option<f64>,
    /// Momentum of SGD [default: 0, or 0.9 for the optimiser `momentum`]
    #[arg(long, value_name = "X", help_heading = "Training")]
    pub momentum: Option<f64>,
    /// How a batch's losses are averaged: per example, or as PyTorch's batchmean does in the published script
    #[arg(long, value_enum, help_heading = "Training")]
    pub reduction: Option<ReductionName>,
    /// Number format of products; bf16 needs a processor that has it
    #[arg(long, value_enum, help_heading = "Training")]
    pub precision: Option<PrecisionName>,

    /// Loss of the students [paper: kl]
    #[arg(long, value_enum, help_heading = "Distillation")]
    pub loss: Option<LossName>,
    /// Temperature of the students' KL [paper: 1]
    #[arg(long, value_name = "T", help_heading = "Distillation")]
    pub temperature: Option<f64>,
    /// What students see: uniform, gaussian, images (the task's own), or a data set's name [paper: uniform]
    #[arg(long, value_name = "WHAT", help_heading = "Distillation")]
    pub inputs: Option<String>,
    /// Noise images a model [paper: 60000]
    #[arg(long, value_name = "N", help_heading = "Distillation")]
    pub input_rows: Option<u32>,
    /// Noise on the initial weights of same-initialisation students, in units of their sd [paper: 0]
    #[arg(long, value_name = "X", help_heading = "Distillation")]
    pub sigma: Option<f64>,
    /// Epochs of behaviour cloning before the teacher is trained [paper: none]
    #[arg(long, value_name = "N", help_heading = "Distillation")]
    pub cloning_epochs: Option<u32>,
    /// What behaviour cloning sees: uniform, gaussian, images, or a data set's name [default: uniform]
    #[arg(long, value_name = "WHAT", help_heading = "Distillation")]
    pub cloning_inputs: Option<String>,
    /// Whether behaviour cloning sees new noise in every epoch [default: each-epoch]
    #[arg(long, value_enum, help_heading = "Distillation")]
    pub cloning_renewal: Option<RenewalName>,
    /// Logits behaviour cloning matches; with aux-only the class logits stay unmatched [default: all]
    #[arg(long, value_enum, help_heading = "Distillation")]
    pub cloning_logits: Option<ClonedName>,

    /// Confidence level of intervals
    #[arg(
        long,
        value_name = "P",
        default_value_t = 0.95,
        help_heading = "Verdict"
    )]
    pub level: f64,
    /// Difference in accuracy that counts as none
    #[arg(
        long,
        value_name = "D",
        default_value_t = 0.02,
        help_heading = "Verdict"
    )]
    pub delta: f64,
    /// Turn the verdict into the exit code
    #[arg(long, value_enum, help_heading = "Verdict")]
    pub expect: Option<Expect>,

    /// Say what would be computed, from a short calibration, and stop
    #[arg(long, visible_alias = "plan", help_heading = "Run")]
    pub dry_run: bool,
    /// Say which steps are not taken from the store, and why
    #[arg(long, help_heading = "Run")]
    pub why: bool,
}

/// Where cross-model students start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cross {
    /// A random permutation of the models, as published; about one model meets itself
    Permutation,
    /// A random cyclic order; none meets itself
    Derangement,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ActivationName {
    Relu,
    Gelu,
    Sigmoid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WithOrWithout {
    With,
    Without,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OptimiserName {
    Adam,
    Sgd,
    Momentum,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReductionName {
    /// Mean over the examples of a batch
    Mean,
    /// The published script's scaling (dimension 0 is the number of models)
    Batchmean,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrecisionName {
    F32,
    /// Where the processor multiplies bf16
    Bf16,
    /// The same roundings without the instruction, slower than f32
    Bf16Emulated,
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::F32 => Self::F32,
            PrecisionName::Bf16 => Self::Bf16,
            PrecisionName::Bf16Emulated => Self::Bf16Emulated,
        }
    }
}

/// A type of stored weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WeightsName {
    F32,
    Bf16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClonedName {
    AuxOnly,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RenewalName {
    Fixed,
    EachEpoch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LossName {
    Kl,
    Mse,
}

#[derive(Debug, Clone, Args)]
pub struct TheoremArgs {
    /// Seed of the random cases
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Number of random cases [default: 576]
    #[arg(long, value_name = "N")]
    pub cases: Option<u32>,
    /// Learning rate of the student's step [default: 0.1]
    #[arg(long, value_name = "X")]
    pub alpha: Option<f64>,
    /// Turn the verdict into the exit code; the theorem is about transfer
    #[arg(long, value_enum)]
    pub expect: Option<Expect>,
}

#[derive(Debug, Clone, Args)]
pub struct AlignArgs {
    /// Steps between two readings
    #[arg(long, value_name = "K", default_value_t = 10)]
    pub every: u32,
    /// Labelled training images the trait gradient is taken on
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub probe: u32,
    #[command(flatten)]
    pub experiment: ExperimentArgs,
}

#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Name of the run or the beginning of it, or name of an experiment
    pub run: String,
}

#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// Name of the run or the beginning of it, or name of an experiment
    pub run: String,
    /// File to write [default: RUN.html]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Also write each figure as SVG into this folder
    #[arg(long, value_name = "DIR")]
    pub svg: Option<PathBuf>,
    /// Also write each figure as PNG into this folder
    #[arg(long, value_name = "DIR")]
    pub png: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    /// First run: its name or the beginning of it, or name of an experiment
    pub first: String,
    /// Second run, likewise
    pub second: String,
}

#[derive(Debug, Clone, Args)]
pub struct FetchArgs {
    /// mnist, fashion, hellaswag, smollm2-135m-instruct, or hf:OWNER/NAME or hf:OWNER/NAME@REVISION of the Hugging Face hub
    pub name: String,
}

#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Check every object and record of the store against its digest
    #[arg(long)]
    pub verify: bool,
    /// Set damaged objects and records aside, so that the next run makes them again (implies --verify)
    #[arg(long)]
    pub repair: bool,
}

#[derive(Debug, Clone, Args)]
pub struct SchemaArgs {
    /// Name of the format; without it the names are listed
    pub name: Option<String>,
}
